//! Runs a plan: what is ready at the same time, failures kept apart, signals obeyed.
//!
//! Start at [`converge`]; `schedule` knows which step may begin. This room decides nothing, prints nothing and adds no
//! steps.

mod forget;
mod gate;
mod host_network;
mod perform;
mod schedule;
#[cfg(test)]
mod tests;

pub use forget::forget;
pub use gate::Gate;
pub use perform::HostPerformer;

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};

use crate::model::{Event, Outcome, Plan, Step, StepFailure, StepResult};
use gate::GateKeeper;
use schedule::Schedule;

/// As many steps wait at the gate at most: each has a socket meanwhile, and a process may often have no more than 1024
/// descriptors (`RLIMIT_NOFILE`, getrlimit(2)).
const MOST_WAITING: usize = 500;

/// Does single steps.
pub trait Perform: Send + Sync + 'static {
    /// Does `step`; returns remarks for the user. Called for each step at most once, from several tasks. What has to
    /// wait until the others are as far passes `gate`.
    fn perform(&self, step: &Step, gate: Gate) -> impl Future<Output = Result<Vec<String>, StepFailure>> + Send;
}

/// Runs `plan` with at most `jobs` steps at a time, and at most two that fetch an image. Of the steps that may begin,
/// the first of the plan begins first. Steps that wait at the [`Gate`] do not count; it opens when nothing else but
/// fetches can be done, or when some hundreds wait.
///
/// When a step fails, or panics, those that wait for it are skipped and the rest goes on. When `stop` becomes true no
/// further step begins and the running ones are finished. A plan with conflicts is not run: all its steps are skipped.
pub async fn converge(
    plan: &Plan,
    performer: Arc<impl Perform>,
    jobs: usize,
    events: UnboundedSender<Event>,
    mut stop: watch::Receiver<bool>,
) -> Outcome {
    let mut run = Run { plan, events, outcome: Outcome::default() };
    let mut schedule = Schedule::new(&plan.steps);
    let mut tasks = Tasks::default();
    let mut gate = GateKeeper::new();
    if !plan.conflicts.is_empty() {
        run.skip(schedule.give_up());
    }
    loop {
        if *stop.borrow() && !run.outcome.interrupted {
            run.drain();
            run.skip(schedule.give_up());
        }
        while tasks.running() - gate.waiting() < jobs.max(1)
            && let Some(place) = schedule.next()
        {
            run.tell(Event::Started(plan.steps[place].clone()));
            tasks.spawn(place, &plan.steps[place], &performer, gate.way());
        }
        if tasks.running() == 0 {
            break;
        }
        if tasks.running() - gate.waiting() == schedule.fetching() || gate.waiting() >= MOST_WAITING {
            gate.open();
        }
        tokio::select! {
            () = gate.arrival() => {}
            (place, result) = tasks.next(plan) => {
                let skipped = match result {
                    StepResult::Done { .. } => { schedule.done(place); Vec::new() }
                    StepResult::Failed(_) | StepResult::Skipped => schedule.failed(place),
                };
                run.ended(place, result);
                run.skip(skipped);
            }
            () = asked_to_stop(&mut stop), if !run.outcome.interrupted => {}
        }
    }
    // Only steps that wait for each other or for none of the plan are left, and no plan has such.
    run.skip(schedule.give_up());
    run.outcome
}

/// Returns when `stop` is true; never if it cannot become so any more.
async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What has come of a plan so far.
struct Run<'a> {
    plan: &'a Plan,
    events: UnboundedSender<Event>,
    outcome: Outcome,
}

impl Run<'_> {
    fn tell(&self, event: Event) {
        // That nobody listens any more is no reason to leave the host half changed.
        let _ = self.events.send(event);
    }

    fn drain(&mut self) {
        self.outcome.interrupted = true;
        self.tell(Event::Draining);
    }

    fn ended(&mut self, place: usize, result: StepResult) {
        let step = &self.plan.steps[place];
        match &result {
            StepResult::Done { .. } => self.outcome.done.push(step.id.clone()),
            StepResult::Failed(failure) => self.outcome.failed.push((step.id.clone(), failure.clone())),
            StepResult::Skipped => self.outcome.skipped.push(step.id.clone()),
        }
        self.tell(Event::Finished(step.clone(), result));
    }

    fn skip(&mut self, places: Vec<usize>) {
        for place in places {
            self.ended(place, StepResult::Skipped);
        }
    }
}

/// The steps that run now, each in a task of its own.
#[derive(Default)]
struct Tasks {
    set: JoinSet<StepResult>,
    places: HashMap<Id, usize>,
}

impl Tasks {
    fn running(&self) -> usize {
        self.set.len()
    }

    fn spawn(&mut self, place: usize, step: &Step, performer: &Arc<impl Perform>, gate: Gate) {
        let (step, performer) = (step.clone(), Arc::clone(performer));
        let task = self.set.spawn(async move {
            let begun = Instant::now();
            match performer.perform(&step, gate).await {
                Ok(warnings) => StepResult::Done { took: begun.elapsed(), warnings },
                Err(failure) => StepResult::Failed(failure),
            }
        });
        self.places.insert(task.id(), place);
    }

    /// Waits for one of the running steps to end. Some step runs. Nothing is lost if the future is dropped.
    async fn next(&mut self, plan: &Plan) -> (usize, StepResult) {
        let ended = self.set.join_next_with_id().await.expect("some step runs");
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let place = self.places.remove(&id).expect("each task has a place");
        match ended {
            Ok((_, result)) => (place, result),
            Err(error) => (place, StepResult::Failed(panicked(&plan.steps[place], error))),
        }
    }
}

fn panicked(step: &Step, error: JoinError) -> StepFailure {
    let headline = format!("cannot finish `{}`", step.id);
    let cause = match error.try_into_panic() {
        Ok(payload) => format!("it panicked: {}", panic_message(&*payload)),
        Err(error) => error.to_string(),
    };
    StepFailure { chain: vec![headline, cause], hint: Some("this is a fault of fleet: please report it".to_owned()) }
}

/// What `panic!` was given: a literal or a formatted text, nearly always.
fn panic_message(payload: &(dyn Any + Send)) -> &str {
    let literal = payload.downcast_ref::<&str>().copied();
    literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
