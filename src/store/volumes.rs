//! The volumes of one fleet: directories that outlive its containers.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::remove_tree;

/// What the name of a volume's directory looks like while it is deleted: `.NAME.deleted`. No volume's own name begins
/// with a dot.
const DELETED_END: &str = ".deleted";

/// The volumes of one fleet.
#[derive(Debug, Clone)]
pub struct Volumes(PathBuf);

impl Volumes {
    /// Those below `dir`, which may not be there yet.
    pub(super) fn new(dir: PathBuf) -> Volumes {
        Volumes(dir)
    }

    /// The directory that all of them are in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// Makes the volume `name` if it is not there; returns its directory. Nobody else on the host can reach it: its
    /// files have the ids and the modes that guests give them, set-id bits too.
    pub fn ensure(&self, name: &str) -> io::Result<PathBuf> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let path = self.0.join(name);
        match DirBuilder::new().mode(0o755).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            Ok(()) | Err(_) => Ok(path),
        }
    }

    /// The names of all of them, those that are half deleted too.
    pub fn names(&self) -> io::Result<BTreeSet<String>> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            other => other?,
        };
        let name = |entry: io::Result<fs::DirEntry>| {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let deleted = name.strip_prefix('.').and_then(|name| name.strip_suffix(DELETED_END));
            Ok(deleted.map_or(name.clone(), str::to_owned))
        };
        entries.map(name).collect()
    }

    /// Removes the volume `name` with all that is in it. The rename comes first, so that a kill half-way leaves
    /// nothing that looks whole.
    pub fn delete(&self, name: &str) -> io::Result<()> {
        let deleted = self.0.join(format!(".{name}{DELETED_END}"));
        remove_tree(&deleted)?;
        absent_is_done(fs::rename(self.0.join(name), &deleted))?;
        remove_tree(&deleted)?;
        // The last one's: it is not empty while there are others.
        let _ = fs::remove_dir(&self.0);
        Ok(())
    }
}

fn absent_is_done(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_made_once_and_a_half_deleted_one_is_deleted_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let volumes = Volumes::new(dir.path().join("volumes/dev"));
        assert!(volumes.names().expect("none is no error").is_empty());
        let path = volumes.ensure("db").expect("made");
        fs::write(path.join("file"), "kept").expect("written");
        volumes.ensure("db").expect("it is there");
        fs::create_dir(volumes.dir().join(".cache.deleted")).expect("made");
        assert_eq!(volumes.names().expect("listed"), ["cache".to_owned(), "db".to_owned()].into());
        for name in ["cache", "db", "db"] {
            volumes.delete(name).expect("deleted");
        }
        assert!(!volumes.dir().exists());
    }
}
