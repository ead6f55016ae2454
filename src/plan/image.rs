//! Which images must be fetched.

use std::collections::BTreeMap;

use super::conflict;
use super::steps::{Draft, Place};
use crate::model::{Action, Consequence, Host, ImageDigest, ImageSource, ImageState};

/// The digest of what `source` is now, if that is known.
pub(super) fn digest_of<'a>(host: &'a Host, source: &ImageSource) -> Option<&'a ImageDigest> {
    match host.images.get(source) {
        Some(ImageState::Stored(digest) | ImageState::Available(digest)) => Some(digest),
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
        match state {
            Some(ImageState::Stored(_)) => {}
            Some(ImageState::Available(digest)) => {
                if !fetches.contains_key(digest) && !is_stored(host, digest) {
                    let action = Action::FetchImage { source: source.clone(), digest: digest.clone() };
                    fetches.insert(digest.clone(), draft.add(action, "not in the image store", Consequence::None));
                }
            }
            Some(ImageState::Unavailable { .. }) | None => draft.refuse(conflict::image_unavailable(source, state)),
        }
    }
    fetches
}

/// Whether the store has it, by whatever source.
fn is_stored(host: &Host, digest: &ImageDigest) -> bool {
    host.images.values().any(|state| matches!(state, ImageState::Stored(stored) if stored == digest))
}
