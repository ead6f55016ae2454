//! `fleet stop`.

use clap::Args;

use super::change::change;
use super::error::{CliError, Exit};
use super::files::load_fleet;
use super::global::Session;
use super::goal::Goal;
use super::selection::Selection;

/// Stop containers that run
///
/// Each gets its init's own signal, and is killed when its `stop_timeout` is over.
#[derive(Debug, Args)]
pub(super) struct StopArguments {
    /// Containers, by name or pattern [default: the whole fleet]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

pub(super) fn run(session: &Session, arguments: &StopArguments) -> Result<Exit, CliError> {
    let selection = Selection::new(session, &arguments.names)?;
    let fleet = load_fleet(session)?;
    change(session, &[fleet], &Goal::Stopped(selection))
}
