//! The extended attributes in a squashfs, which the library that reads the rest passes over: without them `ping` would
//! lose its capability.
//!
//! The layout is that of `fs/squashfs/squashfs_fs.h` in Linux: a header, the places of the blocks of a table, the table with
//! one row for each set of attributes, and the attributes, all in metadata blocks.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;

use backhand::SuperBlock;

use super::pax::damaged;
use super::squashfs_blocks::{BLOCK, Blocks, Place, Reader, part};
use super::xattrs::Xattr;

/// The place of a table that is not there.
const NONE: u64 = u64::MAX;

/// Bytes in a row of the table of sets.
const ROW: usize = 16;

/// Sets in one image: far more than any real one.
const MOST_SETS: u32 = 1 << 20;

/// Attributes of one file.
const MOST_ATTRIBUTES: u32 = 1024;

/// Set in an attribute's type if its value is elsewhere.
const ELSEWHERE: u16 = 0x100;

/// The sets of extended attributes of one squashfs.
#[derive(Debug)]
pub(super) struct XattrTable<'a> {
    blocks: Blocks<'a>,
    /// Where the attributes begin.
    start: u64,
    sets: u32,
    /// Where the blocks of the table of sets are.
    table: Vec<u64>,
}

impl<'a> XattrTable<'a> {
    /// The table of the squashfs `file`, which begins with `superblock`.
    pub(super) fn read(file: &'a File, superblock: &SuperBlock) -> io::Result<XattrTable<'a>> {
        let mut table = XattrTable { blocks: Blocks::new(file, superblock), start: 0, sets: 0, table: Vec::new() };
        if superblock.xattr_table == NONE {
            return Ok(table);
        }
        let mut header = [0; 16];
        file.read_exact_at(&mut header, superblock.xattr_table)?;
        table.start = u64::from_le_bytes(part(&header, 0)?);
        table.sets = u32::from_le_bytes(part(&header, 8)?);
        if table.sets > MOST_SETS {
            return Err(damaged("it has too many extended attributes"));
        }
        let behind = superblock.xattr_table.checked_add(16).ok_or_else(|| damaged("a table is impossibly far"))?;
        table.table = table.blocks.index(behind, table.sets as usize * ROW)?;
        Ok(table)
    }

    /// The names of all attributes.
    pub(super) fn all(&self) -> io::Result<BTreeSet<OsString>> {
        let mut names = BTreeSet::new();
        for index in 0..self.sets {
            names.extend(self.get(index)?.into_iter().map(|(name, _)| name));
        }
        Ok(names)
    }

    /// The attributes of the set `index`.
    pub(super) fn get(&self, index: u32) -> io::Result<Vec<Xattr>> {
        let first = index as usize * ROW;
        let block = self.table.get(first / BLOCK).filter(|_| index < self.sets);
        let block = *block.ok_or_else(|| damaged("a set of extended attributes is missing"))?;
        let mut row = Reader::new(&self.blocks, Place { block, offset: first % BLOCK })?;
        let place = Place::of(row.u64()?, self.start)?;
        let count = row.u32()?;
        if count > MOST_ATTRIBUTES {
            return Err(damaged("a file has too many extended attributes"));
        }
        let mut reader = Reader::new(&self.blocks, place)?;
        (0..count).map(|_| self.attribute(&mut reader)).collect()
    }

    fn attribute(&self, reader: &mut Reader<'_>) -> io::Result<Xattr> {
        let (kind, length) = (reader.u16()?, reader.u16()?);
        let prefix: &[u8] = match kind & 0xff {
            0 => b"user.",
            1 => b"trusted.",
            2 => b"security.",
            _ => return Err(damaged("an extended attribute is of no known kind")),
        };
        let name = [prefix, &reader.bytes(length.into())?].concat();
        let mut value = value(reader)?;
        if kind & ELSEWHERE != 0 {
            let place = Place::of(u64::from_le_bytes(part(&value, 0)?), self.start)?;
            value = self::value(&mut Reader::new(&self.blocks, place)?)?;
        }
        Ok((OsString::from_vec(name), value))
    }
}

/// A length and so many bytes. The kernel has no value above 64 KiB.
fn value(reader: &mut Reader<'_>) -> io::Result<Vec<u8>> {
    let length = reader.u32()?;
    if length > 65_536 {
        return Err(damaged("an extended attribute is too long"));
    }
    reader.bytes(length as usize)
}
