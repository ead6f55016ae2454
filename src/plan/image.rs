//! Which images must be fetched.

use std::collections::BTreeMap;

use super::conflict;
use super::steps::{Draft, Place};
use crate::model::{Action, Bootstrap, Build, Bytes, Consequence, Host, ImageDigest, ImageSource, ImageState};

/// The digest of what `source` is now, if that is known.
pub(super) fn digest_of<'a>(host: &'a Host, source: &ImageSource) -> Option<&'a ImageDigest> {
    match host.images.get(source) {
        Some(ImageState::Stored(digest) | ImageState::Available(digest) | ImageState::StandIn { digest, .. }) => {
            Some(digest)
        }
        Some(ImageState::Offered(build)) => Some(&build.fingerprint),
        Some(ImageState::Unavailable { .. }) | None => None,
    }
}

/// Adds a step for each content that `needed` asks for and the store does not have; returns them by content.
pub(super) fn fetch<'a>(
    host: &Host,
    needed: impl Iterator<Item = &'a ImageSource>,
    draft: &mut Draft,
) -> BTreeMap<ImageDigest, Place> {
    let mut fetches = BTreeMap::new();
    for source in needed {
        let wanted = match host.images.get(source) {
            Some(ImageState::Stored(_)) => continue,
            Some(ImageState::Available(digest)) => {
                Wanted { source: source.clone(), digest, build: None, instead: None }
            }
            Some(ImageState::Offered(build)) => {
                Wanted { source: source.clone(), digest: &build.fingerprint, build: Some(build), instead: None }
            }
            Some(ImageState::StandIn { digest, request, why }) => {
                let made = ImageSource::Bootstrap((**request).clone());
                Wanted { source: made, digest, build: None, instead: Some((source, why)) }
            }
            state @ (Some(ImageState::Unavailable { .. }) | None) => {
                draft.refuse(conflict::image_unavailable(source, state));
                continue;
            }
        };
        if !fetches.contains_key(wanted.digest) && !is_stored(host, wanted.digest) {
            let (reason, digest) = (wanted.reason(), wanted.digest.clone());
            let build = wanted.build.map(|build| Box::new(build.clone()));
            let action = Action::FetchImage { source: wanted.source, digest: digest.clone(), build };
            fetches.insert(digest, draft.add(action, reason, Consequence::None));
        }
    }
    fetches
}

/// An image that the store does not have.
struct Wanted<'a> {
    source: ImageSource,
    digest: &'a ImageDigest,
    build: Option<&'a Build>,
    /// What was asked for, and why it cannot be had.
    instead: Option<(&'a ImageSource, &'a str)>,
}

impl Wanted<'_> {
    /// Why it is fetched, and what that takes.
    fn reason(&self) -> String {
        let why = match self.instead {
            Some((asked, why)) => format!("in place of {asked} ({why})"),
            None => "not in the image store".to_owned(),
        };
        let how = match (&self.source, self.build) {
            (_, Some(build)) => format!(": build {}, {} to load", build.serial, Bytes(build.size())),
            (ImageSource::Bootstrap(request), None) => format!(": made here by mmdebstrap, with {}", contents(request)),
            (
                ImageSource::Busybox | ImageSource::File { .. } | ImageSource::Https { .. } | ImageSource::Distro(_),
                None,
            ) => String::new(),
        };
        format!("{why}{how}")
    }
}

/// What a root file system that is made here has.
fn contents(request: &Bootstrap) -> String {
    let packages: Vec<&str> = request.packages.iter().map(String::as_str).collect();
    [&[request.init.word()], packages.as_slice()].concat().join(", ")
}

/// Whether the store has it, by whatever source.
fn is_stored(host: &Host, digest: &ImageDigest) -> bool {
    host.images.values().any(|state| matches!(state, ImageState::Stored(stored) if stored == digest))
}
