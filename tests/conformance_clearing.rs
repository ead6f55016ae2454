//! Guests that leave as much to clear up as they can: it goes with them, and they keep nobody else from anything.

mod world;

use std::fs;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use world::{Ran, World, ran};

/// Runs fleet with as many open files as a process may usually have.
fn with_usual_files(world: &World, args: &str) -> Ran {
    let script = format!("ulimit -n 1024; exec {} {args}", env!("CARGO_BIN_EXE_fleet"));
    let fleet = world.command(&[]);
    let mut shell = std::process::Command::new("sh");
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
    let dig = "cd /sys/fs/cgroup; made=0; while mkdir g 2>/dev/null; do cd -P g; made=$((made + 1)); done; echo $made";
    let made = world.fleet(&["-f", "digger.yaml", "exec", "digger", "--", "sh", "-c", dig]).expect(0).stdout;
    // It has one of the 32 itself.
    assert_eq!(made, "31\n");
    world.fleet(&["apply", "digger.yaml"]).expect(0);
    world.fleet(&["destroy", "-y", "digger.yaml"]).expect(0);
    world.assert_nothing_left();
}
