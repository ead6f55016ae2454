//! What is written into guests of each family before the first start.

use super::{Guest, KEY, dev, record};

const NO_LOGINS: &str = "root:x:0:0:root:/root:/bin/sh\n";

#[test]
fn an_empty_guest_gets_its_names_and_nothing_else() {
    let guest = Guest::with(&[]);
    insta::assert_snapshot!(guest.changes(&record(vec![], &[])), @r"
    == /etc: 0755 0:0
    == /etc/hostname: 0644 0:0
    db
    == /etc/hosts: 0644 0:0
    # Written by fleet: the members of fleet demo. Changes made here are lost.
    127.0.0.1	localhost
    ::1	localhost ip6-localhost ip6-loopback
    ff02::1	ip6-allnodes
    ff02::2	ip6-allrouters
    10.42.0.5	db db.demo
    10.42.0.11	agent-1 agent-1.demo
    == /etc/machine-id: 0444 0:0
    0123456789abcdef0123456789abcdef
    == /etc/resolv.conf: 0644 0:0
    # Written by fleet. Changes made here are lost.
    nameserver 192.0.2.53
    ");
}

/// As the public images are, with an SSH server baked in.
fn debian() -> Guest {
    Guest::with(&[
        ("etc/passwd", NO_LOGINS),
        ("etc/group", "root:x:0:\nsudo:x:27:\n"),
        ("etc/shadow", "root:!*:20780:0:99999:7:::\n"),
        ("etc/gshadow", "root:*::\nsudo:*::\n"),
        ("etc/hostname", "LXC_NAME\n"),
        ("etc/hosts", "127.0.1.1 LXC_NAME\n"),
        ("etc/machine-id", "uninitialized\n"),
        ("var/lib/dbus/machine-id", "0123\n"),
        ("etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf", ""),
        ("etc/skel/.profile", "profile\n"),
        ("etc/skel/.config/empty", ""),
        ("etc/skel/.link -> .profile", ""),
        ("etc/ssh/sshd_config", ""),
        ("etc/ssh/ssh_host_rsa_key", "shared\n"),
        ("etc/ssh/ssh_host_rsa_key.pub", "shared\n"),
        ("etc/ssh/ssh_host_ed25519_key", "shared\n"),
        ("root/", ""),
        ("usr/bin/bash", ""),
        ("usr/bin/sudo", ""),
        ("usr/sbin/sshd", ""),
        ("usr/lib/systemd/systemd", ""),
        ("usr/lib/systemd/systemd-networkd", ""),
        ("lib -> usr/lib", ""),
        ("bin -> usr/bin", ""),
        ("sbin -> usr/sbin", ""),
        ("usr/sbin/init -> /lib/systemd/systemd", ""),
    ])
}

#[test]
fn a_debian_guest_with_systemd_gets_users_keys_sudo_and_networkd() {
    let guest = debian();
    insta::assert_snapshot!(guest.changes(&record(vec![dev()], &[KEY])), @r"
    == /etc/ssh/ssh_host_rsa_key: removed
    == /etc/ssh/ssh_host_rsa_key.pub: removed
    == /etc/group: 0644 0:0
    root:x:0:
    sudo:x:27:dev
    dev:x:1000:
    == /etc/gshadow: 0644 0:0
    root:*::
    sudo:*::dev
    dev:!::
    == /etc/hostname: 0644 0:0
    db
    == /etc/hosts: 0644 0:0
    # Written by fleet: the members of fleet demo. Changes made here are lost.
    127.0.0.1	localhost
    ::1	localhost ip6-localhost ip6-loopback
    ff02::1	ip6-allnodes
    ff02::2	ip6-allrouters
    10.42.0.5	db db.demo
    10.42.0.11	agent-1 agent-1.demo
    == /etc/machine-id: 0444 0:0
    0123456789abcdef0123456789abcdef
    == /etc/passwd: 0644 0:0
    root:x:0:0:root:/root:/bin/sh
    dev:x:1000:1000::/home/dev:/bin/bash
    == /etc/resolv.conf: 0644 0:0
    # Written by fleet. Changes made here are lost.
    nameserver 192.0.2.53
    == /etc/shadow: 0644 0:0
    root:*:20780:0:99999:7:::
    dev:*::0:99999:7:::
    == /etc/ssh/ssh_host_ed25519_key: 0600 0:0
    (secret)
    == /etc/ssh/ssh_host_ed25519_key.pub: 0644 0:0
    ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKGp3PDcT1e5WLBEyPM5/oT8jP1c12NflihHbWirPZwe db
    == /etc/sudoers.d: 0750 0:0
    == /etc/sudoers.d/90-fleet-dev: 0440 0:0
    # Written by fleet. Changes made here are lost.
    dev ALL=(ALL:ALL) NOPASSWD: ALL
    == /etc/systemd: 0755 0:0
    == /etc/systemd/network: 0755 0:0
    == /etc/systemd/network/05-fleet-eth0.network: 0644 0:0
    # Written by fleet: the same address that db is started with. Changes made here are lost.
    [Match]
    Name=eth0

    [Network]
    Address=10.42.0.5/24
    Gateway=10.42.0.1
    DNS=192.0.2.53
    DHCP=no
    LinkLocalAddressing=no
    IPv6AcceptRA=no
    KeepConfiguration=static
    == /etc/systemd/system: 0755 0:0
    == /etc/systemd/system/sys-kernel-debug.mount: -> /dev/null
    == /etc/systemd/system/systemd-modules-load.service: -> /dev/null
    == /home: 0755 0:0
    == /home/dev: 0700 1000:1000
    == /home/dev/.config: 0755 1000:1000
    == /home/dev/.config/empty: 0644 1000:1000
    == /home/dev/.link: -> .profile
    == /home/dev/.profile: 0644 1000:1000
    profile
    == /home/dev/.ssh: 0700 1000:1000
    == /home/dev/.ssh/authorized_keys: 0600 1000:1000
    # Written by fleet. Changes made here are lost.
    ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG dev@laptop
    == /root/.ssh: 0700 0:0
    == /root/.ssh/authorized_keys: 0600 0:0
    # Written by fleet. Changes made here are lost.
    ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG dev@laptop
    == /var/lib/dbus/machine-id: -> /etc/machine-id
    ");
}

#[test]
fn an_alpine_guest_gets_interfaces_a_console_and_doas() {
    let guest = Guest::with(&[
        ("bin/busybox", ""),
        ("sbin/init -> /bin/busybox", ""),
        ("sbin/getty -> /bin/busybox", ""),
        ("usr/bin/doas", ""),
        ("etc/doas.d/", ""),
        ("etc/network/if-up.d/", ""),
        ("etc/passwd", NO_LOGINS),
        ("etc/shadow", "root:*::0:::::\n"),
        ("etc/group", "root:x:0:root\nwheel:x:10:root\n"),
        ("etc/inittab", "::sysinit:/sbin/openrc sysinit\ntty1::respawn:/sbin/getty 38400 tty1\n"),
        ("etc/rc.conf", "#rc_sys=\"\"\nunicode=\"YES\"\n"),
    ]);
    insta::assert_snapshot!(guest.changes(&record(vec![dev()], &[])), @r#"
    == /etc/doas.d/fleet.conf: 0600 0:0
    # Written by fleet. Changes made here are lost.
    permit nopass dev
    == /etc/group: 0644 0:0
    root:x:0:root
    wheel:x:10:root,dev
    dev:x:1000:
    == /etc/hostname: 0644 0:0
    db
    == /etc/hosts: 0644 0:0
    # Written by fleet: the members of fleet demo. Changes made here are lost.
    127.0.0.1	localhost
    ::1	localhost ip6-localhost ip6-loopback
    ff02::1	ip6-allnodes
    ff02::2	ip6-allrouters
    10.42.0.5	db db.demo
    10.42.0.11	agent-1 agent-1.demo
    == /etc/inittab: 0644 0:0
    ::sysinit:/sbin/openrc sysinit
    #tty1::respawn:/sbin/getty 38400 tty1
    console::respawn:/sbin/getty -L 0 console
    == /etc/machine-id: 0444 0:0
    0123456789abcdef0123456789abcdef
    == /etc/network/interfaces: 0644 0:0
    # Written by fleet: the same address that db is started with. Changes made here are lost.
    # Loopback and address are set already when the guest starts, and setting an address twice is an error.
    auto lo
    iface lo inet manual
    	up ip link set lo up || true

    auto eth0
    iface eth0 inet static
    	pre-up ip -4 addr flush dev eth0 || true
    	address 10.42.0.5
    	netmask 255.255.255.0
    	gateway 10.42.0.1
    == /etc/passwd: 0644 0:0
    root:x:0:0:root:/root:/bin/sh
    dev:x:1000:1000::/home/dev:/bin/sh
    == /etc/rc.conf: 0644 0:0
    #rc_sys=""
    unicode="YES"
    rc_sys="lxc"
    == /etc/resolv.conf: 0644 0:0
    # Written by fleet. Changes made here are lost.
    nameserver 192.0.2.53
    == /etc/shadow: 0644 0:0
    root:*::0:::::
    dev:*::0:99999:7:::
    == /home: 0755 0:0
    == /home/dev: 0700 1000:1000
    == /home/dev/.ssh: 0700 1000:1000
    == /home/dev/.ssh/authorized_keys: 0600 1000:1000
    # Written by fleet. Changes made here are lost.
    ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG dev@laptop
    warning: the image has no SSH server: ssh_keys have no effect until one is installed
    "#);
}

#[test]
fn a_sysvinit_guest_with_ifupdown_and_network_manager_gets_both() {
    let guest = Guest::with(&[
        ("sbin/init", ""),
        ("sbin/ifup", ""),
        ("usr/sbin/NetworkManager", ""),
        ("etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n"),
        ("etc/inittab", "pf::powerwait:/etc/init.d/powerfail start\n1:2345:respawn:/sbin/getty 38400 tty1\n"),
    ]);
    let changes = guest.changes(&record(vec![], &[]));
    let own = changes.split("== ").filter(|part| !part.starts_with("/etc/host") && !part.starts_with("/etc/resolv"));
    insta::assert_snapshot!(own.collect::<Vec<_>>().join("== "), @r"
    == /etc/NetworkManager: 0755 0:0
    == /etc/NetworkManager/conf.d: 0755 0:0
    == /etc/NetworkManager/conf.d/90-fleet.conf: 0644 0:0
    # Written by fleet: eth0 is set up from outside. Changes made here are lost.
    [keyfile]
    unmanaged-devices=interface-name:eth0
    == /etc/inittab: 0644 0:0
    pf::powerwait:/sbin/shutdown -h now
    #1:2345:respawn:/sbin/getty 38400 tty1
    co:2345:respawn:/sbin/getty --noclear 38400 console
    == /etc/machine-id: 0444 0:0
    0123456789abcdef0123456789abcdef
    == /etc/network/interfaces: 0644 0:0
    # Written by fleet: the same address that db is started with. Changes made here are lost.
    # Loopback and address are set already when the guest starts, and setting an address twice is an error.
    auto lo
    iface lo inet manual
    	up ip link set lo up || true

    auto eth0
    iface eth0 inet static
    	pre-up ip -4 addr flush dev eth0 || true
    	address 10.42.0.5
    	netmask 255.255.255.0
    	gateway 10.42.0.1
    ");
}

#[test]
fn images_with_distrobuilders_generator_keep_their_units() {
    let guest = Guest::with(&[("lib/systemd/systemd", ""), ("etc/systemd/system-generators/lxc", "")]);
    guest.changes(&record(vec![], &[]));
    assert!(!guest.path("etc/systemd/system").exists());
}

#[test]
fn a_guest_without_passwd_gets_one_when_users_are_asked_for() {
    let guest = Guest::with(&[]);
    guest.changes(&record(vec![dev()], &[]));
    assert_eq!(guest.text("etc/passwd"), format!("{NO_LOGINS}dev:*:1000:1000::/home/dev:/bin/sh\n"));
    assert_eq!(guest.text("etc/group"), "root:x:0:\ndev:x:1000:\n");
}

#[test]
fn an_image_in_lxc_packing_gets_the_name_it_left_out() {
    let guest = Guest::with(&[
        ("etc/sysconfig/network", "NETWORKING=yes\nHOSTNAME=LXC_NAME\n"),
        ("etc/sysconfig/network-scripts/ifcfg-eth0", "DHCP_HOSTNAME=LXC_NAME\n"),
        ("etc/conf.d/hostname", "hostname=\"own\"\n"),
    ]);
    guest.changes(&record(vec![], &[]));
    assert_eq!(guest.text("etc/sysconfig/network"), "NETWORKING=yes\nHOSTNAME=db\n");
    assert_eq!(guest.text("etc/sysconfig/network-scripts/ifcfg-eth0"), "DHCP_HOSTNAME=db\n");
    assert_eq!(guest.text("etc/conf.d/hostname"), "hostname=\"own\"\n");
}

#[test]
fn runit_gets_a_console_instead_of_terminals() {
    let guest = Guest::with(&[
        ("etc/runit/runsvdir/default/getty-tty1 -> ../../../sv/getty-tty1", ""),
        ("etc/runit/runsvdir/default/getty-ttyS0 -> /etc/sv/getty-ttyS0", ""),
        ("etc/runit/runsvdir/default/ssh -> /etc/sv/ssh", ""),
    ]);
    guest.provision(&record(vec![], &[]), crate::guest::Occasion::FirstStart).expect("provisioned");
    let names = |path: &str| {
        let entries = std::fs::read_dir(guest.path(path)).expect("it is there");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("readable").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names("etc/runit/runsvdir/default"), ["getty-console", "ssh"]);
    assert!(guest.text("etc/sv/getty-console/run").ends_with("exec chpst -P getty --noclear 38400 console linux\n"));
    let changed = guest.changes(&record(vec![], &[]));
    assert_eq!(changed, "", "once more there is nothing to do");
}

#[test]
fn what_was_written_of_a_link_that_is_gone_goes_and_the_guests_own_files_stay() {
    let guest = Guest::with(&[
        ("/usr/lib/systemd/systemd-networkd", ""),
        ("/etc/systemd/network/05-fleet-eth1.network", "# Written by fleet: the same address\n"),
        ("/etc/systemd/network/05-fleet-own.network", "[Match]\n"),
        ("/etc/systemd/network/10-own.network", "[Match]\n"),
    ]);
    guest.provision(&record(Vec::new(), &[]), crate::guest::Occasion::Change).expect("provisioned");
    let mut left: Vec<_> = std::fs::read_dir(guest.path("/etc/systemd/network"))
        .expect("it is there")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    left.sort();
    assert_eq!(left, ["05-fleet-eth0.network", "05-fleet-own.network", "10-own.network"]);
}
