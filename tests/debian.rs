//! A real Debian guest with systemd and an SSH server: users, keys, names and addresses as a person finds them.

mod rootfs;
mod world;

use std::fs;
use std::process::Command;

use rootfs::Recipe;
use world::{Ran, World, eventually, host};

const DEBIAN: Recipe = Recipe {
    name: "debian",
    suite: "bookworm",
    packages: "systemd-sysv,dbus,libpam-systemd,systemd-resolved,iproute2,iputils-ping,openssh-server,sudo",
    // networkd is what brings up the network of a minimal Debian; its preset does not enable it.
    hooks: &["systemctl --root=\"$1\" enable systemd-networkd"],
};

struct Login<'a> {
    world: &'a World,
}

impl Login<'_> {
    /// Runs a command by plain ssh with strict checking of the host key that fleet says the container has.
    fn ssh(&self, user_at_address: &str, command: &str) -> Ran {
        let dir = self.world.dir.path();
        let known_hosts = self.world.root().join("fleet/fleets/lab/known_hosts");
        let output = Command::new("ssh")
            .args(["-F", "none", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
            .arg("-i")
            .arg(dir.join("key"))
            .args([user_at_address, command])
            .output();
        world::ran(&output.expect("ssh is installed"))
    }
}

#[test]
fn a_systemd_guest_runs_and_lets_its_user_in_by_ssh() {
    let world = World::new();
    let key = world.dir.path().join("key");
    host("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key.display().to_string()]);
    world.write(&format!(
        "fleet: lab
network: {{subnet: 10.213.8.0/24}}
defaults:
  image: file:{}
  memory: 512MiB
  init: systemd
containers:
  lab-db:
    ip: 10.213.8.5
    ssh_keys: [key.pub]
    users: [{{name: dev, sudo: true, ssh_keys: [key.pub]}}]
  lab-web:
    ip: 10.213.8.6
",
        DEBIAN.archive().display()
    ));
    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.changes(), 0);

    for name in ["lab-db", "lab-web"] {
        let state = || world.fleet(&["exec", name, "--", "systemctl", "is-system-running"]).stdout.trim().to_owned();
        eventually("it has booted", || matches!(state().as_str(), "running" | "degraded"));
        assert_eq!(state(), "running", "{}", world.sh(name, "systemctl --failed; true"));
    }
    let login = Login { world: &world };
    eventually("sshd listens", || login.ssh("dev@10.213.8.5", "true").status == 0);
    assert_eq!(login.ssh("dev@10.213.8.5", "whoami; sudo -n whoami; hostname").expect(0).stdout, "dev\nroot\nlab-db\n");
    assert_eq!(login.ssh("root@10.213.8.5", "whoami").expect(0).stdout, "root\n");
    // logind knows the session: the login is a real one.
    assert!(login.ssh("dev@10.213.8.5", "loginctl show-user dev -p State").expect(0).stdout.contains("active"));
    assert_eq!(login.ssh("dev@10.213.8.5", "ping -c1 -W5 lab-web").expect(0).status, 0);
    // Nobody else's key opens it, and root of the other one has none.
    assert_ne!(login.ssh("root@10.213.8.6", "true").status, 0);

    let before = world.pid("lab-db");
    let machine_id = world.sh("lab-db", "cat /etc/machine-id");
    let _ = login.ssh("dev@10.213.8.5", "sudo -n systemctl reboot");
    eventually("it has rebooted", || {
        let status = world.container("lab-db");
        status["state"] == "running" && status["pid"] != before
    });
    eventually("sshd listens again", || login.ssh("dev@10.213.8.5", "true").status == 0);
    // The guest's own network configuration agrees with the address.
    eventually("networkd is content", || {
        world.sh("lab-db", "networkctl --no-pager status eth0 || true").contains("configured")
    });
    assert_eq!(world.sh("lab-db", "ip -4 -br addr show eth0").split_whitespace().nth(2), Some("10.213.8.5/24"));
    assert_eq!(world.sh("lab-db", "ip route show default | wc -l").trim(), "1");
    assert_eq!(world.sh("lab-db", "cat /etc/machine-id"), machine_id);
    assert_eq!(world.changes(), 0);

    // A new member is told to the running ones, without a restart.
    let more = fs::read_to_string(world.file()).expect("readable") + "  lab-new:\n    ip: 10.213.8.7\n";
    let pid = world.pid("lab-web");
    world.write(&more).fleet(&["apply"]).expect(0);
    assert_eq!(world.pid("lab-web"), pid);
    world.sh("lab-web", "ping -c1 -W5 lab-new");

    let started = std::time::Instant::now();
    world.fleet(&["stop", "lab-web"]).expect(0);
    assert!(started.elapsed().as_secs() < 20, "systemd shut down by itself, not by the deadline");
    world.destroy();
}

#[test]
#[ignore = "asks the mirror that this machine's APT asks"]
fn a_guest_gets_its_packages_through_the_host() {
    let world = World::new();
    world.write(&format!(
        "fleet: lab
network: {{subnet: 10.213.62.0/24}}
containers:
  lab-apt: {{image: 'file:{}', init: systemd, memory: 512MiB}}
",
        DEBIAN.archive().display()
    ));
    world.fleet(&["apply"]).expect(0);
    let state = || world.fleet(&["exec", "lab-apt", "--", "systemctl", "is-system-running"]).stdout;
    eventually("it has booted", || matches!(state().trim(), "running" | "degraded"));
    let updated = world.sh("lab-apt", "apt-get -q update 2>&1");
    assert!(updated.contains("Get:1") && !updated.contains("Err:"), "{updated}");
    world.sh("lab-apt", "cd /tmp && apt-get -q download hostname && test -s hostname_*.deb");
    world.destroy();
}
