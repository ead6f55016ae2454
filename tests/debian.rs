//! A real Debian guest with systemd and an SSH server: users, keys, names and addresses as a person finds them.

mod rootfs;
mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rootfs::Recipe;
use world::{Ran, World, eventually, host};

const DEBIAN: Recipe = Recipe {
    name: "debian",
    suite: "bookworm",
    packages: "systemd-sysv,dbus,libpam-systemd,systemd-resolved,iproute2,iputils-ping,openssh-server,sudo",
    // networkd is what brings up the network of a minimal Debian; its preset does not enable it.
    hooks: &["systemctl --root=\"$1\" enable systemd-networkd"],
};

/// With what Ansible's modules run in.
const DEBIAN_WITH_PYTHON: Recipe = Recipe {
    name: "debian-python",
    packages: "systemd-sysv,dbus,libpam-systemd,iproute2,openssh-server,sudo,python3",
    ..DEBIAN
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
network: {{subnet: 10.213.8.0/24, subnet6: 'fd00:213:8::/64'}}
defaults:
  image: file:{}
  memory: 512MiB
  init: systemd
containers:
  lab-db:
    ip: 10.213.8.5
    ip6: fd00:213:8::5
    ssh_keys: [key.pub]
    users: [{{name: dev, sudo: true, ssh_keys: [key.pub]}}]
  lab-web:
    ip: 10.213.8.6
    ip6: fd00:213:8::6
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
    world.another_init("lab-db", before);
    eventually("sshd listens again", || login.ssh("dev@10.213.8.5", "true").status == 0);
    // The guest's own network configuration agrees with the address.
    eventually("networkd is content", || {
        world.sh("lab-db", "networkctl --no-pager status eth0 || true").contains("configured")
    });
    assert_eq!(world.sh("lab-db", "ip -4 -br addr show eth0").split_whitespace().nth(2), Some("10.213.8.5/24"));
    assert_eq!(world.sh("lab-db", "ip route show default | wc -l").trim(), "1");
    // And so with IPv6, which the name service knows, too.
    let addresses = world.sh("lab-db", "ip -6 -br addr show eth0 scope global");
    assert_eq!(addresses.split_whitespace().skip(2).collect::<Vec<_>>(), ["fd00:213:8::5/64"]);
    let route = world.sh("lab-db", "ip -6 route show default");
    assert!(route.starts_with("default via fd00:213:8::1 ") && route.lines().count() == 1, "{route}");
    assert!(world.sh("lab-db", "getent ahostsv6 lab-web").starts_with("fd00:213:8::6 "));
    world.sh("lab-db", "ping -6 -c1 -W5 lab-web");
    assert_eq!(login.ssh("dev@fd00:213:8::5", "hostname").expect(0).stdout, "lab-db\n");
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
fn a_guests_networkd_is_told_of_an_address_that_changes_while_it_runs() {
    let world = World::new();
    let file = format!(
        "fleet: lab
network: {{subnet: 10.213.10.0/24}}
containers:
  lab-moved: {{ip: 10.213.10.5, image: \"file:{}\", init: systemd}}
",
        DEBIAN.archive().display()
    );
    world.write(&file).fleet(&["apply"]).expect(0);
    let networkd = |what: &str| world.sh("lab-moved", "networkctl --no-pager status eth0 || true").contains(what);
    eventually("networkd has set its link up", || networkd("configured") && networkd("10.213.10.5"));
    let pid = world.pid("lab-moved");

    world.write(&file.replace("10.213.10.5", "10.213.10.6")).fleet(&["apply"]).expect(0);
    assert_eq!(world.pid("lab-moved"), pid);
    // A link that loses its carrier and gets it back has from networkd what that has read.
    let carried = || world.sh("lab-moved", "cat /sys/class/net/eth0/carrier 2>/dev/null || true").trim() == "1";
    world.sh("lab-moved", "ip link set eth0 down");
    eventually("it has no carrier", || !carried());
    world.sh("lab-moved", "ip link set eth0 up");
    eventually("networkd has set its link up again", || carried() && networkd("(configured)"));
    let addresses = world.sh("lab-moved", "ip -4 -br addr show eth0");
    assert_eq!(addresses.split_whitespace().skip(2).collect::<Vec<_>>(), ["10.213.10.6/24"]);
    assert_eq!(world.changes(), 0);
    world.destroy();
}

#[test]
fn a_guest_whose_ifupdown_sets_its_links_up_has_the_same_addresses() {
    const IFUPDOWN: Recipe = Recipe {
        name: "debian-ifupdown",
        packages: "sysvinit-core,ifupdown,iproute2,iputils-ping",
        hooks: &[],
        ..DEBIAN
    };
    let world = World::new();
    world.write(&format!(
        "fleet: lab
network: {{subnet: 10.213.74.0/24, subnet6: 'fd00:213:74::/64'}}
defaults: {{image: 'file:{}', memory: 256MiB, init: sysvinit}}
containers:
  lab-a: {{ip: 10.213.74.5, ip6: 'fd00:213:74::5'}}
  lab-b: {{ip: 10.213.74.6, ip6: 'fd00:213:74::6'}}
",
        IFUPDOWN.archive().display()
    ));
    world.fleet(&["apply"]).expect(0);
    // The state is written first, and the address of one family after that of the other.
    eventually("its own tools have set it up", || {
        world.fleet(&["exec", "lab-a", "--", "ifquery", "--state", "eth0"]).stdout.trim() == "eth0=eth0"
            && world.sh("lab-a", "pidof ifup || ip -6 route show default").contains("default via")
            && world.sh("lab-a", "ip -6 address show eth0").contains("fd00:213:74::5/64")
    });
    let is_as_asked = || {
        let shown = world.sh("lab-a", "ip -br addr show eth0; ip route show default; ip -6 route show default");
        let addresses: Vec<&str> = shown.lines().next().unwrap_or_default().split_whitespace().skip(2).collect();
        assert!(addresses.contains(&"10.213.74.5/24") && addresses.contains(&"fd00:213:74::5/64"), "{shown}");
        assert_eq!(shown.matches("default via").count(), 2, "{shown}");
        world.sh("lab-a", "ping -4 -c1 -W5 lab-b && ping -6 -c1 -W5 lab-b");
        assert_eq!(world.changes(), 0, "{}", world.fleet(&["plan"]).stdout);
    };
    is_as_asked();
    world.sh("lab-a", "ifdown eth0 && ifup eth0");
    is_as_asked();
    world.destroy();
}

#[test]
fn a_host_logs_in_by_name_and_by_the_keys_that_fleet_gave() {
    let world = World::new();
    let keys = world.dir.path().join("my keys");
    fs::create_dir(&keys).expect("a directory");
    host("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &keys.join("key").display().to_string()]);
    world.write(&format!(
        "fleet: lab
network: {{subnet: 10.213.72.0/24}}
defaults: {{image: 'file:{}', memory: 512MiB, init: systemd, ssh_keys: [my keys/key.pub]}}
containers:
  lab-db:
    users: [{{name: dev, ssh_keys: [my keys/key.pub]}}]
  lab-web: {{}}
",
        DEBIAN.archive().display()
    ));
    world.fleet(&["apply"]).expect(0);
    eventually("lab-db lets in", || world.fleet(&["ssh", "lab-db", "--", "true"]).status == 0);
    eventually("lab-web lets in", || world.fleet(&["ssh", "lab-web", "--", "true"]).status == 0);

    // Who, where, and the status of the command; words are joined for the user's shell, as ssh does it.
    let ran = world.fleet(&["ssh", "lab-db", "--", "whoami; hostname; cat; exit", "7"]).expect(7);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("dev\nlab-db\n", ""));
    assert_eq!(world.fleet(&["ssh", "root@lab-db", "--", "whoami"]).expect(0).stdout, "root\n");
    assert_eq!(world.fleet(&["ssh", "lab-web", "--", "whoami"]).expect(0).stdout, "root\n");

    // The same by plain ssh, and the names by which members know each other are the same as on the host.
    let config = world.dir.path().join("lab.conf");
    fs::write(&config, world.fleet(&["ssh-config"]).expect(0).stdout).expect("written");
    let plain = |name: &str, command: &str| {
        let ssh = Command::new("ssh").arg("-F").arg(&config).args(["-o", "BatchMode=yes", name, command]).output();
        world::ran(&ssh.expect("ssh is installed"))
    };
    assert_eq!(plain("lab-db", "whoami; hostname").expect(0).stdout, "dev\nlab-db\n");
    assert_eq!(plain("lab-web.lab", "whoami; hostname").expect(0).stdout, "root\nlab-web\n");
    let resolved = plain("lab-web.lab", "getent ahostsv4 lab-db.lab | head -1").expect(0).stdout;
    let config_text = fs::read_to_string(&config).expect("readable");
    let address = config_text.lines().find_map(|line| line.trim().strip_prefix("HostName ")).expect("it has one");
    assert_eq!(resolved.split_whitespace().next(), Some(address));

    // A host with another key than the one that fleet gave is not talked to.
    let known_hosts = world.root().join("fleet/fleets/lab/known_hosts");
    let right = fs::read_to_string(&known_hosts).expect("readable");
    let (db, web) = right.trim_end().split_once('\n').expect("two lines");
    let key = |line: &str| line.split_once(' ').expect("names and key").1.to_owned();
    fs::write(&known_hosts, right.replace(&key(db), &key(web))).expect("written");
    let refused = world.fleet(&["ssh", "lab-db", "--", "true"]).expect(255);
    assert!(refused.stderr.contains("Host key verification failed"), "{}", refused.stderr);
    assert_eq!(plain("lab-db", "true").status, 255);
    world.destroy();
}

#[test]
#[ignore = "takes Ansible (Debian's ansible-core) and a minute for another root file system"]
fn ansible_works_with_the_inventory_as_a_script_and_as_a_file() {
    let world = World::new();
    let dir = world.dir.path();
    host("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &dir.join("a key").display().to_string()]);
    world.write(&format!(
        "fleet: my-lab
network: {{subnet: 10.213.73.0/24}}
defaults: {{image: 'file:{}', memory: 512MiB, init: systemd, ssh_keys: [a key.pub]}}
profiles: {{data: {{users: [{{name: dev, sudo: true, ssh_keys: [a key.pub]}}]}}}}
containers:
  lab-web: {{replicas: 2}}
  lab-db: {{profiles: [data]}}
",
        DEBIAN_WITH_PYTHON.archive().display()
    ));
    world.fleet(&["apply"]).expect(0);
    for name in ["lab-web-1", "lab-web-2", "lab-db"] {
        eventually("it lets in", || world.fleet(&["ssh", name, "--", "true"]).status == 0);
    }
    let script = dir.join("inventory");
    let fleet = format!("exec '{}' -f '{}'", env!("CARGO_BIN_EXE_fleet"), world.file().display());
    fs::write(&script, format!("#!/bin/sh\n{fleet} inventory \"$@\"\n")).expect("written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("executable");
    let yaml = dir.join("inventory.yaml");
    fs::write(&yaml, world.fleet(&["inventory"]).expect(0).stdout).expect("written");
    let json = dir.join("inventory.json");
    fs::write(&json, world.fleet(&["inventory", "-o", "json"]).expect(0).stdout).expect("written");

    let ansible = |inventory: &Path, arguments: &[&str]| {
        let mut ansible = Command::new("ansible");
        ansible.arg("-i").arg(inventory).args(arguments).stdin(Stdio::null()).current_dir(dir);
        // No connection outlives the test, and nothing is written to the user's home.
        ansible.env("ANSIBLE_SSH_ARGS", "").env("HOME", dir).env("FLEET_ROOT", world.root());
        world::ran(&ansible.env("ANSIBLE_NOCOLOR", "1").output().expect("ansible is installed"))
    };
    for inventory in [&script, &yaml, &json] {
        let pinged = ansible(inventory, &["all", "-m", "ping"]).expect(0);
        assert_eq!(pinged.stdout.matches("\"ping\": \"pong\"").count(), 3, "{pinged:?}");
        assert!(!pinged.stderr.contains("WARNING"), "{}", pinged.stderr);
        let listed = |pattern: &str| ansible(inventory, &[pattern, "--list-hosts"]).expect(0).stdout;
        assert_eq!(listed("fleet_my_lab"), "  hosts (3):\n    lab-web-1\n    lab-web-2\n    lab-db\n");
        assert_eq!(listed("profile_data"), "  hosts (1):\n    lab-db\n");
    }
    // Who it is, and that it may become root.
    let who = |arguments: &[&str]| ansible(&script, arguments).expect(0).stdout;
    assert!(who(&["lab-db", "-m", "command", "-a", "whoami"]).ends_with(">>\ndev\n"));
    assert!(who(&["lab-db", "--become", "-m", "command", "-a", "whoami"]).ends_with(">>\nroot\n"));

    let host = world.fleet(&["inventory", "--host", "lab-db"]).expect(0).json();
    assert_eq!((&host["ansible_user"], &host["fleet_state"]), (&"dev".into(), &"running".into()));
    let unknown = world.fleet(&["inventory", "--host", "lab-no"]).expect(1);
    assert!(unknown.stderr.starts_with("error: there is no container `lab-no` to log in to\n"), "{unknown:?}");
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
