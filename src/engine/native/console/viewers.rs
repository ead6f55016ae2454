//! Those who watch a console and type into it, through a socket in the container's run directory.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    recv, send, socket_with,
};
use rustix::termios::{Winsize, tcsetwinsize};

use super::message::{FromViewer, LONGEST};

/// The socket's name in the run directory.
const SOCKET: &str = "console";

/// More than so many viewers are not let in.
const MOST_VIEWERS: usize = 32;

/// Who watches.
#[derive(Default)]
pub(super) struct Viewers {
    listener: Option<OwnedFd>,
    viewers: Vec<Viewer>,
}

struct Viewer {
    socket: OwnedFd,
    /// What was typed and the guest has not taken yet. Until it does, nothing more is read from this viewer.
    typed: Vec<u8>,
}

impl Viewers {
    /// Lets root watch through a socket in the directory `run`, which is closed to all others.
    pub(super) fn listen(run: &Path) -> io::Result<Viewers> {
        let path = run.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        with_short_path(run, |address| Ok(bind(&listener, address)?))?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        listen(&listener, 8)?;
        Ok(Viewers { listener: Some(listener), viewers: Vec::new() })
    }

    /// What to wait for: the listener, then the viewers.
    pub(super) fn interests(&self) -> impl Iterator<Item = PollFd<'_>> {
        let viewers = self.viewers.iter().map(|viewer| {
            let flags = if viewer.typed.is_empty() { PollFlags::IN } else { PollFlags::empty() };
            PollFd::new(&viewer.socket, flags)
        });
        self.listener.iter().map(|listener| PollFd::new(listener, PollFlags::IN)).chain(viewers)
    }

    /// Whether something that was typed waits for the guest to take it.
    pub(super) fn have_typed(&self) -> bool {
        self.viewers.iter().any(|viewer| !viewer.typed.is_empty())
    }

    /// Lets viewers in, hears what they say, and forgets those who went. `events` are those of
    /// [`Viewers::interests`]; `master` is the terminal that is typed into, if there is one now.
    pub(super) fn handle(&mut self, events: &[PollFlags], master: Option<BorrowedFd<'_>>) {
        let (of_listener, of_viewers) = events.split_at(usize::from(self.listener.is_some()));
        let mut events = of_viewers.iter();
        self.viewers.retain_mut(|viewer| match events.next() {
            Some(events) if events.contains(PollFlags::IN) => viewer.hear(master),
            Some(events) => !events.intersects(PollFlags::HUP | PollFlags::ERR),
            None => true,
        });
        if of_listener.first().is_some_and(|events| !events.is_empty()) {
            self.let_in();
        }
    }

    fn let_in(&mut self) {
        let Some(listener) = &self.listener else { return };
        // One who is not let in sees the socket close.
        if let Ok(socket) = accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
            && self.viewers.len() < MOST_VIEWERS
        {
            self.viewers.push(Viewer { socket, typed: Vec::new() });
        }
    }

    /// Hands what was typed to the guest, as far as it takes it.
    pub(super) fn type_into(&mut self, master: Option<BorrowedFd<'_>>) {
        for viewer in &mut self.viewers {
            viewer.type_into(master);
        }
    }

    /// Shows `bytes` to all. Who does not keep up is dropped: neither guest nor log waits for anybody.
    pub(super) fn show(&mut self, bytes: &[u8]) {
        self.viewers.retain(|viewer| match send(&viewer.socket, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(count) => count == bytes.len(),
            Err(_) => false,
        });
    }
}

impl Viewer {
    /// Hears one message; false when the viewer went.
    fn hear(&mut self, master: Option<BorrowedFd<'_>>) -> bool {
        let mut bytes = [0; LONGEST];
        let count = match recv(&self.socket, &mut bytes, RecvFlags::DONTWAIT) {
            Ok((0, _)) => return false,
            Ok((count, _)) => count,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return true,
            Err(_) => return false,
        };
        match FromViewer::decode(&bytes[..count]) {
            Some(FromViewer::Typed(typed)) => {
                self.typed = typed.to_vec();
                self.type_into(master);
            }
            Some(FromViewer::Window(rows, columns)) => {
                let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                // The next run's terminal gets the size when the window changes again.
                let _ = master.map(|master| tcsetwinsize(master, size));
            }
            None => return false,
        }
        true
    }

    fn type_into(&mut self, master: Option<BorrowedFd<'_>>) {
        if self.typed.is_empty() {
            return;
        }
        match master.map(|master| rustix::io::write(master, &self.typed)) {
            Some(Ok(count)) => drop(self.typed.drain(..count)),
            Some(Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR)) => return,
            // Nobody is there to take it.
            Some(Err(_)) | None => self.typed.clear(),
        }
        if self.typed.is_empty() {
            // One who types little is no reason to keep memory.
            self.typed = Vec::new();
        }
    }
}

/// Connects to the socket in the directory `run`.
pub(super) fn connect_to(run: &Path) -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    with_short_path(run, |address| Ok(connect(&socket, address)?))?;
    Ok(socket)
}

/// A socket's address has room for 107 bytes, which a directory under `--root` may exceed: the way goes through a
/// descriptor of it.
fn with_short_path<T>(run: &Path, call: impl FnOnce(&SocketAddrUnix) -> io::Result<T>) -> io::Result<T> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open(run, flags, Mode::empty())?;
    let short = format!("/proc/self/fd/{}/{SOCKET}", dir.as_fd().as_raw_fd());
    call(&SocketAddrUnix::new(short.as_str())?)
}
