//! The program that an image of a registry is made for (OCI image specification, "config").

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A program, and what it is run with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entrypoint {
    /// The program, found by `PATH`, and its arguments; at least one word.
    pub words: Vec<String>,
    /// Variables, each `NAME=VALUE`.
    #[serde(default)]
    pub environment: Vec<String>,
    /// Where it begins, a path of the guest; `/` when not given.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// Who it is run as: a [`UserChoice`](super::UserChoice); root when not given.
    #[serde(default)]
    pub user: Option<String>,
    /// What asks it to end.
    #[serde(default)]
    pub stop_signal: StopSignal,
}

/// The signal that asks a program to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StopSignal {
    /// One with a number of its own (signal(7)).
    Standard(u8),
    /// A real-time one: `SIGRTMIN` and so many more.
    RealTime(u8),
}

/// Why a text is no signal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no signal")]
pub struct StopSignalError(String);

/// The standard signals that can ask a program to do something, by their numbers on every architecture that fleet knows.
const NAMES: [(&str, u8); 14] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ABRT", 6),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("CONT", 18),
    ("WINCH", 28),
    ("PWR", 30),
];

/// `SIGTERM`.
const TERM: u8 = 15;

/// The last real-time signal, counted from the first.
const LAST_REAL_TIME: u8 = 30;

impl Default for StopSignal {
    fn default() -> StopSignal {
        StopSignal::Standard(TERM)
    }
}

impl FromStr for StopSignal {
    type Err = StopSignalError;

    /// `SIGTERM`, `TERM`, `15` or `SIGRTMIN+3`.
    fn from_str(text: &str) -> Result<StopSignal, StopSignalError> {
        let bad = || StopSignalError(text.escape_debug().to_string());
        let name = text.strip_prefix("SIG").unwrap_or(text);
        if let Some(more) = name.strip_prefix("RTMIN") {
            let offset = if more.is_empty() { Some(0) } else { more.strip_prefix('+').and_then(|it| it.parse().ok()) };
            return offset.filter(|it| *it <= LAST_REAL_TIME).map(StopSignal::RealTime).ok_or_else(bad);
        }
        let named = NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        let number = named.or_else(|| text.parse().ok().filter(|number| (1..=31).contains(number)));
        number.map(StopSignal::Standard).ok_or_else(bad)
    }
}

impl fmt::Display for StopSignal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopSignal::Standard(number) => match NAMES.iter().find(|(_, known)| known == number) {
                Some((name, _)) => write!(f, "SIG{name}"),
                None => write!(f, "{number}"),
            },
            StopSignal::RealTime(offset) => write!(f, "SIGRTMIN+{offset}"),
        }
    }
}

impl TryFrom<String> for StopSignal {
    type Error = StopSignalError;

    fn try_from(text: String) -> Result<StopSignal, StopSignalError> {
        text.parse()
    }
}

impl From<StopSignal> for String {
    fn from(signal: StopSignal) -> String {
        signal.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_a_name_or_a_number() {
        for text in ["SIGTERM", "SIGQUIT", "SIGRTMIN+3", "SIGRTMIN+0", "31"] {
            assert_eq!(text.parse::<StopSignal>().expect(text).to_string(), text);
        }
        assert_eq!("15".parse(), Ok(StopSignal::default()));
        assert_eq!("RTMIN".parse(), Ok(StopSignal::RealTime(0)));
        for bad in ["", "0", "32", "SIGRTMIN+31", "SIGRTMIN-1", "TERMINATE", "SIG15"] {
            assert!(bad.parse::<StopSignal>().is_err(), "{bad}");
        }
    }
}
