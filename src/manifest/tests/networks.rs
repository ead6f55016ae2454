//! Several networks, and the links of containers to them.

use super::{accepted, findings};
use crate::model::{ContainerSpec, host_table};

/// The links of a container as text.
fn links(container: &ContainerSpec) -> String {
    let lines = container.links.iter().map(|link| {
        let address = link.address.map_or("-".to_owned(), |address| address.to_string());
        let gateway = link.gateway.map_or("-".to_owned(), |gateway| gateway.to_string());
        format!("{} {} {} {address} {gateway} {}", link.network, link.name, link.bridge, link.mac)
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
    assert!(fleet.containers[1].links[1].isolated && !fleet.containers[1].links[0].isolated);
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
    7:44 unknown key `colour` (the keys here are `subnet`, `bridge`, `dns`, `nat`, `isolated` and `egress`)
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
    9:7 `networks` names none (leave it out for the default one)
    10:56 `ip` of the first link is there twice: first in line 10 (leave one of them out)
    11:52 two links of a container are called `eth0`
    12:18 a link needs a `network` (write `{network: NAME}`)
    13:41 10.42.0.7 is outside the `storage` network's subnet 10.50.0.0/24 (containers can have 10.50.0.2 to 10.50.0.254)
    13:58 `lo` is the guest's own loopback (write `eth1` or the like)
    14:55 `h` has replicas, which cannot share one `mac` (leave `mac` out: each replica gets its own)
    16:41 the address 10.50.0.9 of `j` is that of `i` in line 15
    17:17 `networks` must be a list (write `networks: [ITEM, …]`)
    ");
}
