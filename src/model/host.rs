//! A host, as observed.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use ipnet::IpNet;

use super::{
    ContainerName, ContainerState, Firewall, ImageDigest, ImageSource, ImageState, Listener, MacAddress,
    NeighbourTable, PerFamily, PortMode, Startable,
};

/// What a host has: everything that planning needs to know of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// All containers of the host that share fleet's directory, foreign ones too.
    pub containers: BTreeMap<ContainerName, ContainerState>,
    /// All network links of the host by name.
    pub links: BTreeMap<String, LinkState>,
    /// The routes of its main table but the default ones, each with the link that it leads to.
    pub routes: Vec<(IpNet, String)>,
    /// Its packet filter.
    pub firewall: Firewall,
    /// Whether it passes packets of each family on from one link to another.
    pub forwarding: PerFamily<Forwarding>,
    /// How many neighbours of each family it and its containers can have.
    pub neighbours: PerFamily<NeighbourTable>,
    /// Ports that its processes listen on, if the fleet publishes any.
    pub listeners: Vec<Listener>,
    /// The sources that the fleet names.
    pub images: BTreeMap<ImageSource, ImageState>,
    /// What can be started in those of them that are stored.
    pub startable: BTreeMap<ImageDigest, Startable>,
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
    /// The kernel's number for it.
    pub index: u32,
    /// The kernel's number of its other end, or of what it shares, in its own or another network namespace.
    pub beyond: Option<u32>,
    /// The host's number for the network namespace that that is in, if it is another than the host's own.
    pub namespace_beyond: Option<i32>,
    /// What it is.
    pub kind: LinkKind,
    /// Its link-layer address.
    pub mac: Option<MacAddress>,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether the host asks and answers there for link-layer addresses (ARP).
    pub speaks_arp: bool,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// Name of the bridge that it is a port of.
    pub controller: Option<String>,
    /// What somebody noted of it (`ip link set alias`).
    pub alias: Option<String>,
    /// How long packets may be on it, in bytes.
    pub mtu: u32,
    /// The group of links that it is in.
    pub group: u32,
    /// As a port of a bridge: what the bridge does with it.
    pub port: PortMode,
    /// Of a bridge: what the host does with IPv6 on it.
    pub ipv6: Ipv6Use,
    /// Whether the kernel has an address or a route from a router that advertises itself there, and would hear of no more
    /// of them once the host passes packets on (`accept_ra` 1).
    pub follows_router: bool,
    /// Of a bridge: whether it takes packets from and to the host's loopback addresses (`route_localnet`).
    pub loopback: bool,
}

/// What the host does with IPv6 on a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ipv6Use {
    /// Nothing.
    #[default]
    Off,
    /// It has the addresses and routes that it was given, and takes none from others there.
    Static,
    /// It listens to whoever calls himself a router there.
    Listening,
}

/// Whether a host passes packets on from one link to another (`net.ipv4.ip_forward`, `net.ipv6.conf.all.forwarding`).
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
    pub fn link_overlapping(&self, subnet: IpNet, except: &str) -> Option<(&str, IpNet)> {
        self.links.iter().filter(|(name, _)| *name != except).find_map(|(name, link)| {
            let taken = link.addresses.iter().find(|taken| overlap(subnet, **taken))?;
            Some((name.as_str(), *taken))
        })
    }
}

/// Whether the subnets share addresses.
#[must_use]
pub fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}
