//! What the kernel would show of a squashfs, found as the kernel finds it: from entry to entry by the places of their inodes.
//!
//! The library that unpacks goes by the numbers of inodes instead, so both must lead to the same; a made-up image could else
//! show containers devices that nobody else sees. Nothing is taken in that goes round in a circle, and everything counts
//! against the limits before it takes memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use backhand::SuperBlock;
use rustix::fs::Timespec;

use super::error::TreeError;
use super::pax::damaged;
use super::squashfs_blocks::{BLOCK, Blocks, Place, Reader};
use super::squashfs_index::{Index, IndexPlace};
use super::tree::{Attributes, Limits, id};
use super::walk::check_depth;
use crate::model::ImageLimit;

/// The longest path that the kernel takes (`PATH_MAX`).
const LONGEST_PATH: usize = 4096;

/// Entries behind one header of a directory, and what is added to a directory's length for its two entries that are not there.
const MOST_BEHIND_HEADER: u32 = 256;
const NOT_THERE: u32 = 3;

/// Bytes of a header, and of an entry before its name.
const HEADER: u32 = 12;
const ENTRY: u32 = 8;

/// What the kernel would show of a squashfs.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Its directories.
    pub(super) directories: BTreeMap<PathBuf, Attributes>,
    /// Its device files, which no image may have.
    pub(super) devices: Vec<PathBuf>,
}

/// What an inode is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory(Listing),
    File { size: u64 },
    Device,
    Other,
}

/// The entries of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Listing {
    /// Where they begin.
    start: Place,
    /// What they take in bytes.
    length: u32,
    /// Where searches may begin, if they do not begin at the start.
    index: Option<IndexPlace>,
}

#[derive(Debug)]
struct Inode {
    kind: Kind,
    /// What entries call it: 1 a directory, 2 a file, and so on.
    code: u16,
    number: u32,
    attributes: Attributes,
}

#[derive(Debug)]
struct Looking<'a> {
    blocks: &'a Blocks<'a>,
    superblock: &'a SuperBlock,
    /// The owners that inodes name by their places here.
    ids: Vec<u32>,
    limits: Limits,
    left: Limits,
    /// Where the inode of each number is.
    places: HashMap<u32, Place>,
    /// Directories that have been entered.
    entered: HashSet<u32>,
    shown: Shown,
}

/// Looks through the squashfs `file`, which begins with `superblock`, as if it were unpacked.
pub(super) fn look(file: &File, superblock: &SuperBlock, limits: Limits) -> Result<Shown, TreeError> {
    let blocks = Blocks::new(file, superblock);
    // The library reads all inodes into memory, whether anything leads to them or not.
    if u64::from(superblock.inode_count) > limits.entries {
        return Err(TreeError::TooLarge(ImageLimit::Entries(limits.entries)));
    }
    if !blocks.are_few(superblock.inode_table, superblock.dir_table).map_err(TreeError::damaged)? {
        return Err(TreeError::damaged(damaged("its inodes take too much memory")));
    }
    let length = usize::from(superblock.id_count) * 4;
    let mut ids = Vec::new();
    for place in blocks.index(superblock.id_table, length).map_err(TreeError::damaged)? {
        let wanted = (length - ids.len() * 4).min(BLOCK);
        let mut reader = Reader::new(&blocks, Place { block: place, offset: 0 }).map_err(TreeError::damaged)?;
        for _ in 0..wanted / 4 {
            ids.push(reader.u32().map_err(TreeError::damaged)?);
        }
    }
    let (places, entered, shown) = (HashMap::new(), HashSet::new(), Shown::default());
    Looking { blocks: &blocks, superblock, ids, limits, left: limits, places, entered, shown }.all()
}

impl Looking<'_> {
    fn all(mut self) -> Result<Shown, TreeError> {
        let place = Place::of(self.superblock.root_inode, self.superblock.inode_table).map_err(TreeError::damaged)?;
        let root = self.inode(place).map_err(TreeError::damaged)?;
        let mut waiting = Vec::from_iter(self.take(PathBuf::new(), place, root)?);
        if waiting.is_empty() {
            return Err(TreeError::damaged(damaged("its root is no directory")));
        }
        while let Some((path, listing)) = waiting.pop() {
            self.enter(&path, listing, &mut waiting)?;
        }
        Ok(self.shown)
    }

    /// Takes note of the inode at `place`, which `path` is a name of. Returns what is to be entered, if it is a directory.
    fn take(&mut self, path: PathBuf, place: Place, inode: Inode) -> Result<Option<(PathBuf, Listing)>, TreeError> {
        if *self.places.entry(inode.number).or_insert(place) != place {
            return Err(TreeError::damaged(damaged("two of its inodes have the same number")));
        }
        id(&path, "owner", inode.attributes.uid)?;
        id(&path, "group", inode.attributes.gid)?;
        let size = if let Kind::File { size } = inode.kind { size } else { 0 };
        self.left.charge(size, self.limits)?;
        match inode.kind {
            Kind::Directory(listing) => {
                if !self.entered.insert(inode.number) {
                    return Err(TreeError::damaged(damaged("one of its directories has two places")));
                }
                self.shown.directories.insert(path.clone(), inode.attributes);
                Ok(Some((path, listing)))
            }
            Kind::Device => {
                self.shown.devices.push(path);
                Ok(None)
            }
            Kind::File { .. } | Kind::Other => Ok(None),
        }
    }

    /// Goes through the directory `path`, whose entries are `listing`.
    fn enter(&mut self, path: &Path, listing: Listing, waiting: &mut Vec<(PathBuf, Listing)>) -> Result<(), TreeError> {
        let cut = || damaged("a directory is cut short");
        let Listing { start, length, index } = listing;
        let open = |index| Index::new(self.blocks, index, start, self.superblock.dir_table);
        let mut index = index.map(open).transpose().map_err(TreeError::damaged)?;
        let mut left = length;
        // There may be no block where an empty one begins.
        let mut reader = (left > 0).then(|| Reader::new(self.blocks, start)).transpose().map_err(TreeError::damaged)?;
        while let Some(reader) = reader.as_mut().filter(|_| left > 0) {
            let (position, place) = (length - left, reader.place());
            left = left.checked_sub(HEADER).ok_or_else(|| TreeError::damaged(cut()))?;
            let header = (|| Ok((reader.u32()?, reader.u32()?, reader.u32()?)))();
            let (count, block, number) = header.map_err(TreeError::damaged)?;
            if count >= MOST_BEHIND_HEADER {
                return Err(TreeError::damaged(damaged("a directory has too many entries in a row")));
            }
            for which in 0..=count {
                let entry = (|| Ok((reader.u16()?, reader.u16()?, reader.u16()?, u32::from(reader.u16()?) + 1)))();
                let (offset, difference, code, name_length) = entry.map_err(TreeError::damaged)?;
                left = left.checked_sub(ENTRY + name_length).ok_or_else(|| TreeError::damaged(cut()))?;
                let name = reader.bytes(name_length as usize).map_err(TreeError::damaged)?;
                if let Some(index) = index.as_mut().filter(|_| which == 0) {
                    index.compare(position, place, &name).map_err(TreeError::damaged)?;
                }
                let path = below(path, &name)?;
                let reference = u64::from(block) << 16 | u64::from(offset);
                let place = Place::of(reference, self.superblock.inode_table).map_err(TreeError::damaged)?;
                let inode = self.inode(place).map_err(TreeError::damaged)?;
                let number = number.wrapping_add_signed(difference.cast_signed().into());
                if (inode.code, inode.number) != (code, number) {
                    return Err(TreeError::damaged(damaged("an entry and its inode contradict each other")));
                }
                waiting.extend(self.take(path, place, inode)?);
            }
        }
        index.map_or(Ok(()), Index::finish).map_err(TreeError::damaged)
    }

    fn inode(&self, place: Place) -> io::Result<Inode> {
        let mut reader = Reader::new(self.blocks, place)?;
        let (code, mode) = (reader.u16()?, reader.u16()?);
        let owner = |place: u16| {
            self.ids.get(usize::from(place)).copied().ok_or_else(|| damaged("an inode has an owner that is missing"))
        };
        let (uid, gid) = (owner(reader.u16()?)?, owner(reader.u16()?)?);
        let (mtime, number) = (reader.u32()?, reader.u32()?);
        let kind = self.kind(code, &mut reader)?;
        let attributes = Attributes {
            mode: u32::from(mode) & 0o7777,
            uid: uid.into(),
            gid: gid.into(),
            mtime: Timespec { tv_sec: mtime.into(), tv_nsec: 0 },
            xattrs: Vec::new(),
            named: Vec::new(),
        };
        // Of each kind there is a longer form, which entries do not tell of.
        Ok(Inode { kind, code: if code > 7 { code - 7 } else { code }, number, attributes })
    }

    fn kind(&self, code: u16, reader: &mut Reader<'_>) -> io::Result<Kind> {
        let directory = |block: u32, offset: u16, length: u32, index: Option<IndexPlace>| {
            let reference = u64::from(block) << 16 | u64::from(offset);
            let start = Place::of(reference, self.superblock.dir_table)?;
            Ok(Kind::Directory(Listing { start, length: length.saturating_sub(NOT_THERE), index }))
        };
        match code {
            1 => {
                let (block, _links) = (reader.u32()?, reader.u32()?);
                let (length, offset) = (reader.u16()?, reader.u16()?);
                directory(block, offset, length.into(), None)
            }
            8 => {
                let (_links, length, block, _parent) = (reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?);
                let (count, offset, _xattrs) = (reader.u16()?, reader.u16()?, reader.u32()?);
                let index = IndexPlace { first: reader.place(), count };
                directory(block, offset, length, Some(index).filter(|index| index.count > 0))
            }
            2 => {
                let (_start, _fragment, _offset) = (reader.u32()?, reader.u32()?, reader.u32()?);
                Ok(Kind::File { size: reader.u32()?.into() })
            }
            9 => {
                let _start = reader.u64()?;
                Ok(Kind::File { size: reader.u64()? })
            }
            4 | 5 | 11 | 12 => Ok(Kind::Device),
            3 | 6 | 7 | 10 | 13 | 14 => Ok(Kind::Other),
            _ => Err(damaged("an inode is of no known kind")),
        }
    }
}

/// The entry `name` of the directory `path`.
fn below(path: &Path, name: &[u8]) -> Result<PathBuf, TreeError> {
    if matches!(name, b"." | b"..") || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
        return Err(TreeError::UnsafeName(
            path.join(OsStr::from_bytes(name)).as_os_str().as_bytes().escape_ascii().to_string(),
        ));
    }
    let path = path.join(OsStr::from_bytes(name));
    if path.as_os_str().len() > LONGEST_PATH {
        return Err(TreeError::damaged(damaged("a path is too long")));
    }
    check_depth(&path)?;
    Ok(path)
}
