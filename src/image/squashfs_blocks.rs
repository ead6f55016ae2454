//! The metadata blocks of a squashfs, of at most 8 KiB each, in which everything but the data of files is (`squashfs_fs.h` in
//! Linux). For what the library that reads the rest does not tell, or tells otherwise than the kernel.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

use backhand::SuperBlock;
use backhand::compression::{CompressionAction as _, Compressor, DefaultCompressor};
use zstd::zstd_safe::find_frame_compressed_size;

use super::pax::damaged;

/// Bytes in a metadata block.
pub(super) const BLOCK: usize = 8192;

/// Set in a block's header if it is stored as it is.
const AS_IT_IS: u16 = 0x8000;

/// So many blocks are in one table at most: 512 MiB, which is enough for ten million files.
const MOST_IN_TABLE: u32 = 1 << 16;

/// So many blocks that have been read are kept: what lies side by side is used side by side.
const MOST_KEPT: usize = 512;

/// What a block holds, and where the next one is.
type Content = Rc<(Vec<u8>, u64)>;

/// The metadata blocks of one squashfs.
#[derive(Debug)]
pub(super) struct Blocks<'a> {
    file: &'a File,
    compressor: Compressor,
    kept: RefCell<HashMap<u64, Content>>,
}

/// A place in metadata blocks: where its block is, and how far into what that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) block: u64,
    pub(super) offset: usize,
}

impl Place {
    /// What `reference` means: its upper bits count from where a table begins, `start`. The kernel keeps 32 of them
    /// (`SQUASHFS_INODE_BLK`), and would find something else with more.
    pub(super) fn of(reference: u64, start: u64) -> io::Result<Place> {
        let block = u32::try_from(reference >> 16).ok().and_then(|block| start.checked_add(block.into()));
        let block = block.ok_or_else(|| damaged("a place is impossibly far"))?;
        Ok(Place { block, offset: usize::from((reference & 0xffff) as u16) })
    }
}

impl<'a> Blocks<'a> {
    /// Those of the squashfs `file`, which begins with `superblock`.
    pub(super) fn new(file: &'a File, superblock: &SuperBlock) -> Blocks<'a> {
        Blocks { file, compressor: superblock.compressor, kept: RefCell::default() }
    }

    /// Where the blocks of a table of `length` bytes are, as it stands at `place`.
    pub(super) fn index(&self, place: u64, length: usize) -> io::Result<Vec<u64>> {
        let mut places = vec![0; length.div_ceil(BLOCK) * 8];
        self.file.read_exact_at(&mut places, place)?;
        places.chunks_exact(8).map(|place| part(place, 0).map(u64::from_le_bytes)).collect()
    }

    /// Whether there are no more blocks from `start` to `end` than any real table has.
    pub(super) fn are_few(&self, start: u64, end: u64) -> io::Result<bool> {
        let (mut place, mut count) = (start, 0);
        while place < end && count <= MOST_IN_TABLE {
            let mut header = [0; 2];
            self.file.read_exact_at(&mut header, place)?;
            place += 2 + u64::from(u16::from_le_bytes(header) & !AS_IT_IS);
            count += 1;
        }
        Ok(count <= MOST_IN_TABLE)
    }

    fn content(&self, place: u64) -> io::Result<Content> {
        let mut kept = self.kept.borrow_mut();
        if let Some(content) = kept.get(&place) {
            return Ok(Rc::clone(content));
        }
        if kept.len() >= MOST_KEPT {
            kept.clear();
        }
        let content = Rc::new(self.read(place)?);
        kept.insert(place, Rc::clone(&content));
        Ok(content)
    }

    fn read(&self, place: u64) -> io::Result<(Vec<u8>, u64)> {
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
        // The kernel stops where the first frame ends, and the library goes on to the next one.
        if self.compressor == Compressor::Zstd && find_frame_compressed_size(&stored) != Ok(stored.len()) {
            return Err(damaged("a metadata block is not packed as one piece"));
        }
        let mut content = Vec::with_capacity(BLOCK);
        DefaultCompressor
            .decompress(&stored, &mut content, self.compressor)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if content.is_empty() || content.len() > BLOCK {
            return Err(damaged("a metadata block unpacks to an impossible length"));
        }
        Ok((content, next))
    }
}

/// Reads on through metadata blocks.
#[derive(Debug)]
pub(super) struct Reader<'b> {
    blocks: &'b Blocks<'b>,
    /// Where the block is that is read from.
    block: u64,
    content: Content,
    offset: usize,
}

impl<'b> Reader<'b> {
    /// Begins at `place`.
    pub(super) fn new(blocks: &'b Blocks<'b>, place: Place) -> io::Result<Reader<'b>> {
        Ok(Reader { blocks, block: place.block, content: blocks.content(place.block)?, offset: place.offset })
    }

    /// Where the next byte is.
    pub(super) fn place(&self) -> Place {
        if self.offset < self.content.0.len() {
            Place { block: self.block, offset: self.offset }
        } else {
            Place { block: self.content.1, offset: 0 }
        }
    }

    /// The next `length` bytes.
    pub(super) fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length.min(BLOCK));
        while bytes.len() < length {
            if self.offset >= self.content.0.len() {
                let next = self.place();
                self.content = self.blocks.content(next.block)?;
                (self.block, self.offset) = (next.block, next.offset);
            }
            let taken = (length - bytes.len()).min(self.content.0.len() - self.offset);
            bytes.extend_from_slice(&self.content.0[self.offset..self.offset + taken]);
            self.offset += taken;
        }
        Ok(bytes)
    }

    /// The next bytes, as many as the caller takes.
    pub(super) fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        part(&self.bytes(N)?, 0)
    }

    /// The next two bytes as a number.
    pub(super) fn u16(&mut self) -> io::Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes as a number.
    pub(super) fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes as a number.
    pub(super) fn u64(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Those of `bytes` that stand at `start`.
pub(super) fn part<const N: usize>(bytes: &[u8], start: usize) -> io::Result<[u8; N]> {
    let part = bytes.get(start..).and_then(<[u8]>::first_chunk::<N>).copied();
    part.ok_or_else(|| damaged("a table is cut short"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_of_several_zstd_frames_is_refused() {
        let pack = |content: &[u8]| zstd::bulk::compress(content, 3).expect("packed");
        let read = |stored: &[u8]| {
            let file = tempfile::tempfile().expect("a temporary file");
            let header = u16::try_from(stored.len()).expect("it is short").to_le_bytes();
            file.write_all_at(&[&header, stored].concat(), 0).expect("written");
            let blocks = Blocks { file: &file, compressor: Compressor::Zstd, kept: RefCell::default() };
            blocks.read(0).map(|(content, _)| content).map_err(|error| error.to_string())
        };
        assert_eq!(read(&pack(b"shown")), Ok(b"shown".to_vec()));
        let refused = Err("a metadata block is not packed as one piece".to_owned());
        assert_eq!(read(&[pack(b"shown"), pack(b"hidden")].concat()), refused);
        assert_eq!(read(&[&pack(b"shown")[..], b"more"].concat()), refused);
    }
}
