//! Starting and stopping containers as they are.

use std::collections::BTreeSet;

use super::container::{Found, find};
use super::spread::spread;
use super::steps::Draft;
use super::{Scene, conflict, network, rules};
use crate::model::{Action, Consequence, ContainerName, ContainerRecord, Fleet, Host, Plan, RunState};

/// What [`power`] makes of containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// They run.
    Start,
    /// They do not.
    Stop,
}

/// A container of the fleet, its record, and what it does.
type Ours<'a> = (&'a ContainerName, &'a ContainerRecord, &'a RunState);

/// The plan that starts or stops the containers `names` of `fleet` and changes nothing else but the network, which
/// a start needs. That a stop takes a container down is what was asked for, so it has no consequence besides.
#[must_use]
pub fn power(fleet: &Fleet, host: &Host, names: &[ContainerName], to: Power) -> Plan {
    let fleet = &*spread(fleet, host);
    let scene = Scene::new(fleet, host);
    let mut draft = Draft::default();
    let mut ours = Vec::new();
    let mut seen = BTreeSet::new();
    for name in names.iter().filter(|name| seen.insert(*name)) {
        match find(&scene, name) {
            Found::Nothing => draft.refuse(conflict::absent_container(name)),
            Found::Refused(conflict) => draft.refuse(conflict),
            Found::Ours(record, run) => ours.push((name, record, run)),
        }
    }
    match to {
        Power::Start => start(&scene, &ours, &mut draft),
        Power::Stop => stop(&ours, &mut draft),
    }
    rules::check(&scene, &mut draft);
    network::check_parents(&scene, &mut draft);
    conflict::refuse_what_host_lacks(host, &mut draft);
    draft.finish(fleet)
}

fn start(scene: &Scene, ours: &[Ours], draft: &mut Draft) {
    const STOPPING: &str = "it was being stopped";
    let mut stopped = Vec::new();
    for (name, record, run) in ours {
        match run {
            RunState::Running(running) if running.is_stopping => {
                let stop = Action::Stop { name: (*name).clone(), timeout_s: record.spec.stop_timeout_s };
                stopped.push((*name, *record, STOPPING, Some(draft.add(stop, STOPPING, Consequence::None))));
            }
            RunState::Running(_) | RunState::Restarting(_) => {}
            RunState::Incomplete(why) => draft.refuse(conflict::incomplete_container(name, why)),
            RunState::Stopped => stopped.push((*name, *record, "it is stopped", None)),
        }
    }
    if stopped.is_empty() {
        return;
    }
    let mut ground = network::ensure(scene, draft);
    rules::ensure(scene, &mut ground, draft);
    for (name, record, reason, stop) in stopped {
        let start = draft.add(Action::Start(name.clone()), reason, Consequence::None);
        draft.wait(start, ground.needed_by(&record.spec));
        draft.wait(start, stop);
    }
}

fn stop(ours: &[Ours], draft: &mut Draft) {
    for (name, record, run) in ours {
        let (reason, timeout_s) = match run {
            RunState::Stopped => continue,
            RunState::Running(_) => ("it runs", record.spec.stop_timeout_s),
            RunState::Restarting(_) => ("it is being restarted", record.spec.stop_timeout_s),
            RunState::Incomplete(why) => (why.as_str(), 0),
        };
        draft.add(Action::Stop { name: (*name).clone(), timeout_s }, reason, Consequence::None);
    }
}
