//! The host tables of a fleet: the names by which its members find each other.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::model::{HostEntry, Member, NetworkName, host_table};

/// The host tables of a fleet, one for each list of networks that guests are on. Its text is as long as the fleet is
/// large, and nearly always the same in all guests of one list, so it is rendered once for all of those.
#[derive(Debug)]
pub struct HostTables {
    members: Vec<Member>,
    made: Mutex<BTreeMap<Vec<NetworkName>, Arc<HostTable>>>,
}

impl HostTables {
    /// The tables of a fleet of `members`.
    #[must_use]
    pub fn new(members: Vec<Member>) -> HostTables {
        HostTables { members, made: Mutex::default() }
    }

    /// The table of a guest on `networks`.
    pub(super) fn of(&self, networks: Vec<NetworkName>) -> Arc<HostTable> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = made.get(&networks) {
            return Arc::clone(table);
        }
        let entries = host_table(&self.members, &networks);
        let table = Arc::new(HostTable { entries, shared_text: OnceLock::new() });
        made.insert(networks, Arc::clone(&table));
        table
    }
}

/// One of the host tables.
#[derive(Debug)]
pub(super) struct HostTable {
    entries: Vec<HostEntry>,
    pub(super) shared_text: OnceLock<String>,
}

impl HostTable {
    /// The lines that all its guests have.
    pub(super) fn entries(&self) -> &[HostEntry] {
        &self.entries
    }

    /// Whether a guest with this `hostname` finds it in what all guests have.
    pub(super) fn names(&self, hostname: &str) -> bool {
        self.entries.iter().any(|entry| entry.names.iter().any(|name| name == hostname))
    }

    /// The lines for the guest at `addresses`, if it has some, in which it finds its own `hostname`, whatever that is:
    /// sudo(8) and many servers look it up.
    pub(super) fn with_own_name(&self, addresses: impl Iterator<Item = IpAddr>, hostname: &str) -> Vec<HostEntry> {
        let mut entries = self.entries.clone();
        if self.names(hostname) {
            return entries;
        }
        let mut own: Vec<IpAddr> = addresses.collect();
        if own.is_empty() {
            own.push(Ipv4Addr::LOCALHOST.into());
        }
        for address in own {
            match entries.iter_mut().find(|entry| entry.address == address) {
                Some(own) => own.names.push(hostname.to_owned()),
                None => entries.push(HostEntry { address, names: vec![hostname.to_owned()] }),
            }
        }
        entries
    }
}
