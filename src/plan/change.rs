//! Turns judgements into steps.

use std::collections::BTreeMap;

use super::compare::{Difference, Remedy};
use super::container::{Activity, Verdict};
use super::handover::Handover;
use super::ids::Pool;
use super::network::Ground;
use super::steps::{Draft, Place};
use super::{Scene, conflict, image, surplus};
use crate::model::{Action, Consequence, ContainerName, ContainerRecord, ContainerSpec, IdRange, ImageDigest};

/// The steps of all containers, in the making.
pub(super) struct Changes<'a> {
    scene: &'a Scene<'a>,
    draft: Draft,
    /// The steps that make or mend the networks.
    ground: &'a Ground,
    /// The steps that fetch images.
    fetches: BTreeMap<ImageDigest, Place>,
    pool: Pool,
    handover: Handover,
}

impl<'a> Changes<'a> {
    pub(super) fn new(
        scene: &'a Scene<'a>,
        draft: Draft,
        ground: &'a Ground,
        fetches: BTreeMap<ImageDigest, Place>,
    ) -> Changes<'a> {
        Changes { scene, draft, ground, fetches, pool: Pool::new(scene.host), handover: Handover::default() }
    }

    /// Adds what `verdict` means for the container that `spec` asks for.
    pub(super) fn make(&mut self, spec: &ContainerSpec, verdict: Verdict) {
        match verdict {
            Verdict::Refused(conflict) => self.draft.refuse(conflict),
            Verdict::Absent => self.create_new(spec),
            // Nothing of value is lost: a container is incomplete before its first start or while it is deleted.
            Verdict::Incomplete { record, why } => self.replace(spec, record, Some(0), why, &Consequence::None),
            Verdict::Whole { record, activity, differences } => {
                let rebuild = words(&differences, |remedy| remedy == Remedy::Rebuild);
                if rebuild.is_empty() {
                    self.change(spec, record, activity, &differences);
                    return;
                }
                let others = words(&differences, |remedy| match remedy {
                    Remedy::ConfigureAndRestart
                    | Remedy::Configure
                    | Remedy::SetLimits
                    | Remedy::SetLinks
                    | Remedy::SetLinksAndConfigure
                    | Remedy::SetMounts => true,
                    Remedy::Rebuild | Remedy::Restart | Remedy::Start | Remedy::Adopt => false,
                });
                let reason = [rebuild, others].concat().join(", ");
                let timeout_s = activity.must_be_stopped().then_some(record.spec.stop_timeout_s);
                self.replace(spec, record, timeout_s, &reason, &Consequence::Rebuild);
            }
        }
    }

    /// Adds the deletions, and the waits between containers.
    pub(super) fn finish(mut self) -> Draft {
        surplus::delete(self.scene, &mut self.draft, &mut self.handover);
        self.handover.settle(self.scene, &mut self.draft);
        self.draft
    }

    /// The image that a new root file system of `spec` stands on. Without one it is a conflict already, and one in which
    /// nothing could be started becomes a conflict, before a container is made or replaced.
    fn image_of(&mut self, spec: &ContainerSpec) -> Option<&'a ImageDigest> {
        let image = image::digest_of(self.scene.host, &spec.image)?;
        if let Some(startable) = self.scene.host.startable.get(image)
            && let Some((lack, fix)) = startable.lacks(&spec.init)
        {
            self.draft.refuse(conflict::nothing_to_start(&spec.name, lack, fix));
            return None;
        }
        Some(image)
    }

    fn create_new(&mut self, spec: &ContainerSpec) {
        let Some(image) = self.image_of(spec) else { return };
        match self.pool.take(&self.scene.fleet.scope, &self.scene.fleet.name, &spec.name) {
            Some(ids) => {
                // What weakens its isolation is part of the file, and still nobody should miss it.
                let reason = std::iter::once("it does not exist".to_owned()).chain(spec.opt_ins());
                let reason = reason.collect::<Vec<_>>().join(", ");
                let create = self.create(spec, image, ids, &reason, Consequence::None);
                let start = self.start(spec, "it is new", Consequence::None);
                self.draft.wait(start, [create]);
            }
            None => self.draft.refuse(conflict::no_ids(&spec.name)),
        }
    }

    /// Deletes the container and makes it anew, with the same ids. Nothing is stopped before the new image is there.
    fn replace(
        &mut self,
        spec: &ContainerSpec,
        record: &ContainerRecord,
        timeout_s: Option<u32>,
        reason: &str,
        consequence: &Consequence,
    ) {
        let Some(image) = self.image_of(spec) else { return };
        let stop = timeout_s.map(|timeout_s| self.stop(&spec.name, record, timeout_s, reason, consequence.clone()));
        let delete = self.draft.add(Action::Delete(spec.name.clone()), reason, consequence.clone());
        let create = self.create(spec, image, record.ids, reason, consequence.clone());
        let start = self.start(spec, reason, consequence.clone());
        self.draft.wait(stop.unwrap_or(delete), self.fetches.get(image).copied());
        self.draft.wait(delete, stop);
        self.draft.wait(create, [delete]);
        self.draft.wait(start, [create]);
    }

    /// Changes the container in place: stop, configure, set limits and mounts, start or adopt, each if it must be.
    ///
    /// What needs a restart is written while the container is down: were it written before the stop, a kill between
    /// the two would leave a record that says what is not in force. Limits come after the files, because both steps
    /// record all that is asked for, and a limit that was not set is seen on the host while a file is not. So do mounts.
    /// Links come first: as long as they are not changed, the record has to say what they were.
    fn change(
        &mut self,
        spec: &ContainerSpec,
        record: &ContainerRecord,
        activity: Activity<'_>,
        differences: &[Difference],
    ) {
        let of = |wanted: &[Remedy]| words(differences, |remedy| wanted.contains(&remedy));
        let is_running = matches!(activity, Activity::Running(_));
        let configure = of(&[Remedy::Configure, Remedy::ConfigureAndRestart, Remedy::SetLinksAndConfigure]);
        let links = if is_running { of(&[Remedy::SetLinks, Remedy::SetLinksAndConfigure]) } else { Vec::new() };
        let limits = of(&[Remedy::SetLimits]);
        let mounts = of(&[Remedy::SetMounts]);
        let restarts = match activity {
            Activity::Stopped => false,
            Activity::Running(_) => differences.iter().any(|difference| difference.remedy.restarts()),
            // Files written while it is being started would be seen by half of it.
            Activity::Restarting => !configure.is_empty(),
        };
        let consequence = match (restarts, activity) {
            (true, _) => Consequence::Restart,
            (false, Activity::Running(_)) => Consequence::Live,
            (false, Activity::Stopped | Activity::Restarting) => Consequence::None,
        };
        // All that happens to a container while it is down has one reason: the sum.
        let all = words(differences, |_| true).join(", ");
        let reason = |own: &[String]| if restarts { all.clone() } else { own.join(", ") };
        let next = || Box::new(self.record(spec, record.image.clone(), record.ids));
        // A start makes them as they are recorded.
        let links = (!links.is_empty() && !restarts).then(|| (Action::SetLinks(next()), reason(&links)));
        let configure = (!configure.is_empty()).then(|| (Action::Configure(next()), reason(&configure)));
        let limits = (!limits.is_empty()).then(|| (Action::SetLimits(next()), reason(&limits)));
        let mounts = (!mounts.is_empty()).then(|| (Action::SetMounts(next()), reason(&mounts)));

        // Nothing is stopped before the image that it stands on is there again, should the store have lost it.
        let fetch = self.fetches.get(&record.image).copied().filter(|_| restarts || !is_running);
        let mut last = fetch;
        if restarts {
            let stop = self.stop(&spec.name, record, record.spec.stop_timeout_s, &all, Consequence::Restart);
            self.draft.wait(stop, last);
            last = Some(stop);
        }
        for (action, reason) in [links, configure, limits, mounts].into_iter().flatten() {
            let sets_links = matches!(action, Action::SetLinks(_));
            let step = self.draft.add(action, reason, consequence.clone());
            self.draft.wait(step, last);
            if sets_links {
                self.draft.wait(step, self.ground.needed_by(spec));
                self.handover.changes(&record.spec, spec, step);
            }
            last = Some(step);
        }
        let (start, adopt) = (of(&[Remedy::Start]), of(&[Remedy::Adopt]));
        if restarts || !start.is_empty() {
            let reason = if restarts { all } else { start.join(", ") };
            let start = self.start(spec, &reason, consequence);
            self.draft.wait(start, last);
        } else if !adopt.is_empty() {
            let adopt = self.draft.add(Action::Adopt(spec.name.clone()), adopt.join(", "), consequence);
            self.draft.wait(adopt, last);
        }
    }

    fn create(
        &mut self,
        spec: &ContainerSpec,
        image: &ImageDigest,
        ids: IdRange,
        reason: &str,
        consequence: Consequence,
    ) -> Place {
        let record = Box::new(self.record(spec, image.clone(), ids));
        let create = self.draft.add(Action::Create(record), reason, consequence);
        self.draft.wait(create, self.fetches.get(image).copied());
        create
    }

    fn start(&mut self, spec: &ContainerSpec, reason: &str, consequence: Consequence) -> Place {
        let start = self.draft.add(Action::Start(spec.name.clone()), reason, consequence);
        self.draft.wait(start, self.ground.needed_by(spec));
        self.handover.starts(spec, start);
        start
    }

    fn stop(
        &mut self,
        name: &ContainerName,
        record: &ContainerRecord,
        timeout_s: u32,
        reason: &str,
        consequence: Consequence,
    ) -> Place {
        let action = Action::Stop { name: name.clone(), timeout_s };
        let stop = self.draft.add(action, reason, consequence);
        self.handover.stops(name, &record.spec, stop);
        stop
    }

    fn record(&self, spec: &ContainerSpec, image: ImageDigest, ids: IdRange) -> ContainerRecord {
        let Scene { fleet, .. } = self.scene;
        let (fleet, engine) = (fleet.name.clone(), fleet.engine);
        ContainerRecord { fleet, engine, spec: spec.clone(), image, ids, hosts: self.scene.hosts_of(spec) }
    }
}

/// The words of the differences whose remedy passes `test`.
fn words(differences: &[Difference], test: impl Fn(Remedy) -> bool) -> Vec<String> {
    differences.iter().filter(|difference| test(difference.remedy)).map(|difference| difference.words.clone()).collect()
}
