//! What converge does with steps that succeed, fail, panic, or are no longer wanted.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};

use super::{Gate, Perform, converge};
use crate::model::{
    Action, Consequence, Event, ImageDigest, ImageSource, Outcome, Plan, Step, StepFailure, StepId, StepResult,
};

/// A performer that does nothing but what a test tells it to, and watches how many do so at once.
#[derive(Default)]
struct Probe {
    fails: &'static [&'static str],
    panics: &'static [&'static str],
    /// The step in which the user asks to stop, and how.
    stops: Option<(&'static str, watch::Sender<bool>)>,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    now: BTreeSet<StepId>,
    most: usize,
    most_fetches: usize,
    waiting: usize,
    most_waiting: usize,
    /// The order in which steps went past everything but their ends.
    passed: Vec<StepId>,
}

impl Probe {
    fn watched(&self) -> std::sync::MutexGuard<'_, Watched> {
        self.watched.lock().expect("nothing panics while it holds the lock")
    }
}

impl Perform for Probe {
    async fn perform(&self, step: &Step, gate: Gate) -> Result<Vec<String>, StepFailure> {
        {
            let mut watched = self.watched();
            watched.now.insert(step.id.clone());
            let fetches = watched.now.iter().filter(|id| id.0.starts_with("image:")).count();
            watched.most = watched.most.max(watched.now.len());
            watched.most_fetches = watched.most_fetches.max(fetches);
        }
        if let Some((name, sender)) = &self.stops
            && *name == step.id.0
        {
            sender.send(true).expect("converge listens");
        }
        // Whatever else may begin does so before this step ends; fetches take long.
        let rounds = if step.id.0.starts_with("image:") { 100 } else { 10 };
        for _ in 0..rounds {
            tokio::task::yield_now().await;
        }
        if step.id.0.starts_with("stop:") {
            {
                let mut watched = self.watched();
                watched.now.remove(&step.id);
                watched.waiting += 1;
                watched.most_waiting = watched.most_waiting.max(watched.waiting);
            }
            gate.pass().await;
            self.watched().waiting -= 1;
            self.watched().passed.push(step.id.clone());
            return Ok(Vec::new());
        }
        self.watched().now.remove(&step.id);
        self.watched().passed.push(step.id.clone());
        assert!(!self.panics.contains(&step.id.0.as_str()), "no way");
        if self.fails.contains(&step.id.0.as_str()) {
            return Err(StepFailure { chain: vec!["cannot".to_owned(), "no space".to_owned()], hint: None });
        }
        Ok(Vec::new())
    }
}

/// A plan from words such as `start:b<start:a`: a step, and what it waits for.
fn plan_of(steps: &[&str]) -> Plan {
    let step = |text: &&str| {
        let (id, after) = text.split_once('<').unwrap_or((text, ""));
        let (verb, target) = id.split_once(':').expect("an id has a verb and a target");
        let action = match verb {
            "image" => {
                Action::FetchImage { source: ImageSource::Busybox, digest: ImageDigest(target.to_owned()), build: None }
            }
            "stop" => Action::Stop { name: target.parse().expect("a name"), timeout_s: 0 },
            _ => Action::Start(target.parse().expect("a name")),
        };
        let after = after.split(',').filter(|id| !id.is_empty()).map(|id| StepId(id.to_owned())).collect();
        Step { id: StepId(id.to_owned()), action, reason: String::new(), consequence: Consequence::None, after }
    };
    Plan {
        fleet: "dev".parse().expect("a name"),
        steps: steps.iter().map(step).collect(),
        conflicts: Vec::new(),
        notes: Vec::new(),
    }
}

/// Runs the plan; returns what happened, as text, and what came of it.
fn run(steps: &[&str], jobs: usize, probe: Probe) -> (String, Outcome, Arc<Probe>) {
    let (_sender, interrupt) = watch::channel(false);
    run_until(steps, jobs, probe, interrupt)
}

fn run_until(
    steps: &[&str],
    jobs: usize,
    probe: Probe,
    interrupt: watch::Receiver<bool>,
) -> (String, Outcome, Arc<Probe>) {
    let (sender, mut events) = mpsc::unbounded_channel();
    let (plan, probe) = (plan_of(steps), Arc::new(probe));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let outcome = runtime.block_on(converge(&plan, Arc::clone(&probe), jobs, sender, interrupt));
    let mut text = String::new();
    while let Ok(event) = events.try_recv() {
        let _ = match event {
            Event::Started(step) => writeln!(text, "{} started", step.id),
            Event::Finished(step, StepResult::Done { .. }) => writeln!(text, "{} done", step.id),
            Event::Finished(step, StepResult::Failed(failure)) => {
                writeln!(text, "{} failed: {}", step.id, failure.chain.join(": "))
            }
            Event::Finished(step, StepResult::Skipped) => writeln!(text, "{} skipped", step.id),
            Event::Draining => writeln!(text, "draining"),
            Event::Image(news) => writeln!(text, "{news:?}"),
        };
    }
    (text, outcome, probe)
}

fn words(ids: &[StepId]) -> String {
    ids.iter().map(|id| id.0.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_step_begins_when_all_it_waits_for_is_done() {
    let (text, outcome, _) =
        run(&["start:a", "start:b<start:a", "start:c", "start:d<start:b,start:c"], 8, Probe::default());
    insta::assert_snapshot!(text, @"
    start:a started
    start:c started
    start:a done
    start:b started
    start:c done
    start:b done
    start:d started
    start:d done
    ");
    assert_eq!(words(&outcome.done), "start:a start:c start:b start:d");
}

#[test]
fn one_at_a_time_the_first_of_the_plan_that_may_begin_does() {
    let (text, ..) = run(&["start:a", "start:b<start:a", "start:c"], 1, Probe::default());
    insta::assert_snapshot!(text, @"
    start:a started
    start:a done
    start:b started
    start:b done
    start:c started
    start:c done
    ");
}

#[test]
fn no_more_than_so_many_jobs_run_at_a_time() {
    let steps = ["start:a", "start:b", "start:c", "start:d", "start:e"];
    assert_eq!(run(&steps, 3, Probe::default()).2.watched().most, 3);
    assert_eq!(run(&steps, 0, Probe::default()).2.watched().most, 1);
}

#[test]
fn no_more_than_two_images_are_fetched_at_a_time_and_other_work_goes_past_them() {
    let steps = ["image:a", "image:b", "image:c", "image:d", "start:e"];
    let (text, outcome, probe) = run(&steps, 8, Probe::default());
    let (most, most_fetches) = {
        let watched = probe.watched();
        (watched.most, watched.most_fetches)
    };
    assert_eq!((most, most_fetches), (3, 2));
    assert!(text.starts_with("image:a started\nimage:b started\nstart:e started\n"), "{text}");
    assert_eq!(outcome.done.len(), 5);
}

#[test]
fn steps_that_wait_at_the_gate_take_no_place_and_go_when_all_else_is_done() {
    let steps = ["stop:a", "stop:b", "start:c", "stop:d<start:c", "start:e<stop:a"];
    let (_, outcome, probe) = run(&steps, 1, Probe::default());
    assert_eq!(words(&probe.watched().passed), "start:c stop:a stop:b stop:d start:e");
    assert_eq!(outcome.done.len(), 5);
}

#[test]
fn the_gate_opens_while_an_image_is_fetched() {
    let (_, _, probe) = run(&["image:a", "stop:b"], 2, Probe::default());
    assert_eq!(words(&probe.watched().passed), "stop:b image:a");
}

#[test]
fn a_failure_skips_what_waits_for_it_and_nothing_else() {
    let steps = ["start:a", "start:b<start:a", "start:c<start:b", "start:d", "start:e<start:d"];
    let (text, outcome, _) = run(&steps, 1, Probe { fails: &["start:a"], ..Probe::default() });
    insta::assert_snapshot!(text, @"
    start:a started
    start:a failed: cannot: no space
    start:b skipped
    start:c skipped
    start:d started
    start:d done
    start:e started
    start:e done
    ");
    assert_eq!(words(&outcome.done), "start:d start:e");
    assert_eq!(words(&outcome.skipped), "start:b start:c");
    assert!(!outcome.interrupted);
}

#[test]
fn a_step_that_panics_has_failed() {
    let (text, ..) = run(&["start:a", "start:b<start:a"], 1, Probe { panics: &["start:a"], ..Probe::default() });
    insta::assert_snapshot!(text, @"
    start:a started
    start:a failed: cannot finish `start:a`: it panicked: no way
    start:b skipped
    ");
}

#[test]
fn asked_to_stop_it_finishes_what_runs_and_begins_nothing_more() {
    let (sender, stop) = watch::channel(false);
    let probe = Probe { stops: Some(("start:b", sender)), ..Probe::default() };
    let (text, outcome, _) = run_until(&["start:a", "start:b", "start:c", "start:d<start:a"], 2, probe, stop);
    insta::assert_snapshot!(text, @"
    start:a started
    start:b started
    draining
    start:c skipped
    start:d skipped
    start:a done
    start:b done
    ");
    assert_eq!(words(&outcome.skipped), "start:c start:d");
    assert!(outcome.interrupted);
}

#[test]
fn asked_to_stop_before_it_began_it_does_nothing() {
    let (_sender, stop) = watch::channel(true);
    let (text, ..) = run_until(&["start:a"], 2, Probe::default(), stop);
    insta::assert_snapshot!(text, @"
    draining
    start:a skipped
    ");
}

#[test]
fn a_stop_that_cannot_come_any_more_is_not_waited_for() {
    let (_, stop) = watch::channel(false);
    let (_, outcome, _) = run_until(&["start:a"], 2, Probe::default(), stop);
    assert_eq!(words(&outcome.done), "start:a");
}

#[test]
fn no_more_wait_at_the_gate_than_a_process_has_descriptors_for() {
    let steps: Vec<String> = (0..1200).map(|number| format!("stop:c-{number}")).collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let (_, outcome, probe) = run(&steps, 64, Probe::default());
    assert_eq!(outcome.done.len(), 1200);
    let most = probe.watched().most_waiting;
    assert!((500..=500 + 64).contains(&most), "{most} waited");
}
