//! A version of a product as files that can be checked.

use super::document::{Item, Version};
use super::{StreamsError, below};
use crate::model::{BuildFile, BuildFiles, ImageDigest, WebUrl};

/// The largest file of a build.
const LARGEST: u64 = 64 << 30;

/// Metadata as files of their own, as Incus and as LXD call them; the two have the same content.
const METADATA: [&str; 2] = ["incus.tar.xz", "lxd.tar.xz"];

/// Metadata and root file system in one archive.
const UNIFIED: [&str; 2] = ["incus_combined.tar.gz", "lxd_combined.tar.gz"];

/// The fingerprint and the files of a build, if it has them.
type Found = Result<Option<(ImageDigest, BuildFiles)>, StreamsError>;

/// The files of `version` that a container is made of, and their fingerprint. `None` if it has none, as one that is for
/// virtual machines.
///
/// Of the two forms of a root file system the squashfs is taken where the kernel `mounts_squashfs`: that takes less room and
/// no time to unpack. Elsewhere it is the archive: it says everything about its files, where the reader of squashfs does not
/// tell hard links, nor the extended attributes of directories.
pub(super) fn files(server: &WebUrl, version: &Version, mounts_squashfs: bool) -> Found {
    let items = || version.items.values();
    let of = |ftype: &str| items().find(|item| item.ftype == ftype);
    let archive = |metadata: &Item| -> Found {
        let combined = metadata.combined_rootxz_sha256.as_ref().or(metadata.combined_sha256.as_ref());
        let (Some(root), Some(combined)) = (of("root.tar.xz"), combined) else { return Ok(None) };
        let files = BuildFiles::Archive { metadata: file(server, metadata)?, root: file(server, root)? };
        Ok(Some((fingerprint(server, metadata, combined)?, files)))
    };
    let squashfs = |metadata: &Item| -> Found {
        let combined = metadata.combined_squashfs_sha256.as_ref();
        let (Some(root), Some(combined)) = (of("squashfs"), combined) else { return Ok(None) };
        let files = BuildFiles::Squashfs { metadata: file(server, metadata)?, root: file(server, root)? };
        Ok(Some((fingerprint(server, metadata, combined)?, files)))
    };
    for is_squashfs in [mounts_squashfs, !mounts_squashfs] {
        for metadata in METADATA.into_iter().filter_map(of) {
            let found = if is_squashfs { squashfs(metadata)? } else { archive(metadata)? };
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    match UNIFIED.into_iter().find_map(of) {
        Some(unified) => {
            let file = file(server, unified)?;
            Ok(Some((ImageDigest(file.sha256.clone()), BuildFiles::Unified(file))))
        }
        None => Ok(None),
    }
}

fn file(server: &WebUrl, item: &Item) -> Result<BuildFile, StreamsError> {
    let path = item.path.clone();
    below(server, &path)?;
    if item.size == 0 || item.size > LARGEST {
        return Err(StreamsError::BadSize { server: server.to_string(), path, size: item.size });
    }
    let sha256 = ImageDigest::parse_hex(&item.sha256).map_err(|_| bad_sha256(server, item, "the `sha256`"))?;
    Ok(BuildFile { path, sha256, size: item.size })
}

fn fingerprint(server: &WebUrl, metadata: &Item, combined: &str) -> Result<ImageDigest, StreamsError> {
    let parsed = ImageDigest::parse_hex(combined).map_err(|_| bad_sha256(server, metadata, "the combined `sha256`"));
    parsed.map(ImageDigest)
}

fn bad_sha256(server: &WebUrl, item: &Item, what: &'static str) -> StreamsError {
    StreamsError::BadSha256 { server: server.to_string(), what, path: item.path.clone() }
}
