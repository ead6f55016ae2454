//! A container in which containers run: podman, with its own network and storage, as on any machine.

mod rootfs;
mod world;

use rootfs::Recipe;
use world::{World, eventually};

const PODMAN: Recipe = Recipe {
    name: "podman",
    suite: "bookworm",
    packages: "systemd-sysv,dbus,podman,crun,netavark,nftables,iptables,busybox-static,uidmap,slirp4netns,dbus-user-session",
    hooks: &[
        "printf '[storage]\\ndriver=\"overlay\"\\nrunroot=\"/run/containers\"\\ngraphroot=\"/var/lib/containers\"\\n' \
         > \"$1/etc/containers/storage.conf\"",
    ],
};

/// Makes an image of a busybox, from nothing that has to be fetched.
const MAKE_IMAGE: &str = "mkdir -p /tmp/r/bin && cp /bin/busybox /tmp/r/bin && \
    for name in sh id hostname ping; do ln -sf busybox /tmp/r/bin/$name; done && tar -C /tmp/r -c . | podman import - small";

/// Where the host binds controllers to version 1 of cgroups, guests have none in their unified tree.
const RUN: &str = "podman run --pids-limit=-1";

#[test]
#[ignore = "builds a large image"]
fn podman_runs_containers_in_a_nesting_container() {
    let world = World::new();
    world.write(&format!(
        "fleet: nest
network: {{subnet: 10.213.31.0/24}}
containers:
  outer: {{image: \"file:{}\", nesting: true, memory: 1GiB, pids: 1000, mounts: [\"store:/var/lib/containers\"]}}
",
        PODMAN.archive().display()
    ));
    world.fleet(&["apply"]).expect(0);
    let state = || world.fleet(&["exec", "outer", "--", "systemctl", "is-system-running"]).stdout;
    eventually("it has booted", || state().trim() == "running");
    world.sh("outer", MAKE_IMAGE);
    assert_eq!(
        world.sh("outer", &format!("{RUN} --rm --hostname inner small /bin/sh -c 'hostname; id -u'")),
        "inner\n0\n"
    );
    world.sh("outer", &format!("{RUN} -d --name long small /bin/sh -c 'while :; do sleep 1; done'"));
    assert_eq!(world.sh("outer", "podman exec long /bin/hostname | wc -l"), "1\n");
    // Its own network, behind the outer one's.
    let address = world.sh("outer", "podman inspect -f '{{.NetworkSettings.IPAddress}}' long");
    world.sh("outer", &format!("{RUN} --rm --cap-add net_raw small /bin/ping -c1 -W5 {}", address.trim()));
    // What runs inside stays within the limits of the outer one, and stops with it.
    world.fleet(&["stop", "outer"]).expect(0);
    assert_eq!(world.state("outer"), "stopped");
    world.fleet(&["start", "outer"]).expect(0);
    eventually("it has booted", || state().trim() == "running");
    assert_eq!(world.sh("outer", "podman ps -aq | wc -l"), "1\n");
    world.fleet(&["destroy", "-y"]).expect(0);
    world.assert_nothing_left();
}
