//! The verbs of the image store, with a real server.

mod mirror;
mod world;

use std::fs;
use std::path::Path;

use mirror::{Forms, Server, Tree};
use world::World;

#[test]
fn what_was_pulled_before_needs_no_server_and_what_was_changed_is_seen() {
    let tree = Tree::with_build(Forms::ArchiveOnly);
    let server = Server::new(&tree.path());
    let world = World::new();
    world.write(&format!(
        "fleet: store\nnetwork: {{subnet: 10.211.23.0/24}}\nremotes: {{images: '{}'}}\ncontainers: {{ss: {{distro: test/1}}}}\n",
        server.url()
    ));
    let pull =
        world.command(&["image", "pull", "test/1", "-o", "json"]).env("FLEET_IMAGE_SERVER", server.url()).output();
    let pulled = world::ran(&pull.expect("fleet runs")).expect(0).json();
    assert_eq!(pulled["images"][0]["serial"], "20241101_05:24");
    let digest = pulled["images"][0]["digest"].as_str().expect("text").to_owned();
    drop(server);
    world.fleet(&["image", "pull"]).expect(1);
    world.fleet(&["apply", "-y"]).expect(0);
    // Pinned now, so the fleet's own is known without a server.
    world.fleet(&["image", "pull"]).expect(0);
    let listed = world.fleet(&["image", "ls", "-o", "json"]).expect(0).json();
    let image = &listed["images"][0];
    assert_eq!((&image["digest"], &image["used_by"][0]), (&digest.as_str().into(), &"ss".into()));

    let verified = world.fleet(&["image", "verify", "-o", "json"]).expect(0).json();
    assert_eq!(verified["images"][0]["intact"], true);
    let rootfs = world.root().join("fleet/images").join(&digest).join("rootfs");
    let stored = rootfs.join("etc/build");
    world.fleet(&["image", "export", &digest[..12], "out.tar.zst"]).expect(0);
    let unpacked = world.dir.path().join("unpacked");
    fs::create_dir(&unpacked).expect("a directory");
    let to = ["-C", "unpacked", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xpf", "out.tar.zst"];
    mirror::run(world.dir.path(), "tar", &to);
    // GNU tar has the last word: names, kinds, modes, owners, links, times, contents; then the capability.
    mirror::run(world.dir.path(), "diff", &["-r", "--no-dereference", rootfs.to_str().expect("text"), "unpacked"]);
    let listed = |top: &Path| {
        let listed = world::host("find", &[top.to_str().expect("text"), "-printf", "%P %y %m %U %G %l %Ts %n\n"]);
        let mut lines: Vec<String> = listed.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(listed(&unpacked), listed(&rootfs));
    let mut value = [0; 32];
    let capability = rustix::fs::getxattr(unpacked.join("usr/bin/capable"), "security.capability", &mut value[..]);
    assert_eq!(capability.expect("it has one"), 20);
    fs::write(stored, "9\n").expect("written");
    let verified = world.fleet(&["image", "verify"]).expect(1).stdout;
    assert!(verified.contains("CHANGED"), "{verified}");
    world.destroy();
}

#[test]
fn an_imported_archive_stands_in_for_the_one_on_the_web() {
    let tree = Tree::with_build(Forms::ArchiveOnly);
    let archive = tree.path().join("images/test/1/amd64/default/20241101_05:24/rootfs.tar.xz");
    let sum = mirror::sha256(&[&fs::read(&archive).expect("readable")]);
    let world = World::new();
    world.write(&format!(
        "fleet: store\nnetwork: {{subnet: 10.211.24.0/24}}\ncontainers:\n  ss:\n    image: {{https: 'https://no.such.host.invalid/x.tar.xz', sha256: {sum}}}\n"
    ));
    world.fleet(&["image", "import", archive.to_str().expect("text")]).expect(0);
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(world.sh("ss", "cat /etc/build"), "1\n");
    world.destroy();
}

#[test]
fn many_that_want_the_same_load_it_once() {
    let tree = Tree::with_build(Forms::ArchiveOnly);
    let server = Server::new(&tree.path());
    let world = World::new();
    let pull = || {
        let mut command = world.command(&["image", "pull", "test/1"]);
        command.env("FLEET_IMAGE_SERVER", server.url()).spawn().expect("fleet runs")
    };
    let running: Vec<_> = (0..4).map(|_| pull()).collect();
    for child in running {
        assert!(child.wait_with_output().expect("it ends").status.success());
    }
    let archive = Tree::archive("20241101_05:24");
    assert_eq!(server.requests().iter().filter(|request| request.starts_with(&archive)).count(), 1);
    world.fleet(&["image", "prune"]).expect(0);
    assert_eq!(world::names_in(&world.root().join("fleet/images")), Vec::<String>::new());
}

#[test]
fn a_full_disk_leaves_nothing_half_done() {
    let tree = Tree::with_build(Forms::ArchiveOnly);
    let server = Server::new(&tree.path());
    let world = World::new();
    let small = world.root();
    fs::create_dir_all(&small).expect("a directory");
    let small = small.to_str().expect("text").to_owned();
    world::host("mount", &["-t", "tmpfs", "-o", "size=400k", "tmpfs", &small]);
    let pulled = world.command(&["image", "pull", "test/1"]).env("FLEET_IMAGE_SERVER", server.url()).output();
    let left = ["downloads", "images"].map(|name| world::names_in(&world.root().join("fleet").join(name)));
    world::host("umount", &[&small]);
    let failed = world::ran(&pulled.expect("fleet runs")).expect(1).stderr;
    assert!(failed.contains("No space left on device") && failed.contains("free some space"), "{failed}");
    assert_eq!(left, [Vec::<String>::new(), Vec::new()]);
}
