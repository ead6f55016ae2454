//! Limits that are set, changed while a container runs, and felt by what runs in it.

mod world;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use world::{World, eventually, host};

fn fleet(keys: &str) -> String {
    format!(
        "fleet: bounded\nnetwork: {{subnet: 10.213.22.0/24}}\ncontainers:\n  bounded: {{distro: busybox, replicas: 2, \
         ip: 10.213.22.11, {keys}}}\n"
    )
}

/// The group of a container in the hierarchy that has `controller`.
fn group(world: &World, name: &str, controller: &str) -> PathBuf {
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", world.pid(name))).expect("it runs");
    let v1 = groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let has_it = controllers.split(',').any(|one| one == controller);
        has_it.then(|| PathBuf::from(format!("/sys/fs/cgroup/{controller}{path}")))
    });
    let v2 = || format!("/sys/fs/cgroup{}", groups.trim().trim_start_matches("0::").trim_end_matches("/guest")).into();
    v1.unwrap_or_else(v2)
}

/// The number of `file` of a container's group; behind `key`, where the file has several.
fn number(world: &World, name: &str, (controller, file, key): (&str, &str, &str)) -> u64 {
    let text = fs::read_to_string(group(world, name, controller).join(file)).expect("readable");
    let found = text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("no `{key}` in {text}"))
}

fn is_v1(controller: &str) -> bool {
    PathBuf::from(format!("/sys/fs/cgroup/{controller}")).is_dir()
}

/// Processor time that a container has used, in microseconds.
fn processor_time_us(world: &World, name: &str) -> u64 {
    if is_v1("cpuacct") {
        number(world, name, ("cpuacct", "cpuacct.usage", "")) / 1000
    } else {
        number(world, name, ("cpu", "cpu.stat", "usage_usec "))
    }
}

/// How many processes of a container the kernel has killed for want of memory.
fn killed_for_memory(world: &World, name: &str) -> u64 {
    let file = if is_v1("memory") { "memory.oom_control" } else { "memory.events" };
    number(world, name, ("memory", file, "oom_kill "))
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

/// Two loops on one processor. What others run there takes from both alike.
#[test]
fn two_busy_containers_get_the_shares_that_they_should() {
    let world = World::new();
    world.write(
        "\
fleet: bounded
network: {subnet: 10.213.22.0/24}
containers:
  light: {distro: busybox, cpuset: 0, cpu_weight: 100}
  heavy: {distro: busybox, cpuset: 0, cpu_weight: 300}
",
    );
    world.fleet(&["apply"]).expect(0);
    for name in ["light", "heavy"] {
        world.sh(name, "(while :; do :; done) >/dev/null 2>&1 &");
    }
    let begin = [processor_time_us(&world, "light"), processor_time_us(&world, "heavy")];
    eventually("the heavier one has had three seconds", || processor_time_us(&world, "heavy") - begin[1] > 3_000_000);
    let light = processor_time_us(&world, "light") - begin[0];
    let heavy = processor_time_us(&world, "heavy") - begin[1];
    // Asked for is 3.
    assert!(heavy >= 2 * light && heavy <= 4 * light, "{heavy} us and {light} us");
    world.destroy();
}

#[test]
fn a_busy_container_gets_half_a_processor_where_no_more_was_given() {
    let world = World::new();
    world.write(&fleet("cpus: 0.5")).fleet(&["apply"]).expect(0);
    // Two loops could have two processors.
    world.sh("bounded-1", "for loop in 1 2; do (while :; do :; done) >/dev/null 2>&1 & done");
    let stat = |key: &'static str| number(&world, "bounded-1", ("cpu", "cpu.stat", key));
    eventually("it was held up", || stat("nr_throttled ") >= 20);
    // In this order: it goes on meanwhile, and an emulator takes its time.
    let used_us = processor_time_us(&world, "bounded-1");
    let periods = stat("nr_periods ");
    // Of each 100 ms that the kernel has counted, 50; and as much in the periods at both ends.
    assert!(used_us <= (periods + 2) * 52_000, "{used_us} us in {periods} periods");
    assert!(used_us >= 20 * 40_000, "{used_us} us in {periods} periods");
    world.destroy();
}

#[test]
fn who_takes_too_much_memory_is_killed_and_nobody_else() {
    let world = World::new();
    world.write(&fleet("memory: 32MiB, swap: 0, pids: 64"));
    if !world.fleet(&["plan"]).stderr.is_empty() {
        // A host that does not count swap.
        world.write(&fleet("memory: 32MiB, pids: 64"));
    }
    world.fleet(&["apply"]).expect(0);
    let inits = [world.pid("bounded-1"), world.pid("bounded-2")];
    // tail(1) keeps a line that does not end.
    let ran = world.fleet(&["exec", "bounded-1", "--", "sh", "-c", "tail -n1 /dev/zero"]);
    assert_ne!(ran.status, 0, "{ran:?}");
    assert!(killed_for_memory(&world, "bounded-1") > 0, "{ran:?}");
    assert_eq!(killed_for_memory(&world, "bounded-2"), 0);
    assert_eq!([world.pid("bounded-1"), world.pid("bounded-2")], inits);
    assert_eq!(world.sh("bounded-1", "echo fine"), "fine\n");
    world.destroy();
}

#[test]
fn a_fork_bomb_stays_in_its_container_and_its_neighbour_answers() {
    let world = World::new();
    world.write(&fleet("memory: 64MiB, pids: 40")).fleet(&["apply"]).expect(0);
    // A shell that cannot fork ends; this one begins again in the same process.
    let bomb = "trap 'exec /bin/sh /bomb' EXIT; bomb() { bomb | bomb & }; while :; do bomb; done";
    world.sh("bounded-1", &format!("echo \"{bomb}\" > /bomb; /bin/sh /bomb >/dev/null 2>/refused &"));
    let pids = |name: &str, file: &str, key: &str| number(&world, name, ("pids", file, key));
    // Kernels before 6.11 count what was refused in the group where it was tried, not where the limit is.
    let refused = || world.fleet(&["exec", "bounded-1", "--", "grep", "-c", "fork", "/refused"]).expect(0).stdout;
    eventually("it was refused more", || refused().trim().parse().is_ok_and(|times: u64| times > 20));
    assert_eq!(pids("bounded-1", "pids.max", ""), 40);
    // What was moved in from outside, a command that enters, is counted and not refused.
    assert!(pids("bounded-1", "pids.current", "") <= 42);
    assert_eq!(world.sh("bounded-2", "echo fine"), "fine\n");
    assert_eq!(pids("bounded-2", "pids.events", "max "), 0);
    assert_eq!(world.state("bounded-1"), "running");
    // It does not keep the container from being stopped either.
    world.fleet(&["stop", "bounded-1"]).expect(0);
    world.destroy();
}

#[test]
fn a_command_enters_a_container_that_has_as_many_processes_as_it_may() {
    let world = World::new();
    world.write(&fleet("memory: 64MiB, pids: 20")).fleet(&["apply"]).expect(0);
    // A shell that cannot fork ends.
    let fill = "while :; do sleep 1000 & done";
    world.fleet(&["exec", "bounded-1", "--", "/bin/sh", "-c", &format!("({fill}) >/dev/null 2>&1")]);
    let current = || number(&world, "bounded-1", ("pids", "pids.current", ""));
    // Two went with the command that made them.
    world.write(&fleet("memory: 64MiB, pids: 18")).fleet(&["apply"]).expect(0);
    assert_eq!(current(), 18);
    assert_eq!(world.sh("bounded-1", "read word; echo \"fine $word\""), "fine \n");
    let counted = world.fleet(&["exec", "bounded-1", "--", "cat", "/proc/self/cgroup"]).expect(0).stdout;
    assert!(counted.lines().all(|line| line.ends_with(":/") || line == "0::/fleet.exec"), "{counted}");
    world.fleet(&["exec", "bounded-1", "--", "killall", "sleep"]).expect(0);
    eventually("there is room", || current() < 18);
    world.destroy();
}

#[test]
fn a_disk_is_written_to_as_fast_as_is_allowed() {
    let world = World::new();
    world.write(&fleet("io: {write: 2MiB}"));
    let plan = world.fleet(&["plan"]);
    if plan.status == 1 {
        // No controller, or no disk of its own below the containers' files: said before anything is done.
        assert!(plan.stdout.contains("`io`") || plan.stderr.contains("`io`"), "{plan:?}");
        return;
    }
    world.fleet(&["apply"]).expect(0);
    let write = || {
        let started = Instant::now();
        world.sh("bounded-1", "dd if=/dev/zero of=/root/file bs=1M count=8 oflag=direct 2>&1");
        started.elapsed()
    };
    let limited = write();
    assert!(limited > Duration::from_secs(3), "8 MiB at 2 MiB/s took {limited:?}");
    world.write(&fleet("io: {write: 1GiB}")).fleet(&["apply"]).expect(0);
    let free = write();
    assert!(free < limited, "{free:?} and {limited:?}");
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
        let lxcfs = Lxcfs(child);
        eventually("lxcfs answers", || fs::read_to_string("/var/lib/lxcfs/proc/meminfo").is_ok());
        // As systemd has all mounts.
        host("mount", &["--make-shared", "/var/lib/lxcfs"]);
        lxcfs
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
    // What a guest covers, it covers for itself.
    let mounts = || fs::read_to_string("/proc/self/mountinfo").expect("read");
    let before = mounts();
    world.sh("bounded-1", "mount -t tmpfs none /sys/devices/system/cpu && mount --bind /dev/null /proc/meminfo");
    assert_eq!(mounts(), before);
    // Its death is no reason not to start a guest.
    drop(lxcfs);
    world.fleet(&["stop", "bounded-1"]).expect(0);
    world.fleet(&["start", "bounded-1"]).expect(0);
    assert_ne!(world.sh("bounded-1", "grep MemTotal /proc/meminfo").split_whitespace().nth(1), Some("65536"));
    world.destroy();
}
