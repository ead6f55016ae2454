//! Guests that leave as much to clear up as they can: it goes with them, and they keep nobody else from anything.

mod world;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use world::{Ran, World, host, names_in, ran};

/// Runs fleet with as many open files as a process may usually have.
fn with_usual_files(world: &World, args: &str) -> Ran {
    let script = format!("ulimit -n 1024; exec {} {args}", env!("CARGO_BIN_EXE_fleet"));
    let fleet = world.command(&[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(world.dir.path());
    shell.envs(fleet.get_envs().filter_map(|(name, value)| Some((name, value?)))).env_remove("FLEET_FILE");
    ran(&shell.output().expect("sh runs"))
}

/// Writes the file of a fleet of one container, which has the fleet's name.
fn write_fleet(world: &World, name: &str, net: u8, keys: &str) {
    let text = format!(
        "fleet: {name}\nnetwork: {{subnet: 10.213.{net}.0/24}}\ncontainers:\n  {name}: {{distro: busybox{keys}}}\n"
    );
    fs::write(world.dir.path().join(format!("{name}.yaml")), text).expect("written");
}

/// In a guest: 3000 directories in one another, which no path leads to the last of.
const DIG: &str = "cd $1; part=$(printf 'd/%.0s' $(seq 100))
    for _ in $(seq 30); do mkdir -p $part; cd -P $part; done; echo x > file";

/// In a guest: 20 groups in one another, with names of 250 letters.
const DIG_GROUPS: &str = "cd /sys/fs/cgroup; name=$(printf 'g%.0s' $(seq 250))
    for _ in $(seq 20); do mkdir $name; cd -P $name; done";

#[test]
fn what_a_guest_digs_goes_with_it_and_keeps_no_other_fleet_from_being_applied() {
    let world = World::new();
    write_fleet(&world, "digger", 81, ", mounts: ['data:/data']");
    write_fleet(&world, "other", 82, "");
    world.fleet(&["apply", "digger.yaml"]).expect(0);
    for dir in ["/root", "/data"] {
        world.fleet(&["-f", "digger.yaml", "exec", "digger", "--", "sh", "-c", DIG, "sh", dir]).expect(0);
    }
    world.fleet(&["-f", "digger.yaml", "exec", "digger", "--", "sh", "-c", DIG_GROUPS]).expect(0);
    // As if it had some in version 1, too.
    for hierarchy in ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/cpu"] {
        let groups = world.groups();
        let Some(own) = groups.iter().find(|group| group.starts_with(hierarchy)) else { continue };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut last = openat(CWD, own.join("digger"), flags, Mode::empty()).expect("its group");
        for _ in 0..40 {
            let name = "v".repeat(250);
            mkdirat(&last, &name, Mode::RWXU).expect("made");
            last = openat(&last, &name, flags, Mode::empty()).expect("it was just made");
        }
    }
    with_usual_files(&world, "apply other.yaml").expect(0);
    let ran = with_usual_files(&world, "destroy -y digger.yaml").expect(0);
    assert!(!ran.stderr.contains("cannot"), "{ran:?}");
    with_usual_files(&world, "apply other.yaml").expect(0);
    with_usual_files(&world, "destroy -y other.yaml").expect(0);
    world.assert_nothing_left();
}

#[test]
fn a_guest_can_make_so_many_groups_in_one_another_and_not_more() {
    let world = World::new();
    write_fleet(&world, "digger", 81, "");
    world.fleet(&["apply", "digger.yaml"]).expect(0);
    let dig = "cd /sys/fs/cgroup; made=0
        for _ in $(seq 100); do mkdir g 2>/dev/null || break; cd -P g; made=$((made + 1)); done; echo $made";
    let made = world.fleet(&["-f", "digger.yaml", "exec", "digger", "--", "sh", "-c", dig]).expect(0).stdout;
    // It has one of the 32 itself.
    assert_eq!(made, "31\n");
    world.fleet(&["apply", "digger.yaml"]).expect(0);
    world.fleet(&["destroy", "-y", "digger.yaml"]).expect(0);
    world.assert_nothing_left();
}

/// Something mounted somewhere, which nobody may remove from below it.
struct Mounted(PathBuf);

impl Mounted {
    /// Makes the directory `at` and mounts memory there with a file in it.
    fn at(at: PathBuf) -> Mounted {
        fs::create_dir_all(&at).expect("made");
        host("mount", &["-t", "tmpfs", "none", &at.display().to_string()]);
        fs::write(at.join("kept"), "").expect("written");
        Mounted(at)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Also when a test has failed.
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn what_cannot_be_cleared_up_is_told_and_keeps_no_other_fleet_from_anything() {
    let world = World::new();
    write_fleet(&world, "digger", 81, "");
    write_fleet(&world, "other", 82, "");
    let draft = world.root().join("lxc/.digger.fleet");
    fs::create_dir_all(draft.join("upper")).expect("made");
    fs::write(draft.join("upper/file"), "").expect("written");
    let in_draft = Mounted::at(draft.join("mounted"));
    let in_run = Mounted::at(world.root().join("run/containers/ghost/mounted"));

    // To others it is a warning, to its own fleet a failure.
    let warning = format!("warning: cannot remove `{}`, which is left of `digger`", draft.display());
    let ghost = "warning: cannot clear up after an earlier run of `ghost`\n  because: something is mounted in it";
    for args in
        [["apply", "other.yaml"], ["apply", "other.yaml"], ["-f=other.yaml", "stop"], ["-f=other.yaml", "start"]]
    {
        let ran = world.fleet(&args).expect(0);
        assert!(ran.stderr.contains(&warning) && ran.stderr.contains(ghost), "{args:?}: {ran:?}");
        assert!(!ran.stderr.contains("error"), "{ran:?}");
    }
    let ran = world.fleet(&["destroy", "-y", "digger.yaml"]).expect(1);
    let error = warning.replace("warning", "error") + "\n  because: something is mounted in it";
    assert!(ran.stderr.contains(&error) && !ran.stdout.contains("Nothing to do"), "{ran:?}");
    world.fleet(&["apply", "digger.yaml"]).expect(1);
    // What is mounted is nobody's to remove; all else has gone.
    assert!(in_draft.0.join("kept").exists() && in_run.0.join("kept").exists() && !draft.join("upper").exists());
    world.fleet(&["destroy", "-y", "other.yaml"]).expect(0);

    drop((in_draft, in_run));
    let ran = world.fleet(&["apply", "digger.yaml"]).expect(0);
    assert!(!ran.stderr.contains("warning"), "{ran:?}");
    world.fleet(&["destroy", "-y", "digger.yaml"]).expect(0);
    world.assert_nothing_left();
}

#[test]
fn an_image_that_cannot_be_removed_keeps_no_other_from_being_pruned() {
    let world = World::new();
    let mut digests = Vec::new();
    for name in ["one", "two", "three"] {
        fs::create_dir_all(world.dir.path().join(name).join(name)).expect("made");
        world.fleet(&["image", "import", name]).expect(0);
        let store = names_in(&world.root().join("fleet/images"));
        digests.extend(store.into_iter().filter(|it| it.len() == 64 && !digests.contains(it)).collect::<Vec<_>>());
    }
    digests.sort();
    let first = world.root().join("fleet/images").join(&digests[0]);
    let mut mounted = Mounted::at(first.join("rootfs/mounted"));
    let ran = world.fleet(&["image", "prune", "-o", "json"]).expect(1);
    assert_eq!(ran.json()["removed"], serde_json::json!(digests[1..]));
    assert_eq!(ran.stderr.matches("error: cannot remove").count(), 1, "{ran:?}");
    // It is under another name now, and nobody takes it for an image.
    let left: Vec<String> =
        names_in(&world.root().join("fleet/images")).into_iter().filter(|it| it != "digests.json").collect();
    assert_eq!(left.len(), 1, "{left:?}");
    mounted.0 = world.root().join("fleet/images").join(&left[0]).join("rootfs/mounted");
    for name in ["one", "two", "three"] {
        world.fleet(&["image", "import", name]).expect(0);
    }
    drop(mounted);
    world.fleet(&["image", "prune"]).expect(0);
    let left = names_in(&world.root().join("fleet/images"));
    assert!(left.iter().all(|it| it == "digests.json"), "{left:?}");
}
