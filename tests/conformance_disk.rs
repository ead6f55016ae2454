//! A disk that takes nothing more keeps nobody from stopping and removing containers. With real containers.

mod world;

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Command;

use world::{World, host};

const FLEET: &str = "fleet: disk
network: {subnet: 10.213.98.0/24, bridge: fleetdisk0}
defaults: {distro: busybox, memory: 64MiB, stop_timeout: 1s}
containers: {a: {}, b: {ports: ['18998:80']}, alone: {networks: none}}
";

/// A small disk under all that a corner has, until this is dropped.
struct Disk<'w> {
    world: &'w World,
    root: String,
}

impl Disk<'_> {
    fn new(world: &World) -> Disk<'_> {
        fs::create_dir_all(world.root()).expect("a directory");
        let root = world.root().to_str().expect("text").to_owned();
        let image = world.dir.path().join("disk").to_str().expect("text").to_owned();
        File::create(&image).and_then(|file| file.set_len(32 << 20)).expect("there is room");
        // Not even the host's root has room of its own on it.
        host("mke2fs", &["-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-N", "4000", &image]);
        host("mount", &["-o", "loop", &image, &root]);
        Disk { world, root }
    }

    /// Takes all of its room, for names and for bytes.
    fn fill(&self) {
        let dir = self.world.root().join("filling");
        fs::create_dir_all(&dir).expect("there is room");
        let mut file = File::create(dir.join("bytes")).expect("there is room");
        let is_made = |number: &u32| File::create(dir.join(number.to_string())).is_ok();
        let names = (0..100_000_u32).take_while(is_made).count();
        while file.write_all(&[7; 512]).is_ok() {}
        fs::write(dir.join("more"), "").expect_err(&format!("no name is left behind {names}"));
    }

    /// Destroys the fleet and checks that nothing of it is left on the disk, nor beside it.
    #[track_caller]
    fn destroy(self) {
        let world = self.world;
        world.fleet(&["destroy", "-y"]).expect(0);
        for kept in ["lxc", "run/containers", "fleet/fleets", "fleet/volumes"] {
            assert_eq!(world::names_in(&world.root().join(kept)), Vec::<String>::new());
        }
        drop(self);
        world.assert_nothing_left();
    }

    fn remount(&self, options: &str) {
        host("mount", &["-o", &format!("remount,{options}"), &self.root]);
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // What a failed test has left runs there.
        let _ = Command::new("mount").args(["-o", "remount,rw", &self.root]).status();
        let _ = fs::remove_dir_all(self.world.root().join("filling"));
        let _ = self.world.command(&["destroy", "-y"]).output();
        let _ = Command::new("umount").args(["-l", &self.root]).status();
    }
}

#[test]
fn on_a_full_disk_containers_are_stopped_and_destroyed() {
    let world = World::new();
    let disk = Disk::new(&world);
    world.write(FLEET).fleet(&["apply"]).expect(0);
    disk.fill();
    // Whoever takes containers out of the file makes room.
    world.write(&FLEET.replace(", alone: {networks: none}", "")).fleet(&["apply", "-y"]).expect(0);
    disk.fill();
    world.fleet(&["stop", "a"]).expect(0);
    assert_eq!((world.state("a"), world.state("b")), ("stopped".to_owned(), "running".to_owned()));
    disk.destroy();
}

#[test]
fn on_a_disk_that_is_read_only_by_now_containers_are_stopped() {
    let world = World::new();
    let disk = Disk::new(&world);
    world.write(FLEET).fleet(&["apply"]).expect(0);
    disk.remount("ro");
    for name in ["a", "b", "alone"] {
        let pid = world.pid(name);
        world.fleet(&["stop", name]).expect(0);
        assert!(world::has_ended(pid));
        assert_eq!(world.state(name), "stopped");
    }
    assert_eq!(world.processes(), Vec::new());
    disk.remount("rw");
    world.fleet(&["start"]).expect(0);
    assert_eq!(world.changes(), 0);
    disk.destroy();
}
