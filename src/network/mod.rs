//! Links, addresses and routes of the host and of guests, over rtnetlink(7), and the host's packet rules.
//!
//! Start at [`observe`] and [`ensure`] for the host's links, which is asynchronous, at [`set_traffic`] for its rules, and
//! at [`connect_guest`] for a container's links, which its single-threaded monitor makes. This room knows no engines.

mod address;
mod announce;
mod attributes;
mod bridge;
mod guest_change;
mod guest_link;
mod guest_links;
mod guest_setup;
mod links;
mod listeners;
mod messages;
mod namespace;
mod neighbours;
mod nft;
mod parameters;
mod segment;
mod socket;
mod traffic;

use std::io;

pub use bridge::{delete, ensure};
pub use guest_change::set_guest_links;
pub use guest_link::{GuestPlace, await_removal, connect_guest, knows_way, name_inside};
pub use guest_links::read_guest_links;
pub use guest_setup::configure_inside;
pub use links::observe;
pub use listeners::read_listeners;
pub use neighbours::{neighbour_parameters, read_neighbour_limits, restored_neighbour_limits, set_neighbour_limits};
pub use nft::{read_firewall, write_chains};
pub use parameters::{
    Parameters, beside_forwarding, followed_routers, forwards, go_on_following_routers, set_forwarding,
    stop_following_routers,
};
pub use segment::{delete_segment, ensure_segment};
pub use traffic::{remove_traffic, set_traffic};

/// A network operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel refused a request; its words are the source.
    #[error("{operation}")]
    Request {
        /// The operation and its object.
        operation: String,
        /// The kernel's answer.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A link of that name is not the fleet's.
    #[error("the link `{0}` belongs to something else")]
    Foreign(String),
}

impl NetworkError {
    fn request(operation: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> NetworkError {
        let operation = operation.into();
        move |source| NetworkError::Request { operation, source: kernel_words(source) }
    }

    fn because(operation: impl Into<String>) -> impl FnOnce(io::Error) -> NetworkError {
        let operation = operation.into();
        move |source| NetworkError::Request { operation, source: source.into() }
    }
}

/// The kernel's own words where an error is its answer; rtnetlink would show the whole message.
fn kernel_words(error: rtnetlink::Error) -> Box<dyn std::error::Error + Send + Sync> {
    match error {
        rtnetlink::Error::NetlinkError(answer) => Box::new(answer.to_io()),
        other => Box::new(other),
    }
}
