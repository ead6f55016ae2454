//! Findings in fleet files: the line, a caret under what is wrong, the likely fix.

use std::fmt;
use std::path::Path;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde::Serialize;

use super::Palette;
use super::palette::Tone;
use super::plain::plain;
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
    let place = Place { finding, source: NamedSource::new(place_of(finding), shown(text)) };
    let mut drawing = String::new();
    let handler = GraphicalReportHandler::new_themed(styles).with_width(WIDTH).with_links(false).with_context_lines(1);
    // The library counts bytes and not characters: the place is a part of the name.
    let handler = handler.without_primary_span_start();
    handler.render_report(&mut drawing, &place).expect("writing to a string cannot fail");
    drawing
}

fn name_of(file: &Path) -> String {
    file.display().to_string()
}

/// In the form that editors and log readers know.
fn place_of(finding: &Finding) -> String {
    let Finding { file, line, column, .. } = finding;
    format!("{}:{line}:{column}", plain(&name_of(file)))
}

/// `text` with a sign of the same length for each control character, so that nothing is moved and no terminal obeys.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        shown.push(match character {
            '\n' | '\t' => character,
            '\r' if rest.peek() == Some(&'\n') => character,
            '\0'..='\x1f' | '\x7f' => '?',
            '\u{80}'..='\u{9f}' => '\u{bf}',
            _ => character,
        });
    }
    shown
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
        // Said in words as well: the file may have no line to show.
        write!(f, "{}: {}", place_of(self.finding), plain(&self.finding.message))
    }
}

impl std::error::Error for Place<'_> {}

impl Diagnostic for Place<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.finding.hint.as_ref().map(|hint| Box::new(plain(hint)) as Box<dyn fmt::Display>)
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
    fn heading_and_frame_name_the_same_column_behind_other_letters() {
        let text = "containers: {größe: {memroy: 1G}}\n";
        let mut rejected = rejected(text);
        let finding = &mut rejected[0].findings[0];
        (finding.line, finding.column, finding.span) = (1, 22, (23, 6));
        insta::assert_snapshot!(findings(&rejected, Palette::Plain), @r"
          x fleet.yaml:1:22: unknown key `memroy`
           ,-[fleet.yaml:1:22]
         1 | containers: {größe: {memroy: 1G}}
           :                      ^^^^^^
           `----
          help: did you mean `memory`?
        error: 1 finding: nothing was done
        ");
    }

    #[test]
    fn nothing_of_a_file_is_obeyed_by_a_terminal() {
        let mut rejected = rejected("defaults:\n\x1b[8mory: 1G \u{9b}\r\n");
        rejected[0].findings[0].message = "unknown key `\x1b[8mory`".into();
        insta::assert_snapshot!(findings(&rejected, Palette::Plain), @r"
          x fleet.yaml:2:3: unknown key `^[[8mory`
           ,-[fleet.yaml:2:3]
         1 | defaults:
         2 | ?[8mory: 1G ¿
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
