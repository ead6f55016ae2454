//! The log of a console, as the monitor writes it: two files of bounded size.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The size that makes the log start anew, in bytes; the one before it is kept.
const LARGEST_LOG: u64 = 1 << 20;

/// The log file `path`, and the full one before it.
pub(super) struct ConsoleLog {
    path: PathBuf,
}

impl ConsoleLog {
    pub(super) fn new(path: PathBuf) -> ConsoleLog {
        ConsoleLog { path }
    }

    /// A full disk or a log that cannot be written must not stop the guest.
    pub(super) fn append(&self, bytes: &[u8]) {
        let open = || OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
        let Ok(mut file) = open() else { return };
        if file.metadata().is_ok_and(|metadata| metadata.len() > LARGEST_LOG) {
            let _ = fs::rename(&self.path, before(&self.path));
            match open() {
                Ok(new) => file = new,
                Err(_) => return,
            }
        }
        let _: Result<(), _> = File::write_all(&mut file, bytes);
    }
}

/// The full log before the log `path`.
pub(super) fn before(path: &Path) -> PathBuf {
    path.with_extension("log.1")
}
