//! Addresses: the given ones checked, the others derived from names.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::container::Group;
use super::findings::Complaint;
use super::network::{derivation, gateway};
use super::node::{Placed, Span};
use super::reader::{Reader, Setting};
use crate::model::{ContainerName, FleetName, NetworkName, NetworkSpec, OuterNetwork, stable_hash};

/// The addresses of containers on one network by name.
pub(super) type Addresses = HashMap<ContainerName, Ipv4Addr>;

/// Those of a group of containers on one network.
#[derive(Debug, Clone, Copy)]
struct Members<'g> {
    names: &'g [ContainerName],
    ip: &'g Setting<Ipv4Addr>,
}

/// Gives each container of `groups` that is on `network` an address in it. `declared` is where the subnet is written.
/// With findings, some containers are left out.
pub(super) fn assign(
    reader: &mut Reader,
    fleet: &FleetName,
    network: &NetworkSpec,
    declared: Span,
    groups: &[Group],
) -> Addresses {
    let mut addresses = Addresses::new();
    let mut taken: HashMap<Ipv4Addr, (&ContainerName, Span)> = HashMap::new();
    let members: Vec<Members<'_>> = groups.iter().filter_map(|group| members(group, &network.name)).collect();
    for members in &members {
        let Some(first) = members.ip.given() else { continue };
        let run = run(network, first, members.names.len());
        let Some(run) = reader.accept(first.span, run) else { continue };
        take(reader, *members, first.span, &run, &mut taken);
        addresses.extend(members.names.iter().cloned().zip(run));
    }
    let free = Free::new(network, taken.keys().copied());
    derive(reader, fleet, network, declared, &members, free, &mut addresses);
    addresses
}

/// The addresses of those of `groups` that are on `outer` and are given one. Nobody else gets any there: who else lives in
/// that subnet is not known here.
pub(super) fn assign_outer(reader: &mut Reader, outer: &OuterNetwork, groups: &[Group]) -> Addresses {
    let mut addresses = Addresses::new();
    let mut taken = HashMap::new();
    for group in groups {
        let Some(members) = members(group, &outer.name) else { continue };
        let Some(first) = members.ip.given() else { continue };
        let run = match outer.subnet {
            Some(subnet) => run_in(subnet, outer.gateway, &outer.name, first, members.names.len()),
            None => Err(Complaint::new(format!("the network `{}` has no `subnet` for addresses", outer.name))
                .hint("give it one, or leave `ip` to the guest and its DHCP server")),
        };
        let Some(run) = reader.accept(first.span, run) else { continue };
        take(reader, members, first.span, &run, &mut taken);
        addresses.extend(members.names.iter().cloned().zip(run));
    }
    addresses
}

fn members<'g>(group: &'g Group, network: &NetworkName) -> Option<Members<'g>> {
    let link = group.links.iter().find(|link| link.network.value == network.as_str())?;
    Some(Members { names: &group.names, ip: &link.ip })
}

/// The `length` addresses from `first` on.
fn run(network: &NetworkSpec, first: &Placed<Ipv4Addr>, length: usize) -> Result<Vec<Ipv4Addr>, Complaint> {
    if first.value == network.gateway {
        let hosts = hosts(network);
        let range = format!("containers can have {} to {}", Ipv4Addr::from(hosts.0), Ipv4Addr::from(hosts.1));
        return Err(Complaint::new(format!("{} is the host's own address", first.value)).hint(range));
    }
    run_in(network.subnet, Some(network.gateway), &network.name, first, length)
}

/// Those in `subnet` of the network `name`, which has the router `gateway`.
fn run_in(
    subnet: Ipv4Net,
    gateway: Option<Ipv4Addr>,
    name: &NetworkName,
    first: &Placed<Ipv4Addr>,
    length: usize,
) -> Result<Vec<Ipv4Addr>, Complaint> {
    let address = first.value;
    let own = gateway.filter(|gateway| *gateway == self::gateway(subnet)).map_or(1, |_| 2);
    let hosts = (u32::from(subnet.network()) + own, u32::from(subnet.broadcast()) - 1);
    let range = format!("containers can have {} to {}", Ipv4Addr::from(hosts.0), Ipv4Addr::from(hosts.1));
    if !subnet.contains(&address) {
        let whose = if name.is_default() { "fleet's".to_owned() } else { format!("`{name}` network's") };
        return Err(Complaint::new(format!("{address} is outside the {whose} subnet {subnet}")).hint(range));
    }
    let number = u32::from(address);
    if Some(address) == gateway {
        return Err(Complaint::new(format!("{address} is the address of the gateway")).hint(range));
    }
    if number < hosts.0 || number > hosts.1 {
        let what = if address == subnet.network() { "network" } else { "broadcast" };
        return Err(Complaint::new(format!("{address} is the {what} address of {subnet}")).hint(range));
    }
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    if length > hosts.1 - number + 1 {
        let complaint =
            Complaint::new(format!("a run of {length} addresses from {address} does not fit into {subnet}"));
        return Err(complaint.hint(range));
    }
    Ok((number..number + length).map(Ipv4Addr::from).collect())
}

/// Enters the addresses of a group; the first that somebody has already becomes a finding.
fn take<'g>(
    reader: &mut Reader,
    members: Members<'g>,
    span: Span,
    run: &[Ipv4Addr],
    taken: &mut HashMap<Ipv4Addr, (&'g ContainerName, Span)>,
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

/// The first and the last address that a container can have, the host's own being before the first.
fn hosts(network: &NetworkSpec) -> (u32, u32) {
    (u32::from(network.gateway) + 1, u32::from(network.subnet.broadcast()) - 1)
}

/// Derives the addresses that are not given: each container has its own place by its name, and takes the next that
/// is free. They are served in the order of their names, so that their order in the file changes nothing.
fn derive(
    reader: &mut Reader,
    fleet: &FleetName,
    network: &NetworkSpec,
    declared: Span,
    members: &[Members<'_>],
    mut free: Free,
    addresses: &mut Addresses,
) {
    let mut names: Vec<&ContainerName> =
        members.iter().filter(|members| members.ip.is_absent()).flat_map(|members| members.names).collect();
    names.sort_unstable();
    names.dedup();
    if names.len() > free.count {
        let message = format!(
            "the subnet {} has {} addresses left for {} containers without `ip`",
            network.subnet,
            free.count,
            names.len()
        );
        let default = network.name.is_default();
        let key = if default { "network.subnet".to_owned() } else { format!("networks.{}.subnet", network.name) };
        reader.complain(declared, Complaint::new(message).hint(format!("give `{key}` a shorter prefix")));
        return;
    }
    for name in names {
        let hash = stable_hash(&derivation(&["address", fleet.as_str(), name.as_str()], &network.name));
        let wish = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        addresses.insert(name.clone(), free.take(wish));
    }
}

/// The addresses that are still free. `next` leads from a taken address to one behind it that may be free; paths are
/// shortened as they are walked, so that a crowded subnet costs no more than an empty one.
struct Free {
    first: u32,
    last: u32,
    next: HashMap<u32, u32>,
    count: usize,
}

impl Free {
    fn new(network: &NetworkSpec, taken: impl Iterator<Item = Ipv4Addr>) -> Free {
        let (first, last) = hosts(network);
        let next: HashMap<u32, u32> = taken.map(u32::from).map(|address| (address, address + 1)).collect();
        let count = (last - first + 1) as usize - next.len();
        Free { first, last, next, count }
    }

    /// Takes the free address nearest behind the one that `wish` leads to. There must be one.
    fn take(&mut self, wish: u32) -> Ipv4Addr {
        let wished = self.first + wish % (self.last - self.first + 1);
        let mut address = self.find(wished);
        if address > self.last {
            address = self.find(self.first);
        }
        self.next.insert(address, address + 1);
        self.count -= 1;
        Ipv4Addr::from(address)
    }

    fn find(&mut self, start: u32) -> u32 {
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
