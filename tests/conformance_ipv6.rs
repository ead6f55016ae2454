//! IPv6 in real containers: addresses, names, routers that nobody believes, and what of it is left behind.

mod nets;
mod world;

use std::fs;
use std::net::{Ipv6Addr, SocketAddrV6};

use nets::{Net, guest};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket, sockopt};
use world::{World, eventually, host};

/// The host outside.
const OUTSIDE: &str = "2001:db8:90::2";

/// A fleet of two: `six-a` (`fd00:213:70::11`) and `six-b`, whose address is derived.
fn two(network: &str, of_a: &str) -> String {
    format!(
        "fleet: six
network: {{subnet: 10.213.70.0/24, bridge: fleetsix0{network}}}
defaults: {{distro: busybox, memory: 64MiB, pids: 64}}
containers:
  six-a: {{ip: 10.213.70.11{of_a}}}
  six-b: {{ip: 10.213.70.12}}
"
    )
}

const A: &str = "fd00:213:70::11";
const GATEWAY: &str = "fd00:213:70::1";
const SUBNET: &str = ", subnet6: 'fd00:213:70::/64'";
const IP6: &str = ", ip6: 'fd00:213:70::11'";

/// The address that `six-b` has got.
fn of_b(world: &World) -> String {
    world.container("six-b")["ip6"].as_str().expect("it has one").to_owned()
}

#[test]
fn members_reach_each_other_and_the_host() {
    let world = World::new();
    world.write(&two(SUBNET, IP6)).fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    assert_eq!(world.container("six-a")["ip6"], A);
    let b = of_b(&world);
    let (net_a, net_b) = (guest(&world, "six-a"), guest(&world, "six-b"));
    assert!(net_a.pings(&b) && net_b.pings(A));
    assert!(net_a.pings(GATEWAY) && Net::of_host().pings(A) && Net::of_host().pings(&b));
    net_a.serve("a", &format!("[{A}]:80"));
    assert_eq!(net_b.ask(&format!("[{A}]:80")), "a");
    assert_eq!(Net::of_host().ask(&format!("[{A}]:80")), "a");

    // Inside they are set up like that, and nothing else is: no address from whoever calls himself a router.
    let shown = world.sh("six-a", "ip -6 address show dev eth0 scope global");
    assert!(shown.contains(&format!("inet6 {A}/64")) && shown.matches("inet6").count() == 1, "{shown}");
    assert!(!shown.contains("tentative"), "{shown}");
    let routes = world.sh("six-a", "ip -6 route show default");
    assert_eq!(routes.trim(), format!("default via {GATEWAY} dev eth0  metric 1024"), "{routes}");
    assert_eq!(world.sh("six-a", "cat /proc/sys/net/ipv6/conf/eth0/accept_ra").trim(), "0");

    // Names lead to addresses of both families.
    let named = world.sh("six-a", "grep -w six-b /etc/hosts");
    assert_eq!(named, format!("10.213.70.12\tsix-b six-b.six\n{b}\tsix-b six-b.six\n"));
    assert!(world.sh("six-a", "ping -6 -c1 six-b").contains(&b));
    assert!(world.sh("six-b", "ping -6 -c1 six-a.six").contains(A));
    assert_eq!(world.changes(), 0);
    // Links go when nobody holds their networks any more.
    drop((net_a, net_b));
    world.destroy();
}

#[test]
fn without_a_subnet_no_guest_speaks_it() {
    let world = World::new();
    world.write(&two("", "")).fleet(&["apply"]).expect(0);
    assert_eq!(world.sh("six-a", "cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6").trim(), "1");
    assert_eq!(world.sh("six-a", "ip -6 address show dev eth0").trim(), "");
    assert_eq!(world.container("six-a")["ip6"], serde_json::Value::Null);
    world.destroy();
}

/// Who had an address before is what neighbours know, for as long as a minute.
#[test]
fn who_gets_an_address_as_it_runs_is_known_to_its_neighbours_at_once() {
    let world = World::new();
    world.write(&two(SUBNET, IP6)).fleet(&["apply"]).expect(0);
    let mac = world.record("six-a")["spec"]["links"][0]["mac"].as_str().expect("an address").to_owned();
    let moved = ["10.213.70.77", "fd00:213:70::77"];
    for address in moved {
        let words = ["neigh", "replace", address, "lladdr", "02:00:00:00:00:77", "dev", "fleetsix0", "nud", "stale"];
        host("ip", &words);
    }
    world.write(&two(SUBNET, IP6).replace("70.11", moved[0].trim_start_matches("10.213.")).replace(A, moved[1]));
    world.apply_live();
    for address in moved {
        eventually("it is known where the address is", || {
            host("ip", &["neigh", "show", address, "dev", "fleetsix0"]).contains(&mac)
        });
    }
    world.destroy();
}

#[test]
fn what_is_derived_stays_the_same() {
    let world = World::new();
    let auto = ", subnet6: auto";
    world.write(&two(auto, "")).fleet(&["apply"]).expect(0);
    let before = of_b(&world);
    assert!(before.starts_with("fd"), "{before}");
    assert!(guest(&world, "six-a").pings(&before));
    world.fleet(&["destroy", "-y"]).expect(0);
    // With one more.
    let more = two(auto, "") + "  six-0: {}\n";
    world.write(&more).fleet(&["apply"]).expect(0);
    assert_eq!(of_b(&world), before);
    assert!(guest(&world, "six-0").pings(&before));
    world.destroy();
}

#[test]
fn it_comes_changes_and_goes_while_containers_run() {
    let world = World::new();
    world.write(&two("", "")).fleet(&["apply"]).expect(0);
    let (a, b) = (guest(&world, "six-a"), guest(&world, "six-b"));
    world.write(&two(SUBNET, IP6)).apply_live();
    assert!(b.pings(A) && Net::of_host().pings(A));
    let named = |name: &str| world.sh("six-b", &format!("grep -w {name} /etc/hosts"));
    assert!(named("six-a").contains(A));
    // Another address, another subnet.
    world.write(&two(SUBNET, ", ip6: 'fd00:213:70::77'")).apply_live();
    assert!(b.pings("fd00:213:70::77") && !b.pings(A));
    assert!(named("six-a").contains("fd00:213:70::77"));
    world.write(&two(", subnet6: 'fd00:213:72::/64'", ", ip6: 'fd00:213:72::11'")).apply_live();
    assert!(b.pings("fd00:213:72::11") && !Net::of_host().pings("fd00:213:70::77"));
    let routes = world.sh("six-a", "ip -6 route show default");
    assert!(routes.contains("via fd00:213:72::1 ") && routes.lines().count() == 1, "{routes}");
    // And what the next start makes is the same.
    world.write(&two("", "")).apply_live();
    assert_eq!(world.sh("six-a", "ip -6 address show dev eth0").trim(), "");
    assert_eq!(named("six-a"), "10.213.70.11\tsix-a six-a.six\n");
    assert!(b.pings("10.213.70.11"));
    drop((a, b));
    world.destroy();
}

#[test]
fn what_was_changed_by_hand_is_seen_and_mended() {
    let world = World::new();
    let outside = Net::outside();
    outside.serve("outside", "[::]:8090");
    world.write(&two(SUBNET, IP6)).fleet(&["apply"]).expect(0);
    let (guest, here) = (guest(&world, "six-a"), Net::of_host());
    let deeds: [(&str, &dyn Fn()); 6] = [
        ("eth0 lacks fd00:213:70::11/64", &|| guest.ip(&format!("addr del {A}/64 dev eth0"))),
        ("eth0 lacks the default route by fd00:213:70::1", &|| guest.ip("-6 route del default")),
        ("address fd00:213:70::1/64 is missing", &|| here.ip(&format!("addr del {GATEWAY}/64 dev fleetsix0"))),
        ("listens to routers", &|| set("net/ipv6/conf/fleetsix0/accept_ra", "1")),
        ("IPv6 is off", &|| set("net/ipv6/conf/fleetsix0/disable_ipv6", "1")),
        ("net.ipv6.conf.all.forwarding", &|| set("net/ipv6/conf/all/forwarding", "0")),
    ];
    for (what, deed) in deeds {
        deed();
        let plan = world.fleet(&["plan"]).expect(2).stdout;
        assert!(plan.contains(what), "{what}: {plan}");
        let before = world.pid("six-a");
        world.fleet(&["apply"]).expect(0);
        assert_eq!((world.changes(), world.pid("six-a")), (0, before), "{what}");
        assert_eq!(guest.ask(&format!("[{OUTSIDE}]:8090")), "outside", "{what}");
    }
    drop(guest);
    world.destroy();
}

#[test]
fn nobody_believes_a_guest_that_calls_itself_a_router() {
    let world = World::new();
    world.write(&two(SUBNET, IP6)).fleet(&["apply"]).expect(0);
    let (liar, other, here) = (guest(&world, "six-a"), guest(&world, "six-b"), Net::of_host());
    let seen = || {
        let shown = |net: &Net, what: &str| net.run(|| host("ip", &["-6", "-o", what, "show"]));
        // What is known of neighbours and ages is none of it.
        [&other, &here].map(|net| {
            let text = shown(net, "route") + &shown(net, "address");
            text.lines().map(|line| line.split(" valid_lft").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
        })
    };
    let address = of_b(&world);
    let before = seen();
    liar.run(advertise);
    // What was sent first has arrived first.
    assert!(liar.pings(&address) && liar.pings(GATEWAY));
    assert_eq!(seen(), before);
    // It is what fleet has set that keeps it out: a guest that listens does hear it.
    other.run(|| set("net/ipv6/conf/eth0/accept_ra", "1"));
    eventually("it was heard", || {
        liar.run(advertise);
        seen()[0].iter().any(|line| line.contains("2001:db8:bad:"))
    });
    assert_eq!(seen()[1], before[1]);
    drop((liar, other));
    world.destroy();
}

fn set(parameter: &str, value: &str) {
    fs::write(format!("/proc/sys/{parameter}"), value).expect("written");
}

/// Says to all on `eth0` that this is the router, and where their addresses are (RFC 4861, 4.2).
fn advertise() {
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    // The prefix 2001:db8:bad::/64, on the link, for addresses of everybody's own (4.6.2).
    message.extend([3, 4, 64, 0xc0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend("2001:db8:bad::".parse::<Ipv6Addr>().expect("an address").octets());
    let socket = socket(AddressFamily::INET6, SocketType::RAW, Some(ipproto::ICMPV6)).expect("root");
    sockopt::set_ipv6_multicast_hops(&socket, 255).expect("a number of hops");
    let index = nix::net::if_::if_nametoindex("eth0").expect("it has one");
    let all = SocketAddrV6::new("ff02::1".parse().expect("an address"), 0, 0, index);
    sendto(&socket, &message, SendFlags::empty(), &all).expect("sent");
}

/// All parameters of IPv6 but those of links that come and go.
fn parameters() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for link in ["all", "default", "lo", "fleettest0"] {
        for name in world::names_in(std::path::Path::new(&format!("/proc/sys/net/ipv6/conf/{link}"))) {
            let path = format!("/proc/sys/net/ipv6/conf/{link}/{name}");
            found.push((path.clone(), fs::read_to_string(path).unwrap_or_default()));
        }
    }
    found
}

#[test]
fn the_host_is_left_as_it_was_and_hears_of_its_own_router_meanwhile() {
    let world = World::new();
    let outside = Net::outside();
    set("net/ipv6/conf/lo/forwarding", "1");
    // The one outside is the host's router, and says so.
    // It may speak at once, without asking whether another has its address.
    outside.run(|| set("net/ipv6/conf/out0/accept_dad", "0"));
    outside.ip("link set out0 name eth0");
    outside.ip("link set eth0 up");
    let routes = || host("ip", &["-6", "route", "show", "default"]);
    let is_heard = || routes().contains("proto ra");
    set("net/ipv6/conf/fleettest0/accept_ra", "1");
    eventually("the host hears of its router", || {
        outside.run(advertise);
        is_heard()
    });
    let before = parameters();
    world.write(&two(SUBNET, IP6));
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    let words = "~ net.ipv6.conf.all.forwarding  0 → 1: containers reach other hosts, accept_ra of fleettest0 1 → 2: it goes on \
                 listening to routers there";
    assert!(plan.contains(words), "{plan}");
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    assert!(is_heard(), "{}", routes());
    assert_eq!(fs::read_to_string("/proc/sys/net/ipv6/conf/fleettest0/accept_ra").expect("readable").trim(), "2");
    world.destroy();
    assert_eq!(parameters(), before);
    assert!(is_heard(), "{}", routes());
    set("net/ipv6/conf/lo/forwarding", "0");
}

#[test]
fn a_network_that_the_host_has_is_spoken_on_with_the_addresses_that_are_given() {
    struct Lan;
    impl Drop for Lan {
        fn drop(&mut self) {
            let _ = std::process::Command::new("ip").args(["link", "del", "fleettestlan0"]).output();
        }
    }
    let world = World::new();
    let _lan = Lan;
    for line in [
        "link add fleettestlan0 type bridge",
        "address add fd00:213:75::1/64 dev fleettestlan0 nodad",
        "link set fleettestlan0 up",
    ] {
        Net::of_host().ip(line);
    }
    let text = "fleet: six
networks: {lan: {parent: fleettestlan0, subnet6: 'fd00:213:75::/64', gateway6: 'fd00:213:75::1'}}
defaults: {distro: busybox, memory: 64MiB, pids: 64, networks: [lan]}
containers:
  six-a: {ip6: 'fd00:213:75::11'}
  six-b: {ip6: 'fd00:213:75::12'}
  six-c: {}
";
    world.write(text).fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    assert!(world.sh("six-b", "ping -6 -c1 six-a.six").contains("fd00:213:75::11"));
    assert!(Net::of_host().pings("fd00:213:75::11"));
    let route = world.sh("six-a", "ip -6 route show default");
    assert!(route.starts_with("default via fd00:213:75::1 "), "{route}");
    assert_eq!(world.sh("six-c", "cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6").trim(), "1");
    world.destroy();
}
