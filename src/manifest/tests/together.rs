//! Fleets that are applied together.

use std::path::Path;

use super::super::{check_together, parse};
use super::environment;

fn together(files: &[(&str, &str)]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|(file, text)| parse(Path::new(file), text, "", &environment).expect("nothing is wrong with it"))
        .collect();
    let rejected = check_together(&files);
    let lines = rejected.iter().flat_map(|file| &file.findings).map(|finding| {
        let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}:{}:{} {}{hint}", finding.file.display(), finding.line, finding.column, finding.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn fleets_that_share_nothing_have_no_findings() {
    let a = "fleet: a\nnetwork: {subnet: 10.1.0.0/24}\ncontainers: {x: {distro: busybox}}\n";
    let b = "fleet: b\nnetwork: {subnet: 10.1.1.0/24}\ncontainers: {y: {distro: busybox}}\n";
    assert_eq!(together(&[("a.yaml", a), ("b.yaml", b)]), "");
}

#[test]
fn every_clash_is_a_finding_in_the_later_file() {
    let a = "fleet: a\nnetwork: {subnet: 10.1.0.0/16}\ncontainers: {x: {distro: busybox}, y: {distro: busybox}}\n";
    let b = "fleet: b\nnetwork: {subnet: 10.1.1.0/24}\ncontainers: {y: {distro: busybox}}\n";
    let c = "fleet: c\nnetwork: {subnet: 10.2.1.0/24, bridge: br}\ncontainers: {x: {distro: busybox}}\n";
    let d = "fleet: d\nnetwork: {subnet: 10.3.1.0/24, bridge: br}\ncontainers: {}\n";
    insta::assert_snapshot!(together(&[("a.yaml", a), ("b.yaml", b), ("c.yaml", c), ("d.yaml", d)]), @r"
    b.yaml:2:19 a part of the subnet 10.1.1.0/24 is in `a.yaml:2` already (give one of them another subnet: `network.subnet` here)
    b.yaml:3:14 the container `y` is in `a.yaml:3` already (rename one, or give one of the fleets a `prefix`)
    c.yaml:3:14 the container `x` is in `a.yaml:3` already (rename one, or give one of the fleets a `prefix`)
    d.yaml:2:40 the bridge `br` is in `c.yaml:2` already (each fleet has a bridge of its own)
    ");
}

#[test]
fn a_clash_of_ipv6_subnets_is_one_as_well() {
    let text = |name: &str, subnet6: &str| {
        format!("fleet: {name}\nnetwork: {{subnet6: {subnet6}}}\ncontainers: {{{name}: {{distro: busybox}}}}\n")
    };
    let (a, b, auto) = (text("a", "'fd00:1::/64'"), text("b", "'fd00:1::1:0/112'"), text("c", "auto"));
    insta::assert_snapshot!(
        together(&[("a.yaml", &a), ("b.yaml", &b), ("c.yaml", &auto)]),
        @"b.yaml:2:20 a part of the subnet fd00:1::1:0/112 is in `a.yaml:2` already (give one of them another subnet: `network.subnet6` here)"
    );
}

#[test]
fn a_fleet_given_twice_is_one_finding() {
    let a = "fleet: a\ncontainers: {x: {distro: busybox}, y: {distro: busybox}}\n";
    insta::assert_snapshot!(together(&[("a.yaml", a), ("copy.yaml", a)]), @"copy.yaml:1:8 the fleet `a` is in `a.yaml:1` already (name one of them otherwise, or leave one of the files out: a fleet's name is its own on a host)");
}

#[test]
fn a_clash_of_ports_names_both_containers_and_points_at_the_port() {
    let a = "fleet: a\ncontainers:\n  db: {distro: busybox, ports: ['8000-8010:8000-8010', '53:53/udp']}\n";
    let b = "fleet: b\ncontainers:\n  web: {distro: busybox, ports: ['80:80', '8005:80']}\n  dns:\n    distro: busybox\n    ports: ['53:53/udp']\n  x: {distro: busybox, ports: ['53:53']}\n";
    insta::assert_snapshot!(together(&[("a.yaml", a), ("b.yaml", b)]), @r"
    b.yaml:3:43 port 8005/tcp of the host, which `web` publishes, is that of `db` in `a.yaml:3` (choose another port of the host for one of them)
    b.yaml:6:13 port 53/udp of the host, which `dns` publishes, is that of `db` in `a.yaml:3` (choose another port of the host for one of them)
    ");
}

#[test]
fn of_replicas_that_another_fleet_has_the_first_is_a_finding() {
    let a = "fleet: a\ncontainers: {web: {distro: busybox, replicas: 3}}\n";
    let b = "fleet: b\ncontainers:\n  x: {distro: busybox}\n  web: {distro: busybox, replicas: 9}\n";
    insta::assert_snapshot!(together(&[("a.yaml", a), ("b.yaml", b)]), @"b.yaml:4:3 the container `web-1` is in `a.yaml:2` already (rename one, or give one of the fleets a `prefix`)");
}

#[test]
fn what_is_derived_and_clashes_points_at_the_name_that_it_comes_from() {
    let a = "fleet: a\nnetworks: {lan: {subnet: 10.0.0.0/8}}\ncontainers: {x: {distro: busybox, networks: [lan]}}\n";
    let b = "# derived\nfleet: b\ncontainers: {y: {distro: busybox}}\n";
    // The default network of this one would clash as well, and is not made: nobody is on it.
    let c = "fleet: c\nnetworks: {lan: {subnet: 10.1.0.0/24}}\ncontainers: {z: {distro: busybox, networks: [lan]}}\n";
    insta::assert_snapshot!(together(&[("a.yaml", a), ("b.yaml", b), ("c.yaml", c)]), @r"
    b.yaml:2:8 a part of the subnet 10.152.226.0/24 is in `a.yaml:2` already (give one of them another subnet: `network.subnet` here)
    c.yaml:2:26 a part of the subnet 10.1.0.0/24 is in `a.yaml:2` already (give one of them another subnet: `networks.lan.subnet` here)
    ");
}
