//! `fleet image pull` and `fleet image import`: images that are in the store before anything needs them.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;

use super::error::{CliError, Exit};
use super::files::load_fleets;
use super::global::Session;
use super::image::image_failed;
use crate::image::Images;
use crate::manifest;
use crate::model::{Build, Distro, Fleet, ImageDigest, ImageSource, ImageState, SigningKeys};
use crate::report::TransferReport;

#[derive(Debug, Serialize)]
struct PulledJson {
    images: Vec<PulledImageJson>,
}

#[derive(Debug, Serialize)]
struct PulledImageJson {
    source: String,
    digest: String,
    serial: Option<String>,
}

/// Brings the newest builds of the images `named` into the store; of none named, what the fleet files use, as pinned.
///
/// Without the host's lock: an image has one of its own, and whoever applies meanwhile need not wait.
pub(super) fn pull(session: &Session, named: &[String]) -> Result<Exit, CliError> {
    let (mut wanted, mut keys) = (Vec::new(), SigningKeys::new());
    if named.is_empty() {
        for fleet in load_fleets(session, &[])? {
            wanted.extend(used_by(&fleet));
            keys.extend(fleet.signing_keys);
        }
    } else {
        for text in named {
            let source = manifest::image_source(text).map_err(|(why, hint)| {
                CliError::usage(why, hint.unwrap_or_else(|| "name a distribution, such as debian/12".to_owned()))
            })?;
            wanted.push((source, None));
        }
    }
    bring(session, wanted, &keys)
}

/// Brings the archive or directory `path` into the store.
pub(super) fn import(session: &Session, path: &Path) -> Result<Exit, CliError> {
    let path = std::path::absolute(path)
        .map_err(|error| CliError::io(&format!("cannot find `{}`", path.display()), &error))?;
    let images = Images::new(session.layout.clone()).within(session.image_limits);
    let digest = images.import(&path).map_err(|error| image_failed(&error))?;
    let source = ImageSource::File { path, sha256: None };
    session.console.note(&format!("{source}: stored ({})", digest.short()));
    let pulled = PulledImageJson { source: source.to_string(), digest: digest.to_string(), serial: None };
    session.console.json(&PulledJson { images: vec![pulled] });
    Ok(Exit::Done)
}

/// The images of `fleet`, with the builds that they are pinned to.
fn used_by(fleet: &Fleet) -> Vec<(ImageSource, Option<Build>)> {
    let sources: BTreeSet<&ImageSource> = fleet.containers.iter().map(|spec| &spec.image).collect();
    let pin = |source: &ImageSource| match source {
        ImageSource::Distro(distro) => fleet.pin(distro),
        ImageSource::Busybox | ImageSource::File { .. } | ImageSource::Https { .. } | ImageSource::Bootstrap(_) => None,
    };
    sources.into_iter().map(|source| (source.clone(), pin(source))).collect()
}

fn bring(session: &Session, wanted: Vec<(ImageSource, Option<Build>)>, keys: &SigningKeys) -> Result<Exit, CliError> {
    let report = TransferReport::new(session.console);
    let images = Images::new(session.layout.clone()).within(session.image_limits).heard_by({
        let report = report.clone();
        move |news| report.hear(&news)
    });
    let mut pulled = Vec::new();
    for (source, pin) in wanted {
        let Content { made_of, digest, build } = content(&images, &source, pin, keys)?;
        let fetched = images.fetch(&made_of, &digest, build.as_ref());
        report.clear();
        fetched.map_err(|error| image_failed(&error))?;
        let serial = build.map(|build| build.serial);
        let words = serial.as_ref().map(|serial| format!("build {serial}, ")).unwrap_or_default();
        let instead = if made_of == source { String::new() } else { format!("{made_of} in its place, ") };
        session.console.note(&format!("{source}: stored ({instead}{words}{})", digest.short()));
        pulled.push(PulledImageJson { source: source.to_string(), digest: digest.to_string(), serial });
    }
    session.console.json(&PulledJson { images: pulled });
    Ok(Exit::Done)
}

/// What an image is now.
struct Content {
    /// Itself, or what stands in for it.
    made_of: ImageSource,
    digest: ImageDigest,
    build: Option<Build>,
}

/// What `source` is now.
fn content(images: &Images, source: &ImageSource, pin: Option<Build>, keys: &SigningKeys) -> Result<Content, CliError> {
    let itself = |digest, build| Ok(Content { made_of: source.clone(), digest, build });
    let state = match (source, pin) {
        (_, Some(pin)) => return itself(pin.fingerprint.clone(), Some(pin)),
        (ImageSource::Distro(distro), None) => newest(distro, keys),
        (source, None) => images.observe(source),
    };
    match state {
        ImageState::Stored(digest) | ImageState::Available(digest) => itself(digest, None),
        ImageState::Offered(build) => itself(build.fingerprint.clone(), Some(*build)),
        ImageState::StandIn { digest, request, .. } => {
            Ok(Content { made_of: ImageSource::Bootstrap(*request), digest, build: None })
        }
        ImageState::Unavailable { why, hint } => {
            Err(CliError::failed(format!("cannot use image `{source}`: {why}"), hint.unwrap_or_default()))
        }
    }
}

fn newest(distro: &Distro, keys: &SigningKeys) -> ImageState {
    match Images::resolve(std::slice::from_ref(distro), keys).remove(distro) {
        Some(Ok(build)) => ImageState::Offered(Box::new(build)),
        Some(Err(state)) => state,
        None => ImageState::Unavailable { why: "nothing is known of it".to_owned(), hint: None },
    }
}
