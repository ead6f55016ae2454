//! The user's side of a console: what is typed goes in, what the guest prints comes out.

use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, OwnedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::termios::tcgetwinsize;

use super::super::paths::ContainerPaths;
use super::super::relay::write_all;
use super::super::run_state::RunFile;
use super::super::running::not_known;
use super::super::terminal::RawMode;
use super::message::{FromViewer, MOST_TYPED};
use super::viewers::connect_to;
use crate::engine::EngineError;
use crate::model::ContainerName;
use crate::store::Layout;

/// What begins the detach keys: Ctrl-a. Typed twice it goes to the guest once.
const PREFIX: u8 = 0x01;

/// What ends them.
const DETACH: u8 = b'q';

/// How an attachment to a console ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsoleEnd {
    /// The user typed the detach keys.
    Detached,
    /// The container has stopped, or the user did not keep up with what it prints.
    Closed,
}

/// A connection to the console of a container. What was printed before is in its log.
#[derive(Debug)]
pub struct ConsoleAttachment {
    socket: OwnedFd,
}

impl ConsoleAttachment {
    /// Connects to the console of the container `name`.
    pub fn open(layout: &Layout, name: &ContainerName) -> Result<ConsoleAttachment, EngineError> {
        let paths = ContainerPaths::finished(layout, name);
        if !paths.record().exists() {
            return Err(EngineError::new(format!("there is no container `{name}`"))
                .with_hint("`fleet status` lists the containers of a fleet"));
        }
        let Some(state) = RunFile::load_watched(&paths.run_state()).map_err(not_known(name))? else {
            return Err(EngineError::new(format!("the container `{name}` does not run"))
                .with_hint(format!("start it with `fleet start {name}`")));
        };
        if !state.monitor.is_alive() {
            return Err(EngineError::new(format!("the monitor of `{name}` was killed, and its console went with it"))
                .with_hint("`fleet apply` gives it another"));
        }
        let failed = |error| EngineError::because(format!("cannot connect to the console of `{name}`"), error);
        Ok(ConsoleAttachment { socket: connect_to(paths.run()).map_err(failed)? })
    }

    /// Passes bytes and window sizes on until the user detaches or the container stops. Standard input that is not a
    /// terminal has no detach keys, and its end is not the end: the guest may go on printing.
    pub fn relay(self) -> Result<ConsoleEnd, EngineError> {
        Relay::new(self.socket)
            .and_then(Relay::run)
            .map_err(|error| EngineError::because("cannot pass the console's bytes on", error))
    }
}

struct Relay {
    socket: OwnedFd,
    resizes: SignalFd,
    raw: Option<RawMode>,
    has_input: bool,
    /// Typed, and not yet taken by the monitor.
    typed: Vec<u8>,
    keys: Keys,
}

impl Relay {
    fn new(socket: OwnedFd) -> io::Result<Relay> {
        let mut window_change = SigSet::empty();
        window_change.add(Signal::SIGWINCH);
        window_change.thread_block()?;
        let resizes = SignalFd::with_flags(&window_change, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let raw = if io::stdin().is_terminal() { Some(RawMode::enter()?) } else { None };
        Ok(Relay { socket, resizes, raw, has_input: true, typed: Vec::new(), keys: Keys::default() })
    }

    fn run(mut self) -> io::Result<ConsoleEnd> {
        self.tell_size();
        loop {
            let (of_socket, of_input, of_resizes) = self.wait()?;
            if !of_resizes.is_empty() {
                while matches!(self.resizes.read_signal(), Ok(Some(_))) {}
                self.tell_size();
            }
            if of_socket.intersects(PollFlags::IN | PollFlags::HUP) && !self.show()? {
                return Ok(ConsoleEnd::Closed);
            }
            if !of_input.is_empty() && !self.read_input()? {
                return Ok(ConsoleEnd::Detached);
            }
            if !self.typed.is_empty() && !self.send_typed()? {
                return Ok(ConsoleEnd::Closed);
            }
        }
    }

    /// What happened to the socket, to standard input, and to the window.
    fn wait(&self) -> io::Result<(PollFlags, PollFlags, PollFlags)> {
        // A monitor whose guest reads slowly takes no more for a while; then no more is read here.
        let is_waiting = !self.typed.is_empty();
        let of_socket = if is_waiting { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let stdin = io::stdin();
        let mut fds = vec![PollFd::new(&self.socket, of_socket), PollFd::new(&self.resizes, PollFlags::IN)];
        if self.has_input && !is_waiting {
            fds.push(PollFd::new(&stdin, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) => {
                let of_input = fds.get(2).map_or(PollFlags::empty(), PollFd::revents);
                Ok((fds[0].revents(), of_input, fds[1].revents()))
            }
            Err(rustix::io::Errno::INTR) => Ok((PollFlags::empty(), PollFlags::empty(), PollFlags::empty())),
            Err(error) => Err(error.into()),
        }
    }

    /// Shows what the guest printed; false when the monitor has closed the socket.
    fn show(&self) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        match recv(&self.socket, &mut bytes, RecvFlags::DONTWAIT) {
            Ok((0, _)) | Err(rustix::io::Errno::CONNRESET) => Ok(false),
            Ok((count, _)) => write_all(io::stdout().as_fd(), &bytes[..count]).map(|()| true),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads what is typed; false if it was the detach keys.
    fn read_input(&mut self) -> io::Result<bool> {
        // A prefix that was held back makes it one byte more.
        let mut bytes = [0; MOST_TYPED - 1];
        match rustix::io::read(io::stdin(), &mut bytes) {
            Ok(0) | Err(rustix::io::Errno::IO) => self.has_input = false,
            Ok(count) if self.raw.is_some() => return Ok(self.keys.pass(&bytes[..count], &mut self.typed)),
            Ok(count) => self.typed.extend_from_slice(&bytes[..count]),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    /// Sends what was typed, if the monitor takes it now; false if it is gone.
    fn send_typed(&mut self) -> io::Result<bool> {
        let sent = self.send(FromViewer::Typed(&self.typed))?;
        if sent != Sent::NotNow {
            self.typed.clear();
        }
        Ok(sent != Sent::ToNobody)
    }

    fn tell_size(&self) {
        // A size that does not arrive now is told with the next change of it.
        if let (Some(_), Ok(size)) = (&self.raw, tcgetwinsize(io::stdin())) {
            let _ = self.send(FromViewer::window(size));
        }
    }

    fn send(&self, message: FromViewer<'_>) -> io::Result<Sent> {
        match send(&self.socket, &message.encode(), SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => Ok(Sent::Whole),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(Sent::NotNow),
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Ok(Sent::ToNobody),
            Err(error) => Err(error.into()),
        }
    }
}

/// What became of a message; it is sent whole or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Whole,
    NotNow,
    ToNobody,
}

/// Looks for the detach keys in what is typed.
#[derive(Debug, Default)]
struct Keys {
    /// The last byte was the prefix.
    is_prefixed: bool,
}

impl Keys {
    /// Adds to `typed` what of `bytes` is for the guest; false when the detach keys are among them.
    fn pass(&mut self, bytes: &[u8], typed: &mut Vec<u8>) -> bool {
        for &byte in bytes {
            match (self.is_prefixed, byte) {
                (false, PREFIX) => self.is_prefixed = true,
                (true, DETACH) => return false,
                (true, PREFIX) => {
                    typed.push(PREFIX);
                    self.is_prefixed = false;
                }
                // The prefix was meant for the guest after all.
                (true, other) => {
                    typed.extend([PREFIX, other]);
                    self.is_prefixed = false;
                }
                (false, other) => typed.push(other),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let (mut keys, mut typed) = (Keys::default(), Vec::new());
        let goes_on = pieces.iter().all(|piece| keys.pass(piece, &mut typed));
        (typed, goes_on)
    }

    #[test]
    fn ctrl_a_q_detaches_even_in_two_pieces() {
        assert_eq!(passed(&[b"ls\x01qrest"]), (b"ls".to_vec(), false));
        assert_eq!(passed(&[b"ls\x01", b"q"]), (b"ls".to_vec(), false));
    }

    #[test]
    fn ctrl_a_twice_is_ctrl_a_and_before_any_other_key_stays() {
        assert_eq!(passed(&[b"\x01\x01q"]), (b"\x01q".to_vec(), true));
        assert_eq!(passed(&[b"\x01x", b"q"]), (b"\x01xq".to_vec(), true));
    }
}
