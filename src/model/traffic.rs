//! The packet rules that the networks of a fleet ask for.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;

use super::{
    Chain, Chains, ContainerSpec, Egress, Fleet, FleetName, Hook, IpFamily, NetworkName, NetworkSpec, PortForward,
    PortMode, Protocol, Rule, Segment,
};

/// The host's own loopback addresses.
const LOOPBACK: (Ipv4Addr, u8) = (Ipv4Addr::new(127, 0, 0, 0), 8);

/// What a network asks of the host's packet filter and its bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// The fleet that has it.
    pub fleet: FleetName,
    /// Its name.
    pub network: NetworkName,
    /// Its bridge.
    pub bridge: String,
    /// All of its chains.
    pub chains: Chains,
    /// Whether the bridge takes packets from and to the host's loopback addresses.
    pub loopback: bool,
    /// Ports of the bridge that it is to treat otherwise.
    pub ports: Vec<(String, PortMode)>,
}

impl Fleet {
    /// The chains of all its networks.
    #[must_use]
    pub fn chains(&self) -> Chains {
        self.networks_in_use().flat_map(|network| self.chains_of(network)).collect()
    }

    /// The chains of the rules of `network`, one of its own. Networks are judged each by its own, as if they were of
    /// different fleets.
    ///
    /// A rule looks at single packets, and at the direction of their connection rather than at its state: whoever
    /// reached out while it was allowed does not go on when it is no more.
    #[must_use]
    pub fn chains_of(&self, network: &NetworkSpec) -> Chains {
        let forwards: Vec<_> = self.forwards_to(network).collect();
        let segments = self.segments_of(network);
        let parts = [
            (Hook::Arriving, [on_segments(&segments), arriving(network, &forwards)].concat()),
            (Hook::Prerouting, published(forwards.iter().filter(|forward| forward.port.is_reachable()))),
            (Hook::Output, published(forwards.iter())),
            (Hook::Forward, [beyond_segments(&segments), to_oneself(network, &forwards), passing(network)].concat()),
            (Hook::Postrouting, leaving(network, &forwards)),
        ];
        let filled = parts.into_iter().filter(|(_, rules)| !rules.is_empty());
        let chain = |hook: Hook| hook.chain_of(self.name.as_str(), &network.name);
        filled.map(|(hook, rules)| (chain(hook), Chain { hook: Some(hook), rules })).collect()
    }

    /// The published ports that lead to containers by way of `network`.
    fn forwards_to(&self, network: &NetworkSpec) -> impl Iterator<Item = Forward<'_>> {
        let name = network.name.clone();
        let published = self.containers.iter().filter_map(|spec| Some((spec, self.published_link(spec)?)));
        let here = published.filter(move |(_, link)| link.network == name);
        here.flat_map(|(spec, link)| {
            let to = move |port| link.addresses().map(move |address| Forward { spec, address: address.addr(), port });
            spec.ports.iter().flat_map(to).filter(|forward| forward.port.is_of(forward.family()))
        })
    }

    /// Whether packets of `family` of its containers go through the host.
    #[must_use]
    pub fn needs_forwarding(&self, family: IpFamily) -> bool {
        self.networks_in_use().any(|network| self.passes_on(network, family))
    }

    /// Whether packets of `family` of the members of `network` go through the host.
    #[must_use]
    pub fn passes_on(&self, network: &NetworkSpec, family: IpFamily) -> bool {
        let is_published = || self.forwards_to(network).any(|forward| forward.family() == family);
        network.subnet_of(family).is_some() && (network.egress.reaches(family) || !network.nat || is_published())
    }

    /// Whether ports are published on the host's loopback addresses that lead to containers by way of `network`.
    #[must_use]
    pub fn is_on_loopback(&self, network: &NetworkSpec) -> bool {
        self.forwards_to(network).any(|forward| forward.is_on_loopback())
    }
}

/// A published port of a container, and the address that it leads to.
#[derive(Debug, Clone, Copy)]
struct Forward<'a> {
    spec: &'a ContainerSpec,
    address: IpAddr,
    port: &'a PortForward,
}

impl Forward<'_> {
    fn family(&self) -> IpFamily {
        IpFamily::of(self.address)
    }

    /// Whether it is published on the host's loopback addresses. On that of IPv6 nothing is: the kernel lets nothing that
    /// comes from another link go there, not even answers.
    fn is_on_loopback(&self) -> bool {
        self.family() == IpFamily::Ipv4 && self.port.is_on_loopback()
    }
}

/// Where a published port leads, as the comment of its rules.
#[must_use]
pub fn port_comment(spec: &ContainerSpec, port: &PortForward) -> String {
    Rule::new(format!("port {} to {}:{}", port.published(), spec.name, port.guest)).comment
}

fn loopback() -> Ipv4Net {
    Ipv4Net::new_assert(LOOPBACK.0, LOOPBACK.1)
}

/// Where bridges show their packets to the packet filter, it sees those of a segment twice, as the host's own bridge is
/// behind the segment's: they are judged and translated there, as on the way of everybody else.
fn on_segments(segments: &[Segment]) -> Vec<Rule> {
    let rule =
        |segment: &Segment| Rule::new("members on the way to their network").from_link(&segment.bridge).untracked();
    segments.iter().map(rule).collect()
}

/// The host has no business on a segment's bridge. A member that finds out the bridge's link-layer address must not get
/// past the rules of its network by sending there.
fn beyond_segments(segments: &[Segment]) -> Vec<Rule> {
    let out = |segment: &Segment| {
        Rule::new("past their network").from_link(&segment.bridge).not_to_link(&segment.bridge).drop()
    };
    segments.iter().map(out).collect()
}

/// A bridge that takes packets from and to the loopback addresses would open to the guests what listens there.
fn arriving(network: &NetworkSpec, forwards: &[Forward<'_>]) -> Vec<Rule> {
    if !forwards.iter().any(Forward::is_on_loopback) {
        return Vec::new();
    }
    let from_bridge = || Rule::new("the host's loopback is its own").from_link(&network.bridge);
    vec![from_bridge().destination(loopback()).drop(), from_bridge().source(loopback()).drop()]
}

fn published<'a>(forwards: impl Iterator<Item = &'a Forward<'a>>) -> Vec<Rule> {
    forwards.flat_map(published_port).collect()
}

/// A range that keeps its numbers is one rule; of another each port has its own.
fn published_port(forward: &Forward<'_>) -> Vec<Rule> {
    let Forward { spec, address, port } = *forward;
    let to_host = || {
        let rule = Rule::new(port_comment(spec, port)).family(forward.family());
        match (port.only_address(), forward.family()) {
            (Some(own), _) => rule.destination(own),
            (None, IpFamily::Ipv4) => rule,
            // Who asks there is to be refused at once, and to try 127.0.0.1.
            (None, IpFamily::Ipv6) => rule.not_destination(IpAddr::from(Ipv6Addr::LOCALHOST)),
        }
        .to_host()
        .protocol(port.protocol)
    };
    if port.host == port.guest {
        return vec![to_host().ports(port.host..=port.last()).send_to(address, None)];
    }
    let one = |place: u16| {
        let ports = port.host + place..=port.host + place;
        to_host().ports(ports).send_to(address, Some(port.guest + place))
    };
    (0..port.count).map(one).collect()
}

fn passing(network: &NetworkSpec) -> Vec<Rule> {
    let mut rules = between_members(network);
    rules.extend(reaching_out(network));
    rules.extend(reaching_in(network));
    rules
}

/// An isolated member reaches its own published ports, if no others'. Where bridges show their packets to the packet filter
/// (`bridge-nf-call-iptables`) it does not: such a bridge turns to its own ports at once what a published port leads to one
/// of them, and isolation ends it there.
fn to_oneself(network: &NetworkSpec, forwards: &[Forward<'_>]) -> Vec<Rule> {
    if !network.isolated {
        return Vec::new();
    }
    let own: BTreeSet<IpAddr> =
        forwards.iter().filter(|forward| forward.port.is_reachable()).map(|forward| forward.address).collect();
    let to_itself = |address: IpAddr| {
        let rule = Rule::new("a member's own published ports").from_link(&network.bridge).to_link(&network.bridge);
        rule.source(address).destination(address).sent_elsewhere().accept()
    };
    own.into_iter().map(to_itself).collect()
}

/// The host passes on what members send to each other's addresses by way of it, past the isolation of their ports.
/// Where bridges show their packets to the packet filter, it sees all that they send.
fn between_members(network: &NetworkSpec) -> Vec<Rule> {
    let comment = if network.isolated { "members are isolated" } else { "members reach each other" };
    let between = Rule::new(comment).from_link(&network.bridge).to_link(&network.bridge);
    vec![if network.isolated { between.drop() } else { between.accept() }]
}

fn reaching_out(network: &NetworkSpec) -> Vec<Rule> {
    let out = |comment: &str| Rule::new(comment).from_link(&network.bridge);
    let mut rules =
        vec![out("replies").replies().accept(), out("errors").related().accept(), out("strays").unfitting().drop()];
    rules.extend(IpFamily::ALL.map(|family| match network.subnet_of(family) {
        Some(subnet) => out("others' addresses").not_source(subnet).drop(),
        None => out(&format!("no {family}")).family(family).drop(),
    }));
    match &network.egress {
        Egress::All => {
            rules.push(out("published ports of other fleets").to_fleets().sent_elsewhere().accept());
            rules.push(out("other fleets").to_fleets().drop());
        }
        Egress::None => rules.push(out("egress none").drop()),
        Egress::Only(destinations) => {
            for destination in destinations {
                let to = || out(&format!("egress {destination}")).destination(destination.net);
                match destination.port {
                    None => rules.push(to().accept()),
                    Some(port) => rules.extend(
                        [Protocol::Tcp, Protocol::Udp]
                            .map(|protocol| to().protocol(protocol).ports(port..=port).accept()),
                    ),
                }
            }
            rules.push(out("egress nowhere else").drop());
        }
    }
    rules
}

fn reaching_in(network: &NetworkSpec) -> Vec<Rule> {
    let to_them = |comment: &str| Rule::new(comment).to_link(&network.bridge);
    let mut rules = vec![
        to_them("replies").replies().accept(),
        to_them("errors").related().accept(),
        to_them("published ports").sent_elsewhere().accept(),
    ];
    // Without translation the containers are hosts of their own, to everybody but other fleets.
    rules.push(if network.nat {
        to_them("nothing else is published").drop()
    } else {
        to_them("other fleets").from_fleets().drop()
    });
    rules
}

fn leaving(network: &NetworkSpec, forwards: &[Forward<'_>]) -> Vec<Rule> {
    let mut rules = Vec::new();
    if network.nat && network.egress != Egress::None {
        let nat = |subnet| Rule::new("nat").source(subnet).not_to_link(&network.bridge).masquerade();
        rules.extend(network.subnets().map(nat));
    }
    for family in IpFamily::ALL.into_iter().filter(|family| forwards.iter().any(|forward| forward.family() == *family))
    {
        // The answer must come back by way of the host.
        let from_a_member =
            |subnet| Rule::new("published ports, from a member").source(subnet).to_link(&network.bridge);
        rules.extend(network.subnet_of(family).map(|subnet| from_a_member(subnet).sent_elsewhere().masquerade()));
    }
    if forwards.iter().any(Forward::is_on_loopback) {
        // Nobody else knows who 127.0.0.1 is.
        let rule = Rule::new("published ports, from the host's loopback").source(loopback());
        rules.push(rule.to_link(&network.bridge).masquerade());
    }
    rules
}
