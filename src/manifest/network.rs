//! A network of the fleet file: its subnet, bridge and name servers, and who reaches whom.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};

use super::findings::Complaint;
use super::keys;
use super::node::{Entry, Placed, Span, Value};
use super::reader::{Reader, Setting, item_place};
use super::scalar;
use super::way::WayKeys;
use crate::model::{
    Destination, Egress, FleetName, LinkWay, NetworkName, NetworkSpec, OuterNetwork, bridge_mac, stable_hash,
};

/// The shortest and the longest prefix of a subnet: `/8` is the largest private one, `/29` leaves five containers.
const PREFIXES: std::ops::RangeInclusive<u8> = 8..=29;

/// What no link of a host can have (RFC 6890): this network, loopback, link-local, multicast and reserved.
const UNUSABLE: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// The keys of `network`.
#[derive(Debug, Default)]
pub(super) struct NetworkKeys {
    pub(super) subnet: Setting<Ipv4Net>,
    bridge: Setting<String>,
    dns: Setting<Vec<IpAddr>>,
    nat: Setting<bool>,
    isolated: Setting<bool>,
    egress: Setting<Egress>,
    mtu: Setting<u32>,
    pub(super) way: WayKeys,
}

impl NetworkKeys {
    /// Reads them from the mapping that `entry` has, called `what`.
    pub(super) fn read(reader: &mut Reader, what: &str, entry: &Entry) -> NetworkKeys {
        let Some(network) = reader.section(what, entry.key.span, &entry.node, &keys::NETWORK) else {
            return NetworkKeys { subnet: Setting::Wrong, ..NetworkKeys::default() };
        };
        let nat = network.scalar(reader, "nat", scalar::truth);
        NetworkKeys {
            subnet: network.scalar(reader, "subnet", subnet),
            bridge: network.scalar(reader, "bridge", scalar::bridge),
            dns: network.setting(reader, "dns", name_servers),
            isolated: network.scalar(reader, "isolated", scalar::truth),
            egress: network.setting(reader, "egress", |reader, entry| egress(reader, entry, &nat)),
            mtu: network.scalar(reader, "mtu", mtu),
            way: WayKeys::read(reader, what, &network),
            nat,
        }
    }

    /// The network `name` of the fleet `fleet` with `subnet`, all else that is not given being derived.
    pub(super) fn spec(&self, fleet: &FleetName, name: &NetworkName, scope: &str, subnet: Ipv4Net) -> NetworkSpec {
        let parts = derivation(&["bridge", scope, fleet.as_str()], name);
        let bridge = self.bridge.value().cloned();
        NetworkSpec {
            name: name.clone(),
            bridge: bridge.unwrap_or_else(|| format!("fb{}", hex(&parts, 5))),
            mac: bridge_mac(scope, fleet, name),
            subnet,
            gateway: gateway(subnet),
            subnet6: None,
            dns: self.dns.value().cloned().unwrap_or_default(),
            nat: self.nat.value().copied().unwrap_or(true),
            isolated: self.isolated.value().copied().unwrap_or(false),
            egress: self.egress.value().cloned().unwrap_or_default(),
            mtu: self.mtu.value().copied(),
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
            subnet: self.subnet.value().copied(),
            gateway: self.way.gateway.value().copied(),
            dns: self.dns.value().cloned().unwrap_or_default(),
            mtu: self.mtu.value().copied(),
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

/// `mtu`: what every host of an IPv4 network must take (RFC 791), and the longest that an IPv4 packet can be.
fn mtu(text: &str) -> Result<u32, Complaint> {
    scalar::whole(text, 68, 65_535)
}

/// Whether the subnets share addresses.
pub(super) fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

/// The first host address of `subnet`: the host's own.
pub(super) fn gateway(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()) + 1)
}

/// The first `bytes` bytes of the hash of `parts` in hexadecimal.
pub(super) fn hex(parts: &[&str], bytes: usize) -> String {
    use std::fmt::Write;
    stable_hash(parts).iter().take(bytes).fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// The 16384 subnets in the third quarter of 10.0.0.0/8, far from the low numbers that people choose, from the one on
/// that is the network's by its name.
pub(super) fn derived_subnets(fleet: &str, network: &NetworkName) -> impl Iterator<Item = Ipv4Net> {
    let hash = stable_hash(&derivation(&["subnet", fleet], network));
    let first = u16::from_be_bytes([hash[0] % 64, hash[1]]);
    (0..1 << 14).map(move |step| {
        let [high, low] = ((first + step) % (1 << 14)).to_be_bytes();
        Ipv4Net::new_assert(Ipv4Addr::new(10, 128 + high, low, 0), 24)
    })
}

fn subnet(text: &str) -> Result<Ipv4Net, Complaint> {
    let subnet: Ipv4Net = text
        .parse()
        .map_err(|_| Complaint::new(format!("`{text}` is not an IPv4 subnet")).hint("write it as `10.42.0.0/24`"))?;
    if !PREFIXES.contains(&subnet.prefix_len()) {
        let range = format!("from /{} to /{}", PREFIXES.start(), PREFIXES.end());
        return Err(Complaint::new(format!("a fleet's subnet has a prefix {range}, not /{}", subnet.prefix_len())));
    }
    if subnet.trunc() != subnet {
        let complaint = Complaint::new(format!("`{text}` is an address inside a subnet"));
        return Err(complaint.hint(format!("did you mean `{}`?", subnet.trunc())));
    }
    let unusable = UNUSABLE.map(|(address, prefix)| Ipv4Net::new_assert(address, prefix));
    if let Some(taken) = unusable.iter().find(|taken| taken.contains(&subnet) || subnet.contains(*taken)) {
        let complaint = Complaint::new(format!("`{text}` cannot be a fleet's subnet: {taken} is set aside (RFC 6890)"));
        return Err(complaint.hint("choose one inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"));
    }
    Ok(subnet)
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
fn egress(reader: &mut Reader, entry: &Entry, nat: &Setting<bool>) -> Option<Egress> {
    if let Value::List(items) = &entry.node.value {
        if items.is_empty() {
            let complaint = Complaint::new("`egress` names nothing that may be reached");
            reader.complain(entry.place(), complaint.hint("write `egress: none`"));
            return None;
        }
        let mut destinations = Vec::with_capacity(items.len());
        for node in items {
            let text = reader.item("a destination", entry.key.span, node);
            destinations
                .extend(text.and_then(|text| reader.accept(item_place(entry.key.span, node), destination(text))));
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
    if net.addr().is_ipv6() {
        return Err(bad("containers have IPv4 only"));
    }
    if net.trunc() != net {
        return Err(bad("it is an address inside a subnet").hint(format!("did you mean `{}`?", net.trunc())));
    }
    Ok(Destination { net, port })
}
