//! Makes the root file system of a source, and makes sure that it is the one that was planned.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;
use std::time::SystemTime;

use super::ahead::read_ahead;
use super::busybox;
use super::copy;
use super::digest::{DigestCache, Hasher, Hashing, Identity};
use super::error::{ImageError, TreeError};
use super::format::Format;
use super::source::Located;
use super::squashfs;
use super::store::ImageDraft;
use super::tree::Tree;
use super::unpack::{Contents, unpack};
use crate::model::ImageDigest;

/// Makes the root file system of `located`, whose content must be `digest`, in `draft`.
pub(super) fn fetch(
    located: &Located,
    digest: &ImageDigest,
    draft: &ImageDraft,
    cache: &DigestCache,
) -> Result<(), ImageError> {
    let found = fetch_unknown(located, draft, cache)?;
    if &found == digest {
        return Ok(());
    }
    let path = located.path().to_owned();
    Err(ImageError::Changed { path, expected: digest.to_string(), found: found.to_string() })
}

/// Makes the root file system of `located`, whatever its content is, in `draft`; returns what tells that.
pub(super) fn fetch_unknown(
    located: &Located,
    draft: &ImageDraft,
    cache: &DigestCache,
) -> Result<ImageDigest, ImageError> {
    match located {
        Located::Busybox { path, file } => fetch_busybox(path, file, draft),
        Located::Archive { path, file, format } => fetch_archive(path, file, *format, draft, cache),
        Located::Squashfs { path, file } => fetch_squashfs(path, file, draft, cache),
        Located::Directory(path) => {
            let copy_failed = |source| ImageError::Unpack { path: path.clone(), source };
            draft.note(copy::copy(path, &draft.make_root()?, draft.limits()).map_err(copy_failed)?);
            Ok(ImageDigest(copy::digest(path).map_err(copy_failed)?))
        }
    }
}

/// Unpacks while hashing, in one pass over the file.
fn fetch_archive(
    path: &Path,
    file: &File,
    format: Format,
    draft: &ImageDraft,
    cache: &DigestCache,
) -> Result<ImageDigest, ImageError> {
    let unpack_failed = |source| ImageError::Unpack { path: path.to_owned(), source };
    let before = Identity::of(file).map_err(ImageError::io("read", path))?;
    let mut hashing = Hashing::new(file);
    let root = draft.make_root()?;
    let hashes = format
        .decode(&mut hashing)
        .map_err(TreeError::damaged)
        .and_then(|archive| read_ahead(archive, |archive| unpack(archive, Contents::Root, &root, draft.limits())))
        .map_err(unpack_failed)?;
    draft.note(hashes);
    let sha256 = hashing.finish().map_err(ImageError::io("read", path))?;
    remember(path, file, before, &sha256, cache)?;
    Ok(ImageDigest(sha256))
}

/// Keeps the digest of the archive `path`, which was `before`, unless it has been changed meanwhile.
fn remember(path: &Path, file: &File, before: Identity, sha256: &str, cache: &DigestCache) -> Result<(), ImageError> {
    if Identity::of(file).map_err(ImageError::io("read", path))? == before {
        cache.remember(path, before, sha256, SystemTime::now());
    }
    Ok(())
}

/// Copies while hashing: what is in the store is nobody's to change.
fn fetch_squashfs(
    path: &Path,
    mut file: &File,
    draft: &ImageDraft,
    cache: &DigestCache,
) -> Result<ImageDigest, ImageError> {
    let before = Identity::of(file).map_err(ImageError::io("read", path))?;
    file.rewind().map_err(ImageError::io("read", path))?;
    let mut hashing = Hashing::new(file);
    let to = draft.parts().squashfs();
    let mut copy = File::create_new(&to).map_err(ImageError::io("write", &to))?;
    io::copy(&mut hashing, &mut copy).map_err(ImageError::io("write", &to))?;
    let sha256 = hashing.finish().map_err(ImageError::io("read", path))?;
    remember(path, file, before, &sha256, cache)?;
    squashfs::settle(draft, &sha256, path)?;
    Ok(ImageDigest(sha256))
}

fn fetch_busybox(path: &Path, mut file: &File, draft: &ImageDraft) -> Result<ImageDigest, ImageError> {
    let mut program = Vec::new();
    file.read_to_end(&mut program).map_err(ImageError::io("read", path))?;
    let sha256 = Hasher::new().sha256(program.as_slice()).map_err(ImageError::io("read", path))?;
    let built = Tree::new(&draft.make_root()?, draft.limits())
        .and_then(|tree| busybox::build(tree, &program, &busybox::applets(path)))
        .map_err(|source| ImageError::Unpack { path: path.to_owned(), source })?;
    draft.note(built);
    Ok(busybox::digest(&sha256))
}
