//! Ports of containers that are published on the host.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{IpFamily, Protocol};

/// Ports of the host that lead to as many ports of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortForward {
    /// The host's address; `0.0.0.0` or `::` for all of the family, none for all of every family that the container has.
    pub address: Option<IpAddr>,
    /// The first port of the host.
    pub host: u16,
    /// The first port of the container.
    pub guest: u16,
    /// How many they are, from 1 on.
    pub count: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

impl PortForward {
    /// The last port of the host.
    #[must_use]
    pub fn last(&self) -> u16 {
        self.host + (self.count - 1)
    }

    /// Whether it is published for packets of `family`, if the container has an address of it.
    #[must_use]
    pub fn is_of(&self, family: IpFamily) -> bool {
        self.address.is_none_or(|address| IpFamily::of(address) == family)
    }

    /// The one address of the host that it is published on, if it is not all of them.
    #[must_use]
    pub fn only_address(&self) -> Option<IpAddr> {
        self.address.filter(|address| !address.is_unspecified())
    }

    /// Whether the host's IPv4 loopback addresses are among those it is published on.
    #[must_use]
    pub fn is_on_loopback(&self) -> bool {
        self.is_of(IpFamily::Ipv4) && self.only_address().is_none_or(|address| address.is_loopback())
    }

    /// Whether other hosts can reach it.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.only_address().is_none_or(|address| !address.is_loopback())
    }

    /// Whether something at `port` of `address`, or of all addresses as for [`PortForward::address`], is in its way.
    #[must_use]
    pub fn meets(&self, protocol: Protocol, address: Option<IpAddr>, port: u16) -> bool {
        let same_address = match (self.address, address) {
            (Some(own), Some(other)) => {
                own == other
                    || IpFamily::of(own) == IpFamily::of(other) && (own.is_unspecified() || other.is_unspecified())
            }
            (None, _) | (_, None) => true,
        };
        self.protocol == protocol && same_address && (self.host..=self.last()).contains(&port)
    }

    /// The first port of the host that both take.
    #[must_use]
    pub fn clash(&self, other: &PortForward) -> Option<u16> {
        let first = self.host.max(other.host);
        (self.meets(other.protocol, other.address, first) && first <= other.last()).then_some(first)
    }

    /// The host's side in words: `127.0.0.1:8080/tcp`.
    #[must_use]
    pub fn published(&self) -> String {
        format!("{}{}/{}", self.address_part(), range(self.host, self.count), self.protocol)
    }

    fn address_part(&self) -> String {
        match self.address {
            None => String::new(),
            Some(IpAddr::V4(address)) => format!("{address}:"),
            Some(IpAddr::V6(address)) => format!("[{address}]:"),
        }
    }
}

impl fmt::Display for PortForward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, guest) = (range(self.host, self.count), range(self.guest, self.count));
        write!(f, "{}{host}:{guest}/{}", self.address_part(), self.protocol)
    }
}

fn range(first: u16, count: u16) -> String {
    if count == 1 { first.to_string() } else { format!("{first}-{}", first + (count - 1)) }
}

/// A port that a process of the host listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listener {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The host's address; `0.0.0.0` for all of IPv4, none for all of both families.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(address: Option<[u8; 4]>, host: u16, count: u16) -> PortForward {
        PortForward { address: address.map(IpAddr::from), host, guest: 80, count, protocol: Protocol::Tcp }
    }

    #[test]
    fn ports_clash_where_addresses_and_ranges_meet() {
        let all = forward(None, 8000, 11);
        assert_eq!(all.clash(&forward(Some([127, 0, 0, 1]), 8010, 5)), Some(8010));
        assert_eq!(all.clash(&forward(None, 8011, 1)), None);
        assert_eq!(all.clash(&forward(None, 7999, 1)), None);
        assert_eq!(all.clash(&forward(None, 7000, 2000)), Some(8000));
        let local = forward(Some([127, 0, 0, 1]), 8000, 1);
        assert_eq!(local.clash(&forward(Some([192, 0, 2, 1]), 8000, 1)), None);
        assert_eq!(local.clash(&PortForward { protocol: Protocol::Udp, ..local }), None);
        let of = |address: &str| PortForward { address: address.parse().ok(), ..local };
        assert_eq!(local.clash(&of("0.0.0.0")), Some(8000));
        assert_eq!(local.clash(&of("::")), None);
        assert_eq!(of("::1").clash(&of("::")), Some(8000));
        assert_eq!(all.clash(&of("::1")), Some(8000));
    }

    #[test]
    fn a_forward_reads_as_it_is_written() {
        assert_eq!(forward(None, 8000, 11).to_string(), "8000-8010:80-90/tcp");
        assert_eq!(forward(Some([127, 0, 0, 1]), 80, 1).to_string(), "127.0.0.1:80:80/tcp");
        assert_eq!(forward(None, 65535, 1).last(), 65535);
        let six = PortForward { address: "fd00::1".parse().ok(), ..forward(None, 80, 1) };
        assert_eq!(six.to_string(), "[fd00::1]:80:80/tcp");
    }
}
