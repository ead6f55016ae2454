//! Fleets that are applied together.

use std::path::Path;

use super::super::{check_together, parse};
use super::environment;

fn together(files: &[(&str, &str)]) -> String {
    let fleets: Vec<_> = files
        .iter()
        .map(|(file, text)| parse(Path::new(file), text, "", &environment).expect("nothing is wrong with it"))
        .collect();
    let lines = check_together(&fleets).into_iter().map(|finding| {
        let hint = finding.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
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
    b.yaml:1:1 a part of the subnet 10.1.1.0/24 is in `a.yaml` already (give one of them another `network.subnet`)
    b.yaml:1:1 the container `y` is in `a.yaml` already (rename one, or give one of the fleets a `prefix`)
    c.yaml:1:1 the container `x` is in `a.yaml` already (rename one, or give one of the fleets a `prefix`)
    d.yaml:1:1 the bridge `br` is in `c.yaml` already (each fleet has a bridge of its own)
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
        @"b.yaml:1:1 a part of the subnet fd00:1::1:0/112 is in `a.yaml` already (give one of them another `network.subnet6`)"
    );
}

#[test]
fn a_fleet_given_twice_is_one_finding() {
    let a = "fleet: a\ncontainers: {x: {distro: busybox}, y: {distro: busybox}}\n";
    insta::assert_snapshot!(together(&[("a.yaml", a), ("copy.yaml", a)]), @"copy.yaml:1:1 the fleet `a` is in `a.yaml` already");
}
