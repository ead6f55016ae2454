//! The built-in image.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::busybox;
use super::super::tree::{Limits, Tree};
use super::{Room, describe};
use crate::model::{ImageSource, ImageState};

#[test]
fn the_built_in_image_runs_in_a_root_of_its_own() {
    let room = Room::new();
    let ImageState::Available(digest) = room.images.observe(&ImageSource::Busybox) else {
        panic!("these tests need a static busybox: install busybox-static")
    };
    room.images.fetch(&ImageSource::Busybox, &digest, None).expect("it is assembled");
    assert_eq!(room.images.observe(&ImageSource::Busybox), ImageState::Stored(digest.clone()));
    let unpacked = room.root(&digest);
    let script = "
        for program in sh ping hostname ip cat init poweroff; do
            which $program > /dev/null || echo $program is missing
        done
        sh -n /etc/init.d/rcS && ls -A / && id -un && ls -ld /tmp /root | cut -c 1-10";
    let output = Command::new("chroot").arg(&unpacked).args(["/bin/sh", "-lc", script]).output().expect("chroot runs");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let expected =
        "bin\ndev\netc\nhome\nmnt\nproc\nroot\nrun\nsbin\nsys\ntmp\nusr\nvar\nroot\ndrwx------\ndrwxrwxrwt\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}

#[test]
fn the_same_program_makes_the_same_image() {
    let built = || {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let tree = Tree::new(dir.path(), Limits::NONE).expect("an empty tree");
        busybox::build(tree, b"program", &busybox::applets(Path::new("/nonexistent"))).expect("built");
        assert_eq!(fs::read(dir.path().join("bin/busybox")).expect("it is there"), b"program");
        describe(dir.path())
    };
    let tree = built();
    assert_eq!(tree, built());
    for name in ["bin/sh", "bin/ping", "bin/hostname", "sbin/ip", "bin/cat", "sbin/init"] {
        let line = format!("{name:?} 777 0:0 1735689600.000000000 /bin/busybox []");
        assert!(tree.contains(&line), "{name} is missing");
    }
}
