//! Containers that stand on a squashfs, with real ones.

mod mirror;
mod world;

use std::fs;
use std::path::{Path, PathBuf};

use mirror::{Stored, run};
use world::{World, eventually, host, names_in};

/// Makes `NAME` in the world's directory: a root file system that boots, with what `script` adds to it.
fn squashfs(world: &World, name: &str, script: &str) {
    let dir = world.dir.path();
    let root = mirror::root_file_system(dir);
    run(&root, "sh", &["-ec", script]);
    let to = dir.join(name);
    let options = ["-noappend", "-quiet", "-no-progress", "-comp", "gzip"];
    run(dir, "mksquashfs", &[&["rootfs", to.to_str().expect("text")][..], &options].concat());
    fs::remove_dir_all(root).expect("removed");
}

fn fleet(subnet: &str) -> String {
    format!(
        "fleet: squash\nnetwork: {{subnet: {subnet}}}\ncontainers: {{sq: {{image: 'file:root.squashfs', replicas: 2}}}}\n"
    )
}

/// The only image that is stored.
fn image(world: &World) -> PathBuf {
    let images = world.root().join("fleet/images");
    let mut names: Vec<String> = names_in(&images).into_iter().filter(|name| name.len() == 64).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    images.join(names.remove(0))
}

/// How many loop devices have a file below `root`.
fn devices(root: &Path) -> usize {
    let files = fs::read_dir("/sys/block")
        .expect("readable")
        .filter_map(|entry| fs::read_to_string(entry.expect("readable").path().join("loop/backing_file")).ok());
    files.filter(|file| Path::new(file.trim_end()).starts_with(root)).count()
}

#[test]
fn containers_stand_on_one_mounted_squashfs_and_nothing_of_it_stays() {
    let world = World::new();
    squashfs(
        &world,
        "root.squashfs",
        "mkdir -p srv/inner dev; mknod srv/disk b 8 0; mknod srv/inner/mem c 1 1; mknod dev/console c 5 1; echo x > srv/inner/x
        chmod 2750 srv/inner; chown 7:8 srv/inner",
    );
    world.write(&fleet("10.211.111.0/24"));
    world.fleet(&["apply", "-y"]).expect(0);
    let image = image(&world);
    assert_eq!(names_in(&image), ["image.json", "mask", "rootfs.squashfs"]);
    assert_eq!(devices(world.root().as_path()), 1);
    // Hard links, set-id bits and owners are there; the devices are not, for the guest's root would own them.
    let look = "ls -A /srv /srv/inner; stat -c '%a %u:%g' /srv/inner; stat -c '%h' /etc/also; stat -c %a /usr/bin/capable; cat /etc/build";
    assert_eq!(world.sh("sq-1", look), "/srv:\ninner\n\n/srv/inner:\nx\n2750 7:8\n2\n4755\n1\n");
    world.sh("sq-1", "echo mine > /srv/inner/x; rm /etc/also; mkdir /srv/disk");
    assert_eq!(world.sh("sq-1", "cat /srv/inner/x; ls -A /srv"), "mine\ndisk\ninner\n");
    assert_eq!(world.sh("sq-2", "cat /srv/inner/x; ls /etc/also"), "x\n/etc/also\n");
    assert_eq!(world.changes(), 0);

    let verified = world.fleet(&["image", "verify", "-o", "json"]).expect(0).json();
    assert_eq!(verified["images"][0]["intact"], true);
    let listed = world.fleet(&["image", "ls", "-o", "json"]).expect(0).json();
    let size = fs::metadata(image.join("rootfs.squashfs")).expect("it is there").len();
    let bytes = listed["images"][0]["bytes"].as_u64().expect("a number");
    assert!(bytes >= size && bytes < size + 100_000, "{bytes} {size}");
    let digest = image.file_name().and_then(|name| name.to_str()).expect("text");
    world.fleet(&["image", "export", digest, "out.tar.zst"]).expect(0);
    let unpacked = world.dir.path().join("unpacked");
    fs::create_dir(&unpacked).expect("a directory");
    mirror::run(&unpacked, "tar", &["--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf", "../out.tar.zst"]);
    {
        let stored = Stored::new(&world.root(), digest);
        let stored = stored.path();
        mirror::run(&unpacked, "diff", &["-r", "--no-dereference", stored.to_str().expect("text"), "."]);
    }
    let mut value = [0; 32];
    let capability = rustix::fs::getxattr(unpacked.join("usr/bin/capable"), "security.capability", &mut value[..]);
    assert_eq!(capability.expect("it has one"), 20);

    world.fleet(&["stop"]).expect(0);
    eventually("the device goes with the last container", || devices(world.root().as_path()) == 0);
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(devices(world.root().as_path()), 1);
    // Everything killed, and nothing told.
    for name in ["sq-1", "sq-2"] {
        let container = world.container(name);
        for process in ["monitor", "pid"] {
            host("kill", &["-9", &container[process].to_string()]);
        }
    }
    eventually("the device goes with those who were killed", || devices(world.root().as_path()) == 0);
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(world.sh("sq-1", "cat /srv/inner/x"), "mine\n");
    world.destroy();
    eventually("the device goes", || devices(world.root().as_path()) == 0);
    fs::OpenOptions::new()
        .append(true)
        .open(image.join("rootfs.squashfs"))
        .and_then(|mut file| {
            use std::io::Write as _;
            file.write_all(b"x")
        })
        .expect("written");
    assert!(world.fleet(&["image", "verify"]).expect(1).stdout.contains("CHANGED"));
    world.fleet(&["image", "prune"]).expect(0);
    assert!(!image.exists());
}

/// `fleet` with `args`, where the kernel has no loop devices.
fn without_loop(world: &World, args: &str) -> world::Ran {
    let none = world.dir.path().join("none");
    if !none.exists() {
        // There is no such device: who opens it is told so.
        host("mknod", &[none.to_str().expect("text"), "c", "0", "0"]);
    }
    let script =
        format!("mount --bind {} /dev/loop-control && exec {} {args}", none.display(), env!("CARGO_BIN_EXE_fleet"));
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).env("FLEET_ROOT", world.root()).current_dir(world.dir.path());
    world::ran(&command.output().expect("unshare runs"))
}

#[test]
fn where_the_kernel_cannot_mount_it_it_is_unpacked() {
    let world = World::new();
    squashfs(&world, "root.squashfs", "mkdir -p srv; mknod srv/disk b 8 0");
    world.write(&fleet("10.211.112.0/24"));
    without_loop(&world, "apply -y").expect(0);
    assert_eq!(names_in(&image(&world)), ["image.json", "rootfs"]);
    assert_eq!(world.sh("sq-1", "cat /etc/build; ls -A /srv"), "1\n");
    world.destroy();
    // Stored by another kernel.
    world.fleet(&["image", "prune"]).expect(0);
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(names_in(&image(&world)), ["image.json", "mask", "rootfs.squashfs"]);
    world.sh("sq-2", "echo kept > /srv/kept");
    world.fleet(&["stop"]).expect(0);
    without_loop(&world, "apply -y").expect(0);
    assert_eq!(names_in(&image(&world)), ["image.json", "mask", "rootfs", "rootfs.squashfs"]);
    assert_eq!(world.sh("sq-2", "cat /etc/build /srv/kept"), "1\nkept\n");
    assert_eq!(devices(world.root().as_path()), 0);
    assert_eq!(world.fleet(&["image", "verify", "-o", "json"]).expect(0).json()["images"][0]["intact"], true);
    world.destroy();
}

#[test]
fn a_squashfs_with_orders_to_overlayfs_is_unpacked_without_them() {
    let world = World::new();
    let dir = world.dir.path();
    let root = mirror::root_file_system(dir);
    for (name, key) in
        [("usr", "trusted.overlay.opaque"), ("etc/build", "trusted.overlay.metacopy"), ("etc/build", "user.kept")]
    {
        rustix::fs::setxattr(root.join(name), key, b"y", rustix::fs::XattrFlags::empty()).expect("set");
    }
    run(dir, "mksquashfs", &["rootfs", "root.squashfs", "-noappend", "-quiet", "-no-progress"]);
    world.fleet(&["image", "import", "root.squashfs"]).expect(0);
    let image = image(&world);
    assert_eq!(names_in(&image), ["image.json", "rootfs"]);
    let has =
        |name: &str, key: &str| rustix::fs::getxattr(image.join("rootfs").join(name), key, &mut [0_u8; 16][..]).is_ok();
    assert!(
        has("etc/build", "user.kept")
            && !has("usr", "trusted.overlay.opaque")
            && !has("etc/build", "trusted.overlay.metacopy")
    );
}
