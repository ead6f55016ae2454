//! `fleet apply`.

use clap::Args;

use super::change::change;
use super::error::{CliError, Exit};
use super::files::{FileArguments, load_fleets};
use super::global::Session;
use super::goal::Goal;
use super::lock::require_pins;

/// Make the host what the fleet files say
///
/// Shows the plan first. Asks before anything that destroys data. A second `apply` has nothing to do.
#[derive(Debug, Args)]
pub(super) struct ApplyArguments {
    #[command(flatten)]
    files: FileArguments,
    /// Use the builds that fleet.lock pins, and refuse distributions that it does not
    #[arg(long)]
    locked: bool,
}

pub(super) fn run(session: &Session, arguments: &ApplyArguments) -> Result<Exit, CliError> {
    session.refuse_only("apply")?;
    let fleets = load_fleets(session, &arguments.files.files)?;
    if arguments.locked {
        require_pins(&fleets)?;
    }
    change(session, &fleets, &Goal::Applied { locked: arguments.locked })
}
