//! Reading mappings, lists and single values of the tree; whatever is wrong with them becomes a finding.

use std::collections::{BTreeMap, HashMap, hash_map};
use std::path::PathBuf;

use super::files::Files;
use super::findings::{Complaint, Findings, Lines};
use super::keys::Keys;
use super::node::{Entry, Node, Placed, Span, Value};
use super::remotes::Remotes;

/// What goes along through the file.
#[derive(Debug)]
pub(super) struct Reader {
    /// What has been found.
    pub(super) findings: Findings,
    /// To say "line 12" in a finding elsewhere.
    pub(super) lines: Lines,
    /// The files that the fleet file names.
    pub(super) files: Files,
    /// The image servers that it can name.
    pub(super) remotes: Remotes,
    /// Private keys beside the public ones that the fleet file names, by the lines of these.
    pub(super) private_keys: BTreeMap<String, PathBuf>,
}

/// A value of a key, as far as it could be read.
#[derive(Debug, Clone, Default)]
pub(super) enum Setting<T> {
    /// The key is not there.
    #[default]
    Absent,
    /// It is there, and there is a finding about it.
    Wrong,
    /// It is there.
    Given(Placed<T>),
}

impl<T> Setting<T> {
    /// The value with its place.
    pub(super) fn given(&self) -> Option<&Placed<T>> {
        match self {
            Setting::Given(placed) => Some(placed),
            Setting::Absent | Setting::Wrong => None,
        }
    }

    /// The value.
    pub(super) fn value(&self) -> Option<&T> {
        self.given().map(|placed| &placed.value)
    }

    /// Whether the key is not there.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Setting::Absent)
    }
}

impl<T: Clone> Setting<T> {
    /// This one, or `below` if it is absent.
    pub(super) fn or(&self, below: &Setting<T>) -> Setting<T> {
        if self.is_absent() { below.clone() } else { self.clone() }
    }
}

/// A mapping whose keys have been checked.
#[derive(Debug, Default)]
pub(super) struct Section<'n>(HashMap<&'n str, &'n Entry>);

impl<'n> Section<'n> {
    /// The entry of `key`.
    pub(super) fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.0.get(key).copied()
    }

    /// The value of `key`, read by `read`, which has added a finding when it returns `None`.
    pub(super) fn setting<T>(
        &self,
        reader: &mut Reader,
        key: &str,
        read: impl FnOnce(&mut Reader, &'n Entry) -> Option<T>,
    ) -> Setting<T> {
        let Some(entry) = self.entry(key) else { return Setting::Absent };
        match read(reader, entry) {
            Some(value) => Setting::Given(Placed { value, span: entry.place() }),
            None => Setting::Wrong,
        }
    }

    /// The single value of `key`, parsed by `parse`.
    pub(super) fn scalar<T>(
        &self,
        reader: &mut Reader,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, Complaint>,
    ) -> Setting<T> {
        self.setting(reader, key, |reader, entry| {
            let text = reader.text(entry)?;
            reader.accept(entry.place(), parse(text))
        })
    }
}

impl Reader {
    /// Adds a finding.
    pub(super) fn complain(&mut self, span: Span, complaint: impl Into<Complaint>) {
        self.findings.add(span, complaint.into());
    }

    /// The value of `result`, or a finding at `span`.
    pub(super) fn accept<T>(&mut self, span: Span, result: Result<T, Complaint>) -> Option<T> {
        result.map_err(|complaint| self.complain(span, complaint)).ok()
    }

    /// The line of `span`, from 1.
    pub(super) fn line(&self, span: Span) -> usize {
        self.lines.line(span.start)
    }

    /// The mapping `node`, called `what`, with its keys checked against `keys`.
    pub(super) fn section<'n>(&mut self, what: &str, place: Span, node: &'n Node, keys: &Keys) -> Option<Section<'n>> {
        let mut known = HashMap::new();
        for entry in self.entries(what, place, node)? {
            if self.accept(entry.key.span, keys.check(&entry.key.value)).is_some() {
                known.insert(entry.key.value.as_str(), entry);
            }
        }
        Some(Section(known))
    }

    /// The entries of the mapping `node`, called `what`; nothing is an empty mapping, and a key that is there
    /// twice counts the first time.
    pub(super) fn entries<'n>(&mut self, what: &str, place: Span, node: &'n Node) -> Option<Vec<&'n Entry>> {
        let entries = match &node.value {
            Value::Mapping(entries) => entries.as_slice(),
            Value::Empty => &[],
            Value::Broken => return None,
            Value::Scalar(_) | Value::List(_) => {
                self.complain(place, format!("{what} must be a mapping of keys to values"));
                return None;
            }
        };
        let mut seen = HashMap::with_capacity(entries.len());
        let mut first = Vec::with_capacity(entries.len());
        for entry in entries {
            match seen.entry(entry.key.value.as_str()) {
                hash_map::Entry::Vacant(vacant) => {
                    vacant.insert(entry.key.span);
                    first.push(entry);
                }
                hash_map::Entry::Occupied(before) => {
                    let line = self.line(*before.get());
                    let message = format!("`{}` is there twice: first in line {line}", entry.key.value);
                    self.complain(entry.key.span, message);
                }
            }
        }
        Some(first)
    }

    /// The items of the list that `entry` has.
    pub(super) fn list<'n>(&mut self, entry: &'n Entry) -> Option<&'n [Node]> {
        let key = &entry.key.value;
        match &entry.node.value {
            Value::List(items) => Some(items),
            Value::Broken => None,
            Value::Empty => {
                self.complain(
                    entry.place(),
                    Complaint::new(format!("`{key}` has no value")).hint("write `[]` for none"),
                );
                None
            }
            Value::Scalar(_) | Value::Mapping(_) => {
                let hint = format!("write `{key}: [ITEM, …]`");
                self.complain(entry.place(), Complaint::new(format!("`{key}` must be a list")).hint(hint));
                None
            }
        }
    }

    /// The single value that `entry` has.
    pub(super) fn text<'n>(&mut self, entry: &'n Entry) -> Option<&'n str> {
        self.single(&format!("`{}`", entry.key.value), entry.place(), &entry.node)
    }

    /// The single value that the list item `node` is, `place` being where the list is.
    pub(super) fn item<'n>(&mut self, what: &str, place: Span, node: &'n Node) -> Option<&'n str> {
        self.single(what, item_place(place, node), node)
    }

    fn single<'n>(&mut self, what: &str, place: Span, node: &'n Node) -> Option<&'n str> {
        match &node.value {
            Value::Scalar(text) => Some(text),
            Value::Broken => None,
            Value::Empty => {
                self.complain(place, format!("{what} has no value"));
                None
            }
            Value::List(_) => {
                self.complain(place, format!("{what} must be a single value, not a list"));
                None
            }
            Value::Mapping(_) => {
                self.complain(place, format!("{what} must be a single value, not a mapping"));
                None
            }
        }
    }
}

/// Where a finding about the list item `node` points: at it; at the first key of one that is spread over lines; or, if it
/// is nowhere, at the list's `place`.
pub(super) fn item_place(place: Span, node: &Node) -> Span {
    match &node.value {
        _ if node.span.length > 0 => node.span,
        Value::Mapping(entries) => entries.first().map_or(place, |entry| entry.key.span),
        Value::Scalar(_) | Value::Empty | Value::List(_) | Value::Broken => place,
    }
}
