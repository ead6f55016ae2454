//! The tree that a fleet file is read into: every key and value with its place.

/// A stretch of the file's text, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Span {
    /// Where it begins.
    pub(super) start: usize,
    /// How long it is.
    pub(super) length: usize,
}

/// A value with the place that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed<T> {
    /// The value.
    pub(super) value: T,
    /// Its place.
    pub(super) span: Span,
}

/// A value of the file. What an alias stands for has the place where it was defined: that is where it is mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// What it is.
    pub(super) value: Value,
    /// Where it begins; of a mapping or a list not always how far it goes.
    pub(super) span: Span,
}

/// The kinds of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Nothing, `~` or `null`.
    Empty,
    /// A word, number or text, as written: `0755` is not turned into a number, nor `no` into a truth value.
    Scalar(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the file. Keys may be there twice.
    Mapping(Vec<Entry>),
    /// Something that a finding has been made of already: whoever reads it says nothing more.
    Broken,
}

/// A key of a mapping with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: Placed<String>,
    /// Its value.
    pub(super) node: Node,
}

impl Entry {
    /// Where a finding about the value points: at the value if it is a text, else at the key, because block
    /// collections begin on lines of their own and empty values are nowhere.
    pub(super) fn place(&self) -> Span {
        match &self.node.value {
            Value::Scalar(_) if self.node.span.length > 0 => self.node.span,
            Value::Scalar(_) | Value::Empty | Value::List(_) | Value::Mapping(_) | Value::Broken => self.key.span,
        }
    }
}
