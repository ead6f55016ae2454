//! What a running container has mounted of its own, found again: written down when it is mounted, compared later with
//! what the kernel says.
//!
//! Nothing in the guest is looked up for it: there, a look-up may lead to a file system of the guest's making, which
//! answers what it likes, or never.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags, statx};
use serde::{Deserialize, Serialize};

use super::mountinfo::{self, Mount, Mounts};
use super::run_state::ProcessId;
use crate::model::{MountFault, MountSource, MountSpec, MountState};
use crate::store::{Volumes, write_volatile};

/// All of one run of a container.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MountedFile {
    /// The init of that run.
    init: ProcessId,
    mounts: Vec<Mounted>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mounted {
    pub(super) spec: MountSpec,
    /// The kernel's number for it: no other has it while it is mounted.
    pub(super) id: u64,
    /// The file or directory of the host that it shows.
    source: Option<FileId>,
    /// How it was attached; `None` until it is.
    attached: Option<Attached>,
}

/// A file, told from any other of this boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct FileId {
    device: u64,
    inode: u64,
}

/// How a mount was when it had just been attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Attached {
    /// In the guest. It need not be the target that was asked for, which may lead through links.
    place: OsString,
    device: String,
    options: String,
    /// Those of the file system, if that is nobody else's.
    own_options: Option<String>,
}

impl MountedFile {
    /// What is written at `path` of the run with `init`; nothing if it is of another.
    pub(super) fn load(path: &Path, init: ProcessId) -> Vec<Mounted> {
        let file: Option<MountedFile> = fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        file.filter(|file| file.init == init).map(|file| file.mounts).unwrap_or_default()
    }

    /// Writes `mounts` of the run with `init` to `path`.
    pub(super) fn save(path: &Path, init: ProcessId, mounts: Vec<Mounted>) -> io::Result<()> {
        write_volatile(path, &serde_json::to_vec(&MountedFile { init, mounts })?, 0o600)
    }
}

impl Mounted {
    /// The detached `mount`, made as `spec` asks for. `volumes` are those of the container's fleet.
    pub(super) fn detached(spec: &MountSpec, mount: &OwnedFd, volumes: &Volumes) -> io::Result<Mounted> {
        let id = statx(mount, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?.stx_mnt_id;
        let source = source_path(&spec.source, volumes).map(|path| FileId::of(&path)).transpose()?;
        Ok(Mounted { spec: spec.clone(), id, source, attached: None })
    }

    /// The same, if it is one of `mounts`, as it is there.
    pub(super) fn attached(self, mounts: &Mounts) -> Mounted {
        let attached = self.find(mounts).map(|mount| Attached {
            place: mount.place.clone().into(),
            device: mount.device.clone(),
            options: mount.options.clone(),
            own_options: matches!(self.spec.source, MountSource::Tmpfs { .. }).then(|| mount.shared_options.clone()),
        });
        Mounted { attached, ..self }
    }

    /// The one of `mounts` that it is, wherever it is mounted.
    pub(super) fn find<'a>(&self, mounts: &'a Mounts) -> Option<&'a Mount> {
        let is_same_device = |mount: &&Mount| self.attached.as_ref().is_none_or(|then| then.device == mount.device);
        mounts.all().iter().find(|mount| mount.id == self.id).filter(is_same_device)
    }

    /// What is wrong with it, in a guest with `mounts`.
    pub(super) fn fault(&self, mounts: &Mounts, volumes: &Volumes) -> Option<MountFault> {
        let (Some(then), Some(now)) = (&self.attached, self.find(mounts)) else { return Some(MountFault::Absent) };
        if now.place != Path::new(&then.place) {
            return Some(MountFault::Absent);
        }
        if mounts.seen_at(&now.place) != Some(now) {
            return Some(MountFault::Covered);
        }
        let own_options = then.own_options.as_ref().filter(|own| **own != now.shared_options);
        if now.options != then.options || own_options.is_some() {
            let own = own_options.map(|_| format!(",{}", now.shared_options)).unwrap_or_default();
            return Some(MountFault::Altered { now: format!("{}{own}", now.options) });
        }
        let source = source_path(&self.spec.source, volumes).map(|path| FileId::of(&path).ok());
        (source.flatten() != self.source).then_some(MountFault::Replaced)
    }
}

impl FileId {
    fn of(path: &Path) -> io::Result<FileId> {
        let metadata = fs::metadata(path)?;
        Ok(FileId { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// The host's file or directory that a mount shows, if it shows one.
fn source_path(source: &MountSource, volumes: &Volumes) -> Option<PathBuf> {
    match source {
        MountSource::Bind { path, .. } | MountSource::Overlay { path } => Some(path.clone()),
        MountSource::Volume { name } => Some(volumes.dir().join(name)),
        MountSource::Tmpfs { .. } => None,
    }
}

/// The mounts of the run with `init` that are written at `path`, each as it is now.
pub(super) fn read_back(path: &Path, init: ProcessId, volumes: &Volumes) -> Vec<MountState> {
    let mounted = MountedFile::load(path, init);
    if mounted.is_empty() {
        return Vec::new();
    }
    let mounts = mountinfo::read(init.pid);
    let state = |one: Mounted| {
        // Of a process that is ending, nothing can be said.
        let fault = mounts.as_ref().ok().and_then(|mounts| one.fault(mounts, volumes));
        MountState { fault, spec: one.spec }
    };
    mounted.into_iter().map(state).collect()
}
