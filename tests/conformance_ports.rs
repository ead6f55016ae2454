//! Ports that are published on the host, reached by whoever may: real containers.

mod nets;
mod world;

use std::fs;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nets::{Net, guest};
use world::{World, host};

/// The host as the one outside knows it.
const HOST: [&str; 2] = ["198.18.90.1", "[2001:db8:90::1]"];
/// The host as its containers know it.
const GATEWAY: [&str; 2] = ["10.213.77.1", "[fd00:213:77::1]"];

/// A fleet of two, `port-a` (`10.213.77.11`, `fd00:213:77::11`), which publishes `ports`, and `port-b`.
fn two(network: &str, ports: &str) -> String {
    format!(
        "fleet: port
network: {{subnet: 10.213.77.0/24, subnet6: 'fd00:213:77::/64', bridge: fleetports0{network}}}
defaults: {{distro: busybox, memory: 64MiB, pids: 64}}
containers:
  port-a: {{ip: 10.213.77.11, ip6: 'fd00:213:77::11', ports: [{ports}]}}
  port-b: {{ip: 10.213.77.12, ip6: 'fd00:213:77::12'}}
"
    )
}

fn parameter(path: &str) -> String {
    fs::read_to_string(format!("/proc/sys/{path}")).unwrap_or_default().trim().to_owned()
}

#[test]
fn published_ports_are_reached_from_every_side() {
    let world = World::new();
    let outside = Net::outside();
    let ports = "'8980:80', '127.0.0.1:8981:81', '198.18.90.1:8982:80', '[2001:db8:90::1]:8982:80', '8953:53/udp',
        '8970-8972:8970-8972', '8960-8961:90-91', '0.0.0.0:8983:80', '[::]:8984:80'";
    world.write(&two("", ports)).fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    let (a, b, here) = (guest(&world, "port-a"), guest(&world, "port-b"), Net::of_host());
    for port in ["80", "81", "8970", "8972", "90"] {
        a.serve("a", &format!("[::]:{port}"));
    }
    a.serve("91", "[::]:91");
    a.serve_udp("a", "[::]:53");
    for (net, host) in [&*outside, &here, &b].into_iter().flat_map(|net| HOST.map(|host| (net, host))) {
        let ask = |port: &str| net.ask(&format!("{host}:{port}"));
        for port in ["8980", "8982", "8970", "8972", "8960"] {
            assert_eq!(ask(port), "a", "{host}:{port}");
        }
        assert_eq!(ask("8961"), "91", "{host}");
        assert_eq!(net.ask_udp(&format!("{host}:8953")), "a", "{host}");
        assert_eq!(ask("8981"), "", "it is published on the loopback only: {host}");
        assert_eq!(ask("8973"), "", "{host}");
        // One for a family is none of the other.
        let both = (ask("8983"), ask("8984"));
        let (four, six) = if host.starts_with('[') { ("", "a") } else { ("a", "") };
        assert_eq!((both.0.as_str(), both.1.as_str()), (four, six), "{host}");
    }
    for gateway in GATEWAY {
        assert_eq!(b.ask(&format!("{gateway}:8980")), "a");
        assert_eq!(b.ask(&format!("{gateway}:8982")), "", "it is published on one address only");
    }
    // Links go when nobody holds their networks any more.
    drop((a, b));
    world.destroy();
}

#[test]
fn what_names_no_address_is_on_all_of_the_hosts_but_one() {
    let world = World::new();
    let _outside = Net::outside();
    world.write(&two("", "'8980:80', '8953:53/udp', '127.0.0.1:8981:80'")).fleet(&["apply"]).expect(0);
    let (a, here) = (guest(&world, "port-a"), Net::of_host());
    a.serve("a", "[::]:80");
    a.serve_udp("a", "[::]:53");
    // Also one that the host has got meanwhile.
    here.ip("addr add 198.18.90.7/32 dev fleettest0");
    here.ip("addr add 2001:db8:90::7/128 dev fleettest0 nodad");
    for address in ["127.0.0.1", "127.0.0.2", "198.18.90.7", "[2001:db8:90::7]"].iter().chain(&HOST).chain(&GATEWAY) {
        assert_eq!(here.ask(&format!("{address}:8980")), "a", "{address}");
        assert_eq!(here.ask_udp(&format!("{address}:8953")), "a", "{address}");
    }
    assert_eq!((here.ask("127.0.0.1:8981"), here.ask("127.0.0.2:8981")), ("a".to_owned(), String::new()));
    // Who tries the loopback of IPv6 first, as `localhost` has it, is told at once, and goes on to the other.
    let begun = Instant::now();
    let localhost: [SocketAddr; 2] =
        ["[::1]:8980", "127.0.0.1:8980"].map(|address| address.parse().expect("an address"));
    let mut answer = String::new();
    TcpStream::connect(&localhost[..]).expect("one of them").read_to_string(&mut answer).expect("read");
    assert!(answer == "a" && begun.elapsed() < Duration::from_secs(1), "{answer}: {:?}", begun.elapsed());
    // Who would have it there is told what to write.
    world.write(&two("", "'[::1]:8980:80'"));
    let refused = world.fleet(&["apply"]).expect(64).stderr;
    assert!(
        refused.contains("write `127.0.0.1:8980:80`, or `8980:80` for all other addresses of the host"),
        "{refused}"
    );
    drop(a);
    world.write(&two("", "")).destroy();
}

#[test]
fn ports_change_while_containers_run() {
    let world = World::new();
    world.write(&two("", "'8980:80'")).fleet(&["apply"]).expect(0);
    assert_eq!(parameter("net/ipv4/conf/fleetports0/route_localnet"), "1");
    let (a, here) = (guest(&world, "port-a"), Net::of_host());
    a.serve("eighty", "[::]:80");
    a.serve("ninety", "[::]:90");
    let asked = |port: &str| ["127.0.0.1", GATEWAY[1]].map(|host| here.ask(&format!("{host}:{port}")));
    assert_eq!(asked("8980"), ["eighty", "eighty"]);
    world.write(&two("", "'8980:90', '8981:80'")).apply_live();
    assert_eq!(
        (asked("8980"), asked("8981")),
        (["ninety", "ninety"].map(str::to_owned), ["eighty", "eighty"].map(str::to_owned))
    );
    world.write(&two("", "")).apply_live();
    assert_eq!(asked("8980"), ["", ""]);
    assert_eq!(parameter("net/ipv4/conf/fleetports0/route_localnet"), "0");
    // Its link goes when nobody holds its network any more.
    drop(a);
    world.destroy();
}

#[test]
fn ports_that_are_taken_are_refused_before_anything_is_done() {
    let world = World::new();
    for own in ["127.0.0.1", "::1"] {
        let taken = TcpListener::bind((own, 0)).expect("a port");
        let number = taken.local_addr().expect("an address").port();
        world.write(&two("", &format!("'{number}:80'")));
        let refused = world.fleet(&["apply"]).expect(1).stderr;
        let message = format!("a process of the host listens on port {number}/tcp of {own}");
        assert!(refused.contains(&message), "{refused}");
        world.assert_nothing_left();
        // On another address it is nobody's.
        world.write(&two("", &format!("'198.18.90.1:{number}:80'"))).fleet(&["plan"]).expect(2);
    }

    world.write(&two("", "'8980:80'")).fleet(&["apply"]).expect(0);
    let other = "fleet: other\nnetwork: {subnet: 10.213.61.0/24}\ncontainers:\n  \
                 other-a: {distro: busybox, ports: ['8970-8990:8970-8990']}\n";
    fs::write(world.dir.path().join("other.yaml"), other).expect("written");
    let refused = world.fleet(&["apply", "other.yaml"]).expect(1).stderr;
    assert!(
        refused.contains("port 8980/tcp of the host is published by `port-a` of fleet `port` already"),
        "{refused}"
    );
    let together = world.fleet(&["validate", "fleet.yaml", "other.yaml"]).expect(64).stderr;
    let clash = "port 8980/tcp of the host, which `other-a` publishes, is that of `port-a` in `fleet.yaml:";
    assert!(together.contains(clash), "{together}");
    world.destroy();
}

/// Whether bridges show their packets to the packet filter, where the kernel has it (`br_netfilter`); put back at the end.
struct Shown([(&'static str, String); 2]);

impl Shown {
    const PARAMETERS: [&str; 2] =
        ["/proc/sys/net/bridge/bridge-nf-call-iptables", "/proc/sys/net/bridge/bridge-nf-call-ip6tables"];

    fn new() -> Option<Shown> {
        let is_there = Shown::PARAMETERS.iter().all(|path| Path::new(path).exists());
        is_there.then(|| Shown(Shown::PARAMETERS.map(|path| (path, fs::read_to_string(path).expect("readable")))))
    }

    fn set(&self, value: &str) {
        for (path, _) in &self.0 {
            fs::write(path, value).expect("written");
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        for (path, value) in &self.0 {
            let _ = fs::write(path, value);
        }
    }
}

/// Who answers `net` at the ports that `port-a` publishes, by the host's addresses of both families.
fn answers(net: &Net) -> Vec<String> {
    let at = |host: &str| {
        let asked = ["8980", "8971"].map(|port| net.ask(&format!("{host}:{port}")));
        asked.into_iter().chain([net.ask_udp(&format!("{host}:8953"))]).collect::<Vec<_>>()
    };
    HOST.iter().chain(&GATEWAY).flat_map(|host| at(host)).collect()
}

#[test]
fn a_container_reaches_its_own_published_ports_by_the_host() {
    let world = World::new();
    let _outside = Net::outside();
    let shown = Shown::new();
    let apply = |network: &str| world.write(&two(network, "'8980:80', '8953:53/udp', '8970-8971:8970-8971'"));
    apply("").fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    let (a, b) = (guest(&world, "port-a"), guest(&world, "port-b"));
    for port in ["80", "8971"] {
        a.serve("a", &format!("[::]:{port}"));
    }
    a.serve_udp("a", "[::]:53");
    let (all, none) = (vec!["a"; 12], vec![""; 12]);
    let each_way = |check: &dyn Fn(&str)| match &shown {
        Some(shown) => ["0", "1"].into_iter().for_each(|value| {
            shown.set(value);
            check(value);
        }),
        None => check("0"),
    };
    each_way(&|value| assert_eq!((answers(&a), answers(&b)), (to_text(&all), to_text(&all)), "{value}"));
    // A bridge that somebody changes is seen.
    if let Some(shown) = &shown {
        shown.set("1");
    }
    host("bridge", &["link", "set", "dev", &world.port_of("port-a", 0), "hairpin", "off"]);
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    assert!(plan.contains("~ fleetports0  ports of the bridge are not as they were set  (live)"), "{plan}");
    world.apply_live();
    assert_eq!(answers(&a), to_text(&all));

    // Isolated ones reach their own, too, and no others'; unless bridges show their packets.
    apply(", isolated: true");
    world.apply_live();
    each_way(&|value| {
        let own = if value == "0" { &all } else { &none };
        assert_eq!((answers(&a), answers(&b)), (to_text(own), to_text(&none)), "{value}");
    });
    drop((a, b));
    world.destroy();
}

fn to_text(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
