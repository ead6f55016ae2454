//! Several networks of one fleet, in real containers.

mod nets;
mod world;

use std::fs;
use std::path::Path;
use std::time::Duration;

use nets::{Net, guest};
use world::World;

/// A fleet of `front`, `back` and `both`, which is on the networks of the other two.
const THREE: &str = "fleet: several
network: {subnet: 10.213.62.0/24}
networks:
  storage: {subnet: 10.213.63.0/24, bridge: fleetstorage0}
defaults: {distro: busybox, memory: 64MiB, pids: 64}
containers:
  front: {ip: 10.213.62.11}
  back: {networks: [storage], ip: 10.213.63.11}
  both: {ip: 10.213.62.12, networks: [default, {network: storage, ip: 10.213.63.12, name: stor0}]}
";

fn exec(world: &World, name: &str, command: &[&str]) -> String {
    world.fleet(&[&["exec", name, "--"], command].concat()).stdout
}

fn exists(link: &str) -> bool {
    Net::of_host().run(|| nix::net::if_::if_nametoindex(link).is_ok())
}

#[test]
fn a_container_on_two_networks_reaches_both_and_they_are_kept_apart() {
    let world = World::new();
    world.write(THREE).fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    let (front, back, both) = (guest(&world, "front"), guest(&world, "back"), guest(&world, "both"));
    front.serve("front", "0.0.0.0:80");
    back.serve("back", "0.0.0.0:80");
    both.serve("both", "0.0.0.0:80");
    assert_eq!((both.ask("10.213.62.11:80"), both.ask("10.213.63.11:80")), ("front".to_owned(), "back".to_owned()));
    assert_eq!((front.ask("10.213.62.12:80"), back.ask("10.213.63.12:80")), ("both".to_owned(), "both".to_owned()));
    for (net, address) in [(&front, "10.213.63.11"), (&front, "10.213.63.12"), (&back, "10.213.62.11")] {
        assert_eq!(net.ask(&format!("{address}:80")), "", "{address}");
        assert!(!net.pings(address), "{address}");
    }
    // A name leads to the network that both are on.
    let address = |of: &str, name: &str| exec(&world, of, &["grep", "-w", name, "/etc/hosts"]);
    assert!(address("front", "both").starts_with("10.213.62.12\t"), "{}", address("front", "both"));
    assert!(address("back", "both").starts_with("10.213.63.12\t"), "{}", address("back", "both"));
    assert_eq!(address("front", "back"), "");
    assert!(exec(&world, "both", &["ping", "-c1", "back.several"]).contains("10.213.63.11"));
    let links = exec(&world, "both", &["ip", "-o", "-4", "address"]);
    assert!(
        links.contains("eth0    inet 10.213.62.12/24") && links.contains("stor0    inet 10.213.63.12/24"),
        "{links}"
    );
    let routes = exec(&world, "both", &["ip", "route"]);
    assert!(routes.starts_with("default via 10.213.62.1 dev eth0 \n") && routes.lines().count() == 3, "{routes}");
    // Links go when nobody holds their networks any more.
    drop((front, back, both));
    world.destroy();
}

#[test]
fn only_networks_in_use_are_made_and_one_that_is_not_any_more_goes() {
    let world = World::new();
    let unused = THREE.replace("  storage:", "  unused: {bridge: fleetunused0}\n  storage:");
    world.write(&unused).fleet(&["apply"]).expect(0);
    assert!(exists("fleetstorage0") && !exists("fleetunused0"));
    let pid = world.pid("front");
    // It is not even in the file any more.
    let one = "fleet: several
network: {subnet: 10.213.62.0/24}
defaults: {distro: busybox, memory: 64MiB, pids: 64}
containers:
  front: {ip: 10.213.62.11}
";
    world.write(one).fleet(&["apply", "-y"]).expect(0);
    assert!(!exists("fleetstorage0"));
    assert_eq!(world.changes(), 0);
    assert_eq!(world.pid("front"), pid);
    world.write(&THREE.replace("fleetstorage0", "fleetstorage1")).fleet(&["apply"]).expect(0);
    assert!(exists("fleetstorage1"));
    // Nor is it when the fleet goes.
    world.write(one).fleet(&["destroy", "-y"]).expect(0);
    world.assert_nothing_left();
}

#[test]
fn a_network_that_gets_another_name_keeps_its_bridge_and_its_published_ports() {
    let world = World::new();
    let published = THREE.replace("  back: {", "  back: {ports: ['127.0.0.1:8963:80'], ");
    world.write(&published).fleet(&["apply"]).expect(0);
    let pids = world.pids();
    let back = guest(&world, "back");
    back.serve("back", "0.0.0.0:80");
    assert_eq!(Net::of_host().ask("127.0.0.1:8963"), "back");
    let renamed = published.replace(" storage:", " archive:").replace("[storage]", "[archive]");
    let renamed = renamed.replace("network: storage", "network: archive");
    world.write(&renamed).apply_live();
    assert_eq!(world.pids(), pids);
    assert_eq!(Net::of_host().ask("127.0.0.1:8963"), "back");
    assert_eq!(guest(&world, "both").ask("10.213.63.11:80"), "back");
    // Another that is to have the bridge's name is told whose it is.
    let traded = renamed.replace("bridge: fleetstorage0", "bridge: fleetarchive0");
    let traded = traded.replace("{subnet: 10.213.62.0/24", "{subnet: 10.213.62.0/24, bridge: fleetstorage0");
    let refused = world.write(&traded).fleet(&["apply"]).expect(1).stderr;
    assert!(refused.contains("`fleetstorage0` is still the bridge of the network `archive`"), "{refused}");
    drop(back);
    world.destroy();
}

#[test]
fn a_bridge_is_known_by_its_mark() {
    let world = World::new();
    world.write(THREE).fleet(&["apply"]).expect(0);
    let alias = |bridge: &str| {
        let shown = Net::of_host().run(|| fs::read_to_string(Path::new("/sys/class/net").join(bridge).join("ifalias")));
        shown.unwrap_or_default()
    };
    assert_eq!(alias("fleetstorage0"), "fleet several/storage\n");
    Net::of_host().ip("link set fleetstorage0 alias x");
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    assert!(plan.contains("~ fleetstorage0  its mark is missing  (live)"), "{plan}");
    world.fleet(&["apply"]).expect(0);
    assert_eq!(alias("fleetstorage0"), "fleet several/storage\n");
    world.destroy();
}

#[test]
fn killed_anywhere_and_applied_again_both_networks_are_there_and_then_gone() {
    let world = World::new();
    world.write(THREE);
    for wait in [10, 20, 30, 50, 80].map(Duration::from_millis) {
        world.kill_after(&["apply"], wait);
        world.fleet(&["apply"]).expect(0);
        assert_eq!(world.changes(), 0);
        world.kill_after(&["destroy", "-y"], wait);
        world.destroy();
    }
}
