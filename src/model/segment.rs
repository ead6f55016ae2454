//! The parts of a network that has more members than one bridge takes.
//!
//! A bridge has 1023 ports (`BR_MAX_PORTS` of the kernel). The first members are ports of the network's own bridge; those
//! that it has no room for are ports of further bridges, its segments, each of which a veth(4) pair joins to the
//! network's own. So all members are on one link layer, in both families: subnet, gateway, broadcasts and packet rules
//! are what they are with one bridge, and who has a place keeps it however the network grows. Bridges that the host
//! routes between would take a route and an answer to ARP for each member instead, and keep broadcasts apart.

use super::{
    Fleet, FleetName, LinkKind, LinkSpec, LinkState, MacAddress, NetworkName, NetworkSpec, PortMode, bridge_mac, hex,
    stable_hash,
};

/// So many members are ports of one bridge where nothing else is said: those of a network's own bridge and the ends of
/// the pairs to its segments are no more than the kernel takes.
pub const MEMBERS_PER_BRIDGE: u32 = 1000;

/// So many segments a network can have.
pub const MOST_SEGMENTS: u16 = 23;

// What the names of a segment's links begin with.
const BRIDGE: &str = "fs";
const INNER: &str = "fi";
const OUTER: &str = "fo";

/// A further bridge of a network, with the pair of links that joins it to the network's own. All of it is known by its
/// link-layer addresses, which are derived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its number, from 1 on.
    pub number: u16,
    /// Name of its bridge.
    pub bridge: String,
    /// The bridge's own address.
    pub mac: MacAddress,
    /// The end of the pair that is a port of its bridge.
    pub inner: PairEnd,
    /// The end that is a port of the network's own bridge.
    pub outer: PairEnd,
}

/// An end of the pair that joins a segment to its network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairEnd {
    /// Its name.
    pub name: String,
    /// Its link-layer address.
    pub mac: MacAddress,
}

impl PairEnd {
    /// Whether the link `name` is this one.
    #[must_use]
    pub fn is(&self, name: &str, link: &LinkState) -> bool {
        self.name == name && link.kind == LinkKind::Veth && link.mac == Some(self.mac)
    }
}

impl Segment {
    /// Number `number` of the network whose own bridge has the address `network`.
    #[must_use]
    pub fn of(network: MacAddress, number: u16) -> Segment {
        let hash = stable_hash(&["segment", &network.to_string(), &number.to_string()]);
        let name = hex(&hash[..5]);
        let mac = |from: usize| MacAddress::local([0, 1, 2, 3, 4, 5].map(|place| hash[from + place]));
        Segment {
            number,
            bridge: format!("{BRIDGE}{name}"),
            mac: mac(5),
            inner: PairEnd { name: format!("{INNER}{name}"), mac: mac(11) },
            outer: PairEnd { name: format!("{OUTER}{name}"), mac: mac(17) },
        }
    }

    /// Whether `link` may be one to a segment, by the name of its bridge.
    #[must_use]
    pub fn may_have(link: &LinkSpec) -> bool {
        link.parent.starts_with(BRIDGE)
    }

    /// Whether the link `name` is its bridge.
    #[must_use]
    pub fn is_bridge(&self, name: &str, link: &LinkState) -> bool {
        self.bridge == name && link.kind == LinkKind::Bridge && link.mac == Some(self.mac)
    }

    /// Whether the link `name` is some part of it.
    #[must_use]
    pub fn has(&self, name: &str, link: &LinkState) -> bool {
        self.is_bridge(name, link) || self.inner.is(name, link) || self.outer.is(name, link)
    }

    /// Its mark, as the alias of its bridge.
    #[must_use]
    pub fn mark(&self, fleet: &FleetName, network: &NetworkName) -> String {
        format!("{} {}", super::bridge_mark(fleet, network), self.number)
    }
}

impl NetworkSpec {
    /// All segments that it can have.
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        let mac = self.mac;
        (1..=MOST_SEGMENTS).map(move |number| Segment::of(mac, number))
    }

    /// How long packets may be on the pairs to its segments, in bytes: as on a link of which nothing is said
    /// (`ETH_DATA_LEN`), or longer where the members' are.
    #[must_use]
    pub fn pair_mtu(&self) -> u32 {
        self.mtu.unwrap_or(0).max(1500)
    }

    /// What its own bridge is to do with its ports that lead to segments: their members are kept from others, or not.
    #[must_use]
    pub fn port_of_segment(&self) -> PortMode {
        PortMode { isolated: self.isolated, hairpin: false }
    }

    /// So many members it can have.
    #[must_use]
    pub fn most_members(&self) -> usize {
        self.members_per_bridge as usize * (usize::from(MOST_SEGMENTS) + 1)
    }
}

impl Fleet {
    /// The segments of `network` that its containers are on.
    #[must_use]
    pub fn segments_of(&self, network: &NetworkSpec) -> Vec<Segment> {
        let links = self.containers.iter().filter_map(|spec| spec.link_to(&network.name));
        let elsewhere = links.map(|link| &link.parent).filter(|parent| **parent != network.bridge);
        let used: std::collections::BTreeSet<&String> = elsewhere.collect();
        if used.is_empty() {
            return Vec::new();
        }
        network.segments().filter(|segment| used.contains(&segment.bridge)).collect()
    }

    /// The network and the segment that the link `name` of a host is part of, if it is one of the fleet's: also of a
    /// network that its file names no more.
    #[must_use]
    pub fn segment_of(&self, name: &str, link: &LinkState) -> Option<(NetworkName, Segment)> {
        if ![BRIDGE, INNER, OUTER].iter().any(|prefix| name.starts_with(prefix)) {
            return None;
        }
        let of_known = |network: &NetworkSpec| {
            let segment = network.segments().find(|segment| segment.has(name, link))?;
            Some((network.name.clone(), segment))
        };
        self.networks.iter().find_map(of_known).or_else(|| {
            let (mark, number) = link.alias.as_ref()?.rsplit_once(' ')?;
            let network: NetworkName = mark.rsplit_once('/')?.1.parse().ok()?;
            let segment = Segment::of(bridge_mac(&self.scope, &self.name, &network), number.parse().ok()?);
            let is_marked = link.alias.as_ref() == Some(&segment.mark(&self.name, &network));
            (is_marked && segment.is_bridge(name, link)).then_some((network, segment))
        })
    }
}
