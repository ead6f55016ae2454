//! A file of lines whose fields are set apart by colons: passwd(5), group(5), shadow(5), gshadow(5).

use std::collections::BTreeSet;

/// Such a file. Lines that are not understood are kept byte for byte; lines of names that are not edited too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    lines: Vec<Vec<u8>>,
    /// How many fields a line has at least to be one of the table.
    least_fields: usize,
}

impl Table {
    /// The table in `bytes`, whose lines have at least `least_fields` fields.
    pub(super) fn parse(bytes: &[u8], least_fields: usize) -> Table {
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let lines =
            if body.is_empty() { Vec::new() } else { body.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect() };
        Table { lines, least_fields }
    }

    /// The file's content.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| line.iter().copied().chain([b'\n'])).collect()
    }

    /// The fields of the first line of `name`. Fields that are not text are shown with replacement characters.
    pub(super) fn find(&self, name: &str) -> Option<Vec<String>> {
        let at = self.position(name)?;
        Some(fields(&self.lines[at]).map(|field| String::from_utf8_lossy(field).into_owned()).collect())
    }

    /// The name whose field `field` is the number `number`.
    pub(super) fn owner_of(&self, number: u32, field: usize) -> Option<String> {
        let line = self.lines.iter().find(|line| number_in(line, field) == Some(number))?;
        fields(line).next().map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// All numbers in the field `field`.
    pub(super) fn numbers(&self, field: usize) -> BTreeSet<u32> {
        self.lines.iter().filter_map(|line| number_in(line, field)).collect()
    }

    /// Sets one field of the first line of `name`, which is in the table.
    pub(super) fn set(&mut self, name: &str, field: usize, value: &str) {
        let Some(at) = self.position(name) else { return };
        let line = &self.lines[at];
        let changed: Vec<&[u8]> =
            fields(line).enumerate().map(|(index, old)| if index == field { value.as_bytes() } else { old }).collect();
        self.lines[at] = changed.join(&b':');
    }

    /// Adds a line at the end.
    pub(super) fn append(&mut self, line: String) {
        self.lines.push(line.into_bytes());
    }

    fn position(&self, name: &str) -> Option<usize> {
        let is_it =
            |line: &Vec<u8>| fields(line).next() == Some(name.as_bytes()) && fields(line).count() >= self.least_fields;
        self.lines.iter().position(is_it)
    }
}

fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b':')
}

fn number_in(line: &[u8], field: usize) -> Option<u32> {
    std::str::from_utf8(fields(line).nth(field)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_not_understood_are_kept_byte_for_byte() {
        let text = b"root:x:0:0::/root:/bin/sh\n\n# \xff\ndev:broken\n+::::::\ndev:x:1000:1000::/home/d\xe9v:/bin/sh";
        let mut table = Table::parse(text, 7);
        table.set("dev", 6, "/bin/bash");
        table.append("ops:x:1001:1001::/home/ops:/bin/sh".to_owned());
        let expected: &[u8] = b"root:x:0:0::/root:/bin/sh\n\n# \xff\ndev:broken\n+::::::\n\
            dev:x:1000:1000::/home/d\xe9v:/bin/bash\nops:x:1001:1001::/home/ops:/bin/sh\n";
        assert_eq!(table.to_bytes(), expected);
        assert_eq!(table.numbers(2), BTreeSet::from([0, 1000, 1001]));
        assert_eq!(table.owner_of(1001, 2).as_deref(), Some("ops"));
    }

    #[test]
    fn an_empty_file_is_an_empty_table() {
        assert_eq!(Table::parse(b"", 7).to_bytes(), b"");
        assert_eq!(Table::parse(b"a:b\n", 2).to_bytes(), b"a:b\n");
    }
}
