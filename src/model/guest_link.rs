//! The links inside a running container, as found, and in what they are not as they were made.
//!
//! Only what fleet has set must be there: further links, addresses and routes are the guest's own business.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{LinkKind, LinkSpec, LinkState, LinkWay, MacAddress, USUAL_MTU};

/// The network namespace of a running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestNetwork {
    /// The host's number for it, if it was asked for: only by that is it known whose a host's end is that has neither the
    /// name nor the address that it was given.
    pub number: Option<i32>,
    /// The links that it was given; after a change that was killed half-way those of before and after.
    pub given: Vec<LinkSpec>,
    /// The links in it.
    pub links: Vec<GuestLink>,
}

/// A link in the network namespace of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestLink {
    /// The kernel's number for it there.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// How it leads out, if it is of a kind that fleet makes.
    pub way: Option<LinkWay>,
    /// The kernel's number of what it hangs on in another network namespace: its other end, or what it shares.
    pub beyond: Option<u32>,
    /// Its link-layer address.
    pub mac: Option<MacAddress>,
    /// Whether it is administratively up.
    pub up: bool,
    /// How long packets may be on it, in bytes.
    pub mtu: u32,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<IpNet>,
    /// Where default routes by it lead.
    pub gateways: Vec<IpAddr>,
}

/// In what way a link of a container is not as it was made: somebody has changed it by hand, on the host, or as root of
/// the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkFault {
    /// It is not there.
    Absent,
    /// It leads to its network in another way.
    OtherWay,
    /// It has this name.
    Renamed(String),
    /// It is down.
    Down,
    /// It has this link-layer address.
    OtherMac(MacAddress),
    /// It takes packets of that length.
    OtherMtu(u32),
    /// It lacks this address.
    NoAddress(IpNet),
    /// No default route by it leads there.
    NoRoute(IpAddr),
    /// The host's end has this name.
    EndRenamed(String),
    /// The host's end is down.
    EndDown,
    /// The host's end is no port of this bridge.
    Detached(String),
}

impl fmt::Display for LinkFault {
    /// As the end of a sentence that begins with the link: `is down`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkFault::Absent => f.write_str("is missing"),
            LinkFault::OtherWay => f.write_str("leads to its network in another way"),
            LinkFault::Renamed(now) => write!(f, "is called `{now}`"),
            LinkFault::Down => f.write_str("is down"),
            LinkFault::OtherMac(now) => write!(f, "has the address {now}"),
            LinkFault::OtherMtu(now) => write!(f, "has mtu {now}"),
            LinkFault::NoAddress(address) => write!(f, "lacks {address}"),
            LinkFault::NoRoute(gateway) => write!(f, "lacks the default route by {gateway}"),
            LinkFault::EndRenamed(now) => write!(f, "is called `{now}` on the host"),
            LinkFault::EndDown => f.write_str("is down on the host"),
            LinkFault::Detached(bridge) => write!(f, "is no port of `{bridge}`"),
        }
    }
}

impl LinkSpec {
    /// Whether this and `other` are one link, which can become the other while it is there.
    #[must_use]
    pub fn is_same_link(&self, other: &LinkSpec) -> bool {
        // A veth moves from one bridge to another; a share of a link has its parent for life.
        self.network == other.network
            && self.host_name == other.host_name
            && self.way == other.way
            && (self.way == LinkWay::Bridge || self.parent == other.parent)
    }

    /// The link-layer address that it has of its own: a share that has its parent's has no other.
    #[must_use]
    pub fn own_mac(&self) -> Option<MacAddress> {
        match self.way {
            LinkWay::Bridge | LinkWay::Macvlan(_) => Some(self.mac),
            LinkWay::Ipvlan(_) => None,
        }
    }

    /// Whether a guest that was given `other` has it. Of what bridges do with their ports the guest knows nothing.
    #[must_use]
    pub fn is_given_as(&self, other: &LinkSpec) -> bool {
        *self == LinkSpec { port: self.port, ..other.clone() }
    }
}

impl GuestLink {
    /// The link `index` as it is when it has just been made as `spec`.
    #[must_use]
    pub fn just_made(spec: &LinkSpec, index: u32) -> GuestLink {
        GuestLink {
            index,
            name: spec.name.clone(),
            way: Some(spec.way),
            beyond: None,
            mac: spec.own_mac(),
            up: false,
            mtu: spec.mtu.unwrap_or(USUAL_MTU),
            addresses: Vec::new(),
            gateways: Vec::new(),
        }
    }
}

impl GuestNetwork {
    /// The link that `spec` is, whatever the guest has made of it. `host` are the host's links.
    ///
    /// What has been given a name or an address is known by neither: the guest's root may change both. What it hangs on
    /// may not be changed.
    #[must_use]
    pub fn find(&self, spec: &LinkSpec, host: &BTreeMap<String, LinkState>) -> Option<&GuestLink> {
        match spec.way {
            LinkWay::Bridge => self.find_port(spec, host),
            LinkWay::Macvlan(_) | LinkWay::Ipvlan(_) => self.find_share(spec, host),
        }
    }

    fn find_port(&self, spec: &LinkSpec, host: &BTreeMap<String, LinkState>) -> Option<&GuestLink> {
        let pairs = || self.links.iter().filter(|link| link.way == Some(LinkWay::Bridge));
        if let Some(end) = host.get(&spec.host_name) {
            return pairs().find(|link| self.is_end_of(end, link));
        }
        // The host's end has another name: whose it is, its own address tells, or the guest's end.
        let mac = Some(spec.host_mac());
        let found = pairs().find(|link| self.host_end(link, host).is_some_and(|(_, end)| end.mac == mac));
        // What the latter tells is the guest's choice, and is believed only of a pair that is known to lead here.
        self.number.map_or(found, |_| {
            found.or_else(|| pairs().find(|link| link.mac == Some(spec.mac) && self.host_end(link, host).is_some()))
        })
    }

    /// The host's end of the guest's `link`, with its name.
    #[must_use]
    pub fn host_end<'h>(
        &self,
        link: &GuestLink,
        host: &'h BTreeMap<String, LinkState>,
    ) -> Option<(&'h String, &'h LinkState)> {
        host.iter().find(|(_, end)| self.is_end_of(end, link))
    }

    /// Both must say so: in a third namespace, there may be a link of the same number. But the guest's root chooses the
    /// numbers of a pair of its own, and may choose those of somebody else's: only the namespace, where it is known, tells
    /// such a pair from the one that leads here.
    fn is_end_of(&self, end: &LinkState, link: &GuestLink) -> bool {
        let leads_here = match (end.namespace_beyond, self.number) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(beyond), Some(own)) => beyond == own,
        };
        let has_numbers = link.beyond == Some(end.index) && end.beyond == Some(link.index);
        end.kind == LinkKind::Veth && leads_here && has_numbers
    }

    /// Of several shares of one parent it is the one that looks most like it.
    fn find_share(&self, spec: &LinkSpec, host: &BTreeMap<String, LinkState>) -> Option<&GuestLink> {
        let parent = host.get(&spec.parent)?.index;
        let shares: Vec<&GuestLink> = self
            .links
            .iter()
            .filter(|link| link.beyond == Some(parent) && link.way.is_some_and(|way| way.is_kind_of(spec.way)))
            .collect();
        let is_of_another = |link: &GuestLink| {
            let others = self.given.iter().filter(|other| !other.is_same_link(spec));
            others.into_iter().any(|other| other.way.is_kind_of(spec.way) && is_like(link, other))
        };
        let by_name = shares.iter().find(|link| link.name == spec.name);
        let by_address = || shares.iter().find(|link| is_like(link, spec));
        let left = || shares.iter().find(|link| !is_of_another(link));
        by_name.or_else(by_address).or_else(left).copied()
    }

    /// In what ways the link that was made as `spec` is not so any more.
    #[must_use]
    pub fn faults(&self, spec: &LinkSpec, host: &BTreeMap<String, LinkState>) -> Vec<LinkFault> {
        let Some(link) = self.find(spec, host) else { return vec![LinkFault::Absent] };
        if link.way != Some(spec.way) {
            return vec![LinkFault::OtherWay];
        }
        let mut faults = self.host_faults(spec, link, host);
        if link.name != spec.name {
            faults.push(LinkFault::Renamed(link.name.clone()));
        }
        let own = spec.own_mac();
        faults.extend(link.mac.filter(|mac| own.is_some_and(|own| *mac != own)).map(LinkFault::OtherMac));
        if spec.mtu.is_some_and(|mtu| mtu != link.mtu) {
            faults.push(LinkFault::OtherMtu(link.mtu));
        }
        let missing = spec.addresses().filter(|address| !link.addresses.contains(address));
        faults.extend(missing.map(LinkFault::NoAddress));
        if link.up {
            let missing = spec.gateways().filter(|gateway| !link.gateways.contains(gateway));
            faults.extend(missing.map(LinkFault::NoRoute));
        } else {
            // Its routes went with it.
            faults.push(LinkFault::Down);
        }
        faults
    }

    fn host_faults(&self, spec: &LinkSpec, link: &GuestLink, host: &BTreeMap<String, LinkState>) -> Vec<LinkFault> {
        let mut faults = Vec::new();
        if spec.way != LinkWay::Bridge {
            return faults;
        }
        let named = host.get(&spec.host_name).map(|end| (&spec.host_name, end));
        let Some((name, end)) = named.or_else(|| self.host_end(link, host)) else { return faults };
        if *name != spec.host_name {
            faults.push(LinkFault::EndRenamed(name.clone()));
        }
        if !end.up {
            faults.push(LinkFault::EndDown);
        }
        if end.controller.as_ref() != Some(&spec.parent) {
            faults.push(LinkFault::Detached(spec.parent.clone()));
        }
        faults
    }

    /// Whether the guest's own loopback is up.
    #[must_use]
    pub fn has_loopback(&self) -> bool {
        self.links.iter().any(|link| link.index == LOOPBACK && link.up)
    }
}

/// `lo` is the first link of every network namespace (`LOOPBACK_IFINDEX` of the kernel).
pub const LOOPBACK: u32 = 1;

fn is_like(link: &GuestLink, spec: &LinkSpec) -> bool {
    let has_own = !matches!(spec.way, LinkWay::Ipvlan(_));
    link.name == spec.name || link.name == spec.host_name || has_own && link.mac == Some(spec.mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Ipv6Use, MacvlanMode, NetworkName, PortMode};

    fn spec(name: &str, way: LinkWay, parent: &str) -> LinkSpec {
        LinkSpec {
            network: NetworkName::default(),
            name: name.to_owned(),
            way,
            parent: parent.to_owned(),
            host_name: format!("fv-{name}"),
            address: "10.42.0.11/24".parse().ok(),
            gateway: "10.42.0.1".parse().ok(),
            address6: None,
            gateway6: None,
            mac: MacAddress::derive(&[name]),
            mtu: None,
            port: PortMode::default(),
        }
    }

    /// The link of `spec` as it is made, with its number `index`, which hangs on number `beyond`.
    fn made(spec: &LinkSpec, index: u32, beyond: u32) -> GuestLink {
        GuestLink {
            index,
            name: spec.name.clone(),
            way: Some(spec.way),
            beyond: Some(beyond),
            mac: Some(spec.mac),
            up: true,
            mtu: 1500,
            addresses: spec.addresses().collect(),
            gateways: spec.gateways().collect(),
        }
    }

    fn on_host(kind: LinkKind, index: u32, beyond: Option<u32>, controller: Option<&str>) -> LinkState {
        LinkState {
            index,
            beyond,
            namespace_beyond: beyond.map(|_| 3),
            kind,
            mac: None,
            up: true,
            speaks_arp: true,
            addresses: Vec::new(),
            controller: controller.map(str::to_owned),
            alias: None,
            mtu: 1500,
            group: 0,
            port: PortMode::default(),
            ipv6: Ipv6Use::Off,
            follows_router: false,
            loopback: false,
        }
    }

    fn network(given: &[LinkSpec], links: Vec<GuestLink>) -> GuestNetwork {
        GuestNetwork { number: None, given: given.to_vec(), links }
    }

    #[test]
    fn a_port_is_known_whatever_the_guest_makes_of_it_and_a_nested_ones_number_does_not_matter() {
        let spec = spec("eth0", LinkWay::Bridge, "br0");
        let host = [("fv-eth0".to_owned(), on_host(LinkKind::Veth, 40, Some(2), Some("br0")))].into();
        let whole = network(std::slice::from_ref(&spec), vec![made(&spec, 2, 40)]);
        assert_eq!(whole.faults(&spec, &host), vec![]);
        let mut link = made(&spec, 2, 40);
        "wan".clone_into(&mut link.name);
        (link.up, link.mac, link.gateways) = (false, Some(MacAddress([2; 6])), Vec::new());
        let nested = GuestLink { index: 9, name: "eth0".to_owned(), ..made(&spec, 9, 40) };
        let faults = network(std::slice::from_ref(&spec), vec![nested.clone(), link]).faults(&spec, &host);
        let expected = [LinkFault::Renamed("wan".to_owned()), LinkFault::OtherMac(MacAddress([2; 6])), LinkFault::Down];
        assert_eq!(faults, expected);
        assert_eq!(network(&[], vec![nested]).faults(&spec, &host), [LinkFault::Absent]);
    }

    #[test]
    fn a_hosts_end_with_another_name_is_known_by_its_address() {
        let spec = spec("eth0", LinkWay::Bridge, "br0");
        let end = LinkState { mac: Some(spec.host_mac()), up: false, ..on_host(LinkKind::Veth, 40, Some(2), None) };
        let host = [("renamed".to_owned(), end)].into();
        let faults = network(&[], vec![made(&spec, 2, 40)]).faults(&spec, &host);
        let expected =
            [LinkFault::EndRenamed("renamed".to_owned()), LinkFault::EndDown, LinkFault::Detached("br0".to_owned())];
        assert_eq!(faults, expected);
    }

    #[test]
    fn a_hosts_end_that_has_neither_name_nor_address_is_the_guests_only_if_it_leads_there() {
        let spec = spec("eth0", LinkWay::Bridge, "br0");
        let of_number = |number: Option<i32>, end: &LinkState| {
            let host = [("other".to_owned(), end.clone())].into();
            let guest = GuestNetwork { number, ..network(&[], vec![made(&spec, 2, 40)]) };
            guest.find(&spec, &host).map(|link| link.index)
        };
        let end = on_host(LinkKind::Veth, 40, Some(2), Some("br1"));
        assert_eq!(of_number(Some(3), &end), Some(2));
        // The numbers of another container's link, or of none that leads to any, are easily had.
        assert_eq!(of_number(Some(4), &end), None);
        assert_eq!(of_number(None, &end), None);
        assert_eq!(of_number(Some(3), &LinkState { kind: LinkKind::Other, ..end.clone() }), None);
        let beside = LinkState { namespace_beyond: None, mac: Some(spec.host_mac()), ..end };
        assert_eq!(of_number(None, &beside), None);
    }

    #[test]
    fn of_two_shares_of_one_parent_each_is_found() {
        let way = LinkWay::Macvlan(MacvlanMode::Bridge);
        let (first, second) = (
            spec("eth0", way, "wire0"),
            LinkSpec { network: "b".parse().expect("a name"), ..spec("eth1", way, "wire0") },
        );
        let host = [("wire0".to_owned(), on_host(LinkKind::Other, 7, None, None))].into();
        let mut renamed = made(&first, 2, 7);
        "x".clone_into(&mut renamed.name);
        renamed.mac = Some(MacAddress([2; 6]));
        let network = network(&[first.clone(), second.clone()], vec![renamed, made(&second, 3, 7)]);
        assert_eq!([&first, &second].map(|spec| network.find(spec, &host).map(|link| link.index)), [Some(2), Some(3)]);
        assert_eq!(network.find(&spec("eth2", way, "other0"), &host), None);
    }
}
