//! `fleet plan`.

use clap::Args;

use super::change::{refuse_conflicts, show};
use super::error::{CliError, Exit};
use super::files::{FileArguments, load_fleets};
use super::global::Session;
use super::goal::Goal;
use super::installation::{Installation, runtime};
use super::privilege::require_root;
use crate::report::{Format, OneOrMany, PlanJson};

/// Show what `apply` would do, and do nothing
///
/// Exits with 2 when there is something to do.
#[derive(Debug, Args)]
pub(super) struct PlanArguments {
    #[command(flatten)]
    files: FileArguments,
}

pub(super) fn run(session: &Session, arguments: &PlanArguments) -> Result<Exit, CliError> {
    session.refuse_only("plan")?;
    let fleets = load_fleets(session, &arguments.files.files)?;
    require_root()?;
    let (runtime, installation) = (runtime()?, Installation::read_only(&session.layout)?);
    let mut plans = Vec::new();
    for fleet in &fleets {
        let host = installation.observe(&runtime, fleet, Goal::Applied { locked: false }.reach())?;
        plans.push(Goal::Applied { locked: false }.plan(fleet, &host)?);
    }
    if plans.iter().any(|plan| !plan.conflicts.is_empty()) {
        return Ok(refuse_conflicts(session.console, &plans));
    }
    session.console.json(&OneOrMany::new(plans.iter().map(PlanJson::new).collect()));
    // The plan is the data here: a second copy for people would be noise.
    if session.console.format == Format::Text {
        show(session.console, &fleets, &plans, &Goal::Applied { locked: false }, &[]);
    }
    Ok(if plans.iter().all(|plan| plan.steps.is_empty()) { Exit::Done } else { Exit::Changes })
}
