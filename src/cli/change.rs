//! The way of every verb that changes the host: plan all, show, ask, converge, look again.

use std::process;
use std::sync::Arc;

use tokio::runtime::Runtime;

use super::converging::converge_one;
use super::error::{CliError, Exit};
use super::global::Session;
use super::goal::Goal;
use super::installation::{Installation, runtime};
use super::interrupt::Interrupts;
use super::lock;
use super::privilege::{fork_launcher, require_root};
use crate::engine::Leftover;
use crate::model::{Fleet, Plan, StepFailure, StepId};
use crate::report::{self, Console, FleetOutcome, Folding, OneOrMany, PlanJson, Verbosity};
use crate::store::HostLock;

/// All that a verb needs at hand while it changes the host. The lock is held as long as this lives.
pub(super) struct Workplace<'a> {
    pub(super) session: &'a Session,
    pub(super) runtime: Runtime,
    pub(super) interrupts: Interrupts,
    pub(super) installation: Installation,
}

/// Brings every one of `fleets` to `goal`, or refuses before anything is touched.
pub(super) fn change(session: &Session, fleets: &[Fleet], goal: &Goal) -> Result<Exit, CliError> {
    let place = Workplace::open(session, goal)?;
    let (mut plans, mut pins) = (Vec::new(), Vec::new());
    for fleet in fleets {
        let host = place.installation.observe(&place.runtime, fleet, goal.reach())?;
        plans.push(goal.plan(fleet, &host)?);
        pins.push(lock::pins(fleet, &host, &place.installation.images));
    }
    if plans.iter().any(|plan| !plan.conflicts.is_empty()) {
        return Ok(refuse_conflicts(session.console, &plans));
    }
    if let Goal::Applied { locked: true } = goal {
        lock::refuse_making(&plans)?;
    }
    if session.console.verbosity != Verbosity::Quiet {
        show(session.console, fleets, &plans, goal, &place.installation.leftovers);
    }
    let asked = ask(session, &plans, goal)?;
    if asked == Answer::No {
        return Err(CliError::failed("the answer was no: nothing was changed", "`--yes` agrees beforehand"));
    }
    place.interrupts.drain_from_now_on();
    let exit = converge_all(&place, fleets, plans, goal, asked);
    if let Goal::Applied { locked: false } = goal {
        for (fleet, pins) in fleets.iter().zip(pins) {
            lock::write_or_warn(session, fleet, pins, &place.installation.images);
        }
    }
    Ok(worse(exit, leftovers_of(&place, fleets, goal)?))
}

impl Workplace<'_> {
    /// Root, launcher, runtime, lock: in the one order in which each can be had.
    fn open<'a>(session: &'a Session, goal: &Goal) -> Result<Workplace<'a>, CliError> {
        require_root()?;
        let launcher = if goal.starts_containers() { Some(fork_launcher()?) } else { None };
        let runtime = runtime()?;
        let interrupts =
            Interrupts::listen(&runtime).map_err(|source| CliError::io("cannot listen for signals", &source))?;
        let lock = Arc::new(take_lock(session, goal.verb())?);
        let installation = Installation::writable(session, launcher, lock)?;
        Ok(Workplace { session, runtime, interrupts, installation })
    }
}

/// Takes the host's lock for `verb`, saying for whom it waits.
pub(super) fn take_lock(session: &Session, verb: &str) -> Result<HostLock, CliError> {
    let whoami = format!("fleet {verb} (pid {})", process::id());
    let waiting = |holder: &str| session.console.note(&format!("waiting for `{holder}`, which changes this host"));
    HostLock::acquire(&session.layout.lock(), &whoami, session.lock_timeout, waiting)
        .map_err(|error| CliError::because(&error, Some("`--lock-timeout` sets how long to wait".to_owned())))
}

/// Shows what is in the way of any of `plans`.
pub(super) fn refuse_conflicts(console: Console, plans: &[Plan]) -> Exit {
    console.json(&OneOrMany::new(plans.iter().map(PlanJson::new).collect()));
    for plan in plans {
        console.error(|palette| report::conflicts(&plan.conflicts, palette));
    }
    Exit::Failed
}

/// Shows `plans`, those of `fleets` in the same order. There is something to do where `leftovers` are, if nobody can.
pub(super) fn show(console: Console, fleets: &[Fleet], plans: &[Plan], goal: &Goal, leftovers: &[Leftover]) {
    let folding = match console.verbosity {
        Verbosity::Verbose => Folding::Unfolded,
        Verbosity::Quiet | Verbosity::Normal => Folding::Folded,
    };
    for (fleet, plan) in fleets.iter().zip(plans) {
        if plan.steps.is_empty() && leftovers.iter().any(|left| concerns(left, fleet)) {
            continue;
        }
        if plan.steps.is_empty() {
            console.show(|_| goal.nothing_to_do(fleet) + "\n");
            continue;
        }
        let heading = if plans.len() > 1 { format!("{}:\n", fleet.name) } else { String::new() };
        console.show(|palette| heading + &report::plan(plan, folding, palette));
    }
}

/// What came of the question whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It was not asked: nothing is lost, or the answer was given beforehand.
    Unasked,
    Yes,
    No,
}

/// Asks once for all `plans` if any of them needs a yes.
fn ask(session: &Session, plans: &[Plan], goal: &Goal) -> Result<Answer, CliError> {
    if session.yes || !plans.iter().any(|plan| goal.needs_a_yes(plan)) {
        return Ok(Answer::Unasked);
    }
    let losing: usize = plans.iter().map(|plan| losing(plan).count()).sum();
    let question = match losing {
        0 => "Go on?".to_owned(),
        _ => "Data will be lost for good. Go on?".to_owned(),
    };
    match Console::ask(&question) {
        Some(true) => Ok(Answer::Yes),
        Some(false) => Ok(Answer::No),
        None => {
            Err(CliError::usage("this destroys data, and there is no terminal to ask on", "agree to it with `--yes`"))
        }
    }
}

fn losing(plan: &Plan) -> impl Iterator<Item = &StepId> {
    plan.steps.iter().filter(|step| step.consequence.loses_data()).map(|step| &step.id)
}

/// Converges fleet by fleet. One that fails does not keep the others from it; an interrupt does.
fn converge_all(place: &Workplace<'_>, fleets: &[Fleet], plans: Vec<Plan>, goal: &Goal, asked: Answer) -> Exit {
    let console = place.session.console;
    let (mut documents, mut exit) = (Vec::new(), Exit::Done);
    for (index, (fleet, shown)) in fleets.iter().zip(plans).enumerate() {
        if place.interrupts.came() {
            exit = Exit::Interrupted;
            break;
        }
        // What was done for the fleets before, and whatever happened while the user thought, has changed the host.
        let is_changed = index > 0 || asked == Answer::Yes;
        let plan = if is_changed { plan_anew(place, fleet, &shown, goal) } else { Ok(shown) };
        let (document, ended) = plan.and_then(|plan| converge_one(place, fleet, &plan, goal)).unwrap_or_else(|error| {
            let (exit, failure) = (error.exit(), error.into_failure());
            let subject = if fleets.len() > 1 { format!("{}: failed", fleet.name) } else { "error".to_owned() };
            console.error(|palette| report::failure(&subject, &failure, palette));
            (FleetOutcome::not_begun(&fleet.name, failure), exit)
        });
        documents.push(document);
        exit = worse(exit, ended);
    }
    console.json(&OneOrMany::new(documents));
    exit
}

/// The plan for the host as it is now. It may not lose more data than the one that was `shown`.
fn plan_anew(place: &Workplace<'_>, fleet: &Fleet, shown: &Plan, goal: &Goal) -> Result<Plan, CliError> {
    let host = place.installation.observe(&place.runtime, fleet, goal.reach())?;
    let plan = goal.plan(fleet, &host)?;
    if let Some(conflict) = plan.conflicts.first() {
        return Err(CliError::failed(format!("{}: {}", conflict.target, conflict.message), conflict.hint.clone()));
    }
    let agreed: Vec<&StepId> = losing(shown).collect();
    let lost = losing(&plan).find(|id| !agreed.contains(id));
    match lost {
        Some(id) if !place.session.yes => {
            let message = format!("the host changed meanwhile: `{id}`, which was not shown, would lose data");
            Err(CliError::failed(message, "run it again and look at the plan"))
        }
        Some(_) | None => Ok(plan),
    }
}

/// Tells what is still left of `fleets` that could not be cleared up at first: success that was not seen is not reported.
/// Whether a container that is to run does, and one that is not does not, has been seen all the same.
fn leftovers_of(place: &Workplace<'_>, fleets: &[Fleet], goal: &Goal) -> Result<Exit, CliError> {
    let is_ours = |left: &Leftover| fleets.iter().any(|fleet| concerns(left, fleet));
    match goal {
        Goal::Started(_) | Goal::Stopped(_) => return Ok(Exit::Done),
        Goal::Applied { .. } | Goal::Destroyed { .. } => {}
    }
    if !place.installation.leftovers.iter().any(is_ours) {
        return Ok(Exit::Done);
    }
    let mut left = place.installation.recover()?;
    left.retain(is_ours);
    for Leftover { error, .. } in &left {
        let failure = StepFailure::from_error(error, error.hint().map(ToOwned::to_owned));
        place.session.console.error(|palette| report::failure("error", &failure, palette));
    }
    Ok(if left.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Whether what is left is of a container of `fleet`, or of one that it had.
fn concerns(left: &Leftover, fleet: &Fleet) -> bool {
    left.fleet.as_ref() == Some(&fleet.name) || fleet.containers.iter().any(|spec| spec.name.as_str() == left.name)
}

/// An interrupt says more than a failure, and that more than success.
fn worse(one: Exit, other: Exit) -> Exit {
    if one == Exit::Interrupted || other == Exit::Done { one } else { other }
}
