//! A tar archive as a stream of entries, in all the dialects that root file systems come in.
//!
//! Start at [`Entries::next`]. The `tar` crate knows the layout of a header; its own iterator is not used because it
//! splits extended headers at line ends, which are ordinary bytes in a binary attribute such as a file capability,
//! and because it takes GNU's sparse files in pax form for ordinary ones.

use std::ffi::OsString;
use std::io::{self, BufRead};
use std::os::unix::ffi::OsStringExt as _;

use rustix::fs::Timespec;
use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::error::TreeError;
use super::pax::{Extended, damaged};
use super::sparse::{self, DecimalMap, Segment};
use super::tree::Attributes;

/// The unit of a tar archive.
pub(super) const BLOCK: usize = 512;

/// The longest name or extended header that is read: 64 KiB attributes, a few of them.
const LONGEST_EXTENSION: u64 = 1 << 20;

/// One thing in an archive.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its name as it stands there: not to be trusted.
    pub(super) name: Vec<u8>,
    /// What it is.
    pub(super) kind: EntryKind,
    /// What it carries.
    pub(super) attributes: Attributes,
}

/// What an entry is.
#[derive(Debug)]
pub(super) enum EntryKind {
    /// A regular file of `size` bytes.
    File {
        /// Its length, holes included.
        size: u64,
        /// Where in the file the data that follows goes; `None` if there are no holes.
        segments: Option<Vec<Segment>>,
    },
    /// Another name for the entry of this name.
    HardLink(Vec<u8>),
    /// A symbolic link with this text.
    Symlink(OsString),
    /// A directory.
    Directory,
    /// A named pipe.
    Pipe,
    /// A character or block device.
    Device,
    /// Something else.
    Unknown,
}

/// The entries of an archive that `R` gives the bytes of.
#[derive(Debug)]
pub(super) struct Entries<R> {
    reader: R,
    /// Bytes of the current entry's data that have not been read, and the padding behind them.
    left: u64,
    padding: u64,
}

impl<R: BufRead> Entries<R> {
    pub(super) fn new(reader: R) -> Entries<R> {
        Entries { reader, left: 0, padding: 0 }
    }

    /// The next entry; `None` at the archive's end marker. What was not read of the last one is skipped.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, TreeError> {
        self.next_entry().map_err(TreeError::damaged)
    }

    /// Hands the next `length` bytes of the current entry's data to `sink`, piece by piece.
    pub(super) fn copy(
        &mut self,
        mut length: u64,
        mut sink: impl FnMut(&[u8]) -> Result<(), TreeError>,
    ) -> Result<(), TreeError> {
        if length > self.left {
            return Err(TreeError::Damaged(damaged("a sparse file has more data than its entry")));
        }
        self.left -= length;
        while length > 0 {
            let piece = self.reader.fill_buf().map_err(TreeError::damaged)?;
            if piece.is_empty() {
                return Err(TreeError::Damaged(io::ErrorKind::UnexpectedEof.into()));
            }
            let taken = piece.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            sink(&piece[..taken])?;
            self.reader.consume(taken);
            length -= taken as u64;
        }
        Ok(())
    }

    fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let (mut long_name, mut long_link, mut extended) = (None, None, Extended::default());
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let stored = number(&header.as_old().size)?;
            match header.entry_type() {
                EntryType::GNULongName => long_name = Some(cut_at_null(self.extension(stored)?)),
                EntryType::GNULongLink => long_link = Some(cut_at_null(self.extension(stored)?)),
                // `X` is what Solaris wrote before pax had a letter.
                EntryType::XHeader | EntryType::__Nonexhaustive(b'X') => {
                    extended = Extended::parse(&self.extension(stored)?)?;
                }
                // Comments on the whole archive and a volume's label.
                EntryType::XGlobalHeader | EntryType::__Nonexhaustive(b'V') => self.begin_data(stored),
                _ => return self.entry(&header, stored, long_name, long_link, extended).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        header: &Header,
        stored: u64,
        long_name: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
        extended: Extended,
    ) -> io::Result<Entry> {
        let stored = extended.size.unwrap_or(stored);
        let sparse_name = extended.sparse.name.clone();
        let name = sparse_name.or(extended.path.clone()).or(long_name);
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = || {
            let link = extended.link.clone().or(long_link);
            link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned())
        };
        let kind = match header.entry_type() {
            // A directory as archives before POSIX had it.
            EntryType::Regular if name.ends_with(b"/") => EntryKind::Directory,
            EntryType::Regular | EntryType::Continuous => {
                self.begin_data(stored);
                self.file(stored, &extended)?
            }
            EntryType::GNUSparse => {
                self.begin_data(stored);
                self.gnu_sparse(header)?
            }
            // Of these four the size means nothing; some programs write that of the file, and no data.
            EntryType::Link => EntryKind::HardLink(link()),
            EntryType::Symlink => EntryKind::Symlink(OsString::from_vec(link())),
            EntryType::Directory => EntryKind::Directory,
            EntryType::Fifo => EntryKind::Pipe,
            EntryType::Char | EntryType::Block => EntryKind::Device,
            _ => {
                self.begin_data(stored);
                EntryKind::Unknown
            }
        };
        Ok(Entry { name, kind, attributes: attributes(header, extended)? })
    }

    fn begin_data(&mut self, stored: u64) {
        self.left = stored;
        self.padding = stored.wrapping_neg() % BLOCK as u64;
    }

    fn file(&mut self, stored: u64, extended: &Extended) -> io::Result<EntryKind> {
        let sparse = &extended.sparse;
        let Some(size) = sparse.size else { return Ok(EntryKind::File { size: stored, segments: None }) };
        let segments = if sparse.map_in_data {
            self.sparse_map()?
        } else {
            sparse.map.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
        };
        Ok(EntryKind::File { size, segments: Some(segments) })
    }

    /// The map of GNU's sparse format 1.0: before the data, padded to whole blocks.
    fn sparse_map(&mut self) -> io::Result<Vec<Segment>> {
        let mut map = DecimalMap::default();
        loop {
            let block = self.block()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            self.left =
                self.left.checked_sub(BLOCK as u64).ok_or_else(|| damaged("a sparse file's map is cut short"))?;
            if map.read(&block)? {
                return Ok(map.segments());
            }
        }
    }

    /// The map of GNU's old sparse format: in the header, and in blocks of its own before the data.
    fn gnu_sparse(&mut self, header: &Header) -> io::Result<EntryKind> {
        let gnu = header.as_gnu().ok_or_else(|| damaged("a sparse file without a GNU header"))?;
        let mut segments = Vec::new();
        let mut add = |sparse: &[GnuSparseHeader]| -> io::Result<()> {
            for one in sparse.iter().filter(|one| !one.is_empty()) {
                segments.push((number(&one.offset)?, number(&one.numbytes)?));
            }
            Ok(())
        };
        add(&gnu.sparse)?;
        let (mut more, mut blocks) = (gnu.is_extended(), 0);
        while more {
            if blocks == sparse::MOST_BLOCKS {
                return Err(sparse::too_long());
            }
            let mut extension = GnuExtSparseHeader::new();
            *extension.as_mut_bytes() = self.block()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            add(extension.sparse())?;
            more = extension.is_extended();
            blocks += 1;
        }
        Ok(EntryKind::File { size: number(&gnu.realsize)?, segments: Some(segments) })
    }

    fn extension(&mut self, length: u64) -> io::Result<Vec<u8>> {
        if length > LONGEST_EXTENSION {
            return Err(damaged("a name or extended header is too long"));
        }
        self.begin_data(length);
        let mut bytes = Vec::new();
        while self.left > 0 {
            let block = self.block()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let taken = usize::try_from(self.left).unwrap_or(BLOCK).min(BLOCK);
            bytes.extend_from_slice(&block[..taken]);
            self.left -= taken as u64;
        }
        self.padding = 0;
        Ok(bytes)
    }

    fn skip(&mut self) -> io::Result<()> {
        let mut rest = self.left.checked_add(self.padding).ok_or_else(|| damaged("an entry is impossibly large"))?;
        (self.left, self.padding) = (0, 0);
        while rest > 0 {
            let available = self.reader.fill_buf()?.len();
            if available == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let taken = available.min(usize::try_from(rest).unwrap_or(usize::MAX));
            self.reader.consume(taken);
            rest -= taken as u64;
        }
        Ok(())
    }

    /// The next header; `None` if it is the end marker.
    fn header(&mut self) -> io::Result<Option<Header>> {
        // Without a marker nobody can tell a whole archive from one that was cut between two entries.
        let block = self.block()?.ok_or_else(|| damaged("its end marker is missing"))?;
        if block == [0; BLOCK] {
            return Ok(None);
        }
        if !has_header_checksum(&block) {
            return Err(damaged("the checksum of a header is wrong"));
        }
        let mut header = Header::new_old();
        *header.as_mut_bytes() = block;
        Ok(Some(header))
    }

    /// The next block; `None` at the end of the stream.
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        if self.reader.fill_buf()?.is_empty() {
            return Ok(None);
        }
        self.reader.read_exact(&mut block)?;
        Ok(Some(block))
    }
}

/// Whether `block` carries a header's checksum: the sum of its bytes with the checksum itself taken as spaces.
pub(super) fn has_header_checksum(block: &[u8; BLOCK]) -> bool {
    let field = 148..156;
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let own: u64 = block[field.clone()].iter().map(|byte| u64::from(*byte)).sum();
    number(&block[field]).is_ok_and(|stored| stored == sum - own + 8 * u64::from(b' '))
}

fn attributes(header: &Header, extended: Extended) -> io::Result<Attributes> {
    let old = header.as_old();
    let mtime = match extended.mtime {
        Some(mtime) => mtime,
        None => Timespec { tv_sec: number(&old.mtime)?.cast_signed(), tv_nsec: 0 },
    };
    let (mut xattrs, mut named) = (extended.xattrs, Vec::new());
    for (name, acl) in extended.acls {
        match acl.to_binary() {
            Some(value) => {
                // Some programs write it both ways.
                xattrs.retain(|(known, _)| known != name);
                xattrs.push((name.into(), value));
            }
            None => named.push((name, acl)),
        }
    }
    Ok(Attributes {
        mode: u32::try_from(number(&old.mode)? & 0o7777).expect("twelve bits fit"),
        uid: extended.uid.map_or_else(|| number(&old.uid), Ok)?,
        gid: extended.gid.map_or_else(|| number(&old.gid), Ok)?,
        mtime,
        xattrs,
        named,
    })
}

/// A number in a header: octal digits, or GNU's binary form when the first bit is set. An empty field is zero.
fn number(field: &[u8]) -> io::Result<u64> {
    if field[0] & 0x80 != 0 {
        let start = field.len().saturating_sub(8);
        let first = if start == 0 { field[0] & 0x7f } else { field[start] };
        return Ok(field[start + 1..].iter().fold(u64::from(first), |sum, byte| sum << 8 | u64::from(*byte)));
    }
    let digits = field.split(|byte| *byte == 0).next().unwrap_or_default().trim_ascii();
    digits.iter().try_fold(0_u64, |sum, digit| match digit {
        b'0'..=b'7' => Ok(sum << 3 | u64::from(digit - b'0')),
        _ => Err(damaged("a header holds something else than a number")),
    })
}

fn cut_at_null(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(length);
    bytes
}
