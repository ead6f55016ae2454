//! A squashfs is what containers stand on, where the kernel can mount it, or else becomes a tree.
//!
//! What comes from elsewhere is looked through before the kernel's own parser gets it. As a tree it loses what the library
//! that unpacks does not tell: hard links become files of their own, and directories have no extended attributes.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use std::os::unix::ffi::OsStrExt as _;

use backhand::kind::{Kind, LE_V4_0};
use backhand::{BufReadSeek, InnerNode, Node, Squashfs, SquashfsFileReader, SuperBlock};
use rustix::fs::Timespec;

use super::error::{ImageError, TreeError};
use super::file_hashes::FileHashes;
use super::format::CHUNK;
use super::layers;
use super::squashfs_tree::{Shown, look};
use super::squashfs_xattrs::XattrTable;
use super::store::ImageDraft;
use super::tree::{Attributes, Limits, Tree, inside};
use super::xattrs::is_welcome;
use crate::sys::can_map_squashfs;

/// What an inode's reference to attributes is when it has none.
const NO_XATTRS: u32 = u32::MAX;

/// The first bytes of a squashfs.
pub(super) const MAGIC: &[u8] = b"hsqs";

/// Makes the squashfs that has been put into `draft` its root file system: as it is, or unpacked where the kernel cannot
/// mount it or a container must not see all of it. Its SHA-256 is `sha256`, and it came from `from`.
pub(super) fn settle(draft: &ImageDraft, sha256: &str, from: &Path) -> Result<(), ImageError> {
    let (path, limits) = (draft.parts().squashfs(), draft.limits());
    let file = File::open(&path).map_err(ImageError::io("read", &path))?;
    let unpack_failed = |source| ImageError::Unpack { path: from.to_owned(), source };
    let (shown, is_unwelcome) = examine(&file, limits).map_err(unpack_failed)?;
    if is_unwelcome || !can_map_squashfs(&path) {
        draft.note(unpack(&file, &draft.make_root()?, limits).map_err(unpack_failed)?);
        return fs::remove_file(&path).map_err(ImageError::io("remove", &path));
    }
    draft.note(FileHashes::of(&file, sha256).map_err(ImageError::io("read", &path))?);
    if shown.devices.is_empty() {
        return Ok(());
    }
    hide(&shown, &draft.make_mask()?, limits).map_err(unpack_failed)
}

/// Looks through the squashfs `file`, as if it were unpacked. Returns what the kernel would show of it, and whether it has
/// extended attributes that no image may have.
pub(super) fn examine(file: &File, limits: Limits) -> Result<(Shown, bool), TreeError> {
    let superblock = superblock(file)?;
    let shown = look(file, &superblock, limits)?;
    let xattrs = XattrTable::read(file, &superblock).map_err(TreeError::damaged)?;
    let is_unwelcome = !xattrs.all().map_err(TreeError::damaged)?.iter().all(|name| is_welcome(name.as_bytes()));
    Ok((shown, is_unwelcome))
}

/// Makes in the empty directory `top` what hides the device files when it lies upon the squashfs: a guest's root would be
/// their owner.
fn hide(shown: &Shown, top: &Path, limits: Limits) -> Result<(), TreeError> {
    let mut tree = Tree::new(top, limits)?;
    for (path, attributes) in &shown.directories {
        // What lies above has the attributes that show.
        if shown.devices.iter().any(|device| device.starts_with(path)) {
            tree.directory(path, attributes)?;
        }
    }
    for device in &shown.devices {
        tree.lowers.remove(device.clone());
    }
    layers::finish(tree).map(drop)
}

/// Writes what the squashfs `file` holds into the empty directory `top`. Devices and sockets are left out.
/// Returns the hashes of its files.
pub(super) fn unpack(file: &File, top: &Path, limits: Limits) -> Result<FileHashes, TreeError> {
    // The library reads all of it into memory, and goes wherever it is led.
    look(file, &superblock(file)?, limits)?;
    let squashfs = read(file)?;
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

/// The superblock of the squashfs `file`.
fn superblock(mut file: &File) -> Result<SuperBlock, TreeError> {
    file.rewind().map_err(TreeError::damaged)?;
    let copy = file.try_clone().map_err(TreeError::damaged)?;
    let kind = Kind::from_const(LE_V4_0).expect("it is the library's own");
    let mut reader: Box<dyn BufReadSeek> = Box::new(BufReader::with_capacity(CHUNK, copy));
    let (superblock, _) = Squashfs::superblock_and_compression_options(&mut reader, &kind).map_err(damaged)?;
    let length = file.metadata().map_err(TreeError::damaged)?.len();
    if superblock.bytes_used > length {
        return Err(TreeError::damaged(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(superblock)
}

/// Reads the squashfs `file` from its beginning.
fn read(mut file: &File) -> Result<Squashfs<'static>, TreeError> {
    file.rewind().map_err(TreeError::damaged)?;
    let copy = file.try_clone().map_err(TreeError::damaged)?;
    Squashfs::from_reader(BufReader::with_capacity(CHUNK, copy)).map_err(damaged)
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
        named: Vec::new(),
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
