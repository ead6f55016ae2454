//! Where the kernel ends for a guest's root, whatever of its own mounts it takes away: nothing that is the host's changes.

mod call;
mod world;

use std::fs;
use std::process::Command;

use call::{Caller, inside};
use world::{World, eventually, ran};

const NETWORK: &str = "fleet: bounds\nnetwork: {subnet: 10.213.26.0/24}\n";

fn started(containers: &str) -> World {
    let world = World::new();
    world.write(&format!("{NETWORK}containers:\n{containers}")).fleet(&["apply"]).expect(0);
    world
}

/// Parameters that the kernel keeps for each namespace (`proc_sys(5)`), of those that a container has its own of.
const OWN: [&str; 14] = [
    "net/",
    "user/",
    "fs/mqueue/",
    "kernel/shm",
    "kernel/msg",
    "kernel/sem",
    "kernel/auto_msgmni",
    "kernel/hostname",
    "kernel/domainname",
    "kernel/ns_last_pid",
    // Of each pid namespace since Linux 6.14.
    "kernel/pid_max",
    // Opened by everybody, and refused when written to, but for what one has already.
    "kernel/ngroups_max",
    "kernel/random/boot_id",
    "kernel/random/uuid",
];

/// Writes to each parameter what it is already; the names of those that took it.
const WRITE_ALL: &str = "cd /proc/sys; find . -type f | while read -r file; do
        value=$(cat $file 2>/dev/null) || continue
        (echo \"$value\" > $file) 2>/dev/null && echo ${file#./}
    done; true";

#[test]
fn of_the_kernels_parameters_only_those_of_its_own_namespaces_can_be_written() {
    let world = started(
        "  plain: {distro: busybox}
  nest: {distro: busybox, nesting: true}
  hostnet: {distro: busybox, networks: host}\n",
    );
    let is_own = |name: &str| OWN.iter().any(|own| name.starts_with(own));
    for name in ["plain", "nest", "hostnet"] {
        let written = world.sh(name, WRITE_ALL);
        let foreign: Vec<&str> = written.lines().filter(|file| !is_own(file)).collect();
        assert_eq!(foreign, Vec::<&str>::new(), "{name}");
        let has_network = written.lines().any(|file| file.starts_with("net/ipv4/"));
        assert_eq!(has_network, name != "hostnet", "{written}");
    }
    world.destroy();
}

#[test]
fn nothing_under_sys_can_be_written_but_its_own_links_and_groups() {
    let world = started("  plain: {distro: busybox}\n");
    // A guest with a device manager has a `/sys` that may be written to.
    world.sh("plain", "touch /sbin/udevd");
    world.fleet(&["stop", "plain"]).expect(0);
    world.fleet(&["start", "plain"]).expect(0);
    assert!(world.sh("plain", "grep ' /sys ' /proc/mounts").contains(" rw,"));
    // Opening is enough to tell, and changes nothing.
    let script = "find /sys -type f | while read -r file; do (: >> $file) 2>/dev/null && echo $file; done; true";
    let opened = world.sh("plain", script);
    let is_own = |file: &str| {
        ["/sys/devices/virtual/net/eth0/", "/sys/devices/virtual/net/lo/", "/sys/fs/cgroup/"]
            .iter()
            .any(|own| file.starts_with(own))
    };
    assert_eq!(opened.lines().filter(|file| !is_own(file)).collect::<Vec<_>>(), Vec::<&str>::new());
    // Device managers write there, of the loopback too.
    for own in ["eth0", "lo"] {
        assert!(opened.contains(&format!("/sys/devices/virtual/net/{own}/uevent")), "{opened}");
    }
    for file in ["/sys/kernel/uevent_helper", "/sys/power/state", "/sys/kernel/profiling"] {
        let ran = world.fleet(&["exec", "plain", "--", "sh", "-c", &format!("echo x > {file}")]);
        assert_ne!(ran.status, 0, "{file}");
    }
    world.destroy();
}

#[test]
fn a_guest_that_uncovers_everything_has_gained_nothing() {
    let world = started("  plain: {distro: busybox}\n  nest: {distro: busybox, nesting: true}\n");
    let pattern = fs::read("/proc/sys/kernel/core_pattern").expect("readable");
    for name in ["plain", "nest"] {
        world.sh(
            name,
            "for place in $(grep -E ' /(proc|sys)/' /proc/mounts | cut -d' ' -f2 | sort -r); do umount -l $place; done
             mount -o remount,rw /sys; mkdir -p /p /s; mount -t proc none /p; mount -t sysfs none /s; true",
        );
        assert_eq!(world.sh(name, "grep -E ' /(proc|sys)/' /proc/mounts || true"), "", "it could uncover all");
        for script in [
            "head -c1 /proc/kcore",
            "head -c1 /p/kcore",
            "head -c1 /proc/timer_list",
            "echo h > /proc/sysrq-trigger",
            "echo h > /p/sysrq-trigger",
            "echo x > /proc/sys/kernel/core_pattern",
            "echo x > /p/sys/kernel/core_pattern",
            "echo 1 > /proc/irq/default_smp_affinity",
            "head -c1 /dev/mem",
            "head -c1 /dev/kmsg",
            "ls /sys/firmware/efi/efivars/*",
            "ls /sys/kernel/debug/*",
            "ls /sys/kernel/tracing/*",
            "mount -t debugfs none /s/kernel/debug",
            "mount -t tracefs none /s/kernel/tracing",
            "mount -t securityfs none /s/kernel/security",
            "mount -t pstore none /s/fs/pstore",
            "mount -t bpf none /s/fs/bpf && echo x > /s/fs/bpf/x",
            "mount -t configfs none /s/kernel/config",
            "dmesg -c",
            "hwclock -w",
            "modprobe loop",
            "losetup -f /bin/busybox",
            "nice -n -20 true && renice -n -20 -p 1",
        ] {
            let ran = world.fleet(&["exec", name, "--", "sh", "-c", script]);
            assert_ne!(ran.status, 0, "{name}: `{script}` succeeded: {ran:?}");
        }
    }
    assert_eq!(fs::read("/proc/sys/kernel/core_pattern").expect("readable"), pattern);
    world.destroy();
}

#[test]
fn calls_that_look_into_the_kernel_are_refused() {
    let world = started("  plain: {distro: busybox}\n");
    let caller = Caller::new(&world);
    caller.put(&world, "plain");
    // Of all processes on the first processor: type software, clock of the processor.
    let event = format!("x:0100000040000000{}", "00".repeat(56));
    let zeros = format!("x:{}", "00".repeat(128));
    for (what, words, errnos) in [
        ("bpf(PROG_LOAD)", format!("{} 5 {zeros} 128", libc::SYS_bpf), [libc::EPERM, libc::ENOSYS]),
        ("bpf(PROG_GET_FD_BY_ID)", format!("{} 13 {zeros} 128", libc::SYS_bpf), [libc::EPERM, libc::ENOSYS]),
        ("perf_event_open", format!("{} {event} -1 0 -1 0", libc::SYS_perf_event_open), [libc::EACCES, libc::EPERM]),
        ("syslog(CLEAR)", format!("{} 5 0 0", libc::SYS_syslog), [libc::EPERM, libc::ENOSYS]),
        ("kexec_load", format!("{} 0 0 0 -1", libc::SYS_kexec_load), [libc::EPERM, libc::ENOSYS]),
        ("init_module", format!("{} 0 0 0", libc::SYS_init_module), [libc::EPERM, libc::ENOSYS]),
        ("delete_module", format!("{} s:loop 0", libc::SYS_delete_module), [libc::EPERM, libc::ENOSYS]),
        ("open_by_handle_at", format!("{} -1 0 0", libc::SYS_open_by_handle_at), [libc::EPERM, libc::ENOSYS]),
        ("quotactl", format!("{} 0x80000200 s:/dev/vda 0 0", libc::SYS_quotactl), [libc::EPERM, libc::ENOENT]),
        ("acct", format!("{} s:/etc/hostname", libc::SYS_acct), [libc::EPERM, libc::ENOSYS]),
        ("settimeofday", format!("{} {zeros} 0", libc::SYS_settimeofday), [libc::EPERM, libc::ENOSYS]),
        ("clock_settime", format!("{} 0 {zeros}", libc::SYS_clock_settime), [libc::EPERM, libc::ENOSYS]),
    ] {
        let result = inside(&world, "plain", &format!("64 {words}"));
        assert!(errnos.contains(&i32::try_from(-result).expect("small")), "{what}: {result}");
    }
    world.destroy();
}

#[test]
fn what_is_typed_inside_never_reaches_the_users_terminal() {
    let world = started("  plain: {distro: busybox}\n  hostnet: {distro: busybox, networks: host}\n");
    let caller = Caller::new(&world);
    for name in ["plain", "hostnet"] {
        caller.put(&world, name);
        // TIOCSTI to every descriptor and to the controlling terminal: what it types would be the next thing to be read
        // at the user's terminal, which script(1) plays.
        let typing = "for word in e c h o; do :; done; for fd in 0 1 2; do /call 64 16 $fd 0x5412 s:Z; done; \
                      /call 64 16 0 0x5412 s:Z < /dev/tty; true";
        let fleet = env!("CARGO_BIN_EXE_fleet");
        let script = format!(
            "{fleet} exec {name} -- sh -c '{typing}' > said; {fleet} exec {name} -- sh -c '{typing}'; stty -icanon min 0 time 2; \
             dd bs=64 count=1 2>/dev/null > typed"
        );
        let mut command = Command::new("script");
        command.args(["-qec", &script, "/dev/null"]).env("FLEET_ROOT", world.root()).current_dir(world.dir.path());
        command.stdin(std::process::Stdio::null());
        ran(&command.output().expect("script runs")).expect(0);
        assert_eq!(fs::read_to_string(world.dir.path().join("typed")).expect("written"), "", "{name}");
    }
    world.destroy();
}

#[test]
fn mounts_of_a_guest_do_not_come_out_even_where_the_host_shares_its_own() {
    let world = World::new();
    let data = world.dir.path().join("data");
    fs::create_dir_all(data.join("below")).expect("made");
    world.write(&format!(
        "{NETWORK}containers:
  plain: {{distro: busybox, mounts: ['./data:/data:rbind']}}
  trusted: {{distro: busybox, privileged: true, mounts: ['./data:/data:rbind']}}
  onhost: {{distro: busybox, networks: host}}\n"
    ));
    let fleet = env!("CARGO_BIN_EXE_fleet");
    // As systemd has it: every mount of the host is shared.
    let script = format!(
        "mount --make-rshared / && mount --bind data data && mount --make-shared data
         sort /proc/self/mountinfo > before
         {fleet} apply && sort /proc/self/mountinfo > applied
         for name in plain trusted onhost; do
             {fleet} exec $name -- sh -c 'mkdir -p /mnt/x; mount -t tmpfs none /mnt/x; mount -t tmpfs none /data/below; touch /data/below/mine;
                 mount --make-rshared / ; mount -t tmpfs none /root; mount --bind /root /data; mount -t tmpfs none /sys/kernel
                 true'
         done
         sort /proc/self/mountinfo > after; ls data/below > seen
         {fleet} destroy -y && sort /proc/self/mountinfo > gone"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec", &script]);
    command.env("FLEET_ROOT", world.root()).current_dir(world.dir.path());
    ran(&command.output().expect("unshare runs")).expect(0);
    let read = |name: &str| fs::read_to_string(world.dir.path().join(name)).expect("written");
    let before = read("before");
    for name in ["applied", "after", "gone"] {
        assert_eq!(read(name), before, "{name}");
    }
    assert_eq!(read("seen"), "");
    world.assert_nothing_left();
}

#[test]
fn a_tree_of_groups_mounted_anew_is_the_guests_own() {
    let world = started("  plain: {distro: busybox, replicas: 2, pids: 64, memory: 64MiB}\n");
    let before = world.sh("plain-1", "ls /sys/fs/cgroup");
    let anew = "mkdir -p /g && mount -t cgroup2 none /g && ls /g";
    assert_eq!(world.sh("plain-1", anew), before);
    // Its root's limits are not among what it may write, and there is no way up.
    let script =
        "cd /g; for file in memory.max memory.high pids.max cpu.max cpu.weight io.max cpuset.cpus cgroup.freeze \
                  cgroup.kill cgroup.max.depth cgroup.max.descendants cgroup.type; do
            (echo max > $file) 2>/dev/null && echo $file; (echo 0 > $file) 2>/dev/null && echo $file
        done; cat /proc/1/cgroup | grep -v ':/$' | grep -v 'fleet.exec'; ls -d /g/../g/cgroup.procs";
    assert_eq!(world.sh("plain-1", script), "/g/../g/cgroup.procs\n");
    assert_eq!(world.state("plain-1"), "running");
    world.destroy();
}

/// A command on its way in is a process of the host's until it is executed.
#[test]
fn who_enters_cannot_be_held_up_by_a_debugger_or_looked_into() {
    let world = started("  plain: {distro: busybox}\n");
    let caller = Caller::new(&world);
    caller.put(&world, "plain");
    // PTRACE_SEIZE and what /proc has of a process, of each one of that name. Whoever has it still afterwards, and no
    // program of the guest's, has not become the command meanwhile: execve(2) closes what is the host's, gives the
    // process to the guest, and only then names it anew.
    let hunt =
        "found() { case $(cat /proc/$1/comm):$(readlink /proc/$1/exe) in fleet*:/bin/busybox) echo $2 >> /became;;
            fleet*) echo $2 >> /found;; esac; }
        while test ! -e /over; do for pid in $(ls /proc | grep '^[0-9]*$'); do
            case $(cat /proc/$pid/comm) in fleet*) ;; *) continue;; esac
            echo x >> /met
            test $(/call 64 101 0x4206 $pid 0 0) = 0 && found $pid seized
            for part in environ maps mem root/etc/hostname fd/0 cwd/etc; do
                head -c1 /proc/$pid/$part >/dev/null 2>&1 && found $pid $part
            done
            ls /proc/$pid/root/ >/dev/null 2>&1 && found $pid root
            ls /proc/$pid/fd >/dev/null 2>&1 && found $pid fd
        done; done 2>/dev/null";
    let mut hunter = world.spawn(&["exec", "plain", "--", "sh", "-c", hunt]);
    // A home that is looked for takes the one who comes in a while.
    world.sh("plain", "i=0; while [ $i -lt 20000 ]; do echo u$i:x:$i:$i::/:/bin/sh; i=$((i+1)); done >> /etc/passwd");
    eventually("some were met", || {
        world.fleet(&["exec", "--user", "u19999", "plain", "--", "true"]).expect(0);
        world.sh("plain", "cat /met 2>/dev/null | wc -l").trim().parse::<u32>().expect("a number") >= 10
    });
    world.sh("plain", "touch /over");
    hunter.wait().expect("it ends");
    assert_eq!(world.sh("plain", "cat /found 2>/dev/null || true"), "");
    world.destroy();
}

#[test]
fn monitors_are_not_to_be_seen_or_reached_from_inside() {
    let world = started("  plain: {distro: busybox}\n  hostnet: {distro: busybox, networks: host}\n");
    for name in ["plain", "hostnet"] {
        let monitor = world.container(name)["monitor"].as_u64().expect("it has one");
        for namespace in ["user", "mnt", "pid", "ipc", "uts", "cgroup"] {
            let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{namespace}")).expect("readable");
            assert_eq!(of(&monitor.to_string()), of("self"), "{namespace}");
            assert_ne!(of(&world.pid(name).to_string()), of("self"), "{namespace}");
        }
        // Its socket is a file of the host's, and no name in the network namespace, which it may share.
        let script = "grep -c fleet /proc/net/unix; ls /proc | grep -c '^[0-9]*$'";
        let seen = world.sh(name, script);
        let lines: Vec<&str> = seen.lines().collect();
        assert!(lines.len() == 2 && lines[1].parse::<u32>().is_ok_and(|count| count < 12), "{seen}");
        let names = world.sh(name, "cat /proc/net/unix");
        assert!(!names.lines().any(|line| line.contains(" @") && line.contains("fleet")), "{names}");
    }
    world.destroy();
}
