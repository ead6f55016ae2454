//! A failed step of a start, as data that crosses processes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which step failed, and the system's words for why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StartFailure {
    /// The operation with its object: ``cannot mount `proc` ``.
    pub(super) step: String,
    /// Why.
    pub(super) why: String,
    /// What the user can do.
    pub(super) hint: Option<String>,
}

impl fmt::Display for StartFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.why)
    }
}

/// Names the step that an error ends.
pub(super) trait Step<T> {
    /// The same result, its error telling that `step` failed.
    fn step(self, step: impl FnOnce() -> String) -> Result<T, StartFailure>;
}

impl<T, E: fmt::Display> Step<T> for Result<T, E> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, StartFailure> {
        self.map_err(|error| StartFailure { step: step(), why: error.to_string(), hint: None })
    }
}
