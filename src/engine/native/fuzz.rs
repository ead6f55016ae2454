//! Whatever a guest, or somebody with its rights, writes where this engine reads: it is understood or passed over, and
//! never ends fleet. `make fuzz` tries many more cases.

use proptest::prelude::*;

use super::cgroup::Hierarchies;
use super::console::message::FromViewer;
use super::login::{Login, resolve};
use super::mounted::MountedFile;
use super::mountinfo::{Mount, Mounts};
use super::run_state::RunFile;
use crate::model::{ContainerRecord, ID_RANGE_LENGTH, IdOrName, LastExit, UserChoice};

/// Pieces of the files that are read, and of what would break them.
const PIECES: [&[u8]; 28] = [
    b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n",
    b"1 0 0:1 / / rw - overlay fleet rw,lowerdir=0\n",
    b"31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    b"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
    b"root:x:0:0:root:/root:/bin/sh\n",
    b"dev:x:1000:1000::/home/dev:\n",
    b"wheel:x:10:root,dev\n",
    b"{\"boot_id\":\"x\",\"init\":{\"pid\":1,\"start_time\":2},",
    b"{\"how\":\"exited\",\"status\":3,\"at_s\":1}",
    b" - ",
    b" ",
    b":",
    b",",
    b"/",
    b"\\040",
    b"\\",
    b"\n",
    b"\0",
    b"\"",
    b"{",
    b"}",
    b"[",
    b"\xff\xfe",
    b"\x1b[2J",
    b"-1",
    b"4294967296",
    b"18446744073709551616",
    b"rw",
];

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40).prop_map(|parts| parts.concat());
    prop_oneof![pieces, prop::collection::vec(any::<u8>(), 0..300)]
}

/// What the kernel does to a name in mountinfo (`mangle_path()` in `fs/seq_file.c`).
fn escaped(name: &[u8]) -> Vec<u8> {
    let escape = |byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
        other => vec![*other],
    };
    name.iter().flat_map(escape).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mountinfo_is_read_and_walked(bytes in hostile(), place in "(/[a-z]{0,3}){1,4}") {
        let mounts = Mounts::parse(&bytes);
        prop_assert!(mounts.all().len() <= bytes.split(|byte| *byte == b'\n').count());
        let _ = mounts.seen_at(place.as_ref());
        for mount in mounts.all() {
            prop_assert!(mounts.count_above(mount) <= mounts.all().len());
        }
        let _ = Hierarchies::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_name_in_mountinfo_is_read_back(name in prop::collection::vec(1_u8.., 1..60), id in any::<u64>()) {
        use std::os::unix::ffi::OsStrExt as _;
        let name = [b"/", &name[..]].concat();
        let line = [format!("{id} 1 0:7 / ").as_bytes(), &escaped(&name), b" rw,nodev shared:3 - tmpfs none rw\n"].concat();
        let mounts = Mounts::parse(&line);
        let [Mount { id: read, place, .. }] = mounts.all() else {
            return Err(TestCaseError::fail("one line is one mount"));
        };
        prop_assert_eq!((*read, place.as_os_str().as_bytes()), (id, &name[..]));
    }

    #[test]
    fn any_record_is_whole_or_none(bytes in hostile()) {
        let _ = serde_json::from_slice::<ContainerRecord>(&bytes);
        let _ = serde_json::from_slice::<RunFile>(&bytes);
        let _ = serde_json::from_slice::<MountedFile>(&bytes);
        let _ = serde_json::from_slice::<LastExit>(&bytes);
    }

    #[test]
    fn any_message_of_a_viewer_is_what_it_was_or_none(bytes in hostile()) {
        if let Some(said) = FromViewer::decode(&bytes) {
            prop_assert_eq!(said.encode(), bytes);
        }
    }

    #[test]
    fn any_user_is_one_that_a_container_can_have(passwd in hostile(), group in hostile(), name in "(dev|root|[0-9]{1,10})") {
        let user = name.parse().map_or_else(|_| IdOrName::Name(name.clone()), IdOrName::Id);
        for group_choice in [None, Some(IdOrName::Name("wheel".to_owned()))] {
            let choice = UserChoice { user: user.clone(), group: group_choice };
            if let (Ok(Login { uid, gid, groups, .. }), IdOrName::Name(_)) = (resolve(&choice, &passwd, &group), &user) {
                prop_assert!([uid, gid].iter().chain(&groups).all(|id| *id < ID_RANGE_LENGTH));
            }
        }
    }
}
