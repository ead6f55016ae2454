//! Guests whose files hold anything at all: they are set up or refused, once and for all, and nothing outside changes.
//! `make fuzz` tries many more cases.

use proptest::prelude::*;

use super::{Guest, KEY, Occasion, dev, record};

/// What fleet reads of a guest before it writes.
const FILES: [&str; 8] = [
    "etc/passwd",
    "etc/group",
    "etc/shadow",
    "etc/gshadow",
    "etc/inittab",
    "etc/hosts",
    "home/dev/.ssh/authorized_keys",
    "etc/network/interfaces",
];

const PIECES: [&[u8]; 20] = [
    b"root:x:0:0:root:/root:/bin/sh\n",
    b"dev:x:1000:1000::/home/dev:/bin/sh\n",
    b"dev:x:99999999999:-1::relative:\n",
    b"wheel:x:10:root,dev\n",
    b"dev:!:1::::::\n",
    b"::respawn:/sbin/getty 38400 tty1\n",
    b"tty1::respawn:/sbin/getty\n",
    b"# Written by fleet\n",
    b":",
    b",",
    b"\n",
    b"\r\n",
    b"\0",
    b"#",
    b"/../..",
    b"\xff\xfe",
    b"\x1b[2J",
    b"dev",
    b"65536",
    b" ",
];

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..30).prop_map(|parts| parts.concat());
    prop_oneof![4 => pieces, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

/// A file, a link or a directory in the place of each file.
fn things() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    prop::collection::vec((0..8_u8, hostile()), FILES.len())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_guest_is_set_up_or_refused_and_a_second_time_nothing_changes(things in things()) {
        let guest = Guest::with(&[("sbin/", ""), ("usr/bin/sudo", ""), ("etc/", ""), ("home/dev/.ssh/", ""), ("etc/network/", "")]);
        for (name, (kind, bytes)) in FILES.iter().zip(&things) {
            let path = guest.path(name);
            match kind {
                0 => {}
                1 => std::fs::create_dir_all(&path).expect("made"),
                2 => std::os::unix::fs::symlink("../../../host", &path).expect("linked"),
                _ => std::fs::write(&path, bytes).expect("written"),
            }
        }
        std::fs::write(guest.dir.path().join("host"), "the host's").expect("written");
        let record = record(vec![dev()], &[KEY]);
        if guest.provision(&record, Occasion::FirstStart).is_ok() {
            let written = guest.stamps();
            prop_assert!(guest.provision(&record, Occasion::Change).is_ok());
            prop_assert_eq!(guest.stamps(), written);
        }
        prop_assert_eq!(std::fs::read_to_string(guest.dir.path().join("host")).expect("it is there"), "the host's");
    }
}
