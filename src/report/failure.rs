//! Errors: a headline, a `because:` line for each cause, a `hint:`.

use std::fmt::Write as _;

use serde::Serialize;

use super::Palette;
use super::palette::Tone;
use crate::model::StepFailure;

/// `failure`, told of `subject`.
pub(crate) fn failure(subject: &str, failure: &StepFailure, palette: Palette) -> String {
    let mut causes = failure.chain.iter();
    let headline = causes.next().map_or("it failed", String::as_str);
    let mut text = format!("{} {headline}\n", palette.paint(Tone::Bad, &format!("{subject}:")));
    for cause in causes {
        let _ = writeln!(text, "  because: {cause}");
    }
    if let Some(hint) = &failure.hint {
        let _ = writeln!(text, "  {} {hint}", palette.paint(Tone::Strong, "hint:"));
    }
    text
}

/// The document that stands in for the data when a command failed before it had any.
#[derive(Debug, Serialize)]
pub(crate) struct FailureJson<'a> {
    error: &'a [String],
    hint: Option<&'a str>,
}

/// `failure` as a document.
pub(crate) fn failure_json(failure: &StepFailure) -> FailureJson<'_> {
    FailureJson { error: &failure.chain, hint: failure.hint.as_deref() }
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
}
