//! fleet in a container of fleet's.

mod world;

use std::fs;
use std::path::Path;

use world::{World, host};

const OUTER: &str = "\
fleet: outer
network: {subnet: 10.213.28.0/24}
defaults: {distro: busybox, nesting: true, memory: 512MiB, pids: 500}
containers:
  trusted: {privileged: true, mounts: ['store:/srv']}
  plain: {mounts: ['plain:/srv']}
";

const INNER: &str = "\
fleet: inner
network: {subnet: 10.99.0.0/24}
defaults: {distro: busybox}
containers:
  in: {replicas: 2, ip: 10.99.0.11}
";

/// Puts the program and the libraries that it is linked to into the container `name`.
fn install(world: &World, name: &str) {
    let program = env!("CARGO_BIN_EXE_fleet");
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, and the linker's own path alone.
    let linked = host("ldd", &[program]);
    let libraries = linked.split_whitespace().filter(|word| word.starts_with('/')).map(|path| (path, path));
    for (source, target) in libraries.chain([(program, "/bin/fleet")]) {
        let dir = Path::new(target).parent().expect("a file has one").display();
        world.sh(name, &format!("mkdir -p {dir}"));
        let source = fs::canonicalize(source).expect("it is there");
        world.fleet(&["cp", &source.display().to_string(), &format!("{name}:{target}")]).expect(0);
    }
    fs::write(world.dir.path().join("inner.yaml"), INNER).expect("written");
    world.fleet(&["cp", "inner.yaml", &format!("{name}:/inner.yaml")]).expect(0);
}

#[test]
fn a_privileged_container_runs_fleets_of_its_own() {
    let world = World::new();
    world.write(OUTER).fleet(&["apply"]).expect(0);
    install(&world, "trusted");
    // Where the host has bound controllers to version 1, a guest that wants limits for its own mounts that.
    let has_version_1 = Path::new("/sys/fs/cgroup/memory").exists();
    if has_version_1 {
        let mount = "for kind in memory pids; do mkdir -p /v1/$kind && mount -t cgroup -o $kind none /v1/$kind; done";
        world.sh("trusted", mount);
        world.sh("trusted", "sed -i 's/distro: busybox/distro: busybox, memory: 64MiB, pids: 32/' /inner.yaml");
    }
    let inside =
        |args: &str| world.sh("trusted", &format!("cd / && FLEET_ROOT=/srv/state FLEET_FILE=/inner.yaml fleet {args}"));
    inside("apply");
    assert_eq!(["in-1", "in-2"].map(|name| inside(&format!("exec {name} -- hostname"))), ["in-1\n", "in-2\n"]);
    inside("exec in-1 -- ping -c1 -W5 in-2");
    // Root in there is nobody in the outer one.
    assert_eq!(
        inside("exec in-1 -- sh -c 'echo x > /proc/sys/kernel/core_pattern || echo refused' 2>/dev/null"),
        "refused\n"
    );
    let status = inside("status -o json");
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    let limit = &status["containers"][0]["memory"]["limit"];
    assert_eq!(limit, &if has_version_1 { (64 << 20).into() } else { serde_json::Value::Null }, "{status}");
    inside("apply");
    inside("destroy -y");
    assert_eq!(world.sh("trusted", "ls /srv/state/lxc; ls /sys/class/net"), "eth0\nlo\n");
    // What still runs inside goes with the outer one.
    inside("apply");
    world.fleet(&["stop", "trusted"]).expect(0);
    world.destroy();
}

#[test]
fn an_unprivileged_one_is_told_that_it_cannot_before_anything_is_done() {
    let world = World::new();
    world.write(OUTER).fleet(&["apply"]).expect(0);
    install(&world, "plain");
    let ran =
        world.fleet(&["exec", "plain", "--", "fleet", "--root", "/srv/state", "apply", "-y", "/inner.yaml"]).expect(1);
    assert!(ran.stderr.contains("is not the host's") && ran.stderr.contains("privileged: true"), "{ran:?}");
    assert_eq!(world.sh("plain", "ls /sys/class/net"), "eth0\nlo\n");
    world.destroy();
}
