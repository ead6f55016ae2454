//! What guests print never makes a terminal do anything but show it. `make fuzz` tries many more cases.

use proptest::prelude::*;

use super::Palette;
use super::guest_text::{GuestText, Sink};

/// Pieces of what terminals obey.
const PIECES: [&[u8]; 18] = [
    b"\x1b",
    b"\x1b[31m",
    b"\x1b[38;2;1;2;3m",
    b"\x1b[2J",
    b"\x1b]0;title\x07",
    b"\x1bP",
    b"\xc2\x9b",
    b"\xe2\x80\xae",
    b"\xc3",
    b"\xff",
    b"\r",
    b"\n",
    b"\r\n",
    b"\t",
    b"\0",
    b"\x7f",
    b"text",
    b"[0m;",
];

fn hostile() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let piece = prop_oneof![
        4 => prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..8).prop_map(|parts| parts.concat()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(piece, 0..8)
}

fn drawn(prefix: Option<&str>, palette: Palette, pieces: &[Vec<u8>]) -> String {
    let mut text = GuestText::new(prefix.map(str::to_owned), Sink::Terminal(palette));
    let mut all: Vec<u8> = pieces.iter().flat_map(|piece| text.pass(piece)).collect();
    all.extend(text.finish());
    String::from_utf8(all).expect("a terminal gets text")
}

/// `text` without colour sequences: `ESC [`, numbers, `m`.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        let behind = part.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';' || c == ':');
        plain + behind.strip_prefix('m').unwrap_or("\x1b")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_shown_and_not_obeyed(pieces in hostile()) {
        for prefix in [None, Some("one | ")] {
            let plain = drawn(prefix, Palette::Plain, &pieces);
            let coloured = without_colours(&drawn(prefix, Palette::Colour, &pieces));
            for text in [&plain, &coloured] {
                prop_assert!(!text.chars().any(|c| c.is_control() && !"\r\n\t".contains(c)), "{text:?}");
            }
            if let Some(prefix) = prefix {
                prop_assert!(plain.lines().all(|line| line.starts_with(prefix)), "{plain:?}");
            }
        }
    }

    #[test]
    fn how_it_comes_in_pieces_makes_no_difference(pieces in hostile()) {
        let whole = vec![pieces.concat()];
        for palette in [Palette::Plain, Palette::Colour] {
            prop_assert_eq!(without_colours(&drawn(None, palette, &pieces)), without_colours(&drawn(None, palette, &whole)));
        }
    }
}
