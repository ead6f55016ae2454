//! The index of a long directory of a squashfs: where a search for a name may begin (`get_dir_index_using_name` in Linux).
//!
//! The kernel goes wherever an index sends it, while what lists a directory begins at its first entry. So every place in
//! an index must be one that the listing comes through: a search would else find what no listing shows.

use std::io;

use super::pax::damaged;
use super::squashfs_blocks::{BLOCK, Blocks, Place, Reader};

/// The longest name (`SQUASHFS_NAME_LEN`).
const LONGEST_NAME: u32 = 256;

/// Where an index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexPlace {
    /// Where its first entry is.
    pub(super) first: Place,
    /// How many it has.
    pub(super) count: u16,
}

/// One entry: a header of the listing, and the name behind that.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    /// How many bytes of the listing come before it.
    position: u32,
    place: Place,
    name: Vec<u8>,
}

/// An index that is compared with its directory's listing.
#[derive(Debug)]
pub(super) struct Index<'b> {
    reader: Reader<'b>,
    /// Where directories begin, and how far into its first block this one does.
    start: u64,
    offset: usize,
    next: Option<Mark>,
    /// How many entries come behind the next one.
    left: u16,
}

impl<'b> Index<'b> {
    /// The index at `place` of the directory whose listing begins at `listing`, in the table at `start`.
    pub(super) fn new(blocks: &'b Blocks<'b>, place: IndexPlace, listing: Place, start: u64) -> io::Result<Index<'b>> {
        let reader = Reader::new(blocks, place.first)?;
        let mut index = Index { reader, start, offset: listing.offset, next: None, left: place.count };
        index.advance()?;
        Ok(index)
    }

    /// Compares it with a header of the listing: how many bytes come before that, where it is, and the name behind it. Headers
    /// come in the order of the listing, and so must the entries of the index.
    pub(super) fn compare(&mut self, position: u32, place: Place, name: &[u8]) -> io::Result<()> {
        let Some(next) = self.next.as_ref().filter(|next| next.position <= position) else { return Ok(()) };
        if (next.position, next.place, next.name.as_slice()) != (position, place, name) {
            return Err(astray());
        }
        self.advance()
    }

    /// Nothing of it may be left when the listing ends.
    pub(super) fn finish(self) -> io::Result<()> {
        if self.next.is_none() { Ok(()) } else { Err(astray()) }
    }

    fn advance(&mut self) -> io::Result<()> {
        self.next = None;
        let Some(left) = self.left.checked_sub(1) else { return Ok(()) };
        let (position, block, length) = (self.reader.u32()?, self.reader.u32()?, self.reader.u32()?);
        if length >= LONGEST_NAME {
            return Err(damaged("a name in a directory's index is too long"));
        }
        let name = self.reader.bytes(length as usize + 1)?;
        let block = self.start.checked_add(block.into()).ok_or_else(|| damaged("a place is impossibly far"))?;
        // The kernel takes for granted that all blocks before it are full.
        let place = Place { block, offset: (self.offset + position as usize) % BLOCK };
        self.next = Some(Mark { position, place, name });
        self.left = left;
        Ok(())
    }
}

fn astray() -> io::Error {
    damaged("a directory's index leads elsewhere than its entries")
}
