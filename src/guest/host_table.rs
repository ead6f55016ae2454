//! The host table of a fleet: the names by which its members find each other.

use std::net::Ipv4Addr;
use std::sync::OnceLock;

use crate::model::HostEntry;

/// The host table of a fleet. Its text is as long as the fleet is large, and nearly always the same in all guests, so it
/// is rendered once for all of those.
#[derive(Debug)]
pub struct HostTable {
    entries: Vec<HostEntry>,
    pub(super) shared_text: OnceLock<String>,
}

impl HostTable {
    /// A table of `entries`.
    #[must_use]
    pub fn new(entries: Vec<HostEntry>) -> HostTable {
        HostTable { entries, shared_text: OnceLock::new() }
    }

    /// The lines that all guests have.
    pub(super) fn entries(&self) -> &[HostEntry] {
        &self.entries
    }

    /// Whether a guest with this `hostname` finds it in what all guests have.
    pub(super) fn names(&self, hostname: &str) -> bool {
        self.entries.iter().any(|entry| entry.names.iter().any(|name| name == hostname))
    }

    /// The lines for the guest at `address`, if it has one, in which it finds its own `hostname`, whatever that is: sudo(8) and many
    /// servers look it up.
    pub(super) fn with_own_name(&self, address: Option<Ipv4Addr>, hostname: &str) -> Vec<HostEntry> {
        let mut entries = self.entries.clone();
        if self.names(hostname) {
            return entries;
        }
        let address = address.unwrap_or(Ipv4Addr::LOCALHOST);
        match entries.iter_mut().find(|entry| entry.address == address) {
            Some(own) => own.names.push(hostname.to_owned()),
            None => entries.push(HostEntry { address, names: vec![hostname.to_owned()] }),
        }
        entries
    }
}
