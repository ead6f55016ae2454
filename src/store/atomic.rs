//! Files and directories that appear whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes `bytes` to `path` with permission bits `mode`: to a neighbour, synced, renamed over it. The parent exists.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (draft, file) = write_draft(path, bytes, mode)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    sync_parent(path)
}

/// Like [`write_atomic`], without waiting for the disk: for files that mean nothing after a power cut, and for those
/// that are synced later, together. After a power cut such a file may be there with nothing in it.
pub fn write_volatile(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let write = || {
        let (draft, _) = write_draft(path, bytes, mode)?;
        fs::rename(&draft, path)
    };
    match write() {
        // Monitors do not hold the host's lock, and whoever does took the draft for one of a killed writer.
        Err(error) if error.kind() == io::ErrorKind::NotFound => write(),
        other => other,
    }
}

/// Writes a neighbour of `path`. Two never write one path at one time, so what a killed writer left may be overwritten.
fn write_draft(path: &Path, bytes: &[u8], mode: u32) -> io::Result<(PathBuf, File)> {
    let draft = draft_of(path)?;
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&draft)?;
    file.write_all(bytes)?;
    Ok((draft, file))
}

/// Removes what a killed writer of `path` left beside it.
pub fn discard_draft(path: &Path) -> io::Result<()> {
    use io::ErrorKind::{NotADirectory, NotFound, ReadOnlyFilesystem};
    match fs::remove_file(draft_of(path)?) {
        // What should be a directory may be a file of somebody else. Where nothing can be written any more, the kernel says
        // so of a file that is not there, too (unlink(2)); and one that is there is nobody's all the same.
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | ReadOnlyFilesystem) => Ok(()),
        other => other,
    }
}

fn draft_of(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    Ok(path.with_file_name(format!(".{name}.new")))
}

/// Renames the finished directory `draft` to `path`, which must not exist. Both are in one file system.
pub fn publish_dir(draft: &Path, path: &Path) -> io::Result<()> {
    fs::rename(draft, path)?;
    sync_parent(path)
}

/// Waits until everything written so far to the file system that `dir` is in is on the disk (syncfs(2)). One call for
/// many files costs about what it costs for one, as they wait for the same commit of the journal.
pub fn sync_file_system_of(dir: &Path) -> io::Result<()> {
    match File::open(dir) {
        Ok(dir) => Ok(rustix::fs::syncfs(&dir)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a rename in `path`'s directory durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
