//! Root file systems made by mmdebstrap: each init boots, shows a console and stops; one request is made once.

mod world;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use world::{World, eventually, names_in, ran};

/// A shutdown that takes longer than half of this was a kill.
const STOP_TIMEOUT_S: u64 = 90;

fn fleet(name: &str, subnet: u8, image: &str) -> String {
    format!(
        "fleet: {name}\nnetwork: {{subnet: 10.211.{subnet}.0/24}}\ncontainers:\n  \
         {name}-1: {{image: {image}, memory: 512MiB, stop_timeout: {STOP_TIMEOUT_S}}}\n"
    )
}

fn stored(world: &World) -> Vec<PathBuf> {
    let images = world.root().join("fleet/images");
    let names = names_in(&images).into_iter().filter(|name| name.len() == 64);
    names.map(|name| images.join(name).join("rootfs")).collect()
}

/// An image whose init boots, shows a login on the console, and shuts down when it is asked to.
fn boots(init: &str, subnet: u8, booted: &str) {
    let world = World::new();
    world.write(&fleet("bb", subnet, &format!("{{bootstrap: debian/12, init: {init}}}")));
    let made = world.fleet(&["apply", "-y"]).expect(0);
    assert!(made.stdout.contains(&format!("made here by mmdebstrap, with {init}")), "{}", made.stdout);
    assert!(made.stderr.contains("bootstrap:debian/12: extracting archives\n"), "{}", made.stderr);
    let ready = || world.fleet(&["exec", "bb-1", "--", "/bin/sh", "-c", booted]).status == 0;
    eventually("it has booted", ready);
    eventually("a login on the console", || world.fleet(&["logs", "bb-1"]).stdout.contains("bb-1 login:"));
    assert_eq!(world.sh("bb-1", "hostname; stat -c %s /etc/machine-id; ls /etc/ssh 2>/dev/null || true"), "bb-1\n33\n");
    let asked = Instant::now();
    world.fleet(&["stop", "bb-1"]).expect(0);
    assert!(asked.elapsed() < Duration::from_secs(STOP_TIMEOUT_S / 2), "the stop was a kill");
    // Nothing of this host is in the image itself.
    let root = stored(&world).pop().expect("it is stored");
    assert!(!root.join("etc/hostname").exists() && !root.join("etc/resolv.conf").exists());
    assert_eq!(names_in(root.parent().expect("an image")), ["image.json", "rootfs"]);
    world.destroy();
}

#[test]
#[ignore = "asks the archive that this machine's APT asks"]
fn systemd_boots() {
    boots(
        "systemd",
        111,
        "test \"$(systemctl is-system-running --wait)\" = running || { systemctl --failed; exit 1; }",
    );
}

#[test]
#[ignore = "asks the archive that this machine's APT asks"]
fn sysvinit_boots() {
    boots("sysvinit", 112, "pidof getty agetty");
}

#[test]
#[ignore = "asks the archive that this machine's APT asks"]
fn openrc_boots() {
    boots("openrc", 113, "test -e /run/openrc/softlevel && pidof getty agetty");
}

#[test]
#[ignore = "asks the archive that this machine's APT asks"]
fn runit_boots() {
    boots("runit", 114, "pidof runsvdir && ! ps ax 2>/dev/null | grep -q [t]ty1");
}

#[test]
#[ignore = "asks the archive that this machine's APT asks"]
fn one_request_is_made_once_and_what_cannot_be_made_is_said() {
    let world = World::new();
    let request = "{bootstrap: debian/bookworm, init: runit, packages: [openssh-server]}";
    world.write(&fleet("first", 115, request));
    let second = world.dir.path().join("second.yaml");
    fs::write(&second, fleet("second", 116, &request.replace("bookworm", "12"))).expect("written");
    let second = second.to_str().expect("text");

    // What is not pinned is not made; what is there is used.
    let refused = world.fleet(&["apply", "-y", "--locked"]).expect(64);
    assert!(
        refused.stderr.contains("is not in the image store, and what is made of an archive is not pinned"),
        "{refused:?}"
    );

    // Killed in the middle: nothing of it runs on, and nothing stays mounted.
    let mut killed = world.spawn(&["apply", "-y"]);
    let images = world.root().join("fleet/images");
    eventually("packages are being installed", || {
        names_in(&images).iter().any(|draft| {
            let scratch = images.join(draft).join("scratch");
            names_in(&scratch).iter().any(|name| scratch.join(name).join("usr/bin/dpkg").exists())
        })
    });
    killed.kill().expect("killed");
    killed.wait().expect("ended");
    let root = world.root().display().to_string();
    let is_busy = || {
        let processes =
            names_in("/proc".as_ref()).into_iter().filter(|name| name.bytes().all(|it| it.is_ascii_digit()));
        processes.into_iter().any(|pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&root))
        })
    };
    eventually("nothing of it runs", || !is_busy());
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("readable");
    assert!(!mounts.contains(&root), "{mounts}");

    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(stored(&world).len(), 1);
    assert!(!stored(&world)[0].join("etc/ssh/ssh_host_ed25519_key").exists(), "keys are each guest's own");
    let again = world.fleet(&["apply", "-y", second]).expect(0);
    assert!(!again.stdout.contains("mmdebstrap"), "{}", again.stdout);
    assert_eq!(world.changes(), 0);
    assert_eq!(names_in(&images).iter().filter(|name| name.starts_with(".draft")).count(), 0);
    world.fleet(&["apply", "-y", "--locked"]).expect(0);

    world.write(&fleet("first", 115, &request.replace('[', "[no-such-package, ")));
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    assert!(plan.contains("image packages +no-such-package") && plan.contains("rebuild"), "{plan}");
    let failed = world.fleet(&["apply", "-y"]).expect(1);
    assert!(failed.stderr.contains("Unable to locate package no-such-package"), "{}", failed.stderr);
    assert_eq!(world.state("first-1"), "running", "nothing is stopped before the image is there");
    assert_eq!(names_in(&images).iter().filter(|name| name.starts_with(".draft")).count(), 0);
    world.fleet(&["destroy", "-y", second]).expect(0);
    world.destroy();
}

#[test]
fn a_host_without_the_program_is_told_before_anything_is_done() {
    let world = World::new();
    world.write(&fleet("bb", 117, "bootstrap:debian/12"));
    let empty = world.dir.path().join("empty");
    fs::create_dir(&empty).expect("a directory");
    let plan = |command: &mut Command| ran(&command.output().expect("fleet runs")).expect(1).stderr;
    insta::assert_snapshot!(plan(world.command(&["apply", "-y"]).env("PATH", empty)), @r"
    ! bootstrap:debian/12  this host has no program `mmdebstrap`, which it takes to make it
      hint: install the package mmdebstrap
    ");
    let few = world.dir.path().join("few");
    fs::create_dir(&few).expect("a directory");
    for name in ["mmdebstrap", "unshare", "setpriv"] {
        symlink(Path::new("/usr/bin").join(name), few.join(name)).expect("a link");
    }
    world.write(&fleet("bb", 117, "bootstrap:debian/12, arch: i386"));
    insta::assert_snapshot!(plan(world.command(&["apply", "-y"]).env("PATH", few)), @r"
    ! bootstrap:debian/12/i386  this host has no program `arch-test`, which it takes to make it
      hint: install the package arch-test
    ");
    assert!(!world.root().join("fleet/images").exists());
}

#[test]
#[ignore = "asks the archive that this machine's APT asks"]
fn a_debian_whose_server_is_silent_is_made_here_unless_it_is_pinned() {
    let world = World::new();
    // Nobody listens there.
    let text = |replicas: u8| {
        format!(
            "fleet: off\nnetwork: {{subnet: 10.211.118.0/24}}\nremotes: {{images: 'http://127.0.0.1:9'}}\n\
             containers: {{oo: {{distro: debian/12, replicas: {replicas}, memory: 512MiB}}}}\n"
        )
    };
    world.write(&text(1));
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    let line = "+ bootstrap:debian/12  in place of debian/12 (cannot reach `127.0.0.1:9`: Connection refused (os error 111)): \
                made here by mmdebstrap, with systemd";
    assert!(plan.contains(line), "{plan}");
    let locked = world.fleet(&["apply", "-y", "--locked"]).expect(64).stderr;
    assert!(locked.contains("`debian/12` of `http://127.0.0.1:9` is not pinned"), "{locked}");
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(world.sh("oo-1", "cat /etc/debian_version | cut -d. -f1"), "12\n");
    assert!(!world.dir.path().join("fleet.lock").exists(), "there is nothing to pin");
    assert_eq!(world.changes(), 0);
    // One more is like the first, and so is one after all were destroyed.
    world.write(&text(2)).fleet(&["apply", "-y"]).expect(0);
    world.destroy();
    let again = world.fleet(&["apply", "-y"]).expect(0);
    assert!(!again.stdout.contains("mmdebstrap"), "{}", again.stdout);
    // What is pinned cannot be made.
    let build = serde_json::json!({"version": 1, "fleets": {"off": [{"distro": "debian/12", "server": "http://127.0.0.1:9",
        "arch": fleet::model::native_architecture(), "serial": "20241101_05:24", "fingerprint": "a".repeat(64),
        "files": {"unified": {"path": "x", "sha256": "a".repeat(64), "size": 7}}}]}});
    fs::write(world.dir.path().join("fleet.lock"), build.to_string()).expect("written");
    world.fleet(&["destroy", "-y"]).expect(0);
    world.fleet(&["image", "prune"]).expect(0);
    let failed = world.fleet(&["apply", "-y"]).expect(1).stderr;
    assert!(failed.contains("cannot reach `127.0.0.1:9`") && !failed.contains("mmdebstrap"), "{failed}");
    world.destroy();
}

#[test]
#[ignore = "asks the archive that this machine's APT asks"]
fn a_32_bit_debian_runs_on_a_64_bit_host() {
    let world = World::new();
    let image = "{bootstrap: debian/12, init: sysvinit}, arch: i386";
    world.write(&fleet("bb", 119, image)).fleet(&["apply", "-y"]).expect(0);
    let says = "dpkg --print-architecture; uname -m; tr '\\0' ' ' < /proc/1/cmdline | cut -c1-4";
    assert_eq!(world.sh("bb-1", says), "i386\ni686\ninit\n");
    assert_eq!(world.changes(), 0);
    world.fleet(&["stop", "bb-1"]).expect(0);
    world.destroy();
}
