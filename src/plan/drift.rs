//! How the containers on the host differ from the fleet file, for whoever only wants to look.

use std::collections::BTreeMap;

use super::container::{Verdict, judge};
use super::{Scene, surplus};
use crate::model::{ContainerName, Fleet, Host};

/// The differences of each container of `fleet` that exists, in the words that [`super::plan`] gives as reasons.
/// Containers without any are left out, and so are those that belong to somebody else.
#[must_use]
pub fn drift(fleet: &Fleet, host: &Host) -> BTreeMap<ContainerName, Vec<String>> {
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
