//! The tree of a fleet file to the fleet that it asks for, all that can be derived filled in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use super::address::{self, Addresses};
use super::container::{self, Group};
use super::findings::Complaint;
use super::keys;
use super::links::LinkKeys;
use super::network::{derivation, hex};
use super::networks::{self, Resolved};
use super::node::{Node, Placed, Span, Value};
use super::places::Places;
use super::ports::check_ports;
use super::reader::{Reader, Section, Setting};
use super::remotes::Remotes;
use super::{scalar, whole};
use crate::model::{
    ContainerName, ContainerSpec, Fleet, FleetName, GuestSpec, ImageSource, IpFamily, LinkSpec, LinkWay, MacAddress,
    MachineId, Member, NetworkName, NetworkSpec, OuterNetwork, PerFamily, PortForward, PortMode, native_architecture,
};

/// Seconds that an init gets to shut down when nothing is said: a third of systemd's own patience with one service, and
/// three times Docker's.
const STOP_TIMEOUT_S: u32 = 30;

/// The fleet that `root` asks for and the places in its file, or nothing if it cannot be made out; then there are findings.
pub(super) fn fleet(reader: &mut Reader, root: &Node, file: &Path, scope: &str) -> Option<(Fleet, Places)> {
    if matches!(root.value, Value::Empty) {
        let complaint = Complaint::new("the fleet file is empty");
        reader.complain(Span::default(), complaint.hint("it needs `fleet: NAME` and `containers:`"));
        return None;
    }
    let section = reader.section("the fleet file", Span::default(), root, &keys::FLEET)?;
    let name = fleet_name(reader, &section);
    let engine = section.scalar(reader, "engine", scalar::engine);
    let prefix = section.scalar(reader, "prefix", prefix);
    let declared = networks::read(reader, &section);
    Remotes::read(reader, &section);
    let templates = templates(reader, &section);
    let groups = container::groups(reader, &section, prefix.value().map_or("", String::as_str));
    whole::check_groups(reader, &groups);
    whole::check_hostnames(reader, &groups);

    let used: BTreeSet<&str> =
        groups.iter().flat_map(|group| &group.links).map(|link| link.network.value.as_str()).collect();
    for link in groups.iter().flat_map(|group| &group.links) {
        networks::check_name(reader, &declared, &link.network.value, link.network.span);
    }
    let is_named = name.is_some();
    // Without a name the rest is still checked, as if there were one.
    let unnamed = || Placed { value: "unnamed".parse().expect("the word is a name"), span: Span::default() };
    let Placed { value: name, span: name_place } = name.unwrap_or_else(unnamed);
    whole::check_macs(reader, &name, &groups);
    check_ports(reader, &groups);
    let Resolved { own: networks, outer } = networks::resolve(reader, &declared, &name, scope, &used, is_named);
    whole::check_reach(reader, &groups, &declared, &networks, &outer);
    let mut addresses: BTreeMap<NetworkName, PerFamily<Addresses>> = BTreeMap::new();
    for network in &networks {
        let places = declared.iter().find(|declared| declared.name == network.name).map(|declared| declared.places);
        let places = places.unwrap_or_default();
        let assigned =
            PerFamily::each(|family| address::assign(reader, &name, network, family, *places.of(family), &groups));
        addresses.insert(network.name.clone(), assigned);
    }
    for network in &outer {
        let assigned = PerFamily::each(|family| address::assign_outer(reader, network, family, &groups));
        addresses.insert(network.name.clone(), assigned);
    }
    if !reader.findings.is_empty() {
        return None;
    }
    let site =
        Site { fleet: &name, networks: &networks, outer: &outer, scope, addresses: &addresses, templates: &templates };
    let containers: Vec<ContainerSpec> = groups
        .iter()
        .flat_map(|group| group.names.iter().map(|name| site.container(group, name)))
        .collect::<Option<_>>()?;
    whole::check_templates(reader, &section, &name, &groups, &containers);
    let members = members(&name, &containers);
    let engine = engine.value().copied().unwrap_or_default();
    let (profiles, private_keys) = (profiles(&groups), std::mem::take(&mut reader.private_keys));
    let places = Places::of(name_place, &declared, &groups);
    let fleet = Fleet {
        name,
        file: file.to_owned(),
        engine,
        scope: scope.to_owned(),
        networks,
        outer,
        containers,
        keeps_volumes: true,
        members,
        pins: Vec::new(),
        signing_keys: std::mem::take(&mut reader.remotes.keys),
        profiles,
        private_keys,
    };
    Some((fleet, places))
}

/// The containers of each profile that has some.
fn profiles(groups: &[Group]) -> BTreeMap<String, Vec<ContainerName>> {
    let mut profiles: BTreeMap<String, Vec<ContainerName>> = BTreeMap::new();
    for group in groups {
        let mut listed: Vec<&String> =
            group.keys.profiles.value().into_iter().flatten().map(|profile| &profile.value).collect();
        listed.sort_unstable();
        listed.dedup();
        for profile in listed {
            profiles.entry(profile.clone()).or_default().extend(group.names.iter().cloned());
        }
    }
    profiles
}

fn fleet_name(reader: &mut Reader, section: &Section<'_>) -> Option<Placed<FleetName>> {
    let name = section.scalar(reader, "fleet", |text| {
        text.parse().map_err(|error| {
            let complaint = Complaint::new(format!("`{text}` cannot be the name of a fleet: {error}"));
            Complaint { hint: scalar::nearest_name(text), ..complaint }
        })
    });
    match name {
        Setting::Given(name) => Some(name),
        Setting::Wrong => None,
        Setting::Absent => {
            let complaint = Complaint::new("the fleet file has no `fleet`").hint("begin it with `fleet: NAME`");
            reader.complain(Span::default(), complaint);
            None
        }
    }
}

/// What a container name may begin with.
fn prefix(text: &str) -> Result<String, Complaint> {
    match format!("{text}x").parse::<ContainerName>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Complaint::new(format!("`{text}` cannot begin the name of a container: {error}"))),
    }
}

/// Reads the files that `templates` names.
fn templates(reader: &mut Reader, section: &Section<'_>) -> BTreeMap<String, String> {
    let Some(entry) = section.entry("templates") else { return BTreeMap::new() };
    let section = reader.section("`templates`", entry.key.span, &entry.node, &keys::TEMPLATES);
    let section = section.unwrap_or_default();
    let mut templates = BTreeMap::new();
    for name in keys::TEMPLATES.known() {
        let text = section.setting(reader, name, |reader, entry| {
            let path = reader.text(entry)?;
            let text = reader.files.read(path);
            reader.accept(entry.place(), text)
        });
        templates.extend(text.value().map(|text| ((*name).to_owned(), text.clone())));
    }
    templates
}

/// The link-layer address of `link` of the container `name`.
pub(super) fn mac(fleet: &FleetName, link: &LinkKeys, name: &ContainerName) -> MacAddress {
    // One that names no network there is a finding already.
    let network = link.network.value.parse().unwrap_or_default();
    let derived = || MacAddress::derive(&derivation(&["mac", fleet.as_str(), name.as_str()], &network));
    link.mac.value().copied().unwrap_or_else(derived)
}

/// What all containers of a fleet have in common.
struct Site<'a> {
    fleet: &'a FleetName,
    networks: &'a [NetworkSpec],
    outer: &'a [OuterNetwork],
    scope: &'a str,
    addresses: &'a BTreeMap<NetworkName, PerFamily<Addresses>>,
    templates: &'a BTreeMap<String, String>,
}

impl Site<'_> {
    /// One container of `group`; nothing if there is a finding about its image or its address.
    fn container(&self, group: &Group, name: &ContainerName) -> Option<ContainerSpec> {
        let keys = &group.keys;
        let links = group.links.iter().enumerate().map(|(position, link)| self.link(link, position, name));
        let mut links: Vec<LinkSpec> = links.collect::<Option<_>>()?;
        let ports: Vec<PortForward> = keys.ports.value().into_iter().flatten().map(|port| port.value).collect();
        if let Some(published) = links.iter_mut().find(|link| self.network(link.network.as_str()).is_some()) {
            // An isolated port gets nothing from itself either.
            published.port.hairpin = !published.port.isolated && ports.iter().any(PortForward::is_reachable);
        }
        let dns = links.iter().filter_map(|link| self.dns(&link.network));
        let dns = dns.into_iter().find(|dns| !dns.is_empty());
        let image = ImageSource::clone(keys.image.value()?);
        let arch = keys.arch.value().copied().or(image.architecture()).unwrap_or(native_architecture()).to_owned();
        let image = if keys.arch.value().is_some() { image.for_architecture(&arch) } else { image };
        Some(ContainerSpec {
            name: name.clone(),
            image,
            arch,
            init: keys.init.value().cloned().unwrap_or_default(),
            limits: keys.limits.limits(),
            links,
            is_on_host_network: group.is_on_host_network,
            guest: GuestSpec {
                hostname: keys.hostname.value().cloned().unwrap_or_else(|| name.to_string()),
                machine_id: MachineId::derive(self.fleet.as_str(), name.as_str()),
                users: keys.users.value().cloned().unwrap_or_default(),
                ssh_keys: keys.ssh_keys.value().cloned().unwrap_or_default(),
                dns: dns.cloned().unwrap_or_default(),
                templates: self.templates.clone(),
            },
            stop_timeout_s: keys.stop_timeout.value().copied().unwrap_or(STOP_TIMEOUT_S),
            restart: keys.restart.value().copied().unwrap_or_default(),
            security: keys.security.security(),
            mounts: keys.mounts.value().cloned().unwrap_or_default(),
            devices: keys.devices.value().cloned().unwrap_or_default(),
            ports,
        })
    }

    fn network(&self, name: &str) -> Option<&NetworkSpec> {
        self.networks.iter().find(|network| network.name.as_str() == name)
    }

    /// The link at `position` of the container `name`.
    fn link(&self, link: &LinkKeys, position: usize, name: &ContainerName) -> Option<LinkSpec> {
        if let Some(outer) = self.outer.iter().find(|network| network.name.as_str() == link.network.value) {
            return Some(self.outer_link(link, outer, position, name));
        }
        let network = self.network(&link.network.value)?;
        let addresses = self.addresses_in(&network.name, name, |family| network.subnet_of(family));
        // Without there is a finding.
        addresses.ipv4?;
        let gateways = PerFamily { ipv4: Some(network.gateway.into()), ipv6: network.gateway6().map(IpAddr::from) };
        let gateways = if position == 0 { gateways } else { PerFamily::default() };
        let link = LinkSpec {
            network: network.name.clone(),
            name: link.name_at(position),
            way: LinkWay::Bridge,
            parent: network.bridge.clone(),
            host_name: self.host_name(&network.name, name),
            address: None,
            gateway: None,
            address6: None,
            gateway6: None,
            mac: mac(self.fleet, link, name),
            mtu: network.mtu,
            port: PortMode { isolated: network.isolated, hairpin: false },
        };
        Some(link.addressed(addresses, gateways))
    }

    /// The addresses of the container `name` on the network `network`, with the lengths of its subnets' prefixes.
    fn addresses_in(
        &self,
        network: &NetworkName,
        name: &ContainerName,
        subnet: impl Fn(IpFamily) -> Option<IpNet>,
    ) -> PerFamily<Option<IpNet>> {
        PerFamily::each(|family| {
            let address = self.addresses.get(network)?.of(family).get(name)?;
            IpNet::new(*address, subnet(family)?.prefix_len()).ok()
        })
    }

    /// Without an address of its own, where its default route leads is the guest's business, too.
    fn outer_link(&self, link: &LinkKeys, outer: &OuterNetwork, position: usize, name: &ContainerName) -> LinkSpec {
        let addresses = self.addresses_in(&outer.name, name, |family| *outer.subnets.of(family));
        let gateways = PerFamily::each(|family| {
            outer.gateways.of(family).filter(|_| position == 0 && addresses.of(family).is_some())
        });
        let link = LinkSpec {
            network: outer.name.clone(),
            name: link.name_at(position),
            way: outer.way,
            parent: outer.parent.clone(),
            host_name: self.host_name(&outer.name, name),
            address: None,
            gateway: None,
            address6: None,
            gateway6: None,
            mac: mac(self.fleet, link, name),
            mtu: outer.mtu,
            port: PortMode::default(),
        };
        link.addressed(addresses, gateways)
    }

    fn host_name(&self, network: &NetworkName, container: &ContainerName) -> String {
        format!("fv{}", hex(&derivation(&["link", self.scope, container.as_str()], network), 6))
    }

    fn dns(&self, network: &NetworkName) -> Option<&Vec<IpAddr>> {
        let outer = || self.outer.iter().find(|outer| outer.name == *network).map(|outer| &outer.dns);
        self.network(network.as_str()).map(|own| &own.dns).or_else(outer)
    }
}

/// What `containers` are to each other. A first label of a host name that others have too leads to none of them.
fn members(fleet: &FleetName, containers: &[ContainerSpec]) -> Vec<Member> {
    let label = |container: &ContainerSpec| {
        let hostname = &container.guest.hostname;
        hostname.split_once('.').map_or(hostname.as_str(), |(label, _)| label).to_owned()
    };
    let mut claims: HashMap<String, usize> = HashMap::new();
    for container in containers {
        for name in BTreeSet::from([label(container), container.name.to_string()]) {
            *claims.entry(name).or_default() += 1;
        }
    }
    let member = |container: &ContainerSpec| {
        let (name, label) = (container.name.as_str(), label(container));
        let own_label = (label != name && claims.get(&label) == Some(&1)).then_some(label);
        let names = own_label.into_iter().chain([name.to_owned(), format!("{name}.{fleet}")]);
        Member { names: names.collect(), addresses: container.addresses_by_network() }
    };
    containers.iter().map(member).collect()
}
