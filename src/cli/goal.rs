//! What a verb that changes the host is after.

use super::error::CliError;
use super::selection::Selection;
use crate::model::{ContainerName, Fleet, Host, Ownership, Plan};
use crate::observe::Reach;
use crate::plan::{self, Power};

/// What a verb is after.
#[derive(Debug)]
pub(super) enum Goal {
    /// The host is as the fleet file says.
    Applied {
        /// Whether only what is pinned may be used, and no pin be written.
        locked: bool,
    },
    /// Nothing of the fleet is on the host, or nothing but its volumes.
    Destroyed {
        /// Whether these stay.
        keeps_volumes: bool,
    },
    /// The chosen containers run.
    Started(Selection),
    /// The chosen containers do not run.
    Stopped(Selection),
}

impl Goal {
    /// The verb on the command line.
    pub(super) fn verb(&self) -> &'static str {
        match self {
            Goal::Applied { .. } => "apply",
            Goal::Destroyed { .. } => "destroy",
            Goal::Started(_) => "start",
            Goal::Stopped(_) => "stop",
        }
    }

    /// How the closing line begins.
    pub(super) fn done_word(&self) -> &'static str {
        match self {
            Goal::Applied { .. } => "Applied",
            Goal::Destroyed { .. } => "Destroyed",
            Goal::Started(_) => "Started",
            Goal::Stopped(_) => "Stopped",
        }
    }

    /// Whether containers may be started on the way.
    pub(super) fn starts_containers(&self) -> bool {
        match self {
            Goal::Applied { .. } | Goal::Started(_) => true,
            Goal::Destroyed { .. } | Goal::Stopped(_) => false,
        }
    }

    /// How far it must be looked to plan it: only what makes containers needs images.
    pub(super) fn reach(&self) -> Reach {
        match self {
            Goal::Applied { .. } => Reach::Servers,
            Goal::Destroyed { .. } | Goal::Started(_) | Goal::Stopped(_) => Reach::Host,
        }
    }

    /// The plan from `host` to the goal.
    pub(super) fn plan(&self, fleet: &Fleet, host: &Host) -> Result<Plan, CliError> {
        let power = |selection: &Selection, to| {
            let members = members(fleet, host);
            let names: Vec<ContainerName> = selection.of(&members)?.into_iter().cloned().collect();
            Ok(plan::power(fleet, host, &names, to))
        };
        match self {
            Goal::Applied { .. } => Ok(plan::plan(fleet, host)),
            Goal::Destroyed { .. } => Ok(plan::plan(&self.target(fleet), host)),
            Goal::Started(selection) => power(selection, Power::Start),
            Goal::Stopped(selection) => power(selection, Power::Stop),
        }
    }

    /// What the verb leaves of `fleet` on the host.
    pub(super) fn target(&self, fleet: &Fleet) -> Fleet {
        match self {
            Goal::Destroyed { keeps_volumes } => Fleet { keeps_volumes: *keeps_volumes, ..fleet.emptied() },
            Goal::Applied { .. } | Goal::Started(_) | Goal::Stopped(_) => fleet.clone(),
        }
    }

    /// Whether the user must agree to `plan` first.
    pub(super) fn needs_a_yes(&self, plan: &Plan) -> bool {
        match self {
            Goal::Destroyed { .. } => !plan.steps.is_empty(),
            Goal::Applied { .. } | Goal::Started(_) | Goal::Stopped(_) => {
                plan.steps.iter().any(|step| step.consequence.loses_data())
            }
        }
    }

    /// What is said when there is nothing to do.
    pub(super) fn nothing_to_do(&self, fleet: &Fleet) -> String {
        let name = &fleet.name;
        let count = fleet.containers.len();
        let noun = if count == 1 { "container" } else { "containers" };
        match self {
            Goal::Applied { .. } => format!("Nothing to do: {name} is as its file says ({count} {noun})."),
            Goal::Destroyed { keeps_volumes: false } => format!("Nothing to do: nothing of {name} is on this host."),
            Goal::Destroyed { keeps_volumes: true } => {
                format!("Nothing to do: no container of {name} is on this host.")
            }
            Goal::Started(_) => format!("Nothing to do: what was asked for of {name} runs."),
            Goal::Stopped(_) => format!("Nothing to do: nothing of what was asked for of {name} runs."),
        }
    }
}

/// The containers of the file, then those that the host has of the fleet beyond it.
fn members<'a>(fleet: &'a Fleet, host: &'a Host) -> Vec<&'a ContainerName> {
    let mut names: Vec<&ContainerName> = fleet.containers.iter().map(|spec| &spec.name).collect();
    let beyond = host.containers.values().filter(|state| match &state.ownership {
        Ownership::Ours(record) => record.fleet == fleet.name,
        Ownership::Foreign => false,
    });
    names.extend(
        beyond.map(|state| &state.name).filter(|name| !fleet.containers.iter().any(|spec| spec.name == **name)),
    );
    names
}
