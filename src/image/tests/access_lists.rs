//! Access control lists come out as GNU tar unpacks them, and name nobody whom the image does not have.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, setxattr};
use tar::EntryType;

use super::super::acl::{ACCESS, Acl, DEFAULT};
use super::raw::Raw;
use super::{Room, chain, describe, run, text, xattrs};

/// Numbers that Debian gives names to (`daemon` and `staff`), as the tree does, and others that nobody gives a name.
const ACCESS_TEXT: &str = "user::rw-,user:1:r--,user:4321:rw-,group::r--,group:50:rwx,mask::rwx,other::---";
const DEFAULT_TEXT: &str = "user::rwx,user:1:rwx,group::r-x,mask::rwx,other::---";

fn binary(acl: &str) -> Vec<u8> {
    Acl::parse(acl.as_bytes()).and_then(|acl| acl.to_binary()).expect("numbers alone")
}

/// A tree with lists on a file and on directories, and things in those that have none.
fn tree(top: &Path) -> PathBuf {
    fs::create_dir_all(top.join("etc/inner")).expect("directories");
    fs::write(top.join("etc/passwd"), "root:x:0:0::/:/bin/sh\ndaemon:x:1:1::/:/bin/sh\nlisa:x:4321:1::/:\n")
        .expect("a file");
    fs::write(top.join("etc/group"), "root:x:0:\nstaff:x:50:lisa\n").expect("a file");
    fs::write(top.join("etc/inner/without"), "a file").expect("a file");
    fs::write(top.join("listed"), "a file").expect("a file");
    for (name, attribute, acl) in [
        ("listed", ACCESS, ACCESS_TEXT),
        ("etc/inner", ACCESS, ACCESS_TEXT),
        ("etc", DEFAULT, DEFAULT_TEXT),
        ("etc/inner", DEFAULT, DEFAULT_TEXT),
        ("", DEFAULT, DEFAULT_TEXT),
    ] {
        setxattr(top.join(name), attribute, &binary(acl), XattrFlags::empty()).expect("a list");
    }
    top.to_owned()
}

fn source(room: &Room) -> PathBuf {
    fs::create_dir(room.path("source")).expect("a directory");
    tree(&room.path("source"))
}

/// The archive `archive` as GNU tar unpacks it.
fn unpacked_by_tar(room: &Room, archive: &Path) -> PathBuf {
    let to = room.path("by-tar");
    fs::create_dir(&to).expect("a directory");
    run("tar", &["--acls", "--xattrs", "--xattrs-include=*", "-C", text(&to), "-xpf", text(archive)]);
    to
}

#[test]
fn lists_come_out_as_gnu_tar_unpacks_them() {
    for options in [&["--acls"][..], &["--acls", "--numeric-owner"], &["--acls", "--xattrs", "--xattrs-include=*"]] {
        let room = Room::new();
        let (source, archive) = (source(&room), room.path("a.tar.zst"));
        run("tar", &[options, &["--format=posix", "-C", text(&source), "-caf", text(&archive), "."]].concat());
        let unpacked = room.fetch(&archive).expect("it is a good archive");
        assert_eq!(describe(&unpacked), describe(&unpacked_by_tar(&room, &archive)), "{options:?}");
        let listed = xattrs(&unpacked.join("etc/inner"));
        assert_eq!(listed, [(ACCESS.to_owned(), binary(ACCESS_TEXT)), (DEFAULT.to_owned(), binary(DEFAULT_TEXT))]);
        assert_eq!(xattrs(&unpacked.join("etc/inner/without")), []);
        assert_eq!(xattrs(&unpacked), [(DEFAULT.to_owned(), binary(DEFAULT_TEXT))]);
    }
}

#[test]
fn lists_of_a_directory_are_copied_and_exported_as_tar_reads_them() {
    let room = Room::new();
    let source = source(&room);
    let copied = room.fetch(&source).expect("it is a good directory");
    assert_eq!(describe(&copied), describe(&source));
    let (digest, exported) = (room.available_or_stored(&source), room.path("exported.tar.zst"));
    room.images.export(&digest, &exported).expect("exported");
    let by_tar = unpacked_by_tar(&room, &exported);
    for name in ["", "etc", "etc/inner", "etc/inner/without", "listed"] {
        assert_eq!(xattrs(&by_tar.join(name)), xattrs(&source.join(name)), "{name}");
    }
    let again = room.fetch(&exported).expect("it is a good archive");
    assert_eq!(describe(&again), describe(&by_tar));
}

/// A record of an extended header.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length = (rest.len()..rest.len() + 9)
        .find(|length| length.to_string().len() + rest.len() == *length)
        .expect("some length");
    format!("{length}{rest}").into_bytes()
}

/// An archive with the list `acl` on a file, whose tree knows `lisa` and `many`, and the error or the list that comes of it.
fn unpack(key: &str, acl: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let archive = Raw::default()
        .add(EntryType::XHeader, "x", "", &record(key, acl))
        .file("listed", "")
        .file("etc/passwd", "root:x:0:0::/:\nlisa:x:77:1::/:\nlisa:x:78:1::/:\nmany:x:70000:1::/:\n")
        .file("etc/group", "root:x:0:\nstaff:x:88:\n")
        .end();
    let room = Room::new();
    fs::write(room.path("archive"), archive).expect("a file");
    let fetched = room.fetch(&room.path("archive"));
    if fetched.is_err() {
        assert_eq!(room.stored(), [""; 0]);
    }
    fetched
        .map(|unpacked| xattrs(&unpacked.join("listed")))
        .map_err(|error| chain(&error).replace(text(room.dir.path()), ""))
}

#[test]
fn a_name_is_what_the_image_itself_calls_so() {
    let named = "user::rw-,user:lisa:r--,group::r--,group:staff:rw-,mask::rw-,other::---";
    let numbers = "user::rw-,user:77:r--,group::r--,group:88:rw-,mask::rw-,other::---";
    assert_eq!(unpack("SCHILY.acl.access", named), Ok(vec![(ACCESS.to_owned(), binary(numbers))]));
    // As libarchive and star write it: the number counts.
    let both = "user::rw-,user:root:r--:77,group::r--,group:nobody:rw-:88,mask::rw-,other::---";
    assert_eq!(unpack("SCHILY.acl.access", both), Ok(vec![(ACCESS.to_owned(), binary(numbers))]));
    // Nothing but a directory has such a list.
    assert_eq!(unpack("SCHILY.acl.default", named), Ok(Vec::new()));
    let unknown = "user::rw-,user:sven:r--,group::r--,mask::rw-,other::---";
    assert_eq!(
        unpack("SCHILY.acl.access", unknown),
        Err(
            "cannot unpack `/archive`: cannot accept entry `listed`: its access list names the user `sven`, which the \
             image does not have"
                .to_owned()
        )
    );
}

#[test]
fn lists_that_are_malformed_or_name_whom_no_container_has_are_refused() {
    let malformed = "cannot unpack `/archive`: cannot read the archive: it is damaged or incomplete: an access control list is malformed";
    for acl in [
        "user::rw-",
        "nonsense",
        "user::rw-,group::r--,other::r--,other::r--",
        "user::rw-,user:7:r--,group::r--,other::---",
    ] {
        assert_eq!(unpack("SCHILY.acl.access", acl), Err(malformed.to_owned()), "{acl}");
        assert_eq!(unpack("SCHILY.acl.default", acl), Err(malformed.to_owned()), "{acl}");
    }
    assert_eq!(unpack(&format!("SCHILY.xattr.{ACCESS}"), "\u{2}\0\0\0\u{1}"), Err(malformed.to_owned()));
    for who in ["user:70000", "user:many", "group:70000"] {
        let acl = format!("user::rw-,{who}:r--,group::r--,mask::rw-,other::---");
        let why = unpack("SCHILY.acl.access", &acl).expect_err("nobody has it");
        assert!(why.ends_with(" 70000 is above 65535, the last id of a container"), "{why}");
    }
}

#[test]
fn a_later_entry_has_none_of_the_lists_of_an_earlier_one() {
    let acl = |key| record(key, "user::rwx,user:lisa:rwx,group::r--,mask::rwx,other::---");
    let both = [acl("SCHILY.acl.access"), acl("SCHILY.acl.default")].concat();
    let numbers = record("SCHILY.acl.access", "user::rwx,user:7:rwx,group::r--,mask::rwx,other::---");
    let archive = Raw::default()
        .file("etc/passwd", "lisa:x:77:1::/:\n")
        .add(EntryType::XHeader, "x", "", &both)
        .directory("twice/")
        .directory("twice/")
        .add(EntryType::XHeader, "x", "", &numbers)
        .directory("number/")
        .directory("number/")
        .add(EntryType::XHeader, "x", "", &both)
        .file("file", "")
        .file("file", "")
        .add(EntryType::XHeader, "x", "", &both)
        .file("link", "")
        .symlink("link", "etc/passwd")
        .end();
    let room = Room::new();
    fs::write(room.path("archive"), archive).expect("a file");
    let unpacked = room.fetch(&room.path("archive")).expect("it is a good archive");
    for name in ["twice", "number", "file", "etc/passwd"] {
        assert_eq!(xattrs(&unpacked.join(name)), [], "{name}");
    }
}
