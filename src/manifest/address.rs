//! Addresses: the given ones checked, the others derived from names. Of both families alike, counted as numbers.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::container::Group;
use super::findings::Complaint;
use super::links::ip_key;
use super::network::derivation;
use super::node::{Placed, Span};
use super::reader::{Reader, Setting};
use super::subnet::{first_address, subnet_key};
use crate::model::{ContainerName, FleetName, IpFamily, NetworkName, NetworkSpec, OuterNetwork, stable_hash};

/// The addresses of containers on one network by name.
pub(super) type Addresses = HashMap<ContainerName, IpAddr>;

/// What the containers on a network can have addresses of.
#[derive(Debug, Clone, Copy)]
struct Field<'n> {
    network: &'n NetworkName,
    subnet: IpNet,
    gateway: Option<IpAddr>,
    /// Whether the host is the gateway.
    is_own: bool,
}

/// Those of a group of containers on one network.
#[derive(Debug, Clone, Copy)]
struct Members<'g> {
    names: &'g [ContainerName],
    ip: &'g Setting<IpAddr>,
}

/// Gives each container of `groups` that is on `network` an address of `family` in it, if it has a subnet of that.
/// `declared` is where the subnet is written. With findings, some containers are left out.
pub(super) fn assign(
    reader: &mut Reader,
    fleet: &FleetName,
    network: &NetworkSpec,
    family: IpFamily,
    declared: Span,
    groups: &[Group],
) -> Addresses {
    let field = network.subnet_of(family).map(|subnet| Field {
        network: &network.name,
        subnet,
        gateway: Some(first_address(subnet)),
        is_own: true,
    });
    let (mut addresses, taken) = given(reader, &network.name, family, field, groups);
    if let Some(field) = field {
        let members: Vec<Members<'_>> =
            groups.iter().filter_map(|group| members(group, &network.name, family)).collect();
        let (count, most) = (members.iter().map(|members| members.names.len()).sum::<usize>(), network.most_members());
        // Every network has IPv4, and what is wrong is said once.
        if family == IpFamily::Ipv4 && count > most {
            let message = format!("a network has at most {most} members, and `{}` has {count}", network.name);
            reader.complain(declared, Complaint::new(message).hint("put some of them on another of `networks`"));
        }
        let free = Free::new(field, taken.into_iter());
        derive(reader, fleet, field, declared, &members, free, &mut addresses);
    }
    addresses
}

/// The addresses of those of `groups` that are on `outer` and are given one. Nobody else gets any there: who else lives in
/// that subnet is not known here.
pub(super) fn assign_outer(reader: &mut Reader, outer: &OuterNetwork, family: IpFamily, groups: &[Group]) -> Addresses {
    let gateway = *outer.gateways.of(family);
    let field = outer.subnets.of(family).map(|subnet| Field { network: &outer.name, subnet, gateway, is_own: false });
    given(reader, &outer.name, family, field, groups).0
}

/// The addresses that are given on the network `network`, and all that are taken there: of a clash both are.
fn given(
    reader: &mut Reader,
    network: &NetworkName,
    family: IpFamily,
    field: Option<Field<'_>>,
    groups: &[Group],
) -> (Addresses, Vec<IpAddr>) {
    let mut addresses = Addresses::new();
    let mut taken = HashMap::new();
    for group in groups {
        let Some(members) = members(group, network, family) else { continue };
        let Some(first) = members.ip.given() else { continue };
        let run = match field {
            Some(field) => run(field, first, members.names.len()),
            None => Err(no_subnet(network, family)),
        };
        let Some(run) = reader.accept(first.span, run) else { continue };
        take(reader, members, first.span, &run, &mut taken);
        addresses.extend(members.names.iter().cloned().zip(run));
    }
    (addresses, taken.into_keys().collect())
}

fn no_subnet(network: &NetworkName, family: IpFamily) -> Complaint {
    let (subnet, ip) = (subnet_key(family), ip_key(family));
    let complaint = Complaint::new(format!("the network `{network}` has no `{subnet}` for addresses"));
    match family {
        IpFamily::Ipv4 => complaint.hint(format!("give it one, or leave `{ip}` to the guest and its DHCP server")),
        IpFamily::Ipv6 => complaint.hint(format!("give it one, such as `{subnet}: fd00:42::/64`, or leave `{ip}` out")),
    }
}

fn members<'g>(group: &'g Group, network: &NetworkName, family: IpFamily) -> Option<Members<'g>> {
    let link = group.links.iter().find(|link| link.network.value == network.as_str())?;
    Some(Members { names: &group.names, ip: link.ips.of(family) })
}

/// The `length` addresses from `first` on.
fn run(field: Field<'_>, first: &Placed<IpAddr>, length: usize) -> Result<Vec<IpAddr>, Complaint> {
    let Field { network, subnet, gateway, is_own } = field;
    let address = first.value;
    let family = IpFamily::of(address);
    let hosts = hosts(field);
    let wrong = |what: String| {
        let (first, last) = (at(family, hosts.0), at(family, hosts.1));
        Err(Complaint::new(what).hint(format!("containers can have {first} to {last}")))
    };
    if Some(address) == gateway {
        let whose = if is_own { "the host's own address" } else { "the address of the gateway" };
        return wrong(format!("{address} is {whose}"));
    }
    if !subnet.contains(&address) {
        let whose = if network.is_default() { "fleet's".to_owned() } else { format!("`{network}` network's") };
        return wrong(format!("{address} is outside the {whose} subnet {subnet}"));
    }
    let number = number(address);
    if number < hosts.0 || number > hosts.1 {
        let what = match family {
            // RFC 4291, 2.6.1.
            IpFamily::Ipv6 => "address of all routers",
            IpFamily::Ipv4 if address == subnet.network() => "network address",
            IpFamily::Ipv4 => "broadcast address",
        };
        return wrong(format!("{address} is the {what} of {subnet}"));
    }
    if length as u128 > hosts.1 - number + 1 {
        return wrong(format!("a run of {length} addresses from {address} does not fit into {subnet}"));
    }
    Ok((number..number + length as u128).map(|number| at(family, number)).collect())
}

/// Enters the addresses of a group; the first that somebody has already becomes a finding.
fn take<'g>(
    reader: &mut Reader,
    members: Members<'g>,
    span: Span,
    run: &[IpAddr],
    taken: &mut HashMap<IpAddr, (&'g ContainerName, Span)>,
) {
    let mut clash = None;
    for (name, address) in members.names.iter().zip(run) {
        match taken.get(address) {
            Some((other, place)) if clash.is_none() => clash = Some((name, address, *other, *place)),
            Some(_) => {}
            None => {
                taken.insert(*address, (name, span));
            }
        }
    }
    if let Some((name, address, other, place)) = clash {
        let line = reader.line(place);
        reader.complain(span, format!("the address {address} of `{name}` is that of `{other}` in line {line}"));
    }
}

/// The first and the last address that a container can have.
fn hosts(field: Field<'_>) -> (u128, u128) {
    let subnet = field.subnet;
    let own = if field.gateway == Some(first_address(subnet)) { 2 } else { 1 };
    // For IPv6 it is no broadcast address, which there are none of.
    let last = number(subnet.broadcast());
    let last = if subnet.addr().is_ipv4() { last - 1 } else { last };
    (number(subnet.network()) + own, last)
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address of `family` that has that number.
fn at(family: IpFamily, number: u128) -> IpAddr {
    match family {
        IpFamily::Ipv4 => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        IpFamily::Ipv6 => Ipv6Addr::from(number).into(),
    }
}

/// Derives the addresses that are not given: each container has its own place by its name, and takes the next that
/// is free. They are served in the order of their names, so that their order in the file changes nothing.
fn derive(
    reader: &mut Reader,
    fleet: &FleetName,
    field: Field<'_>,
    declared: Span,
    members: &[Members<'_>],
    mut free: Free,
    addresses: &mut Addresses,
) {
    let family = IpFamily::of(field.subnet.addr());
    let mut names: Vec<&ContainerName> =
        members.iter().filter(|members| members.ip.is_absent()).flat_map(|members| members.names).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() as u128 > free.count {
        let message = format!(
            "the subnet {} has {} addresses left for {} containers without `{}`",
            field.subnet,
            free.count,
            names.len(),
            ip_key(family)
        );
        let (name, subnet) = (field.network, subnet_key(family));
        let key = if name.is_default() { format!("network.{subnet}") } else { format!("networks.{name}.{subnet}") };
        reader.complain(declared, Complaint::new(message).hint(format!("give `{key}` a shorter prefix")));
        return;
    }
    let part = match family {
        IpFamily::Ipv4 => "address",
        IpFamily::Ipv6 => "address6",
    };
    for name in names {
        let hash = stable_hash(&derivation(&[part, fleet.as_str(), name.as_str()], field.network));
        // As many bytes as the part of an address has that is the container's own.
        let bytes = match family {
            IpFamily::Ipv4 => 4,
            IpFamily::Ipv6 => 8,
        };
        let wish = hash.iter().take(bytes).fold(0, |wish, byte| wish << 8 | u128::from(*byte));
        addresses.insert(name.clone(), at(family, free.take(wish)));
    }
}

/// The addresses that are still free. `next` leads from a taken address to one behind it that may be free; paths are
/// shortened as they are walked, so that a crowded subnet costs no more than an empty one.
struct Free {
    first: u128,
    last: u128,
    next: HashMap<u128, u128>,
    count: u128,
}

impl Free {
    fn new(field: Field<'_>, taken: impl Iterator<Item = IpAddr>) -> Free {
        let (first, last) = hosts(field);
        let next: HashMap<u128, u128> = taken.map(number).map(|address| (address, address + 1)).collect();
        let count = last - first + 1 - next.len() as u128;
        Free { first, last, next, count }
    }

    /// Takes the free address nearest behind the one that `wish` leads to. There must be one.
    fn take(&mut self, wish: u128) -> u128 {
        let wished = self.first + wish % (self.last - self.first + 1);
        let mut address = self.find(wished);
        if address > self.last {
            address = self.find(self.first);
        }
        self.next.insert(address, address + 1);
        self.count -= 1;
        address
    }

    fn find(&mut self, start: u128) -> u128 {
        let mut end = start;
        while let Some(next) = self.next.get(&end) {
            end = *next;
        }
        let mut step = start;
        while let Some(next) = self.next.get_mut(&step) {
            step = std::mem::replace(next, end);
        }
        end
    }
}
