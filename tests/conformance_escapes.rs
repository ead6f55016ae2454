//! Ways out of containers that others have had to close, tried from inside by the guest's root.

mod world;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use world::World;

const TWO: &str = "\
fleet: guarded
network: {subnet: 10.213.24.0/24}
containers:
  guarded: {distro: busybox, replicas: 2, ip: 10.213.24.11, memory: 64MiB, pids: 64}
";

fn two() -> World {
    let world = World::new();
    world.write(TWO).fleet(&["apply"]).expect(0);
    world
}

/// A root file system of busybox alone, in the directory `image`.
fn image(world: &World) -> PathBuf {
    let image = world.dir.path().join("image");
    for dir in ["bin", "sbin", "etc"] {
        fs::create_dir_all(image.join(dir)).expect("made");
    }
    fs::copy("/bin/busybox", image.join("bin/busybox")).expect("busybox-static is installed");
    symlink("../bin/busybox", image.join("sbin/init")).expect("a link");
    for applet in ["sh", "ls", "cat"] {
        symlink("busybox", image.join("bin").join(applet)).expect("a link");
    }
    image
}

/// CVE-2019-5736: a guest has the program that enters it execute itself there, and writes to it.
#[test]
fn the_program_that_enters_a_guest_is_not_changed_from_inside() {
    let world = two();
    let program = Path::new(env!("CARGO_BIN_EXE_fleet"));
    let before = fs::metadata(program).expect("it is there");
    world.sh("guarded-1", "printf '#!/proc/self/exe\\n' > /evil; chmod +x /evil; echo 0 > /tries");
    // Whoever comes by is tried: what it executes is opened for writing, now and, by a held descriptor, later.
    let hunt = "while test ! -e /over; do for file in /proc/[0-9]*/exe; do
            case $(readlink $file) in *busybox) continue;; esac
            echo $(($(cat /tries) + 1)) > /tries
            : >> $file && echo $(readlink $file) >> /written
            (exec 9< $file; : >> /proc/self/fd/9 && echo held $(readlink $file) >> /written)
        done; done 2>/dev/null";
    let mut hunter = world.spawn(&["exec", "guarded-1", "--", "sh", "-c", hunt]);
    for _ in 0..10 {
        let _ = world.fleet(&["exec", "guarded-1", "--", "/evil", "exec", "x"]);
        world.fleet(&["exec", "guarded-1", "--", "true"]).expect(0);
    }
    world.sh("guarded-1", "touch /over");
    hunter.wait().expect("it ends");
    assert_eq!(world.sh("guarded-1", "cat /written 2>/dev/null; true"), "");
    let after = fs::metadata(program).expect("it is there");
    assert_eq!((after.len(), after.mtime_nsec(), after.ino()), (before.len(), before.mtime_nsec(), before.ino()));
    world.destroy();
}

/// CVE-2025-31133, CVE-2025-52565, CVE-2025-52881: an image has links where file systems are mounted or covered.
#[test]
fn links_in_the_place_of_mount_points_lead_nowhere() {
    for (place, is_fatal) in [
        ("proc", true),
        ("sys", true),
        ("dev", true),
        ("run", true),
        // These lie in what is mounted over the image's directories.
        ("dev/console", false),
        ("dev/null", false),
        ("dev/pts", false),
        ("sys/fs/cgroup", false),
        ("proc/sysrq-trigger", false),
    ] {
        let world = World::new();
        let outside = world.dir.path().join("outside");
        fs::create_dir(&outside).expect("made");
        let link = image(&world).join(place);
        fs::create_dir_all(link.parent().expect("it has one")).expect("made");
        symlink(&outside, &link).expect("a link");
        world.write(&TWO.replace("distro: busybox, replicas: 2", "image: file:image").replace("guarded:\n", "x:\n"));
        let applied = world.fleet(&["apply"]).expect(i32::from(is_fatal));
        if is_fatal {
            assert!(applied.stderr.contains(&format!("`/{place}`")), "{applied:?}");
        } else {
            let kinds =
                "cat /proc/1/comm; test -c /dev/null && test -c /dev/console && test -e /dev/pts/0 && echo whole";
            assert_eq!(world.sh("guarded", kinds), "init\nwhole\n", "{place}");
        }
        assert_eq!(world::names_in(&outside), Vec::<String>::new(), "{place}");
        world.destroy();
    }
}

/// CVE-2022-0492: a guest mounts a hierarchy of version 1 and names a program for the host to run.
#[test]
fn no_hierarchy_of_the_host_is_within_reach() {
    let world = two();
    let init = world.pid("guarded-1");
    let groups = fs::read_to_string(format!("/proc/{init}/cgroup")).expect("it runs");
    for line in groups.lines() {
        assert!(line.contains("/guarded-1"), "it shares the group of others: {line}");
    }
    let script = "mkdir -p /mnt; for kind in memory pids cpu cpuset devices freezer blkio name=systemd rdma misc; do
            mount -t cgroup -o $kind none /mnt || continue
            test -e /mnt/release_agent && echo agent of $kind
            echo /x > /mnt/release_agent && echo wrote for $kind
            for file in /mnt/*.max /mnt/*limit* /mnt/devices.allow /mnt/cpuset.cpus; do
                test -w $file && echo $(cat $file) > $file && echo $file of $kind
            done
            umount /mnt
        done 2>/dev/null; unshare -Ur sh -c 'mount -t cgroup -o rdma none /mnt && echo mounted' 2>/dev/null; echo done";
    assert_eq!(world.sh("guarded-1", script), "done\n");
    world.destroy();
}

#[test]
fn keys_terminals_and_processes_of_the_host_are_out_of_sight() {
    let world = two();
    let source = world.dir.path().join("session.c");
    let code = "#include <stdio.h>\n#include <unistd.h>\n#include <sys/syscall.h>\n\
        int main(void) { printf(\"%ld\\n\", syscall(SYS_keyctl, 0L, -3L, 0L)); return 0; }\n";
    fs::write(&source, code).expect("written");
    let program = world.dir.path().join("session");
    let (program_text, source_text) = (program.display().to_string(), source.display().to_string());
    world::host("cc", &["-static", "-o", &program_text, &source_text]);
    // The number of a session's keyring, as this process's children have it, and as those of each guest have theirs.
    let own = world::host(&program_text, &[]);
    let mut seen = vec![own.trim().to_owned()];
    for name in ["guarded-1", "guarded-2"] {
        world.fleet(&["cp", "session", &format!("{name}:/session")]).expect(0);
        seen.push(world.sh(name, "/session").trim().to_owned());
    }
    let refused = |number: &String| number.starts_with('-');
    assert!(refused(&seen[1]) || (!seen[2..].contains(&seen[1]) && seen[0] != seen[1]), "{seen:?}");
    assert!(refused(&seen[2]) || seen[0] != seen[2], "{seen:?}");

    let names = world.sh("guarded-1", "cat /proc/[0-9]*/comm");
    assert!(!names.contains("fleet"), "{names}");
    let terminals = world.sh("guarded-1", "grep ' /dev/pts ' /proc/mounts; ls /dev/pts");
    assert!(terminals.contains("max=1024") && terminals.contains("ptmxmode=666"), "{terminals}");
    assert_eq!(terminals.lines().skip(1).collect::<Vec<_>>(), ["0", "ptmx"], "{terminals}");
    world.destroy();
}

#[test]
fn parameters_of_the_network_are_those_of_the_guest_alone() {
    let world = two();
    let read = || {
        ["ip_forward", "conf/all/rp_filter", "conf/all/accept_redirects"]
            .map(|name| fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).expect("readable"))
    };
    let before = read();
    let flip = "cd /proc/sys/net/ipv4; for name in ip_forward conf/all/rp_filter conf/all/accept_redirects; do
        echo $((1 - $(cat $name))) > $name || exit 1; done";
    world.sh("guarded-1", flip);
    assert_eq!(read(), before);
    world.destroy();
}

/// What a guest makes inside it cannot take out: set-id programs and devices in its layer are root's on disk.
#[test]
fn what_a_guest_leaves_on_disk_serves_nobody_on_the_host() {
    let world = two();
    world.sh("guarded-1", "cp /bin/busybox /root/rootshell; chmod 4755 /root/rootshell /root; chmod 777 / /root");
    let path = world.root().join("lxc/guarded-1/fs/upper/root/rootshell");
    let metadata = fs::metadata(&path).expect("it is there");
    assert_eq!((metadata.uid(), metadata.mode() & 0o7777), (0, 0o4755));
    world::host("chmod", &["755", &world.dir.path().display().to_string()]);
    let tried = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&path)
        .args(["id", "-u"])
        .output()
        .expect("setpriv");
    assert!(!tried.status.success(), "{tried:?}");
    world.destroy();
}
