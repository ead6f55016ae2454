//! The lock file, with a real server and real containers.

mod mirror;
mod world;

use std::fs;

use mirror::{Forms, Server, Tree};
use serde_json::Value;
use world::World;

fn fleet(server: &Server, subnet: &str) -> String {
    format!(
        "fleet: locked\nnetwork: {{subnet: {subnet}}}\nremotes: {{images: '{}'}}\ncontainers: {{ll: {{distro: test/1}}}}\n",
        server.url()
    )
}

/// A tree, its server, and a fleet that is applied with a build of it.
fn applied(subnet: &str) -> (Tree, Server, World) {
    let tree = Tree::with_build(Forms::ArchiveOnly);
    let (server, world) = (Server::new(&tree.path()), World::new());
    world.write(&fleet(&server, subnet)).fleet(&["apply", "-y"]).expect(0);
    (tree, server, world)
}

fn lock(world: &World) -> String {
    fs::read_to_string(world.dir.path().join("fleet.lock")).unwrap_or_default()
}

fn pinned_serial(world: &World) -> Value {
    let lock: Value = serde_json::from_str(&lock(world)).expect("JSON");
    lock["fleets"]["locked"][0]["serial"].clone()
}

#[test]
fn apply_pins_what_it_uses_and_update_moves_the_pin() {
    let mut tree = Tree::with_build(Forms::ArchiveOnly);
    let server = Server::new(&tree.path());
    let world = World::new();
    world.write(&fleet(&server, "10.211.20.0/24"));
    let refused = world.fleet(&["apply", "-y", "--locked"]).expect(64).stderr;
    assert!(refused.contains("is not pinned in"), "{refused}");
    world.fleet(&["plan"]).expect(2);
    assert_eq!(lock(&world), "", "a plan writes nothing");
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(pinned_serial(&world), "20241101_05:24");
    let first = lock(&world);
    tree.add("20241102_05:24", "2", Forms::ArchiveOnly);
    world.fleet(&["apply", "-y", "--locked"]).expect(0);
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(lock(&world), first);

    let outdated = world.fleet(&["outdated", "-o", "json"]).expect(0).json();
    assert_eq!(outdated["distros"][0]["outdated"], true);
    assert_eq!(outdated["distros"][0]["newest"]["serial"], "20241102_05:24");
    assert_eq!(lock(&world), first, "who looks writes nothing");
    let unknown = world.fleet(&["update", "test/2"]).expect(64).stderr;
    assert!(unknown.contains("`test/2` is no distribution of locked"), "{unknown}");
    let updated = world.fleet(&["update", "test/1"]).expect(0).stdout;
    let told = updated.lines().nth(1).unwrap_or_default();
    assert!(told.contains("20241101_05:24 (") && told.contains("→ 20241102_05:24 ("), "{updated}");
    assert_eq!(pinned_serial(&world), "20241102_05:24");
    assert_eq!(world.sh("ll", "cat /etc/build"), "1\n", "nothing but the pin has moved");
    world.fleet(&["apply"]).expect(64);
    world.fleet(&["apply", "-y", "--locked"]).expect(0);
    assert_eq!(world.sh("ll", "cat /etc/build"), "2\n");
    assert_eq!(world.changes(), 0);

    // A server that goes back in time takes no pin with it.
    tree.remove("20241102_05:24");
    let back = world.fleet(&["update"]).expect(1).stdout;
    assert!(back.contains("older than the pinned 20241102_05:24"), "{back}");
    assert_eq!(pinned_serial(&world), "20241102_05:24");
    world.destroy();
}

#[test]
fn the_pinned_build_is_loaded_even_where_a_newer_one_is_there() {
    let (mut tree, server, world) = applied("10.211.21.0/24");
    world.destroy();
    world.fleet(&["image", "prune"]).expect(0);
    tree.add("20241102_05:24", "2", Forms::ArchiveOnly);
    server.requests();
    world.fleet(&["apply", "-y", "--locked"]).expect(0);
    assert_eq!(world.sh("ll", "cat /etc/build"), "1\n");
    assert!(server.requests().iter().all(|request| !request.starts_with("streams/")), "a pin needs no index");
    world.destroy();
    world.fleet(&["image", "prune"]).expect(0);
    // Servers keep builds for some days.
    fs::remove_dir_all(tree.path().join("images/test/1/amd64/default/20241101_05:24")).expect("removed");
    let gone = world.fleet(&["apply", "-y"]).expect(1).stderr;
    assert!(gone.contains("no longer has its build 20241101_05:24"), "{gone}");
    assert!(gone.contains("`fleet update test/1` moves to the newest build"), "{gone}");
    world.fleet(&["update"]).expect(0);
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(world.sh("ll", "cat /etc/build"), "2\n");
    world.destroy();
}

#[test]
fn a_pinned_build_that_the_server_has_dropped_is_kept_and_used() {
    let (mut tree, _server, world) = applied("10.211.23.0/24");
    let pinned = lock(&world);
    // The server answers, and has another build instead.
    tree.add("20241102_05:24", "2", Forms::ArchiveOnly);
    tree.remove("20241101_05:24");
    // What a container stands on is not pruned; what none does stays until then.
    world.fleet(&["image", "prune"]).expect(0);
    world.destroy();
    world.fleet(&["apply", "-y", "--locked"]).expect(0);
    assert_eq!(world.sh("ll", "cat /etc/build"), "1\n");
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!((lock(&world), world.sh("ll", "cat /etc/build")), (pinned, "1\n".to_owned()));
    world.destroy();
}

#[test]
fn an_update_undoes_nothing_that_others_did_while_it_asked() {
    let (mut tree, server, world) = applied("10.211.29.0/24");
    let path = world.dir.path().join("fleet.lock");
    tree.add("20241102_05:24", "2", Forms::ArchiveOnly);
    server.requests();
    // Whoever writes the file has the directory's lock.
    let directory = fs::File::open(world.dir.path()).expect("it is there");
    directory.lock().expect("it can be locked");
    let update = world.spawn(&["update"]);
    world::eventually("it asks", || server.requests().contains(&"streams/v1/images.json".to_owned()));
    let mut others: Value = serde_json::from_str(&lock(&world)).expect("JSON");
    let mut other = others["fleets"]["locked"][0].clone();
    other["distro"] = "other/1".into();
    others["fleets"]["locked"].as_array_mut().expect("pins").push(other.clone());
    fs::write(&path, others.to_string()).expect("written");
    directory.unlock().expect("it is locked");
    world::ran(&update.wait_with_output().expect("it ends")).expect(0);
    let now: Value = serde_json::from_str(&lock(&world)).expect("JSON");
    assert_eq!(now["fleets"]["locked"][0], other);
    assert_eq!(now["fleets"]["locked"][1]["serial"], "20241102_05:24");

    // An apply that finds a broken one behind itself says so.
    world.write(
        "fleet: locked\nnetwork: {subnet: 10.211.29.0/24}\ncontainers: {ll: {distro: busybox, stop_timeout: 1s}}\n",
    );
    // A guest that does not hear takes its time to stop.
    world::host("kill", &["-STOP", &world.pid("ll").to_string()]);
    let apply = world.spawn(&["apply", "-y"]);
    let is_stopping = world.root().join("run/containers/ll/stopping");
    world::eventually("it has begun", || is_stopping.exists());
    fs::write(&path, "{\n<<<<<<< HEAD\n").expect("written");
    let told = world::ran(&apply.wait_with_output().expect("it ends")).expect(0).stderr;
    assert!(told.contains("warning: ") && told.contains("fleet.lock:2:1: this is not a lock file of fleet"), "{told}");
    assert!(told.contains(": builds are not pinned"), "{told}");
    fs::remove_file(&path).expect("removed");
    world.destroy();
}

#[test]
fn a_broken_lock_file_is_a_finding_and_stays_as_it_is() {
    let world = World::new();
    world.write("fleet: locked\nnetwork: {subnet: 10.211.22.0/24}\ncontainers: {ll: {distro: busybox}}\n");
    let path = world.dir.path().join("fleet.lock");
    fs::write(&path, "{\n<<<<<<< HEAD\n").expect("written");
    let refused = world.fleet(&["apply", "-y"]).expect(64).stderr;
    assert!(refused.contains("fleet.lock:2:1") && refused.contains("this is not a lock file of fleet"), "{refused}");
    assert_eq!(lock(&world), "{\n<<<<<<< HEAD\n");
    fs::remove_file(&path).expect("removed");
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(lock(&world), "", "what is built in is not pinned");
    world.destroy();
}
