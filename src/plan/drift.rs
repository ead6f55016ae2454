//! How the containers on the host, and what they share there, differ from the fleet file, for whoever only wants to look.

use std::collections::BTreeMap;

use super::container::{Found, Verdict, find, judge};
use super::spread::spread;
use super::steps::Draft;
use super::{Scene, neighbours, network, rules, surplus};
use crate::model::{ContainerName, Fleet, Host};

/// The differences of each container of `fleet` that exists, in the words that [`super::plan`] gives as reasons.
/// Containers without any are left out, and so are those that belong to somebody else.
#[must_use]
pub fn drift(fleet: &Fleet, host: &Host) -> BTreeMap<ContainerName, Vec<String>> {
    let fleet = &*spread(fleet, host);
    let scene = Scene::new(fleet, host);
    let mut drift = BTreeMap::new();
    for spec in &fleet.containers {
        let words = match judge(&scene, spec) {
            Verdict::Absent | Verdict::Refused(_) => Vec::new(),
            Verdict::Incomplete { why, .. } => vec![why.to_owned()],
            Verdict::Whole { differences, .. } => differences.into_iter().map(|difference| difference.words).collect(),
        };
        if !words.is_empty() {
            drift.insert(spec.name.clone(), words);
        }
    }
    drift.extend(surplus::surplus(&scene).map(|(name, ..)| (name.clone(), vec!["not in the fleet file".to_owned()])));
    drift
}

/// The differences of what the containers of `fleet` share on the host: bridges, packet rules, what the host passes on.
/// Where none of them exists there is nothing to be different.
#[must_use]
pub fn host_drift(fleet: &Fleet, host: &Host) -> Vec<String> {
    let fleet = &*spread(fleet, host);
    let scene = Scene::new(fleet, host);
    if !fleet.containers.iter().any(|spec| matches!(find(&scene, &spec.name), Found::Ours(..))) {
        return Vec::new();
    }
    let mut draft = Draft::default();
    let mut ground = network::ensure(&scene, &mut draft);
    rules::ensure(&scene, &mut ground, &mut draft);
    neighbours::ensure(&scene, &mut ground, &mut draft);
    rules::delete(&scene, &mut draft);
    neighbours::restore(&scene, &mut draft);
    network::delete(&scene, &ground, &mut draft);
    let plan = draft.finish(fleet);
    let steps = plan.steps.iter().map(|step| format!("{}: {}", step.action.target(), step.reason));
    steps.chain(plan.conflicts.into_iter().map(|conflict| conflict.message)).collect()
}
