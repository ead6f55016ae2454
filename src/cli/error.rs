//! How a verb ends: its exit status, and why it ended early.

use std::process::ExitCode;

use crate::manifest::Rejected;
use crate::model::StepFailure;
use crate::report::{self, Console};

/// The exit statuses that users can rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done, or nothing to do.
    Done,
    /// A step failed.
    Failed,
    /// `plan` found changes.
    Changes,
    /// The command line or the fleet file is wrong (`EX_USAGE` of sysexits.h).
    Usage,
    /// The user interrupted it (128 + SIGINT).
    Interrupted,
    /// What the command in the guest ended with.
    Guest(u8),
}

impl Exit {
    /// The number.
    pub(super) fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Changes => 2,
            Exit::Usage => 64,
            Exit::Interrupted => 130,
            Exit::Guest(status) => status,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// Why a verb ended early.
#[derive(Debug)]
pub(super) enum CliError {
    /// Fleet files have findings.
    Rejected(Vec<Rejected>),
    /// The command line asks for what cannot be.
    Usage(StepFailure),
    /// It did not work.
    Failed(StepFailure),
}

impl CliError {
    /// A wrong command line.
    pub(super) fn usage(message: impl Into<String>, hint: impl Into<String>) -> CliError {
        CliError::Usage(StepFailure { chain: vec![message.into()], hint: Some(hint.into()) })
    }

    /// A failure with no cause below it.
    pub(super) fn failed(message: impl Into<String>, hint: impl Into<String>) -> CliError {
        CliError::Failed(StepFailure { chain: vec![message.into()], hint: Some(hint.into()) })
    }

    /// A failure of `error` and its causes.
    pub(super) fn because(error: &(dyn std::error::Error + 'static), hint: Option<String>) -> CliError {
        CliError::Failed(StepFailure::from_error(error, hint))
    }

    /// A failure of `message`, caused by `source`.
    pub(super) fn io(message: &str, source: &std::io::Error) -> CliError {
        CliError::Failed(StepFailure { chain: vec![message.to_owned(), source.to_string()], hint: None })
    }

    /// Tells the user; in JSON too, so that a program always finds a document.
    pub(super) fn tell(&self, console: Console) {
        match self {
            CliError::Rejected(files) => {
                console.json(&report::findings_json(files));
                console.error(|palette| report::findings(files, palette));
            }
            CliError::Usage(failure) | CliError::Failed(failure) => {
                console.json(&report::failure_json(failure));
                console.error(|palette| report::failure("error", failure, palette));
            }
        }
    }

    /// It as a failure: of what is wrong in fleet files, the first finding.
    pub(super) fn into_failure(self) -> StepFailure {
        match self {
            CliError::Rejected(files) => {
                let finding = files.into_iter().flat_map(|file| file.findings).next();
                let place = finding.as_ref().map(|it| format!("{}:{}:{}: ", it.file.display(), it.line, it.column));
                let (message, hint) = finding.map(|finding| (finding.message, finding.hint)).unwrap_or_default();
                StepFailure { chain: vec![place.unwrap_or_default() + &message], hint }
            }
            CliError::Usage(failure) | CliError::Failed(failure) => failure,
        }
    }

    /// The exit status that goes with it.
    pub(super) fn exit(&self) -> Exit {
        match self {
            CliError::Rejected(_) | CliError::Usage(_) => Exit::Usage,
            CliError::Failed(_) => Exit::Failed,
        }
    }
}
