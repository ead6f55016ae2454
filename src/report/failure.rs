//! Errors: a headline, a `because:` line for each cause, a `hint:`.

use std::fmt::Write as _;

use serde::Serialize;

use super::Palette;
use super::palette::Tone;
use super::plain::plain;
use crate::model::StepFailure;

/// `failure`, told of `subject`.
pub(crate) fn failure(subject: &str, failure: &StepFailure, palette: Palette) -> String {
    let mut causes = failure.chain.iter();
    let headline = causes.next().map_or("it failed", String::as_str);
    let subject = palette.paint(Tone::Bad, &format!("{}:", plain(subject)));
    let mut text = format!("{subject} {}\n", indented(headline));
    for cause in causes {
        let _ = writeln!(text, "  because: {}", indented(cause));
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(text, "  {} {}", palette.paint(Tone::Strong, "hint:"), indented(hint));
    }
    text
}

/// What other programs said may have several lines. None of them begins where those of fleet's own do.
fn indented(words: &str) -> String {
    words.lines().map(|line| plain(line.trim())).collect::<Vec<_>>().join("\n    ")
}

/// The document that stands in for the data when a command failed before it had any.
#[derive(Debug, Serialize)]
pub(crate) struct FailureJson {
    error: Vec<String>,
    hint: Option<String>,
}

impl FailureJson {
    /// `failure` as a document.
    pub(super) fn new(failure: StepFailure) -> FailureJson {
        FailureJson { error: failure.chain, hint: failure.hint }
    }
}

/// `failure` as a document.
pub(crate) fn failure_json(failure: &StepFailure) -> FailureJson {
    FailureJson::new(failure.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_headline_its_causes_and_a_hint() {
        let broken = StepFailure {
            chain: vec!["cannot mount overlay on `/x`".into(), "no such device".into()],
            hint: Some("load the module with `modprobe overlay`".into()),
        };
        insta::assert_snapshot!(failure("agent-1: failed", &broken, Palette::Plain), @r"
        agent-1: failed: cannot mount overlay on `/x`
          because: no such device
          hint: load the module with `modprobe overlay`
        ");
    }

    #[test]
    fn nothing_of_an_error_is_obeyed_by_a_terminal_or_taken_for_a_line_of_fleets_own() {
        let broken = StepFailure {
            chain: vec!["cannot mount on `/a\rb\nweb: started`".into(), "E: one\n    E: \x1b[8mtwo".into()],
            hint: Some("remove `/\x1b]0;x\x07`".into()),
        };
        insta::assert_snapshot!(failure("agent-1: failed", &broken, Palette::Plain), @r"
        agent-1: failed: cannot mount on `/a^Mb
            web: started`
          because: E: one
            E: ^[[8mtwo
          hint: remove `/^[]0;x^G`
        ");
        let document = serde_json::to_string(&failure_json(&broken)).expect("it serialises");
        assert!(!document.contains(char::is_control), "{document}");
    }
}
