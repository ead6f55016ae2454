//! Findings that come of several parts of a file, or of files beside it.

use std::fs;

use super::super::parse;
use super::{accepted, drawn, environment, findings};

#[test]
fn templates_that_would_fail_in_a_guest_are_found_before_there_is_one() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let text = "fleet: dev\ntemplates:\n  hosts: hosts\n  sudoers: sudoers\n  hostname: hostname\n\
                containers:\n  a: {distro: busybox}\n  b: {distro: busybox, replicas: 9}\n";
    let found = |text: &str, templates: [&str; 3]| {
        for (name, text) in ["hosts", "sudoers", "hostname"].iter().zip(templates) {
            fs::write(directory.path().join(name), text).expect("it can be written");
        }
        parse(&directory.path().join("fleet.yaml"), text, "", &environment)
            .map_or_else(|rejected| drawn(&rejected), |_| "none".to_owned())
    };
    let rendered = "{{#each hosts}}{{address}} {{join names \" \"}}{{/each}} {{address}}/{{prefix}}\n";
    assert_eq!(found(text, [rendered, "{{user.name}} ALL\n", "{{hostname}}\n"]), "none");
    insta::assert_snapshot!(found(text, ["{{#each hosts}}", "{{usr.name}}", "{{hostnaem}}"]), @r"
    3:10 cannot read template `hosts`: line 1, column 16: not an expression of handlebars, or a block that is not closed
    5:13 cannot render template `hostname`: line 1, column 1: there is no variable `hostnaem`
    ");
    // Where nobody may use it, it is not rendered.
    let sudo = text.replace("a: {distro: busybox}", "a: {distro: busybox, users: [{name: dev, sudo: true}]}");
    insta::assert_snapshot!(found(&sudo, [rendered, "{{usr.name}}", "{{hostname}}"]), @r"4:12 cannot render template `sudoers`: line 1, column 1: there is no variable `usr.name`");
}

#[test]
fn a_host_name_leads_to_one_container() {
    insta::assert_snapshot!(findings(
        "fleet: dev\ndefaults: {distro: busybox}\ncontainers:\n  a: {hostname: b}\n  b: {}\n  c: {hostname: x.test}\n  d: {hostname: x.test}\n  e: {hostname: e}\n"
    ), @r"
    4:17 `a` and `b` would both be called `b` (leave `hostname` out: each gets its own)
    7:17 `d` and `c` would both be called `x.test` (leave `hostname` out: each gets its own)
    ");
    insta::assert_snapshot!(findings(
        "fleet: dev\ndefaults: {distro: busybox, hostname: web}\ncontainers: {a: {}, b: {}, c: {}}\n"
    ), @r"2:39 `b` and `a` would both be called `web` (leave `hostname` out: each gets its own)");
    // A first label that several have is nobody's.
    let fleet = accepted(
        "fleet: dev\ndefaults: {distro: busybox}\ncontainers: {a: {hostname: n.x.test}, b: {hostname: n.y.test}, c: {hostname: m.x.test}}\n",
    );
    let names: Vec<String> = fleet.members.iter().map(|member| member.names.join(" ")).collect();
    assert_eq!(names, ["a a.dev", "b b.dev", "m c c.dev"]);
}

#[test]
fn a_wrong_name_or_subnet_hides_nothing_else() {
    let rest = "defaults: {distro: busybox}\ncontainers:\n  a: {mac: '02:00:00:00:00:01', ports: ['80:80']}\n  b: {mac: '02:00:00:00:00:01', ports: ['80:80']}\n  c: {networks: [{network: s, ip: 10.9.0.5}]}\n  d: {networks: [{network: s, ip: 10.9.0.5}]}\n";
    insta::assert_snapshot!(findings(&format!("fleet: Bad_Name\nnetworks: {{s: {{subnet: 10.9.0.0/24}}}}\n{rest}")), @r"
    1:8 `Bad_Name` cannot be the name of a fleet: `B` cannot stand in a name: a name is made of `a-z`, `0-9` and `-` (did you mean `bad-name`?)
    6:12 `a` and `b` have the same MAC address 02:00:00:00:00:01
    6:41 port 80/tcp of the host, which `b` publishes, is that of `a` in line 5 (choose another port of the host for one of them)
    8:35 the address 10.9.0.5 of `d` is that of `c` in line 7
    ");
    insta::assert_snapshot!(findings(&format!(
        "fleet: dev\nnetwork: {{subnet: 10.42.1.5/24}}\nnetworks: {{s: {{subnet: 10.9.0.0/24}}}}\n{rest}"
    )), @r"
    2:19 `10.42.1.5/24` is an address inside a subnet (did you mean `10.42.1.0/24`?)
    7:12 `a` and `b` have the same MAC address 02:00:00:00:00:01
    7:41 port 80/tcp of the host, which `b` publishes, is that of `a` in line 6 (choose another port of the host for one of them)
    9:35 the address 10.9.0.5 of `d` is that of `c` in line 8
    ");
}

#[test]
fn items_that_are_spread_over_lines_are_pointed_at() {
    insta::assert_snapshot!(findings(
        "fleet: dev\ncontainers:\n  a:\n    distro: busybox\n    mounts:\n    - type: volume\n      source: a\n      target: /one\n    - type: volume\n      source: b\n    - type: volume\n      source: c\n      target: /one\n    users:\n    - uid: 1000\n"
    ), @r"
    9:7 a mount needs a `target` (write `{type: bind, source: PATH, target: PATH}`)
    11:7 `/one` is mounted twice: first in line 6
    15:7 a user needs a `name` (write `{name: NAME}`)
    ");
}
