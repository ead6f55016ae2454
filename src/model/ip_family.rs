//! The two families of addresses, and what there is of each.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpFamily {
    /// Addresses of four bytes.
    Ipv4,
    /// Addresses of sixteen bytes.
    Ipv6,
}

impl IpFamily {
    /// Both.
    pub const ALL: [IpFamily; 2] = [IpFamily::Ipv4, IpFamily::Ipv6];

    /// The family of `address`.
    #[must_use]
    pub fn of(address: IpAddr) -> IpFamily {
        match address {
            IpAddr::V4(_) => IpFamily::Ipv4,
            IpAddr::V6(_) => IpFamily::Ipv6,
        }
    }

    /// The kernel's parameter that has a host pass its packets on from one link to another.
    #[must_use]
    pub fn forwarding(self) -> &'static str {
        match self {
            IpFamily::Ipv4 => "net.ipv4.ip_forward",
            IpFamily::Ipv6 => "net.ipv6.conf.all.forwarding",
        }
    }

    /// What the kernel's parameters of its table of neighbours begin with.
    #[must_use]
    pub fn neighbours(self) -> &'static str {
        match self {
            IpFamily::Ipv4 => "net.ipv4.neigh.default",
            IpFamily::Ipv6 => "net.ipv6.neigh.default",
        }
    }
}

impl fmt::Display for IpFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            IpFamily::Ipv4 => "IPv4",
            IpFamily::Ipv6 => "IPv6",
        })
    }
}

/// One thing for each family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub struct PerFamily<T> {
    pub ipv4: T,
    pub ipv6: T,
}

impl<T> PerFamily<T> {
    /// What `make` makes for each.
    pub fn each(mut make: impl FnMut(IpFamily) -> T) -> PerFamily<T> {
        PerFamily { ipv4: make(IpFamily::Ipv4), ipv6: make(IpFamily::Ipv6) }
    }

    /// That of `family`.
    #[must_use]
    pub fn of(&self, family: IpFamily) -> &T {
        match family {
            IpFamily::Ipv4 => &self.ipv4,
            IpFamily::Ipv6 => &self.ipv6,
        }
    }

    /// That of `family`, to be changed.
    pub fn of_mut(&mut self, family: IpFamily) -> &mut T {
        match family {
            IpFamily::Ipv4 => &mut self.ipv4,
            IpFamily::Ipv6 => &mut self.ipv6,
        }
    }
}
