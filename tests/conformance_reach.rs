//! Who reaches whom, in both families alike: real containers, a host outside that has no route to them, and the host itself.

mod nets;
mod world;

use std::fs;
use std::net::IpAddr;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use nets::{Net, guest};
use world::{World, eventually, host};

/// What things are called in one family.
struct Family {
    /// The host, as the one outside knows it.
    host: &'static str,
    outside: &'static str,
    /// A subnet that it is in, and what it is not in.
    around: &'static str,
    elsewhere: &'static str,
    subnet: &'static str,
    /// The host, as its containers know it.
    gateway: &'static str,
    a: &'static str,
    b: &'static str,
    /// A container of another fleet.
    other: &'static str,
    /// An address that no container was given, with its length and what else `ip` needs to add it.
    forged: [&'static str; 2],
}

const FAMILIES: [Family; 2] = [
    Family {
        host: "198.18.90.1",
        outside: "198.18.90.2",
        around: "198.18.90.0/24",
        elsewhere: "198.18.91.0/24, 198.18.90.3",
        subnet: "10.213.60.0/24",
        gateway: "10.213.60.1",
        a: "10.213.60.11",
        b: "10.213.60.12",
        other: "10.213.61.11",
        forged: ["10.99.60.1", "/32 dev eth0"],
    },
    Family {
        host: "2001:db8:90::1",
        outside: "2001:db8:90::2",
        around: "2001:db8:90::/48",
        elsewhere: "2001:db8:91::/48, 2001:db8:90::3",
        subnet: "fd00:213:60::/64",
        gateway: "fd00:213:60::1",
        a: "fd00:213:60::11",
        b: "fd00:213:60::12",
        other: "fd00:213:61::11",
        forged: ["2001:db8:99::1", "/128 dev eth0 nodad"],
    },
];

/// `ADDRESS:PORT`, with brackets where they belong.
fn at(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// A fleet of two, `net-a`, which publishes port 8980, and `net-b`.
fn two(network: &str) -> String {
    format!(
        "fleet: net
network: {{subnet: 10.213.60.0/24, subnet6: 'fd00:213:60::/64'{network}}}
defaults: {{distro: busybox, memory: 64MiB, pids: 64}}
containers:
  net-a: {{ip: 10.213.60.11, ip6: 'fd00:213:60::11', ports: ['8980:80']}}
  net-b: {{ip: 10.213.60.12, ip6: 'fd00:213:60::12'}}
"
    )
}

/// The fleet with that `egress`, where `of` says it for a family.
fn with_egress(of: impl Fn(&Family) -> String) -> String {
    two(&format!(", egress: [{}]", FAMILIES.iter().map(of).collect::<Vec<_>>().join(", ")))
}

fn next(seen: &Receiver<IpAddr>) -> String {
    seen.recv_timeout(Duration::from_secs(5)).expect("somebody came").to_string()
}

#[test]
fn containers_reach_out_through_the_host_and_nobody_reaches_in() {
    let world = World::new();
    let outside = Net::outside();
    let seen = outside.serve("outside", "[::]:8090");
    outside.serve_udp("outside", "[::]:8090");
    world.write(&two("")).fleet(&["apply"]).expect(0);
    let a = guest(&world, "net-a");
    a.serve("a", "[::]:80");
    for family in &FAMILIES {
        assert_eq!(a.ask(&at(family.outside, 8090)), "outside");
        // It has no route to the containers: the answer came back because the host stood in.
        assert_eq!(next(&seen), family.host);
        assert_eq!(a.ask_udp(&at(family.outside, 8090)), "outside");
        assert!(a.pings(family.outside));
        // With a route, too, what is not published is closed.
        outside.ip(&format!("route add {} via {}", family.subnet, family.host));
        assert_eq!(outside.ask(&at(family.a, 80)), "");
        assert!(!outside.pings(family.a));
        assert_eq!(Net::of_host().ask(&at(family.a, 80)), "a");
    }
    // Without translation the containers are hosts like others.
    world.write(&two(", nat: false")).apply_live();
    for family in &FAMILIES {
        assert_eq!(outside.ask(&at(family.a, 80)), "a");
        assert_eq!(a.ask(&at(family.outside, 8090)), "outside");
        assert_eq!(next(&seen), family.a);
    }
    // Its link goes when nobody holds its network any more.
    drop(a);
    world.destroy();
}

#[test]
fn what_may_be_reached_changes_while_containers_run() {
    let world = World::new();
    let outside = Net::outside();
    for port in ["8090", "8091"] {
        outside.serve("outside", &format!("[::]:{port}"));
    }
    outside.serve_udp("outside", "[::]:8090");
    world.write(&two(", egress: none")).fleet(&["apply"]).expect(0);
    let a = guest(&world, "net-a");
    let reached = |words: [&str; 2], pings: bool| {
        for family in &FAMILIES {
            assert_eq!([8090, 8091].map(|port| a.ask(&at(family.outside, port))), words, "{}", family.outside);
            assert_eq!(a.ask_udp(&at(family.outside, 8090)), words[0], "{}", family.outside);
            assert_eq!(a.pings(family.outside), pings, "{}", family.outside);
            assert!(a.pings(family.b) && a.pings(family.gateway), "members and the gateway are not outside");
        }
    };
    reached(["", ""], false);
    world.write(&with_egress(|family| format!("'{}'", at(family.outside, 8090)))).apply_live();
    reached(["outside", ""], false);
    world.write(&with_egress(|family| format!("'{}'", family.around))).apply_live();
    reached(["outside", "outside"], true);
    world.write(&with_egress(|family| format!("'{}'", family.elsewhere.replace(", ", "', '")))).apply_live();
    reached(["", ""], false);
    world.write(&two(", egress: nat")).apply_live();
    reached(["outside", "outside"], true);
    // Who forges an address gets nowhere.
    for Family { outside, gateway, forged: [address, rest], .. } in &FAMILIES {
        a.ip(&format!("addr add {address}{rest}"));
        a.ip(&format!("route add {outside} via {gateway} dev eth0 src {address}"));
    }
    reached(["", ""], false);
    // Its link goes when nobody holds its network any more.
    drop(a);
    world.destroy();
}

#[test]
fn isolated_members_reach_the_gateway_and_the_outside_but_not_each_other() {
    let world = World::new();
    let outside = Net::outside();
    outside.serve("outside", "[::]:8090");
    world.write(&two(", isolated: true")).fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    let (a, b) = (guest(&world, "net-a"), guest(&world, "net-b"));
    a.serve("a", "[::]:80");
    let pings = || FAMILIES.iter().flat_map(|family| [b.pings(family.a), a.pings(family.b)]).collect::<Vec<_>>();
    let nobody = [false; 4];
    assert_eq!(pings(), nobody);
    for family in &FAMILIES {
        assert_eq!(b.ask(&at(family.a, 80)), "");
        assert!(a.pings(family.gateway) && b.pings(family.gateway));
        assert_eq!(b.ask(&at(family.outside, 8090)), "outside");
        assert_eq!(b.ask(&at(family.gateway, 8980)), "", "what is published is not for members");
        assert_eq!(outside.ask(&at(family.host, 8980)), "a");
    }
    // Nor does the host carry it across.
    let by_the_host = |verb: &str| {
        for family in &FAMILIES {
            b.ip(&format!("route {verb} {} via {} dev eth0", family.a, family.gateway));
            a.ip(&format!("route {verb} {} via {} dev eth0", family.b, family.gateway));
        }
    };
    by_the_host("add");
    assert_eq!(pings(), nobody);
    by_the_host("del");

    // A port that somebody set free is seen, and caught again.
    host("bridge", &["link", "set", "dev", &world.port_of("net-a", 0), "isolated", "off"]);
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    assert!(plan.contains("net-a is not kept from other members  (live)"), "{plan}");
    world.apply_live();
    assert_eq!(pings(), nobody);

    world.write(&two("")).apply_live();
    // Whoever has just looked for another in vain goes on thinking so for a second.
    eventually("they reach each other", || pings() == [true; 4]);
    world.write(&two(", isolated: true")).apply_live();
    assert_eq!(pings(), nobody);
    // Its next start knows it too.
    drop(a);
    world.fleet(&["stop", "net-a"]).expect(0);
    world.fleet(&["start", "net-a"]).expect(0);
    assert_eq!(world.changes(), 0);
    assert!(FAMILIES.iter().all(|family| !b.pings(family.a)));
    // Links go when nobody holds their networks any more.
    drop(b);
    world.destroy();
}

#[test]
fn fleets_are_kept_apart_but_for_what_they_publish() {
    let world = World::new();
    let other = |network: &str| {
        let text = format!(
            "fleet: other\nnetwork: {{subnet: 10.213.61.0/24, subnet6: 'fd00:213:61::/64'{network}}}\ncontainers:\n  \
             other-a: {{distro: busybox, ip: 10.213.61.11, ip6: 'fd00:213:61::11', ports: ['8985:85']}}\n"
        );
        fs::write(world.dir.path().join("other.yaml"), text).expect("written");
        world.fleet(&["apply", "other.yaml"]).expect(0);
    };
    world.write(&two(", nat: false")).fleet(&["apply"]).expect(0);
    other(", nat: false");
    let status = world.fleet(&["status", "other.yaml", "-o", "json"]).expect(0).json();
    let theirs = Net::of(status["containers"][0]["pid"].as_u64().expect("it runs"));
    let ours = guest(&world, "net-a");
    ours.serve("a", "[::]:80");
    theirs.serve("other", "[::]:85");
    let apart = || {
        for family in &FAMILIES {
            assert_eq!(ours.ask(&at(family.other, 85)), "");
            assert_eq!(theirs.ask(&at(family.a, 80)), "");
            assert!(!ours.pings(family.other) && !theirs.pings(family.a));
            assert_eq!(ours.ask(&at(family.gateway, 8985)), "other");
        }
    };
    apart();
    other("");
    apart();
    world.write(&two("")).fleet(&["apply"]).expect(0);
    apart();

    // The first that goes takes nothing of the other's along.
    world.fleet(&["destroy", "-y"]).expect(0);
    assert_eq!(Net::of_host().ask("127.0.0.1:8985"), "other");
    assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("readable"), "1\n");
    // A subnet that another fleet has is refused before anything is done.
    world.write(&two("").replace("fd00:213:60::/64", "fd00:213:61::/80").replace("fd00:213:60:", "fd00:213:61:"));
    let refused = world.fleet(&["apply"]).expect(1).stderr;
    let why = "has the address fd00:213:61::1/64, which overlaps the subnet fd00:213:61::/80";
    assert!(refused.contains(why), "{refused}");
    // Links go when nobody holds their networks any more.
    drop((theirs, ours));
    world.fleet(&["destroy", "-y", "other.yaml"]).expect(0);
    world.assert_nothing_left();
}
