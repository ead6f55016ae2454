//! Colours, or none. Everything reads the same without them.

/// Whether a stream shows colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Palette {
    /// Plain text.
    Plain,
    /// ANSI escape sequences (ECMA-48 §8.3.117).
    Colour,
}

/// What a piece of text is, for its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Something is made, or runs.
    Good,
    /// Something changes, or stands still.
    Change,
    /// Something is lost or went wrong.
    Bad,
    /// Less important than its neighbours.
    Faint,
    /// A heading.
    Strong,
}

impl Palette {
    /// `text` in the colour of `tone`.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Change => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Strong => "1",
        };
        match self {
            Palette::Plain => text.to_owned(),
            Palette::Colour => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}
