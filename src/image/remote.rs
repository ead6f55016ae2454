//! Images from servers: loaded, verified, unpacked.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::ahead::read_ahead;
use super::digest::hex;
use super::download::{Loaded, Wanted, load};
use super::entries::BLOCK;
use super::error::{ImageError, TreeError};
use super::file_hashes::FileHashes;
use super::format::Format;
use super::layer_store::Stack;
use super::registry;
use super::squashfs;
use super::store::ImageDraft;
use super::unpack::{Contents, unpack};
use super::web::{Web, WebError};
use crate::model::{Build, BuildFile, BuildFiles, WebUrl};
use crate::store::Layout;

/// Hears how many bytes there are, and how many there will be.
pub(super) type Tell<'a> = &'a dyn Fn(u64, Option<u64>);

/// Makes the root file system of `build` in `draft`. Its layers, if it has any, stay in the store as long as what is
/// returned lives.
pub(super) fn fetch_build<'l>(
    layout: &'l Layout,
    build: &Build,
    draft: &ImageDraft,
    tell: Tell<'_>,
) -> Result<Option<Stack<'l>>, ImageError> {
    let web = Web::new()?;
    let load = |file: &BuildFile, before: Sha256, tell: Tell<'_>| {
        let url = build.server.join(&file.path).ok_or_else(|| ImageError::Unavailable {
            image: build.distro.to_string(),
            why: format!("the path `{}` does not lead to a place below the server", file.path.escape_debug()),
            hint: Some("correct the lock file, or remove it: `fleet apply` writes it anew".to_owned()),
        })?;
        let wanted = Wanted { url, sha256: &file.sha256, size: Some(file.size), longest: draft.limits() };
        let loaded = load(&web, &wanted, &layout.downloads(), before, tell);
        loaded.map_err(|error| gone(error, build))
    };
    // Small as it is, it is not kept: two builds may have the same, and would wait for each other.
    let after = |metadata: &BuildFile| {
        let loaded = load(metadata, Sha256::new(), &|_, _| ())?;
        let hash = loaded.combined.clone();
        loaded.discard();
        Ok::<_, ImageError>(hash)
    };
    let (loaded, contents) = match &build.files {
        BuildFiles::Layers { .. } => {
            let (stack, entrypoint) = registry::fetch(layout, build, draft.limits(), tell)?;
            draft.set_layers(&stack.ids())?;
            if let Some(entrypoint) = entrypoint {
                draft.keep(&entrypoint)?;
            }
            return Ok(Some(stack));
        }
        BuildFiles::Unified(file) => (load(file, Sha256::new(), tell)?, Some(Contents::Unified)),
        BuildFiles::Archive { metadata, root } => (load(root, after(metadata)?, tell)?, Some(Contents::LxcRoot)),
        BuildFiles::Squashfs { metadata, root } => (load(root, after(metadata)?, tell)?, None),
    };
    let found = hex(loaded.combined.clone());
    if found != build.fingerprint.0 {
        loaded.discard();
        return Err(ImageError::Mismatch {
            url: format!("{} of {}", build.distro, build.server),
            what: "fingerprint",
            expected: build.fingerprint.to_string(),
            found,
        });
    }
    match contents {
        Some(contents) => {
            draft.note(unpack_archive(&loaded, contents, draft)?);
            loaded.discard();
        }
        None => keep_squashfs(loaded, draft)?,
    }
    Ok(None)
}

/// Makes the root file system of the archive or squashfs at `url` in `draft`.
pub(super) fn fetch_archive(
    layout: &Layout,
    url: &WebUrl,
    sha256: &str,
    draft: &ImageDraft,
    tell: Tell<'_>,
) -> Result<(), ImageError> {
    let wanted = Wanted { url: url.clone(), sha256, size: None, longest: draft.limits() };
    let loaded = load(&Web::new()?, &wanted, &layout.downloads(), Sha256::new(), tell)?;
    let mut magic = [0; squashfs::MAGIC.len()];
    if loaded.file.read_exact_at(&mut magic, 0).is_ok() && magic == *squashfs::MAGIC {
        return keep_squashfs(loaded, draft);
    }
    draft.note(unpack_archive(&loaded, Contents::Root, draft)?);
    loaded.discard();
    Ok(())
}

/// Moves what was loaded into the store.
fn keep_squashfs(loaded: Loaded, draft: &ImageDraft) -> Result<(), ImageError> {
    let to = draft.parts().squashfs();
    fs::rename(&loaded.path, &to).map_err(ImageError::io("write", &to))?;
    // It is locked as a download, and who mounts it locks it, too.
    let (sha256, from) = (loaded.sha256.clone(), loaded.path.clone());
    drop(loaded);
    squashfs::settle(draft, &sha256, &from)
}

fn unpack_archive(loaded: &Loaded, contents: Contents, draft: &ImageDraft) -> Result<FileHashes, ImageError> {
    let format = detect(&loaded.file).map_err(ImageError::io("read", &loaded.path))?;
    let format = format.ok_or_else(|| not_an_archive(&loaded.path))?;
    let (root, limits) = (draft.make_root()?, draft.limits());
    format
        .decode(&loaded.file)
        .map_err(TreeError::damaged)
        .and_then(|archive| read_ahead(archive, |archive| unpack(archive, contents, &root, limits)))
        .map_err(unpack_failed(&loaded.path))
}

/// How the archive `file` is packed. It is at its beginning again afterwards.
pub(super) fn detect(mut file: &File) -> std::io::Result<Option<Format>> {
    let mut head = Vec::with_capacity(BLOCK);
    file.take(BLOCK as u64).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(Format::detect(&head))
}

fn not_an_archive(path: &Path) -> ImageError {
    let damaged = std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not a tar archive");
    ImageError::Unpack { path: path.to_owned(), source: TreeError::Damaged(damaged) }
}

fn unpack_failed(path: &Path) -> impl FnOnce(TreeError) -> ImageError + use<> {
    let path = path.to_owned();
    move |source| ImageError::Unpack { path, source }
}

/// Servers keep a build for some days only.
pub(super) fn gone(error: ImageError, build: &Build) -> ImageError {
    let Build { server, serial, .. } = build;
    let distro = build.distro();
    match error {
        ImageError::Web(WebError::Refused { status: 404 | 410, .. }) => ImageError::Unavailable {
            image: distro.to_string(),
            why: format!("`{server}` no longer has its build {serial}"),
            hint: Some(format!("`fleet update {distro}` moves to the newest build")),
        },
        other => other,
    }
}
