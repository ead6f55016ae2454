//! Limits that are set, changed while a container runs, and felt by what runs in it.

mod world;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use world::{World, eventually};

fn fleet(keys: &str) -> String {
    format!(
        "fleet: bounded\nnetwork: {{subnet: 10.213.22.0/24}}\ncontainers:\n  bounded: {{distro: busybox, replicas: 2, \
         ip: 10.213.22.11, {keys}}}\n"
    )
}

/// Processor time that a container has used, in microseconds.
fn processor_time_us(world: &World, name: &str) -> u64 {
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", world.pid(name))).expect("it runs");
    let v1 = groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers
            .split(',')
            .any(|one| one == "cpuacct")
            .then(|| PathBuf::from(format!("/sys/fs/cgroup/cpuacct{path}")))
    });
    if let Some(dir) = v1 {
        let usage = fs::read_to_string(dir.join("cpuacct.usage")).expect("readable");
        return usage.trim().parse::<u64>().expect("a number") / 1000;
    }
    let path = groups.trim().trim_start_matches("0::").trim_end_matches("/guest").to_owned();
    let stat = fs::read_to_string(format!("/sys/fs/cgroup{path}/cpu.stat")).expect("readable");
    let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec ")).expect("it is there");
    usage.trim().parse().expect("a number")
}

#[test]
fn every_limit_is_set_and_changed_live_and_a_second_apply_has_nothing_to_do() {
    let world = World::new();
    world.write(&fleet(
        "memory: 64MiB, swap: 0, cpus: 0.5, cpu_weight: 50, cpuset: 0, pids: 100, io: {write: 10MiB, read_iops: 500}",
    ));
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    let pid = world.pid("bounded-1");
    assert!(world.sh("bounded-1", "cat /proc/1/status").contains("Cpus_allowed_list:\t0\n"));
    world.write(&fleet(
        "memory: 96MiB, swap: 16MiB, cpus: 1, cpu_weight: 200, cpuset: 0-1, pids: 50, io: {write: 20MiB}",
    ));
    let plan = world.fleet(&["plan", "-o", "json"]).expect(2).json();
    assert_eq!(plan["steps"][0]["consequence"], "live", "{plan}");
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    // None of them is given back in the other direction.
    world.write(&fleet("memory: 32MiB"));
    world.fleet(&["apply"]).expect(0);
    assert_eq!((world.changes(), world.pid("bounded-1")), (0, pid));
    assert!(!world.sh("bounded-1", "cat /proc/1/status").contains("Cpus_allowed_list:\t0\n"));
    world.destroy();
}

#[test]
fn two_busy_containers_get_the_shares_that_they_should() {
    let world = World::new();
    world.write(
        "\
fleet: bounded
network: {subnet: 10.213.22.0/24}
containers:
  light: {distro: busybox, cpuset: 0, cpu_weight: 50}
  heavy: {distro: busybox, cpuset: 0, cpu_weight: 200}
",
    );
    world.fleet(&["apply"]).expect(0);
    for name in ["light", "heavy"] {
        world.sh(name, "(while :; do :; done) >/dev/null 2>&1 &");
    }
    let begin = [processor_time_us(&world, "light"), processor_time_us(&world, "heavy")];
    eventually("the heavier one has had two seconds", || processor_time_us(&world, "heavy") - begin[1] > 2_000_000);
    let light = processor_time_us(&world, "light") - begin[0];
    let heavy = processor_time_us(&world, "heavy") - begin[1];
    // Asked for is 4.
    assert!((2..=8).contains(&(heavy / light.max(1))), "{heavy} us and {light} us");
    world.destroy();
}

#[test]
fn a_fork_bomb_stays_in_its_container_and_its_neighbour_answers() {
    let world = World::new();
    world.write(&fleet("memory: 64MiB, pids: 40"));
    world.fleet(&["apply"]).expect(0);
    world.sh("bounded-1", "(bomb() { bomb | bomb & }; bomb) >/dev/null 2>&1 &");
    let processes = || {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", world.pid("bounded-1"))).expect("it runs");
        let v1 = groups
            .lines()
            .find_map(|line| line.split_once(":pids:"))
            .map(|(_, path)| format!("/sys/fs/cgroup/pids{path}"));
        let v2 = || format!("/sys/fs/cgroup{}", groups.trim().trim_start_matches("0::").trim_end_matches("/guest"));
        let dir = v1.unwrap_or_else(v2);
        let number = |file: &str| fs::read_to_string(format!("{dir}/{file}")).expect("readable").trim().parse::<u64>();
        (number("pids.current").expect("a number"), number("pids.max").expect("a number"))
    };
    assert_eq!(processes().1, 40);
    assert!(processes().0 <= 40);
    assert_eq!(world.sh("bounded-2", "echo fine"), "fine\n");
    assert_eq!(world.state("bounded-1"), "running");
    world.destroy();
}

/// lxcfs(1), mounted where guests look for it; gone with this.
struct Lxcfs(std::process::Child);

impl Lxcfs {
    fn start() -> Lxcfs {
        fs::create_dir_all("/var/lib/lxcfs").expect("made");
        let mut command = std::process::Command::new("lxcfs");
        command.args(["-f", "/var/lib/lxcfs"]).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("lxcfs is installed");
        eventually("lxcfs answers", || fs::read_to_string("/var/lib/lxcfs/proc/meminfo").is_ok());
        Lxcfs(child)
    }
}

impl Drop for Lxcfs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::process::Command::new("umount").arg("/var/lib/lxcfs").status();
    }
}

#[test]
#[ignore = "mounts lxcfs for the whole host"]
fn a_guest_sees_its_own_limits_where_lxcfs_runs() {
    let world = World::new();
    let lxcfs = Lxcfs::start();
    world.write(&fleet("memory: 64MiB, cpuset: 0")).fleet(&["apply"]).expect(0);
    assert_eq!(world.sh("bounded-1", "grep MemTotal /proc/meminfo").split_whitespace().nth(1), Some("65536"));
    assert_eq!(world.sh("bounded-1", "grep -c ^processor /proc/cpuinfo; cat /sys/devices/system/cpu/online"), "1\n0\n");
    let up: f64 = world.sh("bounded-1", "cat /proc/uptime").split(' ').next().expect("a number").parse().expect("one");
    assert!(up < 60.0, "{up} s is the host's uptime");
    assert_eq!(world.changes(), 0);
    // Its death is no reason not to start a guest.
    drop(lxcfs);
    world.fleet(&["stop", "bounded-1"]).expect(0);
    world.fleet(&["start", "bounded-1"]).expect(0);
    assert_ne!(world.sh("bounded-1", "grep MemTotal /proc/meminfo").split_whitespace().nth(1), Some("65536"));
    world.destroy();
}
