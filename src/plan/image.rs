//! Which images must be fetched.

use std::collections::BTreeMap;

use super::conflict;
use super::steps::{Draft, Place};
use crate::model::{Action, Bootstrap, Build, Bytes, Consequence, Host, ImageDigest, ImageSource, ImageState};

/// The digest of what `source` is now, if that is known.
pub(super) fn digest_of<'a>(host: &'a Host, source: &ImageSource) -> Option<&'a ImageDigest> {
    match host.images.get(source) {
        Some(ImageState::Stored(digest) | ImageState::Available(digest)) => Some(digest),
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
        let state = host.images.get(source);
        let (digest, build) = match state {
            Some(ImageState::Stored(_)) => continue,
            Some(ImageState::Available(digest)) => (digest, None),
            Some(ImageState::Offered(build)) => (&build.fingerprint, Some(build)),
            Some(ImageState::Unavailable { .. }) | None => {
                draft.refuse(conflict::image_unavailable(source, state));
                continue;
            }
        };
        if !fetches.contains_key(digest) && !is_stored(host, digest) {
            let reason = reason(source, build.map(|build| &**build));
            let action = Action::FetchImage { source: source.clone(), digest: digest.clone(), build: build.cloned() };
            fetches.insert(digest.clone(), draft.add(action, reason, Consequence::None));
        }
    }
    fetches
}

/// Why it is fetched, and what that takes.
fn reason(source: &ImageSource, build: Option<&Build>) -> String {
    let how = match (source, build) {
        (_, Some(build)) => format!(": build {}, {} to load", build.serial, Bytes(build.size())),
        (ImageSource::Bootstrap(request), None) => format!(": made here by mmdebstrap, with {}", contents(request)),
        (
            ImageSource::Busybox | ImageSource::File { .. } | ImageSource::Https { .. } | ImageSource::Distro(_),
            None,
        ) => String::new(),
    };
    format!("not in the image store{how}")
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
