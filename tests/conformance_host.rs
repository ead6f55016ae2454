//! What fleet makes of the host: seen when somebody changes it by hand, mended as containers run, and gone without a trace
//! with the fleet. With real containers.

mod nets;
mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nets::{Net, Outer};
use serde_json::Value;
use world::{World, host, names_in};

/// A fleet with something of every kind of network. The links of the host's that it needs are those of [`Outer`].
const FLEET: &str = "fleet: onhost
network: {subnet: 10.213.75.0/24, bridge: fleethost0}
networks:
  apart: {subnet: 10.213.76.0/24, bridge: fleethost1, isolated: true, egress: none, mtu: 1400}
  lan: {parent: fleettestlan0, subnet: 10.213.77.0/24}
  wire: {type: macvlan, parent: fleettestwire0, subnet: 10.213.78.0/24}
defaults: {distro: busybox, memory: 64MiB, pids: 64}
containers:
  a: {ip: 10.213.75.11, ports: ['18975:80', '127.0.0.1:18976:80']}
  b: {networks: [default, {network: apart, ip: 10.213.76.12}]}
  c: {networks: [{network: wire, ip: 10.213.78.11}, {network: lan, ip: 10.213.77.11}, apart]}
  alone: {networks: none}
  here: {networks: host}
";

/// All drift that the status knows of: what is on the host, then that of each container.
fn drift(world: &World) -> Vec<String> {
    let status = world.fleet(&["status", "-o", "json"]).expect(0).json();
    let rows = status["containers"].as_array().cloned().unwrap_or_default();
    let all = [&status["drift"]].into_iter().chain(rows.iter().map(|row| &row["drift"]));
    let words = all.flat_map(|words| words.as_array().cloned().unwrap_or_default());
    words.map(|word| word.as_str().unwrap_or_default().to_owned()).collect()
}

fn table() -> String {
    let listed = host("nft", &["list", "tables"]);
    let ours = listed.lines().find_map(|line| line.strip_prefix("table inet fleet-"));
    format!("fleet-{}", ours.expect("there is one"))
}

#[test]
fn whatever_somebody_does_to_the_hosts_side_is_seen_and_mended_as_containers_run() {
    let world = World::new();
    let _outer = Outer::new("10.213.77.1/24");
    world.write(FLEET).fleet(&["apply"]).expect(0);
    let whole = world.pids();
    let a = Net::of(world.pid("a"));
    a.serve("a", "0.0.0.0:80");
    let (port, apart) = (world.port_of("a", 0), world.port_of("b", 1));
    let table = table();
    let deeds = [
        ("ip link set fleethost0 down".to_owned(), "fleethost0: bridge is down"),
        ("ip address del 10.213.75.1/24 dev fleethost0".to_owned(), "fleethost0: address 10.213.75.1/24 is missing"),
        (
            "ip address add 10.99.75.1/24 dev fleethost0".to_owned(),
            "fleethost0: address 10.99.75.1/24 is not of the network",
        ),
        ("ip link set fleethost0 name fleetother0".to_owned(), "fleethost0: bridge fleetother0 → fleethost0"),
        ("ip link set fleethost0 mtu 1300".to_owned(), "fleethost0: mtu 1300 → 1500"),
        ("ip link set fleethost0 group 0".to_owned(), "fleethost0: it is not in the group of fleets' bridges"),
        ("ip link set fleethost1 mtu 1500".to_owned(), "fleethost1: mtu 1500 → 1400"),
        ("ip link del fleethost0".to_owned(), "fleethost0: bridge is absent"),
        (format!("ip link set {port} down"), "link eth0 is down on the host"),
        (format!("ip link set {port} nomaster"), "link eth0 is no port of `fleethost0`"),
        (format!("ip link set {port} master fleettestlan0"), "link eth0 is no port of `fleethost0`"),
        (format!("ip link set {port} name fleetport0"), "link eth0 is called `fleetport0` on the host"),
        (format!("ip link del {port}"), "link eth0 is missing"),
        (format!("bridge link set dev {apart} isolated off"), "fleethost1: b is not kept from other members"),
        (format!("nft flush table inet {table}"), "fleethost0: packet rules are missing"),
        (format!("nft delete table inet {table}"), "fleethost1: packet rules are missing"),
        (format!("nft flush chain inet {table} forward-onhost"), "fleethost0: packet rules +members reach each other"),
        (
            format!("nft insert rule inet {table} forward-onhost drop"),
            "fleethost0: packet rules -a rule of somebody else's",
        ),
        ("sysctl -qw net.ipv4.ip_forward=0".to_owned(), "net.ipv4.ip_forward: 0 → 1"),
        (
            "sysctl -qw net.ipv4.conf.fleethost0.route_localnet=0".to_owned(),
            "fleethost0: bridge takes no packets of the host's loopback",
        ),
        (
            "sysctl -qw net.ipv4.conf.fleethost1.route_localnet=1".to_owned(),
            "fleethost1: bridge takes packets of the host's loopback",
        ),
        ("sysctl -qw net.ipv6.conf.fleethost0.disable_ipv6=0".to_owned(), "fleethost0: the host speaks IPv6 on it"),
    ];
    for (deed, words) in deeds {
        match deed.split_once(' ').expect("a command") {
            ("ip", arguments) => Net::of_host().ip(arguments),
            (program, arguments) => drop(host(program, &arguments.split(' ').collect::<Vec<_>>())),
        }
        let seen = drift(&world);
        assert!(seen.iter().any(|one| one.starts_with(words)), "{deed}: {seen:?}");
        world.fleet(&["apply"]).expect(0);
        assert_eq!(drift(&world), Vec::<String>::new(), "{deed}");
        assert_eq!(world.changes(), 0, "{deed}");
        assert_eq!(Net::of_host().ask("127.0.0.1:18976"), "a", "{deed}");
    }
    assert_eq!(world.pids(), whole);
    // It stands below the table.
    host("ip", &["link", "set", "fleethost0", "down"]);
    let shown = world.fleet(&["status"]).expect(0).stdout;
    assert!(shown.ends_with("drift on the host: fleethost0: bridge is down\n"), "{shown}");
    drop(a);
    world.destroy();
}

/// Everything of the host's network: links, addresses, routes, packet rules and the kernel's parameters.
fn everything() -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for arguments in ["-d -j link", "-j address", "-j -4 route show table all", "-j -6 route show table all", "-j rule"]
    {
        let shown: Value = serde_json::from_str(&host("ip", &arguments.split(' ').collect::<Vec<_>>())).expect("JSON");
        for (place, one) in shown.as_array().into_iter().flatten().enumerate() {
            let name = one["ifname"].as_str().map_or_else(|| place.to_string(), str::to_owned);
            all.insert(format!("ip {arguments} {name}"), without_time(one.clone()).to_string());
        }
    }
    all.insert("nft".to_owned(), host("nft", &["list", "ruleset"]));
    all.insert("bridge".to_owned(), host("bridge", &["-d", "link"]));
    for family in ["ipv4", "ipv6"] {
        parameters(&Path::new("/proc/sys/net").join(family), &mut all);
    }
    all
}

/// Without what changes with time alone.
fn without_time(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let passes = ["timer", "fdb_n_learned", "life_time", "topology_change"];
            let stays = |name: &String| !passes.iter().any(|word| name.contains(word));
            fields
                .into_iter()
                .filter(|(name, _)| stays(name))
                .map(|(name, value)| (name, without_time(value)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(without_time).collect(),
        other => other,
    }
}

fn parameters(dir: &Path, all: &mut BTreeMap<String, String>) {
    for name in names_in(dir) {
        let path = dir.join(name);
        if path.is_dir() {
            parameters(&path, all);
        } else if let Ok(value) = fs::read_to_string(&path) {
            all.insert(path.display().to_string(), value);
        }
    }
}

/// The differences between what was and what is.
fn differences(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    changed.map(|name| format!("{name}: {:?} → {:?}", before.get(name), after.get(name))).collect()
}

#[test]
fn destroy_puts_the_hosts_network_back_exactly_as_it_was() {
    let world = World::new();
    let _outer = Outer::new("10.213.77.1/24");
    // Addresses that the kernel gives by itself are tried for a while first.
    world::eventually("the host's links are ready", || {
        !host("ip", &["address"]).contains("tentative")
            && host("ip", &["link", "show", "fleettestlan0"]).contains("state UP")
    });
    let before = everything();
    world.write(FLEET).fleet(&["apply"]).expect(0);
    assert_ne!(differences(&before, &everything()), Vec::<String>::new());
    // Changed live, mended, stopped and started in between.
    world.write(&FLEET.replace("ip: 10.213.75.11", "ip: 10.213.75.21").replace("mtu: 1400", "mtu: 1300"));
    world.fleet(&["apply"]).expect(0);
    Net::of_host().ip("link set fleethost0 name fleetother0");
    world.fleet(&["stop", "b"]).expect(0);
    world.fleet(&["apply"]).expect(0);
    world.destroy();
    assert_eq!(differences(&before, &everything()), Vec::<String>::new());
}
