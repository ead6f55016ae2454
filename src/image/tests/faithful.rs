//! What GNU tar packs comes out as GNU tar unpacks it.

use std::fs::{self, File, FileTimes, Permissions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, Mode, XattrFlags, mknodat, setxattr};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};

use super::{Room, describe, run, text};

/// File capabilities (capabilities(7), version 2) whose permitted set is bits 1 and 3: as bytes, a line end.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A directory with one of everything that a root file system may have.
fn everything(top: &Path) -> PathBuf {
    let at = |name: &str| top.join(name);
    let mode = |name: &str, mode| fs::set_permissions(at(name), Permissions::from_mode(mode)).expect("its mode");
    fs::create_dir_all(at("usr/bin")).expect("directories");
    fs::create_dir_all(at("etc/empty")).expect("directories");
    symlink("usr/bin", at("bin")).expect("a link");
    symlink("/nowhere/at all", at("etc/dangling")).expect("a link");
    lchown(at("etc/dangling"), Some(7), Some(8)).expect("its owner");

    fs::write(at("usr/bin/su"), "setuid").expect("a file");
    chown(at("usr/bin/su"), Some(0), Some(42)).expect("its owner");
    mode("usr/bin/su", 0o6755);
    fs::write(at("usr/bin/ping"), "capable").expect("a file");
    setxattr(at("usr/bin/ping"), "security.capability", CAPABILITY, XattrFlags::empty()).expect("capabilities");
    setxattr(at("etc"), "user.note", b"\nline\0null\n", XattrFlags::empty()).expect("an attribute");

    fs::write(at("etc/passwd"), "root:x:0:0::/:/bin/sh\n").expect("a file");
    chown(at("etc/passwd"), Some(1000), Some(65_535)).expect("its owner");
    fs::hard_link(at("etc/passwd"), at("usr/passwd")).expect("a hard link");
    fs::write(at("etc/line\nend"), "a name with a line end").expect("a file");
    fs::write(at("etc/.wh.whiteout"), "ordinary here").expect("a file");
    let long = format!("etc/{}/{}", "d".repeat(200), "n".repeat(250));
    fs::create_dir(at(&long).parent().expect("it has one")).expect("a directory");
    fs::write(at(&long), vec![7; 70_000]).expect("a file");
    symlink("t".repeat(300), at("etc/long link")).expect("a link");
    mknodat(rustix::fs::CWD, at("etc/pipe"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).expect("a pipe");

    let mut sparse = File::create(at("usr/sparse")).expect("a file");
    for piece in 1_u64..60 {
        sparse.seek(SeekFrom::Start(piece << 16)).expect("seeks");
        sparse.write_all(b"between holes").expect("writes");
    }
    sparse.set_len(4 << 20).expect("a hole at the end");

    mode("etc/empty", 0o1777);
    for (name, at_ns) in [("etc/empty", 1_234_567_890), ("usr/bin/su", 999_999_999_999_999_999), ("", 5_000_000_007)] {
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(at_ns);
        let file = File::open(at(name)).expect("it is there");
        file.set_times(FileTimes::new().set_modified(time)).expect("its time");
    }
    mode("", 0o755);
    top.to_owned()
}

/// Packs `from` with `options`, and compares what comes out here with what comes out of GNU tar.
fn compare(options: &[&str], name: &str) {
    let room = Room::new();
    fs::create_dir(room.path("source")).expect("a directory");
    let source = everything(&room.path("source"));
    let archive = room.path(name);
    run("tar", &[options, &["-C", text(&source), "-caf", text(&archive), "."]].concat());
    let expected = room.path("expected");
    fs::create_dir(&expected).expect("a directory");
    let unpack = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-C", text(&expected), "-xpf", text(&archive)];
    run("tar", &unpack);

    let unpacked = room.fetch(&archive).expect("it is a good archive");
    assert_eq!(describe(&unpacked), describe(&expected), "{name} {options:?}");
    let sparse = fs::metadata(unpacked.join("usr/sparse")).expect("it is there");
    if options.contains(&"-S") {
        assert!(sparse.blocks() * 512 < 1 << 20, "holes stay holes in {name} {options:?}");
    }
}

const XATTRS: [&str; 3] = ["--format=posix", "--xattrs", "--xattrs-include=*"];

#[test]
fn pax_archives_come_out_as_gnu_tar_unpacks_them() {
    compare(&XATTRS, "a.tar");
    compare(&[&XATTRS[..], &["-S"]].concat(), "b.tar.gz");
    compare(&[&XATTRS[..], &["-S", "--sparse-version=0.1"]].concat(), "c.tar.zst");
    compare(&[&XATTRS[..], &["-S", "--sparse-version=0.0"]].concat(), "d.tar.xz");
}

#[test]
fn gnu_archives_come_out_as_gnu_tar_unpacks_them() {
    compare(&["--format=gnu"], "a.tar.gz");
    compare(&["--format=gnu", "-S"], "b.tar.zst");
    compare(&["--format=oldgnu", "-S"], "c.tar.xz");
}

#[test]
fn a_directory_is_copied_as_it_is() {
    let room = Room::new();
    fs::create_dir(room.path("source")).expect("a directory");
    let source = everything(&room.path("source"));
    let unpacked = room.fetch(&source).expect("it is a good directory");
    assert_eq!(describe(&unpacked), describe(&source));
    assert!(fs::metadata(unpacked.join("usr/sparse")).expect("it is there").blocks() * 512 < 1 << 20);
}

/// Something mounted for one test.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn what_is_mounted_in_a_directory_stays_behind() {
    let room = Room::new();
    let source = room.path("source");
    fs::create_dir_all(source.join("dir")).expect("directories");
    fs::write(source.join("kept"), "kept").expect("a file");
    fs::write(source.join("covered"), "covered").expect("a file");
    mount("none", source.join("dir"), "tmpfs", MountFlags::empty(), None).expect("mounted");
    let _directory = Mounted(source.join("dir"));
    fs::write(source.join("dir/secret"), "of another file system").expect("a file");
    // Of the same file system: a device number does not tell.
    mount_bind(source.join("kept"), source.join("covered")).expect("mounted");
    let _file = Mounted(source.join("covered"));
    let unpacked = room.fetch(&source).expect("it is a good directory");
    let names: Vec<_> = describe(&unpacked).iter().map(|line| line.split(' ').next().map(str::to_owned)).collect();
    assert_eq!(names, [r#""""#, r#""dir""#, r#""kept""#].map(|name| Some(name.to_owned())));
}

#[test]
fn archives_in_several_parts_are_read_to_their_end() {
    for (program, suffix) in [("gzip", "gz"), ("xz", "xz"), ("zstd", "zst")] {
        let room = Room::new();
        fs::create_dir(room.path("source")).expect("a directory");
        fs::write(room.path("source/file"), vec![b'x'; 100_000]).expect("a file");
        let plain = room.path("plain.tar");
        run("tar", &["--format=posix", "-C", text(&room.path("source")), "-cf", text(&plain), "."]);
        let bytes = fs::read(&plain).expect("readable");
        let packed = room.path(&format!("packed.tar.{suffix}"));
        let mut all = Vec::new();
        for (number, half) in bytes.chunks(bytes.len() / 2 + 1).enumerate() {
            let part = room.path(&format!("part{number}"));
            fs::write(&part, half).expect("a file");
            run(program, &["-q", text(&part)]);
            all.extend(fs::read(room.path(&format!("part{number}.{suffix}"))).expect("readable"));
        }
        fs::write(&packed, all).expect("a file");
        let unpacked = room.fetch(&packed).expect("it is a good archive");
        assert_eq!(describe(&unpacked), describe(&room.path("source")));
    }
}

#[test]
fn a_real_alpine_comes_out_as_gnu_tar_unpacks_it() {
    // Set to the path of an Alpine root file system archive; without it there is nothing to compare.
    let Some(archive) = std::env::var_os("FLEET_TEST_ALPINE").map(PathBuf::from) else { return };
    let room = Room::new();
    let expected = room.path("expected");
    fs::create_dir(&expected).expect("a directory");
    run("tar", &["--numeric-owner", "-C", text(&expected), "-xpf", text(&archive)]);
    let unpacked = room.fetch(&archive).expect("it is a good archive");
    assert_eq!(describe(&unpacked), describe(&expected));
}
