//! What containers see of the host's files and devices, shown with real containers.

mod world;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown, symlink};
use std::path::PathBuf;

use world::World;

/// A world with the directory `data`, in which `note` says `host`.
fn world_with_data() -> World {
    let world = World::new();
    fs::create_dir(world.dir.path().join("data")).expect("a directory");
    fs::write(data(&world).join("note"), "host\n").expect("a file");
    world
}

fn data(world: &World) -> PathBuf {
    world.dir.path().join("data")
}

/// The fleet file with two containers, `keys` being the first one's.
fn two(keys: &str) -> String {
    format!(
        "fleet: mounted
network: {{subnet: 10.213.22.0/24}}
defaults: {{distro: busybox, memory: 64MiB, pids: 64}}
containers:
  one:
    ip: 10.213.22.11
    {keys}
  two: {{ip: 10.213.22.12, mounts: ['store:/elsewhere']}}
"
    )
}

#[test]
fn every_kind_of_mount_is_there_and_a_second_apply_has_nothing_to_do() {
    let world = world_with_data();
    fs::set_permissions(data(&world), PermissionsExt::from_mode(0o777)).expect("ours");
    let keys = "mounts:
    - ./data:/srv/data
    - ./data/note:/srv/note:ro
    - store:/srv/store
    - ./data:/srv/over:overlay
    - {type: tmpfs, target: /srv/memory, size: 1MiB, mode: 1770}
    - {type: bind, source: ./data, target: /run/inner/data, read_only: true}";
    world.write(&two(keys)).fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    world.fleet(&["apply"]).expect(0);

    assert_eq!(world.sh("one", "cd /srv; cat data/note note over/note /run/inner/data/note"), "host\n".repeat(4));
    world.sh(
        "one",
        "cd /srv; for dir in data store over memory; do echo guest > $dir/new; done; echo more >> over/note",
    );
    assert_eq!(fs::read_to_string(data(&world).join("new")).expect("the guest wrote it"), "guest\n");
    // What was written to the overlay stayed in the container.
    assert_eq!(fs::read_to_string(data(&world).join("note")).expect("it is there"), "host\n");
    assert_eq!(world.sh("one", "cat /srv/over/note"), "host\nmore\n");
    assert_eq!(world.sh("one", "stat -c '%a %u' /srv/memory").trim(), "1770 0");
    world.fleet(&["exec", "one", "--", "dd", "if=/dev/zero", "of=/srv/memory/big", "bs=1M", "count=2"]).expect(1);
    assert_eq!(world.sh("two", "cat /elsewhere/new"), "guest\n");

    // Memory is gone after a restart, and the rest is not.
    world.fleet(&["stop", "one"]).expect(0);
    world.fleet(&["start", "one"]).expect(0);
    assert_eq!(world.sh("one", "cd /srv; ls memory; cat store/new over/new data/new"), "guest\n".repeat(3));
    world.fleet(&["destroy", "-y"]).expect(0);
    world.assert_nothing_left();
}

#[test]
fn what_is_read_only_stays_so_for_the_guests_root() {
    let world = world_with_data();
    fs::set_permissions(data(&world), PermissionsExt::from_mode(0o777)).expect("ours");
    let keys = "mounts:
    - ./data:/a:ro
    - ./data:/b:ro,idmap=guest
    - store:/c:ro
    - ./data:/d:overlay,ro
    - ./data:/e:rbind,ro";
    world.write(&two(keys)).fleet(&["apply"]).expect(0);
    let script = "for dir in a b c d e; do
            touch /$dir/x && echo wrote $dir
            mount -o remount,rw,bind /$dir && echo remounted $dir
            mount -o remount,rw /$dir && echo remounted $dir
            touch /$dir/x && echo wrote $dir
            mkdir -p /mnt/$dir; mount --bind /$dir /mnt/$dir && mount -o remount,rw,bind /mnt/$dir
            touch /mnt/$dir/x && echo wrote a copy of $dir
        done 2>/dev/null; echo done";
    assert_eq!(world.sh("one", script), "done\n");
    assert!(!data(&world).join("x").exists());
    world.destroy();
}

#[test]
fn devices_in_a_mounted_directory_are_dead() {
    let world = world_with_data();
    let node = data(&world).join("null");
    let all = rustix::fs::Mode::from_raw_mode(0o666);
    let kind = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, &node, kind, all, rustix::fs::makedev(1, 3)).expect("we are root");
    fs::set_permissions(&node, PermissionsExt::from_mode(0o666)).expect("ours");
    world.write(&two("mounts: ['./data:/srv:idmap=guest']")).fleet(&["apply"]).expect(0);
    let script = "test -c /srv/null && echo there
        echo x > /srv/null && echo written
        mount -o remount,dev,bind /srv && echo remounted
        echo x > /srv/null && echo written; echo done";
    assert_eq!(world.sh("one", &format!("({script}) 2>/dev/null")), "there\ndone\n");
    world.destroy();
}

/// What an image has, the guest's root would own.
#[test]
fn devices_in_the_root_file_system_are_dead() {
    let world = World::new();
    world.write(&two("")).fleet(&["apply"]).expect(0);
    world.fleet(&["stop"]).expect(0);
    let node = world.root().join("lxc/one/fs/upper/null");
    let kind = rustix::fs::FileType::CharacterDevice;
    let all = rustix::fs::Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(rustix::fs::CWD, &node, kind, all, rustix::fs::makedev(1, 3)).expect("we are root");
    world.fleet(&["apply"]).expect(0);
    let script = "test -c /null && echo there; (echo x > /null) 2>/dev/null && echo written; echo done";
    assert_eq!(world.sh("one", script), "there\ndone\n");
    world.destroy();
}

#[test]
fn owners_show_as_asked_for() {
    let world = world_with_data();
    let user_file = data(&world).join("users");
    fs::write(&user_file, "").expect("a file");
    chown(&user_file, Some(1000), Some(1000)).expect("we are root");
    let home = world.dir.path().join("home");
    fs::create_dir(&home).expect("a directory");
    fs::write(home.join("mine"), "").expect("a file");
    fs::write(home.join("roots"), "").expect("a file");
    for path in [home.clone(), home.join("mine")] {
        chown(path, Some(4711), Some(4712)).expect("we are root");
    }
    let keys = "mounts: ['./data:/host', './data:/guest:idmap=guest', './home:/owner:idmap=owner']";
    world.write(&two(keys)).fleet(&["apply"]).expect(0);
    let owners = |files: &str| world.sh("one", &format!("stat -c '%n %u %g' {files}"));
    assert_eq!(owners("/host/note /host/users"), "/host/note 65534 65534\n/host/users 65534 65534\n");
    assert_eq!(owners("/guest/note /guest/users"), "/guest/note 0 0\n/guest/users 1000 1000\n");
    assert_eq!(owners("/owner /owner/mine /owner/roots"), "/owner 0 0\n/owner/mine 0 0\n/owner/roots 65534 65534\n");

    world.fleet(&["exec", "one", "--", "touch", "/host/new"]).expect(1);
    world.sh("one", "touch /guest/new /owner/new; chown 1000:1000 /guest/new");
    let ids = |path: PathBuf| fs::metadata(path).map(|found| (found.uid(), found.gid())).expect("the guest made it");
    assert_eq!(ids(data(&world).join("new")), (1000, 1000));
    assert_eq!(ids(home.join("new")), (4711, 4712));
    world.destroy();
}

#[test]
fn what_is_mounted_below_comes_along_only_when_asked_for() {
    let world = world_with_data();
    let below = data(&world).join("below");
    fs::create_dir(&below).expect("a directory");
    let _mounted = Mounted::tmpfs(below.clone());
    fs::write(below.join("file"), "below\n").expect("writable");
    world.write(&two("mounts: ['./data:/plain', './data:/whole:rbind,ro']")).fleet(&["apply"]).expect(0);
    assert_eq!(world.sh("one", "ls /plain/below; cat /whole/below/file"), "below\n");
    let script = "touch /whole/below/x || umount /whole/below || mount -o remount,rw,bind /whole/below";
    assert_ne!(world.fleet(&["exec", "one", "--", "sh", "-c", script]).status, 0);
    // What the guest mounts below is the guest's alone.
    world.sh("one", "mount -t tmpfs none /plain/below");
    assert!(below.join("file").exists());
    world.destroy();
}

/// A tmpfs of the host, until this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(at: PathBuf) -> Mounted {
        world::host("mount", &["-t", "tmpfs", "none", &at.to_string_lossy()]);
        Mounted(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_guests_links_at_a_target_lead_nowhere_else() {
    let world = world_with_data();
    world.write(&two("mounts: []")).fleet(&["apply"]).expect(0);
    let secret = world.dir.path().join("secret");
    fs::create_dir(&secret).expect("a directory");
    world.sh("one", &format!("ln -s {} /link; ln -s /../../../.. /up; ln -s /proc/1/root /magic", secret.display()));
    let keys = "mounts: ['./data:/link/in', './data:/up/tmp/made', './data/note:/link/file']";
    world.write(&two(keys)).fleet(&["apply"]).expect(1);
    assert_eq!(world::names_in(&secret), Vec::<String>::new());

    // Links that lead somewhere in the guest are followed there.
    let keys = "mounts: ['./data:/up/tmp/made', './data/note:/up/tmp/file']";
    world.write(&two(keys)).fleet(&["apply"]).expect(0);
    assert_eq!(world.sh("one", "cat /tmp/made/note /tmp/file"), "host\n".repeat(2));
    world.write(&two("mounts: ['./data:/magic/tmp/x']")).fleet(&["apply"]).expect(1);
    world.destroy();
}

#[test]
fn a_source_that_is_gone_is_said_and_leaves_nothing() {
    let world = world_with_data();
    world.write(&two("mounts: ['./data:/srv:idmap=guest', 'store:/store']")).fleet(&["apply"]).expect(0);
    world.fleet(&["stop"]).expect(0);
    fs::rename(data(&world), world.dir.path().join("moved")).expect("ours");
    let checked = world.fleet(&["validate"]).expect(64);
    assert!(checked.stderr.contains("cannot find"), "{checked:?}");
    symlink(data(&world), world.dir.path().join("loop")).expect("a link");
    world.write(&two("mounts: ['store:/store']"));
    let started = world.fleet(&["start", "one"]).expect(1);
    assert!(started.stderr.contains("data:/srv`: cannot open"), "{started:?}");
    assert_eq!(world.state("one"), "stopped");
    world.fleet(&["apply"]).expect(0);
    world.destroy();
}

#[test]
fn devices_work_and_belong_to_the_guests_root() {
    let world = World::new();
    let keys = "devices: [tun, '/dev/null:/dev/deep/er/nothing', {source: /dev/zero, target: /dev/nil, mode: 0600}]";
    world.write(&two(keys)).fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    let script = "ip tuntap add dev tun7 mode tun 2>/dev/null || tunctl -t tun7 >/dev/null; ip link show tun7 | head -1
        echo x > /dev/deep/er/nothing; head -c 3 /dev/nil | wc -c
        stat -c '%n %a %u %t:%T' /dev/net/tun /dev/nil";
    let seen = world.sh("one", script);
    assert!(seen.contains("tun7") && seen.contains("\n3\n"), "{seen}");
    assert!(seen.contains("/dev/net/tun 666 0 a:c8\n/dev/nil 600 0 1:5\n"), "{seen}");
    assert_ne!(world.fleet(&["exec", "two", "--", "test", "-e", "/dev/net/tun"]).status, 0);

    world.write(&two("devices: [/dev/no-such-thing]"));
    let refused = world.fleet(&["apply"]).expect(1);
    assert!(refused.stderr.contains("`/dev/no-such-thing`: No such file"), "{refused:?}");
    world.destroy();
}

#[test]
fn a_volume_outlives_a_rebuild_and_the_container() {
    let world = World::new();
    let keys = "mounts: ['store:/store']";
    world.write(&two(keys)).fleet(&["apply"]).expect(0);
    world.sh("one", "echo kept > /store/file; chown 7:8 /store/file; mkdir -m 700 /store/dir; echo lost > /root/file");

    // A directory that is the same but for one file is another image.
    let image = world.dir.path().join("image");
    fs::create_dir_all(image.join("sbin")).expect("made");
    fs::create_dir_all(image.join("bin")).expect("made");
    fs::copy("/bin/busybox", image.join("bin/busybox")).expect("busybox-static is installed");
    for (name, target) in [("bin/sh", "busybox"), ("bin/cat", "busybox"), ("sbin/init", "../bin/busybox")] {
        symlink(target, image.join(name)).expect("a link");
    }
    for name in ["bin/stat", "bin/test", "bin/ls"] {
        symlink("busybox", image.join(name)).expect("a link");
    }
    world.write(&two(&format!("image: file:image\n    {keys}")));
    let plan = world.fleet(&["plan"]).expect(2);
    assert!(plan.stdout.contains("rebuild"), "{plan:?}");
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(
        world.sh("one", "cat /store/file; stat -c '%u %g' /store/file; test -e /root/file || echo new"),
        "kept\n7 8\nnew\n"
    );
    assert_eq!(world.sh("two", "cat /elsewhere/file; stat -c '%a %u' /elsewhere/dir"), "kept\n700 0\n");

    // Without any container that mounts it, it stays, and nobody else on the host gets at it.
    world
        .write("fleet: mounted\nnetwork: {subnet: 10.213.22.0/24}\ncontainers: {}\n")
        .fleet(&["apply", "-y"])
        .expect(0);
    let volumes = world.root().join("fleet/volumes");
    assert_eq!(fs::metadata(&volumes).expect("it is there").mode() & 0o7777, 0o700);
    world.write(&two(keys)).fleet(&["apply"]).expect(0);
    assert_eq!(world.sh("one", "cat /store/file"), "kept\n");

    world.fleet(&["destroy", "-y", "--keep-data"]).expect(0);
    assert_eq!(world::names_in(&volumes.join("mounted")), ["store"]);
    let plan = world.fleet(&["destroy", "-y"]).expect(0);
    assert!(plan.stdout.contains("- volume store"), "{plan:?}");
    world.assert_nothing_left();
}

#[test]
fn volumes_of_two_fleets_are_two() {
    let world = World::new();
    let other = two("mounts: ['store:/store']").replace("fleet: mounted", "fleet: other\nprefix: other-");
    let other = other.replace("10.213.22.", "10.213.23.");
    world.write(&two("mounts: ['store:/store']")).fleet(&["apply"]).expect(0);
    fs::write(world.dir.path().join("other.yaml"), other).expect("writable");
    world.fleet(&["apply", "other.yaml"]).expect(0);
    world.sh("one", "touch /store/mine");
    let seen = world.fleet(&["-f", "other.yaml", "exec", "other-one", "--", "ls", "/store"]).expect(0);
    assert_eq!(seen.stdout, "");
    world.fleet(&["destroy", "-y", "other.yaml"]).expect(0);
    world.sh("one", "test -e /store/mine");
    world.destroy();
}

#[test]
fn a_privileged_container_has_the_hosts_ids() {
    let world = world_with_data();
    let file = data(&world).join("mine");
    fs::write(&file, "").expect("a file");
    chown(&file, Some(4711), Some(4711)).expect("we are root");
    chown(data(&world), Some(4711), Some(4711)).expect("we are root");
    let keys = "privileged: true
    mounts: ['./data:/host', './data:/guest:idmap=guest', './data:/owner:idmap=owner', './data:/over:overlay', 'store:/store']";
    world.write(&two(keys)).fleet(&["apply"]).expect(0);
    let owners = world.sh("one", "stat -c '%n %u' /host/mine /guest/mine /owner/mine /over/mine");
    assert_eq!(owners, "/host/mine 4711\n/guest/mine 4711\n/owner/mine 0\n/over/mine 4711\n");
    world.sh("one", "touch /store/new /over/new");
    assert_eq!(world.sh("two", "stat -c %u /elsewhere/new"), "0\n");
    assert!(!data(&world).join("new").exists());
    world.destroy();
}

/// The drift of container `one`, in words.
fn drift(world: &World) -> Vec<String> {
    let status = world.container("one");
    let words = status["drift"].as_array().cloned().unwrap_or_default();
    words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

#[test]
fn mounts_come_and_go_while_the_container_runs() {
    let world = world_with_data();
    world.write(&two("mounts: ['store:/srv/store', './data:/srv/data:ro']")).fleet(&["apply"]).expect(0);
    let pid = world.pid("one");
    world.sh("one", "echo kept > /srv/store/file; sleep 1000 > /srv/store/open & echo $! > /pid");

    let keys = "mounts:
    - ./data:/srv:idmap=guest
    - store:/srv/below
    - ./data/note:/etc/note:ro
    - {type: tmpfs, target: /scratch, size: 1MiB}
    - ./data:/over:overlay";
    world.write(&two(keys));
    let plan = world.fleet(&["plan"]).expect(2);
    assert!(plan.stdout.contains("(live)") && !plan.stdout.contains("restart"), "{plan:?}");
    world.fleet(&["apply"]).expect(0);
    assert_eq!((world.pid("one"), world.changes()), (pid, 0));
    assert_eq!(world.sh("one", "cat /srv/note /srv/below/file /etc/note /over/note"), "host\nkept\nhost\nhost\n");
    world.sh("one", "kill -0 $(cat /pid); touch /scratch/x /over/x /srv/below/x; ! touch /etc/note 2>/dev/null");
    // What is mounted later is locked like what is mounted first.
    let loosen = "mount -o remount,rw,bind /etc/note 2>/dev/null || echo locked";
    assert_eq!(world.sh("one", loosen), "locked\n");
    let counted = world.sh("one", "grep -c ' /srv' /proc/mounts");

    // A file that is replaced, as editors do, is another one.
    fs::write(data(&world).join("note.new"), "newer\n").expect("a file");
    fs::rename(data(&world).join("note.new"), data(&world).join("note")).expect("ours");
    assert_eq!(drift(&world).len(), 1, "{:?}", drift(&world));
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.sh("one", "cat /etc/note; grep -c ' /srv' /proc/mounts"), format!("newer\n{counted}"));

    // After a reboot of its own they are all there.
    world.last_words("one", "reboot");
    world.another_init("one", pid);
    assert_eq!(world.changes(), 0);
    world.sh("one", "test -e /srv/below/x");
    world.write(&two("mounts: []")).fleet(&["apply"]).expect(0);
    assert_eq!(world.sh("one", "grep -c -e ' /srv' -e /etc/note -e /scratch -e /over /proc/mounts || true"), "0\n");
    world.destroy();
}

#[test]
fn what_was_unmounted_or_covered_by_hand_is_seen_and_mended_live() {
    let world = world_with_data();
    let keys = "mounts:
    - ./data:/srv/data
    - store:/srv/store
    - {type: tmpfs, target: /srv/memory, size: 1MiB}
    - ./data:/srv/over:overlay";
    world.write(&two(keys)).fleet(&["apply"]).expect(0);
    let pid = world.pid("one");
    // Once it has been mounted, the kernel shows that an overlay has an id. What it was told of layers may be different
    // numbers each time.
    let seen = || world.sh("one", "grep ' /srv' /proc/mounts | sed 's/,uuid=on//; s/dir+*=[0-9]*//g' | sort");
    let before = seen();
    for (script, fault) in [
        ("umount /srv/data", "is not mounted"),
        ("mount --bind /tmp /srv/store", "is covered"),
        ("mount -o remount,ro,bind /srv/data", "is mounted as `ro,"),
        ("mount -t tmpfs none /srv/memory", "is covered"),
        ("mount -t tmpfs none /srv/over; mount --bind /tmp /srv/over", "is covered"),
        ("umount /srv/over; umount /srv/memory", "is not mounted"),
    ] {
        world.sh("one", script);
        let words = drift(&world);
        assert!(!words.is_empty() && words.iter().all(|word| word.contains(fault)), "{script}: {words:?}");
        let plan = world.fleet(&["plan"]).expect(2);
        assert!(plan.stdout.contains("(live)"), "{plan:?}");
        world.fleet(&["apply"]).expect(0);
        assert_eq!((world.pid("one"), world.changes()), (pid, 0), "{script}");
        assert_eq!(seen(), before, "{script}");
    }
    // What the guest mounted in the place of one stays below it.
    world.sh("one", "umount /srv/store; mount -t tmpfs none /srv/store; touch /srv/store/theirs");
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.sh("one", "ls /srv/store; umount /srv/store; ls /srv/store; umount /srv/store"), "theirs\n");
    world.fleet(&["apply"]).expect(0);
    // Somebody does it from the host.
    let target = pid.to_string();
    world::host(
        "nsenter",
        &["--target", &target, "--mount", "--pid", "/bin/mount", "-o", "remount,size=9M", "/srv/memory"],
    );
    world::host("nsenter", &["--target", &target, "--mount", "--pid", "/bin/umount", "/srv/store"]);
    assert_eq!(drift(&world).len(), 2, "{:?}", drift(&world));
    world.fleet(&["apply"]).expect(0);
    assert_eq!(seen(), before);
    world.destroy();
}

#[test]
fn names_that_break_lines_and_a_directory_that_is_covered_are_seen_through() {
    let world = world_with_data();
    world.write(&two("mounts: ['./data:/a/b']")).fleet(&["apply"]).expect(0);
    // A place with a line break that looks like a line of its own, and one that is no text.
    let lie = "mkdir -p \"/x\n999 1 0:1 / /a/b rw - tmpfs none rw\" \"/$(printf '\\377')\"
        mount -t tmpfs none \"/x\n999 1 0:1 / /a/b rw - tmpfs none rw\"; mount -t tmpfs none \"/$(printf '\\377')\"";
    world.sh("one", lie);
    assert_eq!(world.changes(), 0);
    // What covers it is a directory further up.
    world.sh("one", "mount -t tmpfs none /a");
    assert_eq!(drift(&world), [format!("mount {}:/a/b is covered by another mount", data(&world).display())]);
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);
    assert_eq!(world.sh("one", "cat /a/b/note"), "host\n");
    world.destroy();
}

#[test]
fn a_mount_changes_in_a_privileged_and_in_a_frozen_container() {
    let world = world_with_data();
    world.write(&two("privileged: true")).fleet(&["apply"]).expect(0);
    let pid = world.pid("one");
    world.fleet(&["freeze", "one"]).expect(0);
    world.write(&two("privileged: true\n    mounts: ['./data:/srv', 'store:/store']")).fleet(&["apply"]).expect(0);
    assert_eq!((world.pid("one"), world.changes()), (pid, 0));
    world.fleet(&["thaw", "one"]).expect(0);
    assert_eq!(world.sh("one", "cat /srv/note"), "host\n");
    world.write(&two("privileged: true")).fleet(&["apply"]).expect(0);
    assert_eq!(world.sh("one", "test -e /srv/note || echo gone"), "gone\n");
    world.destroy();
}

/// Keys of nobody.
const KEYS: [&str; 2] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4kxfKmkyjlxKLcgfeMAqVvcVpPXRJFYbWYW5sFzYpU one@test",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEaS9nkrbVFNNRLR1RKH5lCCW2AzWo2kqvQTuyjCLSJj two@test",
];

#[test]
fn homes_that_are_mounted_are_written_where_the_guest_sees_them() {
    let world = world_with_data();
    for mounts in [
        "'store:/home'",
        "'./data:/home:idmap=guest'",
        "'./data:/home:overlay'",
        "'store:/home', './data:/home/dev/data', 'inner:/home/dev/.ssh'",
        "'store:/home/dev', 'inner:/home/dev/.ssh'",
    ] {
        let keys = |key: &str| {
            format!("users: [{{name: dev, ssh_keys: ['{key}']}}]\n    ssh_keys: ['{key}']\n    mounts: [{mounts}]")
        };
        let look = "cd /home; cat dev/.ssh/authorized_keys | tail -n1; stat -c '%a %u %g' dev dev/.ssh dev/.ssh/authorized_keys";
        let owners = "700 1000 1000\n700 1000 1000\n600 1000 1000\n";
        world.write(&two(&keys(KEYS[0]))).fleet(&["apply"]).expect(0);
        assert_eq!(world.sh("one", look), format!("{}\n{owners}", KEYS[0]), "{mounts}");
        // While it runs, and while it does not.
        world.write(&two(&keys(KEYS[1]))).fleet(&["apply"]).expect(0);
        assert_eq!(world.sh("one", look), format!("{}\n{owners}", KEYS[1]), "{mounts}");
        world.fleet(&["stop", "one"]).expect(0);
        world.write(&two(&keys(KEYS[0]))).fleet(&["apply"]).expect(0);
        assert_eq!(world.sh("one", look), format!("{}\n{owners}", KEYS[0]), "{mounts}");
        assert_eq!(world.changes(), 0);
        // Nothing lies below.
        assert!(!world.root().join("lxc/one/fs/upper/home/dev/.ssh").exists());
        world.destroy();
    }
    assert_eq!(fs::metadata(data(&world).join("dev")).expect("the second wrote it").uid(), 1000);
}

#[test]
fn a_home_where_nothing_can_be_written_is_remarked_on() {
    let world = world_with_data();
    for (mount, why) in [
        ("./data:/home", "belong to the host's users"),
        ("./data:/home:idmap=owner", "have one owner"),
        ("store:/home:ro", "is read-only"),
        ("{type: tmpfs, target: /home}", "is empty at each start"),
    ] {
        let user = format!("users: [{{name: dev, ssh_keys: ['{}']}}]", KEYS[0]);
        let mount = if mount.starts_with('{') { mount.to_owned() } else { format!("'{mount}'") };
        world.write(&two(&format!("{user}\n    mounts: [{mount}]")));
        let applied = world.fleet(&["apply"]).expect(0);
        assert!(applied.stderr.contains(why) && applied.stderr.contains("home of `dev`"), "{applied:?}");
        assert_eq!((world.changes(), world::names_in(&data(&world))), (0, vec!["note".to_owned()]));
        world.destroy();
    }
}

#[test]
fn a_directory_of_the_hosts_stays_the_hosts_wherever_the_guest_puts_it() {
    let world = world_with_data();
    let sub = data(&world).join("sub");
    fs::create_dir_all(sub.join("etc/skel")).expect("made");
    fs::write(sub.join("file"), "host\n").expect("a file");
    let closed = sub.join("etc/skel/closed");
    fs::write(&closed, "host\n").expect("a file");
    fs::set_permissions(&closed, PermissionsExt::from_mode(0o600)).expect("ours");
    let keys = |key: &str, user: &str| {
        format!("ssh_keys: ['{key}']\n    users: [{user}]\n    mounts: ['store:/v', 'home:/home', './data:/data']")
    };
    world.write(&two(&keys(KEYS[0], ""))).fleet(&["apply"]).expect(0);
    let home = "sed -i 's,^\\(root:.*\\):[^:]*:\\([^:]*\\)$,\\1:/v:\\2,' /etc/passwd";
    world.sh(
        "one",
        &format!("{home}; mkdir -p /v/.ssh /opt; for at in /v/.ssh /opt; do mount --bind /data/sub $at; done"),
    );
    let why = "the directory belongs to no user of the guest";
    let hint = "hint: if it is a directory of the host, mounted in the container, change it on the host";

    let applied = world.write(&two(&keys(KEYS[1], ""))).fleet(&["apply"]).expect(1);
    assert!(applied.stderr.contains(why) && applied.stderr.contains(hint), "{applied:?}");
    for destination in ["one:/opt/file", "one:/opt", "one:/data/note"] {
        let copied = world.fleet(&["cp", "data/note", destination]).expect(1);
        assert!(copied.stderr.contains(why) && copied.stderr.contains(hint), "{destination}: {copied:?}");
    }
    let metadata = fs::metadata(&sub).expect("it is there");
    assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (0, 0o755));
    assert_eq!(world::names_in(&sub), ["etc", "file"]);
    assert_eq!(fs::metadata(sub.join("file")).expect("it is there").uid(), 0);

    // Nor is what is closed to the guest given to it as the beginning of a home.
    world.sh("one", "umount /v/.ssh; mkdir -p /etc/skel; mount --bind /data/sub/etc/skel /etc/skel");
    world.write(&two(&keys(KEYS[1], "{name: dev}"))).fleet(&["apply"]).expect(0);
    assert_eq!(world.sh("one", "cat /v/.ssh/authorized_keys | tail -n1; ls -A /home/dev"), format!("{}\n", KEYS[1]));
    world.sh("one", "umount /etc/skel");

    // As the root itself. Its own is then covered by it.
    world.sh("one", "mkdir -p /mnt; mount --bind /data/sub /mnt; mount --make-rprivate /; pivot_root /mnt /mnt");
    let applied = world.write(&two(&keys(KEYS[0], "{name: dev}"))).fleet(&["apply"]).expect(1);
    assert!(applied.stderr.contains(why), "{applied:?}");
    assert_eq!(world::names_in(&sub), ["etc", "file"]);
    assert_eq!(world::names_in(&sub.join("etc")), ["skel"]);
    world.destroy();
}

#[test]
fn copies_into_a_stopped_container_go_into_its_mounts() {
    let world = world_with_data();
    world
        .write(&two("mounts: ['store:/store', './data:/data:ro', './data:/over:overlay']"))
        .fleet(&["apply"])
        .expect(0);
    world.fleet(&["stop", "one"]).expect(0);
    world.fleet(&["cp", "data/note", "one:/store/note"]).expect(0);
    world.fleet(&["cp", "data/note", "one:/over/new"]).expect(0);
    let refused = world.fleet(&["cp", "data/note", "one:/data/new"]).expect(1);
    assert!(refused.stderr.contains("Read-only"), "{refused:?}");
    assert_eq!(world.sh("two", "cat /elsewhere/note"), "host\n");
    world.fleet(&["start", "one"]).expect(0);
    assert_eq!(world.sh("one", "cat /store/note /over/new; stat -c %u /store/note"), "host\nhost\n0\n");
    assert!(!data(&world).join("new").exists());
    world.destroy();
}
