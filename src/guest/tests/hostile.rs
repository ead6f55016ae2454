//! Guests that try to reach the host, or other containers, through what is written into them.

use std::os::unix::fs::{MetadataExt as _, chown, symlink};

use super::{Guest, KEY, Occasion, dev, record};

/// A guest beside host files that it would like to see overwritten.
fn guest(files: &[(&str, &str)]) -> Guest {
    let guest = Guest::with(files);
    std::fs::create_dir(guest.dir.path().join("etc")).expect("made");
    for name in ["etc/hosts", "etc/passwd", "hosts"] {
        std::fs::write(guest.dir.path().join(name), "host\n").expect("written");
    }
    guest
}

/// What provisioning made of it; the host's files are as they were in any case.
fn outcome(guest: &Guest) -> String {
    let result = guest.provision(&record(vec![dev()], &[KEY]), Occasion::Change);
    let names = |path| std::fs::read_dir(path).expect("a directory").count();
    assert_eq!((names(guest.dir.path().to_owned()), names(guest.dir.path().join("etc"))), (3, 2));
    for name in ["etc/hosts", "etc/passwd", "hosts"] {
        assert_eq!(std::fs::read_to_string(guest.dir.path().join(name)).expect("it is there"), "host\n");
    }
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{error}: {}", std::error::Error::source(&error).expect("it has a cause")),
    }
}

#[test]
fn a_pipe_for_a_password_file_is_an_error_and_does_not_hang() {
    let guest = guest(&[("etc/group", "")]);
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    let path = guest.path("etc/passwd");
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).expect("a pipe");
    assert_eq!(outcome(&guest), "cannot read `/etc/passwd` in the guest: not a regular file");
}

#[test]
fn a_directory_that_leads_out_of_the_guest_leads_back_into_it() {
    let guest = guest(&[("etc -> ../etc", "")]);
    assert_eq!(
        outcome(&guest),
        "cannot look at `/etc/hostname` in the guest: Too many levels of symbolic links (os error 40)"
    );
    let guest = self::guest(&[("etc -> /", "")]);
    assert_eq!(outcome(&guest), "ok");
    assert!(guest.path("hosts").is_file());
}

#[test]
fn links_in_place_of_files_are_replaced() {
    let guest = guest(&[
        ("etc/hosts -> /proc/self/root/etc/hosts", ""),
        ("etc/hostname -> ../../hosts", ""),
        ("etc/machine-id -> /dev/null", ""),
        ("etc/passwd -> ../../hosts", ""),
    ]);
    assert_eq!(outcome(&guest), "ok");
    for name in ["etc/hosts", "etc/hostname", "etc/machine-id", "etc/passwd"] {
        assert!(guest.path(name).symlink_metadata().expect("it is there").is_file(), "{name}");
    }
}

#[test]
fn a_link_in_place_of_the_key_directory_is_replaced() {
    let guest = guest(&[
        ("etc/passwd", "dev:x:1000:1000::/home/dev:/bin/sh\n"),
        ("home/dev/.ssh -> ../../../../etc", ""),
        ("root/.ssh/authorized_keys", "roots\n"),
    ]);
    assert_eq!(outcome(&guest), "ok");
    let directory = guest.path("home/dev/.ssh").symlink_metadata().expect("it is there");
    assert!(directory.is_dir());
    assert_eq!((directory.mode() & 0o777, directory.uid()), (0o700, 1000));
    assert!(!guest.path("etc/authorized_keys").exists());
}

#[test]
fn one_user_cannot_have_the_keys_of_another_written_for_them() {
    let guest = guest(&[
        ("etc/passwd", "root:x:0:0::/root:/bin/sh\ndev:x:1000:1000::/home/dev:/bin/sh\n"),
        ("root/.ssh/", ""),
        ("home/dev/.ssh -> /root/.ssh", ""),
    ]);
    assert_eq!(outcome(&guest), "ok");
    let keys = guest.path("root/.ssh/authorized_keys").metadata().expect("it is there");
    assert_eq!(keys.uid(), 0);
    assert_eq!(guest.path("root/.ssh").metadata().expect("it is there").uid(), 0);
}

#[test]
fn a_key_directory_with_the_wrong_owner_or_mode_is_mended_and_the_home_left_alone() {
    let guest = guest(&[
        ("etc/passwd", "dev:x:1000:1000::/home/dev:/bin/sh\n"),
        ("home/dev/.ssh/authorized_keys", "ssh-ed25519 AAAA stale\n"),
    ]);
    chown(guest.path("home/dev/.ssh"), Some(7), Some(7)).expect("tests run as root");
    assert_eq!(outcome(&guest), "ok");
    let owner = |path| {
        let metadata = guest.path(path).metadata().expect("it is there");
        format!("{:o} {}:{}", metadata.mode() & 0o7777, metadata.uid(), metadata.gid())
    };
    assert_eq!(owner("home/dev/.ssh"), "700 1000:1000");
    assert_eq!(owner("home/dev/.ssh/authorized_keys"), "600 1000:1000");
    assert_eq!(owner("home/dev"), "755 0:0");
    assert_eq!(guest.text("home/dev/.ssh/authorized_keys").lines().nth(1), Some(KEY));
}

#[test]
fn an_id_of_another_containers_range_is_refused() {
    let guest = guest(&[("etc/passwd", "dev:x:65536:0::/home/dev:/bin/sh\n")]);
    let error = guest.provision(&record(vec![dev()], &[]), Occasion::Change).expect_err("refused");
    insta::assert_snapshot!(error, @"cannot set up user `dev`: id 65536 is outside the container's 0 to 65535");
}

#[test]
fn a_home_that_is_no_directory_is_an_error() {
    let guest = guest(&[("etc/passwd", "dev:x:1000:1000::/dev/null:/bin/sh\n"), ("dev/null", "")]);
    assert_eq!(outcome(&guest), "cannot make directory `/dev/null/.ssh` in the guest: Not a directory (os error 20)");
    let guest = Guest::with(&[("etc/passwd", "dev:x:1000:1000::home:/bin/sh\n")]);
    assert!(guest.provision(&record(vec![dev()], &[]), Occasion::Change).is_err());
}

#[test]
fn a_skeleton_that_never_ends_is_cut_off() {
    let guest = guest(&[]);
    let deep = guest.path(&format!("etc/skel{}", "/d".repeat(40)));
    std::fs::create_dir_all(&deep).expect("made");
    symlink("/etc/skel", deep.join("again")).expect("linked");
    assert_eq!(outcome(&guest), "ok");
    assert!(!guest.path(&format!("home/dev{}", "/d".repeat(9))).exists());
}

#[test]
fn a_directory_full_of_names_and_a_large_file_keep_nothing_from_being_written() {
    let guest = guest(&[("usr/lib/systemd/systemd-networkd", ""), ("etc/systemd/network/", "")]);
    for number in 0..5000 {
        guest.put(&format!("etc/systemd/network/x{number}"), "");
    }
    assert_eq!(outcome(&guest), "ok");
    let guest =
        self::guest(&[("usr/lib/systemd/systemd-networkd", ""), ("etc/systemd/network/05-fleet-a.network", "")]);
    // More than is ever read of a file.
    let large = std::fs::File::options().write(true).open(guest.path("etc/systemd/network/05-fleet-a.network"));
    large.and_then(|file| file.set_len(1 << 30)).expect("it is there");
    assert_eq!(outcome(&guest), "ok");
    assert!(guest.path("etc/systemd/network/05-fleet-eth0.network").exists());
}
