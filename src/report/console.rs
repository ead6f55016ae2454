//! The two streams: data to stdout, everything else to stderr.

use std::io::{self, IsTerminal as _, Write as _};

use serde::Serialize;

use super::Palette;
use super::plain::plain;

/// The form of what goes to stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document for programs, and nothing else.
    Json,
}

/// How much is said on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Errors only.
    Quiet,
    /// What happened.
    Normal,
    /// What is about to happen as well, and nothing is folded.
    Verbose,
}

/// Where text goes, and how it looks there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Console {
    /// The form of the data.
    pub(crate) format: Format,
    /// How much is said besides.
    pub(crate) verbosity: Verbosity,
    /// Colours of stdout.
    pub(crate) stdout: Palette,
    /// Colours of stderr.
    pub(crate) stderr: Palette,
}

impl Console {
    /// Writes the human form of the data: to stdout, or to stderr when stdout is for JSON.
    pub(crate) fn show(self, draw: impl FnOnce(Palette) -> String) {
        match (self.format, self.verbosity) {
            (Format::Json, Verbosity::Quiet) => {}
            (Format::Json, Verbosity::Normal | Verbosity::Verbose) => to_stderr(&draw(self.stderr)),
            (Format::Text, _) => to_stdout(&draw(self.stdout)),
        }
    }

    /// Writes `document` to stdout if that is for JSON.
    pub(crate) fn json(self, document: &impl Serialize) {
        if self.format == Format::Json {
            self.document(document);
        }
    }

    /// Writes `document` to stdout, where what was asked for is JSON in itself.
    #[expect(clippy::unused_self, reason = "every word to the user goes through a console")]
    pub(crate) fn document(self, document: &impl Serialize) {
        let text = serde_json::to_string_pretty(document).expect("string keys and plain values always serialise");
        to_stdout(&(text + "\n"));
    }

    /// Writes what the user may want to know to stderr, as one line.
    pub(crate) fn note(self, text: &str) {
        if self.verbosity != Verbosity::Quiet {
            to_stderr(&format!("{}\n", plain(text)));
        }
    }

    /// Writes what the user must know to stderr.
    pub(crate) fn error(self, draw: impl FnOnce(Palette) -> String) {
        to_stderr(&draw(self.stderr));
    }

    /// Asks a question that is answered with yes or no. `None` if nobody is there to answer.
    pub(crate) fn ask(question: &str) -> Option<bool> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        to_stderr(&format!("{question} [y/N] "));
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer).unwrap_or(0);
        Some(read > 0 && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}

/// A reader that went away is no error of ours: whether the work succeeded is told by the exit status.
fn to_stdout(text: &str) {
    let mut stream = io::stdout().lock();
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

fn to_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
