//! Which step of a plan may begin now.

use std::collections::{BTreeSet, HashMap};

use crate::model::{Action, Step};

/// Unpacking fills the disk's queue and reading xz all processors: a third one at a time makes all of them slower.
const FETCHES_AT_ONCE: usize = 2;

/// The steps of a plan, by their place in it, and how far they have come.
pub(super) struct Schedule {
    steps: Vec<Waiting>,
    /// Steps that have not begun and wait for nothing, in the order of the plan.
    ready: BTreeSet<usize>,
    fetching: usize,
}

struct Waiting {
    fetches: bool,
    /// How many steps it still waits for.
    waits_for: usize,
    dependants: Vec<usize>,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pending,
    Begun,
    Skipped,
}

impl Schedule {
    pub(super) fn new(steps: &[Step]) -> Schedule {
        let places: HashMap<_, _> = steps.iter().enumerate().map(|(place, step)| (&step.id, place)).collect();
        let mut waiting: Vec<Waiting> = steps
            .iter()
            .map(|step| Waiting {
                fetches: matches!(step.action, Action::FetchImage { .. }),
                waits_for: step.after.len(),
                dependants: Vec::new(),
                fate: Fate::Pending,
            })
            .collect();
        for (place, step) in steps.iter().enumerate() {
            for other in step.after.iter().filter_map(|id| places.get(id)) {
                waiting[*other].dependants.push(place);
            }
        }
        let ready = (0..waiting.len()).filter(|place| waiting[*place].waits_for == 0).collect();
        Schedule { steps: waiting, ready, fetching: 0 }
    }

    /// The step that may begin; it counts as begun.
    pub(super) fn next(&mut self) -> Option<usize> {
        let may_fetch = self.fetching < FETCHES_AT_ONCE;
        let place = self.ready.iter().copied().find(|place| may_fetch || !self.steps[*place].fetches)?;
        self.ready.remove(&place);
        self.steps[place].fate = Fate::Begun;
        self.fetching += usize::from(self.steps[place].fetches);
        Some(place)
    }

    /// How many steps that have begun and not ended fetch an image.
    pub(super) fn fetching(&self) -> usize {
        self.fetching
    }

    /// A step that had begun was done.
    pub(super) fn done(&mut self, place: usize) {
        self.ended(place);
        for dependant in self.steps[place].dependants.clone() {
            let step = &mut self.steps[dependant];
            step.waits_for -= 1;
            if step.waits_for == 0 && step.fate == Fate::Pending {
                self.ready.insert(dependant);
            }
        }
    }

    /// A step that had begun failed; returns those that will not begin for it, in the order of the plan.
    pub(super) fn failed(&mut self, place: usize) -> Vec<usize> {
        self.ended(place);
        let mut skipped = BTreeSet::new();
        let mut doomed = self.steps[place].dependants.clone();
        while let Some(place) = doomed.pop() {
            if self.steps[place].fate == Fate::Pending {
                self.steps[place].fate = Fate::Skipped;
                skipped.insert(place);
                doomed.extend(&self.steps[place].dependants);
            }
        }
        skipped.into_iter().collect()
    }

    /// No further step will begin; returns those that would have, in the order of the plan.
    pub(super) fn give_up(&mut self) -> Vec<usize> {
        self.ready.clear();
        let pending: Vec<usize> =
            (0..self.steps.len()).filter(|place| self.steps[*place].fate == Fate::Pending).collect();
        for place in &pending {
            self.steps[*place].fate = Fate::Skipped;
        }
        pending
    }

    fn ended(&mut self, place: usize) {
        self.fetching -= usize::from(self.steps[place].fetches);
    }
}
