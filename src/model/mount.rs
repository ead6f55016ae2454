//! What a container sees of the host's files and devices.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Bytes;

/// One thing mounted in a container, at every start of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// What.
    pub source: MountSource,
    /// Where in the guest: an absolute path without `..`. It is made if it is not there.
    pub target: PathBuf,
    /// Whether the guest may not write.
    #[serde(default)]
    pub read_only: bool,
}

impl fmt::Display for MountSpec {
    /// As in a fleet file: `SOURCE:TARGET`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            MountSource::Bind { path, .. } | MountSource::Overlay { path } => write!(f, "{}", path.display())?,
            MountSource::Volume { name } => f.write_str(name)?,
            MountSource::Tmpfs { .. } => f.write_str("tmpfs")?,
        }
        write!(f, ":{}", self.target.display())
    }
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum MountSource {
    /// A directory or file of the host.
    Bind {
        /// Absolute.
        path: PathBuf,
        /// Whom its files belong to, inside.
        #[serde(default)]
        ids: MountIds,
        /// Whether what is mounted below it comes with it.
        #[serde(default)]
        recursive: bool,
    },
    /// A directory of the host that the guest may write to without changing it: what it writes stays in the container.
    Overlay {
        /// Absolute.
        path: PathBuf,
    },
    /// Storage of the fleet that outlives the container, under a name unique in the fleet. Its files belong to the
    /// guest's users.
    Volume {
        /// Begins with a letter or digit; letters, digits, `.`, `_` and `-`.
        name: String,
    },
    /// Memory, lost when the container stops.
    Tmpfs {
        /// How much; the kernel's default, half of the host's memory, when not given.
        size: Option<Bytes>,
        /// The mode of its top directory; 0755 when not given.
        mode: Option<u32>,
    },
}

/// One of a container's own mounts, as found while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountState {
    /// What was mounted.
    pub spec: MountSpec,
    /// What is wrong with it, if anything is.
    pub fault: Option<MountFault>,
}

/// In what way a mount is not as it was made. Where it is none of fleet's making, somebody has changed it by hand: on
/// the host, or as root of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountFault {
    /// It is not mounted, or not where it was.
    Absent,
    /// Something else is mounted over it.
    Covered,
    /// It has other options than it was given.
    Altered {
        /// The kernel's words for those that it has: `ro,nodev,relatime`.
        now: String,
    },
    /// The file or directory of the host is another one by now, or gone: the guest still sees the former.
    Replaced,
}

impl fmt::Display for MountFault {
    /// As the end of a sentence: `is not mounted`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MountFault::Absent => f.write_str("is not mounted"),
            MountFault::Covered => f.write_str("is covered by another mount"),
            MountFault::Altered { now } => write!(f, "is mounted as `{now}`"),
            MountFault::Replaced => f.write_str("was replaced on the host"),
        }
    }
}

/// How the owners of a mounted file on the host show in the guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountIds {
    /// As they are: to an unprivileged guest most are `nobody`'s.
    #[default]
    Host,
    /// Each id of the host is the same id in the guest: root's files are the guest's root's.
    Guest,
    /// Whoever owns the mounted directory or file itself is the guest's root; everybody else is `nobody`.
    Owner,
}

impl MountIds {
    /// All of them, with the word that names each in a fleet file.
    pub const ALL: [(&'static str, MountIds); 3] =
        [("host", MountIds::Host), ("guest", MountIds::Guest), ("owner", MountIds::Owner)];
}

/// A device of the host that the guest may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSpec {
    /// The host's device, absolute: `/dev/kvm`.
    pub source: PathBuf,
    /// Its path in the guest, below `/dev`.
    pub target: PathBuf,
    /// Its permissions in the guest, where it belongs to root: 0666 unless said otherwise.
    pub mode: u32,
}

impl fmt::Display for DeviceSpec {
    /// As in a fleet file: `SOURCE`, or `SOURCE:TARGET`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source.display())?;
        if self.target == self.source { Ok(()) } else { write!(f, ":{}", self.target.display()) }
    }
}
