//! Ctrl-C: the first one drains, the second one quits.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::error::Exit;

/// Listens for SIGINT and SIGTERM.
#[derive(Debug)]
pub(super) struct Interrupts {
    changing: Arc<AtomicBool>,
    stop: watch::Receiver<bool>,
}

impl Interrupts {
    /// Listens from now on. Until [`Interrupts::drain_from_now_on`] nothing is being changed, and the first signal
    /// ends the program.
    pub(super) fn listen(runtime: &Runtime) -> io::Result<Interrupts> {
        let _inside = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let changing = Arc::new(AtomicBool::new(false));
        let (sender, stop) = watch::channel(false);
        let is_changing = Arc::clone(&changing);
        runtime.spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if !is_changing.load(Ordering::SeqCst) || sender.send_replace(true) {
                    quit();
                }
            }
        });
        Ok(Interrupts { changing, stop })
    }

    /// From now on the host is being changed: the first signal lets running steps finish.
    pub(super) fn drain_from_now_on(&self) {
        self.changing.store(true, Ordering::SeqCst);
    }

    /// Becomes true with the first signal.
    pub(super) fn stop(&self) -> watch::Receiver<bool> {
        self.stop.clone()
    }

    /// Whether a signal came.
    pub(super) fn came(&self) -> bool {
        *self.stop.borrow()
    }
}

/// Whatever is half done is found and finished by the next run.
#[expect(clippy::exit, reason = "the user asked twice: nothing may hold the program up, not even a blocked thread")]
fn quit() -> ! {
    process::exit(i32::from(Exit::Interrupted.code()))
}
