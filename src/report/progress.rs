//! A plan while it runs: bars on a terminal, lines elsewhere.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::plain::plain;
use super::{Console, Transfers, Verbosity, failure};
use crate::model::{Action, Event, Step, StepId, StepResult};

/// So many running steps are named at a time.
const MOST_NAMED: usize = 4;

/// Draws the events of one plan.
pub(crate) struct Progress {
    console: Console,
    running: Vec<(StepId, String)>,
    bars: Option<Bars>,
    transfers: Transfers,
}

/// What stands at the bottom of a terminal while a plan runs.
struct Bars {
    lines: MultiProgress,
    count: ProgressBar,
    running: ProgressBar,
}

impl Progress {
    /// For a plan of `total` steps.
    pub(crate) fn new(console: Console, total: usize) -> Progress {
        let lively = io::stderr().is_terminal() && console.verbosity != Verbosity::Quiet;
        let bars = lively.then(|| Bars::new(total));
        Progress { console, running: Vec::new(), bars, transfers: Transfers::default() }
    }

    /// Draws `event`.
    pub(crate) fn draw(&mut self, event: &Event) {
        match event {
            Event::Started(step) => {
                let doing = format!("{} {}", step.action.verb(), step.action.target());
                if self.console.verbosity == Verbosity::Verbose {
                    self.line(&format!("{doing} …"));
                }
                self.running.push((step.id.clone(), doing));
            }
            Event::Finished(step, result) => self.finished(step, result),
            Event::Draining => {
                self.line("stopping: what runs is finished, nothing else begins; once more quits at once");
            }
            Event::Image(news) => {
                let bars = self.bars.as_ref().map(|bars| &bars.lines);
                if let Some(line) = self.transfers.hear(news, bars) {
                    self.line(&line);
                }
            }
        }
        if let Some(bars) = &self.bars {
            bars.running.set_message(named(&self.running));
        }
    }

    fn finished(&mut self, step: &Step, result: &StepResult) {
        self.running.retain(|(id, _)| *id != step.id);
        if let Some(bars) = &self.bars {
            bars.count.inc(1);
        }
        match result {
            StepResult::Done { took, warnings } => {
                // On a terminal the bar has counted it already.
                if self.bars.is_none() || self.console.verbosity == Verbosity::Verbose {
                    self.line(&done_line(step, *took));
                }
                for warning in warnings {
                    self.line(&format!("{}: warning: {warning}", step.action.target()));
                }
            }
            StepResult::Failed(why) => self.failed(step, why),
            StepResult::Skipped => {}
        }
    }

    /// Failures are told even when all else is quiet.
    fn failed(&self, step: &Step, why: &crate::model::StepFailure) {
        let subject = format!("{}: failed", step.action.target());
        let text = failure(&subject, why, self.console.stderr);
        match &self.bars {
            Some(bars) => bars.lines.suspend(|| self.console.error(|_| text)),
            None => self.console.error(|_| text),
        }
    }

    fn line(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.lines.suspend(|| self.console.note(text)),
            None => self.console.note(text),
        }
    }

    /// Takes the bars away.
    pub(crate) fn finish(self) {
        self.transfers.finish();
        if let Some(bars) = self.bars {
            bars.running.finish_and_clear();
            bars.count.finish_and_clear();
        }
    }
}

impl Bars {
    fn new(total: usize) -> Bars {
        let lines = MultiProgress::new();
        let count = lines.add(ProgressBar::new(total as u64));
        let running = lines.add(ProgressBar::new_spinner());
        let style = |template| ProgressStyle::with_template(template).expect("the template is constant and right");
        count.set_style(style("[{bar:30}] {pos}/{len} steps, {elapsed}").progress_chars("=> "));
        running.set_style(style("{spinner} {wide_msg}"));
        running.enable_steady_tick(Duration::from_millis(100));
        Bars { lines, count, running }
    }
}

fn named(running: &[(StepId, String)]) -> String {
    let named: Vec<&str> = running.iter().take(MOST_NAMED).map(|(_, doing)| doing.as_str()).collect();
    let more = if running.len() > MOST_NAMED { ", …" } else { "" };
    plain(&named.join(", ")).into_owned() + more
}

fn done_line(step: &Step, took: Duration) -> String {
    let done = match &step.action {
        Action::EnsureNetwork { .. } => "network ready",
        Action::DeleteNetwork { .. } => "network removed",
        Action::EnsureSegment { .. } => "network extended",
        Action::DeleteSegment(_) => "network reduced",
        Action::SetRules(_) => "packet rules set",
        Action::DeleteRules { .. } => "packet rules removed",
        Action::SetForwarding { .. } | Action::SetNeighbours { .. } => "set",
        Action::RestoreForwarding(_) | Action::RestoreNeighbours(_) => "put back",
        Action::FetchImage { .. } => "image stored",
        Action::Create(_) => "created",
        Action::Configure(_) => "configured",
        Action::SetLimits(_) => "limits set",
        Action::SetLinks(_) => "links set",
        Action::SetMounts(_) => "mounts set",
        Action::Start(_) => "started",
        Action::Adopt(_) => "has a monitor again",
        Action::Stop { .. } => "stopped",
        Action::Delete(_) => "deleted",
        Action::DeleteVolume(_) => "volume deleted",
    };
    format!("{}: {done} ({})", step.action.target(), span(took))
}

/// A short time as people say it.
fn span(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Consequence;
    use crate::report::example::{record, step};

    #[test]
    fn a_step_that_is_done_is_told_in_one_line() {
        let create = step(Action::Create(record("agent-1")), "", Consequence::None);
        assert_eq!(done_line(&create, Duration::from_micros(12_400)), "agent-1: created (12 ms)");
        assert_eq!(done_line(&create, Duration::from_millis(1240)), "agent-1: created (1.2 s)");
    }

    #[test]
    fn few_of_many_running_steps_are_named() {
        let running: Vec<_> = (1..=5).map(|n| (StepId(n.to_string()), format!("start a{n}"))).collect();
        assert_eq!(named(&running), "start a1, start a2, start a3, start a4, …");
    }
}
