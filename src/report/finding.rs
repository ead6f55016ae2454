//! Findings in fleet files: the line, a caret under what is wrong, the likely fix.

use std::fmt;
use std::path::Path;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde::Serialize;

use super::Palette;
use super::palette::Tone;
use crate::manifest::{Finding, Rejected};

/// Columns of a drawing; fixed, so that it is the same in a terminal and in a log.
const WIDTH: usize = 120;

/// All findings of `rejected`, drawn.
pub(crate) fn findings(rejected: &[Rejected], palette: Palette) -> String {
    let text: String = rejected
        .iter()
        .flat_map(|file| file.findings.iter().map(|finding| draw(finding, &file.text, palette)))
        .collect();
    let count: usize = rejected.iter().map(|file| file.findings.len()).sum();
    let noun = if count == 1 { "finding" } else { "findings" };
    text + &palette.paint(Tone::Bad, "error:") + &format!(" {count} {noun}: nothing was done\n")
}

fn draw(finding: &Finding, text: &str, palette: Palette) -> String {
    let styles = match palette {
        Palette::Plain => GraphicalTheme::none(),
        Palette::Colour => GraphicalTheme::ascii(),
    };
    let place = Place { finding, source: NamedSource::new(name_of(&finding.file), text.to_owned()) };
    let mut drawing = String::new();
    let handler = GraphicalReportHandler::new_themed(styles).with_width(WIDTH).with_links(false).with_context_lines(1);
    handler.render_report(&mut drawing, &place).expect("writing to a string cannot fail");
    drawing
}

fn name_of(file: &Path) -> String {
    file.display().to_string()
}

/// A finding in the shape that miette draws.
#[derive(Debug)]
struct Place<'a> {
    finding: &'a Finding,
    source: NamedSource<String>,
}

impl Place<'_> {
    /// The span cut to the text, which may be shorter: a file that cannot be read has none.
    fn span(&self) -> Option<(usize, usize)> {
        let end = self.source.inner().len();
        let (start, length) = self.finding.span;
        (start < end).then(|| (start, length.clamp(1, end - start)))
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Said in words as well, in the form that editors and log readers know.
        let Finding { file, line, column, message, .. } = self.finding;
        write!(f, "{}:{line}:{column}: {message}", file.display())
    }
}

impl std::error::Error for Place<'_> {}

impl Diagnostic for Place<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.finding.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.span().map(|_| &self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.span().map(|span| Box::new(std::iter::once(LabeledSpan::underline(span))) as Box<dyn Iterator<Item = _>>)
    }
}

/// The document of `fleet validate`, and of any command whose fleet file was rejected.
#[derive(Debug, Serialize)]
pub(crate) struct FindingsJson {
    valid: bool,
    findings: Vec<FindingJson>,
}

#[derive(Debug, Serialize)]
struct FindingJson {
    file: String,
    line: usize,
    column: usize,
    message: String,
    hint: Option<String>,
}

/// `rejected` as a document; an empty slice is valid.
pub(crate) fn findings_json(rejected: &[Rejected]) -> FindingsJson {
    let findings = rejected.iter().flat_map(|file| &file.findings).map(|finding| FindingJson {
        file: name_of(&finding.file),
        line: finding.line,
        column: finding.column,
        message: finding.message.clone(),
        hint: finding.hint.clone(),
    });
    FindingsJson { valid: rejected.is_empty(), findings: findings.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(text: &str) -> [Rejected; 1] {
        let finding = Finding {
            file: "fleet.yaml".into(),
            line: 2,
            column: 3,
            span: (12, 6),
            message: "unknown key `memroy`".into(),
            hint: Some("did you mean `memory`?".into()),
        };
        [Rejected { file: "fleet.yaml".into(), text: text.into(), findings: vec![finding] }]
    }

    #[test]
    fn a_finding_shows_its_line_with_a_caret_and_the_fix() {
        let drawn = findings(&rejected("defaults:\n  memroy: 1G\n"), Palette::Plain);
        insta::assert_snapshot!(drawn, @r"
          x fleet.yaml:2:3: unknown key `memroy`
           ,-[fleet.yaml:2:3]
         1 | defaults:
         2 |   memroy: 1G
           :   ^^^^^^
           `----
          help: did you mean `memory`?
        error: 1 finding: nothing was done
        ");
    }

    #[test]
    fn a_file_without_text_still_tells_what_is_wrong() {
        insta::assert_snapshot!(findings(&rejected(""), Palette::Plain), @r"
          x fleet.yaml:2:3: unknown key `memroy`
          help: did you mean `memory`?
        error: 1 finding: nothing was done
        ");
    }

    #[test]
    fn the_document_of_no_findings_is_valid() {
        let document = serde_json::to_string(&findings_json(&[])).expect("it serialises");
        assert_eq!(document, r#"{"valid":true,"findings":[]}"#);
        let document = serde_json::to_string(&findings_json(&rejected(""))).expect("it serialises");
        assert_eq!(
            document,
            concat!(
                r#"{"valid":false,"findings":[{"file":"fleet.yaml","line":2,"column":3,"#,
                r#""message":"unknown key `memroy`","hint":"did you mean `memory`?"}]}"#
            )
        );
    }
}
