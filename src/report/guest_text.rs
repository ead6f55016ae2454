//! What guests print, on its way to the user: with names before its lines, and without what a terminal would obey.

use std::io::IsTerminal;

use super::Palette;
use super::plain::push_visible;

/// A line that is longer is cut into pieces of this many bytes, so that a guest cannot fill this process's memory.
const LONGEST_LINE: usize = 64 << 10;

/// A colour sequence that is longer is none.
const LONGEST_COLOUR: usize = 32;

/// Where the text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sink {
    /// A file or a pipe: bytes as they are.
    Raw,
    /// A terminal: line ends, tabs and colours are kept, and every other control character is written visibly, for
    /// what a guest prints could otherwise rewrite the screen, or make the terminal type.
    Terminal(Palette),
}

impl Sink {
    /// The sink that `stream` is, whose colours are those of `palette`.
    pub(crate) fn of(stream: &impl IsTerminal, palette: Palette) -> Sink {
        if stream.is_terminal() { Sink::Terminal(palette) } else { Sink::Raw }
    }
}

/// The text of one guest, which comes in pieces.
#[derive(Debug)]
pub(crate) struct GuestText {
    /// Before each line; without one, unfinished lines are passed on at once.
    prefix: Option<String>,
    sink: Sink,
    /// What is not passed on yet: the beginning of a line, or of a character or sequence.
    rest: Vec<u8>,
}

impl GuestText {
    pub(crate) fn new(prefix: Option<String>, sink: Sink) -> GuestText {
        GuestText { prefix, sink, rest: Vec::new() }
    }

    /// What of the text up to the end of `piece` can be written now.
    pub(crate) fn pass(&mut self, piece: &[u8]) -> Vec<u8> {
        self.rest.extend_from_slice(piece);
        let length = match self.prefix {
            Some(_) => {
                let lines = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
                if self.rest.len() - lines > LONGEST_LINE { self.rest.len() } else { lines }
            }
            None => self.rest.len() - unfinished(&self.rest),
        };
        let ready: Vec<u8> = self.rest.drain(..length).collect();
        self.drawn(&ready)
    }

    /// What is left at the end.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        let rest = std::mem::take(&mut self.rest);
        self.drawn(&rest)
    }

    fn drawn(&self, ready: &[u8]) -> Vec<u8> {
        let Some(prefix) = &self.prefix else { return self.safe(ready) };
        let mut drawn = Vec::new();
        for line in ready.split_inclusive(|byte| *byte == b'\n').flat_map(|line| line.chunks(LONGEST_LINE)) {
            drawn.extend_from_slice(prefix.as_bytes());
            drawn.extend(self.safe(line));
            if line.last() != Some(&b'\n') {
                drawn.push(b'\n');
            }
        }
        drawn
    }

    fn safe(&self, bytes: &[u8]) -> Vec<u8> {
        match self.sink {
            Sink::Raw => bytes.to_vec(),
            Sink::Terminal(palette) => visible(&String::from_utf8_lossy(bytes), palette).into_bytes(),
        }
    }
}

/// The length of what at the end of `bytes` may go on: carriage returns, a colour sequence, a character.
fn unfinished(bytes: &[u8]) -> usize {
    let returns = bytes.iter().rev().take_while(|byte| **byte == b'\r').count();
    if returns > 0 {
        return if returns > LONGEST_COLOUR { 0 } else { returns };
    }
    let end = &bytes[bytes.len().saturating_sub(LONGEST_COLOUR)..];
    if let Some(begin) = end.iter().rposition(|byte| *byte == 0x1b)
        && end[begin + 1..].iter().enumerate().all(|(place, byte)| is_of_colour(place, *byte))
    {
        return end.len() - begin;
    }
    // A character has at most four bytes, of which the first tells how many follow.
    let lead = bytes.iter().rev().take(3).position(|byte| byte & 0xc0 == 0xc0);
    lead.map_or(0, |behind| {
        let first = bytes[bytes.len() - 1 - behind];
        let whole = first.leading_ones() as usize;
        if behind + 1 < whole { behind + 1 } else { 0 }
    })
}

/// Whether `byte` may stand at `place` behind the escape of a colour sequence that goes on.
fn is_of_colour(place: usize, byte: u8) -> bool {
    if place == 0 { byte == b'[' } else { matches!(byte, b'0'..=b'9' | b';' | b':') }
}

/// `text` with its control characters visible but for line ends, tabs and, where `palette` has any, colours. These
/// end with their line: what follows may be another guest's.
fn visible(text: &str, palette: Palette) -> String {
    let mut drawn = String::with_capacity(text.len());
    let mut is_coloured = false;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some(length) = colour_at(rest) {
            if palette == Palette::Colour {
                drawn.push_str(&rest[..length]);
                is_coloured = true;
            }
            rest = &rest[length..];
            continue;
        }
        rest = &rest[next.len_utf8()..];
        match next {
            '\n' => {
                drawn.push_str(if std::mem::take(&mut is_coloured) { "\x1b[0m\n" } else { "\n" });
            }
            // Terminals end their lines with it.
            '\r' if rest.trim_start_matches('\r').starts_with('\n') => {}
            '\t' => drawn.push('\t'),
            _ => push_visible(&mut drawn, next),
        }
    }
    if is_coloured {
        drawn.push_str("\x1b[0m");
    }
    drawn
}

/// The length of the colour sequence (`SGR` of ECMA-48) that `text` begins with.
fn colour_at(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let length = parameters.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))?;
    (parameters[length..].starts_with('m') && length < LONGEST_COLOUR).then_some(length + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(prefix: Option<&str>, sink: Sink, pieces: &[&[u8]]) -> String {
        let mut text = GuestText::new(prefix.map(str::to_owned), sink);
        let mut all: Vec<u8> = pieces.iter().flat_map(|piece| text.pass(piece)).collect();
        all.extend(text.finish());
        String::from_utf8(all).expect("text")
    }

    const COLOUR: Sink = Sink::Terminal(Palette::Colour);
    const PLAIN: Sink = Sink::Terminal(Palette::Plain);

    #[test]
    fn a_terminal_gets_colours_and_nothing_else_that_it_obeys() {
        let hostile = b"\x1b[1;31mred\x1b[0m\tfine\x1b]0;title\x07\x1b[2J\x7f\xc2\x9b\x00\r\n";
        assert_eq!(drawn(None, COLOUR, &[hostile]), "\x1b[1;31mred\x1b[0m\tfine^[]0;title^G^[[2J^?\\x9b^@\x1b[0m\n");
        assert_eq!(drawn(None, PLAIN, &[hostile]), "red\tfine^[]0;title^G^[[2J^?\\x9b^@\n");
        assert_eq!(drawn(None, PLAIN, &[b"10%\r20%\r\n"]), "10%^M20%\n");
    }

    #[test]
    fn a_file_gets_the_bytes_as_they_are() {
        assert_eq!(drawn(None, Sink::Raw, &[b"\x1b[2Ja\r\n"]), "\x1b[2Ja\r\n");
    }

    #[test]
    fn what_comes_in_pieces_is_put_together() {
        let whole = "\u{1b}[32mgr\u{fc}n \u{20ac}\u{1f600}\u{1b}[0m\r\nlogin: ".as_bytes();
        let pieces: Vec<&[u8]> = whole.chunks(1).collect();
        for sink in [COLOUR, PLAIN] {
            assert_eq!(drawn(Some("a | "), sink, &pieces), drawn(Some("a | "), sink, &[whole]));
        }
        assert_eq!(drawn(None, PLAIN, &pieces), drawn(None, PLAIN, &[whole]));
    }

    #[test]
    fn a_prompt_without_a_line_end_is_shown_at_once_where_no_name_goes_before_it() {
        assert_eq!(GuestText::new(None, PLAIN).pass(b"login: "), b"login: ");
        assert_eq!(GuestText::new(Some("a | ".to_owned()), PLAIN).pass(b"login: "), b"");
        assert_eq!(drawn(Some("a | "), PLAIN, &[b"one\ntw", b"o\nlogin: "]), "a | one\na | two\na | login: \n");
    }

    #[test]
    fn a_line_that_is_cut_by_its_piece_stays_one_however_much_goes_before_it() {
        let many = format!("{}tw", "one\n".repeat(LONGEST_LINE));
        let text = drawn(Some("a | "), PLAIN, &[many.as_bytes(), b"o\n"]);
        assert_eq!(text, format!("{}a | two\n", "a | one\n".repeat(LONGEST_LINE)));
        let endless = "x".repeat(LONGEST_LINE + 1);
        assert!(!GuestText::new(Some("a | ".to_owned()), PLAIN).pass(endless.as_bytes()).is_empty());
    }
}
