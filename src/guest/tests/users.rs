//! Users, as the fleet file changes.

use std::os::unix::fs::{MetadataExt as _, chown};

use super::{Guest, HostKey, HostTables, KEY, Occasion, RootDir, dev, provision, record, user};
use crate::model::UserSpec;
use crate::sys::{GuestIds, as_filesystem_user};

fn guest() -> Guest {
    Guest::with(&[
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndev:x:1042:1042:Dev:/srv/dev:/bin/sh\n"),
        ("etc/group", "root:x:0:\ndev:x:1042:\nwheel:x:10:root\n"),
        ("etc/shadow", "root:!$6$hash:1::::::\ndev:!:1::::::\n"),
        ("usr/bin/sudo", ""),
        ("usr/bin/zsh", ""),
        ("usr/sbin/sshd", ""),
        ("srv/dev/notes", "keep\n"),
        ("etc/skel/.profile", ""),
    ])
}

#[test]
fn a_user_that_the_image_has_keeps_id_and_home() {
    let guest = guest();
    let asked = UserSpec { uid: Some(5), shell: Some("/usr/bin/zsh".to_owned()), ..dev() };
    let changes = guest.changes(&record(vec![asked], &[KEY]));
    let accounts = changes.split("== ").filter(|part| !part.starts_with("/etc/h") && !part.starts_with("/etc/m"));
    insta::assert_snapshot!(accounts.collect::<Vec<_>>().join("== "), @r"
    == /etc/group: 0644 0:0
    root:x:0:
    dev:x:1042:
    wheel:x:10:root,dev
    == /etc/passwd: 0644 0:0
    root:x:0:0:root:/root:/bin/sh
    dev:x:1042:1042:Dev:/srv/dev:/usr/bin/zsh
    == /etc/resolv.conf: 0644 0:0
    # Written by fleet. Changes made here are lost.
    nameserver 192.0.2.53
    == /etc/shadow: 0644 0:0
    root:*:1::::::
    dev:*:1::::::
    == /etc/sudoers.d: 0750 0:0
    == /etc/sudoers.d/90-fleet-dev: 0440 0:0
    # Written by fleet. Changes made here are lost.
    dev ALL=(ALL:ALL) NOPASSWD: ALL
    == /root: 0700 0:0
    == /root/.ssh: 0700 0:0
    == /root/.ssh/authorized_keys: 0600 0:0
    # Written by fleet. Changes made here are lost.
    ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG dev@laptop
    == /srv/dev/.ssh: 0700 1042:1042
    == /srv/dev/.ssh/authorized_keys: 0600 1042:1042
    # Written by fleet. Changes made here are lost.
    ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG dev@laptop
    warning: `dev` keeps uid 1042 instead of 5: it exists already
    ");
    assert!(!guest.path("srv/dev/.profile").exists());
}

#[test]
fn what_the_fleet_file_no_longer_gives_is_taken_away() {
    let guest = guest();
    guest.provision(&record(vec![dev()], &[KEY]), Occasion::FirstStart).expect("provisioned");
    assert!(guest.path("etc/sudoers.d/90-fleet-dev").exists());
    std::fs::write(guest.path("etc/sudoers.d/guests-own"), "").expect("written");
    guest.provision(&record(vec![user("dev")], &[]), Occasion::Change).expect("provisioned");
    assert!(!guest.path("etc/sudoers.d/90-fleet-dev").exists());
    assert!(guest.path("etc/sudoers.d/guests-own").exists());
    let empty = "# Written by fleet. Changes made here are lost.\n";
    assert_eq!(guest.text("srv/dev/.ssh/authorized_keys"), empty);
    assert_eq!(guest.text("root/.ssh/authorized_keys"), empty);
}

#[test]
fn keys_of_the_images_own_stay_when_the_fleet_file_has_none() {
    let guest = guest();
    guest.put("root/.ssh/authorized_keys", "ssh-ed25519 AAAA image\n");
    guest.provision(&record(vec![], &[]), Occasion::FirstStart).expect("provisioned");
    assert_eq!(guest.text("root/.ssh/authorized_keys"), "ssh-ed25519 AAAA image\n");
    guest.provision(&record(vec![], &[KEY]), Occasion::Change).expect("provisioned");
    assert_eq!(
        guest.text("root/.ssh/authorized_keys"),
        format!("# Written by fleet. Changes made here are lost.\n{KEY}\n")
    );
}

#[test]
fn what_the_image_lacks_is_a_warning_said_once() {
    let guest = Guest::with(&[("etc/passwd", "")]);
    let ops = UserSpec { shell: Some("/bin/fish".to_owned()), ssh_keys: vec![KEY.to_owned()], ..user("ops") };
    let warnings = guest.provision(&record(vec![dev(), ops], &[KEY]), Occasion::FirstStart).expect("provisioned");
    insta::assert_snapshot!(warnings.join("\n"), @r"
    `ops` cannot log in: the image has no `/bin/fish`
    the image has no SSH server: ssh_keys have no effect until one is installed
    `dev` gets no sudo: the image has neither sudo nor doas
    ");
}

#[test]
fn a_skeleton_that_was_half_copied_is_finished() {
    let guest =
        Guest::with(&[("etc/skel/.profile", "new\n"), ("etc/skel/.bashrc", "new\n"), ("home/dev/.bashrc", "mine\n")]);
    guest.provision(&record(vec![user("dev")], &[]), Occasion::Change).expect("provisioned");
    assert_eq!((guest.text("home/dev/.bashrc"), guest.text("home/dev/.profile")), ("mine\n".into(), "new\n".into()));
}

#[test]
fn the_fleet_files_templates_are_used() {
    let guest = Guest::with(&[("usr/bin/sudo", "")]);
    let mut record = record(vec![dev()], &[]);
    let sudoers = "{{user.name}} ALL=(root) NOPASSWD: /bin/true # {{container}} {{cidr}}\n";
    record.spec.guest.templates.insert("sudoers".to_owned(), sudoers.to_owned());
    guest.provision(&record, Occasion::FirstStart).expect("provisioned");
    assert_eq!(guest.text("etc/sudoers.d/90-fleet-dev"), "dev ALL=(root) NOPASSWD: /bin/true # db 10.42.0.5/24\n");
    record.spec.guest.templates.insert("hosts".to_owned(), "{{nonsense}}".to_owned());
    let error = guest.provision(&record, Occasion::Change).expect_err("no such variable");
    insta::assert_snapshot!(error, @"cannot render template `hosts`: line 1, column 1: there is no variable `nonsense`");
}

#[test]
fn a_host_name_outside_the_table_is_known_to_the_guest_itself() {
    let guest = Guest::with(&[]);
    let mut record = record(vec![], &[]);
    record.spec.guest.hostname = "db.example.org".to_owned();
    guest.provision(&record, Occasion::FirstStart).expect("provisioned");
    let hosts = guest.text("etc/hosts");
    assert_eq!(hosts.lines().find(|line| line.starts_with("10.42.0.5")), Some("10.42.0.5\tdb db.demo db.example.org"));
}

#[test]
fn files_of_a_running_guest_get_the_hosts_ids_for_its_own() {
    const SHIFT: u32 = 1_879_048_192;
    let guest = Guest::with(&[("etc/passwd", ""), ("root/", "")]);
    for path in ["/", "etc", "etc/passwd", "root"] {
        chown(guest.path(path), Some(SHIFT), Some(SHIFT)).expect("tests run as root");
    }
    let provision = || {
        let top = std::fs::File::open(guest.path("/")).expect("it is there");
        let root =
            RootDir::of_running_guest(top.into(), GuestIds { base: SHIFT, count: 65_536 }).expect("it stores files");
        let key = HostKey::derive(b"secret", "demo", "db");
        let record = record(vec![dev()], &[KEY]);
        let work = || provision(&root, &record, &HostTables::new(Vec::new()), &key, Occasion::Change);
        as_filesystem_user(SHIFT, work).expect("tests run as root").expect("provisioned")
    };
    provision();
    let owners = guest.walk(|_, metadata| (metadata.uid() - SHIFT, metadata.gid() - SHIFT));
    for (path, owner) in owners {
        let expected = if path.starts_with("/home/dev") { 1000 } else { 0 };
        assert_eq!(owner, (expected, expected), "{path}");
    }
    let written = guest.stamps();
    provision();
    assert_eq!(guest.stamps(), written);
}
