//! Single values that are wrong.

use std::fs;

use super::super::parse;
use super::{drawn, environment, findings};

#[test]
fn subnets_that_cannot_be_a_fleets_are_refused() {
    let subnet = |text: &str| findings(&format!("fleet: dev\nnetwork: {{subnet: {text}}}\ncontainers: {{}}\n"));
    insta::assert_snapshot!(subnet("10.0.0.0"), @"2:19 `10.0.0.0` is not an IPv4 subnet (write it as `10.42.0.0/24`)");
    insta::assert_snapshot!(subnet("10.0.0.0/30"), @"2:19 a fleet's subnet has a prefix from /8 to /29, not /30");
    insta::assert_snapshot!(subnet("127.1.0.0/16"), @"2:19 `127.1.0.0/16` cannot be a fleet's subnet: 127.0.0.0/8 is set aside (RFC 6890) (choose one inside 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16)");
    insta::assert_snapshot!(subnet("fd00::/64"), @"2:19 `fd00::/64` is not an IPv4 subnet (write it as `10.42.0.0/24`)");
    insta::assert_snapshot!(subnet(""), @"2:11 `subnet` has no value");
    insta::assert_snapshot!(subnet("10.0.0.0/24"), @"none");
}

#[test]
fn users_are_checked() {
    insta::assert_snapshot!(findings("
fleet: dev
defaults: {distro: busybox}
containers:
  a:
    users:
    - {name: root}
    - {name: dev, uid: 0, shell: bash, sudo: yes}
    - {name: dev, uid: 1000}
    - {name: ops, uid: 1000, groups: [wheel]}
    - {name: 1st}
    - {uid: 7}
    - just-a-name
    -
"), @r"
    6:5 a user needs a `name` (write `{name: NAME}`)
    7:14 `root` is there already (root's keys are the container's own `ssh_keys`)
    8:24 `0` is not a whole number from 1 to 65533
    8:34 `bash` is not an absolute path (write `/bin/sh`)
    8:46 `yes` is neither `true` nor `false`
    9:14 the user `dev` is there twice: first in line 8
    10:24 the uid 1000 is there twice: first in line 9
    10:30 unknown key `groups` (the keys here are `name`, `uid`, `shell`, `sudo` and `ssh_keys`)
    11:14 `1st` is not a user name (at most 32 of `a-z`, `0-9`, `_` and `-`, the first neither a digit nor `-`)
    12:7 a user needs a `name` (write `{name: NAME}`)
    13:7 a user must be a mapping of keys to values
    ");
}

#[test]
fn keys_and_files_that_cannot_be_used_are_found_where_they_are_named() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("it can be written");
    write("id", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    write("bad.pub", "# mine\nssh-ed25519 AAAA me\n");
    write("empty.pub", "# none\n");
    let text = "
fleet: dev
templates: {hosts: nowhere, motd: x}
containers:
  a:
    distro: busybox
    ssh_keys:
    - missing.pub
    - id
    - bad.pub
    - empty.pub
    - ssh-ed25519 broken
    - [x]
    users: [{name: dev, ssh_keys: id.pub}]
";
    let rejected = parse(&directory.path().join("fleet.yaml"), text, "", &environment).expect_err("much is wrong");
    let drawn = drawn(&rejected).replace(&directory.path().display().to_string(), "DIR");
    insta::assert_snapshot!(drawn, @r"
    3:20 cannot read `DIR/nowhere`: No such file or directory (make it first, or correct the path, which is looked up in `DIR`)
    3:29 unknown key `motd` (the keys here are `hosts`, `hostname`, `resolv.conf`, `networkd.network`, `interfaces`, `sudoers` and `doas.conf`)
    8:7 cannot read `DIR/missing.pub`: No such file or directory (make it with `ssh-keygen`, or name a public key that is there)
    9:7 `id` holds a private key (name its public half: `id.pub`)
    10:7 in line 2 of `bad.pub`: `ssh-ed25519 AAAA me` is not a public key: Base64 encoding error: invalid Base64 length
    11:7 `empty.pub` holds no key
    12:7 `ssh-ed25519 broken` is not a public key: Base64 encoding error: invalid Base64 encoding
    13:7 a key must be a single value, not a list
    14:35 `ssh_keys` must be a list (write `ssh_keys: [ITEM, …]`)
    ");
}

#[test]
fn images_are_checked() {
    insta::assert_snapshot!(findings("
fleet: dev
containers:
  a: {image: 'file:'}
  b: {image: 'file:x@sha256:12'}
  c: {image: {sha256: abc}}
  d: {image: {source: busybox, sha256: abc}}
  e: {image: {source: busybox, sha256: '0000000000000000000000000000000000000000000000000000000000000000'}}
  f: {image: [x]}
  g: {image: {source: 'file:x', sha265: x}}
  h: {image: }
"), @r"
    4:14 `file:` needs a path
    5:14 `12` is not a SHA-256: it has 64 hexadecimal digits
    6:7 `image` has neither `source` nor `https` nor `bootstrap` (write `source: file:PATH`, or `https: https://…` and `sha256`, or `bootstrap: debian/12`)
    6:23 `abc` is not a SHA-256: it has 64 hexadecimal digits
    7:40 `abc` is not a SHA-256: it has 64 hexadecimal digits
    8:40 `busybox` has no sha256: it is assembled on the host
    9:7 `image` must be a single value, not a list
    10:33 unknown key `sha265` (did you mean `sha256`?)
    11:7 `image` has no value
    ");
}

#[test]
fn values_of_the_wrong_shape_are_said_to_be() {
    insta::assert_snapshot!(findings("
fleet: [dev]
network: here
templates: []
defaults:
profiles: [big]
containers:
  a: busybox
  b:
    distro: {name: busybox}
    memory:
    cpus: []
    users: {dev: {}}
    ssh_keys:
    profiles: big
    pids: 0x10
"), @r"
    2:1 `fleet` must be a single value, not a list
    3:1 `network` must be a mapping of keys to values
    4:1 `templates` must be a mapping of keys to values
    6:1 `profiles` must be a mapping of keys to values
    8:3 the container `a` must be a mapping of keys to values
    10:5 `distro` must be a single value, not a mapping
    11:5 `memory` has no value (write `unlimited` for no limit)
    12:5 `cpus` must be a single value, not a list
    13:5 `users` must be a list (write `users: [ITEM, …]`)
    14:5 `ssh_keys` has no value (write `[]` for none)
    15:15 `profiles` must be a list (write `profiles: [ITEM, …]`)
    16:11 `0x10` is not a whole number from 1 to 4194304
    ");
    insta::assert_snapshot!(findings("- a\n- b\n"), @"1:1 the fleet file must be a mapping of keys to values");
    insta::assert_snapshot!(findings("just a word"), @"1:1 the fleet file must be a mapping of keys to values");
    insta::assert_snapshot!(findings("fleet: dev\ncontainers: [a, b]\n"), @"2:1 `containers` must be a mapping of keys to values");
}

#[test]
fn sizes_below_what_works_are_refused() {
    insta::assert_snapshot!(findings("
fleet: dev
defaults: {distro: busybox}
containers:
  a: {memory: 512}
  b: {memory: 1MiB}
  c: {memory: 12 parsecs}
  d: {cpus: 0}
  e: {pids: 0}
  f: {stop_timeout: 100000m}
  g: {replicas: 4001}
  h: {hostname: this-host-name-is-short-enough-for-the-world.but-too-long-for-linux}
"), @r"
    5:15 `512` is too little memory: a container needs 4MiB at least (did you mean `512MiB`?)
    6:15 `1MiB` is too little memory: a container needs 4MiB at least
    7:15 unknown unit `parsecs`: use B, KiB, MiB, GiB or TiB (K, M, G and T mean the same; KB, MB, GB, TB are decimal)
    8:13 `0` is not a number of processors from 0.01 to 4096 (write `0.5` or `2`)
    9:13 `0` is not a whole number from 1 to 4194304
    10:21 `100000m` is not a time of at most a day (write seconds as `30`, or `30s` or `2m`)
    11:17 `4001` is not a whole number from 1 to 4000
    12:17 a host name has at most 64 characters
    ");
}

#[test]
fn variables_that_are_not_set_are_named() {
    insta::assert_snapshot!(findings("
fleet: dev
defaults: {distro: busybox, memory: \"${NO_SUCH}\"}
containers:
  a: {hostname: \"${OPEN\"}
  b: {hostname: \"$${X}\"}
  ${MEMORY}: {}
"), @r"
    3:37 the environment has no variable `NO_SUCH` (set it, or write `${NO_SUCH:-default}`)
    5:17 `${OPEN` has no `}` (write `$$` for a dollar sign)
    6:17 `${X}` is not a host name (a host name is made of letters, digits, `-` and single dots)
    7:3 `${MEMORY}` cannot be the name of a container: `$` cannot stand in a name: a name is made of `a-z`, `0-9` and `-` (did you mean `memory`?)
    ");
}
