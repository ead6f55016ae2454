//! One plan, carried out under the user's eyes and looked at afterwards.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::unbounded_channel;

use super::change::Workplace;
use super::error::{CliError, Exit};
use super::goal::Goal;
use crate::converge::{HostPerformer, converge, forget};
use crate::model::{Event, Fleet, Outcome, Plan};
use crate::report::{self, FleetOutcome, Progress};

/// Carries out `plan`, then looks whether `fleet` is at `goal`: success that was not seen is not reported.
pub(super) fn converge_one(
    place: &Workplace<'_>,
    fleet: &Fleet,
    plan: &Plan,
    goal: &Goal,
) -> Result<(FleetOutcome, Exit), CliError> {
    let started = Instant::now();
    if plan.steps.is_empty() {
        if goal.target(fleet).containers.is_empty() {
            // One that was killed behind its last step left it.
            forget(&place.installation.layout, &fleet.name).map_err(CliError::Failed)?;
        }
        return Ok((FleetOutcome::new(plan, &Outcome::default(), None, started.elapsed()), Exit::Done));
    }
    let console = place.session.console;
    let (outcome, settled) = carry_out(place, &goal.target(fleet), plan)?;
    let took = started.elapsed();
    let complete = outcome.done.len() == plan.steps.len();
    let looked = settled.and_then(|()| if complete { look_again(place, fleet, goal) } else { Ok(None) });
    let left = match looked {
        Ok(left) => left,
        // What was done is told all the same.
        Err(error) => {
            let failure = error.into_failure();
            console.error(|palette| report::failure("error", &failure, palette));
            return Ok((FleetOutcome::new(plan, &outcome, None, took).but(failure), Exit::Failed));
        }
    };
    let exit = match (&left, complete) {
        (None, true) => Exit::Done,
        (None, false) if outcome.interrupted && outcome.failed.is_empty() => Exit::Interrupted,
        (None, false) | (Some(_), _) => Exit::Failed,
    };
    match &left {
        Some(left) => console.error(|palette| report::not_converged(left, palette)),
        None => console.note(&report::closing_line(goal.done_word(), plan, &outcome, took)),
    }
    Ok((FleetOutcome::new(plan, &outcome, left.as_ref(), took), exit))
}

/// Runs the steps of the plan that leads to `fleet`, drawing each event as it comes. What came of them, and of what is left to
/// do behind them; an error if none of them was begun.
fn carry_out(place: &Workplace<'_>, fleet: &Fleet, plan: &Plan) -> Result<(Outcome, Result<(), CliError>), CliError> {
    let installation = &place.installation;
    let engine = installation.engine(fleet.engine);
    let mut progress = Progress::new(place.session.console, plan.steps.len());
    let (events, mut happened) = unbounded_channel();
    let listener = events.downgrade();
    let images = installation.images.clone().heard_by(move |news| {
        // Weak, for the performer outlives the work.
        if let Some(events) = listener.upgrade() {
            let _ = events.send(Event::Image(news));
        }
    });
    let performer = HostPerformer::new(&installation.layout, engine, images, fleet);
    let performer = Arc::new(performer.map_err(CliError::Failed)?);
    performer.begin(plan).map_err(CliError::Failed)?;
    let work = converge(plan, Arc::clone(&performer), place.session.jobs, events, place.interrupts.stop());
    // The channel closes when the work has ended and let go of its sender.
    let draw = async {
        while let Some(event) = happened.recv().await {
            progress.draw(&event);
        }
    };
    let (outcome, ()) = place.runtime.block_on(async { tokio::join!(work, draw) });
    progress.finish();
    Ok((outcome, performer.settle(plan).map_err(CliError::Failed)))
}

/// What the host still lacks after all steps succeeded.
fn look_again(place: &Workplace<'_>, fleet: &Fleet, goal: &Goal) -> Result<Option<Plan>, CliError> {
    let host = place.installation.observe(&place.runtime, fleet, goal.reach())?;
    let left = goal.plan(fleet, &host)?;
    Ok((!left.steps.is_empty() || !left.conflicts.is_empty()).then_some(left))
}
