//! `fleet start`.

use clap::Args;

use super::change::change;
use super::error::{CliError, Exit};
use super::files::load_fleet;
use super::global::Session;
use super::goal::Goal;
use super::selection::Selection;

/// Start containers that are stopped
#[derive(Debug, Args)]
pub(super) struct StartArguments {
    /// Containers, by name or pattern [default: the whole fleet]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

pub(super) fn run(session: &Session, arguments: &StartArguments) -> Result<Exit, CliError> {
    let selection = Selection::new(session, &arguments.names)?;
    let fleet = load_fleet(session)?;
    change(session, &[fleet], &Goal::Started(selection))
}
