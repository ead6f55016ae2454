//! Where findings gather until all of the file has been looked at.

use std::collections::HashSet;
use std::path::Path;

use super::node::Span;
use super::{Finding, Rejected};

/// What is wrong with one value, and the likely fix: a finding that does not know its place yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Complaint {
    /// What is wrong.
    pub(super) message: String,
    /// The likely fix.
    pub(super) hint: Option<String>,
}

impl Complaint {
    /// A complaint without a fix to offer.
    pub(super) fn new(message: impl Into<String>) -> Complaint {
        Complaint { message: message.into(), hint: None }
    }

    /// The same with the likely fix.
    pub(super) fn hint(self, hint: impl Into<String>) -> Complaint {
        Complaint { hint: Some(hint.into()), ..self }
    }

    /// The same with `hint`, if that is one.
    pub(super) fn or_hint(self, hint: Option<String>) -> Complaint {
        Complaint { hint: hint.or(self.hint), ..self }
    }
}

impl From<String> for Complaint {
    fn from(message: String) -> Complaint {
        Complaint::new(message)
    }
}

/// All that has been found so far. The same thing at the same place counts once: what an anchor defines is looked at
/// wherever an alias stands for it.
#[derive(Debug, Default)]
pub(super) struct Findings(HashSet<(Span, Complaint)>);

impl Findings {
    /// Adds one.
    pub(super) fn add(&mut self, span: Span, complaint: Complaint) {
        self.0.insert((span, complaint));
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them in the order of the file.
    pub(super) fn into_rejected(self, file: &Path, text: &str, lines: &Lines) -> Rejected {
        let mut found: Vec<_> = self.0.into_iter().collect();
        found.sort_by(|(at, a), (other, b)| (at, &a.message).cmp(&(other, &b.message)));
        let findings = found.into_iter().map(|(span, complaint)| {
            let (line, column) = lines.place(text, span.start);
            Finding {
                file: file.to_owned(),
                line,
                column,
                span: (span.start, span.length),
                message: complaint.message,
                hint: complaint.hint,
            }
        });
        Rejected { file: file.to_owned(), text: text.to_owned(), findings: findings.collect() }
    }
}

/// Where the lines of a text begin.
#[derive(Debug)]
pub(super) struct Lines(Vec<usize>);

impl Lines {
    /// The lines of `text`.
    pub(super) fn of(text: &str) -> Lines {
        Lines(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// The number of the line that holds the byte at `offset`, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }

    /// Line and column in characters of the byte at `offset`, both from 1.
    fn place(&self, text: &str, offset: usize) -> (usize, usize) {
        let line = self.line(offset);
        let before = text.get(self.0[line - 1]..offset).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}
