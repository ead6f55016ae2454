//! Signals that ask this program to end, passed on to the programs that it runs.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

/// What every passer-on knows.
#[derive(Debug, Default)]
struct State {
    /// All that were begun; one that has ended is not reached by a signal any more.
    running: Vec<OwnedFd>,
    /// The first signal that came.
    came: Option<u8>,
}

/// Passes signals on.
#[derive(Debug)]
pub(super) struct Forwarding(Arc<Mutex<State>>);

impl Forwarding {
    /// From now on signals are passed on in place of ending this program. Called before it has threads.
    pub(super) fn begin() -> io::Result<Forwarding> {
        let set: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT].into_iter().collect();
        set.thread_block()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        // It waits until the program's end.
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            while let Ok(signal) = set.wait() {
                pass_on(signal, &mut shared.lock().expect("no holder panics"));
            }
        })?;
        Ok(Forwarding(state))
    }

    /// Starts `command`, unless a signal has come already: that signal's number.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Result<Child, u8>> {
        let mut state = self.0.lock().expect("no holder panics");
        if let Some(signal) = state.came {
            return Ok(Err(signal));
        }
        let child = command.spawn()?;
        // It cannot have been waited for yet, so the pid is its own.
        state.running.push(pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?);
        Ok(Ok(child))
    }
}

fn pass_on(signal: Signal, state: &mut State) {
    state.came.get_or_insert(u8::try_from(signal as i32).unwrap_or_default());
    let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32) else { return };
    for pidfd in &state.running {
        let _ = pidfd_send_signal(pidfd, signal);
    }
}
