//! Squashfs images made to get out of their tree or to take all memory, and broken ones: refused before the kernel gets them,
//! and where they are unpacked.

use std::fmt::Debug;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::squashfs::{examine, unpack};
use super::super::tree::Limits;
use super::{Room, chain, describe, run, text};
use crate::model::{Bytes, ImageLimits};

const LIMITS: Limits = Limits { bytes: 1 << 20, entries: 60 };

/// Where fields of the superblock are (`struct squashfs_super_block`).
const INODES: usize = 4;
const BLOCK_SIZE: usize = 12;
const COMPRESSION: usize = 20;
const BLOCK_LOG: usize = 22;
const ROOT_INODE: usize = 32;
const BYTES_USED: usize = 40;
const ID_TABLE: usize = 48;
const INODE_TABLE: usize = 64;
const DIRECTORY_TABLE: usize = 72;

/// A squashfs of a small tree, of which nothing is compressed but what `options` let be.
fn squashfs(room: &Room, options: &[&str]) -> Vec<u8> {
    let source = room.path("source");
    if !source.exists() {
        fs::create_dir_all(source.join("directory/inner")).expect("directories");
        fs::write(source.join("a_b"), "content").expect("a file");
        fs::write(source.join("directory/xx"), "content").expect("a file");
        fs::write(source.join("large"), vec![7; 20_000]).expect("a file");
    }
    let path = room.path("made");
    let always = [text(&source), text(&path), "-noappend", "-quiet", "-no-progress", "-all-root"];
    run("mksquashfs", &[&always[..], options].concat());
    fs::read(path).expect("readable")
}

const AS_IT_IS: [&str; 4] = ["-noI", "-noD", "-noF", "-noX"];

/// What is said of a squashfs that must be refused, by who would mount it and by who unpacks it.
fn refused(room: &Room, squashfs: &[u8]) -> [String; 2] {
    let path = room.path("archive");
    fs::write(&path, squashfs).expect("a file");
    let fetched = room.fetch(&path).map(|_| ()).expect_err("it must be refused");
    assert_eq!(room.stored(), [""; 0]);
    assert_eq!(devices_below(room.dir.path()), 0);
    let top = tempfile::tempdir().expect("a temporary directory");
    let unpacked =
        unpack(&File::open(&path).expect("it is there"), top.path(), LIMITS).expect_err("it must be refused");
    [chain(&fetched).replace(text(room.dir.path()), ""), chain(&unpacked)]
}

/// How many loop devices have a file below `top`.
fn devices_below(top: &Path) -> usize {
    let devices = fs::read_dir("/sys/block").expect("readable");
    let files =
        devices.filter_map(|it| fs::read_to_string(it.expect("readable").path().join("loop/backing_file")).ok());
    files.filter(|file| Path::new(file.trim_end()).starts_with(top)).count()
}

fn replace(squashfs: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let place = place_of(squashfs, old);
    with(squashfs, place, new)
}

/// Where `wanted` is, which is there once.
fn place_of(squashfs: &[u8], wanted: &[u8]) -> usize {
    let mut places = squashfs.windows(wanted.len()).enumerate().filter(|(_, window)| *window == wanted);
    let (place, _) = places.next().expect("it is there");
    assert!(places.next().is_none(), "once");
    place
}

fn with(squashfs: &[u8], place: usize, bytes: &[u8]) -> Vec<u8> {
    let mut changed = squashfs.to_vec();
    changed[place..place + bytes.len()].copy_from_slice(bytes);
    changed
}

/// However it is read, and whatever is wrong with it: `what`.
#[track_caller]
fn assert_refused(room: &Room, squashfs: &[u8], what: &dyn Debug) {
    let [fetched, unpacked] = refused(room, squashfs);
    assert!(fetched.starts_with("cannot unpack `/archive`: cannot "), "{what:?} {fetched}");
    assert!(unpacked.starts_with("cannot "), "{what:?} {unpacked}");
}

const DAMAGED: &str = "cannot read the archive: it is damaged or incomplete";

#[test]
fn what_is_cut_short_is_refused() {
    let room = Room::new();
    let whole = squashfs(&room, &[]);
    let used = u64::from_le_bytes(*whole[BYTES_USED..].first_chunk().expect("it is there"));
    let used = usize::try_from(used).expect("it is small");
    for length in [4, 50, 95, 96, 200, used / 2, used - 40, used - 1] {
        let [fetched, unpacked] = refused(&room, &whole[..length]);
        assert!(fetched.starts_with(&format!("cannot unpack `/archive`: {DAMAGED}")), "{length} {fetched}");
        assert!(unpacked.starts_with(DAMAGED), "{length} {unpacked}");
    }
}

#[test]
fn a_superblock_that_cannot_be_is_refused() {
    let room = Room::new();
    let whole = squashfs(&room, &[]);
    let far = u64::MAX.to_le_bytes();
    let beyond = (whole.len() as u64 + 4096).to_le_bytes();
    for (place, value) in [
        (INODES, &u32::MAX.to_le_bytes()[..]),
        (INODES, &0_u32.to_le_bytes()),
        (BLOCK_SIZE, &0_u32.to_le_bytes()),
        (BLOCK_SIZE, &u32::MAX.to_le_bytes()),
        (COMPRESSION, &99_u16.to_le_bytes()),
        (BLOCK_LOG, &63_u16.to_le_bytes()),
        (ROOT_INODE, &far),
        (ROOT_INODE, &beyond),
        (BYTES_USED, &beyond),
        (ID_TABLE, &far),
        (ID_TABLE, &beyond),
        (INODE_TABLE, &far),
        (INODE_TABLE, &beyond),
        (DIRECTORY_TABLE, &far),
        (DIRECTORY_TABLE, &beyond),
    ] {
        assert_refused(&room, &with(&whole, place, value), &(place, value));
    }
}

#[test]
fn names_that_lead_out_of_a_squashfs_are_refused() {
    let room = Room::new();
    let whole = squashfs(&room, &AS_IT_IS);
    for (name, evil) in
        [("xx", &b".."[..]), ("xx", b"x/"), ("xx", b"/x"), ("xx", b"x\0"), ("a_b", b"a/b"), ("a_b", b"../")]
    {
        assert_refused(&room, &replace(&whole, name.as_bytes(), evil), &evil);
    }
}

#[test]
fn directories_in_a_circle_are_refused() {
    let room = Room::new();
    let whole = squashfs(&room, &AS_IT_IS);
    // An entry says where its inode is, before its name: 8 bytes of offset, number, kind and length.
    let entry = place_of(&whole, b"inner") - 8;
    let top = &whole[ROOT_INODE..ROOT_INODE + 2];
    let circle = with(&whole, entry, top);
    for why in refused(&room, &circle) {
        assert!(why.ends_with("an entry and its inode contradict each other"), "{why}");
    }
    // With the number of the root as well, which is the last.
    let header = place_of(&whole, b"inner") - 8 - 12;
    let number = u32::from_le_bytes(*whole[header + 8..].first_chunk().expect("it is there"));
    let inodes = u32::from_le_bytes(*whole[INODES..].first_chunk().expect("it is there"));
    let difference = i16::try_from(i64::from(inodes) - i64::from(number)).expect("it is small");
    for why in refused(&room, &with(&circle, entry + 2, &difference.to_le_bytes())) {
        assert!(why.ends_with("one of its directories has two places"), "{why}");
    }
}

/// A squashfs with the directory `long`, whose listing takes more than one metadata block and has an index. Returns where in it
/// that has its first entry, too: the position in the listing, the block, the length of the name and the name.
fn squashfs_with_an_index(room: &Room) -> (Vec<u8>, usize) {
    let names: Vec<String> = (0..40).map(|number| format!("{number:03}{}", "n".repeat(237))).collect();
    fs::create_dir_all(room.path("source/long")).expect("a directory");
    for name in &names {
        fs::write(room.path("source/long").join(name), "").expect("a file");
    }
    let whole = squashfs(room, &AS_IT_IS);
    let inodes = u64::from_le_bytes(*whole[INODE_TABLE..].first_chunk().expect("it is there"));
    let inodes = usize::try_from(inodes).expect("it is small");
    // In the listing the length is shorter by two bytes.
    let find = |name: &String| {
        let wanted = [&239_u32.to_le_bytes(), name.as_bytes()].concat();
        whole[inodes..].windows(wanted.len()).position(|window| window == wanted)
    };
    let length = names.iter().find_map(find).expect("it has an index");
    (whole, inodes + length - 8)
}

#[test]
fn an_index_that_leads_elsewhere_than_its_directory_is_refused() {
    let room = Room::new();
    let (whole, entry) = squashfs_with_an_index(&room);
    let path = room.path("whole");
    fs::write(&path, &whole).expect("a file");
    examine(&File::open(&path).expect("it is there"), LIMITS).expect("the index is right");
    let number = |place: usize| u32::from_le_bytes(*whole[place..].first_chunk().expect("it is there"));
    let (position, block) = (number(entry), number(entry + 4));
    assert!(position > 0 && whole[entry + 12..].starts_with(format!("{:03}", position / 248).as_bytes()));
    for (place, value) in [
        // Another entry of it, the block before, and one that is of no directory.
        (entry, (position + 248).to_le_bytes()),
        (entry, (position - 248).to_le_bytes()),
        (entry, 0_u32.to_le_bytes()),
        (entry, (1_u32 << 20).to_le_bytes()),
        (entry + 4, (block + 8194).to_le_bytes()),
        (entry + 4, 0x4000_0000_u32.to_le_bytes()),
        (entry + 12, *b"000n"),
    ] {
        for why in refused(&room, &with(&whole, place, &value)) {
            assert!(why.ends_with("a directory's index leads elsewhere than its entries"), "{value:?} {why}");
        }
    }
    for why in refused(&room, &with(&whole, entry + 8, &u32::MAX.to_le_bytes())) {
        assert!(why.ends_with("a name in a directory's index is too long"), "{why}");
    }
}

#[test]
fn large_directories_are_accepted_however_they_are_packed() {
    let room = Room::new();
    fs::create_dir_all(room.path("source/many")).expect("a directory");
    for number in 0..3000 {
        fs::write(room.path("source/many").join(format!("{:x}-{number}", number * 7919 % 3001)), "").expect("a file");
    }
    let limits = Limits { bytes: 1 << 20, entries: 4000 };
    for options in [&["-comp", "gzip"][..], &["-comp", "xz"], &["-comp", "zstd"], &["-comp", "lz4"], &AS_IT_IS] {
        squashfs(&room, options);
        let made = File::open(room.path("made")).expect("it is there");
        let (shown, _) = examine(&made, limits).unwrap_or_else(|error| panic!("{options:?}: {}", chain(&error)));
        assert_eq!(shown.directories.len(), 2, "{options:?}");
    }
}

#[test]
fn a_reference_that_the_kernel_would_cut_is_refused() {
    let room = Room::new();
    let whole = squashfs(&room, &AS_IT_IS);
    // Where the uncut one leads there is a root, too.
    let far = with(&whole, ROOT_INODE + 6, &[1]);
    let file = File::create_new(room.path("far")).expect("a file");
    file.write_all_at(&far, 0).and_then(|()| file.write_all_at(&whole, 1 << 32)).expect("written");
    let file = File::open(room.path("far")).expect("it is there");
    let why = chain(&examine(&file, LIMITS).expect_err("it must be refused"));
    assert!(why.ends_with("a place is impossibly far"), "{why}");
}

#[test]
fn a_squashfs_with_too_many_directories_in_one_another_is_refused() {
    let room = Room::new();
    fs::create_dir_all(room.path("source").join("d/".repeat(200))).expect("made");
    let why = room.fetch_bytes(&squashfs(&room, &[])).map(|_| ()).expect_err("it must be refused");
    assert!(chain(&why).contains("more than 128 directories deep"), "{why}");
    assert_eq!(room.stored(), [""; 0]);
}

#[test]
fn a_squashfs_beyond_the_limits_is_refused() {
    let mut room = Room::new();
    room.images = room.images.within(ImageLimits { size: Bytes(LIMITS.bytes), entries: LIMITS.entries });
    fs::create_dir(room.path("source")).expect("a directory");
    File::create(room.path("source/bomb")).and_then(|file| file.set_len(64 << 20)).expect("a file");
    fs::write(room.path("source/real"), vec![0; 8 << 20]).expect("a file");
    let bomb = squashfs(&room, &[]);
    assert!(bomb.len() < 100_000);
    let too_large = "cannot accept more than 1MiB in one image";
    assert_eq!(refused(&room, &bomb), [format!("cannot unpack `/archive`: {too_large}"), too_large.to_owned()]);

    fs::remove_file(room.path("source/bomb")).expect("removed");
    fs::remove_file(room.path("source/real")).expect("removed");
    for number in 0..LIMITS.entries {
        fs::write(room.path("source").join(number.to_string()), "").expect("a file");
    }
    let too_many = "cannot accept more than 60 files in one image";
    let many = squashfs(&room, &[]);
    assert_eq!(refused(&room, &many), [format!("cannot unpack `/archive`: {too_many}"), too_many.to_owned()]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_damage_to_a_squashfs_is_refused_or_stays_in_its_tree(
        damage in vec((any::<u16>(), any::<u8>()), 1..6),
        in_the_superblock in any::<bool>(),
    ) {
        let room = Room::new();
        let mut bytes = squashfs(&room, &AS_IT_IS);
        let used = u64::from_le_bytes(*bytes[BYTES_USED..].first_chunk().expect("it is there"));
        let used = usize::try_from(used).expect("it is small");
        // What stands behind the data of files.
        let (start, end) = if in_the_superblock { (4, 96) } else { (96 + 20_000, used) };
        for (place, change) in damage {
            bytes[start + ((usize::from(place) * (end - start)) >> 16)] ^= change;
        }
        let path = room.path("archive");
        fs::write(&path, bytes).expect("a file");
        let file = File::open(&path).expect("it is there");
        fs::create_dir(room.path("outside")).expect("a directory");
        let before = describe(&room.path("outside"));
        let _ = examine(&file, LIMITS);
        fs::create_dir(room.path("top")).expect("a directory");
        let _ = unpack(&file, &room.path("top"), LIMITS);
        prop_assert_eq!(describe(&room.path("outside")), before);
        prop_assert!(fs::read_dir(room.dir.path()).expect("readable").count() == 5);
    }
}
