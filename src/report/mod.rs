//! Plans, events, states and findings, drawn for people or written as JSON.
//!
//! Start at `Console`, which knows what goes to which stream; every other file turns one noun into text. This room
//! computes nothing: what it shows was decided elsewhere.

mod change;
mod console;
#[cfg(test)]
mod example;
mod failure;
mod finding;
#[cfg(test)]
mod fuzz;
mod guest_text;
mod inventory;
mod logins;
mod names;
mod outcome;
mod palette;
mod plain;
mod plan;
mod plan_json;
mod progress;
mod status;
mod status_json;
mod table;
mod transfers;

pub(crate) use console::{Console, Format, Verbosity};
pub(crate) use failure::{failure, failure_json};
pub(crate) use finding::{findings, findings_json};
pub(crate) use guest_text::{GuestText, Sink};
pub(crate) use inventory::Inventory;
pub(crate) use logins::{FleetLogins, LoginState, LoginsJson, ssh_config};
pub(crate) use outcome::{FleetOutcome, closing_line, not_converged};
pub(crate) use palette::Palette;
pub(crate) use plan::{Folding, conflicts, plan};
pub(crate) use plan_json::PlanJson;
pub(crate) use progress::Progress;
pub(crate) use status::status;
pub(crate) use status_json::{StateWord, StatusJson};
pub(crate) use table::table;
pub(crate) use transfers::{TransferReport, Transfers};

use serde::Serialize;

/// One JSON document for the results of a command: the value alone for one fleet, an array for several.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany<T> {
    /// Of one fleet.
    One(T),
    /// Of several.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The document for `values`.
    pub(crate) fn new(mut values: Vec<T>) -> OneOrMany<T> {
        match values.pop() {
            Some(only) if values.is_empty() => OneOrMany::One(only),
            last => {
                values.extend(last);
                OneOrMany::Many(values)
            }
        }
    }
}
