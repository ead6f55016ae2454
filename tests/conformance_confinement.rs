//! What a guest's processes are: their ids, capabilities, filters, devices and namespaces, seen from both sides.

mod call;
mod world;

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use call::{Caller, inside, result};
use world::{Ran, World, eventually, ran};

const NETWORK: &str = "fleet: confined\nnetwork: {subnet: 10.213.25.0/24}\n";

fn started(containers: &str) -> World {
    let world = World::new();
    world.write(&format!("{NETWORK}containers:\n{containers}")).fleet(&["apply"]).expect(0);
    world
}

/// The lines of a `/proc/PID/status` that say what a process may do.
fn rights(status: &str) -> Vec<String> {
    let keys = ["Uid:", "Gid:", "Groups:", "CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:"];
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    status.lines().filter(|line| keys.iter().any(|key| line.starts_with(key))).map(words).collect()
}

/// Has the guest's own init run `script` at its next start, and starts it again; what that printed.
fn from_init(world: &World, name: &str, script: &str) -> String {
    world.sh(name, &format!("rm -f /said; cat > /script <<'end'\n{script}\nend"));
    world.sh(name, "echo '::once:/bin/sh -c \"sh /script > /saying 2>&1; mv /saying /said\"' >> /etc/inittab");
    world.fleet(&["stop", name]).expect(0);
    world.fleet(&["start", name]).expect(0);
    eventually("its init has run it", || !world.sh(name, "ls /said 2>/dev/null || true").is_empty());
    world.sh(name, "cat /said")
}

#[test]
fn every_process_has_the_same_rights_and_none_that_another_user_would_inherit() {
    let world = started("  plain: {distro: busybox}\n");
    let init = rights(&world.sh("plain", "cat /proc/1/status"));
    let last = fs::read_to_string("/proc/sys/kernel/cap_last_cap").expect("readable");
    let known = (1_u64 << (last.trim().parse::<u32>().expect("a number") + 1)) - 1;
    // Without sys_module, sys_rawio, sys_time, mac_override and mac_admin.
    let bounds = [16, 17, 25, 32, 33].iter().fold(known, |bits, number| bits & !(1 << number));
    let none = "0000000000000000";
    // Programs that change their user may do so: nothing forbids privileges by execution.
    assert_eq!(
        init,
        [
            "Uid: 0 0 0 0".to_owned(),
            "Gid: 0 0 0 0".to_owned(),
            "Groups:".to_owned(),
            format!("CapInh: {none}"),
            format!("CapPrm: {bounds:016x}"),
            format!("CapEff: {bounds:016x}"),
            format!("CapBnd: {bounds:016x}"),
            format!("CapAmb: {none}"),
            "NoNewPrivs: 0".to_owned(),
        ]
    );
    // A command is in the groups that the guest's own `/etc/group` says.
    let command = world.sh("plain", "cat /proc/self/status").replace("Groups:\t0 ", "Groups:\t");
    assert_eq!(rights(&command), init);
    world.destroy();
}

/// A process of an init that changes its user loses what its root could do, as everywhere.
#[test]
fn who_is_no_longer_root_has_no_capabilities_left_in_privileged_containers_too() {
    let world = started(
        "  plain: {distro: busybox}\n  trusted: {distro: busybox, privileged: true}\n  nest: {distro: busybox, nesting: true}\n",
    );
    let caller = Caller::new(&world);
    // PR_GET_SECUREBITS: a daemon that changes its user executes nothing, and the kernel takes its capabilities only if
    // none of these bits forbids it.
    let bits = format!("/call 64 {} 27", libc::SYS_prctl);
    for name in ["plain", "trusted", "nest"] {
        caller.put(&world, name);
        assert_eq!(
            (world.sh(name, &bits), from_init(&world, name, &bits)),
            ("0\n".to_owned(), "0\n".to_owned()),
            "{name}"
        );
        world.sh(name, "sed -i '/script/d' /etc/inittab");
        world.sh(name, "echo 'dev:x:1000:1000::/:/bin/sh' >> /etc/passwd");
        let script = "su dev -c \"grep -E 'CapPrm|CapEff|CapAmb|^Uid' /proc/self/status\"";
        let of_init = from_init(&world, name, script);
        let of_command = world.sh(name, script);
        for said in [of_init, of_command] {
            let lines: Vec<String> = rights(&said);
            let none = "0000000000000000";
            let expected = ["Uid: 1000 1000 1000 1000".to_owned(), format!("CapPrm: {none}")]
                .into_iter()
                .chain([format!("CapEff: {none}"), format!("CapAmb: {none}")]);
            assert_eq!(lines, expected.collect::<Vec<_>>(), "{name}: {said}");
        }
    }
    world.destroy();
}

/// What is refused does not depend on the way into the kernel. Privileged, so that only the filter refuses it.
#[test]
fn refused_calls_are_refused_to_programs_of_every_architecture() {
    let world = started(
        "  filtered: {distro: busybox, privileged: true}
  free: {distro: busybox, privileged: true, seccomp: unconfined}\n",
    );
    let caller = Caller::new(&world);
    for name in ["filtered", "free"] {
        caller.put(&world, name);
    }
    let own = [
        (libc::SYS_umount2, "0 1", libc::EACCES),
        (libc::SYS_open_by_handle_at, "-100 0 0", libc::EPERM),
        (libc::SYS_swapon, "0 0", libc::EPERM),
        (libc::SYS_swapoff, "0", libc::EPERM),
    ];
    let mut calls: Vec<(String, i32)> =
        own.iter().map(|(number, words, errno)| (format!("64 {number} {words}"), *errno)).collect();
    if cfg!(target_arch = "x86_64") && caller.outside("32 20") > 0 {
        let i386 = [(52, "0 1", libc::EACCES), (342, "-100 0 0", libc::EPERM), (87, "0 0", libc::EPERM)];
        calls.extend(i386.iter().map(|(number, words, errno)| (format!("32 {number} {words}"), *errno)));
    }
    for (call, errno) in &calls {
        assert_eq!(inside(&world, "filtered", call), -i64::from(*errno), "{call}");
        // The kernel gets as far as to look for the path.
        assert_eq!(inside(&world, "free", call), -i64::from(libc::EFAULT), "{call}");
    }
    // The same call that works by its own number does not by x32's.
    if cfg!(target_arch = "x86_64") {
        assert!(inside(&world, "filtered", &format!("64 {}", libc::SYS_getpid)) > 0);
        let refused = inside(&world, "filtered", &format!("x32 {}", libc::SYS_getpid));
        assert_eq!(refused, -i64::from(libc::ENOSYS));
    }
    world.destroy();
}

#[test]
fn the_devices_are_those_that_every_userland_needs_and_no_others() {
    let world = started("  plain: {distro: busybox}\n");
    let script = "cd /dev; for file in $(find . -xdev ! -type d | sort); do
            if test -h $file; then echo $file $(readlink $file); else stat -c '%n %F %t:%T %u:%g %a' $file; fi; done";
    let expected = "\
./console character special file 88:0 0:5 620
./core /proc/kcore
./fd /proc/self/fd
./full character special file 1:7 0:0 666
./null character special file 1:3 0:0 666
./ptmx pts/ptmx
./random character special file 1:8 0:0 666
./stderr /proc/self/fd/2
./stdin /proc/self/fd/0
./stdout /proc/self/fd/1
./tty character special file 5:0 0:0 666
./urandom character special file 1:9 0:0 666
./zero character special file 1:5 0:0 666
";
    assert_eq!(world.sh("plain", script), expected);
    // It is the container's own, it is small, and what it makes there is not the host's.
    let filled = world.fleet(&["exec", "plain", "--", "dd", "if=/dev/zero", "of=/dev/fill", "bs=1M", "count=2"]);
    assert_ne!(filled.status, 0, "{filled:?}");
    world.sh("plain", "rm -f /dev/fill; echo mine > /dev/mine");
    assert!(!fs::exists("/dev/mine").expect("looked at"));
    world.destroy();
}

#[test]
fn the_session_keyring_of_an_init_is_its_own_and_keys_are_nobody_elses() {
    let world = started("  keys: {distro: busybox, replicas: 2}\n");
    let caller = Caller::new(&world);
    for name in ["keys-1", "keys-2"] {
        caller.put(&world, name);
    }
    // KEYCTL_GET_KEYRING_ID of KEY_SPEC_SESSION_KEYRING, without making one.
    let session = format!("64 {} 0 -3 0", libc::SYS_keyctl);
    let inits = [
        from_init(&world, "keys-1", &format!("/call {session}")),
        from_init(&world, "keys-2", &format!("/call {session}")),
    ];
    let [one, two] = inits.map(|printed| result(&printed));
    assert!(one > 0 && two > 0 && one != two, "{one} {two}");
    assert!(![one, two].contains(&caller.outside(&session)));

    // A key of the host's root, in its user's keyring, where no process need hold it.
    let add = |text: &str| format!("64 {} s:user s:fleet-test s:{text} {} -4", libc::SYS_add_key, text.len());
    let key = caller.outside(&add("secret"));
    assert!(key > 0, "{key}");
    let theirs = inside(&world, "keys-1", &add("mine"));
    assert!(theirs > 0 && theirs != key, "{theirs}");
    // KEYCTL_READ, KEYCTL_DESCRIBE, KEYCTL_REVOKE, and KEYCTL_SETPERM, which gives away all.
    for call in ["11 KEY 0 0", "6 KEY 0 0", "3 KEY", "5 KEY 0x3f3f3f3f"] {
        for (name, key) in [("keys-1", key), ("keys-2", key), ("keys-2", theirs)] {
            let words = format!("64 {} {}", libc::SYS_keyctl, call.replace("KEY", &key.to_string()));
            assert_eq!(inside(&world, name, &words), -i64::from(libc::EACCES), "{name}: {words}");
        }
    }
    // KEYCTL_UNLINK from that keyring, for which nobody need hold the key either.
    assert_eq!(caller.outside(&format!("64 {} 9 {key} -4", libc::SYS_keyctl)), 0);
    world.destroy();
}

/// Runs fleet where `/etc/subuid` and `/etc/subgid` say `users` and `groups`.
fn among_owners(world: &World, users: &str, groups: &str, args: &str) -> Ran {
    for (name, text) in [("subuid", users), ("subgid", groups)] {
        fs::write(world.dir.path().join(name), text).expect("written");
    }
    let fleet = env!("CARGO_BIN_EXE_fleet");
    let script = format!("mount --bind subuid /etc/subuid && mount --bind subgid /etc/subgid && exec {fleet} {args}");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).env("FLEET_ROOT", world.root()).current_dir(world.dir.path());
    ran(&command.output().expect("unshare runs")).expect(0)
}

/// The host's ids that a container has, the same for users and groups.
fn ids(world: &World, name: &str) -> Range<u64> {
    let read = |map: &str| fs::read_to_string(format!("/proc/{}/{map}", world.pid(name))).expect("it runs");
    assert_eq!(read("uid_map"), read("gid_map"));
    let numbers: Vec<u64> = read("uid_map").split_whitespace().map(|word| word.parse().expect("a number")).collect();
    assert_eq!((numbers.len(), numbers[0], numbers[2]), (3, 0, 65536));
    numbers[1]..numbers[1] + numbers[2]
}

#[test]
fn ids_are_none_that_a_user_was_given_and_stay_those_that_a_container_has() {
    let world = World::new();
    world.write(&format!("{NETWORK}containers:\n  owned: {{distro: busybox}}\n")).fleet(&["apply"]).expect(0);
    let first = ids(&world, "owned");
    // What lies on disk has these ids, so they stay, whoever is given them later.
    let given = format!("# a remark\ndev:{}:10\n", first.end - 1);
    assert_eq!(among_owners(&world, &given, "", "plan -o json").json()["changes"], 0);
    among_owners(&world, &given, "", "stop owned");
    among_owners(&world, &given, "", "start owned");
    assert_eq!(ids(&world, "owned"), first);
    world.destroy();

    // A new one passes over users' ids, then over groups' as well.
    among_owners(&world, &given, "", "apply");
    let second = ids(&world, "owned");
    assert!(second.start >= first.end || second.end <= first.start, "{second:?}");
    assert!(!(second.contains(&(first.end - 1)) || second.contains(&(first.end + 8))), "{second:?}");
    world.destroy();
    let groups = format!("dev:{}:70000\n", second.start);
    among_owners(&world, &given, &groups, "apply");
    let third = ids(&world, "owned");
    let taken = second.start..second.start + 70000;
    assert!(third.start >= taken.end || third.end <= taken.start, "{third:?}");
    assert!(third.start >= first.end || third.end <= first.start, "{third:?}");
    world.destroy();
    // Given back, the first is taken again: the same fleet has the same ids.
    world.fleet(&["apply"]).expect(0);
    assert_eq!(ids(&world, "owned"), first);
    world.destroy();
}

/// The first host id of container `name` under `root`.
fn first_id(root: &Path, name: &str) -> u64 {
    let record = fs::read_to_string(root.join(format!("lxc/{name}/fleet.json"))).expect("its record");
    let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    record["ids"].as_u64().expect("a number")
}

#[test]
fn nobody_gets_ids_that_others_on_the_host_use() {
    let world = World::new();
    world.write("fleet: ids\ndefaults: {distro: busybox}\ncontainers:\n  ids-a: {networks: none}\n");
    world.fleet(&["apply"]).expect(0);
    let first = first_id(&world.root(), "ids-a");
    // A namesake under another root has others, whether or not the first one runs.
    let other = world.dir.path().join("other");
    let under_other = |args: &[&str]| ran(&world.command(args).env("FLEET_ROOT", &other).output().expect("fleet runs"));
    world.fleet(&["stop", "ids-a"]).expect(0);
    under_other(&["apply"]).expect(0);
    let of_namesake = first_id(&other, "ids-a");
    under_other(&["destroy", "-y"]).expect(0);
    assert_ne!(of_namesake, first);
    world.destroy();

    let mut stranger = Command::new("unshare").args(["--user", "sleep", "600"]).spawn().expect("unshare runs");
    let map = format!("/proc/{}/uid_map", stranger.id());
    eventually("it has its namespace", || fs::read_to_string(&map).is_ok_and(|text| text.is_empty()));
    fs::write(&map, format!("0 {} 65536", first + 1)).expect("written");
    world.fleet(&["apply"]).expect(0);
    let beside = first_id(&world.root(), "ids-a");
    world.destroy();
    stranger.kill().expect("it runs");
    stranger.wait().expect("waited");
    assert!(beside + 65536 <= first + 1 || first + 1 + 65536 <= beside, "{beside} beside {first}");
    world.fleet(&["apply"]).expect(0);
    assert_eq!(first_id(&world.root(), "ids-a"), first);
    world.destroy();
}
