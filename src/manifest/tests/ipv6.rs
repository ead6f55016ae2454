//! IPv6: subnets and addresses that are given or derived, and what cannot be.

use super::{accepted, findings};
use crate::model::{ContainerSpec, Fleet, host_table};

/// The IPv6 addresses of a container's links, with where the default routes lead.
fn links(container: &ContainerSpec) -> String {
    let lines = container.links.iter().map(|link| {
        let address = link.address6.map_or("-".to_owned(), |address| address.to_string());
        let gateway = link.gateway6.map_or("-".to_owned(), |gateway| gateway.to_string());
        format!("{} {} {address} {gateway}", container.name, link.name)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn all_links(fleet: &Fleet) -> String {
    fleet.containers.iter().map(links).collect::<Vec<_>>().join("\n")
}

#[test]
fn addresses_are_given_or_derived_and_run_upward() {
    let fleet = accepted(
        "
fleet: dev
network: {subnet6: 'fd00:42::/64'}
networks:
  storage: {subnet6: auto}
  plain: {}
  small: {subnet6: 'fd00:43::1:0/112'}
defaults: {distro: busybox}
containers:
  agent: {replicas: 3, ip6: 'fd00:42::fffe'}
  derived: {}
  two: {networks: [{network: storage, ip6: 'fd07:6746:d4cb:eac4::5'}, plain, default]}
  keyed: {ip6: 'fd00:43::1:7', networks: {small: }}
",
    );
    insta::assert_snapshot!(all_links(&fleet), @r"
    agent-1 eth0 fd00:42::fffe/64 fd00:42::1
    agent-2 eth0 fd00:42::ffff/64 fd00:42::1
    agent-3 eth0 fd00:42::1:0/64 fd00:42::1
    derived eth0 fd00:42::4333:a4cb:b0cc:9c8d/64 fd00:42::1
    two eth0 fd07:6746:d4cb:eac4::5/64 fd07:6746:d4cb:eac4::1
    two eth1 - -
    two eth2 fd00:42::93b1:35f0:7a4b:bc9d/64 -
    keyed eth0 fd00:43::1:7/112 fd00:43::1:1
    ");
    let subnets: Vec<String> = fleet.networks.iter().map(|network| format!("{:?}", network.subnet6)).collect();
    insta::assert_snapshot!(subnets.join("\n"), @r"
    Some(fd00:42::/64)
    Some(fd07:6746:d4cb:eac4::/64)
    None
    Some(fd00:43::1:0/112)
    ");
}

#[test]
fn what_is_derived_stays_when_others_come() {
    let text = |more: &str| {
        format!(
            "fleet: dev\nnetwork: {{subnet6: auto}}\ndefaults: {{distro: busybox}}\ncontainers: {{b: {{}}{more}}}\n"
        )
    };
    let (alone, beside) = (accepted(&text("")), accepted(&text(", a: {}, c: {replicas: 200}")));
    assert_eq!(alone.networks[0], beside.networks[0]);
    assert_eq!(links(&alone.containers[0]), links(&beside.containers[0]));
    let other = accepted(&text("").replace("fleet: dev", "fleet: other"));
    assert_ne!(alone.networks[0].subnet6, other.networks[0].subnet6);
    // Without being asked for there is none.
    let without = accepted(&text("").replace("{subnet6: auto}", "{}"));
    assert_eq!((without.networks[0].subnet6, without.containers[0].links[0].address6), (None, None));
}

#[test]
fn members_know_each_other_by_addresses_of_both_families() {
    let fleet = accepted(
        "
fleet: dev
network: {subnet: 10.42.0.0/24, subnet6: 'fd00:42::/64'}
networks: {lan: {parent: br0, subnet6: 'fd00:44::/64', gateway6: 'fd00:44::1'}}
defaults: {distro: busybox}
containers:
  a: {ip: 10.42.0.11, ip6: 'fd00:42::11'}
  b: {networks: [{network: lan, ip6: 'fd00:44::12'}, {network: default, ip: 10.42.0.12, ip6: 'fd00:42::12'}]}
  c: {networks: [lan]}
",
    );
    let table = |container: usize| {
        let table = host_table(&fleet.members, &fleet.containers[container].network_names());
        table.iter().map(|entry| format!("{} {}", entry.names[0], entry.address)).collect::<Vec<_>>().join(", ")
    };
    insta::assert_snapshot!(table(0), @"a 10.42.0.11, a fd00:42::11, b 10.42.0.12, b fd00:42::12");
    insta::assert_snapshot!(table(1), @"a 10.42.0.11, a fd00:42::11, b fd00:44::12");
    insta::assert_snapshot!(all_links(&fleet), @r"
    a eth0 fd00:42::11/64 fd00:42::1
    b eth0 fd00:44::12/64 fd00:44::1
    b eth1 fd00:42::12/64 -
    c eth0 - -
    ");
    let addresses = fleet.containers[1].addresses().map(|address| address.to_string()).collect::<Vec<_>>();
    assert_eq!(addresses, ["10.42.0.12", "fd00:44::12"]);
}

#[test]
fn addresses_that_cannot_be_are_found() {
    insta::assert_snapshot!(findings("
fleet: dev
network: {subnet6: 'fd00:42::/64'}
networks: {plain: {}}
defaults: {distro: busybox}
containers:
  outside: {ip6: 'fd00:43::2'}
  routers: {ip6: 'fd00:42::'}
  gateway: {ip6: 'fd00:42::1'}
  prefix: {ip6: 'fd00:42::9/64'}
  text: {ip6: here}
  four: {ip6: 10.42.0.9}
  six: {ip: 'fd00:42::9'}
  db: {ip6: 'fd00:42::12'}
  agent: {replicas: 10, ip6: 'fd00:42::0011'}
  long: {replicas: 10, ip6: 'fd00:42::ffff:ffff:ffff:fffe'}
  none: {networks: [{network: plain, ip6: 'fd00:42::77'}]}
  nothing: {networks: none, ip6: 'fd00:42::78'}
  twice: {networks: [{network: default, ip6: 'fd00:42::79'}], ip6: 'fd00:42::79'}
"), @r"
7:18 fd00:43::2 is outside the fleet's subnet fd00:42::/64 (containers can have fd00:42::2 to fd00:42::ffff:ffff:ffff:ffff)
8:18 fd00:42:: is the address of all routers of fd00:42::/64 (containers can have fd00:42::2 to fd00:42::ffff:ffff:ffff:ffff)
9:18 fd00:42::1 is the host's own address (containers can have fd00:42::2 to fd00:42::ffff:ffff:ffff:ffff)
10:17 `fd00:42::9/64` is not an IPv6 address (did you mean `fd00:42::9`? the prefix length is the subnet's)
11:15 `here` is not an IPv6 address (write it as `fd00:42::11`)
12:15 `10.42.0.9` is not an IPv6 address (write it as `fd00:42::11`)
13:13 `fd00:42::9` is not an IPv4 address (write four numbers, such as `10.42.0.11`)
15:30 the address fd00:42::12 of `agent-2` is that of `db` in line 14
16:29 a run of 10 addresses from fd00:42::ffff:ffff:ffff:fffe does not fit into fd00:42::/64 (containers can have fd00:42::2 to fd00:42::ffff:ffff:ffff:ffff)
17:43 the network `plain` has no `subnet6` for addresses (give it one, such as `subnet6: fd00:42::/64`, or leave `ip6` out)
18:34 `ip6` is that of a link, and there is none (leave it out, or name a network in `networks`)
19:46 `ip6` of the first link is there twice: first in line 19 (leave one of them out)
");
}

#[test]
fn subnets_that_cannot_be_are_found() {
    insta::assert_snapshot!(findings("
fleet: dev
networks:
  a: {subnet6: 'fe80::/64'}
  b: {subnet6: 'ff05::/64'}
  c: {subnet6: '::/64'}
  d: {subnet6: 'fd00:1::/48'}
  e: {subnet6: 'fd00:1::/120'}
  f: {subnet6: 'fd00:1::7/64'}
  g: {subnet6: 10.42.0.0/24}
  h: {subnet6: yes}
  i: {subnet6: 'fec0::/64'}
  j: {subnet6: 'fd00:2::/64'}
  k: {subnet6: 'fd00:2::1:0/112'}
  l: {subnet6: auto, mtu: 1000}
  m: {subnet6: auto, gateway6: 'fd00:1::1'}
  n: {parent: br0, subnet6: auto, gateway6: 'fd00:1::1'}
  o: {parent: br0, gateway6: 'fd00:1::1'}
  p: {parent: br0, subnet6: 'fd00:2::/64', gateway6: 'fd00:1::1'}
containers: {}
"), @r"
4:16 `fe80::/64` cannot be a fleet's subnet: fe80::/10 is link-local (choose one inside fd00::/8, or write `auto` for one of the fleet's own)
5:16 `ff05::/64` cannot be a fleet's subnet: ff00::/8 is multicast (choose one inside fd00::/8, or write `auto` for one of the fleet's own)
6:16 `::/64` cannot be a fleet's subnet: ::/8 is set aside (RFC 4291) (choose one inside fd00::/8, or write `auto` for one of the fleet's own)
7:16 a fleet's IPv6 subnet has a prefix from /64 to /112, not /48
8:16 a fleet's IPv6 subnet has a prefix from /64 to /112, not /120
9:16 `fd00:1::7/64` is an address inside a subnet (did you mean `fd00:1::/64`?)
10:16 `10.42.0.0/24` is not an IPv6 subnet (write it as `fd00:42::/64`, or `auto` for one of the fleet's own)
11:16 `yes` is not an IPv6 subnet (write it as `fd00:42::/64`, or `auto` for one of the fleet's own)
12:16 `fec0::/64` cannot be a fleet's subnet: fec0::/10 is set aside (RFC 3879) (choose one inside fd00::/8, or write `auto` for one of the fleet's own)
14:16 fd00:2::1:0/112 overlaps fd00:2::/64 of the network `j` in line 13
15:27 `mtu` 1000 is too short for IPv6, which takes 1280 at least (leave `mtu` or `subnet6` out)
16:32 the gateway of a network of fleet's own is the host: the subnet's first address (leave `gateway6` out)
17:29 `subnet6: auto` goes with a bridge of fleet's own, not with `parent` (write the subnet that the network has)
18:30 a gateway is nothing without a `subnet6`
19:54 fd00:1::1 is outside the subnet fd00:2::/64
");
}

#[test]
fn what_leads_nowhere_is_found() {
    insta::assert_snapshot!(findings("
fleet: dev
network: {egress: ['fd00::/8', 10.0.0.0/8, '[2001:db8::1]:443']}
networks: {six: {subnet6: auto, egress: ['fd00::/8']}}
defaults: {distro: busybox}
containers:
  a: {ports: ['[2001:db8::1]:80:80', '[::]:81:80', 82:80]}
  b: {networks: [six], ports: ['[2001:db8::1]:80:80', '[::]:83:80']}
"), @r"
3:20 nobody reaches `fd00::/8` from a network without a `subnet6` (write `subnet6: auto`)
3:44 nobody reaches `[2001:db8::1]:443` from a network without a `subnet6` (write `subnet6: auto`)
7:15 `a` has no IPv6 address on the network `default` (give the network a `subnet6`)
7:38 `a` has no IPv6 address on the network `default` (give the network a `subnet6`)
8:32 port 80/tcp of the host, which `b` publishes, is that of `a` in line 7 (choose another port of the host for one of them)
");
}
