//! What every user may rely on, shown with real containers of the native engine and the built-in busybox image.

mod world;

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{XattrFlags, setxattr};
use world::{World, eventually, host};

const THREE: &str = "\
fleet: trial
network: {subnet: 10.213.7.0/24}
defaults: {distro: busybox, memory: 64MiB, cpus: 0.5, pids: 64}
containers:
  trial:
    replicas: 3
    ip: 10.213.7.11
";

#[test]
fn apply_converges_and_a_second_apply_has_nothing_to_do() {
    let world = World::new();
    world.write(THREE);
    world.fleet(&["plan"]).expect(2);
    world.fleet(&["apply"]).expect(0);

    let status = world.container("trial-2");
    assert_eq!(status["state"], "running");
    assert_eq!(status["ip"], "10.213.7.12");
    assert_eq!(status["memory"]["limit"], 64 << 20);
    assert!(status["memory"]["used"].as_u64().is_some_and(|used| used > 0), "{status}");
    assert_eq!(status["cpus"], 0.5);
    assert_eq!(status["engine"], "native");
    assert_eq!(status["drift"], serde_json::json!([]));

    assert_eq!(world.sh("trial-2", "hostname; cat /proc/1/comm; id -u"), "trial-2\ninit\n0\n");
    world.sh("trial-1", "ping -c1 -W5 10.213.7.12 && ping -c1 -W5 trial-3");
    host("ping", &["-c1", "-W5", "10.213.7.13"]);

    let pid = world.pid("trial-1");
    assert_eq!(world.changes(), 0);
    world.fleet(&["plan"]).expect(0);
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.pid("trial-1"), pid);
    world.destroy();
}

#[test]
fn every_container_is_unprivileged_with_ids_of_its_own() {
    let world = World::new();
    world.write(THREE).fleet(&["apply"]).expect(0);
    let bases: std::collections::BTreeSet<String> = (1..=3)
        .map(|number| {
            let map = fs::read_to_string(format!("/proc/{}/uid_map", world.pid(&format!("trial-{number}"))));
            let map = map.expect("readable");
            let fields: Vec<&str> = map.split_ascii_whitespace().collect();
            assert_eq!((fields[0], fields[2]), ("0", "65536"), "{map}");
            fields[1].to_owned()
        })
        .collect();
    assert_eq!(bases.len(), 3, "{bases:?}");
    assert!(!bases.contains("0"));
    // On disk the files belong to the guest's ids as they are: nothing was chowned.
    world.sh("trial-1", "touch /root/mine");
    let upper = world.root().join("lxc/trial-1/fs/upper/root/mine");
    assert_eq!(std::os::unix::fs::MetadataExt::uid(&fs::metadata(upper).expect("it is there")), 0);
    // All namespaces are its own.
    for namespace in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{namespace}")).expect("readable");
        assert_ne!(of(&world.pid("trial-1").to_string()), of("self"), "{namespace}");
        assert_ne!(of(&world.pid("trial-1").to_string()), of(&world.pid("trial-2").to_string()), "{namespace}");
    }
    world.destroy();
}

#[test]
fn a_command_gets_its_streams_and_gives_its_status() {
    let world = World::new();
    world.write(THREE).fleet(&["apply"]).expect(0);
    world.fleet(&["exec", "trial-1", "--", "/bin/sh", "-c", "exit 7"]).expect(7);
    world.fleet(&["exec", "trial-1", "--", "/bin/sh", "-c", "kill -9 $$"]).expect(137);
    world.fleet(&["exec", "trial-1", "--", "nosuch"]).expect(127);
    world.fleet(&["exec", "nobody", "--", "true"]).expect(1);
    let mut command = world.command(&["exec", "trial-1", "--", "cat"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().expect("fleet runs");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), b"through\n").expect("written");
    assert_eq!(world::ran(&child.wait_with_output().expect("ended")).expect(0).stdout, "through\n");
    // No descriptor of the host gets in: 0, 1, 2, and the one that ls reads the directory with.
    assert_eq!(world.sh("trial-1", "ls /proc/self/fd | wc -l").trim(), "4");
    assert_eq!(world.sh("trial-1", "ls /proc/1/fd"), "0\n1\n2\n");
    world.destroy();
}

#[test]
fn the_users_terminal_stays_outside() {
    let world = World::new();
    world.write(THREE).fleet(&["apply"]).expect(0);
    // script(1) plays the user's terminal.
    let at_a_terminal = |command: &str| {
        let command = format!("{} exec {command}", env!("CARGO_BIN_EXE_fleet"));
        let output = std::process::Command::new("script")
            .args(["-qec", &command, "/dev/null"])
            .env("FLEET_ROOT", world.root())
            .stdin(std::process::Stdio::null())
            .output();
        world::ran(&output.expect("script runs"))
    };
    let with_terminal = at_a_terminal("trial-1 -- sh -c 'tty; exit 9'").expect(9);
    assert!(with_terminal.stdout.contains("/dev/pts/"), "{}", with_terminal.stdout);
    // Only some of the streams are the terminal: the guest gets pipes in their place.
    let streams = "for fd in 0 1 2; do test -t $fd && echo terminal $fd; done; echo looked";
    let with_pipe = at_a_terminal(&format!("trial-1 -- sh -c '{streams}' | cat")).expect(0);
    assert_eq!(with_pipe.stdout.trim(), "looked");
    world.destroy();
}

#[test]
fn limits_change_live_and_drift_is_seen_and_mended() {
    let world = World::new();
    world.write(THREE).fleet(&["apply"]).expect(0);
    let pid = world.pid("trial-1");

    world.write(&THREE.replace("64MiB", "96MiB").replace("cpus: 0.5", "cpus: 0.25"));
    let plan = world.fleet(&["plan", "-o", "json"]).expect(2).json();
    assert_eq!(plan["changes"], 3, "{plan}");
    assert_eq!(plan["steps"][0]["action"], "limits", "{plan}");
    assert_eq!(plan["steps"][0]["consequence"], "live", "{plan}");
    world.fleet(&["apply"]).expect(0);
    let status = world.container("trial-1");
    assert_eq!((&status["memory"]["limit"], &status["cpus"]), (&(96 << 20).into(), &0.25.into()));
    assert_eq!(world.pid("trial-1"), pid);

    // Somebody changes the limit by hand.
    let group = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("readable");
    let path = group.lines().find_map(|line| line.split_once(":memory:")).map(|(_, path)| path.to_owned());
    let file = if let Some(path) = path {
        format!("/sys/fs/cgroup/memory{path}/memory.limit_in_bytes")
    } else {
        let path = group.trim().trim_start_matches("0::").trim_end_matches("/guest").to_owned();
        format!("/sys/fs/cgroup{path}/memory.max")
    };
    fs::write(file, "50331648").expect("writable");
    assert_eq!(world.container("trial-1")["drift"].as_array().map(Vec::len), Some(1));
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.container("trial-1")["memory"]["limit"], 96 << 20);
    world.destroy();
}

#[test]
fn what_loses_data_needs_a_yes() {
    let world = World::new();
    world.write(THREE).fleet(&["apply"]).expect(0);
    world.write(&THREE.replace("replicas: 3", "replicas: 2"));
    let refused = world.fleet(&["apply"]).expect(64);
    assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);
    assert_eq!(world.state("trial-3"), "running");
    world.fleet(&["apply", "-y"]).expect(0);
    assert!(!world.root().join("lxc/trial-3").exists());
    world.fleet(&["destroy"]).expect(64);
    assert_eq!(world.state("trial-1"), "running");
    world.destroy();
    // Destroying what is destroyed is done already.
    world.fleet(&["destroy", "-y"]).expect(0);
}

#[test]
fn a_guest_reboots_and_powers_off_by_itself() {
    let world = World::new();
    world.write(THREE).fleet(&["apply"]).expect(0);
    let before = world.pid("trial-1");
    world.last_words("trial-1", "echo kept > /root/kept; reboot");
    world.another_init("trial-1", before);
    host("ping", &["-c1", "-W5", "10.213.7.11"]);
    assert_eq!(world.sh("trial-1", "cat /root/kept"), "kept\n");
    world.last_words("trial-2", "poweroff");
    eventually("it is off", || world.state("trial-2") == "stopped");
    assert_eq!(world.changes(), 1);
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.state("trial-2"), "running");
    world.destroy();
}

#[test]
fn stop_and_start_keep_the_data() {
    let world = World::new();
    world.write(THREE).fleet(&["apply"]).expect(0);
    world.sh("trial-1", "echo kept > /root/kept");
    world.fleet(&["stop", "trial-1"]).expect(0);
    assert_eq!(world.state("trial-1"), "stopped");
    assert_eq!(world.state("trial-2"), "running");
    world.fleet(&["stop", "trial-1"]).expect(0);
    world.fleet(&["start", "trial-*"]).expect(0);
    assert_eq!(world.sh("trial-1", "cat /root/kept"), "kept\n");
    world.destroy();
}

#[test]
fn a_container_outlives_the_group_that_it_was_started_from() {
    let world = World::new();
    world.write(THREE);
    // What systemd makes of a service or of a login session, and kills at its end.
    let mut tree = Path::new("/sys/fs/cgroup/unified");
    if !tree.exists() {
        tree = Path::new("/sys/fs/cgroup");
    }
    let group = tree.join("fleet-test-service");
    fs::create_dir(&group).expect("made");
    let script = format!("echo 0 > {}/cgroup.procs && exec \"$0\" apply", group.display());
    let mut service = std::process::Command::new("sh");
    service.args(["-c", &script, env!("CARGO_BIN_EXE_fleet")]);
    service.env("FLEET_ROOT", world.root()).current_dir(world.dir.path());
    world::ran(&service.output().expect("sh runs")).expect(0);
    assert_eq!(fs::read_to_string(group.join("cgroup.procs")).expect("readable"), "");
    fs::write(group.join("cgroup.kill"), "1").expect("killed");
    fs::remove_dir(&group).expect("nothing is left in it");
    assert_eq!(world.state("trial-1"), "running");
    assert_eq!(world.container("trial-1")["drift"], serde_json::json!([]));
    // In no hierarchy is the monitor where its starter was.
    let groups = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("readable");
    let monitors = groups(&world.container("trial-1")["monitor"].to_string());
    assert!(monitors.lines().all(|line| line.ends_with("/.monitors")), "{monitors}");
    world.destroy();
}

#[test]
fn a_second_apply_waits_and_says_for_whom() {
    let world = World::new();
    world.write(THREE);
    let lock = world.root().join("run/lock");
    fs::create_dir_all(lock.parent().expect("it has one")).expect("made");
    let held = fs::File::create(&lock).expect("made");
    std::io::Write::write_all(&mut (&held), b"fleet apply (pid 4711)").expect("written");
    held.lock().expect("free");
    let refused = world.fleet(&["apply", "--lock-timeout", "1"]).expect(1);
    assert!(refused.stderr.contains("fleet apply (pid 4711)"), "{}", refused.stderr);
    let waiting = world.spawn(&["apply"]);
    std::thread::sleep(Duration::from_millis(300));
    drop(held);
    world::ran(&waiting.wait_with_output().expect("ended")).expect(0);
    assert_eq!(world.changes(), 0);
    world.destroy();
}

#[test]
fn a_kill_at_any_moment_of_apply_is_finished_by_the_next() {
    let world = World::new();
    world.write(THREE);
    for delay_ms in [5, 15, 25, 35, 45, 60, 80, 100, 130, 170, 220] {
        let mut apply = world.spawn(&["apply"]);
        std::thread::sleep(Duration::from_millis(delay_ms));
        apply.kill().expect("killed or ended");
        apply.wait().expect("ended");
        world.fleet(&["apply"]).expect(0);
        assert_eq!(world.changes(), 0, "killed after {delay_ms} ms");
        world.destroy();
    }
}

#[test]
fn a_kill_at_any_moment_of_destroy_is_finished_by_the_next() {
    let world = World::new();
    world.write(THREE);
    for delay_ms in [5, 10, 15, 20, 25, 30, 40, 50, 60] {
        world.fleet(&["apply"]).expect(0);
        let mut destroy = world.spawn(&["destroy", "-y"]);
        std::thread::sleep(Duration::from_millis(delay_ms));
        destroy.kill().expect("killed or ended");
        destroy.wait().expect("ended");
        world.destroy();
    }
}

#[test]
fn ctrl_c_finishes_what_runs_and_the_next_apply_the_rest() {
    let world = World::new();
    world.write(&THREE.replace("replicas: 3", "replicas: 30"));
    let apply = world.spawn(&["apply", "--jobs", "1"]);
    eventually("it is under way", || world.root().join("lxc/trial-2").exists());
    host("kill", &["-INT", &apply.id().to_string()]);
    world::ran(&apply.wait_with_output().expect("ended")).expect(130);
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    world.destroy();
}

#[test]
fn what_somebody_else_owns_is_refused_and_untouched() {
    let world = World::new();
    world.write(THREE);
    let foreign = world.root().join("lxc/trial-2");
    fs::create_dir_all(&foreign).expect("made");
    fs::write(foreign.join("config"), "lxc.uts.name = trial-2\n").expect("written");
    let refused = world.fleet(&["apply", "-y"]).expect(1);
    assert!(refused.stderr.contains("trial-2"), "{}", refused.stderr);
    assert!(!world.root().join("lxc/trial-1").exists(), "nothing was begun");
    fs::remove_dir_all(&foreign).expect("removed");

    host("ip", &["link", "add", "fltest0", "type", "bridge"]);
    world.write(&THREE.replace("subnet:", "bridge: fltest0, subnet:"));
    let refused = world.fleet(&["apply", "-y"]).expect(1);
    assert!(refused.stderr.contains("fltest0"), "{}", refused.stderr);
    world.fleet(&["destroy", "-y"]).expect(0);
    host("ip", &["link", "del", "fltest0"]);

    host("ip", &["link", "add", "fltest1", "type", "bridge"]);
    host("ip", &["addr", "add", "10.213.7.200/25", "dev", "fltest1"]);
    let refused = world.write(THREE).fleet(&["apply", "-y"]).expect(1);
    assert!(refused.stderr.contains("fltest1"), "{}", refused.stderr);
    host("ip", &["link", "del", "fltest1"]);
    world.assert_nothing_left();
}

#[test]
fn who_is_not_root_is_told_what_is_needed() {
    let world = World::new();
    world.write(THREE);
    let program = world.dir.path().join("fleet");
    fs::copy(env!("CARGO_BIN_EXE_fleet"), &program).expect("copied");
    std::fs::set_permissions(world.dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    let run = |verb: &str| {
        let output = std::process::Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program)
            .args([verb, "-f"])
            .arg(world.file())
            .output();
        world::ran(&output.expect("setpriv runs"))
    };
    let refused = run("apply").expect(1);
    assert!(refused.stderr.contains("root"), "{}", refused.stderr);
    run("validate").expect(0);
    world.assert_nothing_left();
}

#[test]
fn a_missing_kernel_feature_is_found_before_anything_is_touched() {
    let world = World::new();
    world.write(THREE);
    // In a mount namespace of its own, fleet does not see the controller that `pids` needs.
    let v1 = "/sys/fs/cgroup/pids";
    let hide = if Path::new(v1).exists() { v1 } else { "/sys/fs/cgroup" };
    let script = format!("umount {hide} && exec {} apply", env!("CARGO_BIN_EXE_fleet"));
    let run = |world: &World| {
        let output = std::process::Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .env("FLEET_ROOT", world.root())
            .current_dir(world.dir.path())
            .output();
        world::ran(&output.expect("unshare runs"))
    };
    let refused = run(&world).expect(1);
    assert!(refused.stderr.contains("no cgroup controller `pids`"), "{}", refused.stderr);
    world.assert_nothing_left();
    if hide == v1 {
        // Who does not ask for such a limit does not need the controller.
        world.write(&THREE.replace(", pids: 64", ""));
        run(&world).expect(0);
        world.destroy();
    }
}

#[test]
fn a_guest_has_a_unified_tree_where_the_host_has_mounted_none() {
    let world = World::new();
    world.write(THREE);
    let unified = "/sys/fs/cgroup/unified";
    // A host of version 2 alone cannot play one of version 1 alone: there the tree is simply what the host has.
    let hide = if Path::new(unified).exists() { format!("umount {unified} && ") } else { String::new() };
    let run = |command: &str| {
        let script = format!("{hide} exec {} {command}", env!("CARGO_BIN_EXE_fleet"));
        let output = std::process::Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .env("FLEET_ROOT", world.root())
            .current_dir(world.dir.path())
            .output();
        world::ran(&output.expect("unshare runs")).expect(0).stdout
    };
    run("apply");
    let own = "mkdir /sys/fs/cgroup/own && echo $$ > /sys/fs/cgroup/own/cgroup.procs && grep ^0: /proc/self/cgroup";
    assert_eq!(run(&format!("exec trial-1 -- sh -c '{own}'")), "0::/own\n");
    run("stop trial-1");
    run("start trial-1");
    assert_eq!(world.changes(), 0);
    run("destroy -y");
    world.assert_nothing_left();
}

/// A list for who owns the file to read and write it, and for `user` to read it, as the kernel takes it
/// (`linux/posix_acl_xattr.h`).
fn list_with_reader(user: u32) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let entries = [(0x01, 6, NOBODY), (0x02, 4, user), (0x04, 0, NOBODY), (0x10, 4, NOBODY), (0x20, 0, NOBODY)];
    let entry = |(tag, rights, id): (u16, u16, u32)| {
        [tag.to_le_bytes().as_slice(), &rights.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    [2_u32.to_le_bytes().to_vec()].into_iter().chain(entries.into_iter().map(entry)).flatten().collect()
}

#[test]
fn archives_and_directories_are_unpacked_once_and_checked() {
    let world = World::new();
    world.write(THREE).fleet(&["apply"]).expect(0);
    // The unpacked built-in image serves as somebody's own root file system.
    let images = world.root().join("fleet/images");
    let stored = world::names_in(&images).into_iter().find(|name| name.len() == 64).expect("one is stored");
    let rootfs = images.join(stored).join("rootfs");
    let dir = world.dir.path().join("mine");
    host("cp", &["-a", &rootfs.display().to_string(), &dir.display().to_string()]);
    let listed = dir.join("root-reads-and-1000");
    fs::write(&listed, "for some\n").expect("written");
    setxattr(&listed, "system.posix_acl_access", &list_with_reader(1000), XattrFlags::empty()).expect("ext4 has lists");
    for (archive, option) in [("mine.tar.gz", "--gzip"), ("mine.tar.xz", "--xz"), ("mine.tar.zst", "--zstd")] {
        let archive = world.dir.path().join(archive).display().to_string();
        let dir = dir.display().to_string();
        host("tar", &["-C", &dir, "--xattrs", "--xattrs-include=*", option, "-cf", &archive, "."]);
    }
    world.destroy();
    for image in ["file:mine.tar.gz", "file:mine.tar.xz", "file:mine.tar.zst", "file:mine"] {
        world.write(&THREE.replace("distro: busybox", &format!("image: \"{image}\"")));
        world.fleet(&["apply"]).expect(0);
        assert_eq!(world.changes(), 0, "{image}");
        world.sh("trial-1", "test -x /bin/busybox");
        // An id in an access control list is the guest's, as an owner is.
        let read = |user| world.fleet(&["exec", "--user", user, "trial-1", "--", "cat", "/root-reads-and-1000"]).status;
        assert_eq!((read("1000"), read("1001")), (0, 1), "{image}");
        world.destroy();
    }
    let wrong = format!("image: \"file:mine.tar.gz@sha256:{}\"", "0".repeat(64));
    let refused = world.write(&THREE.replace("distro: busybox", &wrong)).fleet(&["apply"]).expect(1);
    assert!(refused.stderr.contains("SHA-256"), "{}", refused.stderr);
    let sum = host("sha256sum", &[&world.dir.path().join("mine.tar.gz").display().to_string()]);
    let right = format!("image: \"file:mine.tar.gz@sha256:{}\"", &sum[..64]);
    world.write(&THREE.replace("distro: busybox", &right)).fleet(&["apply"]).expect(0);
    world.destroy();
}

#[test]
fn an_image_without_an_init_is_refused_with_the_way_out() {
    let world = World::new();
    fs::create_dir_all(world.dir.path().join("bare/bin")).expect("made");
    fs::copy("/bin/busybox", world.dir.path().join("bare/bin/busybox")).expect("busybox-static is installed");
    let bare = THREE.replace("distro: busybox", "image: \"file:bare\"").replace("replicas: 3", "replicas: 1");
    let refused = world.write(&bare).fleet(&["apply"]).expect(1);
    assert!(refused.stderr.contains("has no `/sbin/init`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("init: /path"), "{}", refused.stderr);
    assert_eq!(world.state("trial-1"), "absent", "nothing is made of what cannot start");
    world.destroy();
}

#[test]
fn a_hostile_guest_does_not_lead_the_host_astray() {
    let world = World::new();
    world.write(THREE).fleet(&["apply"]).expect(0);
    let secret = world.dir.path().join("host-file");
    fs::write(&secret, "the host's").expect("written");
    let out = secret.display();
    // Links out of the root where fleet writes, and a pipe that would hang whoever opens it.
    world.sh("trial-1", &format!("rm -rf /etc/hosts /etc/hostname && ln -s {out} /etc/hosts && mkfifo /etc/hostname"));
    world.sh("trial-2", "mv /etc /etc.old && ln -s / /etc");
    world.write(&THREE.replace("replicas: 3", "replicas: 4"));
    // Guests that cannot be set up are named; the others are converged all the same.
    let _ = world.fleet(&["apply"]);
    assert_eq!(fs::read_to_string(&secret).expect("it is there"), "the host's");
    assert_eq!(world.state("trial-4"), "running");
    assert!(world.sh("trial-3", "cat /etc/hosts").contains("trial-4"));
    world.destroy();
    assert_eq!(fs::read_to_string(&secret).expect("it is there"), "the host's");
}

#[test]
fn over_allocation_is_killed_inside_its_container_only() {
    let world = World::new();
    world.write(THREE).fleet(&["apply"]).expect(0);
    // tmpfs is memory: twice the limit.
    let full = world.fleet(&["exec", "trial-1", "--", "dd", "if=/dev/zero", "of=/dev/shm/fill", "bs=1M", "count=128"]);
    assert_ne!(full.status, 0, "{full:?}");
    // A fork bomb stays in its limit of 64.
    let _ = world.fleet(&[
        "exec",
        "trial-2",
        "--",
        "/bin/sh",
        "-c",
        "for i in $(seq 200); do sleep 9 & done >/dev/null 2>&1",
    ]);
    assert_eq!(world.state("trial-3"), "running");
    world.sh("trial-3", "true");
    world.destroy();
}

#[test]
fn the_state_directory_is_closed_to_others() {
    let world = World::new();
    world.write(THREE).fleet(&["apply"]).expect(0);
    let mode = |path: &Path| std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path).expect("there").permissions());
    assert_eq!(mode(&world.root().join("lxc/trial-1")) & 0o077, 0);
    assert_eq!(mode(&world.root().join("fleet/images")) & 0o077, 0);
    assert_eq!(mode(&world.root().join("fleet/secret")) & 0o077, 0);
    world.destroy();
}

#[test]
fn what_a_power_cut_left_half_made_is_made_anew() {
    let world = World::new();
    world.write(THREE);
    let half_made = world.root().join("lxc/trial-2");
    fs::create_dir_all(half_made.join("fs/upper")).expect("writable");
    fs::write(half_made.join("fleet.json"), "").expect("writable");
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.state("trial-2"), "running");
    world.destroy();
}
