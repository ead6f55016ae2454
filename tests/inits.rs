//! Every init as PID 1 of a real root file system: found, started, asked to stop, and obeyed when it reboots.

mod rootfs;
mod world;

use std::time::{Duration, Instant};

use rootfs::Recipe;
use world::{World, eventually, host};

/// An image whose init lives through the whole life of a container.
struct Life<'a> {
    /// The line of the fleet file that names the image.
    image: &'a str,
    /// What `init:` is in the fleet file.
    init: &'a str,
    /// What the status says the init is.
    kind: &'a str,
    /// A shell command that succeeds in the guest once it has booted.
    booted: &'a str,
    reboot: &'a str,
    poweroff: &'a str,
}

const ADDRESS: &str = "10.213.9.5";

/// How long the init may take to shut down before it is killed, in seconds. A stop that takes clearly less was not
/// the kill.
const STOP_TIMEOUT_S: u32 = 90;

/// Starts a process that tells of the guest's own shutdown. Before an init ends it has everything else terminated;
/// who only kills the init leaves no time for that.
const BEGIN_WITNESS: &str = "rm -f /root/witness; \
    setsid sh -c 'trap \"echo shut down > /root/witness; exit\" TERM; : > /root/waits; sleep 99999 & wait' \
    </dev/null >/dev/null 2>&1 & \
    until test -e /root/waits; do :; done; rm /root/waits";

impl Life<'_> {
    fn file(&self, init: &str) -> String {
        format!(
            "fleet: trial
network: {{subnet: 10.213.9.0/24}}
containers:
  trial-1: {{{}, init: {init}, ip: {ADDRESS}, memory: 512MiB, pids: 500, stop_timeout: {STOP_TIMEOUT_S}}}
",
            self.image
        )
    }

    fn is_lived(&self) {
        let world = World::new();
        world.write(&self.file(self.init)).fleet(&["apply"]).expect(0);
        self.wait_until_booted(&world);
        assert_eq!(world.container("trial-1")["init"], self.kind);
        assert_eq!(world.changes(), 0);
        owns_its_cgroups(&world);

        world.sh("trial-1", BEGIN_WITNESS);
        let before = world.pid("trial-1");
        world.last_words("trial-1", self.reboot);
        world.another_init("trial-1", before);
        assert_witnessed(&world);
        self.wait_until_booted(&world);

        world.sh("trial-1", BEGIN_WITNESS);
        let asked = Instant::now();
        world.fleet(&["stop", "trial-1"]).expect(0);
        assert!(asked.elapsed() < Duration::from_secs((STOP_TIMEOUT_S / 2).into()), "the stop was a kill");
        assert_eq!(world.state("trial-1"), "stopped");
        assert_witnessed(&world);

        world.fleet(&["apply"]).expect(0);
        self.wait_until_booted(&world);
        world.sh("trial-1", BEGIN_WITNESS);
        world.last_words("trial-1", self.poweroff);
        eventually("it is off", || world.state("trial-1") == "stopped");
        assert_witnessed(&world);
        assert_eq!(world.changes(), 1, "it is to be started again");
        world.destroy();
    }

    fn wait_until_booted(&self, world: &World) {
        let booted = || world.fleet(&["exec", "trial-1", "--", "/bin/sh", "-c", self.booted]);
        eventually("it has booted", || booted().status == 0);
        host("ping", &["-c1", "-W5", ADDRESS]);
    }

    /// What this file asks for is not what the image has.
    fn is_refused(&self, init: &str) {
        let world = World::new();
        let refused = world.write(&self.file(init)).fleet(&["apply"]).expect(1);
        let why = format!("`/sbin/init` is {}, not {init}", self.kind);
        assert!(refused.stderr.contains(&why), "{}", refused.stderr);
        assert!(refused.stderr.contains("leave `init:` out"), "{}", refused.stderr);
        world.destroy();
    }
}

fn assert_witnessed(world: &World) {
    let witness = world.root().join("lxc/trial-1/fs/upper/root/witness");
    assert_eq!(std::fs::read_to_string(witness).expect("the guest shut down by itself"), "shut down\n");
}

/// The guest sees a unified tree whose root is its own: it makes groups there and moves processes, and its limits are
/// not in it.
fn owns_its_cgroups(world: &World) {
    let script = "cd /sys/fs/cgroup && test -e cgroup.procs && mkdir trial && sh -c 'echo $$ > trial/cgroup.procs && \
                  grep -c ^0::.*/trial$ /proc/self/cgroup' && rmdir trial";
    assert_eq!(world.sh("trial-1", script).trim(), "1");
    let raises = [
        "echo max > /sys/fs/cgroup/memory.max",
        "echo max > /sys/fs/cgroup/pids.max",
        "mkdir -p /root/v1 && mount -t cgroup -o memory none /root/v1 && echo -1 > /root/v1/memory.limit_in_bytes",
        "mkdir -p /root/v1 && mount -t cgroup -o pids none /root/v1 && echo max > /root/v1/pids.max",
    ];
    for raise in raises {
        assert_ne!(world.fleet(&["exec", "trial-1", "--", "/bin/sh", "-c", raise]).status, 0, "{raise}");
    }
    assert_eq!(world.container("trial-1")["memory"]["limit"], 512 << 20);
    assert_eq!(world.container("trial-1")["pids"], 500);
}

fn from_recipe(recipe: &Recipe) -> String {
    format!("image: \"file:{}\"", recipe.archive().display())
}

#[test]
fn busybox_is_an_init() {
    let life = Life {
        image: "distro: busybox",
        init: "busybox",
        kind: "busybox",
        booted: "true",
        reboot: "reboot",
        poweroff: "poweroff",
    };
    life.is_refused("systemd");
    life.is_lived();
}

#[test]
fn any_program_is_an_init() {
    let file = |init: &str| {
        format!(
            "fleet: trial
network: {{subnet: 10.213.9.0/24}}
containers:
  trial-1: {{distro: busybox, init: {init}, ip: {ADDRESS}, stop_timeout: {STOP_TIMEOUT_S}}}
  trial-2: {{distro: busybox, init: /bin/cat, stop_timeout: 1}}
"
        )
    };
    let world = World::new();
    let refused = world.write(&file("/root/own")).fleet(&["apply"]).expect(1);
    assert!(refused.stderr.contains("the root file system has no `/root/own`"), "{}", refused.stderr);

    // A program that ends as programs are asked to, by SIGTERM.
    world.write(&file("auto")).fleet(&["apply"]).expect(0);
    let script = "#!/bin/sh\ntrap 'echo shut down > /root/witness; exit' TERM\nwhile :; do sleep 9 & wait $!; done\n";
    world.sh("trial-1", &format!("printf %s \"{script}\" > /root/own; chmod +x /root/own"));
    world.write(&file("/root/own")).fleet(&["apply"]).expect(0);
    host("ping", &["-c1", "-W5", ADDRESS]);
    assert_eq!(world.sh("trial-1", "cat /proc/1/comm"), "own\n");
    assert_eq!(world.container("trial-1")["init"], serde_json::Value::Null);
    assert_eq!(world.changes(), 0);
    let asked = Instant::now();
    world.fleet(&["stop", "trial-1"]).expect(0);
    assert!(asked.elapsed() < Duration::from_secs((STOP_TIMEOUT_S / 2).into()), "the stop was a kill");
    assert_witnessed(&world);

    // One that does not listen: as PID 1 it has no default for SIGTERM. It is killed in the end.
    world.fleet(&["stop", "trial-2"]).expect(0);
    assert_eq!(world.state("trial-2"), "stopped");
    world.destroy();
}

const SYSTEMD: &str = "systemd-sysv,dbus,libpam-systemd,iproute2,iputils-ping";

fn systemd(suite: &'static str, name: &'static str) {
    let recipe = Recipe { name, suite, packages: SYSTEMD, hooks: &[] };
    let life = Life {
        image: &from_recipe(&recipe),
        init: "systemd",
        kind: "systemd",
        booted: "test \"$(systemctl is-system-running --wait)\" = running || { systemctl --failed; exit 1; }",
        reboot: "systemctl reboot",
        poweroff: "systemctl poweroff",
    };
    life.is_refused("busybox");
    life.is_lived();
}

#[test]
#[ignore = "builds a Debian"]
fn systemd_252_is_an_init() {
    systemd("bookworm", "systemd-bookworm");
}

#[test]
#[ignore = "builds a Debian"]
fn systemd_257_is_an_init() {
    systemd("trixie", "systemd-trixie");
}

#[test]
#[ignore = "builds a Debian"]
fn sysvinit_is_an_init() {
    let recipe =
        Recipe { name: "sysvinit", suite: "bookworm", packages: "sysvinit-core,iproute2,iputils-ping", hooks: &[] };
    let life = Life {
        image: &from_recipe(&recipe),
        init: "sysvinit",
        kind: "sysvinit",
        booted: "pidof getty agetty",
        reboot: "reboot",
        poweroff: "poweroff",
    };
    life.is_refused("systemd");
    life.is_lived();
}

/// `OpenRC` with sysvinit as PID 1, as Debian has it.
const OPENRC: Recipe =
    Recipe { name: "openrc", suite: "bookworm", packages: "openrc,sysvinit-core,iproute2,iputils-ping", hooks: &[] };

#[test]
#[ignore = "builds a Debian"]
fn openrc_runs_below_sysvinit() {
    let life = Life {
        image: &from_recipe(&OPENRC),
        init: "sysvinit",
        kind: "sysvinit",
        booted: "pidof getty agetty",
        reboot: "reboot",
        poweroff: "poweroff",
    };
    life.is_refused("openrc");
    life.is_lived();
}

#[test]
#[ignore = "builds a Debian"]
fn openrc_init_is_an_init() {
    let life = Life {
        image: &from_recipe(&OPENRC),
        init: "/sbin/openrc-init",
        kind: "openrc",
        // The pipe of openrc-shutdown(8), made when the default runlevel is reached.
        booted: "test -p /run/openrc/init.ctl",
        reboot: "openrc-shutdown -r now",
        poweroff: "openrc-shutdown -p now",
    };
    life.is_lived();
}

#[test]
#[ignore = "builds a Debian"]
fn runit_is_an_init() {
    let recipe = Recipe { name: "runit", suite: "bookworm", packages: "runit-init,iproute2,iputils-ping", hooks: &[] };
    let life = Life {
        image: &from_recipe(&recipe),
        init: "runit",
        kind: "runit",
        booted: "pidof runsvdir",
        reboot: "reboot",
        poweroff: "poweroff",
    };
    life.is_refused("sysvinit");
    life.is_lived();
}

#[test]
#[ignore = "builds a Debian unless it is given an Alpine"]
fn alpines_init_is_an_init() {
    let life = Life {
        image: &format!("image: \"file:{}\"", rootfs::alpine().display()),
        init: "busybox",
        kind: "busybox",
        // What the table keeps running on the console comes last.
        booted: "pidof getty agetty",
        reboot: "reboot",
        poweroff: "poweroff",
    };
    life.is_refused("openrc");
    life.is_lived();
}
