//! Archives made to get out of their tree, and broken ones: nothing outside changes, nothing half is kept.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tar::{EntryType, Header};

use super::super::error::TreeError;
use super::super::tree::Limits;
use super::super::unpack::{Contents, unpack};
use super::raw::Raw;
use super::{Room, chain, describe, run, text, xattrs};
use crate::model::{Bytes, ImageLimits};

/// A directory outside of any tree, which every archive here tries to reach.
fn outside(room: &Room) -> String {
    fs::create_dir(room.path("outside")).expect("a directory");
    fs::write(room.path("outside/file"), "untouched").expect("a file");
    text(&room.path("outside")).to_owned()
}

/// Fetches an archive that must be refused; returns why. Nothing else may have come of it.
fn refused(room: &Room, archive: &[u8]) -> String {
    let outside = room.path("outside").exists().then(|| describe(&room.path("outside")));
    let path = room.path("archive");
    fs::write(&path, archive).expect("a file");
    let error = room.fetch(&path).expect_err("it must be refused");
    assert_eq!(room.stored(), [""; 0]);
    assert_eq!(room.path("outside").exists().then(|| describe(&room.path("outside"))), outside);
    chain(&error).replace(text(room.dir.path()), "")
}

/// Fetches an archive that is fit to use; returns its names with their contents.
fn accepted(room: &Room, archive: &[u8]) -> Vec<String> {
    let path = room.path("archive");
    fs::write(&path, archive).expect("a file");
    let unpacked = room.fetch(&path).expect("it must be accepted");
    let mut found = Vec::new();
    show(&unpacked, &unpacked, &mut found);
    found.sort();
    found
}

fn show(top: &Path, path: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(path).expect("readable") {
        let path = entry.expect("readable").path();
        let kind = fs::symlink_metadata(&path).expect("it is there").file_type();
        let content = if kind.is_symlink() {
            format!(" -> {}", fs::read_link(&path).expect("a link").display())
        } else if kind.is_dir() {
            show(top, &path, found);
            "/".to_owned()
        } else {
            format!(": {}", fs::read_to_string(&path).expect("readable"))
        };
        found.push(format!("{}{content}", path.strip_prefix(top).expect("below the top").display()));
    }
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["../x", "a/../../x", "/etc/passwd", "a/.."] {
        let room = Room::new();
        let why = refused(&room, &Raw::default().file("a/b", "").file(name, "evil").end());
        let expected = "a name must be relative, without `..` and null bytes";
        assert_eq!(why, format!("cannot unpack `/archive`: cannot accept entry `{name}`: {expected}"));
    }
}

#[test]
fn what_lies_deeper_than_anything_may_is_refused_and_goes() {
    let too_deep = "cannot accept what is below `d/d/d`: it lies more than 128 directories deep";
    let long = |depth: usize| "d/".repeat(depth) + "file";
    let named = |depth: usize| {
        let data = long(depth) + "\0";
        Raw::default().add(EntryType::GNULongName, "x", "", data.as_bytes()).file("short", "").end()
    };
    for depth in [128, 2200] {
        let why = refused(&Room::new(), &named(depth));
        assert_eq!(why, format!("cannot unpack `/archive`: {too_deep}"));
    }
    assert!(Room::new().fetch_bytes(&named(127)).is_ok());
    // By links that lead on from where the last one led.
    let (way, file) = ("d/".repeat(45), long(45));
    let archive = Raw::default().file(&file, "").symlink("l", &way).file(&format!("l/{file}"), "");
    let why = refused(&Room::new(), &archive.symlink("m", &format!("l/{way}")).file(&format!("m/{file}"), "").end());
    assert!(why.ends_with(too_deep), "{why}");
    let room = Room::new();
    fs::create_dir_all(room.path("source").join("d/".repeat(200))).expect("made");
    let found = room.images.observe(&super::file(&room.path("source")));
    assert!(format!("{found:?}").contains("more than 128 directories deep"), "{found:?}");
}

#[test]
fn a_null_byte_in_a_pax_name_is_refused() {
    let room = Room::new();
    let archive = Raw::default().add(EntryType::XHeader, "x", "", b"14 path=a\0b/c\n").file("short", "").end();
    assert!(refused(&room, &archive).contains(r"cannot accept entry `a\x00b/c`"));
}

#[test]
fn a_file_behind_a_link_to_the_outside_lands_inside() {
    let room = Room::new();
    let outside = outside(&room);
    let before = describe(Path::new(&outside));
    // A header has room for a hundred bytes.
    let up = "../../../../../../../../../../../../up";
    let archive = Raw::default().symlink("a", &outside).file("a/file", "inside");
    let found = accepted(&room, &archive.symlink("b", up).file("b/file", "inside").end());
    assert_eq!(describe(Path::new(&outside)), before);
    assert!(found.contains(&format!("a -> {outside}")), "{found:?}");
    assert!(found.contains(&format!("{}/file: inside", &outside[1..])), "{found:?}");
    assert!(found.contains(&"up/file: inside".to_owned()), "{found:?}");
}

#[test]
fn links_in_a_circle_are_refused() {
    let why = refused(&Room::new(), &Raw::default().symlink("a", "b").symlink("b", "a").file("a/x", "").end());
    assert!(why.starts_with("cannot unpack `/archive`: cannot write entry `a/x`: "), "{why}");
}

#[test]
fn hard_links_reach_nothing_outside() {
    let room = Room::new();
    let outside = outside(&room);
    let why = refused(&room, &Raw::default().hard_link("x", "../../../../../../etc/passwd").end());
    assert!(why.contains("cannot accept entry `../../../../../../etc/passwd`"), "{why}");
    let why = refused(&room, &Raw::default().hard_link("x", "/etc/passwd").end());
    assert_eq!(why, "cannot unpack `/archive`: cannot write entry `x`: No such file or directory (os error 2)");
    let through = Raw::default().symlink("a", &outside).hard_link("x", "a/file").end();
    let why = refused(&room, &through);
    assert_eq!(why, "cannot unpack `/archive`: cannot write entry `x`: No such file or directory (os error 2)");
}

#[test]
fn a_hard_link_to_a_link_is_a_link_and_not_what_it_points_to() {
    let room = Room::new();
    let outside = outside(&room);
    let target = format!("{outside}/file");
    let archive = Raw::default().symlink("a", &target).hard_link("b", "a").file("c", "c").hard_link("d", "/c");
    let found = accepted(&room, &archive.hard_link("c", "d").end());
    assert_eq!(found, [format!("a -> {target}"), format!("b -> {target}"), "c: c".to_owned(), "d: c".to_owned()]);
    assert_eq!(fs::metadata(room.path("outside/file")).expect("it is there").nlink(), 1);
}

#[test]
fn a_later_entry_takes_the_place_of_an_earlier_one() {
    let room = Room::new();
    let outside = outside(&room);
    let before = describe(Path::new(&outside));
    let archive = Raw::default()
        .symlink("file-over-link", &format!("{outside}/file"))
        .file("file-over-link", "new")
        .file("link-over-file", "old")
        .symlink("link-over-file", "target")
        .file("directory-over-file", "old")
        .directory("directory-over-file/")
        .file("directory-over-file/x", "x")
        .directory("file-over-directory/")
        .file("file-over-directory", "new")
        .file("one", "1")
        .hard_link("two", "one")
        .file("two", "2")
        .directory("was/")
        .symlink("was", "now")
        .file("was/x", "through the link")
        .end();
    let expected = [
        "directory-over-file/",
        "directory-over-file/x: x",
        "file-over-directory: new",
        "file-over-link: new",
        "link-over-file -> target",
        "now/",
        "now/x: through the link",
        "one: 1",
        "two: 2",
        "was -> now",
    ];
    assert_eq!(accepted(&room, &archive), expected);
    assert_eq!(describe(Path::new(&outside)), before);
}

#[test]
fn a_directory_entry_leaves_a_link_to_a_directory() {
    let archive = Raw::default().directory("usr/lib").symlink("lib", "usr/lib").directory("lib/").file("lib/x", "x");
    let expected = ["lib -> usr/lib", "usr/", "usr/lib/", "usr/lib/x: x"];
    assert_eq!(accepted(&Room::new(), &archive.end()), expected);
}

#[test]
fn a_file_does_not_take_the_place_of_a_full_directory() {
    let why = refused(&Room::new(), &Raw::default().file("a/x", "").file("a", "").end());
    assert_eq!(why, "cannot unpack `/archive`: cannot write entry `a`: Directory not empty (os error 39)");
}

#[test]
fn devices_are_left_out() {
    let mut archive = Raw::default().file("kept", "kept");
    for (name, kind) in [("dev/sda", EntryType::Block), ("dev/mem", EntryType::Char)] {
        archive = archive.add(kind, name, "", b"");
    }
    assert_eq!(accepted(&Room::new(), &archive.end()), ["kept: kept"]);
}

#[test]
fn owners_that_no_container_has_are_refused() {
    let archive = Raw::default().add_owned(EntryType::Regular, "etc/x", "", b"", 65_536).end();
    assert_eq!(
        refused(&Room::new(), &archive),
        "cannot unpack `/archive`: cannot accept entry `etc/x`: its owner 65536 is above 65535, the last id of a \
         container"
    );
    let pax = Raw::default().add(EntryType::XHeader, "x", "", b"18 gid=4294967296\n").file("y", "").end();
    assert!(refused(&Room::new(), &pax).contains("its group 4294967296 is above"));
}

#[test]
fn attributes_that_are_orders_to_the_host_are_dropped() {
    let mut records = Vec::new();
    for key in ["trusted.overlay.opaque", "user.overlay.opaque", "security.selinux", "user.kept"] {
        let record = format!("SCHILY.xattr.{key}=y\n");
        records.extend_from_slice(format!("{} {record}", record.len() + 3).as_bytes());
    }
    let room = Room::new();
    let path = room.path("archive");
    let archive = Raw::default().add(EntryType::XHeader, "x", "", &records).directory("d/").end();
    fs::write(&path, archive).expect("a file");
    let unpacked = room.fetch(&path).expect("it is accepted");
    assert_eq!(xattrs(&unpacked.join("d")), [("user.kept".to_owned(), b"y".to_vec())]);
}

#[test]
fn truncated_and_damaged_archives_leave_nothing() {
    let room = Room::new();
    fs::create_dir(room.path("source")).expect("a directory");
    let noise: Vec<u8> = (0_u32..300_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(room.path("source/noise"), noise).expect("a file");
    for name in ["a.tar", "a.tar.gz", "a.tar.xz", "a.tar.zst"] {
        let path = room.path(name);
        run("tar", &["-C", text(&room.path("source")), "-caf", text(&path), "."]);
        let whole = fs::read(&path).expect("readable");
        let middle = whole.len() / 2;
        // Cut in a plain archive's last entry, which is behind the middle.
        for cut in [middle, 1] {
            let why = refused(&room, &whole[..whole.len() - if name == "a.tar" { cut.max(20_000) } else { cut }]);
            assert!(
                why.starts_with("cannot unpack `/archive`: cannot read the archive: it is damaged"),
                "{name} {why}"
            );
        }
        if name != "a.tar" {
            let mut damaged = whole;
            damaged[middle] ^= 0x55;
            let why = refused(&room, &damaged);
            assert!(
                why.starts_with("cannot unpack `/archive`: cannot read the archive: it is damaged"),
                "{name} {why}"
            );
        }
    }
}

#[test]
fn an_archive_without_its_end_is_incomplete() {
    let archive = Raw::default().file("a", "a").0;
    assert_eq!(
        refused(&Room::new(), &archive),
        "cannot unpack `/archive`: cannot read the archive: it is damaged or incomplete: its end marker is missing"
    );
}

#[test]
fn more_than_the_limit_is_refused() {
    let unpacked = |archive: Vec<u8>, bytes, entries| {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let result = unpack(archive.as_slice(), Contents::Root, dir.path(), Limits { bytes, entries });
        result.map(drop).map_err(|error: TreeError| chain(&error))
    };
    let three = || Raw::default().file("a", "12345").file("b", "12345").file("c", "12345").end();
    assert_eq!(unpacked(three(), 100_000, 3), Ok(()));
    assert_eq!(unpacked(three(), 100_000, 2), Err("cannot accept more than 2 files in one image".to_owned()));
    let mut bomb = Raw::default().file("a", "").end();
    bomb.resize(10_000, 0);
    let why = unpacked(bomb, 2048, 3).expect_err("too much padding");
    assert!(why.ends_with("cannot accept more than 2KiB in one image"), "{why}");
    assert_eq!(unpacked(holes("0\n"), 8192, 9), Err("cannot accept more than 8KiB in one image".to_owned()));
    let pieces = |count: usize| holes(&format!("{count}\n{}", "0\n0\n".repeat(count)));
    assert_eq!(unpacked(pieces(100), 12_288, 1), Ok(()));
    assert_eq!(unpacked(pieces(200), 12_288, 1), Err("cannot accept more than 12KiB in one image".to_owned()));
}

/// An archive with a file of 10000 bytes in GNU's sparse format 1.0, whose map is `map`.
fn holes(map: &str) -> Vec<u8> {
    let records = b"22 GNU.sparse.major=1\n29 GNU.sparse.realsize=10000\n";
    let mut data = map.as_bytes().to_vec();
    data.resize(data.len().next_multiple_of(512), 0);
    Raw::default().add(EntryType::XHeader, "x", "", records).add(EntryType::Regular, "holes", "", &data).end()
}

#[test]
fn maps_of_sparse_files_are_not_believed() {
    let whole = accepted(&Room::new(), &holes("0\n"));
    assert_eq!(whole, [format!("holes: {}", "\0".repeat(10_000))]);
    let endless = format!("{}0\n", "0".repeat(2000));
    for map in ["1\n0\n5\n", "1\n9999\n2\n", "1\n18446744073709551615\n1\n", "many\n", "99999999\n", "1\n", &endless] {
        let why = refused(&Room::new(), &holes(map));
        assert!(why.starts_with("cannot unpack `/archive`: cannot read the archive: it is damaged"), "{map:?} {why}");
    }
}

#[test]
fn maps_of_the_old_sparse_format_end_somewhere() {
    let with_blocks = |count: usize| {
        let mut archive = Raw::default().add(EntryType::GNUSparse, "holes", "", b"").0;
        let mut header = Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(&archive);
        header.as_gnu_mut().expect("it is GNU's").isextended[0] = 1;
        header.set_cksum();
        archive.copy_from_slice(header.as_bytes());
        // Each has no piece, and says that there is another one.
        archive.resize(archive.len() + 512 * count, 0);
        for block in archive[512..].chunks_exact_mut(512).take(count - 1) {
            block[504] = 1;
        }
        Raw(archive).end()
    };
    assert_eq!(accepted(&Room::new(), &with_blocks(3)), ["holes: "]);
    let why = refused(&Room::new(), &with_blocks(30_000));
    assert!(why.ends_with("a sparse file's map is too long"), "{why}");
}

/// The archive whose last entry says that it has a size that is written `field`.
fn of_size(mut archive: Raw, field: &[u8; 12]) -> Vec<u8> {
    let start = archive.0.len() - 512;
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(&archive.0[start..]);
    header.as_old_mut().size = *field;
    header.set_cksum();
    archive.0[start..].copy_from_slice(header.as_bytes());
    archive.end()
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let binary = |high: u8| {
        let mut field = [0; 12];
        (field[0], field[4]) = (0x80, high);
        field
    };
    let file = || Raw::default().file("huge", "");
    let too_large = "cannot unpack `/archive`: cannot accept more than 64GiB in one image";
    // GNU's binary form with 56 bits and with all 64, and the record that comes before it.
    assert_eq!(refused(&Room::new(), &of_size(file(), &binary(0x01))), too_large);
    assert_eq!(refused(&Room::new(), &of_size(file(), &binary(0xff))), too_large);
    let pax = |records: &[u8]| Raw::default().add(EntryType::XHeader, "x", "", records).file("huge", "").end();
    assert_eq!(refused(&Room::new(), &pax(b"29 size=18446744073709551615\n")), too_large);
    // What is within the limits, as all octal digits are by a byte, is not there.
    let damaged = "cannot unpack `/archive`: cannot read the archive: it is damaged or incomplete";
    assert!(refused(&Room::new(), &of_size(file(), b"777777777777")).starts_with(damaged));
    assert!(refused(&Room::new(), &pax(b"19 size=1073741824\n")).starts_with(damaged));
    assert!(refused(&Room::new(), &pax(b"30 size=99999999999999999999\n")).starts_with(damaged));
}

#[test]
fn extended_headers_and_names_of_gigabytes_are_not_read() {
    for kind in [EntryType::XHeader, EntryType::GNULongName, EntryType::GNULongLink] {
        let why = refused(&Room::new(), &of_size(Raw::default().add(kind, "x", "", b""), b"77777777777\0"));
        assert!(why.ends_with("a name or extended header is too long"), "{kind:?} {why}");
    }
}

#[test]
fn a_sparse_file_of_exabytes_is_refused() {
    let records = b"22 GNU.sparse.major=1\n43 GNU.sparse.realsize=4611686018427387904\n";
    let mut data = b"0\n".to_vec();
    data.resize(512, 0);
    let archive = Raw::default().add(EntryType::XHeader, "x", "", records).add(EntryType::Regular, "s", "", &data);
    let why = refused(&Room::new(), &archive.end());
    assert_eq!(why, "cannot unpack `/archive`: cannot accept more than 64GiB in one image");
}

#[test]
fn bombs_of_every_compression_go_off_at_the_limit() {
    let mut room = Room::new();
    room.images = room.images.within(ImageLimits { size: Bytes(1 << 20), ..ImageLimits::default() });
    // An archive, and far more of nothing behind its end; a file that is all of it; one in the other.
    let mut behind = Raw::default().file("a", "a").end();
    behind.resize(16 << 20, 0);
    let within = Raw::default().file("a", &"\0".repeat(16 << 20)).end();
    for (number, archive) in [behind, within].iter().enumerate() {
        for (program, suffix) in [("gzip", "gz"), ("xz", "xz"), ("zstd", "zst")] {
            let plain = room.path(&format!("bomb-{number}"));
            fs::write(&plain, archive).expect("a file");
            run(program, &["-q", "-f", text(&plain)]);
            let packed = fs::read(room.path(&format!("bomb-{number}.{suffix}"))).expect("readable");
            assert!(packed.len() < 100_000);
            let why = refused(&room, &packed);
            assert_eq!(why, "cannot unpack `/archive`: cannot accept more than 1MiB in one image", "{program}");
        }
    }
}
