//! Guests with a network manager of their own each: what fleet gives them of addresses, routes and names of both families
//! is there when they have booted, stays, and changes while they run.

mod nets;
mod rootfs;
mod world;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use nets::guest;
use rootfs::Recipe;
use world::{World, eventually};

/// An image, and what its own tools do about the network.
struct Guest<'a> {
    archive: PathBuf,
    init: &'a str,
    /// A shell command that succeeds once they have done their work at boot.
    booted: &'a str,
    /// One that has them do it again.
    again: &'a str,
}

/// How long nobody touches it: DHCP and router solicitations of all of them have given up or begun anew by then.
const QUIET: Duration = Duration::from_mins(1);

fn file(of: &Guest<'_>, last: u8) -> String {
    format!(
        "fleet: own
network: {{subnet: 10.213.76.0/24, subnet6: 'fd00:213:76::/64', dns: [10.213.76.53]}}
defaults: {{image: 'file:{}', init: {}, memory: 512MiB}}
containers:
  own-a: {{ip: 10.213.76.{last}, ip6: 'fd00:213:76::{last}'}}
  own-b: {{ip: 10.213.76.77, ip6: 'fd00:213:76::77'}}
",
        of.archive.display(),
        of.init
    )
}

/// `own-a` has what it was given, with that last part of its addresses, and nothing else.
#[track_caller]
fn is_as_given(world: &World, last: u8) {
    let shown = |arguments: &str| guest(world, "own-a").shown(arguments);
    let addresses = |family: &str| {
        let shown = shown(&format!("-br {family} address show dev eth0 scope global"));
        shown.split_whitespace().skip(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(addresses("-4"), [format!("10.213.76.{last}/24")]);
    assert_eq!(addresses("-6"), [format!("fd00:213:76::{last}/64")]);
    for flag in ["dynamic", "tentative", "dadfailed", "deprecated"] {
        assert_eq!(shown(&format!("-6 address show {flag}")), "");
    }
    for (family, gateway) in [("-4", "10.213.76.1"), ("-6", "fd00:213:76::1")] {
        let routes = shown(&format!("{family} route show default"));
        assert!(routes.starts_with(&format!("default via {gateway} dev eth0 ")), "{routes}");
        assert_eq!(routes.lines().count(), 1, "{routes}");
        let ping = |to: &str| world.sh("own-a", &format!("ping {family} -c1 -w5 {to}"));
        ping("own-b");
        ping("own-b.own");
        ping(gateway);
    }
    assert_eq!(world.sh("own-b", "grep -cw own-a /etc/hosts"), "2\n");
    assert_eq!(world.sh("own-a", "cat /etc/hostname; hostname"), "own-a\nown-a\n");
    let resolvers = world.sh("own-a", "cat /etc/resolv.conf");
    assert!(
        resolvers.starts_with("# Written by fleet") && resolvers.contains("nameserver 10.213.76.53"),
        "{resolvers}"
    );
    assert_eq!(world.changes(), 0, "{}", world.fleet(&["plan"]).stdout);
}

fn is_left_alone_by_its_own_tools(guest: &Guest<'_>) {
    let world = World::new();
    world.write(&file(guest, 5)).fleet(&["apply"]).expect(0);
    let booted = || {
        world.state("own-a") == "running"
            && world.fleet(&["exec", "own-a", "--", "/bin/sh", "-c", guest.booted]).status == 0
    };
    eventually("its tools have set it up", booted);
    is_as_given(&world, 5);
    thread::sleep(QUIET);
    is_as_given(&world, 5);
    // What they read now is what it is given now.
    world.write(&file(guest, 6)).apply_live();
    is_as_given(&world, 6);
    world.sh("own-a", guest.again);
    eventually("its tools have set it up again", booted);
    is_as_given(&world, 6);
    let before = world.pid("own-a");
    world.last_words("own-a", "reboot");
    world.another_init("own-a", before);
    eventually("its tools have set it up", booted);
    is_as_given(&world, 6);
    world.destroy();
}

const DEBIAN: Recipe = Recipe { name: "", suite: "bookworm", packages: "", hooks: &[] };
/// The image has it ask for addresses, as public images do.
const NETPLAN: Recipe = Recipe {
    name: "debian-netplan",
    packages: "systemd-sysv,dbus,udev,netplan.io,iproute2,iputils-ping",
    hooks: &[
        "printf 'network: {version: 2, ethernets: {eth0: {dhcp4: true, dhcp6: true}}}\\n' > \"$1/etc/netplan/10-lxc.yaml\"",
        "chmod 600 \"$1/etc/netplan/10-lxc.yaml\"",
    ],
    ..DEBIAN
};
const NETWORK_MANAGER: Recipe = Recipe {
    name: "debian-network-manager",
    packages: "systemd-sysv,dbus,network-manager,iproute2,iputils-ping",
    hooks: &[
        "printf '[connection]\\nid=eth0\\ntype=ethernet\\ninterface-name=eth0\\n' > \"$1/etc/NetworkManager/system-connections/eth0.nmconnection\"",
        "chmod 600 \"$1/etc/NetworkManager/system-connections/eth0.nmconnection\"",
    ],
    ..DEBIAN
};

#[test]
#[ignore = "builds a Debian, and waits for a minute"]
fn netplan_leaves_it_alone() {
    is_left_alone_by_its_own_tools(&Guest {
        archive: NETPLAN.archive(),
        init: "systemd",
        booted: "systemctl is-active network-online.target || systemctl start network-online.target && \
                 networkctl --no-pager status eth0 | grep '(configured)'",
        again: "netplan apply",
    });
}

#[test]
#[ignore = "builds a Debian, and waits for a minute"]
fn network_manager_leaves_it_alone() {
    is_left_alone_by_its_own_tools(&Guest {
        archive: NETWORK_MANAGER.archive(),
        init: "systemd",
        booted: "nmcli -t -f DEVICE,STATE device | grep eth0:unmanaged",
        again: "systemctl restart NetworkManager",
    });
}

#[test]
#[ignore = "builds a Debian unless it is given an Alpine, and waits for a minute"]
fn busybox_ifup_leaves_it_alone() {
    is_left_alone_by_its_own_tools(&Guest {
        archive: rootfs::alpine(),
        init: "busybox",
        booted: "ifup -a",
        again: "ifdown eth0 && ifup eth0",
    });
}
