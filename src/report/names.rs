//! Many names in few words: `agent-1 … agent-10 (10)`.

/// So many pieces are listed before the rest is only counted; `-v` lists all.
const MOST_PIECES: usize = 6;

/// `names` in one piece of text: runs of numbered names become ranges.
pub(crate) fn fold_names(names: &[&str]) -> String {
    let mut pieces = Vec::new();
    for run in runs(names) {
        match run.as_slice() {
            [first, _, .., last] => pieces.push(format!("{first} … {last}")),
            few => pieces.extend(few.iter().map(ToString::to_string)),
        }
    }
    if pieces.len() > MOST_PIECES {
        pieces.truncate(MOST_PIECES - 1);
        pieces.push("…".to_owned());
    }
    let text = pieces.join(", ");
    if text.contains('…') { format!("{text} ({})", names.len()) } else { text }
}

/// `names` sorted as people count, cut wherever the next one is not the successor.
fn runs<'a>(names: &[&'a str]) -> Vec<Vec<&'a str>> {
    let mut sorted: Vec<_> = names.iter().map(|name| (numbered(name), *name)).collect();
    sorted.sort_unstable();
    let mut runs: Vec<Vec<&str>> = Vec::new();
    let mut expected = None;
    for ((stem, number), name) in sorted {
        match runs.last_mut() {
            Some(run) if number.is_some() && expected == Some((stem, number)) => run.push(name),
            _ => runs.push(vec![name]),
        }
        expected = number.map(|number| (stem, number.checked_add(1)));
    }
    runs
}

/// A name as its stem and the number it ends with, if that is written the shortest way.
fn numbered(name: &str) -> (&str, Option<u64>) {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &name[stem.len()..];
    if digits.starts_with('0') && digits.len() > 1 {
        return (name, None);
    }
    match digits.parse() {
        Ok(number) => (stem, Some(number)),
        Err(_) => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_names_fold_into_ranges_in_counting_order() {
        assert_eq!(fold_names(&["agent-10", "agent-9", "agent-8", "agent-7"]), "agent-7 … agent-10 (4)");
        assert_eq!(fold_names(&["web", "db"]), "db, web");
        assert_eq!(fold_names(&["db", "a1", "a2", "a3", "a5"]), "a1 … a3, a5, db (5)");
        assert_eq!(fold_names(&["a1", "a2"]), "a1, a2");
        assert_eq!(fold_names(&["a01", "a02", "a03"]), "a01, a02, a03");
        assert_eq!(fold_names(&["a", "b", "c", "d", "e", "f", "g"]), "a, b, c, d, e, … (7)");
    }
}
