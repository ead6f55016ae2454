//! Removes parts of a tree, never following a link.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;

use rustix::fs::{self as rfs, AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;

/// How deep a tree may be: each level holds a file descriptor while it is gone through.
const DEEPEST: u32 = 500;

/// Removes `name` in `parent` with all in it, if it is there.
pub(super) fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    remove_below(parent, name, DEEPEST)
}

/// Removes all in `directory`.
pub(super) fn empty(directory: &OwnedFd) -> io::Result<()> {
    empty_below(directory, DEEPEST)
}

fn remove_below(parent: &OwnedFd, name: &OsStr, levels: u32) -> io::Result<()> {
    match rfs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        Err(Errno::NOENT) | Ok(()) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let levels = levels.checked_sub(1).ok_or_else(|| io::Error::other("its directories are nested too deeply"))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    empty_below(&rfs::openat(parent, name, flags, Mode::empty())?, levels)?;
    Ok(rfs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}

fn empty_below(directory: &OwnedFd, levels: u32) -> io::Result<()> {
    // Read to its end first: removing while reading may skip entries.
    let names: Vec<OsString> = Dir::read_from(directory)?
        .map(|entry| Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned()))
        .collect::<io::Result<_>>()?;
    for name in names.iter().filter(|name| *name != "." && *name != "..") {
        remove_below(directory, name, levels)?;
    }
    Ok(())
}
