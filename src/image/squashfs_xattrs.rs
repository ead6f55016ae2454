//! The extended attributes in a squashfs, which the library that reads the rest passes over: without them `ping` would
//! lose its capability.
//!
//! The layout is that of `fs/squashfs/squashfs_fs.h` in Linux: a header, the places of the blocks of a table, the table with
//! one row for each set of attributes, and the attributes, in metadata blocks of at most 8 KiB.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::FileExt as _;

use backhand::SuperBlock;
use backhand::compression::{CompressionAction as _, Compressor, DefaultCompressor};

use super::pax::damaged;
use super::xattrs::Xattr;

/// The place of a table that is not there.
const NONE: u64 = u64::MAX;

/// Bytes in a metadata block, and in a row of the table of sets.
const BLOCK: usize = 8192;
const ROW: usize = 16;

/// Sets in one image: far more than any real one.
const MOST_SETS: u32 = 1 << 20;

/// Attributes of one file.
const MOST_ATTRIBUTES: u32 = 1024;

/// Set in a block's header if it is stored as it is, and in an attribute's type if its value is elsewhere.
const AS_IT_IS: u16 = 0x8000;
const ELSEWHERE: u16 = 0x100;

/// The sets of extended attributes of one squashfs.
#[derive(Debug)]
pub(super) struct XattrTable<'a> {
    file: &'a File,
    compressor: Compressor,
    /// Where the attributes begin.
    start: u64,
    sets: u32,
    /// Where the blocks of the table of sets are.
    blocks: Vec<u64>,
}

/// A place in metadata blocks: where its block is, and how far into what that holds.
#[derive(Debug, Clone, Copy)]
struct Place {
    block: u64,
    offset: usize,
}

impl<'a> XattrTable<'a> {
    /// The table of the squashfs `file`, which begins with `superblock`.
    pub(super) fn read(file: &'a File, superblock: &SuperBlock) -> io::Result<XattrTable<'a>> {
        let mut table = XattrTable { file, compressor: superblock.compressor, start: 0, sets: 0, blocks: Vec::new() };
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
        let mut places = vec![0; (table.sets as usize * ROW).div_ceil(BLOCK) * 8];
        let behind = superblock.xattr_table.checked_add(16).ok_or_else(|| damaged("a table is impossibly far"))?;
        file.read_exact_at(&mut places, behind)?;
        table.blocks =
            places.chunks_exact(8).map(|place| part(place, 0).map(u64::from_le_bytes)).collect::<Result<_, _>>()?;
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
        let block = self.blocks.get(first / BLOCK).filter(|_| index < self.sets);
        let block = *block.ok_or_else(|| damaged("a set of extended attributes is missing"))?;
        let mut row = Reader::new(self, Place { block, offset: first % BLOCK })?;
        let place = self.place(u64::from_le_bytes(row.array()?))?;
        let count = u32::from_le_bytes(row.array()?);
        if count > MOST_ATTRIBUTES {
            return Err(damaged("a file has too many extended attributes"));
        }
        let mut reader = Reader::new(self, place)?;
        (0..count).map(|_| self.attribute(&mut reader)).collect()
    }

    fn attribute(&self, reader: &mut Reader<'_>) -> io::Result<Xattr> {
        let kind = u16::from_le_bytes(reader.array()?);
        let length = u16::from_le_bytes(reader.array()?);
        let prefix: &[u8] = match kind & 0xff {
            0 => b"user.",
            1 => b"trusted.",
            2 => b"security.",
            _ => return Err(damaged("an extended attribute is of no known kind")),
        };
        let name = [prefix, &reader.bytes(length.into())?].concat();
        let mut value = reader.value()?;
        if kind & ELSEWHERE != 0 {
            let place = self.place(u64::from_le_bytes(part(&value, 0)?))?;
            value = Reader::new(self, place)?.value()?;
        }
        Ok((OsString::from_vec(name), value))
    }

    /// The place that a reference means: the upper bits count from where the attributes begin.
    fn place(&self, reference: u64) -> io::Result<Place> {
        let block = self.start.checked_add(reference >> 16).ok_or_else(|| damaged("an attribute is impossibly far"))?;
        Ok(Place { block, offset: usize::from((reference & 0xffff) as u16) })
    }

    /// What the metadata block at `place` holds, and where the next one is.
    fn block(&self, place: u64) -> io::Result<(Vec<u8>, u64)> {
        let mut header = [0; 2];
        self.file.read_exact_at(&mut header, place)?;
        let header = u16::from_le_bytes(header);
        let mut stored = vec![0; usize::from(header & !AS_IT_IS)];
        if stored.is_empty() || stored.len() > BLOCK {
            return Err(damaged("a metadata block has an impossible length"));
        }
        let begin = place.checked_add(2).ok_or_else(|| damaged("a block is impossibly far"))?;
        self.file.read_exact_at(&mut stored, begin)?;
        let next = begin + stored.len() as u64;
        if header & AS_IT_IS != 0 {
            return Ok((stored, next));
        }
        let mut content = Vec::with_capacity(BLOCK);
        DefaultCompressor
            .decompress(&stored, &mut content, self.compressor)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok((content, next))
    }
}

/// Reads on through metadata blocks.
#[derive(Debug)]
struct Reader<'a> {
    table: &'a XattrTable<'a>,
    content: Vec<u8>,
    offset: usize,
    next: u64,
}

impl<'a> Reader<'a> {
    fn new(table: &'a XattrTable<'a>, place: Place) -> io::Result<Reader<'a>> {
        let (content, next) = table.block(place.block)?;
        Ok(Reader { table, content, offset: place.offset, next })
    }

    fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            if self.offset >= self.content.len() {
                (self.content, self.next) = self.table.block(self.next)?;
                self.offset = 0;
            }
            let taken = (length - bytes.len()).min(self.content.len() - self.offset);
            bytes.extend_from_slice(&self.content[self.offset..self.offset + taken]);
            self.offset += taken;
        }
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        part(&self.bytes(N)?, 0)
    }

    /// A length and so many bytes. The kernel has no value above 64 KiB.
    fn value(&mut self) -> io::Result<Vec<u8>> {
        let length = u32::from_le_bytes(self.array()?);
        if length > 65_536 {
            return Err(damaged("an extended attribute is too long"));
        }
        self.bytes(length as usize)
    }
}

fn part<const N: usize>(bytes: &[u8], start: usize) -> io::Result<[u8; N]> {
    let part = bytes.get(start..).and_then(<[u8]>::first_chunk::<N>).copied();
    part.ok_or_else(|| damaged("an extended attribute is cut short"))
}
