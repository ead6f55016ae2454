//! Networks that the host has without fleet, and containers with none or with the host's own.

mod nets;
mod world;

use std::collections::BTreeSet;
use std::process::Command;

use nets::{Net, Outer, guest};
use world::{World, host};

/// What can be seen of the test's links, each with its state, its addresses and its flags.
fn seen() -> Vec<String> {
    let shown = |what: &str, link: &str| host("ip", &["-br", what, "show", "dev", link]);
    ["fleettestlan0", "fleettestwire0"]
        .iter()
        .flat_map(|link| ["link", "address"].map(|what| shown(what, link)))
        .collect()
}

fn exec(world: &World, name: &str, command: &[&str]) -> String {
    world.fleet(&[&["exec", name, "--"], command].concat()).stdout
}

/// `NAME ADDRESS` of each link of a container, `-` for none.
fn addresses(world: &World, name: &str) -> BTreeSet<String> {
    let shown =
        guest(world, name).run(|| Command::new("ip").args(["-o", "-br", "-4", "address"]).output().expect("ip runs"));
    let words = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {}", words[0].split('@').next().unwrap_or_default(), words.get(2).copied().unwrap_or("-"))
    };
    String::from_utf8_lossy(&shown.stdout).lines().map(words).collect()
}

#[test]
fn containers_are_ports_of_a_bridge_of_the_hosts_and_it_stays_as_it_is() {
    let world = World::new();
    let _outer = Outer::new("10.213.64.1/24");
    let before = seen();
    let text = "fleet: outer
networks:
  lan: {parent: fleettestlan0, subnet: 10.213.64.0/24, gateway: 10.213.64.1, mtu: 1400}
defaults: {distro: busybox, memory: 64MiB, pids: 64}
containers:
  a: {networks: [{network: lan, ip: 10.213.64.11}]}
  b: {networks: [{network: lan, ip: 10.213.64.12}]}
  dhcp: {networks: [lan]}
";
    world.write(text).fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    assert_eq!(seen(), before);
    let (a, b) = (guest(&world, "a"), guest(&world, "b"));
    a.serve("a", "0.0.0.0:80");
    assert_eq!((b.ask("10.213.64.11:80"), Net::of_host().ask("10.213.64.11:80")), ("a".to_owned(), "a".to_owned()));
    assert!(exec(&world, "b", &["ping", "-c1", "a"]).contains("10.213.64.11"));
    assert!(exec(&world, "a", &["ip", "link", "show", "eth0"]).contains("mtu 1400"));
    assert!(exec(&world, "a", &["ip", "route"]).starts_with("default via 10.213.64.1 "));
    // Whoever has no address gets none from fleet; the guest may ask for one.
    assert!(!addresses(&world, "dhcp").iter().any(|link| link.starts_with("eth0 10.")));
    drop((a, b));
    world.destroy();
    assert_eq!(seen(), before);
}

#[test]
fn shares_of_a_link_are_born_in_their_containers() {
    let world = World::new();
    let _outer = Outer::new("10.213.64.1/24");
    let text = "fleet: outer
networks:
  wire: {type: macvlan, parent: fleettestwire0, subnet: 10.213.65.0/24}
defaults: {distro: busybox, memory: 64MiB, pids: 64}
containers:
  a: {networks: [{network: wire, ip: 10.213.65.11}]}
  b: {networks: [default, {network: wire, ip: 10.213.65.12, mac: '02:00:00:00:65:12', name: shared0}]}
";
    world.write(text).fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    let (a, b) = (guest(&world, "a"), guest(&world, "b"));
    a.serve("a", "0.0.0.0:80");
    assert_eq!(b.ask("10.213.65.11:80"), "a");
    assert!(addresses(&world, "b").contains("shared0 10.213.65.12/24"), "{:?}", addresses(&world, "b"));
    assert!(exec(&world, "b", &["ip", "link", "show", "shared0"]).contains("02:00:00:00:65:12"));
    // A restart makes them again.
    drop((a, b));
    world.fleet(&["stop", "a"]).expect(0);
    world.fleet(&["start", "a"]).expect(0);
    assert!(addresses(&world, "a").contains("eth0 10.213.65.11/24"));
    let before = seen();
    world.destroy();
    assert_eq!(seen(), before);
}

#[test]
fn ipvlan_links_are_made_where_the_kernel_has_them_and_refused_elsewhere() {
    let world = World::new();
    let _outer = Outer::new("10.213.64.1/24");
    let text = "fleet: outer
networks:
  wire: {type: ipvlan, parent: fleettestwire0, subnet: 10.213.65.0/24}
defaults: {distro: busybox, memory: 64MiB, pids: 64}
containers:
  a: {networks: [{network: wire, ip: 10.213.65.11}]}
  b: {networks: [{network: wire, ip: 10.213.65.12}]}
";
    let probe = ["link", "add", "fleetprobe0", "link", "fleettestwire0", "type", "ipvlan"];
    let is_known = Command::new("ip").args(probe).output().expect("ip runs").status.success();
    world.write(text);
    if is_known {
        host("ip", &["link", "del", "fleetprobe0"]);
        world.fleet(&["apply"]).expect(0);
        let (a, b) = (guest(&world, "a"), guest(&world, "b"));
        a.serve("a", "0.0.0.0:80");
        assert_eq!(b.ask("10.213.65.11:80"), "a");
        drop((a, b));
    } else {
        let refused = world.fleet(&["apply"]).expect(1).stderr;
        assert!(refused.contains("the kernel has no ipvlan links"), "{refused}");
    }
    world.destroy();
}

#[test]
fn a_link_that_is_not_there_is_found_before_anything_is_done() {
    let world = World::new();
    let _outer = Outer::new("10.213.64.1/24");
    let text = |network: &str| {
        format!("fleet: outer\nnetworks: {{lan: {network}}}\ncontainers: {{a: {{distro: busybox, networks: [lan]}}}}\n")
    };
    let refused = world.write(&text("{parent: fleetnone0}")).fleet(&["apply"]).expect(1).stderr;
    assert!(refused.contains("the host has no link `fleetnone0`, which the network `lan` is reached by"), "{refused}");
    let refused = world.write(&text("{parent: fleettestwire0}")).fleet(&["apply"]).expect(1).stderr;
    assert!(refused.contains("`fleettestwire0`, which the network `lan` is reached by, is no bridge"), "{refused}");
    world.assert_links_and_groups_as_before();
}

#[test]
fn a_container_may_have_no_network_at_all_or_the_hosts_own() {
    let world = World::new();
    let _outer = Outer::new("10.213.64.1/24");
    let text = "fleet: outer
defaults: {distro: busybox, memory: 64MiB, pids: 64}
containers:
  none: {networks: none}
  host: {networks: host}
  trusted: {networks: host, privileged: true}
";
    let plan = world.write(text).fleet(&["plan"]).expect(2).stdout;
    assert!(plan.contains("networks host: it listens and sends as the host does"), "{plan}");
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    assert_eq!(addresses(&world, "none"), BTreeSet::from(["lo 127.0.0.1/8".to_owned()]));
    for name in ["host", "trusted"] {
        assert!(exec(&world, name, &["ip", "address"]).contains("10.213.64.1/24"), "{name}");
        assert!(exec(&world, name, &["ls", "/sys/class/net"]).contains("fleettestlan0"), "{name}");
        assert_ne!(
            world
                .fleet(&["exec", name, "--", "sh", "-c", "echo 1 > /sys/class/net/fleettestwire0/tx_queue_len"])
                .status,
            0
        );
    }
    assert_ne!(world.fleet(&["exec", "host", "--", "ip", "link", "set", "fleettestwire0", "down"]).status, 0);
    assert!(seen()[2].contains("UP"));
    // Others are as they were.
    assert_eq!(world.fleet(&["exec", "host", "--", "hostname"]).stdout, "host\n");
    let status = world.fleet(&["status", "-o", "json"]).expect(0).json();
    assert!(status["containers"].as_array().expect("rows").iter().all(|row| row["ip"].is_null()), "{status}");
    world.fleet(&["stop", "host"]).expect(0);
    world.fleet(&["start", "host"]).expect(0);
    assert!(seen()[1].contains("10.213.64.1/24"));
    world.destroy();
}
