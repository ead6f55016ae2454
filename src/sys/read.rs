//! Files of a hostile tree that are read: regular ones, and no more of them than fits.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::rootdir::{FileKind, RootDir, absent_is_none};

/// The largest file that is read from a tree, in bytes: nothing that fleet reads comes near it.
const LARGEST_READ: u64 = 16 << 20;

impl RootDir {
    /// The content of the regular file that `path` leads to; `None` if it is absent. More than 16 MiB is an error.
    pub fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        self.open_file(path)?.map(read_whole).transpose()
    }

    /// No more than the first `length` bytes of it.
    pub fn read_start(&self, path: &Path, length: u64) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.open_file(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Opens the regular file that `path` leads to for reading; `None` if it is absent.
    pub(super) fn open_file(&self, path: &Path) -> io::Result<Option<File>> {
        // To open a device may already do something.
        if self.metadata_followed(path)?.is_some_and(|found| found.kind != FileKind::File) {
            return Err(io::Error::other("not a regular file"));
        }
        // The guest may have put another there. O_NONBLOCK: opening a pipe of its making must not wait for a writer.
        let opened = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY);
        let Some(fd) = absent_is_none(opened)? else { return Ok(None) };
        if self.stat(&fd)?.kind != FileKind::File {
            return Err(io::Error::other("not a regular file"));
        }
        Ok(Some(fd.into()))
    }
}

/// The content of `file`; more than 16 MiB is an error.
pub(super) fn read_whole(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(LARGEST_READ + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_READ {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, inotify, mknodat};

    #[test]
    fn a_pipe_is_refused_at_once() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = RootDir::open(dir.path()).expect("it is there");
        mknodat(CWD, dir.path().join("passwd"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
        let watch = inotify::init(inotify::CreateFlags::NONBLOCK).expect("it can watch");
        inotify::add_watch(&watch, dir.path(), inotify::WatchFlags::OPEN).expect("it is there");
        assert_eq!(root.read(Path::new("passwd")).expect_err("refused").to_string(), "not a regular file");
        let opened = rustix::io::read(&watch, &mut [0; 4096]);
        assert_eq!(opened.expect_err("nothing"), rustix::io::Errno::AGAIN, "it was not even opened");
    }
}
