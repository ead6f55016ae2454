//! The maps of GNU's files with holes: which pieces of such a file an archive has.
//!
//! A map comes before the file that it is of, and whoever wrote it says how long it is. So it is read as it comes, and not
//! beyond what any real file needs.

use std::io;

use super::pax::damaged;

/// Where a piece goes in the file, and its length.
pub(super) type Segment = (u64, u64);

/// The most pieces of one file, which take 8 MiB of memory.
const MOST_SEGMENTS: usize = 1 << 19;

/// Digits of the largest number.
const MOST_DIGITS: u32 = 20;

/// The most blocks of one map of the old format, with 21 pieces each.
pub(super) const MOST_BLOCKS: usize = MOST_SEGMENTS / 21;

/// A map of format 1.0, of which block after block comes: decimal lines, the first of which says how many pairs follow.
#[derive(Debug, Default)]
pub(super) struct DecimalMap {
    wanted: Option<usize>,
    segments: Vec<Segment>,
    /// The offset of a piece whose length is still to come.
    offset: Option<u64>,
    /// The line that is being read, and how many digits it has.
    number: u64,
    digits: u32,
}

impl DecimalMap {
    /// Reads on in `block`; returns whether that was the last one. What else is in that is padding.
    pub(super) fn read(&mut self, block: &[u8]) -> io::Result<bool> {
        for byte in block {
            match byte {
                b'0'..=b'9' if self.digits < MOST_DIGITS => {
                    let number = self.number.checked_mul(10).and_then(|ten| ten.checked_add(u64::from(byte - b'0')));
                    self.number = number.ok_or_else(no_numbers)?;
                    self.digits += 1;
                }
                b'\n' if self.digits > 0 => {
                    let number = std::mem::take(&mut self.number);
                    self.digits = 0;
                    self.take(number)?;
                }
                _ => return Err(no_numbers()),
            }
            if self.wanted == Some(self.segments.len()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The pieces, when all of it has been read.
    pub(super) fn segments(self) -> Vec<Segment> {
        self.segments
    }

    fn take(&mut self, number: u64) -> io::Result<()> {
        if self.wanted.is_none() {
            let wanted = usize::try_from(number).ok().filter(|wanted| *wanted <= MOST_SEGMENTS);
            self.wanted = Some(wanted.ok_or_else(too_long)?);
            return Ok(());
        }
        match self.offset.take() {
            None => self.offset = Some(number),
            Some(offset) => self.segments.push((offset, number)),
        }
        Ok(())
    }
}

fn no_numbers() -> io::Error {
    damaged("a sparse file's map is not made of numbers")
}

/// The error of a map that nobody reads to its end.
pub(super) fn too_long() -> io::Error {
    damaged("a sparse file's map is too long")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, block: usize) -> Result<Option<Vec<Segment>>, String> {
        let mut map = DecimalMap::default();
        for block in text.as_bytes().chunks(block) {
            if map.read(block).map_err(|error| error.to_string())? {
                return Ok(Some(map.segments()));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_map_may_be_cut_between_any_two_bytes() {
        for block in 1..12 {
            assert_eq!(
                read("2\n0\n512\n18446744073709551615\n7\n\0\0\0", block),
                Ok(Some(vec![(0, 512), (u64::MAX, 7)]))
            );
            assert_eq!(read("0\n\0\0", block), Ok(Some(vec![])));
            assert_eq!(read("2\n0\n512\n1024\n", block), Ok(None));
        }
    }

    #[test]
    fn what_is_no_map_is_refused_as_soon_as_that_can_be_seen() {
        let (no_numbers, too_long) = (Err(no_numbers().to_string()), Err(too_long().to_string()));
        for text in ["many\n", "\n", "1\n-1\n", "1\n+1\n", "1\n18446744073709551616\n", &"0".repeat(21), "1\n\0"] {
            assert_eq!(read(text, 4), no_numbers, "{text:?}");
        }
        assert_eq!(read("524289\n", 512), too_long);
        assert_eq!(read("524288\n", 512), Ok(None));
    }
}
