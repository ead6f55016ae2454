//! What the host was like before fleet changed it, kept until it is put back.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{boot_id, write_atomic};

/// The record of what was there before. It means nothing after a boot, which puts everything back by itself.
#[derive(Debug, Clone)]
pub struct HostChanges {
    path: PathBuf,
}

/// Parameters of the kernel with their values.
type Values = Vec<(String, String)>;

/// What was changed of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// What was there before.
    pub before: Values,
    /// What fleet has set since, each value that a parameter was given. What has another one now is somebody else's.
    pub set: Values,
}

#[derive(Serialize, Deserialize)]
struct Record {
    boot: String,
    before: Values,
    #[serde(default)]
    set: Values,
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
    pub fn load(&self) -> io::Result<Option<Values>> {
        Ok(self.load_all()?.map(|changed| changed.before))
    }

    /// What was recorded since the host was booted, with what fleet has set.
    pub fn load_all(&self) -> io::Result<Option<Changed>> {
        let bytes = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let record: Record = serde_json::from_slice(&bytes)?;
        Ok((record.boot == boot_id()?).then_some(Changed { before: record.before, set: record.set }))
    }

    /// Records what is there before it is changed.
    pub fn save(&self, before: Values) -> io::Result<()> {
        self.save_all(Changed { before, set: Values::new() })
    }

    /// Records it with what fleet is about to set.
    pub fn save_all(&self, changed: Changed) -> io::Result<()> {
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir)?;
        }
        let record = Record { boot: boot_id()?, before: changed.before, set: changed.set };
        write_atomic(&self.path, &serde_json::to_vec(&record)?, 0o644)
    }

    /// Forgets it.
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
