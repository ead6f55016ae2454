//! `fleet thaw`.

use clap::Args;

use super::each::{EachArguments, each};
use super::error::{CliError, Exit};
use super::global::Session;

/// Let the processes of frozen containers go on
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  fleet thaw web-1\n  fleet thaw --all")]
pub(super) struct ThawArguments {
    #[command(flatten)]
    which: EachArguments,
}

pub(super) fn run(session: &Session, arguments: &ThawArguments) -> Result<Exit, CliError> {
    each(session, "thaw", "Thawed", &arguments.which, |engine, name| engine.thaw(name))
}
