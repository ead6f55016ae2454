//! Who reaches whom: `ports`, `nat`, `isolated` and `egress`.

use super::{accepted, findings};
use crate::model::Egress;

fn ports(list: &str) -> String {
    findings(&format!("fleet: dev\ncontainers:\n  a: {{distro: busybox, ports: {list}}}\n"))
}

#[test]
fn published_ports_are_read() {
    let fleet = accepted(
        "fleet: dev
containers:
  a:
    distro: busybox
    ports: ['8080:80', '127.0.0.1:5432:5432', 53:53/udp, 8000-8010:8000-8010, '0.0.0.0:9000-9001:90-91/tcp']
",
    );
    let ports: Vec<String> = fleet.containers[0].ports.iter().map(ToString::to_string).collect();
    let words = [
        "8080:80/tcp",
        "127.0.0.1:5432:5432/tcp",
        "53:53/udp",
        "8000-8010:8000-8010/tcp",
        "0.0.0.0:9000-9001:90-91/tcp",
    ];
    assert_eq!(ports, words);
}

#[test]
fn what_is_no_published_port_says_why() {
    insta::assert_snapshot!(ports("['0:80', '80:65536', '8010-8000:1-11', '1-2:1-3', ':80', '80:80/tpc', x:80:80, '[::1]:80:80', 1-1000:2001-3000]"), @r"
    3:32 `0:80` is not a published port: `0` is not a whole number from 1 to 65535 (write `HOST:CONTAINER`, `ADDRESS:HOST:CONTAINER`, `8000-8010:8000-8010` or `53:53/udp`)
    3:40 `80:65536` is not a published port: `65536` is not a whole number from 1 to 65535 (write `HOST:CONTAINER`, `ADDRESS:HOST:CONTAINER`, `8000-8010:8000-8010` or `53:53/udp`)
    3:52 `8010-8000:1-11` is not a published port: the range `8010-8000` ends before it begins (write `HOST:CONTAINER`, `ADDRESS:HOST:CONTAINER`, `8000-8010:8000-8010` or `53:53/udp`)
    3:70 `1-2:1-3` is not a published port: 2 of the host lead to 3 of the container (write `HOST:CONTAINER`, `ADDRESS:HOST:CONTAINER`, `8000-8010:8000-8010` or `53:53/udp`)
    3:81 `:80` is not a published port: `` is not a whole number from 1 to 65535 (write `HOST:CONTAINER`, `ADDRESS:HOST:CONTAINER`, `8000-8010:8000-8010` or `53:53/udp`)
    3:88 `80:80/tpc` is not a published port: the protocol `tpc` is neither `tcp` nor `udp` (did you mean `tcp`?)
    3:101 `x:80:80` is not a published port: `x` is not an IPv4 address (write `HOST:CONTAINER`, `ADDRESS:HOST:CONTAINER`, `8000-8010:8000-8010` or `53:53/udp`)
    3:110 `[::1]:80:80` is not a published port: the kernel lets no answer from another link get to ::1 (write `127.0.0.1:80:80`, or `80:80` for all other addresses of the host)
    3:125 `1-1000:2001-3000` is not a published port: a range of more than 256 ports keeps its numbers (write `HOST:CONTAINER`, `ADDRESS:HOST:CONTAINER`, `8000-8010:8000-8010` or `53:53/udp`)
    ");
    insta::assert_snapshot!(ports("8080:80"), @"3:31 `ports` must be a list (write `ports: [ITEM, …]`)");
    insta::assert_snapshot!(ports("['80:80', '127.0.0.1:80:81', '80:80/udp']"), @"3:41 port 80/tcp of the host is there twice");
}

#[test]
fn a_port_of_the_host_is_one_containers() {
    insta::assert_snapshot!(findings("
fleet: dev
defaults: {distro: busybox}
containers:
  a: {ports: ['8080-8090:80-90']}
  b: {ports: ['127.0.0.1:8085:80', '8080:80/udp']}
  c: {replicas: 2, ports: ['9000:80']}
"), @r"
    6:15 port 8085/tcp of the host, which `b` publishes, is that of `a` in line 5 (choose another port of the host for one of them)
    7:28 `c` has replicas, which cannot share a port of the host (publish a port of a container that is one)
    ");
    insta::assert_snapshot!(findings("
fleet: dev
defaults: {distro: busybox, ports: ['8080:80']}
containers: {a: {}, b: {ports: []}, c: {}}
"), @"3:37 `a` and `c` would both publish port 8080/tcp of the host (choose another port of the host for one of them)");
}

#[test]
fn where_containers_may_reach_is_read() {
    let network =
        |keys: &str| accepted(&format!("fleet: dev\nnetwork: {{{keys}}}\ncontainers: {{}}\n")).networks.remove(0);
    let fleet = network("");
    assert_eq!((fleet.nat, fleet.isolated, fleet.egress), (true, false, Egress::All));
    let fleet = network("nat: false, isolated: true, egress: none");
    assert_eq!((fleet.nat, fleet.isolated, fleet.egress), (false, true, Egress::None));
    let Egress::Only(destinations) =
        network("egress: [10.0.0.0/8, 192.0.2.7, '192.0.2.7:443', '10.1.0.0/16:53']").egress
    else {
        panic!("it is a list")
    };
    let words: Vec<String> = destinations.iter().map(ToString::to_string).collect();
    assert_eq!(words, ["10.0.0.0/8", "192.0.2.7", "192.0.2.7:443", "10.1.0.0/16:53"]);
}

#[test]
fn what_is_no_destination_says_why() {
    let network = |keys: &str| findings(&format!("fleet: dev\nnetwork: {{{keys}}}\ncontainers: {{}}\n"));
    insta::assert_snapshot!(network("egress: [example.org, 10.0.0.1/8, '10.0.0.1:0', fd00::/8]"), @r"
    2:20 `example.org` is no destination: packets have addresses, not names (write an address or subnet, `192.0.2.7`, `192.0.2.7:443` or `10.0.0.0/8`)
    2:33 `10.0.0.1/8` is no destination: it is an address inside a subnet (did you mean `10.0.0.0/8`?)
    2:45 `10.0.0.1:0` is no destination: the port is a whole number from 1 to 65535
    2:59 nobody reaches `fd00::/8` from a network without a `subnet6` (write `subnet6: auto`)
    ");
    insta::assert_snapshot!(network("egress: []"), @"2:11 `egress` names nothing that may be reached (write `egress: none`)");
    insta::assert_snapshot!(network("egress: all"), @"2:19 `all` is no `egress` (write `nat`, `none`, or a list such as `[10.0.0.0/8, 192.0.2.7:443]`)");
    insta::assert_snapshot!(network("nat: false, egress: nat"), @"2:31 `egress: nat` contradicts `nat: false` (leave one of them out)");
    insta::assert_snapshot!(network("nat: yes, isolated: 1"), @r"
    2:16 `yes` is neither `true` nor `false`
    2:31 `1` is neither `true` nor `false`
    ");
}
