//! Guests of each family, and hostile ones, in temporary directories.

mod families;
mod fuzz;
mod hostile;
mod users;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use super::{GuestError, HostKey, HostTables, Occasion, provision};
use crate::model::{
    ContainerRecord, ContainerSpec, EngineKind, GuestSpec, IdRange, ImageDigest, ImageSource, Init, Limits, LinkSpec,
    LinkWay, MachineId, Member, NetworkName, PortMode, Restart, SecuritySpec, UserSpec,
};
use crate::sys::RootDir;

/// A root file system with a host directory around it that nothing may touch.
struct Guest {
    dir: tempfile::TempDir,
}

impl Guest {
    /// A guest with these files: `PATH/` is a directory, `PATH -> TARGET` a link.
    fn with(files: &[(&str, &str)]) -> Guest {
        let guest = Guest { dir: tempfile::tempdir().expect("a temporary directory") };
        std::fs::create_dir(guest.path("/")).expect("a directory");
        for (name, content) in files {
            guest.put(name, content);
        }
        guest
    }

    fn put(&self, name: &str, content: &str) {
        let (name, target) = name.split_once(" -> ").map_or((name, None), |(name, target)| (name, Some(target)));
        let path = self.path(name);
        std::fs::create_dir_all(if name.ends_with('/') { &path } else { path.parent().expect("it is in the root") })
            .expect("made");
        match target {
            Some(target) => symlink(target, path).expect("linked"),
            None if name.ends_with('/') => {}
            None => std::fs::write(path, content).expect("written"),
        }
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.dir.path().join("root").join(inside.trim_start_matches('/'))
    }

    fn text(&self, inside: &str) -> String {
        std::fs::read_to_string(self.path(inside)).expect("it is there")
    }

    fn provision(&self, record: &ContainerRecord, occasion: Occasion) -> Result<Vec<String>, GuestError> {
        let root = RootDir::open(&self.path("/")).expect("it is there");
        let hosts = [("10.42.0.5", "db"), ("10.42.0.11", "agent-1")].map(|(address, name)| Member {
            names: vec![name.to_owned(), format!("{name}.demo")],
            addresses: vec![(NetworkName::default(), address.parse().expect("an address"))],
        });
        provision(&root, record, &HostTables::new(hosts.to_vec()), &HostKey::derive(b"secret", "demo", "db"), occasion)
    }

    /// Provisions before the first start; returns what changed, then the warnings. Once more must write nothing.
    fn changes(&self, record: &ContainerRecord) -> String {
        let before = self.contents();
        let warnings = self.provision(record, Occasion::FirstStart).expect("provisioned");
        let written = self.stamps();
        assert_eq!(self.provision(record, Occasion::FirstStart).expect("provisioned again"), warnings);
        assert_eq!(self.stamps(), written);
        self.provision(record, Occasion::Change).expect("provisioned later");
        assert_eq!(self.stamps(), written);
        let after = self.contents();
        let mut text = String::new();
        for path in before.keys().filter(|path| !after.contains_key(*path)) {
            writeln!(text, "== {path}: removed").expect("a string takes all");
        }
        for (path, content) in after.iter().filter(|(path, content)| before.get(*path) != Some(content)) {
            write!(text, "== {path}: {content}").expect("a string takes all");
        }
        warnings.iter().fold(text, |text, warning| format!("{text}warning: {warning}\n"))
    }

    /// Mode, owner and content of everything.
    fn contents(&self) -> BTreeMap<String, String> {
        self.walk(|path, metadata| {
            let owner = format!("{:04o} {}:{}", metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
            if metadata.is_symlink() {
                return format!("-> {}\n", std::fs::read_link(path).expect("a link").display());
            }
            let content = if metadata.is_file() { std::fs::read_to_string(path).expect("text") } else { String::new() };
            if content.starts_with("-----BEGIN") {
                format!("{owner}\n(secret)\n")
            } else {
                format!("{owner}\n{content}")
            }
        })
    }

    /// Inode and time of the last change of everything.
    fn stamps(&self) -> BTreeMap<String, (u64, i64, i64)> {
        self.walk(|_, metadata| (metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
    }

    fn walk<T>(&self, look: impl Fn(&Path, &std::fs::Metadata) -> T) -> BTreeMap<String, T> {
        let mut found = BTreeMap::new();
        let mut waiting = vec![self.path("/")];
        while let Some(directory) = waiting.pop() {
            for entry in std::fs::read_dir(&directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                let metadata = path.symlink_metadata().expect("it is there");
                let inside = path.strip_prefix(self.path("/")).expect("it is inside");
                found.insert(format!("/{}", inside.display()), look(&path, &metadata));
                if metadata.is_dir() {
                    waiting.push(path);
                }
            }
        }
        found
    }
}

/// Container `db` of fleet `demo`, with users and keys as given.
fn record(users: Vec<UserSpec>, ssh_keys: &[&str]) -> ContainerRecord {
    let guest = GuestSpec {
        hostname: "db".to_owned(),
        machine_id: MachineId("0123456789abcdef0123456789abcdef".to_owned()),
        users,
        ssh_keys: ssh_keys.iter().map(ToString::to_string).collect(),
        dns: vec!["192.0.2.53".parse().expect("an address")],
        templates: BTreeMap::new(),
    };
    let spec = ContainerSpec {
        name: "db".parse().expect("a name"),
        image: ImageSource::Busybox,
        arch: "amd64".to_owned(),
        init: Init::Auto,
        limits: Limits::default(),
        links: vec![LinkSpec {
            network: NetworkName::default(),
            name: LinkSpec::first_name(),
            way: LinkWay::default(),
            parent: "demo0".to_owned(),
            host_name: "demo-db".to_owned(),
            address: "10.42.0.5/24".parse().ok(),
            gateway: "10.42.0.1".parse().ok(),
            address6: None,
            gateway6: None,
            mac: "02:00:00:00:00:05".parse().expect("an address"),
            mtu: None,
            port: PortMode::default(),
        }],
        is_on_host_network: false,
        guest,
        stop_timeout_s: 10,
        restart: Restart::default(),
        security: SecuritySpec::default(),
        mounts: Vec::new(),
        devices: Vec::new(),
        ports: Vec::new(),
    };
    ContainerRecord {
        fleet: "demo".parse().expect("a name"),
        engine: EngineKind::Native,
        spec,
        image: ImageDigest("0".repeat(64)),
        ids: IdRange { base: 1_879_048_192 },
        hosts: String::new(),
    }
}

fn user(name: &str) -> UserSpec {
    UserSpec { name: name.to_owned(), uid: None, shell: None, sudo: false, ssh_keys: Vec::new() }
}

/// The user `dev`, who has a key and sudo.
fn dev() -> UserSpec {
    UserSpec { sudo: true, ssh_keys: vec![KEY.to_owned()], ..user("dev") }
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG dev@laptop";
