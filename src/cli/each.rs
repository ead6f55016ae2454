//! A verb of an engine that is done to each of some containers: what fails for one does not stop it for the others.

use clap::Args;
use serde::Serialize;

use super::change::take_lock;
use super::error::{CliError, Exit};
use super::global::Session;
use super::installation::Installation;
use super::privilege::require_root;
use super::selection::chosen;
use crate::engine::{Engine, EngineError};
use crate::model::{ContainerName, EngineKind, StepFailure};
use crate::report;

/// Which containers.
#[derive(Debug, Args)]
pub(super) struct EachArguments {
    /// Containers, by name or, from the fleet file, by pattern
    #[arg(value_name = "NAME", required_unless_present_any = ["all", "only"])]
    names: Vec<String>,
    /// All containers of the fleet file
    #[arg(long, conflicts_with = "names")]
    all: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct EachJson {
    done: Vec<ContainerName>,
    failed: Vec<FailedJson>,
}

#[derive(Debug, Serialize)]
struct FailedJson {
    name: ContainerName,
    error: Vec<String>,
    hint: Option<String>,
}

/// Does `work`, the verb `verb`, to each of the containers; with `done_word` begins the line that says to which.
pub(super) fn each(
    session: &Session,
    verb: &str,
    done_word: &str,
    which: &EachArguments,
    work: impl Fn(&dyn Engine, &ContainerName) -> Result<(), EngineError>,
) -> Result<Exit, CliError> {
    let names = chosen(session, &which.names, which.all, &format!("write `fleet {verb} NAME`"))?;
    require_root()?;
    let _lock = take_lock(session, verb)?;
    let engine = Installation::read_only(&session.layout)?.engine(EngineKind::Native);
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for name in names {
        match work(engine.as_ref(), &name) {
            Ok(()) => done.push(name),
            Err(error) => {
                let failure = StepFailure::from_error(&error, error.hint().map(ToOwned::to_owned));
                session.console.error(|palette| report::failure("error", &failure, palette));
                failed.push(FailedJson { name, error: failure.chain, hint: failure.hint });
            }
        }
    }
    if !done.is_empty() {
        let names: Vec<&str> = done.iter().map(ContainerName::as_str).collect();
        session.console.note(&format!("{done_word}: {}", names.join(", ")));
    }
    let exit = if failed.is_empty() { Exit::Done } else { Exit::Failed };
    session.console.json(&EachJson { done, failed });
    Ok(exit)
}
