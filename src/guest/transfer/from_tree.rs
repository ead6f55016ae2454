//! Reading a tree that somebody may be changing meanwhile, or may have made to be read.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::entry::{Content, Entry, Sink, Summary, TransferError, may_be_copied};
use super::place::names_directory;
use crate::sys::{FileKind, Found, Links, RootDir};

/// How many entries of one directory are copied. Their names are held in memory, and a guest may make no end of them.
const MOST_NAMES: usize = 1 << 20;

/// Finds `path` of `tree`, which the user wrote as `named`: with `/` at its end, what a link there leads to.
pub(super) fn start_at(tree: &RootDir, named: &Path, path: &Path) -> Result<Found, TransferError> {
    let links = if names_directory(named) { Links::Followed } else { Links::Kept };
    let found = tree.find(path, links).map_err(TransferError::read(named))?;
    let found = found.ok_or_else(|| TransferError::Absent(named.to_owned()))?;
    match found.metadata().kind {
        FileKind::Special => Err(TransferError::Special(named.to_owned())),
        FileKind::File | FileKind::Symlink if names_directory(named) => {
            Err(TransferError::NotADirectory(named.to_owned()))
        }
        FileKind::File | FileKind::Directory | FileKind::Symlink => Ok(found),
    }
}

/// Puts `start`, which was named `named`, and all below it into `sink`. What cannot be copied, or has gone meanwhile, is
/// left out and noted.
pub(super) fn read_tree(
    start: Found,
    named: &Path,
    sink: &mut dyn Sink,
    summary: &mut Summary,
) -> Result<(), TransferError> {
    put(&start, Path::new(""), named, sink, summary)?;
    if start.metadata().kind != FileKind::Directory {
        return Ok(());
    }
    let tree = start.into_tree();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        for name in list(&tree, &directory, summary) {
            let path = directory.join(name);
            match tree.find(&path, Links::Kept) {
                Ok(Some(found)) => {
                    put(&found, &path, named, sink, summary)?;
                    if found.metadata().kind == FileKind::Directory {
                        directories.push(path);
                    }
                }
                Ok(None) => summary.skip(&path, "it went away"),
                Err(error) => summary.skip(&path, why(&error)),
            }
        }
    }
    Ok(())
}

fn list(tree: &RootDir, directory: &Path, summary: &mut Summary) -> Vec<OsString> {
    let mut names = tree.list(directory, MOST_NAMES + 1).unwrap_or_else(|error| {
        summary.skip(directory, why(&error));
        Vec::new()
    });
    if names.len() > MOST_NAMES {
        names.truncate(MOST_NAMES);
        summary.skip(directory, format!("it has more than {MOST_NAMES} entries: what is beyond"));
    }
    names
}

/// Why something could not even be looked at.
fn why(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EXDEV) => "another file system is mounted there".to_owned(),
        Some(libc::ELOOP) => "it became a link".to_owned(),
        _ => error.to_string(),
    }
}

fn put(
    found: &Found,
    path: &Path,
    named: &Path,
    sink: &mut dyn Sink,
    summary: &mut Summary,
) -> Result<(), TransferError> {
    let here = || if path.as_os_str().is_empty() { named.to_owned() } else { named.join(path) };
    let unreadable = |error| TransferError::read(&here())(error);
    let (mut bytes, text);
    let content = match found.metadata().kind {
        FileKind::Directory => Content::Directory,
        FileKind::File => {
            // No more than was there at first: a file that grows while it is read would have no end.
            bytes = found.open().map_err(unreadable)?.take(found.length());
            Content::File(found.length(), &mut bytes)
        }
        FileKind::Symlink => {
            text = found.link_text().map_err(unreadable)?;
            Content::Link(&text)
        }
        FileKind::Special => {
            summary.skip(path, "it is a device, a pipe or a socket");
            return Ok(());
        }
    };
    summary.count(&content);
    let metadata = found.metadata();
    let owner = (metadata.uid, metadata.gid);
    let xattrs = found.xattrs(may_be_copied).map_err(TransferError::read(&here()))?;
    sink.put(Entry { path, content, mode: metadata.mode, owner, modified: found.modified(), xattrs })
}
