//! Tells whoever is near where a link is now: else they look for it, and for its addresses, where these were.

use std::io;
use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage, State};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use super::guest_setup::set;
use super::namespace::within;
use super::parameters::announcing;
use super::socket::RouteSocket;
use crate::model::{LinkSpec, LinkWay, MacAddress};

/// How long the kernel may take to take note of a link that has come up.
const OPERATION_DEADLINE: Duration = Duration::from_millis(500);

/// Sockets of the host and of the guest whose network namespace is `namespace`.
pub(super) struct Sockets<'s> {
    pub(super) namespace: BorrowedFd<'s>,
    pub(super) host: &'s mut RouteSocket,
    pub(super) guest: &'s mut RouteSocket,
}

/// Announces the guest's link `index`, made as `spec`, which has the link-layer address `mac`.
pub(super) fn announce(sockets: Sockets<'_>, index: u32, spec: &LinkSpec, mac: MacAddress) -> io::Result<()> {
    let Sockets { namespace, host, guest } = sockets;
    await_operation(host, guest, index, spec);
    within(namespace, || {
        announcing(&spec.name, || {
            let same = LinkMessageBuilder::<LinkUnspec>::default().index(index).address(mac.0.to_vec());
            set(guest, same.build())
        })
    })
}

/// What is sent by a link that has just come up is lost until the kernel has taken note of that on both ends. One that
/// leads nowhere never gets so far, and has nobody to tell.
fn await_operation(host: &mut RouteSocket, guest: &mut RouteSocket, index: u32, spec: &LinkSpec) {
    let mut inside = LinkMessage::default();
    inside.header.index = index;
    let mut outside = LinkMessage::default();
    outside.attributes.push(LinkAttribute::IfName(spec.host_name.clone()));
    let begun = Instant::now();
    while begun.elapsed() < OPERATION_DEADLINE {
        let is_ready =
            is_operational(guest, &inside) && (spec.way != LinkWay::Bridge || is_operational(host, &outside));
        if is_ready {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn is_operational(socket: &mut RouteSocket, asked: &LinkMessage) -> bool {
    let shown = socket.get(RouteNetlinkMessage::GetLink(asked.clone()));
    matches!(shown, Ok(Some(RouteNetlinkMessage::NewLink(link)))
        if link.attributes.contains(&LinkAttribute::OperState(State::Up)))
}
