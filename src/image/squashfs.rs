//! A squashfs becomes a root file system.
//!
//! It is read by a library and not mounted: what comes from elsewhere is no food for the kernel's own parser, and not
//! every host has that. Hard links become files of their own, for the library does not tell them.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};

use backhand::{InnerNode, Node, Squashfs, SquashfsFileReader};
use rustix::fs::Timespec;

use super::error::TreeError;
use super::format::CHUNK;
use super::squashfs_xattrs::XattrTable;
use super::tree::{Attributes, Limits, Tree, inside};

/// What an inode's reference to attributes is when it has none.
const NO_XATTRS: u32 = u32::MAX;

/// Writes what the squashfs `file` holds into the empty directory `top`. Devices and sockets are left out.
pub(super) fn unpack(file: &File, top: &Path, limits: Limits) -> Result<(), TreeError> {
    let copy = file.try_clone().map_err(TreeError::damaged)?;
    let squashfs = Squashfs::from_reader(BufReader::with_capacity(CHUNK, copy)).map_err(damaged)?;
    let xattrs = XattrTable::read(file, &squashfs.superblock).map_err(TreeError::damaged)?;
    let filesystem = squashfs.into_filesystem_reader().map_err(damaged)?;
    let mut tree = Tree::new(top, limits)?;
    for node in filesystem.files() {
        let path = place(&node.fullpath)?;
        let mut attributes = attributes(node);
        match &node.inner {
            InnerNode::File(inner) => {
                if let SquashfsFileReader::Extended(extended) = inner
                    && extended.xattr_index != NO_XATTRS
                {
                    attributes.xattrs = xattrs.get(extended.xattr_index).map_err(TreeError::damaged)?;
                }
                let size = inner.file_len() as u64;
                let reader = filesystem.file(inner).reader_checked().map_err(damaged)?;
                tree.file(&path, size, &attributes, |file| copy_data(reader.take(size), file, &path, size))?;
            }
            InnerNode::Symlink(link) => tree.symlink(&path, link.link.as_os_str(), &attributes)?,
            InnerNode::Dir(_) => tree.directory(&path, &attributes)?,
            InnerNode::NamedPipe => tree.pipe(&path, &attributes)?,
            InnerNode::CharacterDevice(_) | InnerNode::BlockDevice(_) | InnerNode::Socket => tree.charge(0)?,
        }
    }
    tree.finish()
}

/// The library's paths begin at `/`.
fn place(path: &Path) -> Result<PathBuf, TreeError> {
    let below = path.strip_prefix("/").unwrap_or(path);
    if below.as_os_str().is_empty() { Ok(PathBuf::new()) } else { inside(below.as_os_str().as_encoded_bytes()) }
}

fn attributes(node: &Node<SquashfsFileReader>) -> Attributes {
    let header = &node.header;
    Attributes {
        mode: u32::from(header.permissions) & 0o7777,
        uid: header.uid.into(),
        gid: header.gid.into(),
        mtime: Timespec { tv_sec: header.mtime.into(), tv_nsec: 0 },
        xattrs: Vec::new(),
    }
}

fn copy_data(mut reader: impl io::Read, file: &mut File, path: &Path, size: u64) -> Result<(), TreeError> {
    let mut buffer = vec![0; CHUNK];
    let mut copied = 0;
    loop {
        let read = reader.read(&mut buffer).map_err(TreeError::damaged)?;
        if read == 0 {
            break;
        }
        file.write_all(&buffer[..read]).map_err(TreeError::write(path))?;
        copied += read as u64;
    }
    if copied == size { Ok(()) } else { Err(TreeError::damaged(io::ErrorKind::UnexpectedEof.into())) }
}

fn damaged(error: backhand::BackhandError) -> TreeError {
    TreeError::damaged(io::Error::new(io::ErrorKind::InvalidData, error))
}
