//! The verbs of the image store, with a real server.

mod mirror;
mod world;

use std::fs;
use std::path::Path;

use mirror::{Fault, Forms, Server, Tree};
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
    world::host("mount", &["-o", "remount,size=64m", &small]);
    let again = world.command(&["image", "pull", "test/1"]).env("FLEET_IMAGE_SERVER", server.url()).output();
    world::host("umount", &[&small]);
    world::ran(&again.expect("fleet runs")).expect(0);
    let failed = world::ran(&pulled.expect("fleet runs")).expect(1).stderr;
    assert!(failed.contains("No space left on device") && failed.contains("free some space"), "{failed}");
    assert_eq!(left, [Vec::<String>::new(), Vec::new()]);
}

#[test]
fn an_archive_of_very_many_files_is_refused_before_the_disk_has_no_room_for_their_names() {
    let world = World::new();
    let source = world.dir.path().join("many");
    fs::create_dir(&source).expect("a directory");
    for number in 0..3000 {
        fs::write(source.join(number.to_string()), "").expect("written");
    }
    mirror::run(world.dir.path(), "tar", &["-C", "many", "-cf", "many.tar", "."]);
    let small = world.root();
    fs::create_dir_all(&small).expect("a directory");
    let small = small.to_str().expect("text").to_owned();
    world::host("mount", &["-t", "tmpfs", "-o", "nr_inodes=2000", "tmpfs", &small]);
    let import = |most: &str| world.command(&["image", "import", "many.tar", "--image-max-files", most]).output();
    let (limited, unlimited) = (import("1000"), import("9000"));
    let left = world::names_in(&world.root().join("fleet/images"));
    world::host("umount", &[&small]);
    let refused = world::ran(&limited.expect("fleet runs")).expect(1).stderr;
    assert!(refused.contains("cannot accept more than 1000 files in one image"), "{refused}");
    let failed = world::ran(&unlimited.expect("fleet runs")).expect(1).stderr;
    assert!(failed.contains("No space left on device") && failed.contains("free some space"), "{failed}");
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn an_image_that_the_disk_did_not_take_is_not_kept() {
    let world = World::new();
    let archive = archive(&world, "heavy", 48 << 20);
    let (backing, disk) = (world.dir.path().join("backing"), world.root());
    for directory in [&backing, &disk] {
        fs::create_dir_all(directory).expect("a directory");
    }
    let (backing, disk) = (backing.to_str().expect("text"), disk.to_str().expect("text"));
    // A disk that says it is larger than it is: what is written to it is in memory, and then nowhere.
    let lie = format!(
        "mount -t tmpfs -o size=24m tmpfs {backing} && truncate -s 512M {backing}/disk && \
         mkfs.ext4 -q -E lazy_itable_init=1 {backing}/disk && mount -o loop {backing}/disk {disk}"
    );
    world::host("sh", &["-ec", &lie]);
    let imported = world.command(&["image", "import", &archive]).output();
    let kept: Vec<String> = world::names_in(&world.root().join("fleet/images"));
    world::host("umount", &[disk]);
    // The kernel lets go of the file a little later than of the disk.
    world::host("umount", &["-l", backing]);
    let failed = world::ran(&imported.expect("fleet runs")).expect(1).stderr;
    assert!(failed.contains("cannot write `"), "{failed}");
    let is_finished = |name: &String| !name.starts_with(".draft-") && name != "digests.json";
    assert!(!kept.iter().any(is_finished), "{kept:?}");
}

/// An archive whose files are `mark` and one of `bytes` bytes.
fn archive(world: &World, mark: &str, bytes: usize) -> String {
    let source = world.dir.path().join("source");
    fs::create_dir_all(source.join("many")).expect("directories");
    fs::write(source.join("mark"), mark).expect("written");
    fs::write(source.join("large"), vec![7; bytes]).expect("written");
    let path = world.dir.path().join(format!("{mark}.tar"));
    mirror::run(world.dir.path(), "tar", &["-C", "source", "-cf", path.to_str().expect("text"), "."]);
    path.to_str().expect("text").to_owned()
}

#[test]
fn an_image_beyond_the_limits_is_refused_until_they_are_raised() {
    let world = World::new();
    let archive = archive(&world, "big", 3 << 20);
    let import = |limit: &str, value: &str| {
        let command = world.command(&["image", "import", &archive]).env(limit, value).output();
        world::ran(&command.expect("fleet runs"))
    };
    let refused = import("FLEET_IMAGE_MAX_SIZE", "2MiB").expect(1).stderr;
    assert!(refused.contains("cannot accept more than 2MiB in one image"), "{refused}");
    assert!(refused.contains("`--image-max-size SIZE`, or FLEET_IMAGE_MAX_SIZE"), "{refused}");
    let refused = import("FLEET_IMAGE_MAX_FILES", "3").expect(1).stderr;
    assert!(refused.contains("cannot accept more than 3 files in one image"), "{refused}");
    assert!(refused.contains("`--image-max-files N`, or FLEET_IMAGE_MAX_FILES"), "{refused}");
    world.write(&format!(
        "fleet: limits\nnetwork: {{subnet: 10.211.26.0/24}}\ncontainers: {{ll: {{image: 'file:{archive}'}}}}\n"
    ));
    let refused = world.fleet(&["apply", "-y", "--image-max-size", "1M"]).expect(1).stderr;
    assert!(refused.contains("cannot accept more than 1MiB in one image"), "{refused}");
    let left = world.fleet(&["image", "ls", "-o", "json"]).expect(0).json();
    assert_eq!(left["images"], serde_json::json!([]));
    import("FLEET_IMAGE_MAX_SIZE", "4MiB").expect(0);
}

#[test]
fn an_unpacking_that_is_killed_leaves_nothing_half_done() {
    let world = World::new();
    let archive = archive(&world, "slow", 24 << 20);
    let mut killed = world.spawn(&["image", "import", &archive]);
    let images = world.root().join("fleet/images");
    world::eventually("unpacking", || {
        world::names_in(&images).iter().any(|name| images.join(name).join("rootfs/large").exists())
    });
    killed.kill().expect("killed");
    killed.wait().expect("ended");
    let listed = world.fleet(&["image", "ls", "-o", "json"]).expect(0).json();
    assert_eq!(listed["images"], serde_json::json!([]));
    world.fleet(&["image", "import", &archive]).expect(0);
    let verified = world.fleet(&["image", "verify", "-o", "json"]).expect(0).json();
    assert_eq!(verified["images"][0]["intact"], true);
    let left: Vec<String> = world::names_in(&images).into_iter().filter(|name| name != "digests.json").collect();
    assert_eq!(left, [verified["images"][0]["digest"].as_str().expect("text")]);
}

#[test]
fn what_a_stopped_container_stands_on_is_kept() {
    let tree = Tree::with_build(Forms::ArchiveOnly);
    let archive = tree.path().join("images/test/1/amd64/default/20241101_05:24/rootfs.tar.xz");
    let archive = archive.to_str().expect("text");
    let world = World::new();
    world.write(&format!(
        "fleet: store\nnetwork: {{subnet: 10.211.27.0/24}}\ncontainers: {{ss: {{image: 'file:{archive}'}}}}\n"
    ));
    let imported = world.fleet(&["image", "import", archive, "-o", "json"]).expect(0).json();
    let image = &imported["images"][0];
    assert_eq!((&image["source"], &image["serial"]), (&format!("file:{archive}").into(), &serde_json::Value::Null));
    let digest = image["digest"].as_str().expect("text");
    world.fleet(&["apply", "-y"]).expect(0);
    world.fleet(&["stop", "ss"]).expect(0);
    let removed = || world.fleet(&["image", "prune", "-o", "json"]).expect(0).json()["removed"].clone();
    assert_eq!(removed(), serde_json::json!([]));
    world.fleet(&["start", "ss"]).expect(0);
    assert_eq!(world.sh("ss", "cat /etc/build"), "1\n");
    let exported = world.fleet(&["image", "export", &digest[..12], "out.tar.zst", "-o", "json"]).expect(0).json();
    assert_eq!(exported, serde_json::json!({"digest": digest, "file": "out.tar.zst"}));
    world.destroy();
    assert_eq!(removed(), serde_json::json!([digest]));
}

#[test]
fn an_image_that_the_store_has_lost_is_fetched_for_what_stands_on_it() {
    let world = World::new();
    let fleet = |timeout: &str| {
        format!(
            "fleet: store\nnetwork: {{subnet: 10.211.28.0/24}}\ncontainers: {{ss: {{distro: busybox, stop_timeout: {timeout}}}}}\n"
        )
    };
    world.write(&fleet("1s")).fleet(&["apply"]).expect(0);
    world.sh("ss", "echo kept > /etc/mine");
    for verb in ["apply", "start", "apply"] {
        world.fleet(&["stop", "ss"]).expect(0);
        fs::remove_dir_all(world.root().join("fleet/images")).expect("removed");
        world.fleet(&[verb]).expect(0);
        assert_eq!(world.sh("ss", "cat /etc/mine"), "kept\n");
        // The last time its files are written, too.
        world.write(&fleet("2s"));
    }
    assert_eq!(world.changes(), 0);
    world.destroy();
}

#[test]
fn a_server_that_vanishes_in_the_middle_is_said_and_the_next_goes_on() {
    let tree = Tree::with_build(Forms::ArchiveOnly);
    let server = Server::new(&tree.path());
    let (port, url, path) = (server.port(), server.url(), Tree::archive("20241101_05:24"));
    let world = World::new();
    let pull = || {
        let mut command = world.command(&["image", "pull", "test/1"]);
        command.env("FLEET_IMAGE_SERVER", &url);
        command
    };
    server.fault(&path, Fault::StallAfter(100_000));
    let running = pull().spawn().expect("fleet runs");
    let downloads = world.root().join("fleet/downloads");
    let loaded = || {
        world::names_in(&downloads).iter().map(|name| fs::metadata(downloads.join(name)).map_or(0, |it| it.len())).max()
    };
    world::eventually("100000 bytes", || loaded() == Some(100_000));
    drop(server);
    let failed = world::ran(&running.wait_with_output().expect("it ends")).expect(1).stderr;
    assert!(failed.contains("cannot reach `127.0.0.1") && failed.contains("Connection refused"), "{failed}");
    assert_eq!(loaded(), Some(100_000));
    let server = Server::at(&tree.path(), port);
    world::ran(&pull().output().expect("fleet runs")).expect(0);
    assert!(server.requests().contains(&format!("{path} 100000-")));
}

#[test]
fn on_a_terminal_a_transfer_shows_its_rate_and_the_time_left() {
    let tree = Tree::with_build(Forms::ArchiveOnly);
    let server = Server::new(&tree.path());
    let path = Tree::archive("20241101_05:24");
    let world = World::new();
    server.fault(&path, Fault::StallAfter(100_000));
    // script(1) plays the user's terminal.
    let seen = world.dir.path().join("seen");
    let mut terminal = std::process::Command::new("script")
        .args(["-qefc", &format!("stty cols 120; exec {} image pull test/1", env!("CARGO_BIN_EXE_fleet"))])
        .arg(&seen)
        .env("FLEET_ROOT", world.root())
        .env("FLEET_IMAGE_SERVER", server.url())
        .env("TERM", "xterm")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("script runs");
    let shown = || String::from_utf8_lossy(&fs::read(&seen).unwrap_or_default()).into_owned();
    world::eventually("a bar with the rate and the time left", || {
        let shown = shown();
        ["test/1 [=", "97.66 KiB/", "iB/s, ", " left"].iter().all(|part| shown.contains(part))
    });
    server.mend();
    assert!(terminal.wait().expect("it ends").success(), "{}", shown());
    assert!(shown().contains("test/1: stored (build 20241101_05:24, "), "{}", shown());
}
