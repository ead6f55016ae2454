//! What came of a plan.

use std::time::Duration;

use super::{Step, StepId};

/// Something that happened while a plan ran, for whoever draws it.
#[derive(Debug, Clone)]
pub enum Event {
    /// A step began.
    Started(Step),
    /// A step ended.
    Finished(Step, StepResult),
    /// The user asked to stop: running steps are finished, no other begins.
    Draining,
    /// More is there of an image.
    Image(ImageNews),
}

/// What is heard of an image that is not in the store yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageNews {
    /// More of it has come from a server.
    Transferred(Transfer),
    /// It is made on this host, and this has begun.
    Making {
        /// The image, as a fleet file writes it.
        image: String,
        /// What is being done, in the words of whoever makes it.
        stage: String,
    },
}

/// How far the loading of an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The image, as a fleet file writes it.
    pub image: String,
    /// Bytes that are there.
    pub done: u64,
    /// Bytes that there will be, if the server says so.
    pub total: Option<u64>,
}

/// How one step ended.
#[derive(Debug, Clone)]
pub enum StepResult {
    /// It was done, in this time; with remarks for the user.
    Done {
        /// How long it took.
        took: Duration,
        /// What the user should know, such as a program that the image lacks.
        warnings: Vec<String>,
    },
    /// It failed.
    Failed(StepFailure),
    /// It did not begin: a step that it waits for failed, or the user asked to stop.
    Skipped,
}

/// Why a step failed: the operation first, then each cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailure {
    /// The headline and its causes, outermost first.
    pub chain: Vec<String>,
    /// What the user can do.
    pub hint: Option<String>,
}

impl StepFailure {
    /// The failure that `error` and its sources tell.
    #[must_use]
    pub fn from_error(error: &(dyn std::error::Error + 'static), hint: Option<String>) -> StepFailure {
        let chain = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect();
        StepFailure { chain, hint }
    }
}

/// What came of a plan, step by step in the order they ended.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Steps that were done.
    pub done: Vec<StepId>,
    /// Steps that failed.
    pub failed: Vec<(StepId, StepFailure)>,
    /// Steps that did not begin.
    pub skipped: Vec<StepId>,
    /// Whether the user asked to stop.
    pub interrupted: bool,
}
