//! What a guest cannot do, tried from inside by its root.

mod world;

use std::fs;

use world::World;

const TWO: &str = "\
fleet: guarded
network: {subnet: 10.213.21.0/24}
containers:
  guarded: {distro: busybox, replicas: 2, ip: 10.213.21.11, memory: 64MiB, pids: 64}
";

fn two() -> World {
    let world = World::new();
    world.write(TWO).fleet(&["apply"]).expect(0);
    world
}

/// The value of `key` in a `/proc/PID/status`.
fn field<'a>(status: &'a str, key: &str) -> &'a str {
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in {status}")).trim()
}

#[test]
fn init_and_commands_have_the_same_filter_and_capabilities() {
    let world = two();
    let init = fs::read_to_string(format!("/proc/{}/status", world.pid("guarded-1"))).expect("it runs");
    let command = world.sh("guarded-1", "cat /proc/self/status");
    // 2: filtered.
    assert_eq!((field(&init, "Seccomp"), field(&command, "Seccomp")), ("2", "2"));
    assert_eq!(field(&init, "CapBnd"), field(&command, "CapBnd"));
    let bounds = u64::from_str_radix(field(&init, "CapBnd"), 16).expect("a number");
    // sys_module, sys_rawio, sys_time, mac_override, mac_admin
    for dropped in [16, 17, 25, 32, 33] {
        assert_eq!(bounds >> dropped & 1, 0, "capability {dropped}");
    }
    // chown, net_admin, sys_admin
    for kept in [0, 12, 21] {
        assert_eq!(bounds >> kept & 1, 1, "capability {kept}");
    }
    world.destroy();
}

#[test]
fn what_reaches_the_whole_host_is_refused() {
    let world = two();
    let pattern = fs::read("/proc/sys/kernel/core_pattern").expect("readable");
    for script in [
        "echo '|/bin/true' > /proc/sys/kernel/core_pattern",
        "echo h > /proc/sysrq-trigger",
        "echo 1 > /proc/sys/vm/drop_caches",
        "adjtimex -t 9000",
        "mknod /dev/disk b 8 0",
        "mount -t debugfs none /sys/kernel/debug",
        "mount -t devtmpfs none /mnt",
        "insmod /bin/busybox",
        "swapon /bin/busybox",
        "umount -f /run",
        "echo 0 > /proc/1/oom_score_adj && echo -1000 > /proc/1/oom_score_adj",
    ] {
        let ran = world.fleet(&["exec", "guarded-1", "--", "/bin/sh", "-c", script]);
        assert_ne!(ran.status, 0, "`{script}` succeeded: {ran:?}");
    }
    assert_eq!(fs::read("/proc/sys/kernel/core_pattern").expect("readable"), pattern);
    world.destroy();
}

#[test]
fn files_that_tell_of_the_host_are_covered() {
    let world = two();
    let script = "for file in kcore keys timer_list; do test -e /proc/$file && cat /proc/$file; done | wc -c
        ls -A /sys/firmware | wc -l
        touch /proc/irq/x /proc/bus/x 2>&1 | grep -c 'Read-only\\|denied\\|No such'";
    let seen = world.sh("guarded-1", script);
    assert_eq!(seen.split_whitespace().take(2).collect::<Vec<_>>(), ["0", "0"], "{seen}");
    world.destroy();
}

#[test]
fn nothing_of_the_host_is_open_in_a_guest() {
    let world = two();
    // Of its first process, seen from the host, and of a command, seen from inside.
    let dir = format!("/proc/{}/fd", world.pid("guarded-1"));
    for fd in world::names_in(dir.as_ref()) {
        let target = fs::read_link(format!("{dir}/{fd}")).expect("it is open");
        let target = target.to_string_lossy().into_owned();
        assert!(target.starts_with("/dev/") || target.starts_with("/bin/busybox"), "{fd}: {target}");
    }
    let cwd = fs::read_link(format!("/proc/{}/cwd", world.pid("guarded-1"))).expect("it runs");
    assert_eq!(cwd.to_string_lossy(), "/");
    let open = world.sh("guarded-1", "ls /proc/self/fd | wc -l");
    // The three streams and the directory that `ls` reads.
    assert_eq!(open.trim(), "4");
    world.destroy();
}

#[test]
fn containers_have_disjoint_ids_that_nobody_else_was_given() {
    let world = two();
    let range = |name: &str| -> (u64, u64) {
        let map = fs::read_to_string(format!("/proc/{}/uid_map", world.pid(name))).expect("it runs");
        let numbers: Vec<u64> = map.split_whitespace().map(|word| word.parse().expect("a number")).collect();
        assert_eq!(numbers[0], 0);
        (numbers[1], numbers[1] + numbers[2])
    };
    let (first, second) = (range("guarded-1"), range("guarded-2"));
    assert!(first.1 <= second.0 || second.1 <= first.0, "{first:?} {second:?}");
    for line in fs::read_to_string("/etc/subuid").unwrap_or_default().lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let (start, count): (u64, u64) = (fields[1].parse().expect("a number"), fields[2].parse().expect("a number"));
        for own in [first, second] {
            assert!(own.1 <= start || start + count <= own.0, "{own:?} is also {line}");
        }
    }
    world.destroy();
}

#[test]
fn the_state_of_containers_is_closed_to_other_users() {
    let world = two();
    // So that only the state's own modes stand in the way.
    host_chmod(world.dir.path(), "755");
    let root = world.root();
    for path in ["lxc/guarded-1/fs/upper/etc", "lxc/guarded-1/fleet.json", "fleet/images", "fleet/secret", "run"] {
        let path = root.join(path);
        let listed = std::process::Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "ls", "-l"])
            .arg(format!("{}{}", path.display(), if path.is_dir() { "/." } else { "" }))
            .output()
            .expect("setpriv");
        let read = std::process::Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "cat"])
            .arg(&path)
            .output()
            .expect("setpriv");
        assert!(path.exists());
        assert!(!read.status.success(), "{}", path.display());
        assert!(path.is_file() || !listed.status.success(), "{}", path.display());
    }
    world.destroy();
}

fn host_chmod(path: &std::path::Path, mode: &str) {
    world::host("chmod", &[mode, &path.display().to_string()]);
}

#[test]
fn a_guest_cannot_raise_its_own_limits_nor_see_other_groups() {
    let world = two();
    let seen =
        world.sh("guarded-1", "cat /proc/self/cgroup; ls /sys/fs/cgroup; cat /sys/fs/cgroup/cgroup.procs | head -1");
    for line in seen.lines().filter(|line| line.contains(":/")) {
        assert!(line.ends_with(":/") || line == "0::/fleet.exec", "{line}");
    }
    // Its own tree is its to use.
    world.sh("guarded-1", "mkdir /sys/fs/cgroup/own && echo $$ > /sys/fs/cgroup/own/cgroup.procs");
    let raise = "for file in $(find /sys/fs/cgroup -maxdepth 1 -name 'memory.max' -o -maxdepth 1 -name 'pids.max'); do
        echo max > $file && echo raised; done; true";
    assert_eq!(world.sh("guarded-1", raise), "");
    // A fork bomb ends at the limit, and the neighbour does not notice.
    let bomb = "i=0; while [ $i -lt 200 ]; do sleep 30 & i=$((i+1)); done 2>/tmp/refused; grep -c . /tmp/refused";
    let refused = world.fleet(&["exec", "guarded-1", "--", "/bin/sh", "-c", bomb]);
    assert!(refused.stdout.trim() != "0" || refused.status != 0, "{refused:?}");
    assert_eq!(world.sh("guarded-2", "echo fine"), "fine\n");
    world.destroy();
}

const OPTED: &str = "\
fleet: opted
network: {subnet: 10.213.21.0/24}
containers:
  opted:
    distro: busybox
    capabilities: {add: [sys_time], drop: [net_raw]}
    seccomp: unconfined
    nesting: true
    sysctls: {net.ipv4.ip_forward: 1, kernel.msgmax: 16384}
    rlimits: {nofile: {soft: 100, hard: 200}, core: 0}
";

#[test]
fn what_a_container_is_given_and_denied_holds_for_its_init_and_for_commands() {
    let world = World::new();
    world.write(OPTED).fleet(&["apply"]).expect(0);
    let init = fs::read_to_string(format!("/proc/{}/status", world.pid("opted"))).expect("it runs");
    let command = world.sh("opted", "cat /proc/self/status");
    for status in [&init, &command] {
        let bounds = u64::from_str_radix(field(status, "CapBnd"), 16).expect("a number");
        assert_eq!((bounds >> 25 & 1, bounds >> 13 & 1), (1, 0), "sys_time and net_raw");
        assert_eq!(field(status, "Seccomp"), "0");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", world.pid("opted"))).expect("it runs");
    let files: Vec<&str> =
        limits.lines().find(|line| line.starts_with("Max open files")).expect("there").split_whitespace().collect();
    assert_eq!(files[3..5], ["100", "200"]);
    assert_eq!(world.sh("opted", "ulimit -Sn; ulimit -Hn; ulimit -c"), "100\n200\n0\n");
    assert_eq!(world.sh("opted", "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax"), "1\n16384\n");
    // Nothing is covered where containers are run inside.
    assert_eq!(world.sh("opted", "test -c /proc/kcore || echo whole"), "whole\n");
    assert_eq!(world.changes(), 0);
    world.destroy();
}

#[test]
fn a_resource_limit_that_fleet_may_not_give_is_told_with_the_way_out() {
    let world = World::new();
    world.write(&OPTED.replace("soft: 100, hard: 200", "soft: 600, hard: 700"));
    let output = std::process::Command::new("prlimit")
        .args(["--nofile=512:512", "setpriv", "--bounding-set=-sys_resource", env!("CARGO_BIN_EXE_fleet"), "apply"])
        .env("FLEET_ROOT", world.root())
        .current_dir(world.dir.path())
        .output();
    let refused = world::ran(&output.expect("prlimit runs")).expect(1);
    assert!(refused.stderr.contains("rlimit `nofile`: fleet itself was started with less"), "{}", refused.stderr);
    assert!(refused.stderr.contains("CAP_SYS_RESOURCE"), "{}", refused.stderr);
    world.destroy();
}

#[test]
fn a_privileged_container_is_kept_to_its_devices_and_parameters() {
    let world = World::new();
    let mounts = || fs::read_to_string("/proc/self/mountinfo").expect("readable");
    let before = mounts();
    world
        .write(
            "\
fleet: trusted
network: {subnet: 10.213.21.0/24}
containers:
  trusted: {distro: busybox, privileged: true}
",
        )
        .fleet(&["apply"])
        .expect(0);
    assert_eq!(mounts(), before);
    world.sh("trusted", "echo fine > /root/file && mknod /root/disk b 7 0 && head -c1 /dev/zero");
    for script in ["head -c1 /root/disk", "echo 1 > /proc/sys/vm/drop_caches", "insmod /bin/busybox"] {
        let ran = world.fleet(&["exec", "trusted", "--", "/bin/sh", "-c", script]);
        assert_ne!(ran.status, 0, "`{script}` succeeded: {ran:?}");
    }
    world.sh("trusted", "echo 1 > /proc/sys/net/ipv4/ip_forward");
    assert_eq!(world.changes(), 0);
    world.destroy();
}
