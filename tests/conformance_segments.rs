//! Networks with more members than one bridge takes, in real containers: few of them on small bridges, and a thousand.

mod nets;
mod world;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nets::Net;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use world::{World, eventually, host};

/// A fleet of `count`, two on a bridge, `wide-N` at `10.213.66.(10 + N)`. The last publishes a port.
fn wide(count: usize, network: &str) -> String {
    let member = |number: usize| {
        let ports = if number == count { ", ports: [\"8094:80\"]" } else { "" };
        format!("  wide-{number}: {{ip: 10.213.66.{}{ports}}}\n", 10 + number)
    };
    let members: String = (1..=count).map(member).collect();
    format!(
        "fleet: wide
network: {{subnet: 10.213.66.0/24, members_per_bridge: 2{network}}}
defaults: {{distro: busybox, memory: 64MiB, pids: 64}}
containers:
{members}"
    )
}

fn guest(world: &World, number: usize) -> Net {
    Net::of(world.pid(&format!("wide-{number}")))
}

fn address(number: usize) -> String {
    format!("10.213.66.{}", 10 + number)
}

/// The bridges of the fleet's segments.
fn segments() -> Vec<String> {
    // Not by /sys, which shows the links of where it was mounted.
    let links = host("ip", &["-o", "link", "show", "type", "bridge"]);
    let names = links.lines().filter_map(|line| line.split(": ").nth(1));
    names.filter(|name| name.starts_with("fs")).map(str::to_owned).collect()
}

fn pids(world: &World, count: usize) -> Vec<u64> {
    (1..=count).map(|number| world.pid(&format!("wide-{number}"))).collect()
}

#[test]
fn members_of_different_bridges_are_on_one_network() {
    let world = World::new();
    let outside = Net::outside();
    let seen = outside.serve("outside", "0.0.0.0:8090");
    world.write(&wide(5, "")).fleet(&["apply"]).expect(0);
    assert_eq!((world.changes(), segments().len()), (0, 2));
    let guests = [1, 3, 4, 5].map(|number| (number, guest(&world, number)));
    for (from, net) in &guests {
        for (to, _) in guests.iter().filter(|(to, _)| to != from) {
            assert!(net.pings(&address(*to)), "{from} to {to}");
        }
        assert!(net.pings("10.213.66.1"), "{from} to the host");
        assert_eq!(net.ask("198.18.90.2:8090"), "outside", "{from}");
        assert_eq!(seen.recv().expect("it came").to_string(), "198.18.90.1");
    }
    // One hop, as on any bridge: names, a broadcast that finds who has an address, and a published port.
    assert!(world.sh("wide-1", "ping -c1 wide-5").contains("ttl=64"));
    let last = &guests[3].1;
    last.serve("last", "0.0.0.0:80");
    assert_eq!(outside.ask("198.18.90.1:8094"), "last");
    assert_eq!(Net::of_host().ask("127.0.0.1:8094"), "last");
    for (from, net) in &guests[..3] {
        assert_eq!(net.ask("10.213.66.1:8094"), "last", "{from}");
    }
    drop(guests);
    world.destroy();
    assert_eq!(segments(), Vec::<String>::new());
}

#[test]
fn isolated_members_of_different_bridges_reach_the_host_alone() {
    let world = World::new();
    world.write(&wide(5, ", isolated: true")).fleet(&["apply"]).expect(0);
    let apart = |world: &World| {
        for (from, to) in [(1, 2), (1, 3), (3, 1), (3, 4), (3, 5), (5, 3)] {
            assert!(!guest(world, from).pings(&address(to)), "{from} to {to}");
        }
        for number in [1, 3, 5] {
            assert!(guest(world, number).pings("10.213.66.1"), "{number}");
        }
    };
    apart(&world);
    let before = pids(&world, 5);
    world.write(&wide(5, "")).fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    // Whoever has just looked for another in vain goes on thinking so for a second.
    for (from, to) in [(1, 3), (3, 5)] {
        eventually("they reach each other", || guest(&world, from).pings(&address(to)));
    }
    world.write(&wide(5, ", isolated: true")).fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    apart(&world);
    assert_eq!(pids(&world, 5), before);
    world.destroy();
}

#[test]
fn who_comes_and_goes_leaves_the_others_where_they_are() {
    let world = World::new();
    world.write(&wide(2, "")).fleet(&["apply"]).expect(0);
    assert_eq!(segments(), Vec::<String>::new());
    let before = pids(&world, 2);
    world.write(&wide(5, "")).fleet(&["apply"]).expect(0);
    assert_eq!((world.changes(), segments().len()), (0, 2));
    assert_eq!(pids(&world, 2), before);
    let third = world.pid("wide-3");
    assert!(guest(&world, 1).pings(&address(5)));

    // Room on the first bridge is no reason to move there.
    let without = wide(3, "").replace("  wide-1: {ip: 10.213.66.11}\n", "");
    world.write(&without).fleet(&["apply", "-y"]).expect(0);
    assert_eq!((world.changes(), segments().len()), (0, 1));
    assert_eq!((world.pid("wide-2"), world.pid("wide-3")), (before[1], third));
    assert!(guest(&world, 2).pings(&address(3)));

    let first = wide(2, "");
    world.write(&first).fleet(&["apply", "-y"]).expect(0);
    assert_eq!((world.changes(), segments()), (0, Vec::new()));
    world.destroy();
}

/// How many members each bridge has had at most, by its name, by what was `heard` of links (`ip -o monitor link`).
fn most_members(heard: &str) -> BTreeMap<String, usize> {
    let (mut ports, mut most) = (BTreeMap::new(), BTreeMap::new());
    for line in heard.lines() {
        let (is_gone, line) = line.strip_prefix("Deleted ").map_or((false, line), |line| (true, line));
        let mut words = line.split_whitespace();
        let Some(index) = words.next() else { continue };
        // The ends of the pair between bridges were there before.
        if !words.next().is_some_and(|name| name.starts_with("fv")) {
            continue;
        }
        let master = words.skip_while(|word| *word != "master").nth(1);
        match master {
            Some(master) if !is_gone => drop(ports.insert(index.to_owned(), master.to_owned())),
            Some(_) | None => drop(ports.remove(index)),
        }
        for bridge in ports.values() {
            let now = ports.values().filter(|other| *other == bridge).count();
            let most: &mut usize = most.entry(bridge.clone()).or_default();
            *most = now.max(*most);
        }
    }
    most
}

#[test]
fn all_members_are_replaced_without_more_than_a_bridge_takes_at_any_time() {
    let world = World::new();
    world.write(&wide(4, "")).fleet(&["apply"]).expect(0);
    let segment = segments().remove(0);
    let mut monitor =
        Command::new("ip").args(["-o", "monitor", "link"]).stdout(Stdio::piped()).spawn().expect("ip runs");
    let mut heard = monitor.stdout.take().expect("piped");
    // It is listening when it has said something.
    eventually("it listens", || {
        Net::of_host().ip("link set lo mtu 65535");
        Net::of_host().ip("link set lo mtu 65536");
        rustix::io::ioctl_fionread(&heard).is_ok_and(|bytes| bytes > 0)
    });
    let other = wide(4, "").replace("  wide-", "  other-").replace("10.213.66.1", "10.213.66.2");
    // One after the other in the order of the plan, in which those who come stand before those who go.
    world.write(&other).fleet(&["apply", "-y", "--jobs", "1"]).expect(0);
    assert_eq!((world.changes(), segments()), (0, vec![segment.clone()]));
    monitor.kill().expect("it runs");
    monitor.wait().expect("waited");
    let mut text = String::new();
    heard.read_to_string(&mut text).expect("text");
    let most = most_members(&text);
    assert_eq!(most.into_values().collect::<Vec<_>>(), [2, 2], "{text}");
    world.destroy();
}

#[test]
fn a_segment_that_was_broken_by_hand_is_mended() {
    let world = World::new();
    world.write(&wide(3, "")).fleet(&["apply"]).expect(0);
    let before = pids(&world, 3);
    let segment = segments().remove(0);
    let inner = segment.replacen("fs", "fi", 1);
    let mended = |why: &str| {
        let plan = world.fleet(&["plan"]).expect(2).stdout;
        assert!(plan.contains(why), "{plan}");
        world.fleet(&["apply"]).expect(0);
        assert_eq!(world.changes(), 0);
        assert!(guest(&world, 1).pings(&address(3)), "{why}");
    };
    Net::of_host().ip(&format!("link set {segment} down"));
    mended("bridge is down  (live)");
    Net::of_host().ip(&format!("link set {segment} alias x"));
    mended("its mark is missing  (live)");
    Net::of_host().ip(&format!("link del {inner}"));
    mended("is missing  (live)");
    Net::of_host().ip(&format!("link set {inner} nomaster"));
    mended("is missing  (live)");
    assert_eq!(pids(&world, 3), before);
    Net::of_host().ip(&format!("link del {segment}"));
    mended("has no room for more members");
    assert_eq!(pids(&world, 2), before[..2]);
    world.destroy();
}

#[test]
fn killed_anywhere_and_applied_again_segments_are_there_and_then_gone() {
    let world = World::new();
    world.write(&wide(5, ""));
    for wait in [10, 20, 30, 50, 80].map(Duration::from_millis) {
        world.kill_after(&["apply"], wait);
        world.fleet(&["apply"]).expect(0);
        assert_eq!(world.changes(), 0);
        assert!(guest(&world, 1).pings(&address(5)));
        world.kill_after(&["destroy", "-y"], wait);
        world.destroy();
    }
}

/// A fleet of `count` as large as users have them, on bridges as large as they are, `crowd-N` at `10.213.72.0 + 10 + N`.
fn crowd(count: usize) -> String {
    let member = |number: usize| {
        let ports = if number == count { ", ports: [\"8094:80\"]" } else { "" };
        format!("  crowd-{number}: {{ip: {}{ports}}}\n", crowd_address(number))
    };
    let members: String = (1..=count).map(member).collect();
    format!("fleet: crowd\nnetwork: {{subnet: 10.213.72.0/21}}\ndefaults: {{distro: busybox}}\ncontainers:\n{members}")
}

fn crowd_address(number: usize) -> String {
    format!("10.213.{}.{}", 72 + (10 + number) / 256, (10 + number) % 256)
}

/// How many of `crowd` get an answer of whom `address` says, by their numbers.
fn answered(crowd: &BTreeMap<String, u64>, address: impl Fn(usize) -> String) -> usize {
    let pings: Vec<Child> = crowd
        .iter()
        .map(|(name, pid)| {
            let number = name.strip_prefix("crowd-").and_then(|number| number.parse().ok()).expect("a number");
            let mut ping = Command::new("nsenter");
            ping.args(["-t", &pid.to_string(), "-n", "ping", "-q", "-c1", "-w20", &address(number)]);
            ping.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("nsenter runs")
        })
        .collect();
    pings.into_iter().filter_map(|mut ping| ping.wait().ok()).filter(ExitStatus::success).count()
}

/// As a shell has them that nobody has told otherwise.
fn apply_with_few_descriptors(world: &World) {
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(1024), ..before }).expect("it is lower");
    let applied = world.fleet(&["apply"]);
    setrlimit(Resource::Nofile, before).expect("it was so");
    applied.expect(0);
}

#[test]
#[ignore = "1100 containers take minutes; `make test-all` runs it"]
fn more_members_than_a_bridge_has_ports_are_on_one_network() {
    let world = World::new();
    let outside = Net::outside();
    let _seen = outside.serve("outside", "0.0.0.0:8090");
    world.write(&crowd(1000));
    apply_with_few_descriptors(&world);
    assert_eq!(segments(), Vec::<String>::new());
    let before = world.pids();
    world.write(&crowd(1100));
    apply_with_few_descriptors(&world);
    assert_eq!((world.changes(), segments().len()), (0, 1));
    let now = world.pids();
    assert_eq!(now.len(), 1100, "all run");
    assert!(before.iter().all(|(name, pid)| now[name] == *pid), "nobody has moved");

    let [first, last] = [1, 1100].map(|number| Net::of(now[&format!("crowd-{number}")]));
    for (net, other) in [(&first, 1100), (&last, 1), (&last, 1099), (&first, 2)] {
        assert!(net.pings(&crowd_address(other)), "{other}");
        assert_eq!(net.ask("198.18.90.2:8090"), "outside");
    }
    world.sh("crowd-1", "ping -c1 -W5 crowd-1100");
    // All of them speak at once, each with the host and with another: more neighbours than the kernel usually has room for.
    assert_eq!(answered(&now, |_| "10.213.72.1".to_owned()), 1100);
    assert_eq!(answered(&now, |number| crowd_address(number % 1100 + 1)), 1100);
    last.serve("last", "0.0.0.0:80");
    assert_eq!(outside.ask("198.18.90.1:8094"), "last");
    assert_eq!(first.ask("10.213.72.1:8094"), "last");
    drop((first, last));
    world.destroy();
    assert_eq!(segments(), Vec::<String>::new());
}
