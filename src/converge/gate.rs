//! Where steps wait until there is nothing else to do.
//!
//! A guest that boots takes the processor from everything else: were each let go as soon as it could, making the last
//! of many containers would wait for the boots of the first. So all are made ready, then all are let go.

use tokio::sync::{mpsc, oneshot};

/// A step's way to the gate.
#[derive(Debug)]
pub struct Gate(mpsc::UnboundedSender<oneshot::Sender<()>>);

impl Gate {
    /// Waits until every other step that could make progress without waiting here has done so, or until too many wait;
    /// fetching of images does not count. While it waits the step takes no job's place.
    pub async fn pass(&self) {
        let (opened, open) = oneshot::channel();
        // Without anybody who could open it, the gate is open.
        if self.0.send(opened).is_ok() {
            let _ = open.await;
        }
    }
}

/// The gate, as whoever opens it sees it.
#[derive(Debug)]
pub(super) struct GateKeeper {
    arrivals: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    sender: mpsc::UnboundedSender<oneshot::Sender<()>>,
    waiting: Vec<oneshot::Sender<()>>,
}

impl GateKeeper {
    /// A closed gate with nobody before it.
    pub(super) fn new() -> GateKeeper {
        let (sender, arrivals) = mpsc::unbounded_channel();
        GateKeeper { arrivals, sender, waiting: Vec::new() }
    }

    /// A way to it.
    pub(super) fn way(&self) -> Gate {
        Gate(self.sender.clone())
    }

    /// How many steps wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Waits until one more step has come. Nothing is lost if the future is dropped.
    pub(super) async fn arrival(&mut self) {
        let arrived = self.arrivals.recv().await.expect("the keeper holds a sender itself");
        self.waiting.push(arrived);
    }

    /// Lets all go that wait.
    pub(super) fn open(&mut self) {
        for waiting in self.waiting.drain(..) {
            // One that has been given up meanwhile needs no opening.
            let _ = waiting.send(());
        }
    }
}
