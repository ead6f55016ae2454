//! Where a copy goes, as docker-cp(1) has it: into a directory that is there, else to the very path.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::entry::TransferError;
use crate::sys::{FileKind, Found};

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    is_directory: bool,
    /// What it is called; `None` if only what is in it is meant: it ends in `/.`, or has no name.
    name: Option<OsString>,
}

/// What is at the destination already, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Existing {
    Absent,
    Directory,
    Other,
}

/// Where the source goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// To the destination itself.
    Itself,
    /// Into it, under this name.
    Below(OsString),
}

impl Source {
    /// What the user wrote as `path`, and what was found there.
    pub(super) fn of(path: &Path, found: &Found) -> Source {
        Source::new(path, found.metadata().kind == FileKind::Directory)
    }

    fn new(path: &Path, is_directory: bool) -> Source {
        let bytes = path.as_os_str().as_bytes();
        let contents = bytes == b"." || bytes.ends_with(b"/.");
        Source { is_directory, name: path.file_name().filter(|_| !contents).map(ToOwned::to_owned) }
    }

    /// What it is called in an archive; empty if only what is in it is meant.
    pub(super) fn name_in_archive(&self) -> OsString {
        self.name.clone().unwrap_or_default()
    }
}

impl Existing {
    /// What the path `path` of the host leads to.
    pub(super) fn of_host(path: &Path) -> Existing {
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => Existing::Directory,
            Ok(_) => Existing::Other,
            Err(_) => Existing::Absent,
        }
    }
}

/// Whether `path` is written so that it must be a directory.
pub(super) fn names_directory(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.ends_with(b"/") || bytes.ends_with(b"/.")
}

/// Where `source` goes when it is copied to `destination`, at which `existing` is.
pub(super) fn place(source: &Source, destination: &Path, existing: Existing) -> Result<Place, TransferError> {
    match (existing, source.is_directory) {
        (Existing::Directory, _) => Ok(source.name.clone().map_or(Place::Itself, Place::Below)),
        (Existing::Other, true) => Err(TransferError::DirectoryToFile(destination.to_owned())),
        (Existing::Other, false) if names_directory(destination) => {
            Err(TransferError::NotADirectory(destination.to_owned()))
        }
        (Existing::Absent, false) if names_directory(destination) => {
            Err(TransferError::NoDirectory(destination.to_owned()))
        }
        (Existing::Other | Existing::Absent, false) | (Existing::Absent, true) => Ok(Place::Itself),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(source: &str, is_directory: bool, destination: &str, existing: Existing) -> Result<String, String> {
        match place(&Source::new(Path::new(source), is_directory), Path::new(destination), existing) {
            Ok(Place::Itself) => Ok(destination.to_owned()),
            Ok(Place::Below(name)) => Ok(format!("{destination} {}", name.display())),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_file_goes_into_a_directory_or_becomes_what_was_named() {
        assert_eq!(placed("a/f", false, "/d", Existing::Directory), Ok("/d f".into()));
        assert_eq!(placed("a/f", false, "/d/g", Existing::Absent), Ok("/d/g".into()));
        assert_eq!(placed("a/f", false, "/d/g", Existing::Other), Ok("/d/g".into()));
        assert_eq!(placed("a/f", false, "/d/", Existing::Absent), Err("there is no directory `/d/`".into()));
        assert_eq!(placed("a/f", false, "/d/", Existing::Other), Err("`/d/` is not a directory".into()));
    }

    #[test]
    fn a_directory_goes_into_a_directory_or_becomes_one() {
        assert_eq!(placed("a/d", true, "/e", Existing::Directory), Ok("/e d".into()));
        assert_eq!(placed("a/d/", true, "/e", Existing::Directory), Ok("/e d".into()));
        assert_eq!(placed("a/d", true, "/e", Existing::Absent), Ok("/e".into()));
        for contents in ["a/d/.", ".", "..", "/"] {
            assert_eq!(placed(contents, true, "/e", Existing::Directory), Ok("/e".into()), "{contents}");
        }
        let refused = "cannot copy a directory to `/f`, which is none";
        assert_eq!(placed("a/d", true, "/f", Existing::Other), Err(refused.into()));
    }
}
