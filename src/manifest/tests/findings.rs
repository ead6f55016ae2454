//! Fleet files that are wrong, and all that is said about them.

use std::fs;
use std::path::Path;

use super::super::{load, parse};
use super::{drawn, environment, findings, read};

#[test]
fn all_findings_of_a_file_come_at_once_in_its_order() {
    insta::assert_snapshot!(findings("
fleet: Dev Cluster
engine: incus
colour: red
include: [other.yaml]
network:
  subnet: 10.42.0.7/24
  nat: true
  bridge: a-name-that-is-too-long
  dns: [10.0.0.1, nowhere]
defaults:
  memroy: 256MiB
  ports: [80]
  memory: 256
  memory: 1GiB
profiles: {big: {cpus: lots, profiles: [small]}}
containers:
  agent:
    profiles: [bgi]
    replicas: 0
    distro: debian/12
  db:
    image: docker:db
    distro: busybox
    init: systemdd
    pids: -1
    mac: 01:00:5e:00:00:01
    stop_timeout: 3h
    hostname: a_b
  none: {}
"), @r"
    2:8 `Dev Cluster` cannot be the name of a fleet: `D` cannot stand in a name: a name is made of `a-z`, `0-9` and `-` (did you mean `dev-cluster`?)
    3:9 the engine `incus` is not available in this version of fleet (leave `engine` out for the built-in one)
    4:1 unknown key `colour` (the keys here are `fleet`, `engine`, `prefix`, `network`, `networks`, `remotes`, `templates`, `defaults`, `profiles` and `containers`)
    5:1 `include` is not supported by this version of fleet
    7:11 `10.42.0.7/24` is an address inside a subnet (did you mean `10.42.0.0/24`?)
    9:11 `a-name-that-is-too-long` is not the name of a network link (1 to 15 bytes, without `/`, `:`, `%` and blanks)
    10:19 `nowhere` is not an IP address
    12:3 unknown key `memroy` (did you mean `memory`?)
    13:11 `80` is not a published port: it does not say which port of the host leads to which of the container (write `HOST:CONTAINER`, `ADDRESS:HOST:CONTAINER`, `8000-8010:8000-8010` or `53:53/udp`)
    14:11 `256` is too little memory: a container needs 4MiB at least (did you mean `256MiB`?)
    15:3 `memory` is there twice: first in line 14
    16:24 `lots` is not a number of processors from 0.01 to 4096 (write `0.5` or `2`)
    16:30 a profile cannot stand on other profiles
    19:16 there is no profile `bgi` (did you mean `big`?)
    20:15 `0` is not a whole number from 1 to 4000
    24:5 `distro` and `image` exclude each other (leave one of them out)
    25:11 unknown init `systemdd` (did you mean `systemd`?)
    26:11 `-1` is not a limit (did you mean `unlimited`?)
    27:10 `01:00:5e:00:00:01` cannot be the address of one link (one for free use begins with `02`)
    28:19 `3h` is not a time of at most a day (write seconds as `30`, or `30s` or `2m`)
    29:15 `a_b` is not a host name (a host name is made of letters, digits, `-` and single dots)
    30:3 the container `none` has neither `distro` nor `image` (write `distro: debian/12` or `image: file:PATH`)
    ");
}

#[test]
fn addresses_are_checked_against_the_subnet_and_each_other() {
    insta::assert_snapshot!(findings("
fleet: dev
network: {subnet: 10.42.0.0/24}
defaults: {distro: busybox}
containers:
  outside: {ip: 10.43.0.2}
  network: {ip: 10.42.0.0}
  gateway: {ip: 10.42.0.1}
  broadcast: {ip: 10.42.0.255}
  prefix: {ip: 10.42.0.9/24}
  text: {ip: here}
  db: {ip: 10.42.0.12}
  agent: {replicas: 10, ip: 10.42.0.11}
  other: {ip: 10.42.0.12}
  long: {replicas: 10, ip: 10.42.0.250}
"), @r"
    6:17 10.43.0.2 is outside the fleet's subnet 10.42.0.0/24 (containers can have 10.42.0.2 to 10.42.0.254)
    7:17 10.42.0.0 is the network address of 10.42.0.0/24 (containers can have 10.42.0.2 to 10.42.0.254)
    8:17 10.42.0.1 is the host's own address (containers can have 10.42.0.2 to 10.42.0.254)
    9:19 10.42.0.255 is the broadcast address of 10.42.0.0/24 (containers can have 10.42.0.2 to 10.42.0.254)
    10:16 `10.42.0.9/24` is not an IPv4 address (did you mean `10.42.0.9`? the prefix length is the subnet's)
    11:14 `here` is not an IPv4 address (write four numbers, such as `10.42.0.11`)
    13:29 the address 10.42.0.12 of `agent-2` is that of `db` in line 12
    14:15 the address 10.42.0.12 of `other` is that of `db` in line 12
    15:28 a run of 10 addresses from 10.42.0.250 does not fit into 10.42.0.0/24 (containers can have 10.42.0.2 to 10.42.0.254)
    ");
}

#[test]
fn a_full_subnet_is_one_finding() {
    insta::assert_snapshot!(findings("
fleet: dev
network: {subnet: 10.0.0.0/29}
containers: {a: {distro: busybox, replicas: 5}, b: {distro: busybox, ip: 10.0.0.4}}
"), @"3:19 the subnet 10.0.0.0/29 has 4 addresses left for 5 containers without `ip` (give `network.subnet` a shorter prefix)");
}

#[test]
fn names_are_checked_as_they_will_be() {
    insta::assert_snapshot!(findings("
fleet: dev
prefix: dev-
defaults: {distro: busybox}
containers:
  Agent: {}
  agent: {replicas: 3}
  agent-2: {}
  this-name-alone-would-be-short-enough-for-a-label-of-a-host: {replicas: 10}
  '': {}
  1: {}
"), @r"
    6:3 `dev-Agent` cannot be the name of a container: `A` cannot stand in a name: a name is made of `a-z`, `0-9` and `-` (did you mean `agent`?)
    8:3 the container `dev-agent-2` is there twice: first from line 7
    9:3 `dev-this-name-alone-would-be-short-enough-for-a-label-of-a-host-1` cannot be the name of a container: a name has at most 63 characters
    10:3 `dev-` cannot be the name of a container: a name begins and ends with a letter or a digit
    ");
    insta::assert_snapshot!(findings("fleet: dev\nprefix: -x\ncontainers: {}\n"), @"2:9 `-x` cannot begin the name of a container: a name begins and ends with a letter or a digit");
}

#[test]
fn what_replicas_cannot_share_is_refused() {
    insta::assert_snapshot!(findings("
fleet: dev
defaults: {distro: busybox}
containers:
  a: {replicas: 2, mac: 02:00:00:00:00:01, hostname: one}
  b: {mac: 02:00:00:00:00:02}
  c: {mac: 02:00:00:00:00:02}
  d: {mac: 2:0:0:0:0:2}
  e: {replicas: 1, mac: 02:00:00:00:00:03, hostname: e}
"), @r"
    5:25 `a` has replicas, which cannot share one `mac` (leave `mac` out: each replica gets its own)
    5:54 `a` has replicas, which cannot share one `hostname` (leave `hostname` out: each replica gets its own)
    7:12 `b` and `c` have the same MAC address 02:00:00:00:00:02
    8:12 `2:0:0:0:0:2` is not a MAC address (write six pairs, such as `02:00:5e:10:00:01`)
    ");
}

#[test]
fn what_an_anchor_defines_is_found_once_where_it_is_defined() {
    insta::assert_snapshot!(findings("
fleet: dev
containers:
  a: &base {distro: busybox, memroy: 1G, pids: none}
  b: {<<: *base}
  c: *base
"), @r"
    4:30 unknown key `memroy` (did you mean `memory`?)
    4:48 `none` is not a limit (did you mean `unlimited`?)
    ");
}

#[test]
fn files_that_are_no_fleet_file_have_one_finding() {
    insta::assert_snapshot!(findings(""), @"1:1 the fleet file is empty (it needs `fleet: NAME` and `containers:`)");
    insta::assert_snapshot!(findings("# nothing\n"), @"1:1 the fleet file is empty (it needs `fleet: NAME` and `containers:`)");
    insta::assert_snapshot!(findings("{}"), @r"
    1:1 the fleet file has no `containers` (write `containers: {}` for an empty fleet)
    1:1 the fleet file has no `fleet` (begin it with `fleet: NAME`)
    ");
    insta::assert_snapshot!(findings("fleet: a\n---\nfleet: b\n"), @"3:1 a fleet file has one YAML document (put each fleet into a file of its own)");
    insta::assert_snapshot!(findings("fleet: a\ncontainers: {a: [}\n"), @"2:17 this is not YAML: mismatched bracket '[' closed by '}'");
    insta::assert_snapshot!(findings(&"{a: ".repeat(100)), @"1:129 more than 32 levels of nesting");
}

#[test]
fn a_file_that_cannot_be_read_has_one_finding() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let rejected = load(&directory.path().join("fleet.yaml"), "").expect_err("it is not there");
    assert_eq!(drawn(&rejected), "1:1 cannot read the fleet file: No such file or directory");
    let binary = directory.path().join("binary.yaml");
    fs::write(&binary, b"fleet: a\nx: \xff\n").expect("it can be written");
    let rejected = load(&binary, "").expect_err("it is not text");
    assert_eq!(drawn(&rejected), "2:4 the fleet file is not UTF-8 text");
}

#[test]
fn a_loaded_file_gets_the_real_environment() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let file = directory.path().join("fleet.yaml");
    fs::write(&file, "fleet: dev\ncontainers: {a: {distro: busybox, hostname: \"h${NO_SUCH_VARIABLE_HERE:-}\"}}\n")
        .expect("it can be written");
    let fleet = load(&file, "").expect("nothing is wrong").fleet;
    assert_eq!((fleet.file.as_path(), fleet.containers[0].guest.hostname.as_str()), (file.as_path(), "h"));
}

#[test]
fn columns_count_characters_and_spans_count_bytes() {
    let text = "fleet: dev\ncontainers: {é: {}, ä: {distro: busybox, memroy: 1}}\n";
    let rejected = parse(Path::new("f.yaml"), text, "", &environment).expect_err("keys are wrong");
    let spans: Vec<(usize, usize, &str)> = rejected
        .findings
        .iter()
        .map(|finding| (finding.line, finding.column, &text[finding.span.0..finding.span.0 + finding.span.1]))
        .collect();
    assert_eq!(spans, [(2, 14, "é"), (2, 14, "é"), (2, 21, "ä"), (2, 42, "memroy")]);
}

#[test]
fn line_ends_and_byte_order_marks_of_other_systems_do_no_harm() {
    assert!(read("\u{feff}fleet: dev\r\ncontainers:\r\n  a: {distro: busybox}\r\n").is_ok());
    insta::assert_snapshot!(findings("\u{feff}fleet: dev\r\ncontainers:\r\n  a: {distro: busybox, cpu: 1}\r\n"), @"3:24 unknown key `cpu` (did you mean `cpus`?)");
}

#[test]
fn image_servers_and_distributions_are_checked_before_anything_is_fetched() {
    let sum = "ab".repeat(32);
    let text = format!(
        "
fleet: d
remotes:
  corp: https://images.corp.example/
  plain: http://images.corp.example
  secret: https://me:pw@images.corp.example
  Big: https://a.example
containers:
  a: {{distro: 'crop:debian/12'}}
  b: {{distro: 'debian 12'}}
  c: {{image: 'https://a.example/x.tar.xz'}}
  d: {{image: {{https: 'http://a.example/x.tar.xz', sha256: {sum}}}}}
  e: {{image: {{https: 'https://a.example/x.tar.xz'}}}}
  f: {{image: {{https: 'https://a.example/x.tar.xz', source: 'file:x'}}}}
  g: {{image: {{sha256: {sum}}}}}
  h: {{image: 'oci:debian:12'}}
  i: {{image: {{source: 'oci:docker.io/library/debian:12', sha256: {sum}}}}}
  j: {{distro: 'oci:docker.io/library/debian:12'}}
  k: {{image: 'oci:reg.example/Debian'}}
"
    );
    insta::assert_snapshot!(findings(&text), @r"
    5:10 `http://images.corp.example` is not fetched from: only https is safe, and http to localhost, 127.0.0.1 or [::1]
    6:11 `https://me:pw@images.corp.example` has a user name or password, which is not used here
    7:3 `Big` cannot be the name of an image server (a name is made of `a-z`, `0-9` and `-`)
    9:15 there is no image server `crop` (did you mean `corp`?)
    10:15 `debian 12` is not the name of a distribution: write it as `debian/12`, `alpine/3.20` or `ubuntu/24.04/cloud`
    11:14 `https://a.example/x.tar.xz` needs a SHA-256: write `https://a.example/x.tar.xz@sha256:HEX`, or `sha256:` beside it
    12:22 `http://a.example/x.tar.xz` is not fetched from: only https is safe, and http to localhost, 127.0.0.1 or [::1]
    13:22 `https://a.example/x.tar.xz` needs a SHA-256: write `https://a.example/x.tar.xz@sha256:HEX`, or `sha256:` beside it
    14:15 `source` and `https` exclude each other (leave one of them out)
    15:7 `image` has neither `source` nor `https` nor `bootstrap` (write `source: file:PATH`, or `https: https://…` and `sha256`, or `bootstrap: debian/12`)
    16:14 `oci:debian:12` has no registry: write `oci:HOST/REPOSITORY:TAG`, such as `oci:docker.io/library/debian:12`
    17:66 an image of a registry has no sha256 beside it (write the digest of its manifest behind it: `oci:docker.io/library/debian:12@sha256:HEX`)
    18:15 `oci:` is not written with `distro` (write it with `image`: `image: oci:…`)
    19:14 `Debian` is not an image of a registry: a repository is made of `a-z`, `0-9`, `.`, `_`, `-` and `/`, a tag also of `A-Z`
    ");
}

#[test]
fn what_is_made_here_is_checked() {
    insta::assert_snapshot!(findings("
fleet: dev
containers:
  a: {image: 'bootstrap:fedora/42'}
  b: {image: {bootstrap: debian/99}}
  c: {image: {bootstrap: debian/12, init: openrd, packages: sudo, sha256: x, serial: a b}}
  d: {image: {bootstrap: debian/12, packages: [--hook]}}
  e: {image: {source: busybox, packages: [sudo]}}
"), @r"
    4:14 `fedora/42` cannot be made on this host: write `debian/12`, `ubuntu/24.04` or `devuan/5`, or a code name as in `debian/sid`
    5:26 `debian/99` is no release that fleet knows: write its code name, as in `debian/sid`
    6:43 unknown init `openrd` (did you mean `openrc`?)
    6:61 `packages` must be a list (write `packages: [ITEM, …]`)
    6:67 `bootstrap` and `sha256` exclude each other (leave one of them out)
    6:75 `x` is not a SHA-256: it has 64 hexadecimal digits
    6:86 `a b` is no serial (write a word such as `2` or `2026-11`)
    7:37 `--hook` is not the name of a package
    8:32 `packages` says what is made by `bootstrap` (write `bootstrap: debian/12`, or leave it out)
    ");
}

#[test]
fn what_an_entrypoint_does_not_go_with_is_found() {
    insta::assert_snapshot!(findings("
fleet: dev
defaults: {init: entrypoint}
containers:
  a: {distro: debian/12}
  b: {image: 'oci:reg.example/app', privileged: true}
  c: {image: 'oci:reg.example/app'}
  d: {image: 'bootstrap:debian/12', init: entry}
"), @r"
    3:18 `init: entrypoint` and `privileged: true` exclude each other (leave one of them out: a privileged container could reach the init, which is fleet's own program)
    3:18 only an image of a registry names the program that it is made for (name the program with `init: /path`, or leave `init` out)
    8:43 unknown init `entry` (write an absolute path or one of `auto`, `entrypoint`, `systemd`, `openrc`, `sysvinit`, `runit` and `busybox`)
    ");
}

#[test]
fn an_architecture_is_one_and_not_two() {
    insta::assert_snapshot!(findings("
fleet: dev
containers:
  a: {distro: debian/12/arm64, arch: s390x}
  b: {distro: debian/12, arch: i286}
  c: {image: 'oci:reg.example/app:1/arm64', arch: aarch64}
  d: {image: 'bootstrap:debian/12', arch: s390x}
"), @r"
    4:38 the image is named for arm64, and not for s390x (leave one of them out)
    5:32 `i286` is no architecture (write `amd64`, `arm64`, `i386` or another one of Debian's names)
    ");
}

#[test]
fn an_image_server_with_a_key_has_both() {
    insta::assert_snapshot!(findings("
fleet: dev
remotes:
  a: {key: /no/such.gpg}
  b: {url: 'https://images.example', key: /etc/passwd}
  c: {url: 'ftp://images.example', keys: x}
containers: {}
"), @r"
    4:3 the image server `a` has no `url` (write `url: https://…`)
    4:12 cannot read `/no/such.gpg`: No such file or directory (make it first, or correct the path)
    5:43 `/etc/passwd` is no public key of OpenPGP (write it with `gpg --export FINGERPRINT`)
    6:12 `ftp://images.example` is not fetched from: only https is safe, and http to localhost, 127.0.0.1 or [::1]
    6:36 unknown key `keys` (did you mean `key`?)
    ");
}
