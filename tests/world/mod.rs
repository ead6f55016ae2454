//! A corner of the host for one test: its own state root, names and subnet; everything in it is gone at its end.
#![allow(dead_code, missing_docs, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Where corners of the host are.
const CORNERS: &str = "/var/tmp";

/// In a corner, what the host's forwarding was before.
const FORWARDING_BEFORE: &str = "forwarding-before";

/// Real containers share the links and the packet rules of a network namespace: in each one test at a time, in whatever
/// process, so that each can look for what it left.
fn host_lock() -> String {
    format!("{CORNERS}/fleet-tests-{}.lock", network_namespace())
}

/// What the names of the corners of this network namespace begin with.
fn corner() -> String {
    format!("fleet-test-{}-", network_namespace())
}

fn network_namespace() -> u64 {
    fs::metadata("/proc/self/ns/net").expect("readable").ino()
}

/// Whether the host passes packets of each family on.
const FORWARDING: [&str; 2] = ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"];

/// How many neighbours of each family there can be; not in all network namespaces.
const NEIGHBOURS: [&str; 2] =
    ["/proc/sys/net/ipv4/neigh/default/gc_thresh3", "/proc/sys/net/ipv6/neigh/default/gc_thresh3"];

/// What the names of links begin with that tests make themselves.
const LINKS_OF_TESTS: &str = "fleettest";

/// The table of packet rules that a test makes itself.
pub(crate) const TABLE_OF_TESTS: &str = "fleettest";

/// Steps that no container has a part in.
const OF_THE_HOST: [&str; 5] = ["network", "delete-network", "rules", "delete-rules", "forwarding"];

/// How long anything that is waited for may take.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// What a command of the test's came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON: {error}\n{self:?}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Ran {
        assert_eq!(self.status, status, "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    links_before: Vec<String>,
    traffic_before: String,
    host: File,
}

impl World {
    /// An empty corner. Fails where there is no root: these tests are not skipped.
    pub(crate) fn new() -> World {
        assert!(rustix::process::getuid().is_root(), "these tests make real containers: run them as root");
        let host = File::create(host_lock()).expect("writable");
        host.lock().expect("a file can be locked");
        clear_up_after_killed_tests();
        let dir = tempfile::Builder::new().prefix(&corner()).tempdir_in(CORNERS).expect("a directory");
        // Where the host passes packets on already, fleet would have nothing to change, and to put back.
        let forwarding = FORWARDING.map(|path| fs::read_to_string(path).expect("readable"));
        fs::write(dir.path().join(FORWARDING_BEFORE), forwarding.concat()).expect("written");
        for path in FORWARDING {
            fs::write(path, "0").expect("written");
        }
        World { dir, links_before: links(), traffic_before: traffic(), host }
    }

    /// Leaves the corner as it is, as a test does that is killed; its directory.
    pub(crate) fn abandon(self) -> PathBuf {
        let dir = self.dir.path().to_owned();
        self.host.unlock().expect("it is locked");
        std::mem::forget(self);
        dir
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("fleet.yaml")
    }

    /// Writes the fleet file.
    pub(crate) fn write(&self, text: &str) -> &World {
        fs::write(self.file(), text).expect("writable");
        self
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        fleet_in(self.dir.path(), args)
    }

    /// Runs fleet to its end.
    pub(crate) fn fleet(&self, args: &[&str]) -> Ran {
        ran(&self.command(args).output().expect("fleet runs"))
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().expect("fleet runs")
    }

    /// Runs fleet, and kills it after `wait`.
    pub(crate) fn kill_after(&self, args: &[&str], wait: Duration) {
        let mut child = self.spawn(args);
        std::thread::sleep(wait);
        let _ = child.kill();
        child.wait().expect("waited");
    }

    /// Runs a shell command in a container; its standard output.
    #[track_caller]
    pub(crate) fn sh(&self, name: &str, script: &str) -> String {
        self.fleet(&["exec", name, "--", "/bin/sh", "-c", script]).expect(0).stdout
    }

    /// Runs a shell command that ends the guest, and with it sometimes the command before it could say how it went.
    pub(crate) fn last_words(&self, name: &str, script: &str) {
        let ran = self.fleet(&["exec", name, "--", "/bin/sh", "-c", script]);
        assert!([0, 128 + 9, 128 + 15].contains(&ran.status), "{ran:?}");
    }

    /// What fleet has recorded with container `name`.
    pub(crate) fn record(&self, name: &str) -> Value {
        let record = fs::read_to_string(self.root().join(format!("lxc/{name}/fleet.json"))).expect("its record");
        serde_json::from_str(&record).expect("JSON")
    }

    /// The status of container `name`, as JSON.
    pub(crate) fn container(&self, name: &str) -> Value {
        let status = self.fleet(&["status", "-o", "json"]).expect(0).json();
        let all = status["containers"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no `{name}` in {status}"))
    }

    pub(crate) fn state(&self, name: &str) -> String {
        self.container(name)["state"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn pid(&self, name: &str) -> u64 {
        self.container(name)["pid"].as_u64().unwrap_or_else(|| panic!("`{name}` has no pid"))
    }

    /// Waits until container `name` runs with an init other than `before`; its pid.
    #[track_caller]
    pub(crate) fn another_init(&self, name: &str, before: u64) -> u64 {
        let mut now = before;
        eventually("a new init runs", || {
            let status = self.container(name);
            now = status["pid"].as_u64().unwrap_or(before);
            status["state"] == "running" && now != before
        });
        now
    }

    /// The host's end of link `number` of container `name`.
    pub(crate) fn port_of(&self, name: &str, number: usize) -> String {
        self.record(name)["spec"]["links"][number]["host_name"].as_str().expect("a name").to_owned()
    }

    /// The process of each container that runs, by name.
    pub(crate) fn pids(&self) -> BTreeMap<String, u64> {
        let status = self.fleet(&["status", "-o", "json"]).expect(0).json();
        let rows = status["containers"].as_array().cloned().unwrap_or_default();
        rows.iter().filter_map(|row| Some((row["name"].as_str()?.to_owned(), row["pid"].as_u64()?))).collect()
    }

    /// Applies what the fleet file says now, to containers that go on running.
    #[track_caller]
    pub(crate) fn apply_live(&self) {
        let before = self.pids();
        let plan = self.fleet(&["plan", "-o", "json"]).expect(2).json();
        for step in plan["steps"].as_array().expect("steps") {
            let action = step["action"].as_str().unwrap_or_default();
            assert!(step["consequence"] == "live" || OF_THE_HOST.contains(&action), "{plan:#}");
        }
        self.fleet(&["apply"]).expect(0);
        assert_eq!(self.changes(), 0, "{}", self.fleet(&["plan"]).stdout);
        assert_eq!(self.pids(), before);
    }

    /// The number of steps that an apply would take.
    pub(crate) fn changes(&self) -> u64 {
        let plan = self.fleet(&["plan", "-o", "json"]);
        plan.json()["changes"].as_u64().unwrap_or_else(|| panic!("{plan:?}"))
    }

    /// Destroys the fleet and checks that nothing of it is left on the host.
    #[track_caller]
    pub(crate) fn destroy(&self) {
        self.fleet(&["destroy", "-y"]).expect(0);
        self.assert_nothing_left();
    }

    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        let root = self.root().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("readable");
        assert_eq!(mounts.lines().filter(|line| line.contains(&root)).collect::<Vec<_>>(), Vec::<&str>::new());
        self.assert_links_and_groups_as_before();
        assert_eq!(traffic(), self.traffic_before);
        assert_eq!(names_in(&self.root().join("lxc")), Vec::<String>::new());
        assert_eq!(names_in(&self.root().join("run/containers")), Vec::<String>::new());
        for kept in ["fleet/volumes", "fleet/fleets"] {
            assert_eq!(names_in(&self.root().join(kept)), Vec::<String>::new());
        }
        assert_eq!(self.processes(), Vec::<(u32, String)>::new());
    }

    #[track_caller]
    pub(crate) fn assert_links_and_groups_as_before(&self) {
        assert_eq!(links(), self.links_before);
        assert_eq!(self.groups(), Vec::<PathBuf>::new());
    }

    /// Processes of fleet's that work for this corner, told by the root in their environment: pid and name.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let root = format!("FLEET_ROOT={}", self.root().display());
        let mut found = processes();
        found.retain(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|one| one == root.as_bytes())
        });
        let name = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
        found.into_iter().map(|pid| (pid, name(pid))).collect()
    }
}

impl World {
    /// The groups of containers of this corner, in every hierarchy. Their parent's name is derived from the root.
    pub(crate) fn groups(&self) -> Vec<PathBuf> {
        let scope = self.root().display().to_string();
        let own = format!("fleet-{}", fleet::model::hex(&fleet::model::stable_hash(&["cgroup", &scope])[..4]));
        let top = Path::new("/sys/fs/cgroup");
        let hierarchies = names_in(top).into_iter().map(|name| top.join(name)).chain([top.to_owned()]);
        hierarchies.map(|hierarchy| hierarchy.join(&own)).filter(|group| group.exists()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A failed test must not disturb the next one. A good one has nothing left, and perhaps not even a fleet file.
        let destroyed = self.command(&["destroy", "-y"]).output();
        if std::thread::panicking() && !destroyed.is_ok_and(|output| output.status.success()) {
            self.dir.disable_cleanup(true);
        }
        put_forwarding_back(self.dir.path());
    }
}

fn put_forwarding_back(corner: &Path) {
    let before = fs::read_to_string(corner.join(FORWARDING_BEFORE)).unwrap_or_default();
    for (path, value) in FORWARDING.iter().zip(before.lines()) {
        let _ = fs::write(path, value);
    }
}

/// Clears up what tests have left that were killed, whose host nobody else has now.
fn clear_up_after_killed_tests() {
    for name in names_in(Path::new(CORNERS)).iter().filter(|name| name.starts_with(&corner())) {
        let dir = Path::new(CORNERS).join(name);
        let is_fleet_file = |name: &&String| Path::new(name).extension().is_some_and(|extension| extension == "yaml");
        for file in names_in(&dir).iter().filter(is_fleet_file) {
            let _ = fleet_in(&dir, &["destroy", "-y", file]).output();
        }
        put_forwarding_back(&dir);
        let _ = fs::remove_dir_all(&dir);
    }
    for link in links_there().iter().filter(|link| link.starts_with(LINKS_OF_TESTS)) {
        let _ = Command::new("ip").args(["link", "del", link]).output();
    }
    let _ = Command::new("nft").args(["delete", "table", "ip", TABLE_OF_TESTS]).output();
}

/// `fleet ARGS` in a corner.
fn fleet_in(corner: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleet"));
    command
        .env_remove("FLEET_FILE")
        .env_remove("FLEET_IMAGE_SERVER")
        .env("FLEET_ROOT", corner.join("root"))
        .env("NO_COLOR", "1")
        .current_dir(corner)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn ran(output: &Output) -> Ran {
    Ran {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a command of the host; its standard output.
#[track_caller]
pub(crate) fn host(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().expect(program);
    ran(&output).expect(0).stdout
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "it did not happen in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether process `pid` has ended; that its parent has not asked for its status yet does not matter.
pub(crate) fn has_ended(pid: u64) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// All links of the host but those that the test made itself.
pub(crate) fn links() -> Vec<String> {
    let mut links = links_there();
    links.retain(|link| !link.starts_with(LINKS_OF_TESTS));
    links.sort();
    links
}

/// All links of the host.
pub(crate) fn links_there() -> Vec<String> {
    // Not by /sys, which shows the links of where it was mounted.
    let devices = fs::read_to_string("/proc/self/net/dev").expect("readable");
    devices.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim().to_owned()).collect()
}

/// The host's packet rules, whether it passes packets of each family on, and how many neighbours it can have.
pub(crate) fn traffic() -> String {
    let output = Command::new("nft").args(["list", "ruleset"]).output().expect("nft is installed");
    let forwarding = FORWARDING.map(|path| fs::read_to_string(path).expect("readable"));
    let neighbours = NEIGHBOURS.map(|path| fs::read_to_string(path).unwrap_or_default());
    forwarding.concat() + &neighbours.concat() + &String::from_utf8_lossy(&output.stdout)
}

pub(crate) fn names_in(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
    names.sort();
    names
}

fn processes() -> Vec<u32> {
    names_in(Path::new("/proc")).iter().filter_map(|name| name.parse().ok()).collect()
}
