//! What is set up inside a guest: users, keys, names, network, per distribution and init.
//!
//! Start at [`provision`]; [`wrong_templates`] finds before it what could not be written; [`transfer`] copies files in and out. This room never knows which engine runs the guest.

mod accounts;
mod edit;
mod error;
mod facts;
mod home;
mod host_key;
mod host_table;
mod init;
mod inittab;
mod keys;
mod mounted_home;
mod names;
mod network;
mod placeholders;
mod resolvers;
mod runit;
mod sshd;
mod sudo;
mod table;
#[cfg(test)]
mod tests;
pub mod transfer;
mod trial;
mod users;

pub use error::{GuestError, NOT_THE_GUESTS};
pub use host_key::HostKey;
pub use host_table::HostTables;
pub use resolvers::host_resolvers;
pub use trial::wrong_templates;

use crate::model::{ContainerRecord, IpFamily};
use crate::sys::RootDir;

/// When a guest is provisioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Before its first start: everything is written.
    FirstStart,
    /// Later: what the fleet file says has changed, the guest may have changed too.
    Change,
}

/// Writes into the guest's root file system what `record` and the fleet's host tables `hosts` ask for, reading what is
/// there first and writing only what differs. The guest may run meanwhile. Returns remarks for the user.
pub fn provision(
    root: &RootDir,
    record: &ContainerRecord,
    hosts: &HostTables,
    host_key: &HostKey,
    occasion: Occasion,
) -> Result<Vec<String>, GuestError> {
    let guest = &record.spec.guest;
    let has_ipv6 = record.spec.addresses().any(|address| address.is_ipv6());
    let families: &[IpFamily] = if has_ipv6 { &IpFamily::ALL } else { &[IpFamily::Ipv4] };
    let dns = if guest.dns.is_empty() { host_resolvers(families) } else { guest.dns.clone() };
    let renderer = facts::Renderer::new(&record.fleet, &record.spec, hosts.of(record.spec.network_names()), dns)?;
    let editor = edit::Editor::new(root);
    names::ensure_names(&editor, &renderer, &guest.machine_id)?;
    if occasion == Occasion::FirstStart {
        placeholders::fill_in(&editor, &renderer)?;
    }
    network::ensure_network(&editor, &renderer)?;
    sshd::ensure_host_key(&editor, host_key, occasion)?;
    init::adapt_init(&editor, occasion)?;
    users::ensure_users(&editor, &renderer, record)
}
