//! A container: as asked for, as recorded, as found.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use super::{
    Bytes, ContainerName, DeviceSpec, EngineKind, FleetName, GuestNetwork, GuestSpec, IdRange, ImageDigest,
    ImageSource, IpFamily, LastExit, Limits, LinkSpec, MountSpec, MountState, NetworkName, PortForward, Seccomp,
    SecuritySpec, native_architecture,
};

/// The program that runs as PID 1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// Whatever `/sbin/init` of the image is.
    #[default]
    Auto,
    /// One that must be the image's `/sbin/init`.
    Kind(InitKind),
    /// Any program of the image, by absolute path.
    Path(PathBuf),
    /// The program that the image is made for, below a small init of fleet's own.
    Entrypoint,
}

/// The inits whose signals and habits are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InitKind {
    /// systemd(1).
    Systemd,
    /// openrc-init(8).
    Openrc,
    /// init(8) of sysvinit.
    Sysvinit,
    /// runit(8).
    Runit,
    /// init of busybox, Alpine's too.
    Busybox,
}

impl InitKind {
    /// All of them, with the word that names each in a fleet file.
    pub const ALL: [(&'static str, InitKind); 5] = [
        ("systemd", InitKind::Systemd),
        ("openrc", InitKind::Openrc),
        ("sysvinit", InitKind::Sysvinit),
        ("runit", InitKind::Runit),
        ("busybox", InitKind::Busybox),
    ];
}

/// What happens when a container's init has ended without anybody having stopped the container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Nothing.
    #[default]
    No,
    /// It is started again if the init was killed or exited with a status other than 0, after a pause that grows.
    OnFailure,
    /// It is started again, after a pause that grows. Also when the guest powered itself off.
    Always,
}

impl Restart {
    /// All of them, with the word that names each in a fleet file.
    pub const ALL: [(&'static str, Restart); 3] =
        [("no", Restart::No), ("on-failure", Restart::OnFailure), ("always", Restart::Always)];
}

/// One container, as the fleet file asks for it, with all that is derived filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Unique on the host.
    pub name: ContainerName,
    /// Where its root file system comes from.
    pub image: ImageSource,
    /// The architecture of its programs, by Debian's name.
    #[serde(default = "own_architecture")]
    pub arch: String,
    /// Its PID 1.
    #[serde(default)]
    pub init: Init,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
    /// Its network links; the first is the one that others know it by. The first version of fleet recorded the only one.
    #[serde(alias = "link", deserialize_with = "one_or_several")]
    pub links: Vec<LinkSpec>,
    /// Whether it is in the host's own network namespace. It has no links then.
    #[serde(default)]
    pub is_on_host_network: bool,
    /// What is written into it.
    pub guest: GuestSpec,
    /// Seconds that its init gets to shut down before it is killed.
    pub stop_timeout_s: u32,
    /// What happens when its init ends by itself.
    #[serde(default)]
    pub restart: Restart,
    /// What it may do.
    #[serde(default)]
    pub security: SecuritySpec,
    /// What is mounted in it, in this order.
    #[serde(default)]
    pub mounts: Vec<MountSpec>,
    /// The host's devices that it may use.
    #[serde(default)]
    pub devices: Vec<DeviceSpec>,
    /// Which of its ports are published on the host.
    #[serde(default)]
    pub ports: Vec<PortForward>,
}

/// What containers have that were recorded before there was a choice.
fn own_architecture() -> String {
    native_architecture().to_owned()
}

/// A list, or the only item of one.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LinkSpec>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrSeveral {
        One(LinkSpec),
        Several(Vec<LinkSpec>),
    }
    Ok(match OneOrSeveral::deserialize(deserializer)? {
        OneOrSeveral::One(link) => vec![link],
        OneOrSeveral::Several(links) => links,
    })
}

impl ContainerSpec {
    /// The address that others know it by, if it has one.
    #[must_use]
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.links.iter().find_map(|link| link.address).map(|address| address.addr())
    }

    /// Its link to the network `network`.
    #[must_use]
    pub fn link_to(&self, network: &NetworkName) -> Option<&LinkSpec> {
        self.links.iter().find(|link| link.network == *network)
    }

    /// The networks that it has links to, in their order.
    #[must_use]
    pub fn network_names(&self) -> Vec<NetworkName> {
        self.links.iter().map(|link| link.network.clone()).collect()
    }

    /// The addresses that others know it by: the first of each family.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let first = |family| self.links.iter().find_map(|link| link.address_of(family));
        IpFamily::ALL.into_iter().filter_map(first).map(|address| address.addr())
    }

    /// All of its addresses, each with the network that it is on.
    #[must_use]
    pub fn addresses_by_network(&self) -> Vec<(NetworkName, IpAddr)> {
        let of = |link: &LinkSpec| -> Vec<_> {
            link.addresses().map(|address| (link.network.clone(), address.addr())).collect()
        };
        self.links.iter().flat_map(of).collect()
    }

    /// In what ways it is less isolated than an ordinary container, in words.
    #[must_use]
    pub fn opt_ins(&self) -> Vec<String> {
        let SecuritySpec { privileged, nesting, capabilities, seccomp, sysctls: _, rlimits: _ } = &self.security;
        let mut words = Vec::new();
        if *privileged {
            words.push("privileged: its root is the host's".to_owned());
        }
        if *nesting {
            words.push("nesting: more of the kernel is within its reach".to_owned());
        }
        if self.is_on_host_network {
            words.push("networks host: it listens and sends as the host does".to_owned());
        }
        words.extend(capabilities.add.iter().map(|capability| format!("capability {capability}")));
        match seccomp {
            Seccomp::Default => {}
            Seccomp::Unconfined => words.push("seccomp: no system call is refused".to_owned()),
        }
        words.extend(self.devices.iter().map(|device| format!("device {device}")));
        words
    }
}

/// What is kept beside a container: what was asked for when it was made or last changed. Its presence is fleet's
/// mark of ownership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// The fleet that the container belongs to.
    pub fleet: FleetName,
    /// The engine that runs it.
    pub engine: EngineKind,
    /// What was asked for.
    pub spec: ContainerSpec,
    /// The image that the root file system stands on.
    pub image: ImageDigest,
    /// The host ids of its own ids.
    pub ids: IdRange,
    /// [`super::hosts_digest`] of the host table in the guest.
    pub hosts: String,
}

impl ContainerRecord {
    /// The host's id of the guest's root.
    #[must_use]
    pub fn root_id(&self) -> u32 {
        if self.spec.security.privileged { 0 } else { self.ids.base }
    }
}

/// A container, as found on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerState {
    /// The name of its directory.
    pub name: ContainerName,
    /// Whose it is.
    pub ownership: Ownership,
    /// What it does.
    pub run: RunState,
    /// How its last run ended, if one has.
    pub last_exit: Option<LastExit>,
}

/// Whose a container is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// It carries fleet's mark.
    Ours(Box<ContainerRecord>),
    /// It does not: never changed, never deleted.
    Foreign,
}

/// What a container does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// Whole, and not running.
    Stopped,
    /// Its init runs.
    Running(Box<Running>),
    /// Its init has ended by itself, and its monitor is about to start it again.
    Restarting(Restarting),
    /// Half made, half deleted, or left behind by a kill: what is wrong. Stopping and deleting it works.
    Incomplete(String),
}

/// A running container, read back from the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The init's pid on the host.
    pub pid: u32,
    /// What the init is, if it is one of those that are known.
    pub init: Option<InitKind>,
    /// The process that looks after it.
    pub monitor: MonitorState,
    /// Whether its processes stand still until they are thawed.
    pub frozen: bool,
    /// Whether a stop of it was begun: its init may be about to end.
    pub is_stopping: bool,
    /// The limits in force.
    pub limits: Limits,
    /// Memory in use.
    pub memory_used: Option<Bytes>,
    /// Its own mounts, as far as they are fleet's, those that are not asked for any more too.
    pub mounts: Vec<MountState>,
    /// Its network namespace; nothing where it has none of its own, or is ending.
    pub network: Option<GuestNetwork>,
    /// How long it has run, in seconds.
    pub uptime_s: u64,
}

/// A container between two runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restarting {
    /// The pid of the process that looks after it.
    pub monitor: u32,
    /// When it is started, in seconds since 1970.
    pub next_start_s: u64,
}

/// The process that looks after a running container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonitorState {
    /// It runs, with this pid.
    Alive(u32),
    /// It was killed: console, reboot and clean-up are lost until the container gets another.
    Dead,
}
