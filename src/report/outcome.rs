//! What came of a plan: the closing line, and JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::failure::FailureJson;
use super::palette::{Palette, Tone};
use super::{Folding, plan};
use crate::model::{FleetName, Outcome, Plan, StepFailure};

/// The document of `fleet apply`, `destroy`, `start` and `stop`.
#[derive(Debug, Serialize)]
pub(crate) struct FleetOutcome {
    fleet: String,
    changes: usize,
    done: Vec<String>,
    failed: Vec<FailedJson>,
    skipped: Vec<String>,
    /// Steps that a second look at the host still asks for.
    remaining: Vec<String>,
    interrupted: bool,
    seconds: f64,
    /// What kept it from being done, or from being looked at afterwards.
    #[serde(flatten)]
    error: Option<FailureJson>,
}

#[derive(Debug, Serialize)]
struct FailedJson {
    id: String,
    error: Vec<String>,
    hint: Option<String>,
}

impl FleetOutcome {
    /// What came of `plan`; `left` is what a second look at the host still asks for.
    pub(crate) fn new(plan: &Plan, outcome: &Outcome, left: Option<&Plan>, took: Duration) -> FleetOutcome {
        let ids = |ids: &[crate::model::StepId]| ids.iter().map(ToString::to_string).collect();
        let failed = outcome.failed.iter().map(|(id, failure)| FailedJson {
            id: id.to_string(),
            error: failure.chain.clone(),
            hint: failure.hint.clone(),
        });
        let remaining = left.map(|left| left.steps.iter().map(|step| step.id.to_string()).collect());
        FleetOutcome {
            fleet: plan.fleet.to_string(),
            changes: plan.steps.len(),
            done: ids(&outcome.done),
            failed: failed.collect(),
            skipped: ids(&outcome.skipped),
            remaining: remaining.unwrap_or_default(),
            interrupted: outcome.interrupted,
            // To the microsecond: what is behind that is noise.
            seconds: (took.as_secs_f64() * 1e6).round() / 1e6,
            error: None,
        }
    }

    /// Of the fleet `name`, of which nothing was begun because of `failure`.
    pub(crate) fn not_begun(name: &FleetName, failure: StepFailure) -> FleetOutcome {
        let plan = Plan { fleet: name.clone(), steps: Vec::new(), conflicts: Vec::new(), notes: Vec::new() };
        FleetOutcome::new(&plan, &Outcome::default(), None, Duration::ZERO).but(failure)
    }

    /// The same, and then `failure` came.
    #[must_use]
    pub(crate) fn but(self, failure: StepFailure) -> FleetOutcome {
        FleetOutcome { error: Some(FailureJson::new(failure)), ..self }
    }
}

/// The line that closes a run: `done_word` is `Applied`, `Destroyed`, …
pub(crate) fn closing_line(done_word: &str, plan: &Plan, outcome: &Outcome, took: Duration) -> String {
    let (done, all) = (outcome.done.len(), plan.steps.len());
    let noun = if all == 1 { "step" } else { "steps" };
    let seconds = took.as_secs_f64();
    if done == all {
        return format!("{done_word} {}: {all} {noun} in {seconds:.1} s", plan.fleet);
    }
    let word = if outcome.interrupted { "interrupted" } else { "not done" };
    let mut line = format!("{} {word}: {done} of {all} {noun} in {seconds:.1} s", plan.fleet);
    for (count, word) in [(outcome.failed.len(), "failed"), (outcome.skipped.len(), "not begun")] {
        if count > 0 {
            let _ = write!(line, ", {count} {word}");
        }
    }
    line
}

/// What is said when every step succeeded and the host is still not as it should be.
pub(crate) fn not_converged(left: &Plan, palette: Palette) -> String {
    let headline = format!("{} every step succeeded, but {} has not converged", error(palette), left.fleet);
    let mut text = headline + ": this is left\n";
    text += &super::conflicts(&left.conflicts, palette);
    if !left.steps.is_empty() {
        text += &plan(left, Folding::Folded, palette);
    }
    text + "  " + &palette.paint(Tone::Strong, "hint:") + " see the container's console log, then apply again\n"
}

fn error(palette: Palette) -> String {
    palette.paint(Tone::Bad, "error:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Action, Consequence};
    use crate::report::example::{plan_of, step};

    fn two_starts() -> Plan {
        let start = |name: &str| step(Action::Start(name.parse().expect("a name")), "stopped", Consequence::None);
        plan_of(vec![start("a"), start("b")])
    }

    fn half_done(plan: &Plan) -> Outcome {
        let failure = StepFailure { chain: vec!["cannot start `b`".into(), "why".into()], hint: None };
        Outcome {
            done: vec![plan.steps[0].id.clone()],
            failed: vec![(plan.steps[1].id.clone(), failure)],
            skipped: Vec::new(),
            interrupted: false,
        }
    }

    #[test]
    fn the_closing_line_claims_only_what_was_done() {
        let plan = two_starts();
        let took = Duration::from_millis(812);
        let all = Outcome { done: plan.steps.iter().map(|step| step.id.clone()).collect(), ..Outcome::default() };
        assert_eq!(closing_line("Applied", &plan, &all, took), "Applied dev: 2 steps in 0.8 s");
        assert_eq!(
            closing_line("Applied", &plan, &half_done(&plan), took),
            "dev not done: 1 of 2 steps in 0.8 s, 1 failed"
        );
    }

    #[test]
    fn the_document_has_every_failure_with_its_causes() {
        let plan = two_starts();
        let document = FleetOutcome::new(&plan, &half_done(&plan), None, Duration::from_millis(812));
        assert_eq!(
            serde_json::to_string(&document).expect("it serialises"),
            concat!(
                r#"{"fleet":"dev","changes":2,"done":["start:a"],"#,
                r#""failed":[{"id":"start:b","error":["cannot start `b`","why"],"hint":null}],"#,
                r#""skipped":[],"remaining":[],"interrupted":false,"seconds":0.812}"#
            )
        );
    }

    #[test]
    fn a_fleet_that_was_not_begun_has_a_document_with_the_reason() {
        let failure = StepFailure { chain: vec!["cannot read the host's network".into(), "why".into()], hint: None };
        let document = FleetOutcome::not_begun(&two_starts().fleet, failure);
        assert_eq!(
            serde_json::to_string(&document).expect("it serialises"),
            concat!(
                r#"{"fleet":"dev","changes":0,"done":[],"failed":[],"skipped":[],"remaining":[],"interrupted":false,"#,
                r#""seconds":0.0,"error":["cannot read the host's network","why"],"hint":null}"#
            )
        );
    }

    #[test]
    fn steps_that_are_left_are_shown() {
        insta::assert_snapshot!(not_converged(&two_starts(), Palette::Plain), @r"
        error: every step succeeded, but dev has not converged: this is left
        ▶ a, b  start: stopped
        Plan: 0 to create, 0 to change, 0 to rebuild, 0 to destroy, 2 to start.
          hint: see the container's console log, then apply again
        ");
    }
}
