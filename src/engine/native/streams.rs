//! The standard streams of a command, made inside the container: a terminal of the guest's, or pipes. The caller gets
//! their other ends and relays them, so that no descriptor of the host comes in: whoever has the user's terminal could
//! type into it (`TIOCSTI`), whoever has a directory could leave by it, and a file could be opened once more, for more.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Gid, Mode, OFlags, Uid, fchown, open};
use rustix::pipe::{PipeFlags, pipe_with};
use serde::{Deserialize, Serialize};

use super::login::Login;
use crate::sys::{MessageSocket, open_pty};

/// What the process inside tells the caller. When the command has been executed the socket closes by itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromInside {
    /// The master end of the command's terminal comes with this message.
    Terminal,
    /// The other ends of its standard input, output and error, and once more its own end of the first, come with this
    /// message.
    Pipes,
    /// It was not executed; nothing more comes.
    NotExecuted(NotExecuted),
}

/// Why a command was not executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NotExecuted {
    /// The exit status that says so.
    pub(super) status: u8,
    /// Operation, object, and the system's words.
    pub(super) words: String,
    /// Whether the container has as many processes as it may.
    #[serde(default)]
    pub(super) is_full: bool,
}

/// The guest's ends.
pub(super) struct Streams([OwnedFd; 3]);

impl Streams {
    /// Opens a terminal of the guest's for `login`, makes it the calling session's, and gives its other end to the
    /// caller. The calling process leads a session without a terminal.
    pub(super) fn terminal(socket: &MessageSocket, login: &Login) -> io::Result<Streams> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let pty = open_pty(open("/dev/pts", flags, Mode::empty())?)?;
        // The group stays the guest's `tty`, as login(1) leaves it.
        fchown(&pty.slave, Some(Uid::from_raw(login.uid)), None)?;
        rustix::process::ioctl_tiocsctty(&pty.slave)?;
        say(socket, &FromInside::Terminal, &[pty.master])?;
        Ok(Streams([pty.slave.try_clone()?, pty.slave.try_clone()?, pty.slave]))
    }

    /// Makes pipes that `login` can open once more by `/dev/stdout`, and gives their other ends to the caller.
    pub(super) fn pipes(socket: &MessageSocket, login: &Login) -> io::Result<Streams> {
        let owned_pipe = || -> io::Result<(OwnedFd, OwnedFd)> {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            fchown(&read, Some(Uid::from_raw(login.uid)), Some(Gid::from_raw(login.gid)))?;
            Ok((read, write))
        };
        let ((stdin, to_stdin), (from_stdout, stdout), (from_stderr, stderr)) =
            (owned_pipe()?, owned_pipe()?, owned_pipe()?);
        say(socket, &FromInside::Pipes, &[to_stdin, from_stdout, from_stderr, stdin.try_clone()?])?;
        Ok(Streams([stdin, stdout, stderr]))
    }

    /// Makes them the standard streams of the calling process.
    pub(super) fn install(self) -> io::Result<()> {
        let Streams([stdin, stdout, stderr]) = self;
        rustix::stdio::dup2_stdin(stdin)?;
        rustix::stdio::dup2_stdout(stdout)?;
        Ok(rustix::stdio::dup2_stderr(stderr)?)
    }
}

/// Tells the caller.
pub(super) fn say(socket: &MessageSocket, message: &FromInside, fds: &[OwnedFd]) -> io::Result<()> {
    let fds: Vec<_> = fds.iter().map(OwnedFd::as_fd).collect();
    socket.send(&serde_json::to_vec(message)?, &fds)
}
