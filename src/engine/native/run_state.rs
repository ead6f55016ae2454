//! Which processes a running container has, found again without trusting a pid alone.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::InitKind;
use crate::store::{boot_id, write_volatile};
use crate::sys::process_start_time;

/// A process, told from any other that had or will have its pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessId {
    /// Its pid on the host.
    pub(super) pid: u32,
    /// When it started, in clock ticks since boot.
    pub(super) start_time: u64,
}

impl ProcessId {
    /// Identifies the process `pid`, which runs.
    pub(super) fn of(pid: u32) -> io::Result<ProcessId> {
        let start_time = process_start_time(pid)?.ok_or(io::ErrorKind::NotFound)?;
        Ok(ProcessId { pid, start_time })
    }

    /// Whether it still runs. One that cannot be looked at is not taken for ended: what is left of that is killed.
    pub(super) fn is_alive(self) -> bool {
        process_start_time(self.pid).map_or(true, |found| found == Some(self.start_time))
    }

    /// Opens a descriptor for it; `None` if it has ended.
    pub(super) fn open(self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => Ok(None),
            // Only now is it certain that the descriptor is not that of a later process with the same pid.
            opened => Ok(Some(opened?).filter(|_| self.is_alive())),
        }
    }
}

/// The text at `path`; `None` if it is absent, empty or closed to us. What else cannot be read is there all the same, and
/// with it what it tells of.
pub(super) fn load(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if is_absent(error.kind()) => Ok(None),
        text => Ok(Some(text?).filter(|text| !text.is_empty())),
    }
}

/// What is written at `path`; `None` if that is absent, broken or closed to us.
pub(super) fn load_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    Ok(load(path)?.and_then(|text| serde_json::from_slice(&text).ok()))
}

/// What is said of a file that is there, and tells of something that is there, in words that this program does not know.
pub(super) fn not_understood(path: &Path, error: &serde_json::Error) -> io::Error {
    let message = format!("`{}` is not what this version of fleet writes: {error}", path.display());
    io::Error::new(io::ErrorKind::InvalidData, message)
}

fn is_absent(error: io::ErrorKind) -> bool {
    matches!(error, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied)
}

/// What a monitor writes down of the container that it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunFile {
    /// The boot that the processes belong to (random(4)): with `--root` the file may outlive it.
    pub(super) boot_id: String,
    /// The guest's init.
    pub(super) init: ProcessId,
    /// What kind of init it is, if it is a known one.
    pub(super) init_kind: Option<InitKind>,
    /// The monitor.
    pub(super) monitor: ProcessId,
    /// When it started, in seconds since 1970.
    pub(super) started_at_s: u64,
    /// When the monitor starts the container again, in seconds since 1970, if the init has ended and it will.
    #[serde(default)]
    pub(super) next_start_s: Option<u64>,
}

/// What every version writes of it.
#[derive(Debug, Deserialize)]
struct OfBoot {
    boot_id: String,
}

impl RunFile {
    /// Reads `path`; `None` if it is absent, broken, of an earlier boot, or its init has ended.
    pub(super) fn load_running(path: &Path) -> io::Result<Option<RunFile>> {
        Ok(RunFile::load(path)?.filter(|file| file.init.is_alive()))
    }

    /// Reads `path`, also when the init has ended but the monitor is not done with it.
    pub(super) fn load_watched(path: &Path) -> io::Result<Option<RunFile>> {
        Ok(RunFile::load(path)?.filter(|file| file.monitor.is_alive() || file.init.is_alive()))
    }

    /// One that a power cut left broken is of an earlier boot.
    fn load(path: &Path) -> io::Result<Option<RunFile>> {
        let this_boot = boot_id()?;
        let Some(text) = load(path)? else { return Ok(None) };
        match serde_json::from_slice::<OfBoot>(&text) {
            Ok(file) if file.boot_id == this_boot => {
                serde_json::from_slice(&text).map(Some).map_err(|error| not_understood(path, &error))
            }
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// Writes it to `path`.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        write_volatile(path, &serde_json::to_vec(self)?, 0o600)
    }
}
