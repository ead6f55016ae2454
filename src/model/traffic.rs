//! The packet rules that a fleet asks for.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{Chain, Chains, ContainerSpec, Egress, Fleet, FleetName, Hook, NetworkSpec, PortForward, Protocol, Rule};

/// The host's own loopback addresses.
const LOOPBACK: (Ipv4Addr, u8) = (Ipv4Addr::new(127, 0, 0, 0), 8);

/// What a fleet asks of the host's packet filter and its bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Whose it is.
    pub fleet: FleetName,
    /// Its bridge.
    pub bridge: String,
    /// All of its chains.
    pub chains: Chains,
    /// Whether the bridge takes packets from and to the host's loopback addresses.
    pub loopback: bool,
    /// Ports of the bridge that are to be kept from each other, or no longer.
    pub ports: Vec<(String, bool)>,
}

impl Fleet {
    /// The chains of its rules; none if it has no containers.
    ///
    /// A rule looks at single packets, and at the direction of their connection rather than at its state: whoever
    /// reached out while it was allowed does not go on when it is no more.
    #[must_use]
    pub fn chains(&self) -> Chains {
        if self.containers.is_empty() {
            return Chains::new();
        }
        let forwards: Vec<_> =
            self.containers.iter().flat_map(|spec| spec.ports.iter().map(move |port| (spec, port))).collect();
        let parts = [
            (Hook::Arriving, arriving(&self.network, &forwards)),
            (Hook::Prerouting, published(forwards.iter().filter(|(_, port)| port.is_reachable()))),
            (Hook::Output, published(forwards.iter())),
            (Hook::Forward, passing(&self.network)),
            (Hook::Postrouting, leaving(&self.network, &forwards)),
        ];
        let filled = parts.into_iter().filter(|(_, rules)| !rules.is_empty());
        filled.map(|(hook, rules)| (hook.chain_of(self.name.as_str()), Chain { hook: Some(hook), rules })).collect()
    }

    /// Whether packets of its containers go through the host.
    #[must_use]
    pub fn needs_forwarding(&self) -> bool {
        let reaches_out = self.network.egress != Egress::None;
        let is_reached = !self.network.nat || self.containers.iter().any(|spec| !spec.ports.is_empty());
        !self.containers.is_empty() && (reaches_out || is_reached)
    }

    /// Whether it publishes ports on the host's loopback addresses.
    #[must_use]
    pub fn is_on_loopback(&self) -> bool {
        self.containers.iter().flat_map(|spec| &spec.ports).any(PortForward::is_on_loopback)
    }
}

type Forward<'a> = (&'a ContainerSpec, &'a PortForward);

/// Where a published port leads, as the comment of its rules.
#[must_use]
pub fn port_comment(spec: &ContainerSpec, port: &PortForward) -> String {
    format!("port {} to {}:{}", port.published(), spec.name, port.guest)
}

fn loopback() -> Ipv4Net {
    Ipv4Net::new_assert(LOOPBACK.0, LOOPBACK.1)
}

/// A bridge that takes packets from and to the loopback addresses would open to the guests what listens there.
fn arriving(network: &NetworkSpec, forwards: &[Forward<'_>]) -> Vec<Rule> {
    if !forwards.iter().any(|(_, port)| port.is_on_loopback()) {
        return Vec::new();
    }
    let from_bridge = || Rule::new("the host's loopback is its own").from_link(&network.bridge).ipv4();
    vec![from_bridge().destination(loopback()).drop(), from_bridge().source(loopback()).drop()]
}

fn published<'a>(forwards: impl Iterator<Item = &'a Forward<'a>>) -> Vec<Rule> {
    forwards.flat_map(|(spec, port)| published_port(spec, port)).collect()
}

/// A range that keeps its numbers is one rule; of another each port has its own.
fn published_port(spec: &ContainerSpec, port: &PortForward) -> Vec<Rule> {
    let address = spec.link.address.addr();
    let to_host = || {
        let rule = Rule::new(port_comment(spec, port)).ipv4();
        match port.address {
            Some(own) => rule.destination(Ipv4Net::from(own)),
            None => rule,
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

/// The host passes on what members send to each other's addresses by way of it, past the isolation of their ports.
/// Where bridges show their packets to the packet filter (`bridge-nf-call-iptables`), it sees all that they send. Such a
/// bridge turns to its own ports at once what a published port leads to one of them, and isolation ends it there, which
/// is why published ports are nothing for isolated members anywhere.
fn between_members(network: &NetworkSpec) -> Vec<Rule> {
    let comment = if network.isolated { "members are isolated" } else { "members reach each other" };
    let between = Rule::new(comment).from_link(&network.bridge).to_link(&network.bridge);
    vec![if network.isolated { between.drop() } else { between.accept() }]
}

fn reaching_out(network: &NetworkSpec) -> Vec<Rule> {
    let out = |comment: &str| Rule::new(comment).from_link(&network.bridge);
    let mut rules = vec![
        out("replies").replies().accept(),
        out("errors").related().accept(),
        out("strays").unfitting().drop(),
        out("no IPv6").not_ipv4().drop(),
        out("others' addresses").ipv4().not_source(network.subnet).drop(),
    ];
    match &network.egress {
        Egress::All => {
            rules.push(out("published ports of other fleets").to_fleets().sent_elsewhere().accept());
            rules.push(out("other fleets").to_fleets().drop());
        }
        Egress::None => rules.push(out("egress none").drop()),
        Egress::Only(destinations) => {
            for destination in destinations {
                let to = || out(&format!("egress {destination}")).ipv4().destination(destination.net);
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
        rules.push(Rule::new("nat").ipv4().source(network.subnet).not_to_link(&network.bridge).masquerade());
    }
    if !forwards.is_empty() {
        // The answer must come back by way of the host.
        let rule = Rule::new("published ports, from a member").ipv4().source(network.subnet).to_link(&network.bridge);
        rules.push(rule.sent_elsewhere().masquerade());
    }
    if forwards.iter().any(|(_, port)| port.is_on_loopback()) {
        // Nobody else knows who 127.0.0.1 is.
        let rule = Rule::new("published ports, from the host's loopback").ipv4().source(loopback());
        rules.push(rule.to_link(&network.bridge).masquerade());
    }
    rules
}
