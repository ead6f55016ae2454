//! What networks ask of the host, and what they leave of it: real containers, a host outside that has no route to them, and
//! the host itself.

mod nets;
mod world;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nets::{Net, guest};
use world::{Ran, TABLE_OF_TESTS, World, host};

const OUTSIDE: &str = "198.18.90.2";

/// A fleet of two, `net-a` (10.213.60.11) and `net-b` (10.213.60.12).
fn two(network: &str, of_a: &str) -> String {
    format!(
        "fleet: net
network: {{subnet: 10.213.60.0/24{network}}}
defaults: {{distro: busybox, memory: 64MiB, pids: 64}}
containers:
  net-a: {{ip: 10.213.60.11{of_a}}}
  net-b: {{ip: 10.213.60.12}}
"
    )
}

/// How long TCP takes to bring much from one to the other, and UDP, of whose packets none may be lost. The other has the
/// address `address`.
fn exchange(from: &Net, to: &Net, address: &str) -> [Duration; 2] {
    let listener = to.run(|| TcpListener::bind((address, 9000))).expect("it is free");
    let all: Vec<u8> = (0_u32..8 << 20).flat_map(u32::to_le_bytes).collect();
    let begun = Instant::now();
    let mut came = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| listener.accept().expect("somebody comes").0.write_all(&all).expect("sent"));
        let mut stream = from.run(|| TcpStream::connect((address, 9000))).expect("it listens");
        stream.read_to_end(&mut came).expect("read");
    });
    let tcp = begun.elapsed();
    assert!(came == all, "{} bytes", came.len());

    // Never more on its way than a socket holds.
    let (datagram, at_once, times) = ([7; 1400], 50, 400);
    let inbox = to.run(|| UdpSocket::bind((address, 9001))).expect("it is free");
    let outbox = from.run(|| UdpSocket::bind(("0.0.0.0", 9002))).expect("it is free");
    inbox.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    let begun = Instant::now();
    for _ in 0..times {
        for _ in 0..at_once {
            outbox.send_to(&datagram, (address, 9001)).expect("sent");
        }
        for _ in 0..at_once {
            let mut came = [0; 1500];
            let length = inbox.recv(&mut came).expect("none is lost");
            assert_eq!(came[..length], datagram);
        }
    }
    [tcp, begun.elapsed()]
}

#[test]
fn members_exchange_much_in_little_time() {
    let world = World::new();
    world.write(&two("", "")).fleet(&["apply"]).expect(0);
    let (a, b) = (guest(&world, "net-a"), guest(&world, "net-b"));
    // Two links and a bridge are no more than some times what a guest's loopback is, however fast the machine.
    let alone = exchange(&a, &a, "127.0.0.1");
    let between = exchange(&a, &b, "10.213.60.12");
    for (alone, between) in alone.into_iter().zip(between) {
        assert!(between < alone * 10, "{between:?}, and by the loopback {alone:?}");
    }
    // Sockets hold their network, too.
    drop((a, b));
    world.destroy();
}

#[test]
fn no_guest_can_call_itself_the_hosts_router() {
    let world = World::new();
    let bridges = || world::links().into_iter().filter(|name| name.starts_with("fb")).collect::<Vec<_>>();
    let before = bridges();
    world.write(&two("", "")).fleet(&["apply"]).expect(0);
    let own = bridges().into_iter().find(|name| !before.contains(name)).expect("it has a bridge");
    let parameter = format!("net/ipv6/conf/{own}/disable_ipv6");
    assert_eq!(self::parameter(&parameter), "1");
    fs::write(Path::new("/proc/sys").join(&parameter), "0").expect("written");
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    assert!(plan.contains("the host speaks IPv6 on it"), "{plan}");
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    assert_eq!(self::parameter(&parameter), "1");
    world.destroy();
}

#[test]
fn a_connection_does_not_outlive_what_allowed_it() {
    let world = World::new();
    let outside = Net::outside();
    outside.serve_udp("outside", "0.0.0.0:8090");
    world.write(&two("", "")).fleet(&["apply"]).expect(0);
    let socket = guest(&world, "net-a").run(|| std::net::UdpSocket::bind("0.0.0.0:0")).expect("a socket");
    socket.connect(format!("{OUTSIDE}:8090")).expect("a route");
    socket.set_read_timeout(Some(Duration::from_millis(700))).expect("a timeout");
    let ask = || socket.send(b"?").and_then(|_| socket.recv(&mut [0; 64])).is_ok();
    assert!(ask());
    world.write(&two(", egress: none", "")).apply_live();
    assert!(!ask());
    // Its link goes when nobody holds its network any more.
    drop(socket);
    world.destroy();
}

#[test]
fn the_hosts_loopback_stays_its_own() {
    let world = World::new();
    let secret = TcpListener::bind("127.0.0.1:0").expect("a port");
    let secret = secret.local_addr().map(|address| (secret, address)).expect("an address");
    let connects = |net: &Net, address: std::net::SocketAddr| {
        net.run(|| std::net::TcpStream::connect_timeout(&address, Duration::from_millis(700)).is_ok())
    };
    world.write(&two("", ", ports: ['8980:80']")).fleet(&["apply"]).expect(0);
    let guest = guest(&world, "net-a");
    // The guest's root sends what is meant for its own loopback to the host.
    guest.run(|| fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1")).expect("written");
    guest.ip("addr flush dev lo");
    guest.ip("route add 127.0.0.1 via 10.213.60.1 src 10.213.60.11");
    assert!(!connects(&guest, secret.1));
    // It is the rule that keeps it out.
    let table = tables().into_iter().find(|table| table.contains("fleet-")).expect("ours");
    let (family, name) = table.split_once(' ').expect("two words");
    host("nft", &["flush", "chain", family, name, "arriving-net"]);
    assert!(connects(&guest, secret.1));
    world.fleet(&["apply"]).expect(0);
    assert!(!connects(&guest, secret.1));
    // Its link goes when nobody holds its network any more.
    drop(guest);
    world.destroy();
}

#[test]
fn a_bridge_whose_new_rules_do_not_come_about_keeps_to_its_old_ones_under_its_new_name() {
    let world = World::new();
    let secret = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = secret.local_addr().expect("an address");
    let published = ", ports: ['8980:80']";
    world.write(&two(", bridge: fleettest1", published)).fleet(&["apply"]).expect(0);
    let guest = guest(&world, "net-a");
    guest.run(|| fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1")).expect("written");
    guest.ip("addr flush dev lo");
    guest.ip("route add 127.0.0.1 via 10.213.60.1 src 10.213.60.11");
    let reaches_host = || guest.run(|| TcpStream::connect_timeout(&address, Duration::from_millis(700)).is_ok());
    assert!(!reaches_host());
    // It gets its name, but cannot have all that its network asks for: the rules, which come after that, are not made.
    world.write(&two(", bridge: fleettest2, subnet6: 'fd00:213:60::/64'", published));
    let failed = without_ipv6_parameters(&world, &["apply"]).expect(1);
    assert!(failed.stderr.contains("cannot set IPv6 up on the bridge `fleettest2`"), "{failed:?}");
    assert_eq!(parameter("net/ipv4/conf/fleettest2/route_localnet"), "1");
    assert!(!reaches_host());
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    assert!(!reaches_host());
    drop(guest);
    world.destroy();
}

/// Runs fleet where nobody can write parameters of IPv6 links.
fn without_ipv6_parameters(world: &World, args: &[&str]) -> Ran {
    const SCRIPT: &str = "mount --bind /proc/sys/net/ipv6/conf /proc/sys/net/ipv6/conf
        mount -o remount,bind,ro /proc/sys/net/ipv6/conf
        exec \"$@\"";
    let fleet = world.command(args);
    let mut within = Command::new("unshare");
    within.args(["--mount", "--propagation", "private", "sh", "-ec", SCRIPT, "sh"]);
    within.arg(fleet.get_program()).args(fleet.get_args());
    within.envs(fleet.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let dir = fleet.get_current_dir().unwrap_or(world.dir.path());
    world::ran(&within.current_dir(dir).output().expect("it runs"))
}

#[test]
fn what_was_changed_by_hand_is_seen_and_mended() {
    let world = World::new();
    let outside = Net::outside();
    outside.serve("outside", "0.0.0.0:8090");
    world.write(&two("", ", ports: ['8980:80']")).fleet(&["apply"]).expect(0);
    let guest = guest(&world, "net-a");
    let table = tables().into_iter().find(|table| table.contains("fleet-")).expect("ours");
    let (family, name) = table.split_once(' ').expect("two words");
    for change in [
        format!("flush table {family} {name}"),
        format!("delete table {family} {name}"),
        format!("insert rule {family} {name} forward-net drop"),
    ] {
        host("nft", &[&change]);
        assert_eq!(guest.ask(&format!("{OUTSIDE}:8090")), "", "{change}");
        let plan = world.fleet(&["plan"]).expect(2).stdout;
        assert!(plan.contains("packet rules") && plan.contains("(live)"), "{plan}");
        world.fleet(&["apply"]).expect(0);
        assert_eq!(world.changes(), 0);
        assert_eq!(guest.ask(&format!("{OUTSIDE}:8090")), "outside", "{change}");
    }
    fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("written");
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    assert!(plan.contains("~ net.ipv4.ip_forward  0 → 1: containers reach other hosts"), "{plan}");
    world.fleet(&["apply"]).expect(0);
    assert_eq!(guest.ask(&format!("{OUTSIDE}:8090")), "outside");
    // Its link goes when nobody holds its network any more.
    drop(guest);
    world.destroy();
}

#[test]
fn the_host_is_left_as_it_was() {
    let world = World::new();
    let before = parameters();
    // What comes along with passing packets on is put back as well.
    fs::write("/proc/sys/net/ipv4/conf/all/accept_redirects", "0").expect("written");
    fs::write("/proc/sys/net/ipv4/conf/lo/forwarding", "1").expect("written");
    let set = parameters();
    world.write(&two("", ", ports: ['8980:80']")).fleet(&["apply"]).expect(0);
    assert_eq!(parameter("net/ipv4/ip_forward"), "1");
    world.destroy();
    assert_eq!(parameters(), set);
    for (path, value) in &before {
        fs::write(path, value).expect("written");
    }
    assert_eq!(parameters(), before);

    // What somebody else wanted stays.
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("written");
    world.fleet(&["apply"]).expect(0);
    world.fleet(&["destroy", "-y"]).expect(0);
    assert_eq!(parameter("net/ipv4/ip_forward"), "1");
    fs::write("/proc/sys/net/ipv4/ip_forward", "0").expect("written");
    // A fleet that stays inside has no need of it.
    world.write(&two(", egress: none", "")).fleet(&["apply"]).expect(0);
    assert_eq!(parameter("net/ipv4/ip_forward"), "0");
    world.destroy();
    assert_eq!(parameters(), before);
}

/// The kernel's tables of neighbours as they usually are, and as they were when this goes.
struct UsualNeighbours(Vec<(String, String)>);

impl UsualNeighbours {
    const LIMITS: [&str; 3] = ["128", "512", "1024"];

    fn set() -> UsualNeighbours {
        let before = neighbour_parameters().map(|path| (path.clone(), parameter(&path))).collect();
        UsualNeighbours::put(
            neighbour_parameters().zip(UsualNeighbours::LIMITS.map(str::to_owned).into_iter().cycle()),
        );
        UsualNeighbours(before)
    }

    fn put(values: impl Iterator<Item = (String, String)>) {
        for (path, value) in values {
            fs::write(format!("/proc/sys/{path}"), value).expect("written");
        }
    }
}

impl Drop for UsualNeighbours {
    fn drop(&mut self) {
        UsualNeighbours::put(self.0.iter().cloned());
    }
}

fn neighbour_parameters() -> impl Iterator<Item = String> {
    let of = |family| (1..=3).map(move |number| format!("net/{family}/neigh/default/gc_thresh{number}"));
    of("ipv4").chain(of("ipv6"))
}

fn neighbour_limits() -> Vec<String> {
    neighbour_parameters().map(|path| parameter(&path)).collect()
}

#[test]
fn room_for_the_neighbours_of_many_is_made_and_given_back() {
    let many = |count: usize| -> String {
        let member = |number| format!("  many-{number}: {{}}\n");
        let members: String = (1..=count).map(member).collect();
        let network = "network: {subnet: 10.213.60.0/24, subnet6: auto}";
        format!("fleet: net\n{network}\ndefaults: {{distro: busybox}}\ncontainers:\n{members}")
    };
    // The kernel has them in its first network namespace alone.
    if !Path::new("/proc/sys/net/ipv4/neigh/default/gc_thresh3").exists() {
        let world = World::new();
        let plan = world.write(&many(33)).fleet(&["plan"]).expect(2).stdout;
        assert!(plan.contains("note: `net.ipv6.neigh.default.gc_thresh3` can only be seen"), "{plan}");
        assert!(!world.write(&many(32)).fleet(&["plan"]).expect(2).stdout.contains("note:"));
        return;
    }
    let _usual = UsualNeighbours::set();
    let usual = neighbour_limits();
    let raised = ["256", "1024", "2048", "256", "1024", "2048"];
    let world = World::new();
    world.write(&many(32)).fleet(&["apply"]).expect(0);
    assert_eq!(neighbour_limits(), usual);
    world.write(&many(33)).fleet(&["apply"]).expect(0);
    assert_eq!((world.changes(), neighbour_limits()), (0, raised.map(str::to_owned).to_vec()));

    fs::write("/proc/sys/net/ipv6/neigh/default/gc_thresh3", "1024").expect("written");
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    let words = "~ net.ipv6.neigh.default  gc_thresh3 1024 → 2048: room for the neighbours of 33 links";
    assert!(plan.contains(words), "{plan}");
    world.fleet(&["apply"]).expect(0);
    assert_eq!((world.changes(), neighbour_limits()), (0, raised.map(str::to_owned).to_vec()));

    world.write(&many(32)).fleet(&["apply", "-y"]).expect(0);
    assert_eq!((world.changes(), neighbour_limits()), (0, usual));
    world.write(&many(33)).fleet(&["apply"]).expect(0);
    world.destroy();
}

#[test]
fn killed_anywhere_and_applied_again_all_is_there_and_then_gone() {
    let world = World::new();
    world.write(&two(", isolated: true, subnet6: auto", ", ports: ['8980:80']"));
    for wait in [5, 10, 15, 20, 30, 40, 60, 80].map(Duration::from_millis) {
        world.kill_after(&["apply"], wait);
        world.fleet(&["apply"]).expect(0);
        assert_eq!(world.changes(), 0);
        world.kill_after(&["destroy", "-y"], wait);
        world.destroy();
    }
}

#[test]
fn a_host_that_drops_what_goes_through_is_told_of_with_the_fix() {
    struct Undo;
    impl Drop for Undo {
        fn drop(&mut self) {
            let _ = std::process::Command::new("nft").args(["delete", "table", "ip", TABLE_OF_TESTS]).output();
        }
    }
    let world = World::new();
    let outside = Net::outside();
    outside.serve("outside", "0.0.0.0:8090");
    let _undo = Undo;
    host(
        "nft",
        &[
            "add table ip fleettest; add chain ip fleettest FORWARD { type filter hook forward priority 0; policy drop; }",
        ],
    );
    world.write(&two(", bridge: fleettest1", ""));
    let refused = world.fleet(&["apply"]).expect(1).stderr;
    assert!(refused.contains("`ip fleettest FORWARD` drops what containers send and get"), "{refused}");
    world.assert_links_and_groups_as_before();
    // Who stays inside is not concerned.
    world.write(&two(", bridge: fleettest1, egress: none", "")).fleet(&["plan"]).expect(2);
    world.write(&two(", bridge: fleettest1", ""));
    // The fix is the one that it tells of.
    for fix in refused.split('`').filter_map(|part| part.strip_prefix("nft ")) {
        host("nft", &[fix]);
    }
    world.fleet(&["apply"]).expect(0);
    assert_eq!(guest(&world, "net-a").ask(&format!("{OUTSIDE}:8090")), "outside");
    world.fleet(&["destroy", "-y"]).expect(0);
}

#[test]
fn a_subnet_that_the_host_has_a_route_to_is_refused() {
    let world = World::new();
    let _outside = Net::outside();
    Net::of_host().ip(&format!("route add 10.213.0.0/17 via {OUTSIDE}"));
    let refused = world.write(&two("", "")).fleet(&["apply"]).expect(1).stderr;
    let message = "the host's route to 10.213.0.0/17 by `fleettest0` overlaps the subnet 10.213.60.0/24";
    assert!(refused.contains(message), "{refused}");
}

fn parameter(path: &str) -> String {
    fs::read_to_string(format!("/proc/sys/{path}")).unwrap_or_default().trim().to_owned()
}

/// All that may change with `ip_forward`, which comes first.
fn parameters() -> Vec<(String, String)> {
    let mut paths = vec!["net/ipv4/ip_forward".to_owned(), "net/ipv4/conf/all/accept_redirects".to_owned()];
    let links = world::names_in(std::path::Path::new("/proc/sys/net/ipv4/conf"));
    paths.extend(links.iter().flat_map(|link| {
        ["forwarding", "accept_redirects", "route_localnet"].map(|name| format!("net/ipv4/conf/{link}/{name}"))
    }));
    paths.into_iter().map(|path| (format!("/proc/sys/{path}"), parameter(&path))).collect()
}

fn tables() -> Vec<String> {
    let listed = host("nft", &["list", "tables"]);
    listed.lines().filter_map(|line| line.strip_prefix("table ")).map(str::to_owned).collect()
}
