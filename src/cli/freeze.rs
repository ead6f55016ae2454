//! `fleet freeze`.

use clap::Args;

use super::each::{EachArguments, each};
use super::error::{CliError, Exit};
use super::global::Session;

/// Let the processes of running containers stand still
///
/// They keep their memory, and use no processor until `fleet thaw`. A frozen container counts as running: it can be
/// stopped and destroyed, its limits and files can be changed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  fleet freeze web-1\n  fleet freeze 'web-*'\n  fleet freeze --all")]
pub(super) struct FreezeArguments {
    #[command(flatten)]
    which: EachArguments,
}

pub(super) fn run(session: &Session, arguments: &FreezeArguments) -> Result<Exit, CliError> {
    each(session, "freeze", "Frozen", &arguments.which, |engine, name| engine.freeze(name))
}
