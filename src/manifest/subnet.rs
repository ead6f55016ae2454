//! Subnets of networks: those that are written checked, the others derived from names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::findings::Complaint;
use super::network::derivation;
use crate::model::{IpFamily, NetworkName, stable_hash};

/// The shortest and the longest prefix of a subnet: `/8` is the largest private one, `/29` leaves five containers.
const PREFIXES: RangeInclusive<u8> = 8..=29;

/// `/64` is what a link has (RFC 4291, 2.5.4). A provider who gives a host one such subnet wants it divided; `/112` leaves
/// as many containers as a host can have.
const PREFIXES6: RangeInclusive<u8> = 64..=112;

/// What no link of a host can have (RFC 6890): this network, loopback, link-local, multicast and reserved.
const UNUSABLE: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// The same of IPv6 (RFC 6890, RFC 4291): unspecified, loopback and embedded IPv4 addresses, link-local, the former
/// site-local, multicast.
const UNUSABLE6: [(Ipv6Addr, u8, &str); 4] = [
    (Ipv6Addr::UNSPECIFIED, 8, "set aside (RFC 4291)"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "link-local"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "set aside (RFC 3879)"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "multicast"),
];

/// What is written as `subnet6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subnet6 {
    /// `auto`: one that is derived.
    Auto,
    /// This one.
    Given(Ipv6Net),
}

/// The key of a network's subnet of `family`.
pub(super) fn subnet_key(family: IpFamily) -> &'static str {
    match family {
        IpFamily::Ipv4 => "subnet",
        IpFamily::Ipv6 => "subnet6",
    }
}

/// The first host address of `subnet`: the host's own.
pub(super) fn first_address(subnet: IpNet) -> IpAddr {
    match subnet.network() {
        IpAddr::V4(network) => Ipv4Addr::from(u32::from(network) + 1).into(),
        IpAddr::V6(network) => Ipv6Addr::from(u128::from(network) + 1).into(),
    }
}

/// `subnet`.
pub(super) fn subnet(text: &str) -> Result<Ipv4Net, Complaint> {
    let subnet: Ipv4Net = text
        .parse()
        .map_err(|_| Complaint::new(format!("`{text}` is not an IPv4 subnet")).hint("write it as `10.42.0.0/24`"))?;
    check_shape(text, subnet.into(), &PREFIXES)?;
    let unusable = UNUSABLE.map(|(address, prefix)| Ipv4Net::new_assert(address, prefix));
    if let Some(taken) = unusable.iter().find(|taken| taken.contains(&subnet) || subnet.contains(*taken)) {
        let complaint = Complaint::new(format!("`{text}` cannot be a fleet's subnet: {taken} is set aside (RFC 6890)"));
        return Err(complaint.hint("choose one inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"));
    }
    Ok(subnet)
}

/// `subnet6`.
pub(super) fn subnet6(text: &str) -> Result<Subnet6, Complaint> {
    if text == "auto" {
        return Ok(Subnet6::Auto);
    }
    let subnet: Ipv6Net = text.parse().map_err(|_| {
        let hint = "write it as `fd00:42::/64`, or `auto` for one of the fleet's own";
        Complaint::new(format!("`{text}` is not an IPv6 subnet")).hint(hint)
    })?;
    check_shape(text, subnet.into(), &PREFIXES6)?;
    let unusable = UNUSABLE6.map(|(address, prefix, why)| (Ipv6Net::new_assert(address, prefix), why));
    if let Some((taken, why)) = unusable.iter().find(|(taken, _)| taken.contains(&subnet)) {
        let complaint = Complaint::new(format!("`{text}` cannot be a fleet's subnet: {taken} is {why}"));
        return Err(complaint.hint("choose one inside fd00::/8, or write `auto` for one of the fleet's own"));
    }
    Ok(Subnet6::Given(subnet))
}

fn check_shape(text: &str, subnet: IpNet, prefixes: &RangeInclusive<u8>) -> Result<(), Complaint> {
    let length = subnet.prefix_len();
    if !prefixes.contains(&length) {
        let whose = if subnet.addr().is_ipv4() { "subnet" } else { "IPv6 subnet" };
        let range = format!("from /{} to /{}", prefixes.start(), prefixes.end());
        return Err(Complaint::new(format!("a fleet's {whose} has a prefix {range}, not /{length}")));
    }
    if subnet.trunc() != subnet {
        let complaint = Complaint::new(format!("`{text}` is an address inside a subnet"));
        return Err(complaint.hint(format!("did you mean `{}`?", subnet.trunc())));
    }
    Ok(())
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

/// The 65536 subnets of the fleet's own prefix of `fd00::/8` (RFC 4193), whose forty bits nobody else has but by a
/// chance that is none, from the one on that is the network's by its name.
pub(super) fn derived_subnets6(fleet: &str, network: &NetworkName) -> impl Iterator<Item = Ipv6Net> {
    let prefix = stable_hash(&["subnet6", fleet]);
    let hash = stable_hash(&derivation(&["subnet6", fleet], network));
    let first = u16::from_be_bytes([hash[5], hash[6]]);
    (0..=u16::MAX).map(move |step| {
        let mut bytes = [0; 16];
        bytes[0] = 0xfd;
        bytes[1..6].copy_from_slice(&prefix[..5]);
        bytes[6..8].copy_from_slice(&first.wrapping_add(step).to_be_bytes());
        Ipv6Net::new_assert(Ipv6Addr::from(bytes), 64)
    })
}
