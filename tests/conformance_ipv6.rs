//! IPv6 in real containers: who reaches whom, by what names, and what of it is left behind.

mod nets;
mod world;

use nets::Net;
use world::World;

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

fn guest(world: &World, name: &str) -> Net {
    Net::of(world.pid(name))
}

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
