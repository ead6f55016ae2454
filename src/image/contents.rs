//! What tells that a stored image is as it was unpacked: one hash of everything in it, file contents too.

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

/// Begins what is hashed; another number whenever the same tree would get another hash.
const RECIPE: &str = "fleet-contents-1\n";

/// The hash of the tree below `top`: names, modes, owners, contents, link texts and extended attributes. Times are no part
/// of it. Files whose hashes are among `known` are not read again.
pub(super) fn hash(top: &Path, known: &FileHashes) -> Result<String, TreeError> {
    let mut hash = Sha256::new_with_prefix(RECIPE);
    let mut hasher = Hasher::new();
    walk(top, &mut |found| {
        let stat = &found.stat;
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
                    match known.get(stat.st_ino) {
                        Some(known) => hash.update(known),
                        None => hash.update(hasher.sha256(File::from(opened)).map_err(failed())?),
                    }
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
    Ok(hex(hash))
}
