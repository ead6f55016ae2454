//! Judges one container: what is there under its name, and what is wrong with it.

use super::compare::{self, Difference, Remedy};
use super::{Scene, conflict, image};
use crate::model::{
    Conflict, ContainerName, ContainerRecord, ContainerSpec, GuestNetwork, Limits, MountState, Ownership, RunState,
    Running,
};

/// What is on the host under the name of a container of the fleet.
pub(super) enum Found<'a> {
    Nothing,
    Ours(&'a ContainerRecord, &'a RunState),
    /// Somebody else's; never touched.
    Refused(Conflict),
}

/// What is to be made of a container of the fleet.
pub(super) enum Verdict<'a> {
    /// It is not there.
    Absent,
    /// It was never finished, or is half deleted. What a guest wrote into it is not there yet or no more.
    Incomplete { record: &'a ContainerRecord, why: &'a str },
    /// It is whole; as it should be if nothing differs.
    Whole { record: &'a ContainerRecord, activity: Activity<'a>, differences: Vec<Difference> },
    /// Its name belongs to somebody else.
    Refused(Conflict),
}

/// What a whole container does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Activity<'a> {
    /// It is stopped, and stays so.
    Stopped,
    /// It runs.
    Running(&'a Running),
    /// Its monitor may start it at any moment, as it is recorded by then.
    Restarting,
}

impl Activity<'_> {
    /// Whether it must be stopped before it can be changed at leisure.
    pub(super) fn must_be_stopped(self) -> bool {
        match self {
            Activity::Stopped => false,
            Activity::Running(_) | Activity::Restarting => true,
        }
    }

    /// The limits in force, if there are any.
    pub(super) fn limits(&self) -> Option<&Limits> {
        match self {
            Activity::Running(running) => Some(&running.limits),
            Activity::Stopped | Activity::Restarting => None,
        }
    }

    /// Its network namespace, if it runs and has one of its own.
    pub(super) fn network(&self) -> Option<&GuestNetwork> {
        match self {
            Activity::Running(running) => running.network.as_ref(),
            Activity::Stopped | Activity::Restarting => None,
        }
    }

    /// Its own mounts that are in place, if it runs.
    pub(super) fn mounts(&self) -> Option<&[MountState]> {
        match self {
            Activity::Running(running) => Some(&running.mounts),
            Activity::Stopped | Activity::Restarting => None,
        }
    }
}

impl Verdict<'_> {
    /// Whether the image of `spec`, which it is the verdict on, must be in the store: its root file system is to be made, or
    /// that stands on this image and is to be opened. One that runs has it open, whatever became of the store.
    pub(super) fn needs_image(&self, scene: &Scene, spec: &ContainerSpec) -> bool {
        match self {
            Verdict::Absent | Verdict::Incomplete { .. } => true,
            Verdict::Whole { record, activity, differences } => {
                let has = |remedy: &dyn Fn(Remedy) -> bool| differences.iter().any(|one| remedy(one.remedy));
                let is_opened = match activity {
                    Activity::Stopped | Activity::Restarting => true,
                    Activity::Running(_) => has(&Remedy::restarts),
                };
                let stands_on_it = || image::digest_of(scene.host, &spec.image) == Some(&record.image);
                has(&|remedy| remedy == Remedy::Rebuild) || is_opened && stands_on_it()
            }
            Verdict::Refused(_) => false,
        }
    }
}

/// Looks up `name` on the host.
pub(super) fn find<'a>(scene: &Scene<'a>, name: &ContainerName) -> Found<'a> {
    let Some(container) = scene.host.containers.get(name) else { return Found::Nothing };
    match &container.ownership {
        Ownership::Foreign => Found::Refused(conflict::foreign_container(name)),
        Ownership::Ours(record) if record.fleet != scene.fleet.name => {
            Found::Refused(conflict::container_of_other_fleet(name, &record.fleet))
        }
        Ownership::Ours(record) => Found::Ours(record, &container.run),
    }
}

/// Judges the container that `spec` asks for.
pub(super) fn judge<'a>(scene: &Scene<'a>, spec: &ContainerSpec) -> Verdict<'a> {
    let (record, activity) = match find(scene, &spec.name) {
        Found::Nothing => return Verdict::Absent,
        Found::Refused(conflict) => return Verdict::Refused(conflict),
        Found::Ours(record, RunState::Incomplete(why)) => return Verdict::Incomplete { record, why },
        Found::Ours(record, RunState::Stopped) => (record, Activity::Stopped),
        Found::Ours(record, RunState::Running(running)) => (record, Activity::Running(running)),
        Found::Ours(record, RunState::Restarting(_)) => (record, Activity::Restarting),
    };
    Verdict::Whole { record, activity, differences: compare::differences(scene, spec, record, activity) }
}
