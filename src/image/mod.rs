//! Images: where they come from, whether they can be trusted, and the store that keeps them unpacked.
//!
//! Start at [`Images`]. A source is located (`source`) or resolved to a build on a server (`streams`,
//! `registry`), then fetched (`fetch`,
//! `remote`): a file is loaded (`download`, `web`), an archive is hashed, decoded (`format`), read (`entries`) and written
//! (`unpack`), several one upon the other (`layers`), so is a squashfs (`squashfs`), a directory is copied (`copy`), a busybox image is built (`busybox`), a Debian
//! is made by mmdebstrap (`bootstrap`); all of them write through `tree`. This room knows no containers.

mod acl;
mod ahead;
mod apt;
mod below;
mod bootstrap;
mod busybox;
mod contents;
mod copy;
mod digest;
mod download;
mod draft;
mod elf;
mod entries;
mod error;
mod export;
mod fetch;
mod file_hashes;
mod format;
mod layer_store;
mod layers;
mod pace;
mod pax;
mod registry;
mod remote;
mod source;
mod sparse;
mod squashfs;
mod squashfs_blocks;
mod squashfs_index;
mod squashfs_tree;
mod squashfs_xattrs;
mod store;
mod streams;
#[cfg(test)]
mod tests;
mod tree;
mod turn;
mod unpack;
mod walk;
mod web;
mod xattrs;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::{ImageError, TreeError, WebError};

use self::contents::Recipe;
use self::digest::DigestCache;
use self::file_hashes::FileHashes;
use self::source::{Located, Unavailable};
use self::store::{ImageDraft, ImageRecord};
use self::streams::NoBuild;
use self::tree::Limits;
use self::turn::Turn;
use crate::model::{
    Bootstrap, Build, Distro, ImageDigest, ImageLimits, ImageNews, ImageSource, ImageState, SigningKey, SigningKeys,
    Startable, Transfer,
};
use crate::store::Layout;

/// Hears how far images are.
type Listener = Arc<dyn Fn(ImageNews) + Send + Sync>;

/// The images of one installation.
#[derive(Clone)]
pub struct Images {
    layout: Layout,
    listener: Option<Listener>,
    limits: Limits,
}

impl fmt::Debug for Images {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Images").field("layout", &self.layout).finish_non_exhaustive()
    }
}

/// An image of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// What identifies it.
    pub digest: ImageDigest,
    /// Where it came from, as a fleet file writes it.
    pub source: String,
    /// When it was stored, in seconds since 1970.
    pub created_at_s: u64,
    /// What it takes on disk, with layers that other images may share.
    pub bytes: u64,
    /// The build that it is, if it is one of a distribution.
    pub build: Option<Build>,
}

impl Images {
    /// The images kept under `layout`.
    #[must_use]
    pub fn new(layout: Layout) -> Images {
        Images { layout, listener: None, limits: ImageLimits::default().into() }
    }

    /// The same, taking in no image that holds more than `limits` say.
    #[must_use]
    pub fn within(self, limits: ImageLimits) -> Images {
        Images { limits: limits.into(), ..self }
    }

    /// The same, telling `listener` of each piece that comes from a server, and of what is being made here.
    #[must_use]
    pub fn heard_by(self, listener: impl Fn(ImageNews) + Send + Sync + 'static) -> Images {
        Images { listener: Some(Arc::new(listener)), ..self }
    }

    /// Finds out what `source` is now and whether the store has it, without any network. Writes nothing but its own
    /// cache of digests.
    ///
    /// Only root can see into the store; to others no image is stored.
    #[must_use]
    pub fn observe(&self, source: &ImageSource) -> ImageState {
        let digest = match source {
            ImageSource::Busybox => source::locate_busybox().and_then(|busybox| busybox.digest(None, &self.digests())),
            ImageSource::File { path, sha256 } => source::locate_file(path, sha256.is_some())
                .and_then(|located| located.digest(sha256.as_deref(), &self.digests())),
            ImageSource::Https { sha256, .. } => Ok(ImageDigest(sha256.clone())),
            ImageSource::Distro(distro) => return self.observe_kept(distro, &BTreeSet::new(), None),
            ImageSource::Bootstrap(request) => {
                let digest = bootstrap::digest(request);
                // What is there needs nobody who could make it.
                let can_be_had = || bootstrap::check(request).map(|()| digest.clone());
                if store::has(&self.layout, &digest) { Ok(digest) } else { can_be_had() }
            }
        };
        match digest {
            Ok(digest) if store::has(&self.layout, &digest) => ImageState::Stored(digest),
            Ok(digest) => ImageState::Available(digest),
            Err(unavailable) => unavailable.into(),
        }
    }

    /// What the build `build` is to the store.
    #[must_use]
    pub fn observe_build(&self, build: &Build) -> ImageState {
        if store::has(&self.layout, &build.fingerprint) {
            ImageState::Stored(build.fingerprint.clone())
        } else {
            ImageState::Offered(Box::new(build.clone()))
        }
    }

    /// What `distro` is by the builds that the store has: the newest of those in `held`, which containers of a fleet that it is
    /// asked for stand on, or else of all. Of a server that has a `key` only those are taken that were verified with it.
    #[must_use]
    pub fn observe_kept(&self, distro: &Distro, held: &BTreeSet<ImageDigest>, key: Option<&SigningKey>) -> ImageState {
        let signed_by = key.map(streams::fingerprint);
        let images: Vec<ImageRecord> = store::list(&self.layout).unwrap_or_default();
        let newest = |fits: &dyn Fn(&ImageRecord) -> bool| {
            let is_signed = |record: &ImageRecord| {
                signed_by.is_none() || record.build.as_ref().is_some_and(|build| build.signed_by == signed_by)
            };
            let builds = images.iter().filter(|record| is_signed(record) && fits(record));
            builds.max_by_key(|record| (record.build.as_ref().map(|build| &build.serial), &record.digest))
        };
        // What a container stands on was found under its own name once, whatever the store calls it.
        let kept = newest(&|record| held.contains(&record.digest))
            .or_else(|| newest(&|record| record.build.as_ref().is_some_and(|build| build.is_of(distro))));
        match (kept, key) {
            (Some(record), _) => ImageState::Stored(record.digest.clone()),
            (None, None) => Unavailable::new("the image store has no build of it", "run `fleet apply`").into(),
            (None, Some(key)) => Unavailable {
                why: format!("the image store has no build of it that `{}` has signed", key.file.display()),
                hint: Some("run `fleet apply`".to_owned()),
            }
            .into(),
        }
    }

    /// What the build `build`, which its server offers now, is to the store. If that has it already, it takes note of who
    /// vouches for it now; who may not write there asks the server again the next time.
    #[must_use]
    pub fn observe_offered(&self, build: &Build) -> ImageState {
        let _ = store::confirm(&self.layout, build);
        self.observe_build(build)
    }

    /// The newest builds of `distros`, as their servers say now, or why there is none. What the servers of `keys` say must be
    /// signed by those. Takes as long as the network does.
    #[must_use]
    pub fn resolve(distros: &[Distro], keys: &SigningKeys) -> BTreeMap<Distro, Result<Build, ImageState>> {
        let (images, distros): (Vec<Distro>, Vec<Distro>) =
            distros.iter().cloned().partition(|distro| distro.name.repository().is_some());
        let images = images.into_iter().map(|image| {
            let build = registry::resolve(&image).map_err(ImageState::from);
            (image, build)
        });
        let builds = streams::resolve(&distros, keys).into_iter().map(|(distro, build)| {
            let build = build.map_err(|no_build| match no_build {
                // Whoever wants a signature does not want something else.
                NoBuild::Silent(unavailable) if !keys.contains_key(&distro.server) => stand_in(&distro, unavailable),
                NoBuild::Silent(unavailable) | NoBuild::Refused(unavailable) => unavailable.into(),
            });
            (distro, build)
        });
        builds.chain(images).collect()
    }

    /// `state`, if it is of something that the store does not have; else that it has it.
    #[must_use]
    pub fn unless_stored(&self, state: ImageState) -> ImageState {
        match state {
            ImageState::StandIn { digest, .. } if store::has(&self.layout, &digest) => ImageState::Stored(digest),
            other => other,
        }
    }

    /// Brings `source`, whose content must be `digest`, into the store; of a distribution it is `build`. Nothing to do if
    /// it is there. Whoever wants the same meanwhile waits, in this process and in others.
    pub fn fetch(&self, source: &ImageSource, digest: &ImageDigest, build: Option<&Build>) -> Result<(), ImageError> {
        let _turn = Turn::take(&self.layout, digest)?;
        if store::has(&self.layout, digest) {
            return build.map_or(Ok(()), |build| store::confirm(&self.layout, build));
        }
        let news = |news| {
            if let Some(listener) = &self.listener {
                listener(news);
            }
        };
        let tell = |done, total| news(ImageNews::Transferred(Transfer { image: source.to_string(), done, total }));
        let local = |located: Result<Located, Unavailable>| {
            let located = located.map_err(|unavailable| unavailable_image(source, unavailable))?;
            let draft = ImageDraft::begin(&self.layout, digest, self.limits)?;
            fetch::fetch(&located, digest, &draft, &self.digests())?;
            Ok::<_, ImageError>(draft)
        };
        // Layers stay until the image needs them.
        let mut held = None;
        let draft = match (source, build) {
            (ImageSource::Busybox, _) => local(source::locate_busybox())?,
            (ImageSource::File { path, sha256 }, _) => local(source::locate_file(path, sha256.is_some()))?,
            (ImageSource::Https { url, sha256 }, _) => {
                let draft = ImageDraft::begin(&self.layout, digest, self.limits)?;
                remote::fetch_archive(&self.layout, url, sha256, &draft, &tell)?;
                draft
            }
            (ImageSource::Bootstrap(request), _) => {
                bootstrap::check(request).map_err(|unavailable| unavailable_image(source, unavailable))?;
                let draft = ImageDraft::begin(&self.layout, digest, self.limits)?;
                let tell = |stage: &str| {
                    news(ImageNews::Making { image: source.to_string(), stage: stage.to_owned() });
                };
                let made = bootstrap::make(request, &draft.make_root()?, &draft.scratch(), self.limits, &tell)?;
                draft.note(made);
                draft
            }
            (ImageSource::Distro(_), Some(build)) => {
                let draft = ImageDraft::begin(&self.layout, digest, self.limits)?;
                held = remote::fetch_build(&self.layout, build, &draft, &tell)?;
                draft
            }
            (ImageSource::Distro(_), None) => {
                let unavailable = Unavailable::new("it is not known which build is meant", "run the command again");
                return Err(unavailable_image(source, unavailable));
            }
        };
        let published = draft.publish(&self.layout, source, digest, build);
        drop(held);
        published
    }

    /// Brings the archive or directory `path` into the store; returns what identifies it. What has never been read is read
    /// once: what tells its content is known when it is unpacked.
    pub fn import(&self, path: &Path) -> Result<ImageDigest, ImageError> {
        let source = ImageSource::File { path: path.to_owned(), sha256: None };
        let unavailable = |unavailable| unavailable_image(&source, unavailable);
        let located = source::locate_file(path, false).map_err(unavailable)?;
        let Some(name) = located.unread(&self.digests()).map(ImageDigest) else {
            let digest = located.digest(None, &self.digests()).map_err(unavailable)?;
            self.fetch(&source, &digest, None)?;
            return Ok(digest);
        };
        let _reading = Turn::take(&self.layout, &name)?;
        let draft = ImageDraft::begin(&self.layout, &name, self.limits)?;
        let digest = fetch::fetch_unknown(&located, &draft, &self.digests())?;
        let _turn = Turn::take(&self.layout, &digest)?;
        if !store::has(&self.layout, &digest) {
            draft.publish(&self.layout, &source, &digest, None)?;
        }
        Ok(digest)
    }

    /// What is known of what can be started in the image `digest`; `None` if the store does not have it.
    #[must_use]
    pub fn startable(&self, digest: &ImageDigest) -> Option<Startable> {
        let record = store::record(&self.layout, digest).ok()?;
        Some(Startable { init: record.has_init, entrypoint: self.layout.entrypoint(digest).is_file() })
    }

    /// Unpacks what the store has for another kernel than the one that was booted: a squashfs that this one cannot mount.
    /// Before anything is started, for what is mounted stays so.
    pub fn make_usable(&self) -> Result<(), ImageError> {
        for record in store::list(&self.layout)? {
            if !store::is_usable(&self.layout, &record.digest) {
                let _turn = Turn::take(&self.layout, &record.digest)?;
                store::unpack_squashfs(&self.layout, &record.digest)?;
            }
        }
        Ok(())
    }

    /// The build that the stored image `digest` is.
    #[must_use]
    pub fn build(&self, digest: &ImageDigest) -> Option<Build> {
        store::record(&self.layout, digest).ok()?.build
    }

    /// The images in the store, by digest.
    pub fn list(&self) -> Result<Vec<StoredImage>, ImageError> {
        let stored = |record: ImageRecord| {
            let ids = self.layers(&record.digest)?;
            Ok(StoredImage {
                bytes: record.bytes + layer_store::bytes(&self.layout, &ids)?,
                digest: record.digest,
                source: record.source,
                created_at_s: record.created_at_s,
                build: record.build,
            })
        };
        store::list(&self.layout)?.into_iter().map(stored).collect()
    }

    /// Writes the root file system of the stored image `digest` to `path` as a tar archive packed with zstd, which `file:` and
    /// `image import` take. The archive is there whole or not at all.
    pub fn export(&self, digest: &ImageDigest, path: &Path) -> Result<(), ImageError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let draft = path.with_file_name(format!(".{name}.new"));
        let written = self
            .write_archive(digest, &draft)
            .and_then(|()| fs::rename(&draft, path).map_err(ImageError::io("write", path)));
        if written.is_err() {
            let _ = fs::remove_file(&draft);
        }
        written
    }

    fn write_archive(&self, digest: &ImageDigest, path: &Path) -> Result<(), ImageError> {
        let failed = || ImageError::io("write", path);
        let file = File::create(path).map_err(failed())?;
        let encoder = zstd::Encoder::new(file, 0).map_err(failed())?;
        let (root, _view) = self.view(digest)?;
        let encoder = export::write(&root, encoder).map_err(|source| ImageError::Walk { path: root, source })?;
        encoder.finish().and_then(|file| file.sync_all()).map_err(failed())
    }

    /// Whether the stored image `digest` is as it was unpacked; `None` if that was not noted then.
    pub fn is_intact(&self, digest: &ImageDigest) -> Result<Option<bool>, ImageError> {
        let ids = self.layers(digest)?;
        if !ids.is_empty() {
            return layer_store::are_intact(&self.layout, &ids).map(Some);
        }
        let Some(noted) = store::record(&self.layout, digest)?.contents else { return Ok(None) };
        let parts = self.layout.stored_root(digest);
        let found = store::measure(&parts, &FileHashes::default(), Recipe::of(&noted))?;
        Ok(Some(found.is_some_and(|found| found.hash == noted)))
    }

    /// Removes every stored image that is not in `used`, and what killed fetches left.
    ///
    /// The caller holds the host's lock.
    #[must_use]
    pub fn prune(&self, used: &[ImageDigest]) -> Pruned {
        let downloads = self.layout.downloads();
        let mut pruned = Pruned::default();
        pruned.note(download::prune(&downloads).map_err(ImageError::io("tidy up", &downloads)));
        let done = store::prune(&self.layout, used, &mut pruned);
        pruned.note(done);
        let done = layer_store::prune(&self.layout, &mut pruned);
        pruned.note(done);
        pruned
    }

    fn layers(&self, digest: &ImageDigest) -> Result<Vec<String>, ImageError> {
        let layers = self.layout.stored_root(digest).layers();
        layers.map_err(ImageError::io("read", &self.layout.image(digest)))
    }

    /// The root file system of the stored image `digest` as one tree, and what keeps it there.
    fn view(&self, digest: &ImageDigest) -> Result<(PathBuf, Option<OwnedFd>), ImageError> {
        let parts = self.layout.stored_root(digest);
        let view = store::view(&self.layout, &parts)?;
        Ok(match view {
            Some(view) => (PathBuf::from(format!("/proc/self/fd/{}", view.as_raw_fd())), Some(view)),
            None => (parts.tree(), None),
        })
    }

    fn digests(&self) -> DigestCache {
        DigestCache::new(&self.layout.images())
    }
}

/// What came of tidying up the store.
#[derive(Debug, Default)]
pub struct Pruned {
    /// The images that were removed.
    pub removed: Vec<ImageDigest>,
    /// What could not be removed, which kept nothing else.
    pub failures: Vec<ImageError>,
}

impl Pruned {
    /// Takes note of a failure, once: what was not removed under one name is tried again under another.
    fn note(&mut self, done: Result<(), ImageError>) {
        let Err(failure) = done else { return };
        if !self.failures.iter().any(|known| known.to_string() == failure.to_string()) {
            self.failures.push(failure);
        }
    }
}

/// What can be made here in place of `distro`, whose server does not answer.
fn stand_in(distro: &Distro, unavailable: Unavailable) -> ImageState {
    match Bootstrap::of_distro(distro) {
        Some(request) if bootstrap::check(&request).is_ok() => ImageState::StandIn {
            digest: bootstrap::digest(&request),
            request: Box::new(request),
            why: unavailable.why,
        },
        Some(_) | None => unavailable.into(),
    }
}

fn unavailable_image(source: &ImageSource, Unavailable { why, hint }: Unavailable) -> ImageError {
    ImageError::Unavailable { image: source.to_string(), why, hint }
}
