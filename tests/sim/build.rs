//! Fleets and hosts for tests: the fleet `dev`, and a host on which all of it runs.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use fleet::model::{
    BRIDGE_GROUP, Bytes, ContainerName, ContainerRecord, ContainerSpec, ContainerState, DeviceSpec, Egress, EngineKind,
    Fleet, FleetName, GuestLink, GuestNetwork, GuestSpec, Host, ID_POOL, ID_RANGE_LENGTH, IdRange, ImageDigest,
    ImageSource, ImageState, Init, Ipv6Use, LOOPBACK, Limits, LinkKind, LinkSpec, LinkState, LinkWay, MacAddress,
    MachineId, Member, MonitorState, MountSource, MountSpec, MountState, NetworkName, NetworkSpec, Ownership, PairEnd,
    PortMode, Restart, RunState, Running, SecuritySpec, Segment, bridge_mac, bridge_mark, host_table, hosts_digest,
    stable_hash,
};
use ipnet::{Ipv4Net, Ipv6Net};

pub(crate) fn container_name(text: &str) -> ContainerName {
    text.parse().expect("a container name")
}

pub(crate) fn fleet_name(text: &str) -> FleetName {
    text.parse().expect("a fleet name")
}

/// The digest whose digits are all `digit`.
pub(crate) fn digest(digit: char) -> ImageDigest {
    ImageDigest(digit.to_string().repeat(64))
}

pub(crate) fn file_image(path: &str) -> ImageSource {
    ImageSource::File { path: PathBuf::from(path), sha256: None }
}

pub(crate) fn network() -> NetworkSpec {
    NetworkSpec {
        name: NetworkName::default(),
        bridge: "fleet0".to_owned(),
        mac: bridge_mac("", &fleet_name("dev"), &NetworkName::default()),
        subnet: "10.42.0.0/24".parse().expect("a subnet"),
        gateway: Ipv4Addr::new(10, 42, 0, 1),
        subnet6: None,
        dns: Vec::new(),
        nat: true,
        isolated: false,
        egress: Egress::All,
        mtu: None,
        members_per_bridge: 1000,
    }
}

/// The network `name` of the fleet, with a bridge `fl-NAME`.
pub(crate) fn network_named(name: &str, subnet: &str) -> NetworkSpec {
    let subnet: Ipv4Net = subnet.parse().expect("a subnet");
    NetworkSpec {
        name: name.parse().expect("a name"),
        bridge: format!("fl-{name}"),
        mac: bridge_mac("", &fleet_name("dev"), &name.parse().expect("a name")),
        subnet,
        gateway: subnet.hosts().next().expect("it has some"),
        ..network()
    }
}

/// The link `inside` of the container `container` to `network`, with the subnet's address number `last`.
pub(crate) fn link_to(network: &NetworkSpec, inside: &str, container: &str, last: u8) -> LinkSpec {
    let address = Ipv4Addr::from(u32::from(network.subnet.network()) + u32::from(last));
    LinkSpec {
        network: network.name.clone(),
        name: inside.to_owned(),
        way: LinkWay::default(),
        parent: network.bridge.clone(),
        host_name: format!("fl-{container}-{inside}"),
        address: Ipv4Net::new(address, network.subnet.prefix_len()).ok(),
        gateway: None,
        address6: None,
        gateway6: None,
        mac: MacAddress::derive(&["link", container, network.name.as_str()]),
        mtu: None,
        port: PortMode { isolated: network.isolated, hairpin: false },
    }
}

/// The container `name` with the address `10.42.0.LAST`.
pub(crate) fn spec(name: &str, last: u8) -> ContainerSpec {
    ContainerSpec {
        name: container_name(name),
        image: file_image("/a.tar.gz"),
        arch: "amd64".to_owned(),
        init: Init::Auto,
        limits: Limits { memory: Some(Bytes(256 << 20)), ..Limits::default() },
        links: vec![LinkSpec {
            network: NetworkName::default(),
            name: LinkSpec::first_name(),
            way: LinkWay::default(),
            parent: network().bridge,
            host_name: format!("fl-{name}"),
            address: Ipv4Net::new(Ipv4Addr::new(10, 42, 0, last), 24).ok(),
            gateway: Some(network().gateway),
            address6: None,
            gateway6: None,
            mac: MacAddress::derive(&["link", name]),
            mtu: None,
            port: PortMode::default(),
        }],
        is_on_host_network: false,
        guest: GuestSpec {
            hostname: name.to_owned(),
            machine_id: MachineId::derive("dev", name),
            users: Vec::new(),
            ssh_keys: Vec::new(),
            dns: Vec::new(),
            templates: std::collections::BTreeMap::new(),
        },
        stop_timeout_s: 10,
        restart: Restart::default(),
        security: SecuritySpec::default(),
        mounts: Vec::new(),
        devices: Vec::new(),
        ports: Vec::new(),
    }
}

/// The volume `name` mounted at `target`.
pub(crate) fn volume(name: &str, target: &str) -> MountSpec {
    let source = MountSource::Volume { name: name.to_owned() };
    MountSpec { source, target: PathBuf::from(target), read_only: false }
}

/// The host's device `path` at the same place in the guest.
pub(crate) fn device(path: &str) -> DeviceSpec {
    DeviceSpec { source: PathBuf::from(path), target: PathBuf::from(path), mode: 0o666 }
}

fn member(spec: &ContainerSpec) -> Member {
    let names = vec![spec.guest.hostname.clone(), format!("{}.dev", spec.guest.hostname)];
    Member { names, addresses: spec.addresses_by_network() }
}

/// The fleet `dev` of these containers.
pub(crate) fn fleet_of(containers: Vec<ContainerSpec>) -> Fleet {
    Fleet {
        name: fleet_name("dev"),
        file: PathBuf::from("fleet.yaml"),
        engine: EngineKind::Native,
        scope: String::new(),
        networks: vec![network()],
        outer: Vec::new(),
        keeps_volumes: true,
        pins: Vec::new(),
        signing_keys: BTreeMap::new(),
        members: containers.iter().map(member).collect(),
        containers,
        profiles: BTreeMap::new(),
        private_keys: BTreeMap::new(),
    }
}

/// `fleet` with an IPv6 subnet on its default network, whose members have the number there that they have in the other.
pub(crate) fn with_ipv6(mut fleet: Fleet) -> Fleet {
    let subnet: Ipv6Net = "fd00:42::/64".parse().expect("a subnet");
    let Some(network) = fleet.networks.iter_mut().find(|network| network.name.is_default()) else { return fleet };
    network.subnet6 = Some(subnet);
    let gateway6 = network.gateway6();
    for link in fleet.containers.iter_mut().flat_map(|spec| &mut spec.links).filter(|link| link.network.is_default()) {
        let last = link.address.map_or(2, |address| address.addr().octets()[3]);
        let address = Ipv6Addr::from(u128::from(subnet.network()) + u128::from(last));
        link.address6 = Ipv6Net::new(address, subnet.prefix_len()).ok();
        link.gateway6 = gateway6;
    }
    fleet.members = fleet.containers.iter().map(member).collect();
    fleet
}

/// The range in slot `slot` of the pool.
pub(crate) fn ids(slot: u32) -> IdRange {
    IdRange { base: ID_POOL.start + slot * ID_RANGE_LENGTH }
}

/// The record of a container of `fleet` that was made as `spec` from the image whose digits are `a`.
pub(crate) fn record(fleet: &Fleet, spec: &ContainerSpec, slot: u32) -> ContainerRecord {
    ContainerRecord {
        fleet: fleet.name.clone(),
        engine: fleet.engine,
        spec: spec.clone(),
        image: digest('a'),
        ids: ids(slot),
        hosts: hosts_digest(&host_table(&fleet.members, &spec.network_names())),
    }
}

/// What a container that was just started as `spec` does.
pub(crate) fn running(spec: &ContainerSpec) -> Running {
    Running {
        pid: 1000,
        init: None,
        monitor: MonitorState::Alive(999),
        frozen: false,
        is_stopping: false,
        limits: spec.limits.clone(),
        memory_used: None,
        mounts: mounts_in_place(spec),
        network: network_in_place(spec),
        uptime_s: 60,
    }
}

/// All links of `spec`, as they should be.
pub(crate) fn network_in_place(spec: &ContainerSpec) -> Option<GuestNetwork> {
    let loopback = GuestLink {
        index: LOOPBACK,
        name: "lo".to_owned(),
        way: None,
        beyond: None,
        mac: None,
        up: true,
        mtu: 65536,
        addresses: Vec::new(),
        gateways: Vec::new(),
    };
    let link = |link: &LinkSpec| GuestLink {
        index: number_of(link),
        name: link.name.clone(),
        way: Some(link.way),
        beyond: Some(number(&link.host_name)),
        mac: Some(link.mac),
        mtu: link.mtu.unwrap_or(1500),
        addresses: link.addresses().collect(),
        gateways: link.gateways().collect(),
        ..loopback.clone()
    };
    let links = std::iter::once(loopback.clone()).chain(spec.links.iter().map(link)).collect();
    (!spec.is_on_host_network).then(|| GuestNetwork { number: None, given: spec.links.clone(), links })
}

/// The number of a link of the host: a name has always the same.
fn number(name: &str) -> u32 {
    let hash = stable_hash(&["number", name]);
    u32::from_be_bytes([0, hash[0], hash[1], hash[2]])
}

/// The number of a link in its guest.
fn number_of(link: &LinkSpec) -> u32 {
    2 + number(link.network.as_str())
}

/// All mounts of `spec`, as they should be.
pub(crate) fn mounts_in_place(spec: &ContainerSpec) -> Vec<MountState> {
    spec.mounts.iter().map(|mount| MountState { spec: mount.clone(), fault: None }).collect()
}

/// A container of ours that runs.
pub(crate) fn running_container(record: ContainerRecord) -> ContainerState {
    ContainerState {
        name: record.spec.name.clone(),
        run: RunState::Running(Box::new(running(&record.spec))),
        ownership: Ownership::Ours(Box::new(record)),
        last_exit: None,
    }
}

/// The bridge of `network` as it should be.
pub(crate) fn bridge(network: &NetworkSpec) -> LinkState {
    LinkState {
        index: number(&network.bridge),
        kind: LinkKind::Bridge,
        mac: Some(network.mac),
        alias: Some(bridge_mark(&fleet_name("dev"), &network.name)),
        group: BRIDGE_GROUP,
        addresses: network.host_addresses().collect(),
        ipv6: network.ipv6(),
        mtu: network.mtu.unwrap_or(1500),
        ..link()
    }
}

/// The links of a segment of `network`, by name.
pub(crate) fn segment(network: &NetworkSpec, segment: &Segment) -> BTreeMap<String, LinkState> {
    let bridge = LinkState {
        kind: LinkKind::Bridge,
        mac: Some(segment.mac),
        alias: Some(segment.mark(&fleet_name("dev"), &network.name)),
        speaks_arp: false,
        ..link()
    };
    let end = |end: &PairEnd, of: &str, port| {
        let kind = LinkKind::Veth;
        let mtu = network.pair_mtu();
        (end.name.clone(), LinkState { kind, mac: Some(end.mac), controller: Some(of.to_owned()), port, mtu, ..link() })
    };
    let ends = [
        end(&segment.inner, &segment.bridge, PortMode::default()),
        end(&segment.outer, &network.bridge, network.port_of_segment()),
    ];
    ends.into_iter().chain([(segment.bridge.clone(), bridge)]).collect()
}

/// The host's end of the running container's `link`.
pub(crate) fn host_end(link_spec: &LinkSpec) -> LinkState {
    LinkState {
        index: number(&link_spec.host_name),
        beyond: Some(number_of(link_spec)),
        namespace_beyond: Some(0),
        mac: Some(link_spec.host_mac()),
        kind: LinkKind::Veth,
        controller: Some(link_spec.parent.clone()),
        port: link_spec.port,
        ..link()
    }
}

/// A link of no kind in particular that is up.
fn link() -> LinkState {
    LinkState {
        index: 2,
        beyond: None,
        namespace_beyond: None,
        kind: LinkKind::Other,
        mac: None,
        up: true,
        speaks_arp: true,
        addresses: Vec::new(),
        controller: None,
        alias: None,
        mtu: 1500,
        group: 0,
        port: PortMode::default(),
        ipv6: Ipv6Use::Off,
        follows_router: false,
        loopback: false,
    }
}

/// A network card with `address`.
pub(crate) fn card(address: &str) -> LinkState {
    let mac = Some(MacAddress([0, 1, 2, 3, 4, 5]));
    LinkState { mac, addresses: vec![address.parse().expect("an address")], ..link() }
}

/// A host that has a network card and the image `/a.tar.gz`, and nothing of ours.
pub(crate) fn bare_host() -> Host {
    Host {
        links: [("eth0".to_owned(), card("192.168.7.9/24"))].into(),
        images: [(file_image("/a.tar.gz"), ImageState::Stored(digest('a')))].into(),
        ..Host::default()
    }
}
