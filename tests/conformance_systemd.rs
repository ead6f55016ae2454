//! What must hold beside systemd as the host's init. Not among the tests of every `cargo test`, since not every machine
//! has it: tests/vm/run.sh runs it.

mod world;

use world::{World, host};

const ONE: &str = "\
fleet: trial
network: {subnet: 10.213.6.0/24}
defaults: {distro: busybox, memory: 64MiB, cpus: 0.5, pids: 64}
containers:
  trial-1: {ip: 10.213.6.11}
";

/// The limits that the kernel has, and that fleet sees.
fn assert_limits_hold(world: &World, when: &str) {
    let group = std::fs::read_to_string(format!("/proc/{}/cgroup", world.pid("trial-1"))).expect("readable");
    let group = format!("/sys/fs/cgroup{}", group.trim().trim_start_matches("0::").trim_end_matches("/guest"));
    let read =
        |file: &str| std::fs::read_to_string(format!("{group}/{file}")).unwrap_or_else(|error| error.to_string());
    let limits = ["memory.max", "cpu.max", "pids.max"].map(read);
    assert_eq!(limits, ["67108864\n", "50000 100000\n", "64\n"], "{when}: {group}");
    assert_eq!(world.changes(), 0, "{when}");
}

#[test]
fn limits_hold_whatever_systemd_does_to_its_own_groups() {
    let world = World::new();
    world.write(ONE).fleet(&["apply"]).expect(0);
    assert_limits_hold(&world, "started");
    host("systemctl", &["daemon-reload"]);
    assert_limits_hold(&world, "after a reload");
    // A service that is the only one to need a controller: systemd takes it away from the top of the tree again.
    for property in ["AllowedCPUs=0", "MemoryMax=50M", "CPUQuota=50%", "IOWeight=50", "TasksMax=50"] {
        host("systemd-run", &["--quiet", "--wait", "-p", property, "true"]);
        assert_limits_hold(&world, property);
    }
    host("systemctl", &["daemon-reexec"]);
    assert_limits_hold(&world, "after systemd began anew");
    world.sh("trial-1", "echo it still runs");
    // What is started and changed afterwards gets its limits too.
    world.fleet(&["stop", "trial-1"]).expect(0);
    world.fleet(&["start", "trial-1"]).expect(0);
    assert_limits_hold(&world, "started again");
    world.destroy();
}

#[test]
fn a_containers_life_is_not_that_of_the_service_that_started_it() {
    let world = World::new();
    world.write(ONE);
    let root = format!("FLEET_ROOT={}", world.root().display());
    let dir = format!("WorkingDirectory={}", world.dir.path().display());
    let fleet = env!("CARGO_BIN_EXE_fleet");
    // Its end kills what is in its group: KillMode=control-group is the default, systemd.kill(5).
    host("systemd-run", &["--quiet", "--wait", "--setenv", &root, "-p", &dir, fleet, "apply"]);
    assert_eq!(world.state("trial-1"), "running");
    assert_eq!(world.container("trial-1")["drift"], serde_json::json!([]));
    // And it has a monitor: it comes back after its guest rebooted.
    let before = world.pid("trial-1");
    world.last_words("trial-1", "reboot");
    world.another_init("trial-1", before);
    world.destroy();
}
