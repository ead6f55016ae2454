//! Containers that stand still, on hosts of every kind of cgroups: those of both versions, and those of version 1 alone.

mod world;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use world::{Ran, World, eventually, ran};

const TWO: &str = "\
fleet: still
network: {subnet: 10.213.27.0/24}
containers:
  still: {distro: busybox, replicas: 2, memory: 64MiB, cpus: 0.5, cpuset: 0, pids: 64}
";

/// Where the unified tree of a host with both versions is mounted.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// Runs fleet where only hierarchies of version 1 are mounted. A host of version 2 alone cannot play one of version 1.
fn on_version_1(world: &World, command: &str) -> Ran {
    let hide = if fs::exists(UNIFIED).expect("looked at") { format!("umount {UNIFIED} && ") } else { String::new() };
    let script = format!("{hide} exec {} {command}", env!("CARGO_BIN_EXE_fleet"));
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "sh", "-c", &script]).env("FLEET_ROOT", world.root()).current_dir(world.dir.path());
    ran(&unshare.output().expect("unshare runs"))
}

/// The container's file `name`, from the host.
fn beat(world: &World) -> String {
    let path = format!("/proc/{}/root/dev/shm/beat", world.pid("still-1"));
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn where_only_version_1_is_mounted_containers_are_limited_freeze_go_on_stop_and_go() {
    let world = World::new();
    let run = |command: &str| on_version_1(&world, command);
    world.write(TWO);
    run("apply").expect(0);
    let limits = |memory: u64| {
        let status = run("status -o json").expect(0).json();
        let row = &status["containers"][0];
        assert_eq!(
            (&row["memory"]["limit"], &row["cpus"], &row["pids"]),
            (&memory.into(), &0.5.into(), &64.into()),
            "{row}"
        );
        assert_eq!(row["drift"], serde_json::json!([]));
    };
    limits(64 << 20);
    world.write(&TWO.replace("64MiB", "96MiB"));
    run("apply").expect(0);
    limits(96 << 20);

    run("exec still-1 -- sh -c '(while :; do date +%s%N > /dev/shm/beat; done) >/dev/null 2>&1 &'").expect(0);
    eventually("it beats", || !beat(&world).is_empty());
    run("freeze still-1").expect(0);
    assert_eq!(run("status -o json").expect(0).json()["containers"][0]["state"], "frozen");
    assert!(run("exec still-1 -- true").expect(1).stderr.contains("is frozen"));
    let before = beat(&world);
    run("exec still-2 -- sh -c 'for i in 1 2 3 4 5 6 7 8 9; do date; done'").expect(0);
    assert_eq!(beat(&world), before);
    run("thaw still-1").expect(0);
    eventually("it goes on", || beat(&world) != before);
    run("freeze --all").expect(0);
    run("stop still-1").expect(0);
    assert_eq!(run("status -o json").expect(0).json()["containers"][0]["state"], "stopped");
    run("destroy -y").expect(0);
    world.assert_nothing_left();
}

/// The file by which somebody else, `lxc-freeze` for one, freezes the container `name` by version 1.
fn freezer(world: &World, name: &str) -> Option<PathBuf> {
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", world.pid(name))).expect("it runs");
    let path = groups.lines().find_map(|line| line.split_once(":freezer:"))?.1;
    Some(format!("/sys/fs/cgroup/freezer{path}/freezer.state").into())
}

#[test]
fn what_somebody_else_has_frozen_by_version_1_is_seen_goes_on_stops_and_goes() {
    let world = World::new();
    world.write(TWO).fleet(&["apply"]).expect(0);
    let Some(file) = freezer(&world, "still-1") else {
        // A host without that hierarchy.
        return world.destroy();
    };
    let freeze = |name: &str| fs::write(freezer(&world, name).expect("as the other"), "FROZEN").expect("written");
    freeze("still-1");
    assert_eq!(world.state("still-1"), "frozen");
    assert!(world.fleet(&["exec", "still-1", "--", "true"]).expect(1).stderr.contains("is frozen"));
    world.fleet(&["thaw", "still-1"]).expect(0);
    assert_eq!(fs::read_to_string(&file).expect("readable"), "THAWED\n");
    world.sh("still-1", "true");
    freeze("still-1");
    world.fleet(&["stop", "still-1"]).expect(0);
    world.fleet(&["start", "still-1"]).expect(0);
    for name in ["still-1", "still-2"] {
        freeze(name);
    }
    // Freezing what stands still is done already.
    world.fleet(&["freeze", "still-2"]).expect(0);
    world.destroy();
}
