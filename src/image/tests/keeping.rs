//! What is found out about sources, what the store keeps, and what it throws away.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::thread;

use super::super::Pruned;
use super::raw::Raw;
use super::{Room, chain, file, run, text};
use crate::model::{ImageDigest, ImageSource, ImageState};

fn archive(room: &Room, name: &str, content: &str) -> std::path::PathBuf {
    let source = room.path(&format!("{name}-source"));
    fs::create_dir(&source).expect("a directory");
    fs::write(source.join("file"), content).expect("a file");
    let path = room.path(name);
    run("tar", &["-C", text(&source), "-caf", text(&path), "."]);
    path
}

fn why(state: ImageState) -> (String, Option<String>) {
    match state {
        ImageState::Unavailable { why, hint } => (why, hint),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_source_that_cannot_be_had_says_why() {
    let room = Room::new();
    let observe = |path: &Path, sha256: Option<String>| {
        let source = ImageSource::File { path: path.to_owned(), sha256 };
        why(room.images.observe(&source)).0.replace(text(room.dir.path()), "")
    };
    assert_eq!(observe(&room.path("missing"), None), "`/missing` does not exist");
    fs::write(room.path("text"), "no archive at all").expect("a file");
    assert_eq!(observe(&room.path("text"), None), "`/text` is not a tar archive");
    assert_eq!(observe(Path::new("/dev/zero"), None), "`/dev/zero` is not a tar archive");
    let path = archive(&room, "a.tar.gz", "a");
    let digest = room.available(&path);
    let other = "0".repeat(64);
    let expected = format!("its SHA-256 is {digest}, the fleet file says {other}");
    assert_eq!(observe(&path, Some(other.clone())), expected);
    let source = ImageSource::File { path, sha256: Some(digest.0.clone()) };
    assert_eq!(room.images.observe(&source), ImageState::Available(digest));
    let directory = observe(&room.path("a.tar.gz-source"), Some(other));
    assert_eq!(directory, "`/a.tar.gz-source` is a directory, and only an archive has a SHA-256");
    assert_eq!(room.stored(), [""; 0]);
}

#[test]
fn a_directory_with_owners_that_no_container_has_is_found_at_once() {
    let room = Room::new();
    fs::create_dir(room.path("source")).expect("a directory");
    fs::write(room.path("source/x"), "").expect("a file");
    std::os::unix::fs::chown(room.path("source/x"), Some(100_000), None).expect("its owner");
    let (why, _) = why(room.images.observe(&file(&room.path("source"))));
    assert_eq!(why, "cannot accept entry `x`: its owner 100000 is above 65535, the last id of a container");
}

#[test]
fn a_directory_has_another_digest_when_anything_in_it_changes() {
    let room = Room::new();
    let source = room.path("source");
    fs::create_dir_all(source.join("d")).expect("directories");
    fs::write(source.join("d/x"), "1").expect("a file");
    let first = room.available(&source);
    assert_eq!(room.available(&source), first);
    fs::set_permissions(source.join("d/x"), Permissions::from_mode(0o600)).expect("its mode");
    let second = room.available(&source);
    assert_ne!(second, first);
    std::os::unix::fs::symlink("x", source.join("d/y")).expect("a link");
    assert_ne!(room.available(&source), second);
}

#[test]
fn an_archive_that_changed_since_the_plan_is_not_published() {
    let room = Room::new();
    let path = archive(&room, "a.tar.gz", "a");
    let planned = room.available(&path);
    fs::rename(archive(&room, "b.tar.gz", "b"), &path).expect("replaced");
    let found = room.available(&path);
    let error = room.images.fetch(&file(&path), &planned, None).expect_err("it is another");
    let path = path.display();
    let expected = format!("cannot verify `{path}`: its SHA-256 is {found}, the plan was made for {planned}");
    assert_eq!(chain(&error), expected);
    assert_eq!(room.stored(), [""; 0]);
}

#[test]
fn an_image_is_unpacked_once_and_closed_to_other_users() {
    let room = Room::new();
    let path = archive(&room, "a.tar.xz", "content");
    let digest = room.available(&path);
    let unpacked = room.fetch(&path).expect("a good archive");
    assert_eq!(fs::read_to_string(unpacked.join("file")).expect("unpacked"), "content");
    let mode = |name: &str| fs::metadata(room.path(name)).expect("it is there").mode() & 0o777;
    assert_eq!((mode("installation/fleet"), mode("installation/fleet/images")), (0o711, 0o700));
    let inode = fs::metadata(&unpacked).expect("it is there").ino();
    fs::remove_file(&path).expect("not needed any more");
    room.images.fetch(&file(&path), &digest, None).expect("it is stored");
    assert_eq!(fs::metadata(&unpacked).expect("it is there").ino(), inode);
    assert_eq!(room.stored(), [digest.0.as_str()]);
    let record = fs::read_to_string(unpacked.with_file_name("image.json")).expect("it has a record");
    let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    assert_eq!(record["source"], format!("file:{}", path.display()));
}

#[test]
fn one_image_from_two_threads_and_two_files_is_stored_once() {
    let room = Room::new();
    let one = archive(&room, "a.tar", "content");
    let two = room.path("b.tar");
    fs::copy(&one, &two).expect("copied");
    let digest = room.available(&one);
    thread::scope(|scope| {
        for path in [&one, &two, &one, &two] {
            scope.spawn(|| room.images.fetch(&file(path), &digest, None).expect("fetched"));
        }
    });
    assert_eq!(room.stored(), [digest.0.as_str()]);
}

/// Tidies up but for the images `used`; what was removed.
fn pruned(room: &Room, used: &[ImageDigest]) -> Vec<ImageDigest> {
    let Pruned { removed, failures } = room.images.prune(used);
    assert!(failures.is_empty(), "{failures:?}");
    removed
}

#[test]
fn what_a_killed_fetch_left_goes_with_the_next() {
    let room = Room::new();
    let path = archive(&room, "a.tar", "content");
    let digest = room.available(&path);
    let store = room.path("installation/fleet/images");
    let left = store.join(format!(".draft-{digest}-1-0"));
    let others = store.join(format!(".draft-{}-1-0", "0".repeat(64)));
    fs::create_dir_all(left.join("rootfs/usr")).expect("directories");
    fs::create_dir_all(others.join("rootfs/usr")).expect("directories");
    room.fetch(&path).expect("a good archive");
    assert!(!left.exists());
    assert!(others.exists());
    assert_eq!(pruned(&room, std::slice::from_ref(&digest)), []);
    assert_eq!(room.stored(), [digest.0.as_str()]);
}

#[test]
fn images_that_nobody_uses_are_pruned_and_others_listed_with_their_size() {
    let room = Room::new();
    assert_eq!(room.images.list().expect("an empty store"), []);
    assert_eq!(pruned(&room, &[]), []);
    let (small, large) = (archive(&room, "a.tar", "content"), archive(&room, "b.tar", &"x".repeat(100_000)));
    let digests: Vec<ImageDigest> = [&small, &large].map(|path| room.available(path)).into();
    let unpacked = [&small, &large].map(|path| room.fetch(path).expect("a good archive"));
    fs::write(room.path("installation/fleet/images/notes"), "not ours").expect("a file");

    let sizes: Vec<u64> = digests
        .iter()
        .map(|digest| {
            let listed = room.images.list().expect("listed");
            listed.iter().find(|stored| stored.digest == *digest).expect("it is there").bytes
        })
        .collect();
    let occupied = |name: &Path| fs::metadata(name).expect("it is there").blocks() * 512;
    // Two directories and the file.
    let rootfs = &unpacked[1];
    let image = rootfs.parent().expect("it has one");
    let expected = occupied(image) + occupied(rootfs) + occupied(&rootfs.join("file"));
    assert_eq!(sizes[1], expected);
    assert!(sizes[0] < sizes[1]);

    assert_eq!(pruned(&room, &digests[1..]), digests[..1]);
    assert!(room.path("installation/fleet/images/notes").exists());
    assert_eq!(room.images.list().expect("listed").len(), 1);
}

#[test]
fn what_an_earlier_version_noted_of_an_image_still_tells_whether_it_has_changed() {
    let room = Room::new();
    let path = room.path("a.tar");
    fs::write(&path, Raw::default().file("a", "content").directory("d").end()).expect("a file");
    let unpacked = room.fetch(&path).expect("a good archive");
    let digest = room.available_or_stored(&path);
    let record = unpacked.with_file_name("image.json");
    let mut noted: serde_json::Value =
        serde_json::from_slice(&fs::read(&record).expect("it has a record")).expect("JSON");
    assert!(noted["contents"].as_str().is_some_and(|hash| hash.starts_with("2:")), "{noted}");
    // As version 0.1 wrote it: of SHA-256 alone.
    noted["contents"] = "ee9afa23fe150dd489143ca2d5ee40ebf8d1986e820907982047887ef4fd19c9".into();
    fs::write(&record, noted.to_string()).expect("written");
    assert_eq!(room.images.is_intact(&digest).expect("readable"), Some(true));
    fs::write(unpacked.join("a"), "CONTENT").expect("written");
    fs::set_permissions(unpacked.join("a"), Permissions::from_mode(0o4755)).expect("its mode");
    assert_eq!(room.images.is_intact(&digest).expect("readable"), Some(false));
}
