//! YAML to a [`Node`]: the only file that knows which library reads it.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_saphyr::{Error, Location, Options, Spanned, UserMessageFormatter};

use super::findings::Complaint;
use super::node::{Entry, Node, Placed, Span, Value};

/// Collections inside collections; the deepest place of a fleet file is at 7.
const DEEPEST: usize = 32;

/// Values of a file with its aliases expanded: enough for twenty thousand containers with a dozen keys each, and
/// few enough that an alias bomb is refused in a fraction of a second.
const MOST_VALUES: usize = 500_000;

/// Aliases and merge keys of a file: one or two for each of twenty thousand containers.
const MOST_ALIASES: usize = 50_000;

/// Reads the one document of `text`, aliases and merge keys expanded. What is not YAML is found up to its first error.
pub(super) fn parse(text: &str) -> Result<Node, Placed<Complaint>> {
    let raw: Spanned<Raw> =
        serde_saphyr::from_str_with_options(text, options()).map_err(|error| refusal(text, &error))?;
    Ok(node(text, raw))
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            flow_nesting_limit: DEEPEST,
            max_nodes: MOST_VALUES,
            max_events: 2 * MOST_VALUES,
            max_recorded_anchor_events: MOST_VALUES,
            max_recorded_anchor_bytes: 16 << 20,
            max_aliases: MOST_ALIASES,
            max_merge_keys: MOST_ALIASES,
            // One bundle of keys for hundreds of containers is what anchors are for.
            enforce_alias_anchor_ratio: false,
        },
        emit_comments: false,
        with_snippet: false,
        strict_booleans: true,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
    }
}

/// What the library says a value is, before the file's own text takes the place of numbers and truth values.
#[derive(Debug)]
enum Raw {
    Empty,
    /// A plain scalar that the library took for a number or a truth value.
    Typed,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Mapping(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Empty)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Empty)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut mapping: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = mapping.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Mapping(entries))
    }
}

fn node(text: &str, raw: Spanned<Raw>) -> Node {
    let span = span(text, raw.defined);
    let value = match raw.value {
        Raw::Empty => Value::Empty,
        Raw::Typed => Value::Scalar(written(text, span)),
        Raw::Text(text) => Value::Scalar(text),
        Raw::List(items) => Value::List(items.into_iter().map(|item| node(text, item)).collect()),
        Raw::Mapping(entries) => {
            Value::Mapping(entries.into_iter().map(|(key, value)| entry(text, key, value)).collect())
        }
    };
    Node { value, span }
}

fn entry(text: &str, key: Spanned<Raw>, value: Spanned<Raw>) -> Entry {
    let span = span(text, key.defined);
    let name = match key.value {
        Raw::Text(name) => name,
        // No key that fleet knows looks like this, so that it ends as an unknown one.
        Raw::Empty | Raw::Typed | Raw::List(_) | Raw::Mapping(_) => written(text, span),
    };
    Entry { key: Placed { value: name, span }, node: node(text, value) }
}

fn written(text: &str, span: Span) -> String {
    text.get(span.start..span.start + span.length).unwrap_or_default().trim().to_owned()
}

/// The bytes of `location`. Some errors carry no byte offset; their characters are counted then.
fn span(text: &str, location: Location) -> Span {
    let span = location.span();
    if let (Some(start), Some(length)) = (span.byte_offset(), span.byte_len()) {
        let start = usize::try_from(start).unwrap_or(usize::MAX).min(text.len());
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(text.len() - start);
        return Span { start, length };
    }
    let line = usize::try_from(location.line().saturating_sub(1)).unwrap_or(usize::MAX);
    let column = usize::try_from(location.column().saturating_sub(1)).unwrap_or(usize::MAX);
    let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let within = text[before..].char_indices().nth(column).map_or(text.len() - before, |(offset, _)| offset);
    Span { start: before + within, length: 0 }
}

/// A finding's words for what the library says.
fn refusal(text: &str, error: &Error) -> Placed<Complaint> {
    let span = error.location().map_or_else(Span::default, |location| span(text, location));
    let (message, hint) = match innermost(error) {
        Error::MultipleDocuments { .. } => {
            ("a fleet file has one YAML document".to_owned(), Some("put each fleet into a file of its own"))
        }
        Error::Budget { breach, .. } => over_budget(breach),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. } => too_much(),
        other => (words(other), None),
    };
    Placed { value: Complaint { message, hint: hint.map(str::to_owned) }, span }
}

fn innermost(error: &Error) -> &Error {
    match error.without_snippet() {
        Error::AliasError { error, .. } => innermost(error),
        other => other,
    }
}

/// The library's own words without the place at their end, which the finding has.
fn words(error: &Error) -> String {
    let text = error.render_with_formatter(&UserMessageFormatter);
    let words = text.rsplit_once(" at line ").map_or(text.as_str(), |(words, _)| words);
    // The parser looks ahead for the end of a flow collection, and meets its own limit before the budget's.
    if words == "recursion limit exceeded" {
        return too_deep();
    }
    let mut characters = words.chars();
    let first = characters.next().unwrap_or_default();
    // An initialism, such as YAML itself, stays as it is.
    let is_initialism = characters.clone().next().is_some_and(|second| second.is_ascii_uppercase());
    let first = if is_initialism { first } else { first.to_ascii_lowercase() };
    format!("this is not YAML: {first}{}", characters.as_str())
}

fn too_deep() -> String {
    format!("more than {DEEPEST} levels of nesting")
}

fn too_much() -> (String, Option<&'static str>) {
    (format!("more than {MOST_VALUES} values, counting what aliases stand for"), Some("split the fleet"))
}

fn over_budget(breach: &BudgetBreach) -> (String, Option<&'static str>) {
    match breach {
        BudgetBreach::Depth { .. } => (too_deep(), None),
        BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. } | BudgetBreach::MergeKeys { .. } => {
            (format!("more than {MOST_ALIASES} anchors, aliases or merge keys"), Some("split the fleet"))
        }
        // The library's enum is open; what is left of it counts values, aliases expanded, or their bytes.
        _ => too_much(),
    }
}
