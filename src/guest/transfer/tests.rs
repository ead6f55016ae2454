//! Copies between trees that work against them.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use rustix::fs::{CWD, FileType, mknodat};

use super::*;

struct Two {
    dir: tempfile::TempDir,
}

impl Two {
    /// A guest's tree `guest` and a directory `host`, with a secret between them.
    fn new() -> Two {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["guest", "host"] {
            fs::create_dir(dir.path().join(name)).expect("made");
        }
        fs::write(dir.path().join("secret"), "secret").expect("written");
        Two { dir }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn root(&self) -> RootDir {
        RootDir::open(&self.path("guest")).expect("it is there")
    }

    fn copy_in(&self, source: &str, destination: &str) -> Result<Summary, TransferError> {
        copy_in(&self.root(), Outside::Path(&self.path(source)), Path::new(destination), mine())
    }

    fn copy_out(&self, source: &str, destination: &str) -> Result<Summary, TransferError> {
        copy_out(&self.root(), Path::new(source), Outside::Path(&self.path(destination)), mine())
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

fn mine() -> (u32, u32) {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}

#[test]
fn trees_come_through_both_ways_with_links_modes_and_times() {
    let two = Two::new();
    fs::create_dir_all(two.path("host/d/sub")).expect("made");
    fs::write(two.path("host/d/sub/file"), "content").expect("written");
    fs::set_permissions(two.path("host/d/sub/file"), fs::Permissions::from_mode(0o4751)).expect("set");
    symlink("/nowhere", two.path("host/d/link")).expect("a link");
    let summary = two.copy_in("host/d", "/e").expect("copied");
    assert_eq!((summary.files, summary.directories, summary.links, summary.bytes), (1, 2, 1, 7));
    let copied = fs::metadata(two.path("guest/e/sub/file")).expect("it is there");
    assert_eq!(copied.mode() & 0o7777, 0o4751);
    let original = fs::metadata(two.path("host/d/sub/file")).expect("it is there");
    assert_eq!((copied.mtime(), copied.mtime_nsec()), (original.mtime(), original.mtime_nsec()));
    assert_eq!(fs::read_link(two.path("guest/e/link")).expect("a link"), Path::new("/nowhere"));
    // Once more, into what is there now.
    two.copy_in("host/d", "/e").expect("copied");
    assert_eq!(two.text("guest/e/d/sub/file"), "content");
    two.copy_in("host/d/.", "/e").expect("copied over itself");

    two.copy_out("/e", "host/back").expect("copied");
    let back = fs::metadata(two.path("host/back/sub/file")).expect("it is there");
    assert_eq!(back.mode() & 0o7777, 0o751, "set-id bits stay in the guest");
    two.copy_out("/e/sub/file", "host").expect("copied");
    assert_eq!(two.text("host/file"), "content");
}

#[test]
fn links_of_a_guest_lead_nowhere_outside() {
    let two = Two::new();
    symlink("../secret", two.path("guest/up")).expect("a link");
    symlink(two.path("host"), two.path("guest/out")).expect("a link");
    // As a source: the link itself.
    two.copy_out("/up", "host/copy").expect("copied");
    assert_eq!(fs::read_link(two.path("host/copy")).expect("a link"), Path::new("../secret"));
    two.copy_out("/up/", "host/dir").expect_err("it leads to nothing inside");
    // As a destination: what it leads to inside the guest, which is nothing; it is replaced.
    fs::write(two.path("host/new"), "new").expect("written");
    two.copy_in("host/new", "/up").expect("copied");
    assert_eq!((two.text("secret").as_str(), two.text("guest/up").as_str()), ("secret", "new"));
    two.copy_in("host/new", "/out/file").expect_err("there is no such directory inside");
    assert!(!two.path("host/file").exists());
}

#[test]
fn what_a_guest_put_on_the_host_does_not_lead_a_second_copy_astray() {
    let two = Two::new();
    fs::create_dir(two.path("guest/d")).expect("made");
    symlink("../..", two.path("guest/d/x")).expect("a link");
    two.copy_out("/d", "host/copy").expect("copied");
    fs::remove_file(two.path("guest/d/x")).expect("removed");
    fs::create_dir(two.path("guest/d/x")).expect("made");
    fs::write(two.path("guest/d/x/secret"), "of the guest").expect("written");
    two.copy_out("/d/.", "host/copy").expect_err("the link is in the way");
    assert_eq!(two.text("secret"), "secret");
    // A file in its place replaces the link.
    fs::remove_dir_all(two.path("guest/d/x")).expect("removed");
    fs::write(two.path("guest/d/x"), "plain").expect("written");
    two.copy_out("/d/.", "host/copy").expect("copied");
    assert_eq!(two.text("host/copy/x"), "plain");
}

#[test]
fn devices_pipes_and_sockets_are_left_out_and_never_opened() {
    let two = Two::new();
    fs::create_dir(two.path("guest/d")).expect("made");
    mknodat(CWD, two.path("guest/d/a\u{1b}[2J"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    fs::write(two.path("guest/d/b"), "b").expect("written");
    let summary = two.copy_out("/d", "host/copy").expect("copied");
    let left_out = Skipped { path: "a\\u{1b}[2J".into(), why: "it is a device, a pipe or a socket".into() };
    assert_eq!((summary.files, summary.skipped), (1, vec![left_out]));
    let refused = two.copy_out("/d/a\u{1b}[2J", "host/copy").expect_err("refused");
    assert_eq!(refused.to_string(), "`/d/a\\u{1b}[2J` is a device, a pipe or a socket");
}

#[test]
fn holes_stay_holes_and_attributes_of_users_come_along() {
    let two = Two::new();
    fs::create_dir(two.path("host/d")).expect("made");
    let sparse = fs::File::create(two.path("host/d/sparse")).expect("made");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"middle", 8 << 20).expect("written");
    sparse.set_len((64 << 20) + 1).expect("grown");
    let set = |path: &str, name: &str, value: &[u8]| {
        rustix::fs::setxattr(two.path(path), name, value, rustix::fs::XattrFlags::empty()).expect("set");
    };
    set("host/d", "user.of.dir", b"1");
    set("host/d/sparse", "user.binary", b"a\n\0b");
    set("host/d/sparse", "trusted.overlay.opaque", b"y");
    two.copy_in("host/d", "/e").expect("copied");
    two.copy_out("/e", "host/back").expect("copied");
    for path in ["guest/e", "host/back"] {
        let copy = fs::metadata(two.path(path).join("sparse")).expect("it is there");
        assert_eq!(copy.len(), (64 << 20) + 1);
        assert!(copy.blocks() * 512 < 1 << 20, "{} blocks", copy.blocks());
        let content = fs::read(two.path(path).join("sparse")).expect("readable");
        assert!(content[8 << 20..].starts_with(b"middle") && content.iter().filter(|byte| **byte != 0).count() == 6);
        let found = RootDir::open(&two.path(path)).expect("it is there");
        let all = |name: &str| found.find(Path::new(name), Links::Kept).expect("found").expect("there");
        assert_eq!(all(".").xattrs(|_| true).expect("readable"), [("user.of.dir".into(), b"1".to_vec())]);
        assert_eq!(all("sparse").xattrs(|_| true).expect("readable"), [("user.binary".into(), b"a\n\0b".to_vec())]);
    }
}

#[test]
fn capabilities_go_in_and_not_out() {
    let two = Two::new();
    fs::write(two.path("host/ping"), "").expect("written");
    let value = [&0x0200_0001_u32.to_le_bytes()[..], &0x2000_u32.to_le_bytes(), &[0; 12]].concat();
    let flags = rustix::fs::XattrFlags::empty();
    // Who may not give them has none to copy.
    if rustix::fs::setxattr(two.path("host/ping"), "security.capability", &value, flags).is_err() {
        return;
    }
    two.copy_in("host/ping", "/ping").expect("copied");
    two.copy_out("/ping", "host/back").expect("copied");
    let of = |path: &str| {
        let mut read = Vec::with_capacity(64);
        let found =
            rustix::fs::getxattr(two.path(path), "security.capability", rustix::buffer::spare_capacity(&mut read));
        found.is_ok().then_some(read)
    };
    assert_eq!((of("guest/ping"), of("host/back")), (Some(value), None));
}

#[test]
fn names_are_bytes_and_what_a_terminal_obeys_is_not_printed() {
    let two = Two::new();
    fs::create_dir(two.path("guest/d")).expect("made");
    let names: [&[u8]; 6] = [b"\xff\xfe", b"line\nbreak", b"-rf", b" ", b"\x1b]0;title\x07", &[b'n'; 255]];
    for name in names {
        let name = std::ffi::OsStr::from_bytes(name);
        fs::write(two.path("guest/d").join(name), "x").expect("written");
    }
    two.copy_out("/d", "host/copy").expect("copied");
    two.copy_in("host/copy", "/again").expect("copied");
    for name in names {
        assert_eq!(fs::read(two.path("guest/again").join(std::ffi::OsStr::from_bytes(name))).expect("there"), b"x");
    }
    let refused = two.copy_out("/d/\u{1b}[2J", "host").expect_err("it is absent").to_string();
    assert!(!refused.contains('\u{1b}'), "{refused}");
}

#[test]
fn a_tar_stream_keeps_what_a_tree_has() {
    let two = Two::new();
    fs::create_dir_all(two.path("guest/d/sub")).expect("made");
    fs::write(two.path("guest/d/sub").join("n".repeat(200)), "long name").expect("written");
    symlink("sub", two.path("guest/d/link")).expect("a link");
    let mut stream = Vec::new();
    copy_out(&two.root(), Path::new("/d"), Outside::Tar(&mut stream), mine()).expect("copied");
    fs::create_dir(two.path("guest/new")).expect("made");
    let summary = copy_in(&two.root(), Outside::Tar(&mut stream.as_slice()), Path::new("/new"), mine());
    assert_eq!(summary.expect("copied").files, 1);
    assert_eq!(two.text(&format!("guest/new/d/sub/{}", "n".repeat(200))), "long name");
    assert_eq!(fs::read_link(two.path("guest/new/d/link")).expect("a link"), Path::new("sub"));
    let refused = copy_in(&two.root(), Outside::Tar(&mut stream.as_slice()), Path::new("/absent"), mine());
    assert_eq!(refused.expect_err("refused").to_string(), "there is no directory `/absent`");
}

#[test]
fn a_tar_stream_does_not_lead_out_of_its_directory() {
    let two = Two::new();
    let archive = |path: &[u8], kind: tar::EntryType, link: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_cksum();
        header.as_bytes().to_vec()
    };
    let unpack = |stream: &[Vec<u8>]| {
        copy_in(&two.root(), Outside::Tar(&mut stream.concat().as_slice()), Path::new("/"), mine())
    };
    let file = tar::EntryType::Regular;
    unpack(&[archive(b"../secret", file, b"")]).expect_err("it leads out");
    unpack(&[archive(b"hard", tar::EntryType::Link, b"../secret")]).expect_err("it leads out");
    unpack(&[archive(b"/absolute", file, b"")]).expect("it is below");
    assert!(two.path("guest/absolute").exists());
    unpack(&[archive(b"l", tar::EntryType::Symlink, b".."), archive(b"l/secret", file, b"")]).expect("inside");
    assert_eq!(two.text("secret"), "secret");
    unpack(&[archive(b"name", tar::EntryType::Link, b"absolute")]).expect("it is there");
    assert_eq!(fs::metadata(two.path("guest/name")).expect("there").nlink(), 2);
}
