//! The log of a console, as the user reads it: both files, and what is added meanwhile. It lies in the container's
//! directory, which the guest cannot reach.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify;

use super::super::paths::ContainerPaths;
use super::log::before;
use crate::engine::EngineError;
use crate::model::ContainerName;
use crate::store::Layout;

/// The console log of one container.
#[derive(Debug)]
pub struct ConsoleLogReader {
    dir: PathBuf,
    path: PathBuf,
    /// The newer file, read up to its position; absent before the guest has printed anything.
    current: Option<File>,
}

impl ConsoleLogReader {
    /// Of the container `name`.
    pub fn open(layout: &Layout, name: &ContainerName) -> Result<ConsoleLogReader, EngineError> {
        let paths = ContainerPaths::finished(layout, name);
        if !paths.record().exists() {
            return Err(EngineError::new(format!("there is no container `{name}`"))
                .with_hint("`fleet status` lists the containers of a fleet"));
        }
        Ok(ConsoleLogReader { dir: paths.dir().to_owned(), path: paths.console_log(), current: None })
    }

    /// All that is kept, or the last `lines` lines of it. Called first; [`ConsoleLogReader::more`] goes on from there.
    pub fn kept(&mut self, lines: Option<usize>) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        // The newer one is opened first: if the log is rotated in between, a part is missed instead of told twice.
        self.current = open_if_there(&self.path)?;
        if let Some(mut old) = open_if_there(&before(&self.path))?
            && !self.is_current(&old)?
        {
            old.read_to_end(&mut bytes)?;
        }
        if let Some(current) = &mut self.current {
            current.read_to_end(&mut bytes)?;
        }
        if let Some(lines) = lines {
            bytes.drain(..begin_of_last(lines, &bytes));
        }
        Ok(bytes)
    }

    /// What has been added since; empty if nothing was.
    pub fn more(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let newest = open_if_there(&self.path)?;
        if let Some(current) = &mut self.current {
            // A rotated file keeps its name's successor waiting until it is read to its end, and is never added to
            // again.
            current.read_to_end(&mut bytes)?;
            if current.metadata()?.len() < current.stream_position()? {
                // Somebody emptied it.
                current.seek(SeekFrom::Start(0))?;
            }
        }
        if let Some(mut newest) = newest
            && !self.is_current(&newest)?
        {
            newest.read_to_end(&mut bytes)?;
            self.current = Some(newest);
        }
        Ok(bytes)
    }

    /// Whether the container is still there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.dir.exists()
    }

    fn is_current(&self, file: &File) -> io::Result<bool> {
        let Some(current) = &self.current else { return Ok(false) };
        Ok(current.metadata()?.ino() == file.metadata()?.ino())
    }
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the last `lines` lines of `bytes` begin; an unfinished line at the end is one.
fn begin_of_last(lines: usize, bytes: &[u8]) -> usize {
    let finished = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let Some(lines_before) = lines.checked_sub(1) else { return bytes.len() };
    let ends = finished.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(place, _)| place + 1).nth(lines_before).unwrap_or(0)
}

/// Tells when any of some logs has changed (`inotify(7)`).
#[derive(Debug)]
pub struct ConsoleLogWatch(OwnedFd);

impl ConsoleLogWatch {
    /// Watches the directories of `logs`: their files change their names.
    pub fn new(logs: &[ConsoleLogReader]) -> io::Result<ConsoleLogWatch> {
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        let changes = inotify::WatchFlags::MODIFY
            | inotify::WatchFlags::CREATE
            | inotify::WatchFlags::MOVED_TO
            | inotify::WatchFlags::MOVE_SELF
            | inotify::WatchFlags::DELETE_SELF
            | inotify::WatchFlags::ONLYDIR;
        for log in logs {
            match inotify::add_watch(&watch, &log.dir, changes) {
                Ok(_) | Err(rustix::io::Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ConsoleLogWatch(watch))
    }

    /// Waits until something has changed since the last call.
    pub fn wait(&self) -> io::Result<()> {
        let mut fds = [rustix::event::PollFd::new(&self.0, rustix::event::PollFlags::IN)];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        // Which one it was does not matter: looking at each is cheap.
        let mut events = [0; 4096];
        while matches!(rustix::io::read(&self.0, &mut events), Ok(count) if count > 0) {}
        Ok(())
    }
}

impl AsFd for ConsoleLogWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn reader(dir: &Path) -> ConsoleLogReader {
        ConsoleLogReader { dir: dir.to_owned(), path: dir.join("console.log"), current: None }
    }

    fn text(bytes: io::Result<Vec<u8>>) -> String {
        String::from_utf8(bytes.expect("readable")).expect("text")
    }

    #[test]
    fn a_log_is_followed_over_its_rotation() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (new, old) = (dir.path().join("console.log"), dir.path().join("console.log.1"));
        let mut log = reader(dir.path());
        assert_eq!(text(log.kept(None)), "");
        fs::write(&old, "one\n").expect("written");
        fs::write(&new, "two\n").expect("written");
        let mut log = reader(dir.path());
        assert_eq!(text(log.kept(None)), "one\ntwo\n");
        assert_eq!(text(log.more()), "");
        let mut file = File::options().append(true).open(&new).expect("it is there");
        io::Write::write_all(&mut file, b"three\n").expect("written");
        fs::rename(&new, &old).expect("renamed");
        assert_eq!(text(log.more()), "three\n");
        fs::write(&new, "four\n").expect("written");
        assert_eq!(text(log.more()), "four\n");
        assert_eq!(text(log.more()), "");
        assert_eq!(text(reader(dir.path()).kept(Some(2))), "three\nfour\n");
    }

    #[test]
    fn the_last_lines_are_counted_from_the_end() {
        let last = |lines, bytes: &[u8]| String::from_utf8_lossy(&bytes[begin_of_last(lines, bytes)..]).into_owned();
        assert_eq!(last(2, b"a\nb\nc\n"), "b\nc\n");
        assert_eq!(last(2, b"a\nb\nlogin: "), "b\nlogin: ");
        assert_eq!(last(9, b"a\nb\n"), "a\nb\n");
        assert_eq!(last(0, b"a\nb\n"), "");
        assert_eq!(last(1, b""), "");
    }
}
