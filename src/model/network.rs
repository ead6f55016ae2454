//! The networks of a fleet and the links of a container to them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::{FleetName, IpFamily, Ipv6Use, NetworkName, PerFamily, stable_hash};

/// How long packets are on a link of which nothing is said (`ETH_DATA_LEN`).
pub const USUAL_MTU: u32 = 1500;

/// A link-layer address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// A locally administered unicast address derived from `parts`.
    #[must_use]
    pub fn derive(parts: &[&str]) -> MacAddress {
        let hash = stable_hash(parts);
        MacAddress::local([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5]])
    }

    /// A locally administered unicast address (IEEE 802, bits 1 and 0 of the first byte) that is otherwise `bytes`.
    #[must_use]
    pub fn local([first, rest @ ..]: [u8; 6]) -> MacAddress {
        let [second, third, fourth, fifth, sixth] = rest;
        MacAddress([(first & 0xfc) | 0x02, second, third, fourth, fifth, sixth])
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

impl FromStr for MacAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not a MAC address like 02:00:5e:10:00:01");
        let bytes: Vec<u8> =
            text.split(':').map(|pair| u8::from_str_radix(pair, 16)).collect::<Result<_, _>>().map_err(|_| bad())?;
        Ok(MacAddress(bytes.try_into().map_err(|_| bad())?))
    }
}

impl TryFrom<String> for MacAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<MacAddress> for String {
    fn from(mac: MacAddress) -> String {
        mac.to_string()
    }
}

/// A network of a fleet, as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Its name.
    pub name: NetworkName,
    /// Name of the bridge on the host, at most 15 bytes (`IFNAMSIZ` less its end).
    pub bridge: String,
    /// The bridge's own address, which marks it as this fleet's: nothing else has it by chance.
    pub mac: MacAddress,
    /// The subnet, with its network address.
    pub subnet: Ipv4Net,
    /// The host's address on the bridge, the containers' gateway: the subnet's first.
    pub gateway: Ipv4Addr,
    /// The IPv6 subnet, with its network address, if there is one; the host has its first address, too.
    pub subnet6: Option<Ipv6Net>,
    /// Name servers for the guests; empty means those of the host.
    pub dns: Vec<IpAddr>,
    /// Whether the host stands in for the containers where they reach out, so that nobody needs a route to them; nobody
    /// outside reaches more of them than their published ports then.
    pub nat: bool,
    /// Whether the containers are kept from each other.
    pub isolated: bool,
    /// Where the containers may reach out to.
    pub egress: Egress,
    /// How long packets may be, in bytes; whatever is usual if nothing is given.
    pub mtu: Option<u32>,
    /// So many members are ports of one bridge; for those beyond, it has segments.
    pub members_per_bridge: u32,
}

/// A network that the host has without fleet, as asked for. Nothing of it is ever made, changed or removed, and no packet
/// rule of fleet's looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OuterNetwork {
    /// Its name.
    pub name: NetworkName,
    /// How containers are linked to it.
    pub way: LinkWay,
    /// The host's link that leads to it.
    pub parent: String,
    /// Its subnets, with their network addresses; without one no container has an address of that family from fleet.
    pub subnets: PerFamily<Option<IpNet>>,
    /// The routers.
    pub gateways: PerFamily<Option<IpAddr>>,
    /// Name servers for the guests.
    pub dns: Vec<IpAddr>,
    /// How long packets may be, in bytes.
    pub mtu: Option<u32>,
}

/// How a guest's link leads to its network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkWay {
    /// A veth(4) pair whose host end is a port of a bridge.
    #[default]
    Bridge,
    /// A link-layer address of its own beside the parent's.
    Macvlan(MacvlanMode),
    /// An address of its own with the parent's link-layer address.
    Ipvlan(IpvlanMode),
}

/// Who of those with one parent reach each other (ip-link(8)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MacvlanMode {
    /// All do.
    #[default]
    Bridge,
    /// None do.
    Private,
    /// By way of the switch, if it sends back what it got.
    Vepa,
    /// There is only one.
    Passthru,
}

impl MacvlanMode {
    /// All of them, with the word that names each.
    pub const ALL: [(&'static str, MacvlanMode); 4] = [
        ("bridge", MacvlanMode::Bridge),
        ("private", MacvlanMode::Private),
        ("vepa", MacvlanMode::Vepa),
        ("passthru", MacvlanMode::Passthru),
    ];
}

/// Where packets of those with one parent are led (ip-link(8)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpvlanMode {
    /// As on a switch.
    #[default]
    L2,
    /// As by a router.
    L3,
    /// As by a router, and through the host's packet filter.
    L3s,
}

impl IpvlanMode {
    /// All of them, with the word that names each.
    pub const ALL: [(&'static str, IpvlanMode); 3] =
        [("l2", IpvlanMode::L2), ("l3", IpvlanMode::L3), ("l3s", IpvlanMode::L3s)];
}

impl LinkWay {
    /// Whether links of both ways are of one kind, whatever their modes.
    #[must_use]
    pub fn is_kind_of(self, other: LinkWay) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

impl NetworkSpec {
    /// Its subnet of `family`.
    #[must_use]
    pub fn subnet_of(&self, family: IpFamily) -> Option<IpNet> {
        match family {
            IpFamily::Ipv4 => Some(self.subnet.into()),
            IpFamily::Ipv6 => self.subnet6.map(IpNet::from),
        }
    }

    /// Its subnets.
    pub fn subnets(&self) -> impl Iterator<Item = IpNet> {
        IpFamily::ALL.into_iter().filter_map(|family| self.subnet_of(family))
    }

    /// The host's IPv6 address on the bridge.
    #[must_use]
    pub fn gateway6(&self) -> Option<Ipv6Addr> {
        self.subnet6.map(|subnet| Ipv6Addr::from(u128::from(subnet.network()) + 1))
    }

    /// The host's addresses on the bridge, each with its subnet's prefix length.
    pub fn host_addresses(&self) -> impl Iterator<Item = IpNet> {
        let gateways = [Some(IpAddr::from(self.gateway)), self.gateway6().map(IpAddr::from)];
        let both = gateways.into_iter().zip(IpFamily::ALL);
        both.filter_map(|(gateway, family)| IpNet::new(gateway?, self.subnet_of(family)?.prefix_len()).ok())
    }

    /// How long packets may be on the bridge, in bytes: on one that is told nothing, as long as on the links that are made
    /// for it.
    #[must_use]
    pub fn bridge_mtu(&self) -> u32 {
        self.mtu.unwrap_or(USUAL_MTU)
    }

    /// What the host does with IPv6 on the bridge.
    #[must_use]
    pub fn ipv6(&self) -> Ipv6Use {
        if self.subnet6.is_some() { Ipv6Use::Static } else { Ipv6Use::Off }
    }
}

/// Where containers may reach out to, beyond each other and the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Egress {
    /// Everywhere but to other fleets.
    #[default]
    All,
    /// Nowhere.
    None,
    /// Only there.
    Only(Vec<Destination>),
}

impl Egress {
    /// Whether some host of `family` may be reached.
    #[must_use]
    pub fn reaches(&self, family: IpFamily) -> bool {
        match self {
            Egress::All => true,
            Egress::None => false,
            Egress::Only(destinations) => {
                destinations.iter().any(|destination| IpFamily::of(destination.net.addr()) == family)
            }
        }
    }
}

/// Hosts that containers may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Their addresses.
    pub net: IpNet,
    /// The one port, of TCP and UDP; without it everything.
    pub port: Option<u16>,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_one = self.net.prefix_len() == self.net.max_prefix_len();
        let hosts = if is_one { self.net.addr().to_string() } else { self.net.to_string() };
        match (self.port, self.net) {
            (None, _) => f.write_str(&hosts),
            (Some(port), IpNet::V4(_)) => write!(f, "{hosts}:{port}"),
            // As in a URL (RFC 3986).
            (Some(port), IpNet::V6(_)) => write!(f, "[{hosts}]:{port}"),
        }
    }
}

/// The mark of the bridge of the network `network` of the fleet `fleet`, as the link's alias (`ip link set alias`): by it a
/// bridge is known whose network the fleet file names no more.
#[must_use]
pub fn bridge_mark(fleet: &FleetName, network: &NetworkName) -> String {
    format!("fleet {fleet}/{network}")
}

/// The link-layer address of that bridge under the root that `scope` stands for.
#[must_use]
pub fn bridge_mac(scope: &str, fleet: &FleetName, network: &NetworkName) -> MacAddress {
    let name = (!network.is_default()).then_some(network.as_str());
    let parts: Vec<&str> = ["bridge", scope, fleet.as_str()].into_iter().chain(name).collect();
    MacAddress::derive(&parts)
}

/// The bridge of a network, as found on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkState {
    /// No link of that name.
    Absent,
    /// Ours, up, with its address.
    Ready,
    /// Ours, but down, without its address, or not in the group of fleets' bridges.
    Broken,
    /// Somebody else's link.
    Foreign,
}

/// A link of a container. What the first version of fleet recorded has neither a network nor a name: those are the defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkSpec {
    /// The network that it leads to.
    #[serde(default)]
    pub network: NetworkName,
    /// Its name in the guest.
    #[serde(default = "LinkSpec::first_name")]
    pub name: String,
    /// How it leads there.
    #[serde(default)]
    pub way: LinkWay,
    /// The host's link that it hangs on: the bridge that its host end is a port of, or the one that it shares.
    #[serde(alias = "bridge")]
    pub parent: String,
    /// Name of the host end, at most 15 bytes, derived so that no two links of a host share it. Where there is no such end,
    /// the guest's is born under this name.
    pub host_name: String,
    /// The guest's address on it, with the subnet's prefix length.
    pub address: Option<Ipv4Net>,
    /// Where the guest's default route leads, if this is the link that has it.
    pub gateway: Option<Ipv4Addr>,
    /// The guest's IPv6 address on it, with the subnet's prefix length, if the network has a subnet for it. Without one the
    /// guest speaks no IPv6 there: the multicast of many who do grows with the square of their number.
    #[serde(default)]
    pub address6: Option<Ipv6Net>,
    /// Where its default route for IPv6 leads.
    #[serde(default)]
    pub gateway6: Option<Ipv6Addr>,
    /// The link-layer address of the guest's end.
    pub mac: MacAddress,
    /// How long its packets may be, in bytes; whatever is usual if nothing is given.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// What the bridge is to do with the port that is its host end.
    #[serde(flatten)]
    pub port: PortMode,
}

/// What a bridge does with a port of its own beside what bridges do (`ip link set type bridge_slave`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PortMode {
    /// It keeps it from other isolated ones.
    pub isolated: bool,
    /// It sends back by it what came by it, if that is where it is to go.
    ///
    /// Where bridges show their packets to the packet filter (`bridge-nf-call-iptables`), a published port is translated on
    /// the bridge, and whoever asks for his own would not be answered otherwise. But he hears all that he says to
    /// everybody, so that it is for those alone who publish something.
    pub hairpin: bool,
}

impl LinkSpec {
    /// The link-layer address of the host's end.
    ///
    /// It is a high one, for a bridge that was given none has the lowest of its ports', and would change it for a new
    /// one's. No guest has it: all its other bytes are the opposite of the guest's.
    #[must_use]
    pub fn host_mac(&self) -> MacAddress {
        let mut bytes = self.mac.0.map(|byte| !byte);
        bytes[0] = 0xfe;
        MacAddress(bytes)
    }

    /// This one with those of `addresses` and `gateways` that are its own: no others are of their families.
    #[must_use]
    pub fn addressed(self, addresses: PerFamily<Option<IpNet>>, gateways: PerFamily<Option<IpAddr>>) -> LinkSpec {
        let net4 = |net| match net {
            IpNet::V4(net) => Some(net),
            IpNet::V6(_) => None,
        };
        let net6 = |net| match net {
            IpNet::V6(net) => Some(net),
            IpNet::V4(_) => None,
        };
        let router4 = |router| match router {
            IpAddr::V4(router) => Some(router),
            IpAddr::V6(_) => None,
        };
        let router6 = |router| match router {
            IpAddr::V6(router) => Some(router),
            IpAddr::V4(_) => None,
        };
        LinkSpec {
            address: addresses.ipv4.and_then(net4),
            gateway: gateways.ipv4.and_then(router4),
            address6: addresses.ipv6.and_then(net6),
            gateway6: gateways.ipv6.and_then(router6),
            ..self
        }
    }

    /// The guest's addresses on it, with the subnets' prefix lengths.
    pub fn addresses(&self) -> impl Iterator<Item = IpNet> {
        self.address.map(IpNet::from).into_iter().chain(self.address6.map(IpNet::from))
    }

    /// The guest's address of `family` on it.
    #[must_use]
    pub fn address_of(&self, family: IpFamily) -> Option<IpNet> {
        self.addresses().find(|address| IpFamily::of(address.addr()) == family)
    }

    /// Where the guest's default routes lead.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        self.gateway.map(IpAddr::from).into_iter().chain(self.gateway6.map(IpAddr::from))
    }

    /// The name of a guest's only link.
    #[must_use]
    pub fn first_name() -> String {
        "eth0".to_owned()
    }
}
