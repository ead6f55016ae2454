//! What only root can do, and what only a process with one thread can.

use super::error::CliError;
use crate::engine::native::Launcher;

/// Refuses to go on as anybody but root.
pub(super) fn require_root() -> Result<(), CliError> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(CliError::failed(
        "fleet needs root to make namespaces, mounts and network links, and to read what it keeps of them",
        "run it with sudo",
    ))
}

/// Forks the process that containers' monitors come from. It comes before threads, runtime and lock, so that it
/// inherits none of them.
pub(super) fn fork_launcher() -> Result<Launcher, CliError> {
    Launcher::fork().map_err(|source| CliError::io("cannot fork the launcher of containers", &source))
}
