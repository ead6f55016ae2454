//! `fleet status`.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use tokio::runtime::Runtime;

use super::error::{CliError, Exit};
use super::files::{FileArguments, load_fleets};
use super::global::Session;
use super::installation::{Installation, runtime};
use super::privilege::require_root;
use super::selection::Selection;
use crate::model::Fleet;
use crate::observe::Reach;
use crate::plan::{drift, host_drift};
use crate::report::{self, Format, OneOrMany, StatusJson};

/// Show the containers of a fleet: what they do, what they use, how they differ from their file
#[derive(Debug, Args)]
pub(super) struct StatusArguments {
    #[command(flatten)]
    files: FileArguments,
}

pub(super) fn run(session: &Session, arguments: &StatusArguments) -> Result<Exit, CliError> {
    let selection = Selection::new(session, &[])?;
    let fleets = load_fleets(session, &arguments.files.files)?;
    require_root()?;
    let (runtime, installation) = (runtime()?, Installation::read_only(&session.layout)?);
    let mut documents = Vec::new();
    for fleet in &fleets {
        documents.push(look(&installation, &runtime, fleet)?);
    }
    selection.check(&documents.iter().flat_map(StatusJson::names).collect::<Vec<_>>())?;
    for document in &mut documents {
        document.keep(|name| selection.chooses(name));
    }
    if session.console.format == Format::Text {
        for document in &documents {
            let heading = if documents.len() > 1 { format!("{}:\n", document.fleet()) } else { String::new() };
            session.console.show(|palette| heading + &report::status(document, palette));
        }
    }
    session.console.json(&OneOrMany::new(documents));
    Ok(Exit::Done)
}

fn look(installation: &Installation, runtime: &Runtime, fleet: &Fleet) -> Result<StatusJson, CliError> {
    let host = installation.observe(runtime, fleet, Reach::Host)?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Ok(StatusJson::new(fleet, &host, &drift(fleet, &host), now_s).with_host_drift(host_drift(fleet, &host)))
}
