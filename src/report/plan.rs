//! A plan for people: one line for each thing, equal lines folded, a summary.

use std::fmt::Write as _;

use super::change::{Change, Line, lines_of};
use super::names::fold_names;
use super::palette::{Palette, Tone};
use super::plain::plain;
use crate::model::{Conflict, Plan};

/// Names wider than this push their own line out instead of all others.
const WIDEST_NAME: usize = 40;

/// Whether equal lines are told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Folding {
    /// One line for all containers that the same happens to.
    Folded,
    /// One line for each container.
    Unfolded,
}

/// `plan` as lines and a summary. The plan has steps.
pub(crate) fn plan(plan: &Plan, folding: Folding, palette: Palette) -> String {
    let lines = lines_of(plan);
    let summary = summary(&lines);
    let lines = match folding {
        Folding::Folded => folded(lines),
        Folding::Unfolded => lines,
    };
    let drawn: Vec<(String, &Line)> = lines.iter().map(|line| (names_of(line), line)).collect();
    let widths = drawn.iter().map(|(names, _)| names.chars().count());
    let width = widths.filter(|width| *width <= WIDEST_NAME).max().unwrap_or(0);
    let mut text = String::new();
    for (names, line) in &drawn {
        let (sign, tone) = line.change.sign();
        let _ = write!(text, "{}  {}", palette.paint(tone, &format!("{sign} {names:<width$}")), plain(&line.words));
        if !line.consequence.is_empty() {
            text += &palette.paint(Tone::Faint, &format!("  ({})", plain(&line.consequence)));
        }
        text.push('\n');
    }
    for note in &plan.notes {
        let _ = writeln!(text, "  {} {}", palette.paint(Tone::Strong, "note:"), plain(note));
    }
    text + &summary + "\n"
}

/// What stands in the way of a plan.
pub(crate) fn conflicts(conflicts: &[Conflict], palette: Palette) -> String {
    let mut text = String::new();
    for conflict in conflicts {
        let target = palette.paint(Tone::Bad, &format!("! {}", plain(&conflict.target)));
        let _ = writeln!(text, "{target}  {}", plain(&conflict.message));
        if !conflict.hint.is_empty() {
            let _ = writeln!(text, "  {} {}", palette.paint(Tone::Strong, "hint:"), plain(&conflict.hint));
        }
    }
    text
}

fn names_of(line: &Line) -> String {
    let names: Vec<&str> = line.names.iter().map(String::as_str).collect();
    plain(&fold_names(&names)).into_owned()
}

/// Lines that differ in nothing but the name, as one line where the first of them was.
fn folded(lines: Vec<Line>) -> Vec<Line> {
    let mut folded: Vec<Line> = Vec::new();
    for line in lines {
        let same = |other: &&mut Line| {
            (other.change, &other.words, &other.consequence) == (line.change, &line.words, &line.consequence)
        };
        match folded.iter_mut().find(same) {
            Some(first) => first.names.extend(line.names),
            None => folded.push(line),
        }
    }
    folded
}

fn summary(lines: &[Line]) -> String {
    let count = |change: Change| lines.iter().filter(|line| line.change == change).count();
    let mut text = format!(
        "Plan: {} to create, {} to change, {} to rebuild, {} to destroy",
        count(Change::Create),
        count(Change::Alter),
        count(Change::Rebuild),
        count(Change::Destroy)
    );
    for (change, word) in [(Change::Start, "start"), (Change::Stop, "stop")] {
        if count(change) > 0 {
            let _ = write!(text, ", {} to {word}", count(change));
        }
    }
    text + "."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Action, Consequence, Step};
    use crate::report::example::{plan_of, record, step};

    fn drawn(steps: Vec<Step>, folding: Folding) -> String {
        plan(&plan_of(steps), folding, Palette::Plain)
    }

    fn ten_new() -> Vec<Step> {
        (1..=10)
            .flat_map(|number| {
                let record = record(&format!("agent-{number}"));
                let name = record.spec.name.clone();
                [
                    step(Action::Create(record), "not on this host", Consequence::None),
                    step(Action::Start(name), "it is new", Consequence::None),
                ]
            })
            .collect()
    }

    #[test]
    fn equal_creations_fold_into_one_line() {
        insta::assert_snapshot!(drawn(ten_new(), Folding::Folded), @r"
        + agent-1 … agent-10 (10)  create from busybox, start
        Plan: 10 to create, 0 to change, 0 to rebuild, 0 to destroy.
        ");
    }

    #[test]
    fn a_creation_says_what_weakens_isolation() {
        let mut record = record("a");
        record.spec.security.privileged = true;
        record.spec.security.capabilities.add.insert("sys_time".parse().expect("a capability"));
        let path: std::path::PathBuf = "/dev/kvm".into();
        record.spec.devices.push(crate::model::DeviceSpec { source: path.clone(), target: path, mode: 0o666 });
        let name = record.spec.name.clone();
        let steps = vec![
            step(Action::Create(record), "it does not exist", Consequence::None),
            step(Action::Start(name), "it is new", Consequence::None),
        ];
        insta::assert_snapshot!(drawn(steps, Folding::Folded), @"
        + a  create from busybox (privileged: its root is the host's, capability sys_time, device /dev/kvm), start
        Plan: 1 to create, 0 to change, 0 to rebuild, 0 to destroy.
        ");
    }

    #[test]
    fn unfolded_every_container_has_its_line() {
        insta::assert_snapshot!(drawn(ten_new().split_off(14), Folding::Unfolded), @r"
        + agent-8   create from busybox, start
        + agent-9   create from busybox, start
        + agent-10  create from busybox, start
        Plan: 3 to create, 0 to change, 0 to rebuild, 0 to destroy.
        ");
    }

    #[test]
    fn every_kind_of_change_has_its_sign_and_the_worst_consequence() {
        let name = |text: &str| text.parse().expect("a name");
        let steps = vec![
            step(Action::SetLimits(record("a")), "memory 256MiB → 512MiB", Consequence::Live),
            step(Action::Stop { name: name("b"), timeout_s: 10 }, "image a → b", Consequence::Restart),
            step(Action::Delete(name("b")), "image a → b", Consequence::Rebuild),
            step(Action::Create(record("b")), "image a → b", Consequence::Rebuild),
            step(Action::Start(name("b")), "image a → b", Consequence::Rebuild),
            step(Action::Stop { name: name("c"), timeout_s: 10 }, "not in the fleet file", Consequence::Destroy),
            step(Action::Delete(name("c")), "not in the fleet file", Consequence::Destroy),
            step(Action::Start(name("d")), "stopped", Consequence::None),
            step(Action::Delete(name("e")), "half made", Consequence::None),
            step(Action::Create(record("e")), "half made", Consequence::None),
        ];
        insta::assert_snapshot!(drawn(steps, Folding::Folded), @r"
        ~ a  memory 256MiB → 512MiB  (live)
        ± b  image a → b  (rebuild: root filesystem replaced, identity kept)
        - c  not in the fleet file  (destroy: all its data is lost)
        ▶ d  start: stopped
        + e  clear away: half made, create from busybox
        Plan: 1 to create, 1 to change, 1 to rebuild, 1 to destroy, 1 to start.
        ");
    }

    #[test]
    fn what_several_steps_are_for_is_said_once() {
        let steps = vec![
            step(Action::SetLinks(record("a")), "networks +storage, mtu none → 1400", Consequence::Live),
            step(
                Action::Configure(record("a")),
                "networks +storage, mtu none → 1400, ports +80:80/tcp",
                Consequence::Live,
            ),
        ];
        insta::assert_snapshot!(drawn(steps, Folding::Folded), @r"
        ~ a  networks +storage, mtu none → 1400, ports +80:80/tcp  (live)
        Plan: 0 to create, 1 to change, 0 to rebuild, 0 to destroy.
        ");
    }

    #[test]
    fn notes_stand_below_what_is_done() {
        let start = step(Action::Start("d".parse().expect("a name")), "stopped", Consequence::None);
        let noted = Plan { notes: vec!["it may not be enough".to_owned()], ..plan_of(vec![start]) };
        insta::assert_snapshot!(plan(&noted, Folding::Folded, Palette::Plain), @r"
        ▶ d  start: stopped
          note: it may not be enough
        Plan: 0 to create, 0 to change, 0 to rebuild, 0 to destroy, 1 to start.
        ");
    }

    #[test]
    fn nothing_that_a_guest_named_is_obeyed_by_a_terminal() {
        let drift = "link eth0 is called `\x1b[8m\n+ b`";
        let mend = step(Action::SetLinks(record("a")), drift, Consequence::Live);
        let noted = Plan { notes: vec!["of `\x1b[2J`".to_owned()], ..plan_of(vec![mend]) };
        insta::assert_snapshot!(plan(&noted, Folding::Folded, Palette::Plain), @r"
        ~ a  link eth0 is called `^[[8m^J+ b`  (live)
          note: of `^[[2J`
        Plan: 0 to create, 1 to change, 0 to rebuild, 0 to destroy.
        ");
        let conflict = Conflict { target: "\x07".into(), message: "it is \x1b[8m".into(), hint: "see \u{9b}2J".into() };
        insta::assert_snapshot!(conflicts(&[conflict], Palette::Plain), @r"
        ! ^G  it is ^[[8m
          hint: see \x9b2J
        ");
    }

    #[test]
    fn a_conflict_says_what_to_do() {
        let conflict = Conflict {
            target: "br0".into(),
            message: "a link of this name is not fleet's".into(),
            hint: "choose another `bridge:`".into(),
        };
        insta::assert_snapshot!(conflicts(&[conflict], Palette::Plain), @r"
        ! br0  a link of this name is not fleet's
          hint: choose another `bridge:`
        ");
    }
}
