//! Words that others had a part in, such as guests that name links, users and files: as text that no terminal obeys.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` in one line, its control characters visible. All words that are not fleet's own go through here on their way
/// into a drawing; JSON has its own way to escape them.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut drawn = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        push_visible(&mut drawn, character);
    }
    Cow::Owned(drawn)
}

/// Adds `character`, which a terminal will not obey. As cat -v and stty write them: ^[ for escape.
pub(super) fn push_visible(drawn: &mut String, character: char) {
    match character {
        '\0'..='\x1f' => drawn.extend(['^', char::from(character as u8 + 0x40)]),
        '\x7f' => drawn.push_str("^?"),
        '\u{80}'..='\u{9f}' => drop(write!(drawn, "\\x{:02x}", u32::from(character))),
        _ => drawn.push(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_a_terminal_obeys() {
        assert_eq!(plain("link eth0 is called `\x1b[8m`\r\n\t\x7f\u{9b}"), "link eth0 is called `^[[8m`^M^J^I^?\\x9b");
        assert!(matches!(plain("256MiB → 512MiB"), Cow::Borrowed("256MiB → 512MiB")));
    }
}
