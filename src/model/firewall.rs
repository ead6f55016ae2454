//! The packet filter: chains of rules, as asked for and as found.

use std::collections::BTreeMap;

use super::{IpFamily, NetworkName, Rule};

/// Chains by name.
pub type Chains = BTreeMap<String, Chain>;

/// Where in a packet's way a chain stands. Each has one type and priority of nftables(8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// What comes in, before anything has been translated: type filter, priority raw.
    Arriving,
    /// What comes in, to be sent elsewhere: type nat, priority dstnat.
    Prerouting,
    /// What the host sends, to be sent elsewhere: type nat, priority dstnat.
    Output,
    /// What goes through the host: type filter, priority filter.
    Forward,
    /// What leaves, to be given another source: type nat, priority srcnat.
    Postrouting,
}

impl Hook {
    /// All of them, with the word that the names of their chains begin with.
    pub const ALL: [(&'static str, Hook); 5] = [
        ("arriving", Hook::Arriving),
        ("prerouting", Hook::Prerouting),
        ("output", Hook::Output),
        ("forward", Hook::Forward),
        ("postrouting", Hook::Postrouting),
    ];

    /// The name of the chain of the network `network` of the fleet `fleet` here.
    #[must_use]
    pub fn chain_of(self, fleet: &str, network: &NetworkName) -> String {
        let word = Hook::ALL.iter().find(|(_, hook)| *hook == self).map_or("", |(word, _)| *word);
        if network.is_default() { format!("{word}-{fleet}") } else { format!("{word}-{fleet}.{network}") }
    }

    /// The fleet whose chain `chain` is by its name.
    #[must_use]
    pub fn fleet_of(chain: &str) -> Option<&str> {
        Hook::owner_of(chain).map(|(fleet, _)| fleet)
    }

    /// The fleet and the network whose chain `chain` is by its name.
    #[must_use]
    pub fn owner_of(chain: &str) -> Option<(&str, NetworkName)> {
        let (word, owner) = chain.split_once('-')?;
        if !Hook::ALL.iter().any(|(known, _)| *known == word) {
            return None;
        }
        match owner.split_once('.') {
            None => Some((owner, NetworkName::default())),
            Some((fleet, network)) => Some((fleet, network.parse().ok()?)),
        }
    }
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Where it stands; `None` of one found elsewhere, or with another policy than to accept.
    pub hook: Option<Hook>,
    /// Its rules, in their order.
    pub rules: Vec<Rule>,
}

/// The packet filter of a host, as found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Firewall {
    /// Whose the table of fleet's name is.
    pub table: TableState,
    /// The chains in it, if it is ours.
    pub chains: Chains,
    /// Whether fleets of another root have rules.
    pub is_shared: bool,
    /// Chains of others that refuse all that goes through the host unless they know it.
    pub barriers: Vec<Barrier>,
}

/// The table that holds the rules of all fleets of one root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TableState {
    /// It is not there.
    #[default]
    Absent,
    /// It carries fleet's mark.
    Ours,
    /// It does not; its name is the payload.
    Foreign(String),
    /// The kernel has no `nf_tables`: its words.
    Unavailable(String),
}

/// A chain of somebody else that refuses what goes through the host, unless a rule of it knows better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barrier {
    /// Family, table and chain, as nft(8) would say it: `ip filter FORWARD`.
    pub name: String,
    /// What of it refuses the rest.
    pub refusal: Refusal,
    /// The packets that it sees; all of them if none is given.
    pub family: Option<IpFamily>,
    /// Links, or beginnings of their names, of which it accepts all that comes in.
    pub accepts_from: Vec<String>,
    /// Links, or beginnings of their names, of which it accepts all that leaves.
    pub accepts_to: Vec<String>,
}

/// What of a chain refuses what its rules do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its policy, as Docker and ufw have it.
    Policy,
    /// Its last rule, as firewalld has it.
    LastRule,
}

impl Barrier {
    /// Whether it lets packets from and to the link `name` through.
    #[must_use]
    pub fn is_open_for(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| name == pattern || is_beginning(pattern, name));
        any(&self.accepts_from) && any(&self.accepts_to)
    }
}

/// Whether `pattern` is the beginning of a name and `name` begins so: `br*`.
fn is_beginning(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').is_some_and(|beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_tells_whose_it_is() {
        let (default, storage) = (NetworkName::default(), "storage".parse::<NetworkName>().expect("a name"));
        assert_eq!(Hook::Forward.chain_of("a-forward", &default), "forward-a-forward");
        assert_eq!(Hook::owner_of("forward-a-forward"), Some(("a-forward", default)));
        assert_eq!(Hook::Forward.chain_of("a", &storage), "forward-a.storage");
        assert_eq!(Hook::owner_of("forward-a.storage"), Some(("a", storage)));
        assert_eq!(Hook::fleet_of("forward-a.storage"), Some("a"));
        assert_eq!(Hook::fleet_of("mine-a"), None);
    }

    #[test]
    fn a_barrier_is_open_where_both_ways_are() {
        let mut barrier = Barrier {
            name: "ip filter FORWARD".to_owned(),
            refusal: Refusal::Policy,
            family: Some(IpFamily::Ipv4),
            accepts_from: vec!["fb*".to_owned()],
            accepts_to: vec![],
        };
        assert!(!barrier.is_open_for("fb12"));
        barrier.accepts_to.push("fb12".to_owned());
        assert!(barrier.is_open_for("fb12"));
        assert!(!barrier.is_open_for("fb1"));
    }
}
