//! A host, as observed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::Range;

use ipnet::Ipv4Net;

use super::{ContainerName, ContainerState, Firewall, ImageSource, ImageState, LinkSpec, Listener, MacAddress};

/// What a host has: everything that planning needs to know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// All containers of the host that share fleet's directory, foreign ones too.
    pub containers: BTreeMap<ContainerName, ContainerState>,
    /// All network links of the host by name.
    pub links: BTreeMap<String, LinkState>,
    /// The IPv4 routes of its main table but the default ones, each with the link that it leads to.
    pub routes: Vec<(Ipv4Net, String)>,
    /// Its packet filter.
    pub firewall: Firewall,
    /// Whether it passes packets on from one link to another.
    pub forwarding: Forwarding,
    /// Ports that its processes listen on, if the fleet publishes any.
    pub listeners: Vec<Listener>,
    /// The sources that the fleet names.
    pub images: BTreeMap<ImageSource, ImageState>,
    /// The volumes of the fleet, by name.
    pub volumes: BTreeSet<String>,
    /// Host ids that belong to somebody else (subuid(5), subgid(5)).
    pub foreign_ids: Vec<Range<u32>>,
    /// What this host cannot do that the fleet needs, each with its fix; empty on a capable host.
    pub lacks: Vec<(String, String)>,
}

/// A network link of the host.
#[expect(clippy::struct_excessive_bools, reason = "each is one of the kernel's own switches")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    /// What it is.
    pub kind: LinkKind,
    /// Its link-layer address.
    pub mac: Option<MacAddress>,
    /// Whether it is administratively up.
    pub up: bool,
    /// Its IPv4 addresses with their prefix lengths.
    pub addresses: Vec<Ipv4Net>,
    /// Name of the bridge that it is a port of.
    pub controller: Option<String>,
    /// The group of links that it is in.
    pub group: u32,
    /// As a port of a bridge: whether the bridge keeps it from other isolated ports.
    pub isolated: bool,
    /// Of a bridge: whether the host speaks IPv6 on it, and so listens to whoever calls himself a router there.
    pub ipv6: bool,
    /// Of a bridge: whether it takes packets from and to the host's loopback addresses (`route_localnet`).
    pub loopback: bool,
}

/// Whether a host passes packets on from one link to another (`net.ipv4.ip_forward`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forwarding {
    /// It does.
    pub is_on: bool,
    /// Fleet has recorded what was there before, to put it back.
    pub is_recorded: bool,
}

/// The kinds of links that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// A bridge.
    Bridge,
    /// One end of a veth pair.
    Veth,
    /// Anything else.
    Other,
}

impl Host {
    /// The link that has an address whose subnet shares addresses with `subnet`, other than the link `except`.
    #[must_use]
    pub fn link_overlapping(&self, subnet: Ipv4Net, except: &str) -> Option<(&str, Ipv4Net)> {
        self.links.iter().filter(|(name, _)| *name != except).find_map(|(name, link)| {
            let taken = link.addresses.iter().find(|taken| taken.contains(&subnet) || subnet.contains(*taken))?;
            Some((name.as_str(), *taken))
        })
    }

    /// Whether the host's end of `link` is there, up, and a port of its bridge.
    #[must_use]
    pub fn has_port(&self, link: &LinkSpec) -> bool {
        let found = self.links.get(&link.host_name);
        found.is_some_and(|found| found.up && found.controller.as_ref() == Some(&link.bridge))
    }

    /// Whether the link `name` has the address `address`.
    #[must_use]
    pub fn link_has(&self, name: &str, address: Ipv4Addr) -> bool {
        self.links.get(name).is_some_and(|link| link.addresses.iter().any(|taken| taken.addr() == address))
    }
}
