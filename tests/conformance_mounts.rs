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
