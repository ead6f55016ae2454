//! A plan as JSON.

use serde::Serialize;

use crate::model::{Conflict, Plan, Step};

/// The document of `fleet plan`.
#[derive(Debug, Serialize)]
pub(crate) struct PlanJson {
    fleet: String,
    changes: usize,
    steps: Vec<StepJson>,
    conflicts: Vec<ConflictJson>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct StepJson {
    id: String,
    action: &'static str,
    target: String,
    reason: String,
    consequence: String,
    after: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ConflictJson {
    target: String,
    message: String,
    hint: String,
}

impl PlanJson {
    /// `plan` as a document.
    pub(crate) fn new(plan: &Plan) -> PlanJson {
        PlanJson {
            fleet: plan.fleet.to_string(),
            changes: plan.steps.len(),
            steps: plan.steps.iter().map(StepJson::new).collect(),
            conflicts: plan.conflicts.iter().map(ConflictJson::new).collect(),
            notes: plan.notes.clone(),
        }
    }
}

impl StepJson {
    fn new(step: &Step) -> StepJson {
        StepJson {
            id: step.id.to_string(),
            action: step.action.verb(),
            target: step.action.target(),
            reason: step.reason.clone(),
            consequence: step.consequence.to_string(),
            after: step.after.iter().map(ToString::to_string).collect(),
        }
    }
}

impl ConflictJson {
    fn new(conflict: &Conflict) -> ConflictJson {
        ConflictJson { target: conflict.target.clone(), message: conflict.message.clone(), hint: conflict.hint.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Action, Consequence};
    use crate::report::OneOrMany;
    use crate::report::example::{plan_of, step};

    #[test]
    fn a_plan_is_one_object_and_several_are_an_array() {
        let start = Action::Start("agent-1".parse().expect("a name"));
        let plan = plan_of(vec![step(start, "stopped", Consequence::None)]);
        let one = concat!(
            r#"{"fleet":"dev","changes":1,"steps":[{"id":"start:agent-1","action":"start","target":"agent-1","#,
            r#""reason":"stopped","consequence":"","after":[]}],"conflicts":[],"notes":[]}"#
        );
        let text = |plans| serde_json::to_string(&OneOrMany::new(plans)).expect("it serialises");
        assert_eq!(text(vec![PlanJson::new(&plan)]), one);
        assert_eq!(text(vec![PlanJson::new(&plan), PlanJson::new(&plan)]), format!("[{one},{one}]"));
    }
}
