//! The plan in the making: steps, what each waits for, and the order they end up in.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use crate::model::{Action, Conflict, Consequence, Fleet, Plan, Step, StepId};

/// A step of a [`Draft`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(usize);

/// A plan in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    steps: Vec<Step>,
    /// For each step, those it waits for.
    after: Vec<BTreeSet<Place>>,
    conflicts: Vec<Conflict>,
    notes: Vec<String>,
}

impl Draft {
    /// Adds a step that waits for nothing yet.
    pub(super) fn add(&mut self, action: Action, reason: impl Into<String>, consequence: Consequence) -> Place {
        let step = Step { id: id_of(&action), action, reason: reason.into(), consequence, after: Vec::new() };
        self.steps.push(step);
        self.after.push(BTreeSet::new());
        Place(self.steps.len() - 1)
    }

    /// Makes `step` wait for each of `others`.
    pub(super) fn wait(&mut self, step: Place, others: impl IntoIterator<Item = Place>) {
        self.after[step.0].extend(others);
    }

    /// Notes what stands in the way, once.
    pub(super) fn refuse(&mut self, conflict: Conflict) {
        if !self.conflicts.contains(&conflict) {
            self.conflicts.push(conflict);
        }
    }

    /// Notes what the user should know.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// The places of the steps whose action passes `test`.
    pub(super) fn places(&self, test: impl Fn(&Action) -> bool) -> Vec<Place> {
        (0..self.steps.len()).filter(|place| test(&self.steps[*place].action)).map(Place).collect()
    }

    /// The plan, its steps as they were added but each behind those it waits for.
    pub(super) fn finish(self, fleet: &Fleet) -> Plan {
        let order = self.order();
        let ids: Vec<StepId> = self.steps.iter().map(|step| step.id.clone()).collect();
        let mut steps: Vec<Option<Step>> = self.steps.into_iter().map(Some).collect();
        let mut take = |place: usize| {
            let mut step = steps[place].take().expect("an order has each place once");
            step.after = self.after[place].iter().map(|other| ids[other.0].clone()).collect();
            step
        };
        let steps = order.into_iter().map(&mut take).collect();
        Plan { fleet: fleet.name.clone(), steps, conflicts: self.conflicts, notes: self.notes }
    }

    /// Kahn's algorithm; of the steps that wait for nothing more, the one added first comes first.
    fn order(&self) -> Vec<usize> {
        let mut waiting_for: Vec<usize> = self.after.iter().map(BTreeSet::len).collect();
        let mut dependants: Vec<Vec<usize>> = vec![Vec::new(); self.steps.len()];
        for (place, others) in self.after.iter().enumerate() {
            for other in others {
                dependants[other.0].push(place);
            }
        }
        let mut ready: BinaryHeap<_> =
            (0..self.steps.len()).filter(|place| waiting_for[*place] == 0).map(Reverse).collect();
        let mut order = Vec::with_capacity(self.steps.len());
        while let Some(Reverse(place)) = ready.pop() {
            order.push(place);
            for dependant in &dependants[place] {
                waiting_for[*dependant] -= 1;
                if waiting_for[*dependant] == 0 {
                    ready.push(Reverse(*dependant));
                }
            }
        }
        debug_assert_eq!(order.len(), self.steps.len(), "steps wait for each other");
        order
    }
}

fn id_of(action: &Action) -> StepId {
    let verb = action.verb();
    if let Action::FetchImage { digest, .. } = action {
        // Two sources may have one content, and it is the content that is fetched once.
        return StepId(format!("{verb}:{}", digest.short()));
    }
    StepId(format!("{verb}:{}", action.target()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(name: &str) -> Action {
        Action::Start(name.parse().expect("a name"))
    }

    #[test]
    fn a_step_moves_back_only_behind_what_it_waits_for() {
        let mut draft = Draft::default();
        let a = draft.add(start("a"), "", Consequence::None);
        draft.add(start("b"), "", Consequence::None);
        let c = draft.add(start("c"), "", Consequence::None);
        draft.add(start("d"), "", Consequence::None);
        draft.wait(a, [c]);
        assert_eq!(draft.order(), [1, 2, 0, 3]);
    }
}
