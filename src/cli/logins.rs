//! How the containers of fleets are reached, as far as they are on the host.

use super::error::CliError;
use super::files::{FileArguments, load_fleets};
use super::global::Session;
use super::installation::{Installation, engine_failed};
use super::privilege::require_root;
use super::selection::Selection;
use crate::model::{ContainerState, Fleet, Login, Ownership, RunState, UnquotablePath};
use crate::report::{FleetLogins, LoginState, StateWord};

/// The chosen containers of the fleets of `files`, each with the login to it if it is there. Those that no login leads
/// to are told of.
pub(super) fn look(session: &Session, files: &FileArguments) -> Result<Vec<FleetLogins>, CliError> {
    let selection = Selection::new(session, &[])?;
    let fleets = load_fleets(session, &files.files)?;
    require_root()?;
    let installation = Installation::read_only(&session.layout)?;
    let all: Vec<&str> = fleets.iter().flat_map(|fleet| &fleet.containers).map(|spec| spec.name.as_str()).collect();
    selection.check(&all)?;
    let mut looked = Vec::new();
    for fleet in fleets {
        let states = installation.engine(fleet.engine).inspect().map_err(|error| engine_failed(&error))?;
        let chosen = fleet.containers.iter().filter(|spec| selection.chooses(spec.name.as_str()));
        let containers = chosen
            .map(|spec| {
                let state = states.iter().find(|state| state.name == spec.name);
                let login = state.and_then(|state| login(session, &fleet, state));
                LoginState { name: spec.name.clone(), state: StateWord::of(&fleet.name, state), login }
            })
            .collect();
        looked.push(FleetLogins { fleet: fleet.name.clone(), containers, profiles: fleet.profiles });
    }
    for one in looked.iter().flat_map(|fleet| &fleet.containers).filter(|one| one.state != StateWord::Running) {
        let left_out = if one.login.is_none() { ", and left out" } else { "" };
        session.console.note(&format!("{} is {}{left_out}", one.name, one.state.as_str()));
    }
    Ok(looked)
}

/// The login to a container that is there, as its record says, not as its file does: that may have been changed since.
fn login(session: &Session, fleet: &Fleet, state: &ContainerState) -> Option<Login> {
    match (&state.ownership, &state.run) {
        (Ownership::Foreign, _) | (Ownership::Ours(_), RunState::Incomplete(_)) => None,
        (Ownership::Ours(record), RunState::Running(_) | RunState::Restarting(_) | RunState::Stopped) => {
            let known_hosts = session.layout.known_hosts(&fleet.name);
            (record.fleet == fleet.name).then(|| Login::new(record, None, known_hosts, &fleet.private_keys)).flatten()
        }
    }
}

/// What becomes of a path that ssh cannot be told.
pub(super) fn unquotable(error: &UnquotablePath) -> CliError {
    CliError::because(error, Some("give the file a plainer path".to_owned()))
}
