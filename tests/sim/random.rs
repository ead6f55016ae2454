//! Random fleets, and random hosts on which something of them may be.

use std::collections::BTreeMap;

use fleet::model::{
    Bytes, ContainerSpec, ContainerState, Cpus, Egress, Fleet, Forwarding, GuestLink, Host, ID_POOL, ImageSource,
    ImageState, Init, InitKind, LinkSpec, LinkState, MacAddress, MonitorState, MountFault, MountState, NeighbourLimits,
    NeighbourTable, NetworkSpec, Ownership, PerFamily, PortForward, Protocol, Restart, Restarting, RunState, Running,
    Segment, Startable, TableState, Weight, hosts_digest,
};
use proptest::prelude::*;

use super::{build, volume_of};

/// Few names, addresses and images, so that everything meets everything.
const NAMES: [&str; 6] = ["c0", "c1", "c2", "c3", "c4", "c5"];

fn images() -> [ImageSource; 3] {
    [ImageSource::Busybox, build::file_image("/a.tar.gz"), build::file_image("/b.tar.gz")]
}

/// Specs of some of the containers, no two with one address.
fn specs() -> impl Strategy<Value = Vec<ContainerSpec>> {
    let choices = proptest::collection::vec((0..4_u8, choice()), NAMES.len());
    let addresses = Just((10..10 + NAMES.len()).collect::<Vec<_>>()).prop_shuffle();
    (choices, addresses).prop_map(|(choices, addresses)| {
        let all = NAMES.iter().zip(choices).zip(addresses);
        all.filter(|((_, (is_absent, _)), _)| *is_absent != 0)
            .map(|((name, (_, choice)), last)| choice.spec(name, u8::try_from(last).expect("small")))
            .collect()
    })
}

/// A network that some containers have a second link to.
fn storage() -> NetworkSpec {
    build::network_named("storage", "10.43.0.0/24")
}

/// What a container is like, each part with most weight on one value so that much stays equal.
#[derive(Debug, Clone)]
struct Choice {
    image: usize,
    memory: Option<u64>,
    cpus: Option<u32>,
    hostname: Option<&'static str>,
    key: Option<&'static str>,
    init: Init,
    stop_timeout_s: u32,
    access: Access,
}

/// What a container may use, do and see beyond the ordinary. One of it at a time: they do not depend on each other.
#[derive(Debug, Clone, Copy)]
enum Access {
    Ordinary,
    Weight,
    Processors,
    Reading,
    Restarting,
    Privileged,
    NoKill,
    Parameter,
    Mounted(&'static str),
    Fuse,
    Published,
    Linked,
}

impl Access {
    fn give(self, spec: &mut ContainerSpec) {
        match self {
            Access::Ordinary => {}
            Access::Weight => spec.limits.cpu_weight = Weight::new(50),
            Access::Processors => spec.limits.cpuset = "0-1".parse().ok(),
            Access::Reading => spec.limits.io.read = Some(Bytes(1 << 20)),
            Access::Restarting => spec.restart = Restart::Always,
            Access::Privileged => spec.security.privileged = true,
            Access::NoKill => drop(spec.security.capabilities.drop.insert("kill".parse().expect("a capability"))),
            Access::Parameter => {
                drop(spec.security.sysctls.insert("net.ipv4.ip_forward".to_owned(), "1".to_owned()));
            }
            Access::Mounted(volume) => {
                spec.mounts.push(build::volume(volume, "/srv"));
            }
            Access::Linked => {
                let last = spec.address().expect("it has one").octets()[3];
                let link = build::link_to(&storage(), "eth1", spec.name.as_str(), last);
                spec.links.push(link);
            }
            Access::Fuse => spec.devices.push(build::device("/dev/fuse")),
            Access::Published => {
                // Each address has a port of its own.
                let host = 8000 + u16::from(spec.address().expect("it has one").octets()[3]);
                spec.ports.push(PortForward { address: None, host, guest: 80, count: 1, protocol: Protocol::Tcp });
                spec.links[0].port.hairpin = true;
            }
        }
    }
}

fn access() -> impl Strategy<Value = Access> {
    prop_oneof![
        6 => Just(Access::Ordinary),
        1 => Just(Access::Weight),
        1 => Just(Access::Processors),
        1 => Just(Access::Reading),
        1 => Just(Access::Restarting),
        1 => Just(Access::Privileged),
        1 => Just(Access::NoKill),
        1 => Just(Access::Parameter),
        1 => Just(Access::Mounted("one")),
        1 => Just(Access::Mounted("other")),
        1 => Just(Access::Fuse),
        1 => Just(Access::Published),
        2 => Just(Access::Linked),
    ]
}

impl Choice {
    fn spec(self, name: &str, last: u8) -> ContainerSpec {
        let mut spec = build::spec(name, last);
        spec.image = images()[self.image].clone();
        spec.limits.memory = self.memory.map(|mib| Bytes(mib << 20));
        spec.limits.cpus = self.cpus.map(|millis| Cpus { millis });
        self.hostname.unwrap_or(name).clone_into(&mut spec.guest.hostname);
        spec.guest.ssh_keys = self.key.map(str::to_owned).into_iter().collect();
        if self.init == Init::Entrypoint {
            "i386".clone_into(&mut spec.arch);
        }
        spec.init = self.init;
        spec.stop_timeout_s = self.stop_timeout_s;
        self.access.give(&mut spec);
        spec
    }
}

fn choice() -> impl Strategy<Value = Choice> {
    let image = prop_oneof![4 => Just(0), 2 => Just(1), 1 => Just(2)];
    let memory = prop_oneof![3 => Just(Some(256)), 1 => Just(Some(512)), 1 => Just(None)];
    let cpus = prop_oneof![3 => Just(None), 1 => Just(Some(500))];
    let hostname = prop_oneof![5 => Just(None), 1 => Just(Some("renamed"))];
    let key = prop_oneof![3 => Just(None), 1 => Just(Some("ssh-ed25519 AAAA me"))];
    let init =
        prop_oneof![5 => Just(Init::Auto), 1 => Just(Init::Kind(InitKind::Systemd)), 1 => Just(Init::Entrypoint)];
    let stop_timeout_s = prop_oneof![5 => Just(10), 1 => Just(20)];
    (image, memory, cpus, hostname, key, init, stop_timeout_s, access()).prop_map(
        |(image, memory, cpus, hostname, key, init, stop_timeout_s, access)| Choice {
            image,
            memory,
            cpus,
            hostname,
            key,
            init,
            stop_timeout_s,
            access,
        },
    )
}

/// A fleet with some of the containers.
pub(crate) fn fleet() -> impl Strategy<Value = Fleet> {
    let egress = prop_oneof![4 => Just(Egress::All), 1 => Just(Egress::None)];
    let nat = prop_oneof![4 => Just(true), 1 => Just(false)];
    let ipv6 = prop_oneof![2 => Just(false), 1 => Just(true)];
    let members_per_bridge = prop_oneof![2 => Just(1000), 1 => Just(2)];
    let rest = (members_per_bridge, any::<bool>());
    (specs(), egress, nat, ipv6, rest).prop_map(|(specs, egress, nat, ipv6, (members_per_bridge, is_declared))| {
        let mut fleet = build::fleet_of(specs);
        fleet.networks[0].members_per_bridge = members_per_bridge;
        if ipv6 {
            fleet = build::with_ipv6(fleet);
        }
        (fleet.networks[0].egress, fleet.networks[0].nat) = (egress, nat);
        // A network that nobody uses may be written or not.
        if is_declared || fleet.containers.iter().any(|spec| spec.link_to(&storage().name).is_some()) {
            fleet.networks.push(storage());
        }
        fleet
    })
}

/// What becomes of the links of a fleet's containers.
#[derive(Debug, Clone)]
pub(crate) struct ChangedLinks(Vec<u8>);

pub(crate) fn fleet_changed() -> impl Strategy<Value = ChangedLinks> {
    proptest::collection::vec(0..6_u8, NAMES.len()).prop_map(ChangedLinks)
}

impl ChangedLinks {
    /// `fleet` with those links.
    pub(crate) fn of(&self, fleet: &Fleet) -> Fleet {
        let mut containers = fleet.containers.clone();
        let addresses: Vec<_> = containers.iter().map(|spec| spec.links[0].address).collect();
        for (place, (spec, change)) in containers.iter_mut().zip(&self.0).enumerate() {
            match change {
                0 => {}
                1 => spec.links[0].mac = MacAddress([2, 0, 0, 0, 1, u8::try_from(place).expect("few")]),
                2 => "lan0".clone_into(&mut spec.links[0].name),
                3 => spec.links[0].mtu = Some(1400),
                4 => {
                    let last = addresses[place].expect("it has one").addr().octets()[3];
                    let link = build::link_to(&storage(), "eth1", spec.name.as_str(), last);
                    spec.links.truncate(1);
                    spec.links.push(link);
                }
                _ => spec.links.truncate(1),
            }
        }
        // All trade addresses with the next one; what is published goes along.
        let count = containers.len();
        if self.0[0].is_multiple_of(2) {
            for (place, spec) in containers.iter_mut().enumerate() {
                spec.links[0].address = addresses[(place + 1) % count];
            }
        }
        let mut changed = build::fleet_of(containers);
        changed.networks.clone_from(&fleet.networks);
        if !changed.networks.iter().any(|network| network.name == storage().name) {
            changed.networks.push(storage());
        }
        changed
    }
}

/// What somebody has written into the fleet file and not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    Nothing,
    Subnet,
    Bridge,
    Gateway,
    Mtu,
    Isolated,
    NoNat,
    NoSuchNetwork,
    NoContainers,
}

pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    use Edit::{Bridge, Gateway, Isolated, Mtu, NoContainers, NoNat, NoSuchNetwork, Nothing, Subnet};
    let others = [Subnet, Bridge, Gateway, Mtu, Isolated, NoNat, NoSuchNetwork, NoContainers];
    prop_oneof![1 => Just(Nothing), 2 => proptest::sample::select(others.to_vec())]
}

impl Edit {
    /// `fleet` as its file says then.
    pub(crate) fn of(self, fleet: &Fleet) -> Fleet {
        let mut edited = fleet.clone();
        let network = &mut edited.networks[0];
        match self {
            Edit::Nothing => {}
            Edit::Subnet => {
                let other = build::network_named("other", "10.44.0.0/24");
                (network.subnet, network.gateway) = (other.subnet, other.gateway);
                for link in edited.containers.iter_mut().map(|spec| &mut spec.links[0]) {
                    let last = link.address.expect("it has one").addr().octets()[3];
                    link.address = build::link_to(network, "eth0", "", last).address;
                    link.gateway = Some(network.gateway);
                }
            }
            Edit::Bridge => "other0".clone_into(&mut network.bridge),
            Edit::Gateway => network.gateway = [10, 42, 0, 254].into(),
            Edit::Mtu => network.mtu = Some(1400),
            Edit::Isolated => network.isolated = true,
            Edit::NoNat => network.nat = !network.nat,
            Edit::NoSuchNetwork => edited.networks.truncate(1),
            Edit::NoContainers => edited.containers.truncate(1),
        }
        edited
    }
}

/// What may be the matter with the host's packet rules.
#[derive(Debug, Clone, Copy)]
enum Rules {
    Ready,
    Flushed,
    Absent,
    OthersToo,
    NotPassing,
    /// Whether fleet has made room for some.
    FewNeighbours(bool),
}

fn rules() -> impl Strategy<Value = Rules> {
    prop_oneof![
        4 => Just(Rules::Ready),
        1 => Just(Rules::Flushed),
        1 => Just(Rules::Absent),
        1 => Just(Rules::OthersToo),
        1 => Just(Rules::NotPassing),
        1 => any::<bool>().prop_map(Rules::FewNeighbours),
    ]
}

impl Rules {
    fn give(self, fleet: &Fleet, host: &mut Host) {
        let mut chains = fleet.chains();
        host.forwarding = PerFamily::each(|_| Forwarding { is_on: true, is_recorded: true });
        host.neighbours = PerFamily::each(|_| NeighbourTable { limits: Some(NeighbourLimits::USUAL), restored: None });
        match self {
            Rules::Ready => {}
            Rules::Flushed => chains.values_mut().for_each(|chain| chain.rules.clear()),
            Rules::Absent => chains.clear(),
            Rules::OthersToo => {
                let other = Fleet { name: build::fleet_name("other"), ..fleet.clone() };
                chains.extend(other.chains());
            }
            Rules::NotPassing => host.forwarding = PerFamily::default(),
            Rules::FewNeighbours(restored) => {
                let limits = Some(NeighbourLimits([4, 16, 64]));
                let restored = restored.then_some(NeighbourLimits([4, 8, 32]));
                host.neighbours = PerFamily::each(|_| NeighbourTable { limits, restored });
            }
        }
        if !chains.is_empty() {
            host.firewall.table = TableState::Ours;
        }
        host.firewall.chains = chains;
    }
}

/// What may be the matter with a container on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Matter {
    Nothing,
    Stopped,
    Restarting,
    NoMonitor,
    NoLink,
    OtherLimits,
    OtherMounts,
    LinkDown,
    LinkGone,
    OtherLinks,
    Stopping,
    Incomplete,
    OldImage,
    OldHosts,
    OtherFleet,
    Foreign,
}

fn matter() -> impl Strategy<Value = Matter> {
    prop_oneof![
        12 => Just(Matter::Nothing),
        6 => Just(Matter::Stopped),
        3 => Just(Matter::Restarting),
        3 => Just(Matter::NoMonitor),
        3 => Just(Matter::NoLink),
        3 => Just(Matter::OtherLimits),
        3 => Just(Matter::OtherMounts),
        2 => Just(Matter::LinkDown),
        2 => Just(Matter::LinkGone),
        2 => Just(Matter::OtherLinks),
        1 => Just(Matter::Stopping),
        6 => Just(Matter::Incomplete),
        6 => Just(Matter::OldImage),
        6 => Just(Matter::OldHosts),
        1 => Just(Matter::OtherFleet),
        1 => Just(Matter::Foreign),
    ]
}

fn container(fleet: &Fleet, spec: &ContainerSpec, slot: u32, matter: Matter) -> ContainerState {
    let mut record = build::record(fleet, spec, slot);
    match matter {
        Matter::OldImage => record.image = build::digest('0'),
        Matter::OldHosts => record.hosts = hosts_digest(&[]),
        Matter::OtherFleet => {
            record.fleet = build::fleet_name("other");
            record.spec.links.truncate(1);
            "other0".clone_into(&mut record.spec.links[0].parent);
            record.spec.links[0].address = format!("10.99.0.{}/24", slot + 2).parse().ok();
            (record.spec.links[0].address6, record.spec.links[0].gateway6) = (None, None);
        }
        Matter::Nothing
        | Matter::Stopped
        | Matter::Restarting
        | Matter::NoMonitor
        | Matter::NoLink
        | Matter::OtherLimits
        | Matter::OtherMounts
        | Matter::LinkDown
        | Matter::LinkGone
        | Matter::OtherLinks
        | Matter::Stopping
        | Matter::Incomplete
        | Matter::Foreign => {}
    }
    let mut container = build::running_container(record);
    if let RunState::Running(running) = &mut container.run {
        match matter {
            Matter::NoMonitor => running.monitor = MonitorState::Dead,
            Matter::OtherLimits => running.limits.pids = Some(7),
            Matter::Stopping => running.is_stopping = true,
            Matter::OtherMounts => {
                running.mounts.iter_mut().for_each(|mount| mount.fault = Some(MountFault::Covered));
                running.mounts.push(MountState { spec: build::volume("former", "/former"), fault: None });
            }
            Matter::LinkDown => links_in(running).for_each(|link| (link.up, link.mtu) = (false, 1300)),
            Matter::LinkGone => {
                running.network.iter_mut().for_each(|network| network.links.retain(|link| link.beyond.is_none()));
            }
            Matter::OtherLinks => {
                links_in(running).for_each(|link| link.addresses = vec!["10.42.0.250/24".parse().expect("one")]);
                for given in running.network.iter_mut().flat_map(|network| &mut network.given) {
                    given.address = "10.42.0.250/24".parse().ok();
                }
            }
            Matter::Stopped => container.run = RunState::Stopped,
            Matter::Restarting => {
                container.run = RunState::Restarting(Restarting { monitor: 999, next_start_s: 1_700_000_060 });
            }
            Matter::Incomplete => container.run = RunState::Incomplete("half deleted".to_owned()),
            Matter::Foreign => container.ownership = Ownership::Foreign,
            Matter::Nothing | Matter::NoLink | Matter::OldImage | Matter::OldHosts | Matter::OtherFleet => {}
        }
    }
    container
}

/// The links that lead out.
fn links_in(running: &mut Running) -> impl Iterator<Item = &mut GuestLink> {
    let links = running.network.iter_mut().flat_map(|network| &mut network.links);
    links.filter(|link| link.beyond.is_some())
}

/// What may be the matter with the host's links.
#[derive(Debug, Clone, Copy)]
enum Links {
    Ready,
    Absent,
    Down,
    NoAddress,
    OtherName,
    Foreign,
    Overlapping,
}

fn links() -> impl Strategy<Value = Links> {
    prop_oneof![
        6 => Just(Links::Ready),
        3 => Just(Links::Absent),
        2 => Just(Links::Down),
        2 => Just(Links::NoAddress),
        2 => Just(Links::OtherName),
        1 => Just(Links::Foreign),
        1 => Just(Links::Overlapping),
    ]
}

/// How the members were spread over several bridges before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    Not,
    Wholly,
    Broken,
}

impl Spread {
    /// Puts all members but two on segments.
    fn give(self, fleet: &mut Fleet, host: &mut Host) {
        if self == Spread::Not {
            return;
        }
        let network = fleet.networks[0].clone();
        let segments: Vec<Segment> = network.segments().collect();
        for (pair, specs) in fleet.containers.chunks_mut(2).enumerate().skip(1) {
            let segment = &segments[pair - 1];
            let mut links = build::segment(&network, segment);
            let is_there = host.links.get(&network.bridge).is_some_and(|link| link.mac == Some(network.mac));
            if self == Spread::Broken || !is_there {
                links.get_mut(&segment.outer.name).expect("it is one of them").controller = None;
            }
            host.links.extend(links);
            for spec in specs {
                spec.links[0].parent.clone_from(&segment.bridge);
            }
        }
    }
}

/// A host on which some of the containers were made as some other fleet file said, before this and that happened.
pub(crate) fn host() -> impl Strategy<Value = Host> {
    let states = proptest::collection::vec(0..10_u8, 3);
    let matters = (proptest::collection::vec(matter(), NAMES.len()), links(), rules());
    let rest =
        (any::<bool>(), prop_oneof![3 => Just(Spread::Not), 1 => Just(Spread::Wholly), 1 => Just(Spread::Broken)]);
    (fleet(), matters, states, rest).prop_map(|(mut fleet, (matters, links, rules), states, (few_ids, spread))| {
        let mut host = build::bare_host();
        rules.give(&fleet, &mut host);
        if fleet.networks_in_use().any(|network| network.name == storage().name) {
            host.links.insert(storage().bridge, build::bridge(&storage()));
        }
        let bridge = build::bridge(&fleet.networks[0]);
        match links {
            Links::Ready => drop(host.links.insert("fleet0".to_owned(), bridge)),
            Links::Absent => {}
            Links::Down => drop(host.links.insert("fleet0".to_owned(), with(bridge, |link| link.up = false))),
            Links::NoAddress => {
                drop(host.links.insert("fleet0".to_owned(), with(bridge, |link| link.addresses.clear())));
            }
            Links::OtherName => {
                host.links.insert("former0".to_owned(), bridge);
                for spec in &mut fleet.containers {
                    "former0".clone_into(&mut spec.links[0].parent);
                }
            }
            Links::Foreign => {
                let mac = Some(MacAddress([2, 0, 0, 0, 0, 1]));
                drop(host.links.insert("fleet0".to_owned(), with(bridge, |link| link.mac = mac)));
            }
            Links::Overlapping => {
                drop(host.links.insert("vpn0".to_owned(), build::card("10.42.0.200/25")));
            }
        }
        spread.give(&mut fleet, &mut host);
        for ((slot, spec), matter) in (0..).zip(&fleet.containers).zip(matters) {
            let container = container(&fleet, spec, slot, matter);
            if matter != Matter::NoLink {
                host.links.extend(host_ends(&container, &host.links));
            }
            host.containers.insert(spec.name.clone(), container);
        }
        add_neighbours(&mut host, &fleet);
        host.images = image_states(&states);
        // Of one content it is known that it is made for a program, and sometimes that it has no init.
        let startable = Startable { init: Some(states[0] < 9), entrypoint: true };
        host.startable.insert(build::digest('a'), startable);
        let mounts = fleet.containers.iter().flat_map(|spec| &spec.mounts);
        host.volumes = mounts.filter_map(volume_of).map(str::to_owned).collect();
        host.volumes.insert("former".to_owned());
        if few_ids {
            // Twelve slots are left, eight of them taken: new containers must look for theirs.
            host.foreign_ids.push(build::ids(12).base..ID_POOL.end);
        }
        host
    })
}

/// The host's ends of the links of a container that runs, as ports of those of their bridges that are there.
fn host_ends(container: &ContainerState, links: &BTreeMap<String, LinkState>) -> Vec<(String, LinkState)> {
    let (Ownership::Ours(record), RunState::Running(_)) = (&container.ownership, &container.run) else {
        return Vec::new();
    };
    let end = |link: &LinkSpec| {
        let controller = links.contains_key(&link.parent).then(|| link.parent.clone());
        (link.host_name.clone(), LinkState { controller, ..build::host_end(link) })
    };
    record.spec.links.iter().map(end).collect()
}

fn with<T>(mut value: T, change: impl FnOnce(&mut T)) -> T {
    change(&mut value);
    value
}

/// Containers that are never anything to the fleet.
fn add_neighbours(host: &mut Host, fleet: &Fleet) {
    for (slot, name, matter) in [(6, "neighbour", Matter::OtherFleet), (7, "stranger", Matter::Foreign)] {
        let spec = build::spec(name, 200);
        host.containers.insert(spec.name.clone(), container(fleet, &spec, slot, matter));
    }
}

fn image_states(states: &[u8]) -> BTreeMap<ImageSource, ImageState> {
    // Two sources have one content.
    let digests = [build::digest('a'), build::digest('a'), build::digest('b')];
    let all = images().into_iter().zip(states).zip(digests);
    all.map(|((source, state), digest)| {
        let state = match state {
            0 => ImageState::Unavailable { why: format!("cannot read `{source}`"), hint: None },
            1 => {
                let request = Box::new("debian/12".parse().expect("one that can be made"));
                ImageState::StandIn { digest, request, why: "cannot reach the server".to_owned() }
            }
            2..=4 => ImageState::Available(digest),
            5.. => ImageState::Stored(digest),
        };
        (source, state)
    })
    .collect()
}
