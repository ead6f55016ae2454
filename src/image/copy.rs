//! A directory of the host becomes a root file system: what tells its content, and the copy.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, SeekFrom, seek};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::digest::hex;
use super::error::TreeError;
use super::file_hashes::FileHashes;
use super::tree::{Attributes, Limits, Tree, id};
use super::walk::{Found, walk};
use super::xattrs;

/// Begins what is hashed; another number whenever the same directory would make another image.
const RECIPE: &str = "fleet-directory-1\n";

/// The digest of the directory `top`: of the name, mode, owner, size, time and link text of everything in it. The
/// content of a file is told by its size and time, as rsync does, because a plan must not read whole systems.
pub(super) fn digest(top: &Path) -> Result<String, TreeError> {
    let mut hash = Sha256::new_with_prefix(RECIPE);
    let mut line = String::new();
    walk(top, &mut |found| {
        let stat = &found.stat;
        // Found now, an owner that no container has is an error of the plan and not of the unpacking.
        let uid = id(found.path, "owner", u64::from(stat.st_uid))?;
        let gid = id(found.path, "group", u64::from(stat.st_gid))?;
        // The length of a directory is its file system's affair.
        let size = if found.kind() == FileType::Directory { 0 } else { stat.st_size };
        line.clear();
        write!(
            line,
            "{:o} {uid} {gid} {size} {}.{} {} ",
            stat.st_mode, stat.st_mtime, stat.st_mtime_nsec, stat.st_rdev
        )
        .expect("a string takes all");
        hash.update(&line);
        hash.update(found.path.as_os_str().as_bytes());
        hash.update([0]);
        if found.kind() == FileType::Symlink {
            hash.update(read(top, found, found.link())?.as_bytes());
        }
        hash.update([0]);
        Ok::<(), TreeError>(())
    })?;
    Ok(hex(hash))
}

/// Copies the directory `from` into the empty directory `to`. What is mounted in it stays behind, and so do devices
/// and sockets. Returns the hashes of its files.
pub(super) fn copy(from: &Path, to: &Path, limits: Limits) -> Result<FileHashes, TreeError> {
    let mut tree = Tree::new(to, limits)?;
    let mut names: HashMap<(u64, u64), PathBuf> = HashMap::new();
    walk(from, &mut |found| {
        let stat = &found.stat;
        if stat.st_nlink > 1 && found.kind() != FileType::Directory {
            if let Some(first) = names.get(&(stat.st_dev, stat.st_ino)) {
                return tree.hard_link(found.path, first);
            }
            names.insert((stat.st_dev, stat.st_ino), found.path.to_owned());
        }
        add(&mut tree, from, found)
    })?;
    tree.finish()
}

fn add(tree: &mut Tree, from: &Path, found: &Found<'_>) -> Result<(), TreeError> {
    let mut attributes = Attributes::of(&found.stat);
    match found.kind() {
        FileType::Directory => {
            if let Some(directory) = read(from, found, found.open())? {
                attributes.xattrs = xattrs::read(&directory).map_err(TreeError::read(&from.join(found.path)))?;
            }
            tree.directory(found.path, &attributes)
        }
        FileType::RegularFile => {
            let Some(source) = read(from, found, found.open())? else { return Ok(()) };
            attributes.xattrs = xattrs::read(&source).map_err(TreeError::read(&from.join(found.path)))?;
            let source = File::from(source);
            tree.file(found.path, found.stat.st_size.cast_unsigned(), &attributes, |file| {
                copy_data(&source, file).map_err(TreeError::write(found.path))
            })
        }
        FileType::Symlink => tree.symlink(found.path, &read(from, found, found.link())?, &attributes),
        FileType::Fifo => tree.pipe(found.path, &attributes),
        FileType::CharacterDevice | FileType::BlockDevice | FileType::Socket | FileType::Unknown => tree.charge(0),
    }
}

/// Copies what is not a hole.
pub(super) fn copy_data(from: &File, to: &File) -> io::Result<()> {
    let mut end = 0;
    loop {
        let start = match seek(from.as_fd(), SeekFrom::Data(end)) {
            Err(Errno::NXIO) => break,
            other => other?,
        };
        end = seek(from, SeekFrom::Hole(start))?;
        seek(from, SeekFrom::Start(start))?;
        seek(to, SeekFrom::Start(start))?;
        let (mut from, mut to) = (from.take(end - start), to);
        io::copy(&mut from, &mut to)?;
    }
    to.set_len(from.metadata()?.len())
}

fn read<T>(top: &Path, found: &Found<'_>, result: rustix::io::Result<T>) -> Result<T, TreeError> {
    result.map_err(|error| TreeError::read(&top.join(found.path))(error.into()))
}
