//! A network of the fleet file: its subnet, bridge and name servers, and who reaches whom.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::findings::Complaint;
use super::keys;
use super::node::{Entry, Placed, Span, Value};
use super::reader::{Reader, Setting, item_place};
use super::scalar;
use super::subnet::{self, Subnet6};
use super::way::WayKeys;
use crate::model::{
    Destination, Egress, FleetName, IpFamily, LinkWay, MEMBERS_PER_BRIDGE, NetworkName, NetworkSpec, OuterNetwork,
    PerFamily, bridge_mac, stable_hash,
};

/// The keys of `network`.
#[derive(Debug, Default)]
pub(super) struct NetworkKeys {
    pub(super) subnet: Setting<Ipv4Net>,
    pub(super) subnet6: Setting<Subnet6>,
    bridge: Setting<String>,
    dns: Setting<Vec<IpAddr>>,
    nat: Setting<bool>,
    isolated: Setting<bool>,
    egress: Setting<Egress>,
    mtu: Setting<u32>,
    members_per_bridge: Setting<u32>,
    pub(super) way: WayKeys,
}

impl NetworkKeys {
    /// Reads them from the mapping that `entry` has, called `what`.
    pub(super) fn read(reader: &mut Reader, what: &str, entry: &Entry) -> NetworkKeys {
        let Some(network) = reader.section(what, entry.key.span, &entry.node, &keys::NETWORK) else {
            return NetworkKeys { subnet: Setting::Wrong, subnet6: Setting::Wrong, ..NetworkKeys::default() };
        };
        let nat = network.scalar(reader, "nat", scalar::truth);
        let subnet6 = network.scalar(reader, "subnet6", subnet::subnet6);
        let keys = NetworkKeys {
            subnet: network.scalar(reader, "subnet", subnet::subnet),
            bridge: network.scalar(reader, "bridge", scalar::bridge),
            dns: network.setting(reader, "dns", name_servers),
            isolated: network.scalar(reader, "isolated", scalar::truth),
            egress: network.setting(reader, "egress", |reader, entry| egress(reader, entry, &nat, &subnet6)),
            mtu: network.scalar(reader, "mtu", mtu),
            members_per_bridge: network.scalar(reader, "members_per_bridge", members_per_bridge),
            way: WayKeys::read(reader, what, &network),
            nat,
            subnet6,
        };
        keys.check_mtu(reader);
        keys
    }

    /// The network `name` of the fleet `fleet` with these subnets, all else that is not given being derived.
    pub(super) fn spec(
        &self,
        fleet: &FleetName,
        name: &NetworkName,
        scope: &str,
        subnet: Ipv4Net,
        subnet6: Option<Ipv6Net>,
    ) -> NetworkSpec {
        let parts = derivation(&["bridge", scope, fleet.as_str()], name);
        let bridge = self.bridge.value().cloned();
        NetworkSpec {
            name: name.clone(),
            bridge: bridge.unwrap_or_else(|| format!("fb{}", hex(&parts, 5))),
            mac: bridge_mac(scope, fleet, name),
            subnet,
            gateway: Ipv4Addr::from(u32::from(subnet.network()) + 1),
            subnet6,
            dns: self.dns.value().cloned().unwrap_or_default(),
            nat: self.nat.value().copied().unwrap_or(true),
            isolated: self.isolated.value().copied().unwrap_or(false),
            egress: self.egress.value().cloned().unwrap_or_default(),
            mtu: self.mtu.value().copied(),
            members_per_bridge: self.members_per_bridge.value().copied().unwrap_or(MEMBERS_PER_BRIDGE),
        }
    }

    /// The network `name`, which `parent` leads to in the way `way`. What is said of it that only a bridge of fleet's own
    /// can have is a finding.
    pub(super) fn outer(&self, reader: &mut Reader, name: &NetworkName, way: LinkWay, parent: &str) -> OuterNetwork {
        let given = [
            ("bridge", self.bridge.given().map(|bridge| bridge.span)),
            ("nat", self.nat.given().map(|nat| nat.span)),
            ("isolated", self.isolated.given().map(|isolated| isolated.span)),
            ("egress", self.egress.given().map(|egress| egress.span)),
            ("members_per_bridge", self.members_per_bridge.given().map(|members| members.span)),
        ];
        for (key, place) in given {
            if let Some(place) = place {
                let complaint = Complaint::new(format!("`{key}` goes with a bridge of fleet's own, not with `parent`"));
                reader.complain(place, complaint.hint("leave one of them out"));
            }
        }
        OuterNetwork {
            name: name.clone(),
            way,
            parent: parent.to_owned(),
            subnets: PerFamily {
                ipv4: self.subnet.value().copied().map(IpNet::from),
                ipv6: self.subnet6_of_outer(reader).map(IpNet::from),
            },
            gateways: PerFamily::each(|family| self.way.gateway(family).map(|(gateway, _)| gateway)),
            dns: self.dns.value().cloned().unwrap_or_default(),
            mtu: self.mtu.value().copied(),
        }
    }

    /// One that is derived is nothing where others are already.
    fn subnet6_of_outer(&self, reader: &mut Reader) -> Option<Ipv6Net> {
        let given = self.subnet6.given()?;
        match given.value {
            Subnet6::Given(subnet) => Some(subnet),
            Subnet6::Auto => {
                let complaint = Complaint::new("`subnet6: auto` goes with a bridge of fleet's own, not with `parent`");
                reader.complain(given.span, complaint.hint("write the subnet that the network has"));
                None
            }
        }
    }

    /// Finds packets that are too short for what is spoken: a link that takes no longer ones has no IPv6 (RFC 8200, 5).
    fn check_mtu(&self, reader: &mut Reader) {
        if let (Setting::Given(mtu), false) = (&self.mtu, self.subnet6.is_absent())
            && mtu.value < SHORTEST_MTU6
        {
            let message = format!("`mtu` {} is too short for IPv6, which takes {SHORTEST_MTU6} at least", mtu.value);
            reader.complain(mtu.span, Complaint::new(message).hint("leave `mtu` or `subnet6` out"));
        }
    }

    /// Whether something is said of its subnet of `family` that is a finding.
    pub(super) fn has_wrong_subnet(&self, family: IpFamily) -> bool {
        match family {
            IpFamily::Ipv4 => matches!(self.subnet, Setting::Wrong),
            IpFamily::Ipv6 => match &self.subnet6 {
                Setting::Wrong => true,
                // Nobody knows what others have.
                Setting::Given(subnet) => subnet.value == Subnet6::Auto,
                Setting::Absent => false,
            },
        }
    }

    /// Where the name of the bridge is given.
    pub(super) fn bridge_place(&self) -> Option<Span> {
        self.bridge.given().map(|bridge| bridge.span)
    }
}

/// What is derived of a network: of the default one as it was before there were others.
pub(super) fn derivation<'p>(parts: &[&'p str], network: &'p NetworkName) -> Vec<&'p str> {
    let name = (!network.is_default()).then_some(network.as_str());
    parts.iter().copied().chain(name).collect()
}

/// RFC 8200, 5.
const SHORTEST_MTU6: u32 = 1280;

/// `mtu`: what every host of an IPv4 network must take (RFC 791), and the longest that an IPv4 packet can be.
fn mtu(text: &str) -> Result<u32, Complaint> {
    scalar::whole(text, 68, 65_535)
}

/// `members_per_bridge`: at most what leaves ports for the pairs to segments.
fn members_per_bridge(text: &str) -> Result<u32, Complaint> {
    scalar::whole(text, 1, MEMBERS_PER_BRIDGE)
}

/// The first `bytes` bytes of the hash of `parts` in hexadecimal.
pub(super) fn hex(parts: &[&str], bytes: usize) -> String {
    use std::fmt::Write;
    stable_hash(parts).iter().take(bytes).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

fn name_servers(reader: &mut Reader, entry: &Entry) -> Option<Vec<IpAddr>> {
    let mut servers = Vec::new();
    for node in reader.list(entry)? {
        let place: Span = item_place(entry.key.span, node);
        let text = reader.item("a name server", entry.key.span, node);
        servers.extend(text.and_then(|text| reader.accept(place, scalar::name_server(text))));
    }
    Some(servers)
}

/// `nat`, `none` or a list.
fn egress(reader: &mut Reader, entry: &Entry, nat: &Setting<bool>, subnet6: &Setting<Subnet6>) -> Option<Egress> {
    if let Value::List(items) = &entry.node.value {
        if items.is_empty() {
            let complaint = Complaint::new("`egress` names nothing that may be reached");
            reader.complain(entry.place(), complaint.hint("write `egress: none`"));
            return None;
        }
        let mut destinations = Vec::with_capacity(items.len());
        for node in items {
            let Some(text) = reader.item("a destination", entry.key.span, node) else { continue };
            let place = item_place(entry.key.span, node);
            let Some(destination) = reader.accept(place, destination(text)) else { continue };
            if destination.net.addr().is_ipv6() && subnet6.is_absent() {
                let complaint = Complaint::new(format!("nobody reaches `{text}` from a network without a `subnet6`"));
                reader.complain(place, complaint.hint("write `subnet6: auto`"));
            }
            destinations.push(destination);
        }
        return Some(Egress::Only(destinations));
    }
    let text = reader.text(entry)?;
    let parsed = match (text, nat) {
        ("none", _) => Ok(Egress::None),
        ("nat", Setting::Given(Placed { value: false, .. })) => {
            Err(Complaint::new("`egress: nat` contradicts `nat: false`").hint("leave one of them out"))
        }
        ("nat", _) => Ok(Egress::All),
        (other, _) => Err(Complaint::new(format!("`{other}` is no `egress`"))
            .hint("write `nat`, `none`, or a list such as `[10.0.0.0/8, 192.0.2.7:443]`")),
    };
    reader.accept(entry.place(), parsed)
}

/// `10.0.0.0/8`, `192.0.2.7` or either with `:443`; `fd00::/8`, `2001:db8::1`, `[2001:db8::1]:443`.
fn destination(text: &str) -> Result<Destination, Complaint> {
    let bad = |why: &str| Complaint::new(format!("`{text}` is no destination: {why}"));
    let (hosts, port) = match text.rsplit_once(':') {
        // Of IPv6, `]` ends the address before a port.
        Some((hosts, port)) if hosts.ends_with(']') || !hosts.contains(':') => (hosts, Some(port)),
        Some(_) | None => (text, None),
    };
    let port = match port.map(|port| port.parse::<u16>().ok().filter(|port| *port > 0)) {
        Some(None) => return Err(bad("the port is a whole number from 1 to 65535")),
        Some(port) => port,
        None => None,
    };
    let hosts = hosts.strip_prefix('[').and_then(|hosts| hosts.strip_suffix(']')).unwrap_or(hosts);
    let net = match hosts.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => hosts.parse::<IpNet>().map_err(|_| {
            let names = !hosts.contains(':') && hosts.contains(|c: char| c.is_ascii_alphabetic());
            let hint = "write an address or subnet, `192.0.2.7`, `192.0.2.7:443` or `10.0.0.0/8`";
            let why = if names { "packets have addresses, not names" } else { "it is neither an address nor a subnet" };
            bad(why).hint(hint)
        })?,
    };
    if net.trunc() != net {
        return Err(bad("it is an address inside a subnet").hint(format!("did you mean `{}`?", net.trunc())));
    }
    Ok(Destination { net, port })
}
