//! The tree of a fleet file to the fleet that it asks for, all that can be derived filled in.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use super::address::{self, Addresses};
use super::container::{self, Group};
use super::findings::Complaint;
use super::keys;
use super::layer::Layer;
use super::links::LinkKeys;
use super::network::{derivation, hex};
use super::networks::{self, Resolved};
use super::node::{Node, Span, Value};
use super::ports::check_ports;
use super::reader::{Reader, Section, Setting};
use super::remotes::Remotes;
use super::scalar;
use crate::model::{
    ContainerName, ContainerSpec, Fleet, FleetName, GuestSpec, ImageSource, Init, IpFamily, LinkSpec, LinkWay,
    MacAddress, MachineId, Member, NetworkName, NetworkSpec, OuterNetwork, PerFamily, PortForward, PortMode,
    native_architecture,
};

/// Seconds that an init gets to shut down when nothing is said: a third of systemd's own patience with one service, and
/// three times Docker's.
const STOP_TIMEOUT_S: u32 = 30;

/// The fleet that `root` asks for, or nothing if it cannot be made out; then there are findings.
pub(super) fn fleet(reader: &mut Reader, root: &Node, file: &Path, scope: &str) -> Option<Fleet> {
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
    check_groups(reader, &groups);

    let used: BTreeSet<&str> =
        groups.iter().flat_map(|group| &group.links).map(|link| link.network.value.as_str()).collect();
    for link in groups.iter().flat_map(|group| &group.links) {
        networks::check_name(reader, &declared, &link.network.value, link.network.span);
    }
    if name.is_none() && declared.iter().any(|network| network.keys.subnet.is_absent()) {
        return None;
    }
    // Without a name the rest is still checked, as if there were one.
    let name = name.unwrap_or_else(|| "unnamed".parse().expect("the word is a name"));
    check_macs(reader, &name, &groups);
    check_ports(reader, &groups);
    let Resolved { own: networks, outer } = networks::resolve(reader, &declared, &name, scope, &used)?;
    check_reach(reader, &groups, &networks, &outer);
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
    let members = containers.iter().map(|container| member(&name, container)).collect();
    let engine = engine.value().copied().unwrap_or_default();
    let (profiles, private_keys) = (profiles(&groups), std::mem::take(&mut reader.private_keys));
    let file = file.to_owned();
    Some(Fleet {
        name,
        file,
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
    })
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

fn fleet_name(reader: &mut Reader, section: &Section<'_>) -> Option<FleetName> {
    let name = section.scalar(reader, "fleet", |text| {
        text.parse().map_err(|error| {
            let complaint = Complaint::new(format!("`{text}` cannot be the name of a fleet: {error}"));
            Complaint { hint: scalar::nearest_name(text), ..complaint }
        })
    });
    match name {
        Setting::Given(name) => Some(name.value),
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

/// Finds what only shows when all layers of a container lie on each other.
fn check_groups(reader: &mut Reader, groups: &[Group]) {
    for group in groups {
        let (key, keys) = (&group.key, &group.keys);
        keys.security.check(reader, group.is_on_host_network);
        check_entrypoint(reader, keys);
        check_arch(reader, keys);
        if keys.image.is_absent() {
            let complaint = Complaint::new(format!("the container `{}` has neither `distro` nor `image`", key.value));
            reader.complain(key.span, complaint.hint("write `distro: debian/12` or `image: file:PATH`"));
        }
        if group.names.len() > 1 {
            let macs = group.links.iter().map(|link| ("mac", link.mac.given().map(|mac| mac.span)));
            let hostname = ("hostname", keys.hostname.given().map(|name| name.span));
            for (name, span) in macs.chain([hostname]) {
                if let Some(span) = span {
                    let complaint =
                        Complaint::new(format!("`{}` has replicas, which cannot share one `{name}`", key.value));
                    reader.complain(span, complaint.hint(format!("leave `{name}` out: each replica gets its own")));
                }
            }
        }
    }
}

/// Finds what asks for more than the networks of a container can do.
fn check_reach(reader: &mut Reader, groups: &[Group], own: &[NetworkSpec], outer: &[OuterNetwork]) {
    for group in groups {
        let name = &group.key.value;
        let is_own = |link: &LinkKeys| own.iter().any(|network| network.name.as_str() == link.network.value);
        if let Some(first) = group.keys.ports.value().and_then(|ports| ports.first())
            && !group.links.iter().any(is_own)
        {
            let complaint =
                Complaint::new(format!("no port of `{name}` can be published: fleet makes none of its networks"));
            let hint = if group.is_on_host_network {
                "leave `ports` out: what it listens on is the host's already"
            } else {
                "add a network of the fleet's own to `networks`"
            };
            reader.complain(first.span, complaint.hint(hint));
        }
        check_port_families(reader, group, own);
        for link in &group.links {
            let shared = outer.iter().find(|network| network.name.as_str() == link.network.value);
            if let Some(OuterNetwork { way: LinkWay::Ipvlan(_), parent, .. }) = shared
                && let Some(mac) = link.mac.given()
            {
                let complaint = Complaint::new(format!("an ipvlan link has the MAC address of its parent `{parent}`"));
                reader.complain(mac.span, complaint.hint("leave `mac` out, or write `type: macvlan`"));
            }
        }
    }
}

/// Finds ports that are published for IPv6 alone and lead nowhere.
fn check_port_families(reader: &mut Reader, group: &Group, own: &[NetworkSpec]) {
    let network = |link: &LinkKeys| own.iter().find(|network| network.name.as_str() == link.network.value);
    let Some(network) = group.links.iter().find_map(network).filter(|network| network.subnet6.is_none()) else {
        return;
    };
    let ports = group.keys.ports.value().into_iter().flatten();
    for port in ports.filter(|port| !port.value.is_of(IpFamily::Ipv4)) {
        let message = format!("`{}` has no IPv6 address on the network `{}`", group.key.value, network.name);
        reader.complain(port.span, Complaint::new(message).hint("give the network a `subnet6`"));
    }
}

/// Finds an architecture that is not the one in the image's name.
fn check_arch(reader: &mut Reader, keys: &Layer) {
    let Some(arch) = keys.arch.given() else { return };
    let named = keys.image.value().and_then(|image| match image {
        ImageSource::Bootstrap(request) if request.arch == native_architecture() => None,
        image => image.architecture(),
    });
    if let Some(named) = named.filter(|named| named != &arch.value) {
        let complaint = Complaint::new(format!("the image is named for {named}, and not for {}", arch.value));
        reader.complain(arch.span, complaint.hint("leave one of them out"));
    }
}

/// Finds what `init: entrypoint` does not go with.
fn check_entrypoint(reader: &mut Reader, keys: &Layer) {
    let Some(init) = keys.init.given().filter(|init| init.value == Init::Entrypoint) else { return };
    if keys.security.is_privileged() {
        let complaint = Complaint::new("`init: entrypoint` and `privileged: true` exclude each other");
        let hint = "leave one of them out: a privileged container could reach the init, which is fleet's own program";
        reader.complain(init.span, complaint.hint(hint));
    }
    let is_of_registry = |image: &ImageSource| match image {
        ImageSource::Distro(distro) => distro.name.repository().is_some(),
        ImageSource::Busybox | ImageSource::File { .. } | ImageSource::Https { .. } | ImageSource::Bootstrap(_) => {
            false
        }
    };
    if keys.image.value().is_some_and(|image| !is_of_registry(image)) {
        let complaint = Complaint::new("only an image of a registry names the program that it is made for");
        reader.complain(init.span, complaint.hint("name the program with `init: /path`, or leave `init` out"));
    }
}

/// Finds link-layer addresses that two links have: a bridge tells its ports apart by nothing else. Replicas with
/// a given one are a finding already.
fn check_macs(reader: &mut Reader, fleet: &FleetName, groups: &[Group]) {
    let mut seen: HashMap<MacAddress, (&ContainerName, Option<Span>)> = HashMap::new();
    for (group, link) in groups.iter().flat_map(|group| group.links.iter().map(move |link| (group, link))) {
        let given = link.mac.given().map(|mac| mac.span);
        let names = if given.is_some() { group.names.get(..1).unwrap_or_default() } else { &group.names };
        for name in names {
            let mac = mac(fleet, link, name);
            let Some((other, other_given)) = seen.insert(mac, (name, given)) else { continue };
            // A clash of two derived ones is a name that is there twice, and a finding already.
            if let Some(place) = given.or(other_given) {
                reader.complain(place, format!("`{other}` and `{name}` have the same MAC address {mac}"));
            }
        }
    }
}

fn mac(fleet: &FleetName, link: &LinkKeys, name: &ContainerName) -> MacAddress {
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

/// What `container` is to the others.
fn member(fleet: &FleetName, container: &ContainerSpec) -> Member {
    let name = container.name.as_str();
    let hostname = container.guest.hostname.as_str();
    let label = hostname.split_once('.').map_or(hostname, |(label, _)| label);
    let mut names = vec![label.to_owned()];
    if name != label {
        names.push(name.to_owned());
    }
    names.push(format!("{name}.{fleet}"));
    Member { names, addresses: container.addresses_by_network() }
}
