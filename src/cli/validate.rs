//! `fleet validate`.

use clap::Args;

use super::error::{CliError, Exit};
use super::files::{FileArguments, load_fleets};
use super::global::Session;
use crate::model::Fleet;
use crate::report::{self, Format, Verbosity};

/// Check fleet files, and show everything that is wrong with them
///
/// Reads the files and what they name, not the host. Needs no root.
#[derive(Debug, Args)]
pub(super) struct ValidateArguments {
    #[command(flatten)]
    files: FileArguments,
}

pub(super) fn run(session: &Session, arguments: &ValidateArguments) -> Result<Exit, CliError> {
    session.refuse_only("validate")?;
    let fleets = load_fleets(session, &arguments.files.files)?;
    session.console.json(&report::findings_json(&[]));
    if session.console.format == Format::Text && session.console.verbosity != Verbosity::Quiet {
        session.console.show(|_| fleets.iter().map(valid_line).collect());
    }
    Ok(Exit::Done)
}

fn valid_line(fleet: &Fleet) -> String {
    let count = fleet.containers.len();
    let noun = if count == 1 { "container" } else { "containers" };
    format!("{}: {} is valid ({count} {noun})\n", fleet.file.display(), fleet.name)
}
