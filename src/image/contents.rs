//! What tells that a stored image is as it was unpacked: one hash of everything in it, file contents too.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::FileType;
use sha2::{Digest as _, Sha256};

use super::digest::{Hasher, hex};
use super::error::TreeError;
use super::file_hashes::FileHashes;
use super::walk::walk;
use super::xattrs;

/// How a tree is hashed. What was noted by an earlier version keeps its recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recipe {
    /// Files by their SHA-256.
    First,
    /// Files by their BLAKE3.
    Second,
}

/// What begins a hash of the second recipe; one of the first is nothing but hexadecimal digits.
const SECOND: &str = "2:";

impl Recipe {
    /// The one that `hash` was made by.
    pub(super) fn of(hash: &str) -> Recipe {
        if hash.starts_with(SECOND) { Recipe::Second } else { Recipe::First }
    }

    /// What `hash` is noted as.
    pub(super) fn mark(self, hash: &str) -> String {
        match self {
            Recipe::First => hash.to_owned(),
            Recipe::Second => format!("{SECOND}{hash}"),
        }
    }

    /// Begins what is hashed.
    fn begin(self) -> &'static str {
        match self {
            Recipe::First => "fleet-contents-1\n",
            Recipe::Second => "fleet-contents-2\n",
        }
    }
}

/// What is in a tree.
#[derive(Debug)]
pub(super) struct Measured {
    /// Tells it from all others.
    pub(super) hash: String,
    /// What it takes on disk, each file counted once.
    pub(super) bytes: u64,
}

/// Measures the tree below `top`. The hash by `recipe` is of names, modes, owners, contents, link texts and extended
/// attributes; times are no part of it. Files whose BLAKE3 is among `known` are not read again.
pub(super) fn measure(top: &Path, known: &FileHashes, recipe: Recipe) -> Result<Measured, TreeError> {
    let mut hash = Sha256::new_with_prefix(recipe.begin());
    let mut hasher = Hasher::new();
    let (mut bytes, mut counted) = (0, HashSet::new());
    walk(top, &mut |found| {
        let stat = &found.stat;
        if found.kind() == FileType::Directory || stat.st_nlink == 1 || counted.insert(stat.st_ino) {
            bytes += stat.st_blocks.cast_unsigned() * 512;
        }
        let failed = || TreeError::read(&top.join(found.path));
        hash.update(format!("{:o} {} {} ", stat.st_mode, stat.st_uid, stat.st_gid));
        hash.update(found.path.as_os_str().as_bytes());
        hash.update([0]);
        match found.kind() {
            FileType::Symlink => hash.update(found.link().map_err(|error| failed()(error.into()))?.as_bytes()),
            FileType::RegularFile | FileType::Directory => {
                let opened: Option<OwnedFd> = found.open().map_err(|error| failed()(error.into()))?;
                let Some(opened) = opened else { return Ok(()) };
                for (name, value) in xattrs::read_stored(&opened).map_err(failed())? {
                    hash.update(name.as_bytes());
                    hash.update([0]);
                    hash.update((value.len() as u64).to_le_bytes());
                    hash.update(value);
                }
                if found.kind() == FileType::RegularFile {
                    let sum = match (recipe, known.get(stat.st_ino)) {
                        (Recipe::Second, Some(known)) => Ok(known.to_owned()),
                        (Recipe::Second, None) => hasher.blake3(File::from(opened)),
                        (Recipe::First, _) => hasher.sha256(File::from(opened)),
                    };
                    hash.update(sum.map_err(failed())?);
                }
            }
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => {}
        }
        hash.update([0]);
        Ok::<(), TreeError>(())
    })?;
    Ok(Measured { hash: recipe.mark(&hex(hash)), bytes })
}
