//! A table of aligned columns, without lines.

use std::borrow::Cow;

use super::plain::plain;

/// `rows` under `head`, each column as wide as its widest cell; the last one is not filled up.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let names: Vec<Cow<'_, str>> = head.iter().map(|cell| Cow::Borrowed(*cell)).collect();
    let rows = rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect());
    let lines: Vec<Vec<Cow<'_, str>>> = std::iter::once(names).chain(rows).collect();
    let width_of = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width_of).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".into(), "running".into(), "x".into()], vec!["agent-10".into(), "…".into(), String::new()]];
        insta::assert_snapshot!(table(&["NAME", "STATE", "DRIFT"], &rows), @r"
        NAME      STATE    DRIFT
        a         running  x
        agent-10  …
        ");
    }

    #[test]
    fn a_cell_stays_in_its_line() {
        let rows = [vec!["a".into(), "1\n2\x1b[8m".into()]];
        assert_eq!(table(&["NAME", "DRIFT"], &rows), "NAME  DRIFT\na     1^J2^[[8m\n");
    }
}
