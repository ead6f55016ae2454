//! The lock that whoever changes the host holds.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Why the lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The lock file cannot be opened or locked.
    #[error("cannot lock `{}`", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else kept it all the time.
    #[error("`{holder}` still changes this host after {} s", waited.as_secs())]
    Timeout {
        /// What the holder says of itself.
        holder: String,
        /// How long was waited.
        waited: Duration,
    },
}

/// A held lock: a flock(2), so the kernel lets go of it however its holders end. A process that takes over a copy of
/// the descriptor keeps the lock held until it closes that too.
#[derive(Debug)]
pub struct HostLock {
    file: File,
}

impl HostLock {
    /// Takes the lock at `path`, calling `on_wait` once with the holder's own words if somebody has it, and giving up
    /// after `timeout`. `whoami` is what others are told meanwhile, such as ``fleet apply` (pid 123)``.
    pub fn acquire(
        path: &Path,
        whoami: &str,
        timeout: Duration,
        on_wait: impl FnOnce(&str),
    ) -> Result<HostLock, LockError> {
        let io_error = |source| LockError::Io { path: path.to_owned(), source };
        let mut file = open(path).map_err(io_error)?;
        let started = Instant::now();
        let mut on_wait = Some(on_wait);
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(source)) => return Err(io_error(source)),
                Err(TryLockError::WouldBlock) => {}
            }
            let holder = fs::read_to_string(path).unwrap_or_default();
            let holder = if holder.trim().is_empty() { "another fleet" } else { holder.trim() }.to_owned();
            if started.elapsed() >= timeout {
                return Err(LockError::Timeout { holder, waited: timeout });
            }
            if let Some(on_wait) = on_wait.take() {
                on_wait(&holder);
            }
            thread::sleep(Duration::from_millis(50));
        }
        // Only words, for which a full disk may have no room: what is to be stopped is stopped all the same.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(whoami.as_bytes()));
        Ok(HostLock { file })
    }

    /// The descriptor, for a process that goes on with the work.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for HostLock {
    fn drop(&mut self) {
        // Only words: whoever reads an old holder's name without finding the lock held does not print it.
        let _ = self.file.set_len(0);
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o711).create(parent)?;
    }
    match OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path) {
        // Whoever may read it may lock it (flock(2)).
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(path),
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn a_second_taker_is_told_who_has_it_and_gives_up_in_time() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("run/lock");
        let held = HostLock::acquire(&path, "fleet apply (pid 1)", Duration::ZERO, |_| {}).expect("it is free");
        let mut told = String::new();
        let wait = Duration::from_millis(60);
        let refused = HostLock::acquire(&path, "x", wait, |holder| holder.clone_into(&mut told));
        assert_eq!(
            refused.expect_err("it is held").to_string(),
            "`fleet apply (pid 1)` still changes this host after 0 s"
        );
        assert_eq!(told, "fleet apply (pid 1)");
        drop(held);
        HostLock::acquire(&path, "x", Duration::ZERO, |_| {}).expect("it is free again");
        let mut text = String::new();
        File::open(&path).and_then(|mut file| file.read_to_string(&mut text)).expect("the file stays");
        assert_eq!(text, "");
    }
}
