//! Which build a distribution stands for now.
//!
//! A distribution is a moving thing, and a container is not rebuilt because a server has something newer. So what is pinned
//! counts first, then what containers of the fleet stand on already, then what the image store has, and only for what none
//! of them knows is its server asked. Of a server whose word must be signed, what was taken in without is not known. Where that does not answer, what can be made here may stand in, which is no build and
//! never pinned. `fleet update` moves pins.

use std::collections::{BTreeMap, BTreeSet};

use crate::image::Images;
use crate::model::{ContainerState, Distro, Fleet, ImageDigest, ImageSource, ImageState, Ownership, SigningKeys};

/// How far it is looked for what is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// On the host alone.
    Host,
    /// On image servers too, for what the host does not know.
    Servers,
}

/// The states of the distributions of `fleet`; `containers` are all of the host.
pub(super) async fn observe(
    fleet: &Fleet,
    containers: &[ContainerState],
    images: &Images,
    reach: Reach,
) -> BTreeMap<ImageSource, ImageState> {
    let mut states = BTreeMap::new();
    let mut unknown = Vec::new();
    for distro in fleet.distros() {
        let source = ImageSource::Distro(distro.clone());
        let state = if let Some(pin) = fleet.pin(distro) {
            images.observe_build(&pin)
        } else {
            let key = fleet.signing_keys.get(&distro.server);
            images.observe_kept(distro, &held(fleet, containers, distro), key)
        };
        if matches!(state, ImageState::Unavailable { .. }) {
            unknown.push(distro.clone());
        }
        states.insert(source, state);
    }
    if reach == Reach::Servers && !unknown.is_empty() {
        states.extend(asked(unknown, &fleet.signing_keys, images).await);
    }
    states
}

/// The images that containers of `fleet` which were made from `distro` stand on, be it from another server.
fn held(fleet: &Fleet, containers: &[ContainerState], distro: &Distro) -> BTreeSet<ImageDigest> {
    let mut held = BTreeSet::new();
    for state in containers {
        let Ownership::Ours(record) = &state.ownership else { continue };
        let ImageSource::Distro(old) = &record.spec.image else { continue };
        if record.fleet == fleet.name && (old == distro || fleet.is_moved(old, distro)) {
            held.insert(record.image.clone());
        }
    }
    held
}

/// What the servers say of `distros`.
async fn asked(distros: Vec<Distro>, keys: &SigningKeys, images: &Images) -> BTreeMap<ImageSource, ImageState> {
    let keys = keys.clone();
    let resolved = tokio::task::spawn_blocking(move || Images::resolve(&distros, &keys)).await.unwrap_or_default();
    let state = |build: Result<_, ImageState>| match build {
        Ok(build) => images.observe_offered(&build),
        Err(state) => images.unless_stored(state),
    };
    resolved.into_iter().map(|(distro, build)| (ImageSource::Distro(distro), state(build))).collect()
}
