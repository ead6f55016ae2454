//! A guest's console: read into a log of bounded size, shown to whoever watches, and typed into.
//!
//! [`Console`] is the monitor's side, [`attach`] the user's; [`reader`] reads logs.

pub(super) mod attach;
mod log;
pub(super) mod message;
pub(super) mod reader;
mod viewers;

use std::os::fd::{AsFd as _, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use self::log::ConsoleLog;
use self::viewers::Viewers;
use super::paths::ContainerPaths;
use crate::sys::peer_of;

/// How often in a row a hung-up console is opened again before it is given up.
const MOST_HANGUPS: u32 = 1000;

/// The master end of a guest's console, its log, and its viewers, who stay from one run of the guest to the next.
pub(super) struct Console {
    master: Option<OwnedFd>,
    /// An end of the guest's side that keeps the terminal alive after a hang-up.
    peer: Option<OwnedFd>,
    hangups: u32,
    log: ConsoleLog,
    viewers: Viewers,
}

impl Console {
    /// The console of a guest that does not run yet. That nobody can watch it is no reason not to run it.
    pub(super) fn new(paths: &ContainerPaths) -> Console {
        let viewers = Viewers::listen(paths.run()).unwrap_or_default();
        Console { master: None, peer: None, hangups: 0, log: ConsoleLog::new(paths.console_log()), viewers }
    }

    /// From now on this is about the terminal behind `master`; without one the guest is down, or cannot be reached.
    pub(super) fn connect(&mut self, master: Option<OwnedFd>) {
        if let Some(master) = &master {
            // The guest decides when there is something to read, and may change its mind.
            let _ = rustix::io::ioctl_fionbio(master, true);
        }
        (self.master, self.peer, self.hangups) = (master, None, 0);
    }

    /// Writes a remark of the host's into the log.
    pub(super) fn note(&self, words: &str) {
        self.log.append(format!("\r\n[fleet: {words}]\r\n").as_bytes());
    }

    /// What to wait for.
    pub(super) fn interests(&self) -> Vec<PollFd<'_>> {
        let flags = if self.viewers.have_typed() { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let master = self.master.iter().map(|master| PollFd::new(master, flags));
        master.chain(self.viewers.interests()).collect()
    }

    /// Does what `events` allow, those of [`Console::interests`] in the same order.
    pub(super) fn handle(&mut self, events: &[PollFlags]) {
        let (of_master, of_viewers) = events.split_at(usize::from(self.master.is_some()));
        self.viewers.handle(of_viewers, self.master.as_ref().map(OwnedFd::as_fd));
        let Some(events) = of_master.first() else { return };
        if events.contains(PollFlags::OUT) {
            self.viewers.type_into(self.master.as_ref().map(OwnedFd::as_fd));
        }
        if events.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.read();
        }
    }

    /// Reads what an init that has ended left, a bounded amount.
    pub(super) fn read_rest(&mut self) {
        for _ in 0..256 {
            if !self.read() {
                return;
            }
        }
    }

    /// Reads a piece of what is there; false if there was nothing.
    fn read(&mut self) -> bool {
        let Some(master) = &self.master else { return false };
        let mut bytes = [0; 4096];
        match rustix::io::read(master, &mut bytes) {
            Ok(count) if count > 0 => {
                self.hangups = 0;
                self.log.append(&bytes[..count]);
                self.viewers.show(&bytes[..count]);
                return true;
            }
            Ok(_) | Err(rustix::io::Errno::IO) => self.hung_up(),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => self.master = None,
        }
        false
    }

    /// Every getty calls vhangup(2), after which reading fails as if nobody could write again. A guest that does
    /// write, systemd at its shutdown, would block on a terminal that nobody reads. An open peer end clears the state.
    fn hung_up(&mut self) {
        self.peer = None;
        self.peer = self.master.as_ref().and_then(|master| peer_of(master).ok());
        self.hangups += 1;
        if self.peer.is_none() || self.hangups > MOST_HANGUPS {
            self.master = None;
        } else {
            thread::sleep(Duration::from_millis(2));
        }
    }
}
