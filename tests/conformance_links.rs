//! The links of running containers: what changes without a stop, and what somebody changes by hand is seen and mended.
//! With real containers.

mod nets;
mod world;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use nets::{Net, Outer, guest};
use serde_json::Value;
use world::{World, host};

const HEAD: &str = "fleet: links
network: {subnet: 10.213.70.0/24, bridge: fleetlinks0}
networks:
  storage: {subnet: 10.213.71.0/24, bridge: fleetlinks1}
  lan: {parent: fleettestlan0, subnet: 10.213.72.0/24, gateway: 10.213.72.1}
  wire: {type: macvlan, parent: fleettestwire0, subnet: 10.213.73.0/24}
defaults: {distro: busybox, memory: 64MiB, pids: 64}
containers:
";

/// The fleet `links` of `containers`, one line each.
fn fleet(containers: &[&str]) -> String {
    containers.iter().fold(HEAD.to_owned(), |text, line| format!("{text}  {line}\n"))
}

/// What `ip -j ARGUMENTS` says in it.
fn shown(net: &Net, arguments: &str) -> Value {
    let words = arguments.split(' ');
    let output = net.run(|| Command::new("ip").arg("-j").args(words).output().expect("ip runs"));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// The links in it but the loopback, by name: addresses of IPv4, with the default route behind an arrow.
fn links(net: &Net) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (links, routes) = (shown(net, "-4 address"), shown(net, "-4 route show default"));
    let all = shown(net, "link");
    let names = all.as_array().into_iter().flatten().map(|link| text(&link["ifname"])).filter(|name| name != "lo");
    let described = |name: String| {
        let own = links.as_array().into_iter().flatten().find(|link| text(&link["ifname"]) == name);
        let addresses = own.and_then(|link| link["addr_info"].as_array()).into_iter().flatten();
        let mut words: Vec<String> =
            addresses.map(|one| format!("{}/{}", text(&one["local"]), one["prefixlen"])).collect();
        let by_it = routes.as_array().into_iter().flatten().filter(|route| text(&route["dev"]) == name);
        words.extend(by_it.map(|route| format!("→ {}", text(&route["gateway"]))));
        (name, words.join(" "))
    };
    names.map(described).collect()
}

fn are<const N: usize>(expected: [(&str, &str); N]) -> BTreeMap<String, String> {
    expected.into_iter().map(|(name, words)| (name.to_owned(), words.to_owned())).collect()
}

fn link(net: &Net, name: &str) -> Value {
    shown(net, &format!("-d link show dev {name}"))[0].clone()
}

/// The drift of container `name`, in words.
fn drift(world: &World, name: &str) -> Vec<String> {
    let words = world.container(name)["drift"].as_array().cloned().unwrap_or_default();
    words.iter().map(|word| word.as_str().unwrap_or_default().to_owned()).collect()
}

/// Something that somebody does by hand, and the drift that it is.
type Deed = (&'static str, &'static [&'static str]);

/// Does each of `deeds` with `ip` in `net`; each is seen in the status of container `name`, and mended as it runs.
#[track_caller]
fn mend(world: &World, net: &Net, name: &str, deeds: &[Deed]) {
    let whole = links(&guest(world, name));
    for (deed, words) in deeds {
        net.ip(deed);
        assert_eq!(drift(world, name), *words, "{deed}");
        world.apply_live();
        assert_eq!(drift(world, name), Vec::<String>::new(), "{deed}");
        assert_eq!(links(&guest(world, name)), whole, "{deed}");
    }
}

#[test]
fn what_the_guests_root_does_to_its_link_is_seen_and_mended() {
    let world = World::new();
    let _outer = Outer::new("10.213.72.1/24");
    world.write(&fleet(&["a: {ip: 10.213.70.11}", "b: {ip: 10.213.70.12}"])).fleet(&["apply"]).expect(0);
    let a = guest(&world, "a");
    assert_eq!(links(&a), are([("eth0", "10.213.70.11/24 → 10.213.70.1")]));
    mend(
        &world,
        &a,
        "a",
        &[
            ("link set eth0 down", &["link eth0 is down"]),
            ("link set eth0 name wan0", &["link eth0 is called `wan0`"]),
            ("link set eth0 address 02:00:00:00:70:01", &["link eth0 has the address 02:00:00:00:70:01"]),
            (
                "address del 10.213.70.11/24 dev eth0",
                &["link eth0 lacks 10.213.70.11/24", "link eth0 lacks the default route by 10.213.70.1"],
            ),
            ("route del default", &["link eth0 lacks the default route by 10.213.70.1"]),
            ("route replace default via 10.213.70.99", &["link eth0 lacks the default route by 10.213.70.1"]),
            ("link del eth0", &["link eth0 is missing"]),
            ("link set lo down", &["link lo is down"]),
        ],
    );
    a.serve("a", "0.0.0.0:80");
    assert_eq!(guest(&world, "b").ask("10.213.70.11:80"), "a");
    drop(a);
    world.destroy();
}

#[test]
fn a_guest_that_forges_the_numbers_of_anothers_link_gets_nothing_of_it() {
    let world = World::new();
    world.write(&fleet(&["a: {ip: 10.213.70.11}", "b: {networks: [{network: storage, ip: 10.213.71.12}]}"]));
    world.fleet(&["apply"]).expect(0);
    let (a, b, of_host) = (guest(&world, "a"), guest(&world, "b"), Net::of_host());
    let (victim, own) = (world.port_of("b", 0), link(&a, "eth0")["address"].as_str().expect("it has one").to_owned());
    let of_b = || of_host.shown(&format!("-o link show dev {victim}"));
    let whole = of_b();
    // All that the host sees of the one that it looks for is as it was, and the other end has the number of the other's.
    a.ip("link del eth0");
    let (index, peer) = (&link(&b, "eth0")["ifindex"], &link(&of_host, &victim)["ifindex"]);
    a.ip(&format!("link add eth0 index {index} address {own} type veth peer name forged0 index {peer}"));
    assert_eq!(drift(&world, "a"), ["link eth0 is missing"]);
    let refused = world.fleet(&["apply"]).expect(1).stderr;
    assert!(refused.contains("the guest has one of its own of that name"), "{refused}");
    assert_eq!(of_b(), whole);
    assert!(b.pings("10.213.71.1"));
    a.ip("link del eth0");
    world.apply_live();
    assert_eq!((of_b(), links(&a)), (whole, are([("eth0", "10.213.70.11/24 → 10.213.70.1")])));
    drop((a, b));
    world.destroy();
}

#[test]
fn a_hosts_end_that_has_lost_its_name_and_its_address_is_still_the_guests() {
    let world = World::new();
    world.write(&fleet(&["a: {ip: 10.213.70.11}"])).fleet(&["apply"]).expect(0);
    let (a, of_host, end) = (guest(&world, "a"), Net::of_host(), world.port_of("a", 0));
    let index = || shown(&of_host, &format!("link show dev {end}"))[0]["ifindex"].clone();
    let before = index();
    of_host.ip(&format!("link set {end} address 02:00:00:00:70:99"));
    of_host.ip(&format!("link set {end} name fleetport0"));
    world.apply_live();
    assert_eq!((index(), drift(&world, "a")), (before, Vec::<String>::new()));
    assert!(a.pings("10.213.70.1"));
    drop(a);
    world.destroy();
}

#[test]
fn what_the_guests_root_does_to_its_share_of_a_link_is_seen_and_mended() {
    let world = World::new();
    let _outer = Outer::new("10.213.72.1/24");
    let text = fleet(&[
        "a: {networks: [{network: wire, ip: 10.213.73.11}, {network: lan, ip: 10.213.72.11}]}",
        "b: {networks: [{network: wire, ip: 10.213.73.12}]}",
    ]);
    world.write(&text).fleet(&["apply"]).expect(0);
    let a = guest(&world, "a");
    assert_eq!(links(&a), are([("eth0", "10.213.73.11/24"), ("eth1", "10.213.72.11/24")]));
    mend(
        &world,
        &a,
        "a",
        &[
            ("link set eth0 down", &["link eth0 is down"]),
            ("link set eth0 name wan0", &["link eth0 is called `wan0`"]),
            ("link set eth0 address 02:00:00:00:73:01", &["link eth0 has the address 02:00:00:00:73:01"]),
            ("link set eth0 type macvlan mode private", &["link eth0 leads to its network in another way"]),
            ("address flush dev eth0", &["link eth0 lacks 10.213.73.11/24"]),
            ("link del eth0", &["link eth0 is missing"]),
            ("link set eth1 name x1", &["link eth1 is called `x1`"]),
        ],
    );
    a.serve("a", "0.0.0.0:80");
    assert_eq!(guest(&world, "b").ask("10.213.73.11:80"), "a");
    drop(a);
    world.destroy();
}

#[test]
fn the_host_does_not_speak_on_its_own_end_of_a_link() {
    let world = World::new();
    world.write(&fleet(&["links-a: {}", "links-b: {}"])).fleet(&["apply"]).expect(0);
    let addresses = |link: &str| host("ip", &["-6", "-o", "address", "show", "dev", link]);
    let ports = host("ip", &["-o", "link", "show", "master", "fleetlinks0"]);
    let names: Vec<&str> = ports.lines().filter_map(|line| line.split([' ', '@', ':']).nth(2)).collect();
    assert_eq!(names.len(), 2, "{ports}");
    // The kernel would give it one as soon as both ends are up.
    assert!(guest(&world, "links-a").pings("10.213.70.1"));
    assert_eq!(names.iter().map(|name| addresses(name)).collect::<String>(), "");
    // Nor does the bridge keep a list of who listens to what.
    let snooping = shown(&Net::of_host(), "-d link show fleetlinks0");
    assert_eq!(snooping[0]["linkinfo"]["info_data"]["mcast_snooping"], 0);
    world.destroy();
}

#[test]
fn what_the_guest_has_of_its_own_is_left_alone() {
    let world = World::new();
    let _outer = Outer::new("10.213.72.1/24");
    world.write(&fleet(&["a: {ip: 10.213.70.11}"])).fleet(&["apply"]).expect(0);
    let a = guest(&world, "a");
    a.ip("address add 10.213.70.200/24 dev eth0");
    a.ip("link add own0 type bridge");
    a.ip("address add 10.99.70.1/24 dev own0");
    a.ip("link set own0 up");
    a.ip("route add 10.98.0.0/16 via 10.213.70.1");
    a.ip("route add default via 10.213.70.1 metric 500");
    assert_eq!(world.changes(), 0);
    assert_eq!(drift(&world, "a"), Vec::<String>::new());
    // The first address of a subnet takes its others along, but not here.
    world.write(&fleet(&["a: {ip: 10.213.70.21}"]));
    world.apply_live();
    let expected = "10.213.70.200/24 10.213.70.21/24 → 10.213.70.1 → 10.213.70.1";
    assert_eq!(links(&a), are([("eth0", expected), ("own0", "10.99.70.1/24")]));
    assert_eq!(shown(&a, "route show 10.98.0.0/16").as_array().map(Vec::len), Some(1));
    // A name that the guest has given away is its own.
    a.ip("link set own0 name eth1");
    world.write(&fleet(&["a: {networks: [{network: default, ip: 10.213.70.21}, storage]}"]));
    let refused = world.fleet(&["apply"]).expect(1).stderr;
    assert!(refused.contains("the guest has one of its own of that name"), "{refused}");
    a.ip("link del eth1");
    world.apply_live();
    drop(a);
    world.destroy();
}

#[test]
fn address_and_length_of_packets_and_names_change_while_a_container_runs() {
    let world = World::new();
    let _outer = Outer::new("10.213.72.1/24");
    let apply = |of_a: &str| {
        world.write(&fleet(&[&format!("a: {of_a}"), "b: {ip: 10.213.70.12}"]));
        world.apply_live();
    };
    world.write(&fleet(&["a: {ip: 10.213.70.11}", "b: {ip: 10.213.70.12}"])).fleet(&["apply"]).expect(0);
    let (a, b) = (guest(&world, "a"), guest(&world, "b"));
    a.serve("a", "0.0.0.0:80");
    assert_eq!((b.ask("10.213.70.11:80"), Net::of_host().ask("10.213.70.11:80")), ("a".to_owned(), "a".to_owned()));

    apply("{ip: 10.213.70.21}");
    assert_eq!(links(&a), are([("eth0", "10.213.70.21/24 → 10.213.70.1")]));
    assert_eq!((b.ask("10.213.70.21:80"), b.ask("10.213.70.11:80")), ("a".to_owned(), String::new()));
    // The others know it by its name, and it knows itself.
    assert!(world.sh("b", "grep -w a /etc/hosts").starts_with("10.213.70.21\t"));
    assert!(world.sh("a", "grep -w a /etc/hosts").starts_with("10.213.70.21\t"));
    assert!(world.sh("a", "ip route").contains("default via 10.213.70.1"));

    // Whoever knew it by the former address is told of the new one.
    apply("{ip: 10.213.70.21, mac: '02:00:00:00:70:21'}");
    assert_eq!(link(&a, "eth0")["address"], "02:00:00:00:70:21");
    assert_eq!((b.ask("10.213.70.21:80"), Net::of_host().ask("10.213.70.21:80")), ("a".to_owned(), "a".to_owned()));

    apply("{networks: [{network: default, ip: 10.213.70.21, name: lan0}]}");
    assert_eq!(links(&a), are([("lan0", "10.213.70.21/24 → 10.213.70.1")]));
    assert_eq!(b.ask("10.213.70.21:80"), "a");

    let with_mtu = |mtu: &str| {
        let text = fleet(&["a: {ip: 10.213.70.21}", "b: {ip: 10.213.70.12}"]);
        world.write(&text.replace("bridge: fleetlinks0", &format!("bridge: fleetlinks0{mtu}")));
        world.apply_live();
        let bridge = shown(&Net::of_host(), "link show dev fleetlinks0")[0]["mtu"].clone();
        (link(&a, "eth0")["mtu"].clone(), bridge)
    };
    assert_eq!(with_mtu(", mtu: 1400"), (1400.into(), 1400.into()));
    assert_eq!(with_mtu(", mtu: 9000"), (9000.into(), 9000.into()));
    a.ip("link set eth0 mtu 1300");
    assert_eq!(drift(&world, "a"), ["link eth0 has mtu 1300"]);
    assert_eq!(with_mtu(", mtu: 1600"), (1600.into(), 1600.into()));
    assert_eq!(with_mtu(""), (1500.into(), 1500.into()));
    assert_eq!(b.ask("10.213.70.21:80"), "a");
    drop((a, b));
    world.destroy();
}

#[test]
fn two_containers_trade_their_addresses_and_everybody_knows() {
    let world = World::new();
    let _outer = Outer::new("10.213.72.1/24");
    world.write(&fleet(&["a: {ip: 10.213.70.11}", "b: {ip: 10.213.70.12}", "c: {}"])).fleet(&["apply"]).expect(0);
    let (a, b, c) = (guest(&world, "a"), guest(&world, "b"), guest(&world, "c"));
    a.serve("a", "0.0.0.0:80");
    b.serve("b", "0.0.0.0:80");
    let answers = |net: &Net| ["10.213.70.11:80", "10.213.70.12:80"].map(|address| net.ask(address));
    for net in [&c, &Net::of_host()] {
        assert_eq!(answers(net), ["a", "b"]);
    }
    world.write(&fleet(&["a: {ip: 10.213.70.12}", "b: {ip: 10.213.70.11}", "c: {}"]));
    world.apply_live();
    for net in [&c, &Net::of_host()] {
        assert_eq!(answers(net), ["b", "a"]);
    }
    drop((a, b, c));
    world.destroy();
}

#[test]
fn the_subnet_of_a_fleet_changes_while_its_containers_run() {
    let world = World::new();
    let _outer = Outer::new("10.213.72.1/24");
    let text = fleet(&["a: {ip: 10.213.70.11, ports: ['127.0.0.1:18970:80']}", "b: {ip: 10.213.70.12}"]);
    world.write(&text).fleet(&["apply"]).expect(0);
    let (a, b) = (guest(&world, "a"), guest(&world, "b"));
    a.serve("a", "0.0.0.0:80");
    world.write(&text.replace("10.213.70.", "10.213.79.").replace("18970", "18979"));
    world.apply_live();
    assert_eq!(links(&a), are([("eth0", "10.213.79.11/24 → 10.213.79.1")]));
    assert_eq!((b.ask("10.213.79.11:80"), Net::of_host().ask("127.0.0.1:18979")), ("a".to_owned(), "a".to_owned()));
    assert_eq!(Net::of_host().ask("127.0.0.1:18970"), "");
    drop((a, b));
    world.destroy();
}

#[test]
fn networks_come_and_go_while_a_container_runs_and_its_connections_stay() {
    let world = World::new();
    let _outer = Outer::new("10.213.72.1/24");
    let apply = |of_a: &str| {
        let others = ["b: {ip: 10.213.70.12}", "c: {networks: [{network: storage, ip: 10.213.71.12}]}"];
        world.write(&fleet(&[&format!("a: {of_a}"), others[0], others[1]]));
        if world.state("a") == "absent" {
            world.fleet(&["apply"]).expect(0);
        } else {
            world.apply_live();
        }
    };
    apply("{networks: none}");
    let (a, b, c) = (guest(&world, "a"), guest(&world, "b"), guest(&world, "c"));
    a.serve("a", "0.0.0.0:80");
    assert_eq!(links(&a), are([]));

    apply("{ip: 10.213.70.11}");
    assert_eq!(b.ask("10.213.70.11:80"), "a");
    let listener = a.run(|| TcpListener::bind("0.0.0.0:81")).expect("it is free");
    let mut caller = b.run(|| TcpStream::connect("10.213.70.11:81")).expect("it listens");
    let (mut answering, _) = listener.accept().expect("somebody called");
    let mut still_connected = || {
        caller.write_all(b"?").expect("written");
        answering.read_exact(&mut [0]).expect("read");
    };

    apply("{networks: [{network: default, ip: 10.213.70.11}, {network: storage, ip: 10.213.71.11}]}");
    still_connected();
    assert_eq!(links(&a), are([("eth0", "10.213.70.11/24 → 10.213.70.1"), ("eth1", "10.213.71.11/24")]));
    assert_eq!(c.ask("10.213.71.11:80"), "a");
    assert!(world.sh("c", "grep -w a /etc/hosts").starts_with("10.213.71.11\t"));

    // In another order they trade names, and the default route.
    apply("{networks: [{network: storage, ip: 10.213.71.11}, {network: default, ip: 10.213.70.11}]}");
    still_connected();
    assert_eq!(links(&a), are([("eth0", "10.213.71.11/24 → 10.213.71.1"), ("eth1", "10.213.70.11/24")]));

    let all = "{networks: [{network: default, ip: 10.213.70.11}, {network: lan, ip: 10.213.72.11}, \
               {network: wire, ip: 10.213.73.11, name: wire0}]}";
    apply(all);
    still_connected();
    let expected =
        [("eth0", "10.213.70.11/24 → 10.213.70.1"), ("eth1", "10.213.72.11/24"), ("wire0", "10.213.73.11/24")];
    assert_eq!(links(&a), are(expected));
    assert_eq!(Net::of_host().ask("10.213.72.11:80"), "a");
    assert_eq!(c.ask("10.213.71.11:80"), "");

    apply("{networks: [{network: default, ip: 10.213.70.11}]}");
    still_connected();
    assert_eq!(links(&a), are([("eth0", "10.213.70.11/24 → 10.213.70.1")]));
    apply("{networks: none}");
    assert_eq!(links(&a), are([]));
    drop((a, b, c, caller, answering, listener));
    world.destroy();
}

#[test]
fn parameters_of_a_link_are_those_of_one_that_comes_later_too() {
    let world = World::new();
    let with = |networks: &str| {
        let sysctls = "{net.ipv4.conf.eth1.arp_announce: 2, net.ipv4.neigh.eth1.gc_stale_time: 77}";
        fleet(&[&format!("links-a: {{networks: [{networks}], sysctls: {sysctls}}}")])
    };
    let parameters = || {
        let paths = "/proc/sys/net/ipv4/conf/eth1/arp_announce /proc/sys/net/ipv4/neigh/eth1/gc_stale_time";
        world.sh("links-a", &format!("cat {paths}"))
    };
    world.write(&with("default, storage")).fleet(&["apply"]).expect(0);
    assert_eq!(parameters(), "2\n77\n");
    // One that somebody removes, and one that its network takes along.
    guest(&world, "links-a").ip("link del eth1");
    world.apply_live();
    assert_eq!(parameters(), "2\n77\n");
    world.write(&with("default")).apply_live();
    world.write(&with("default, storage")).apply_live();
    assert_eq!(parameters(), "2\n77\n");
    world.destroy();
}

#[test]
fn a_network_moves_between_kinds_while_its_members_run() {
    let world = World::new();
    let _outer = Outer::new("10.213.72.1/24");
    let with = |lan: &str| {
        let text = fleet(&["a: {networks: [{network: lan, ip: 10.213.72.11}]}"]);
        text.replace(
            "lan: {parent: fleettestlan0, subnet: 10.213.72.0/24, gateway: 10.213.72.1}",
            &format!("lan: {lan}"),
        )
    };
    let outer = "subnet: 10.213.72.0/24, gateway: 10.213.72.1}";
    world.write(&with(&format!("{{parent: fleettestlan0, {outer}"))).fleet(&["apply"]).expect(0);
    let a = guest(&world, "a");
    a.serve("a", "0.0.0.0:80");
    let macvlan = format!("{{type: macvlan, parent: fleettestwire0, {outer}");
    let private = format!("{{type: macvlan, mode: private, parent: fleettestwire0, {outer}");
    let ipvlan = format!("{{type: ipvlan, parent: fleettestwire0, {outer}");
    let knows_ipvlan = Command::new("ip")
        .args(["link", "add", "fleetprobe0", "link", "fleettestwire0", "type", "ipvlan"])
        .output()
        .expect("ip runs")
        .status
        .success();
    let _ = Command::new("ip").args(["link", "del", "fleetprobe0"]).output();
    let mut ways = vec![macvlan, private];
    if knows_ipvlan {
        ways.push(ipvlan);
    }
    ways.push(format!("{{parent: fleettestlan0, {outer}"));
    for way in ways {
        world.write(&with(&way));
        world.apply_live();
        assert_eq!(links(&a), are([("eth0", "10.213.72.11/24 → 10.213.72.1")]), "{way}");
        assert_eq!(Net::of_host().ask("10.213.72.11:80"), "a", "{way}");
    }
    // A network of fleet's own of the same subnet, once that bridge is away.
    host("ip", &["link", "del", "fleettestlan0"]);
    world.write(&with("{subnet: 10.213.72.0/24, bridge: fleetlinks2}"));
    world.apply_live();
    assert_eq!(links(&a), are([("eth0", "10.213.72.11/24 → 10.213.72.1")]));
    assert_eq!(Net::of_host().ask("10.213.72.11:80"), "a");
    drop(a);
    world.destroy();
}

#[test]
fn to_the_hosts_network_and_back_takes_a_restart_and_the_plan_says_so() {
    let world = World::new();
    let _outer = Outer::new("10.213.72.1/24");
    world.write(&fleet(&["a: {ip: 10.213.70.11}", "b: {ip: 10.213.70.12}"])).fleet(&["apply"]).expect(0);
    let pid = world.pid("a");
    world.write(&fleet(&["a: {networks: host}", "b: {ip: 10.213.70.12}"]));
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    assert!(plan.contains("~ a  networks +host -default, hosts: members changed  (restart: down meanwhile)"), "{plan}");
    world.fleet(&["apply"]).expect(0);
    assert_ne!(world.pid("a"), pid);
    assert_eq!(world.changes(), 0);
    world.write(&fleet(&["a: {ip: 10.213.70.11}", "b: {ip: 10.213.70.12}"]));
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    assert!(plan.contains("~ a  networks +default -host, hosts: members changed  (restart: down meanwhile)"), "{plan}");
    world.fleet(&["apply"]).expect(0);
    assert_eq!(links(&guest(&world, "a")), are([("eth0", "10.213.70.11/24 → 10.213.70.1")]));
    world.destroy();
}

/// Addresses, MAC addresses and lengths of packets of all links in it, as `ip` has them.
fn all_of(net: &Net) -> String {
    let about = |link: &Value| {
        let field = |name: &str| link[name].to_string();
        let kind = link["linkinfo"]["info_kind"].to_string();
        ["ifname", "address", "mtu", "flags"].map(field).join(" ") + &kind
    };
    let links = shown(net, "-d link");
    let links: Vec<String> = links.as_array().into_iter().flatten().map(about).collect();
    format!("{}\n{:?}", links.join("\n"), self::links(net))
}

#[test]
fn a_kill_in_the_middle_of_a_change_is_finished_or_taken_back_by_the_next_apply() {
    const POINTS: u32 = 8;
    let world = World::new();
    let _outer = Outer::new("10.213.72.1/24");
    let before = fleet(&[
        "a: {networks: [{network: default, ip: 10.213.70.11}, {network: storage, ip: 10.213.71.11}]}",
        "b: {ip: 10.213.70.12}",
        "c: {networks: [{network: wire, ip: 10.213.73.11}]}",
    ]);
    let after = fleet(&[
        "a: {networks: [{network: lan, ip: 10.213.72.11}, {network: default, ip: 10.213.70.12}]}",
        "b: {ip: 10.213.70.11, mac: '02:00:00:00:70:12'}",
        "c: {networks: [default, {network: wire, ip: 10.213.73.12, name: wire0}]}",
    ]);
    world.write(&before).fleet(&["apply"]).expect(0);
    let names = ["a", "b", "c"];
    let pids = || names.map(|name| world.pid(name));
    let look = || names.map(|name| all_of(&guest(&world, name)));
    let (whole, first) = (pids(), look());
    let begun = std::time::Instant::now();
    world.write(&after).fleet(&["apply"]).expect(0);
    let (took, second) = (begun.elapsed(), look());
    for point in 0..2 * POINTS {
        world.write(&before).fleet(&["apply"]).expect(0);
        assert_eq!(look(), first, "{point}");
        world.write(&after).kill_after(&["apply"], took * (point / 2) / POINTS);
        let (text, expected) = if point % 2 == 0 { (&after, &second) } else { (&before, &first) };
        world.write(text).fleet(&["apply"]).expect(0);
        assert_eq!(world.changes(), 0, "{point}");
        assert_eq!(look(), *expected, "{point}");
    }
    assert_eq!(pids(), whole);
    world.destroy();
}
