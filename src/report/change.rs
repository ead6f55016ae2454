//! What the steps of a plan come to, thing by thing.

use std::collections::HashMap;

use super::palette::Tone;
use crate::model::{Action, Consequence, ContainerSpec, Plan, Step};

/// What happens to one thing on the whole, whatever its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// A bridge or an image appears.
    Provide,
    /// A bridge, or something of the host, is made otherwise.
    Mend,
    /// A bridge goes.
    Remove,
    Create,
    Alter,
    Rebuild,
    Destroy,
    Start,
    Stop,
}

impl Change {
    /// The character that its line begins with.
    pub(super) fn sign(self) -> (char, Tone) {
        match self {
            Change::Provide | Change::Create => ('+', Tone::Good),
            Change::Remove | Change::Destroy => ('-', Tone::Bad),
            Change::Mend | Change::Alter => ('~', Tone::Change),
            Change::Rebuild => ('±', Tone::Bad),
            Change::Start => ('▶', Tone::Good),
            Change::Stop => ('■', Tone::Change),
        }
    }
}

/// One line of the plan.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) change: Change,
    pub(super) names: Vec<String>,
    pub(super) words: String,
    pub(super) consequence: String,
}

/// One line for each thing, in the order of the plan's steps.
pub(super) fn lines_of(plan: &Plan) -> Vec<Line> {
    let mut places: HashMap<(Kind, String), usize> = HashMap::new();
    let mut groups: Vec<(Kind, String, Vec<&Step>)> = Vec::new();
    for step in &plan.steps {
        let thing = (Kind::of(&step.action), step.action.target());
        let place = *places.entry(thing.clone()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some((_, _, steps)) => steps.push(step),
            None => groups.push((thing.0, thing.1, vec![step])),
        }
    }
    groups.into_iter().map(|(kind, target, steps)| line_of(kind, target, &steps)).collect()
}

/// What a step is done to. Names of different kinds may be equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Network,
    /// Of the host's kernel.
    Parameter,
    Image,
    Volume,
    Container,
}

impl Kind {
    fn of(action: &Action) -> Kind {
        match action {
            Action::EnsureNetwork { .. }
            | Action::DeleteNetwork { .. }
            | Action::EnsureSegment { .. }
            | Action::DeleteSegment(_)
            | Action::SetRules(_)
            | Action::DeleteRules { .. } => Kind::Network,
            Action::SetForwarding { .. }
            | Action::RestoreForwarding(_)
            | Action::SetNeighbours { .. }
            | Action::RestoreNeighbours(_) => Kind::Parameter,
            Action::FetchImage { .. } => Kind::Image,
            Action::DeleteVolume(_) => Kind::Volume,
            Action::Create(_)
            | Action::Configure(_)
            | Action::SetLimits(_)
            | Action::SetLinks(_)
            | Action::SetMounts(_)
            | Action::Start(_)
            | Action::Adopt(_)
            | Action::Stop { .. }
            | Action::Delete(_) => Kind::Container,
        }
    }
}

fn line_of(kind: Kind, target: String, steps: &[&Step]) -> Line {
    let change = match kind {
        Kind::Network if steps.iter().any(|step| removes(&step.action)) => Change::Remove,
        Kind::Network if steps.iter().any(|step| step.consequence == Consequence::Live) => Change::Mend,
        Kind::Parameter => Change::Mend,
        Kind::Network | Kind::Image => Change::Provide,
        Kind::Volume => Change::Destroy,
        Kind::Container => change_of(steps),
    };
    let worst = steps.iter().map(|step| &step.consequence).max_by_key(|consequence| weight(consequence));
    Line {
        change,
        names: vec![if kind == Kind::Volume { format!("volume {target}") } else { target }],
        words: words(change, steps),
        consequence: worst.map(ToString::to_string).unwrap_or_default(),
    }
}

fn removes(action: &Action) -> bool {
    matches!(action, Action::DeleteNetwork { .. } | Action::DeleteSegment(_) | Action::DeleteRules { .. })
}

/// What the steps of one container come to.
fn change_of(of_one: &[&Step]) -> Change {
    let any = |test: fn(&Action) -> bool| of_one.iter().any(|step| test(&step.action));
    let creates = any(|action| matches!(action, Action::Create(_)));
    let deletes = any(|action| matches!(action, Action::Delete(_)));
    let alters = any(|action| {
        matches!(
            action,
            Action::Configure(_) | Action::SetLimits(_) | Action::SetLinks(_) | Action::SetMounts(_) | Action::Adopt(_)
        )
    });
    let starts = any(|action| matches!(action, Action::Start(_)));
    let stops = any(|action| matches!(action, Action::Stop { .. }));
    if creates && deletes && of_one.iter().any(|step| step.consequence.loses_data()) {
        Change::Rebuild
    } else if creates {
        // With a deletion that loses nothing, what is deleted was half made.
        Change::Create
    } else if deletes {
        Change::Destroy
    } else if alters || (starts && stops) {
        Change::Alter
    } else if stops {
        Change::Stop
    } else {
        Change::Start
    }
}

fn weight(consequence: &Consequence) -> u8 {
    match consequence {
        Consequence::None => 0,
        Consequence::Live => 1,
        Consequence::Restart => 2,
        Consequence::Rebuild => 3,
        Consequence::Destroy => 4,
    }
}

/// What is done, or why: for a creation the image matters, for all else the reasons, of which steps have some in common.
fn words(change: Change, steps: &[&Step]) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for step in steps {
        let new = step.reason.split(", ").filter(|reason| !reason.is_empty() && !reasons.contains(reason));
        let new: Vec<&str> = new.collect();
        reasons.extend(new);
    }
    let reasons = reasons.join(", ");
    match change {
        Change::Create => creation(steps),
        Change::Start if reasons.is_empty() => "start".to_owned(),
        Change::Start => format!("start: {reasons}"),
        Change::Stop if reasons.is_empty() => "stop".to_owned(),
        Change::Stop => format!("stop: {reasons}"),
        Change::Provide | Change::Mend | Change::Remove | Change::Alter | Change::Rebuild | Change::Destroy => reasons,
    }
}

fn creation(steps: &[&Step]) -> String {
    let mut words = Vec::new();
    for step in steps {
        match &step.action {
            Action::Create(record) => words.push(created(&record.spec)),
            Action::Start(_) => words.push("start".to_owned()),
            // What is removed first was not whole: the reason says in what way.
            Action::Delete(_) => words.push(format!("clear away: {}", step.reason)),
            Action::Stop { .. }
            | Action::Configure(_)
            | Action::SetLimits(_)
            | Action::SetLinks(_)
            | Action::SetMounts(_)
            | Action::Adopt(_)
            | Action::EnsureNetwork { .. }
            | Action::DeleteNetwork { .. }
            | Action::EnsureSegment { .. }
            | Action::DeleteSegment(_)
            | Action::SetRules(_)
            | Action::DeleteRules { .. }
            | Action::SetForwarding { .. }
            | Action::RestoreForwarding(_)
            | Action::SetNeighbours { .. }
            | Action::RestoreNeighbours(_)
            | Action::FetchImage { .. }
            | Action::DeleteVolume(_) => {}
        }
    }
    words.join(", ")
}

/// From what it is made, and in what ways it is less isolated than others.
fn created(spec: &ContainerSpec) -> String {
    let opt_ins = spec.opt_ins();
    let opt_ins = if opt_ins.is_empty() { String::new() } else { format!(" ({})", opt_ins.join(", ")) };
    format!("create from {}{opt_ins}", spec.image)
}
