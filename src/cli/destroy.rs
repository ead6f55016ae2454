//! `fleet destroy`.

use clap::Args;

use super::change::change;
use super::error::{CliError, Exit};
use super::files::{FileArguments, load_fleets};
use super::global::Session;
use super::goal::Goal;

/// Remove everything that was made for the fleets, with all data
///
/// That includes the volumes. Images stay in the store until `fleet image prune`.
#[derive(Debug, Args)]
pub(super) struct DestroyArguments {
    #[command(flatten)]
    files: FileArguments,

    /// Keep the fleets' volumes: a later `apply` mounts them again
    #[arg(long)]
    keep_data: bool,
}

pub(super) fn run(session: &Session, arguments: &DestroyArguments) -> Result<Exit, CliError> {
    session.refuse_only("destroy")?;
    let fleets = load_fleets(session, &arguments.files.files)?;
    change(session, &fleets, &Goal::Destroyed { keeps_volumes: arguments.keep_data })
}
