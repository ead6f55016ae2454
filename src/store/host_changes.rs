//! What the host was like before fleet changed it, kept until it is put back.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::write_atomic;

/// The record of what was there before. It means nothing after a boot, which puts everything back by itself.
#[derive(Debug, Clone)]
pub struct HostChanges {
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Record {
    boot: String,
    before: Vec<(String, String)>,
}

impl HostChanges {
    pub(super) fn new(path: PathBuf) -> HostChanges {
        HostChanges { path }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// What was recorded since the host was booted.
    pub fn load(&self) -> io::Result<Option<Vec<(String, String)>>> {
        let bytes = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let record: Record = serde_json::from_slice(&bytes)?;
        Ok((record.boot == boot()?).then_some(record.before))
    }

    /// Records what is there before it is changed.
    pub fn save(&self, before: Vec<(String, String)>) -> io::Result<()> {
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir)?;
        }
        write_atomic(&self.path, &serde_json::to_vec(&Record { boot: boot()?, before })?, 0o644)
    }

    /// Forgets it.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Differs with each boot (random(4)).
fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
