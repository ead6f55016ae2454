//! Several networks, and the links of containers to them.

use super::{accepted, findings};
use crate::model::{ContainerSpec, IpFamily, host_table};

/// The links of a container as text.
fn links(container: &ContainerSpec) -> String {
    let lines = container.links.iter().map(|link| {
        let address = link.address.map_or("-".to_owned(), |address| address.to_string());
        let gateway = link.gateway.map_or("-".to_owned(), |gateway| gateway.to_string());
        format!("{} {} {} {address} {gateway} {}", link.network, link.name, link.parent, link.mac)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_container_has_links_to_the_networks_that_it_names() {
    let fleet = accepted(
        "
fleet: dev
network: {subnet: 10.42.0.0/24}
networks:
  storage: {subnet: 10.50.0.0/24, bridge: br-storage, isolated: true}
  derived:
defaults: {distro: busybox}
containers:
  plain: {ip: 10.42.0.9}
  two: {ip: 10.42.0.11, networks: [default, {network: storage, ip: 10.50.0.5, mac: '02:00:00:00:00:07', name: stor0}]}
  many: {replicas: 2, networks: [{network: storage, ip: 10.50.0.21}, derived]}
  keyed: {networks: {storage: {ip: 10.50.0.7}, default: }}
",
    );
    insta::assert_snapshot!(links(&fleet.containers[0]), @"default eth0 fbde3214ee34 10.42.0.9/24 10.42.0.1 fe:b5:29:ca:b7:7e");
    insta::assert_snapshot!(links(&fleet.containers[1]), @r"
    default eth0 fbde3214ee34 10.42.0.11/24 10.42.0.1 ee:3c:ac:f1:41:13
    storage stor0 br-storage 10.50.0.5/24 - 02:00:00:00:00:07
    ");
    insta::assert_snapshot!(links(&fleet.containers[3]), @r"
    storage eth0 br-storage 10.50.0.22/24 10.50.0.1 b6:0c:e0:ea:b5:7b
    derived eth1 fbde02bf1acf 10.174.49.13/24 - de:80:53:c1:64:97
    ");
    insta::assert_snapshot!(links(&fleet.containers[4]), @r"
    storage eth0 br-storage 10.50.0.7/24 10.50.0.1 ce:d8:83:ad:df:9d
    default eth1 fbde3214ee34 10.42.0.204/24 - 8e:52:54:2a:c3:ab
    ");
    assert!(fleet.containers[1].links[1].port.isolated && !fleet.containers[1].links[0].port.isolated);
    let names: Vec<&str> = fleet.networks.iter().map(|network| network.name.as_str()).collect();
    assert_eq!(names, ["default", "storage", "derived"]);
    let used: Vec<&str> = fleet.networks_in_use().map(|network| network.name.as_str()).collect();
    assert_eq!(used, names);
    // Who shares no network is not known; who shares several is known by the first.
    let known = |container: usize| {
        let table = host_table(&fleet.members, &fleet.containers[container].network_names());
        table.iter().map(|entry| format!("{} {}", entry.names[0], entry.address)).collect::<Vec<_>>().join(", ")
    };
    insta::assert_snapshot!(known(0), @"plain 10.42.0.9, two 10.42.0.11, keyed 10.42.0.204");
    insta::assert_snapshot!(known(1), @"plain 10.42.0.9, two 10.42.0.11, many-1 10.50.0.21, many-2 10.50.0.22, keyed 10.42.0.204");
    insta::assert_snapshot!(known(4), @"plain 10.42.0.9, two 10.50.0.5, many-1 10.50.0.21, many-2 10.50.0.22, keyed 10.50.0.7");
}

#[test]
fn what_is_derived_of_a_network_does_not_depend_on_the_others() {
    let alone = accepted("fleet: dev\ncontainers: {a: {distro: busybox}}\n");
    let beside =
        accepted("fleet: dev\nnetworks: {x: {}, y: {}}\ncontainers: {a: {distro: busybox, networks: [x, default]}}\n");
    assert_eq!(alone.networks[0], beside.networks[0]);
    let (one, other) = (&alone.containers[0].links[0], &beside.containers[0].links[1]);
    assert_eq!((one.mac, one.address, &one.host_name), (other.mac, other.address, &other.host_name));
    assert_eq!((other.name.as_str(), other.gateway), ("eth1", None));
    let named =
        accepted("fleet: dev\nnetworks: {default: {subnet: 10.1.0.0/24}}\ncontainers: {a: {distro: busybox}}\n");
    assert_eq!(named.networks[0].bridge, alone.networks[0].bridge);
    assert_eq!(named.networks[0].subnet.to_string(), "10.1.0.0/24");
}

#[test]
fn networks_that_cannot_be_are_found() {
    insta::assert_snapshot!(findings("
fleet: dev
network: {subnet: 10.42.0.0/24}
networks:
  a: {subnet: 10.42.0.128/25}
  b: {subnet: 10.0.0.0/8, bridge: same}
  c: {subnet: 172.16.0.0/24, bridge: same, colour: red}
  host: {}
  Bad: {}
  default: {}
containers: {}
"), @r"
    5:15 10.42.0.128/25 overlaps 10.42.0.0/24 of the network `default` in line 3
    6:15 10.0.0.0/8 overlaps 10.42.0.0/24 of the network `default` in line 3
    7:38 the networks `b` and `c` have the same bridge `same`
    7:44 unknown key `colour` (the keys here are `subnet`, `subnet6`, `bridge`, `dns`, `nat`, `isolated`, `egress`, `mtu`, `members_per_bridge`, `type`, `parent`, `mode`, `gateway` and `gateway6`)
    8:3 `host` cannot be the name of a network: the word means something else in `networks` of a container
    9:3 `Bad` cannot be the name of a network: `B` cannot stand in a name: a name is made of `a-z`, `0-9` and `-` (did you mean `bad`?)
    10:3 the network `default` is there twice: it is the one that `network` describes (leave one of them out)
    ");
    insta::assert_snapshot!(findings("
fleet: dev
networks: {all: {subnet: 10.0.0.0/8}}
containers: {a: {distro: busybox}}
"), @"4:1 no subnet is left for the network `default` (give it a `subnet`)");
}

#[test]
fn links_that_cannot_be_are_found() {
    insta::assert_snapshot!(findings("
fleet: dev
network: {subnet: 10.42.0.0/24}
networks: {storage: {subnet: 10.50.0.0/24}}
defaults: {distro: busybox}
containers:
  a: {networks: [storag]}
  b: {networks: [storage, storage]}
  c: {networks: []}
  d: {ip: 10.42.0.2, networks: [{network: default, ip: 10.42.0.3}]}
  e: {networks: [default, {network: storage, name: eth0}]}
  f: {networks: [{ip: 10.50.0.2}]}
  g: {networks: [{network: storage, ip: 10.42.0.7, name: lo}]}
  h: {replicas: 2, networks: [{network: storage, mac: '02:00:00:00:00:01'}]}
  i: {networks: [{network: storage, ip: 10.50.0.9}]}
  j: {networks: [{network: storage, ip: 10.50.0.9}]}
  k: {networks: storage}
"), @r"
    7:18 there is no network `storag` (did you mean `storage`?)
    8:27 the network `storage` is there twice: first in line 8
    9:7 `networks` names none (write `networks: none`, or leave it out for the default one)
    10:56 `ip` of the first link is there twice: first in line 10 (leave one of them out)
    11:52 two links of a container are called `eth0`
    12:18 a link needs a `network` (write `{network: NAME}`)
    13:41 10.42.0.7 is outside the `storage` network's subnet 10.50.0.0/24 (containers can have 10.50.0.2 to 10.50.0.254)
    13:58 `lo` is the guest's own loopback (write `eth1` or the like)
    14:55 `h` has replicas, which cannot share one `mac` (leave `mac` out: each replica gets its own)
    16:41 the address 10.50.0.9 of `j` is that of `i` in line 15
    17:17 `storage` is neither `none` nor `host` (write `networks: [storage]` for a network)
    ");
}

#[test]
fn networks_that_the_host_has_are_used_as_they_are() {
    let fleet = accepted(
        "
fleet: dev
networks:
  lan: {type: bridge, parent: br-lan, subnet: 192.168.7.0/24, gateway: 192.168.7.254, mtu: 1400}
  wire: {type: macvlan, parent: eth1, mode: private}
  shared: {type: ipvlan, parent: eth2, mode: l3s, subnet: 192.168.8.0/24}
defaults: {distro: busybox}
containers:
  a: {networks: [{network: lan, ip: 192.168.7.9}, wire, {network: shared, ip: 192.168.8.1}]}
  b: {replicas: 2, networks: [{network: lan, ip: 192.168.7.20}]}
  c: {networks: none}
  d: {networks: host}
",
    );
    let ways = |container: usize| {
        let links = fleet.containers[container].links.iter();
        links
            .map(|link| {
                format!(
                    "{} {:?} {} {:?} {:?} {:?}",
                    link.name, link.way, link.parent, link.address, link.gateway, link.mtu
                )
            })
            .collect::<Vec<_>>()
            .join("\n")
    };
    insta::assert_snapshot!(ways(0), @r"
    eth0 Bridge br-lan Some(192.168.7.9/24) Some(192.168.7.254) Some(1400)
    eth1 Macvlan(Private) eth1 None None None
    eth2 Ipvlan(L3s) eth2 Some(192.168.8.1/24) None None
    ");
    insta::assert_snapshot!(ways(2), @"eth0 Bridge br-lan Some(192.168.7.21/24) Some(192.168.7.254) Some(1400)");
    assert_eq!((ways(3).as_str(), fleet.containers[3].is_on_host_network), ("", false));
    assert_eq!((ways(4).as_str(), fleet.containers[4].is_on_host_network), ("", true));
    // Nothing of them is fleet's.
    assert_eq!(fleet.networks_in_use().count(), 0);
    assert!(fleet.chains().is_empty() && !fleet.needs_forwarding(IpFamily::Ipv4));
}

#[test]
fn what_does_not_go_with_the_hosts_networks_is_found() {
    insta::assert_snapshot!(findings("
fleet: dev
network: {gateway: 10.0.0.1}
networks:
  a: {type: macvlan}
  b: {type: macvlan, parent: eth0, mode: l2}
  c: {parent: br0, mode: bridge, egress: none, nat: true, isolated: true, bridge: br1}
  d: {type: ipvlan, parent: eth1, gateway: 10.9.0.1}
  e: {type: vlan, parent: eth1}
  f: {type: ipvlan, parent: eth1, subnet: 10.9.0.0/24, gateway: 10.8.0.1, mtu: 20}
containers: {}
"), @r"
    3:20 the gateway of a network of fleet's own is the host: the subnet's first address (leave `gateway` out)
    5:13 the network `a` needs a `parent`: the link of the host that it shares (write `parent: eth0` or the like)
    6:42 unknown mode `l2` (write one of `bridge`, `private`, `vepa` and `passthru`)
    7:26 the network `c` is a bridge, which has no `mode` (leave it out)
    8:44 a gateway is nothing without a `subnet`
    9:13 unknown type of network `vlan` (write one of `bridge`, `macvlan` and `ipvlan`)
    10:65 10.8.0.1 is outside the subnet 10.9.0.0/24
    10:80 `20` is not a whole number from 68 to 65535
    ");
    insta::assert_snapshot!(findings("
fleet: dev
networks: {wire: {type: ipvlan, parent: eth1}, lan: {parent: br0, subnet: 10.9.0.0/24, gateway: 10.9.0.7}}
defaults: {distro: busybox}
containers:
  a: {networks: wire}
  b: {networks: [{network: wire, ip: 10.9.0.2, mac: '02:00:00:00:00:01'}]}
  c: {networks: host, ip: 10.9.0.2, sysctls: {net.ipv4.ip_forward: 1}}
  d: {networks: none, ports: ['80:80']}
  e: {networks: host, ports: ['81:80']}
  f: {networks: [{network: lan, ip: 10.9.0.7}], ports: ['82:80']}
  g: {networks: [{network: lan, ip: 10.9.0.8}]}
  h: {networks: [{network: lan, ip: 10.9.0.8}]}
"), @r"
    6:17 `wire` is neither `none` nor `host` (write `networks: [wire]` for a network)
    7:38 the network `wire` has no `subnet` for addresses (give it one, or leave `ip` to the guest and its DHCP server)
    7:53 an ipvlan link has the MAC address of its parent `eth1` (leave `mac` out, or write `type: macvlan`)
    8:27 `ip` is that of a link, and there is none (leave it out, or name a network in `networks`)
    8:47 `net.ipv4.ip_forward` belongs to the whole host (set it on the host, or give the container `privileged: true`)
    9:31 no port of `d` can be published: fleet makes none of its networks (add a network of the fleet's own to `networks`)
    10:31 no port of `e` can be published: fleet makes none of its networks (leave `ports` out: what it listens on is the host's already)
    11:37 10.9.0.7 is the address of the gateway (containers can have 10.9.0.1 to 10.9.0.254)
    11:57 no port of `f` can be published: fleet makes none of its networks (add a network of the fleet's own to `networks`)
    13:37 the address 10.9.0.8 of `h` is that of `g` in line 12
    ");
}

#[test]
fn who_publishes_something_hears_himself_on_the_link_that_it_leads_to() {
    let fleet = accepted(
        "fleet: dev
networks: {lan: {parent: br0, subnet: 10.9.0.0/24}, apart: {isolated: true}}
defaults: {distro: busybox}
containers:
  a: {networks: [{network: lan, ip: 10.9.0.7}, default], ports: ['80:80']}
  b: {networks: [apart, default], ports: ['81:80']}
  c: {ports: ['127.0.0.1:82:80']}
  d: {}
",
    );
    let hairpin =
        |place: usize| -> Vec<bool> { fleet.containers[place].links.iter().map(|link| link.port.hairpin).collect() };
    assert_eq!(hairpin(0), [false, true]);
    assert_eq!(hairpin(1), [false, false], "an isolated port gets nothing from itself");
    assert_eq!((hairpin(2), hairpin(3)), (vec![false], vec![false]), "only the host reaches the one, nobody the other");
}
