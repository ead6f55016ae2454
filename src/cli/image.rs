//! `fleet image`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::change::take_lock;
use super::error::{CliError, Exit};
use super::global::Session;
use super::image_pull;
use super::installation::{Installation, engine_failed};
use super::privilege::require_root;
use crate::image::{ImageError, Images, Pruned, StoredImage};
use crate::model::{Bytes, ContainerRecord, EngineKind, Ownership, StepFailure};
use crate::report::{self, Format, table};

/// Look at the image store, or tidy it up
#[derive(Debug, Args)]
pub(super) struct ImageArguments {
    #[command(subcommand)]
    verb: ImageVerb,
}

#[derive(Debug, Subcommand)]
enum ImageVerb {
    /// List the stored images
    Ls,
    /// Bring images into the store: distributions such as debian/12, or `https://…@sha256:HEX`
    ///
    /// Without a name, those of the fleet file, as they are pinned.
    Pull {
        /// What to bring
        #[arg(value_name = "IMAGE")]
        images: Vec<String>,
    },
    /// Bring a tar archive, a squashfs or a directory into the store
    ///
    /// An archive serves every `image` that has its SHA-256, be it one of a web server.
    Import {
        /// The archive or directory
        #[arg(value_name = "PATH")]
        path: PathBuf,
    },
    /// Write the root file system of a stored image to a tar archive packed with zstd
    Export {
        /// The image: the begin of its digest, or its source if only one image has that
        #[arg(value_name = "IMAGE")]
        image: String,
        /// The archive
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Look whether the stored images are as they were unpacked
    Verify,
    /// Remove the images that no container stands on
    Prune,
}

#[derive(Debug, Serialize)]
struct ImagesJson {
    images: Vec<ImageJson>,
}

#[derive(Debug, Serialize)]
struct ImageJson {
    digest: String,
    source: String,
    server: Option<String>,
    arch: Option<String>,
    serial: Option<String>,
    bytes: u64,
    created_at_s: u64,
    used_by: Vec<String>,
}

#[derive(Debug, Serialize)]
struct VerifiedImagesJson {
    images: Vec<VerifiedJson>,
}

#[derive(Debug, Serialize)]
struct VerifiedJson {
    digest: String,
    source: String,
    /// Absent where it was not noted what was unpacked.
    intact: Option<bool>,
}

#[derive(Debug, Serialize)]
struct ExportedJson {
    digest: String,
    file: PathBuf,
}

#[derive(Debug, Serialize)]
struct RemovedJson {
    removed: Vec<String>,
}

pub(super) fn run(session: &Session, arguments: &ImageArguments) -> Result<Exit, CliError> {
    session.refuse_only("image")?;
    require_root()?;
    match &arguments.verb {
        ImageVerb::Ls => list(session),
        ImageVerb::Pull { images } => image_pull::pull(session, images),
        ImageVerb::Import { path } => image_pull::import(session, path),
        ImageVerb::Export { image, file } => export(session, image, file),
        ImageVerb::Verify => verify(session),
        ImageVerb::Prune => prune(session),
    }
}

fn list(session: &Session) -> Result<Exit, CliError> {
    let installation = Installation::read_only(&session.layout)?;
    let records = records(&installation)?;
    let stored = installation.images.list().map_err(|error| image_failed(&error))?;
    let images: Vec<ImageJson> = stored.iter().map(|stored| image(stored, &records)).collect();
    if session.console.format == Format::Text {
        let rows: Vec<Vec<String>> = images.iter().map(cells).collect();
        session.console.show(|_| table(&["IMAGE", "SOURCE", "BUILD", "SIZE", "CONTAINERS"], &rows));
    }
    session.console.json(&ImagesJson { images });
    Ok(Exit::Done)
}

fn export(session: &Session, name: &str, file: &Path) -> Result<Exit, CliError> {
    let images = Images::new(session.layout.clone());
    let stored = images.list().map_err(|error| image_failed(&error))?;
    let is_meant = |image: &&StoredImage| image.source == name || (name.len() >= 4 && image.digest.0.starts_with(name));
    let meant: Vec<&StoredImage> = stored.iter().filter(is_meant).collect();
    let [image] = meant.as_slice() else {
        let message = format!("`{name}` names {} images of the store", meant.len());
        return Err(CliError::usage(message, "name one by the begin of its digest: `fleet image ls`"));
    };
    images.export(&image.digest, file).map_err(|error| image_failed(&error))?;
    session.console.note(&format!("{}: written ({})", file.display(), image.digest.short()));
    session.console.json(&ExportedJson { digest: image.digest.to_string(), file: file.to_owned() });
    Ok(Exit::Done)
}

fn verify(session: &Session) -> Result<Exit, CliError> {
    let images = Images::new(session.layout.clone());
    let mut verified = Vec::new();
    for stored in images.list().map_err(|error| image_failed(&error))? {
        let intact = images.is_intact(&stored.digest).map_err(|error| image_failed(&error))?;
        verified.push(VerifiedJson { digest: stored.digest.to_string(), source: stored.source, intact });
    }
    if session.console.format == Format::Text {
        let word = |intact| match intact {
            Some(true) => "intact",
            Some(false) => "CHANGED",
            None => "unknown",
        };
        let row = |image: &VerifiedJson| {
            let short = image.digest.get(..12).unwrap_or(&image.digest);
            vec![short.to_owned(), image.source.clone(), word(image.intact).to_owned()]
        };
        let rows: Vec<Vec<String>> = verified.iter().map(row).collect();
        session.console.show(|_| table(&["IMAGE", "SOURCE", "STATE"], &rows));
    }
    let changed = verified.iter().any(|image| image.intact == Some(false));
    session.console.json(&VerifiedImagesJson { images: verified });
    Ok(if changed { Exit::Failed } else { Exit::Done })
}

fn prune(session: &Session) -> Result<Exit, CliError> {
    // An apply under way has images that no container stands on yet.
    let _lock = take_lock(session, "image prune")?;
    let installation = Installation::read_only(&session.layout)?;
    let used = installation.engine(EngineKind::Native).images_in_use().map_err(|error| engine_failed(&error))?;
    let Pruned { removed, failures } = installation.images.prune(&used);
    for digest in &removed {
        session.console.note(&format!("{}: removed", digest.short()));
    }
    for error in &failures {
        let failure = StepFailure::from_error(error, error.hint());
        session.console.error(|palette| report::failure("error", &failure, palette));
    }
    session.console.json(&RemovedJson { removed: removed.into_iter().map(|digest| digest.0).collect() });
    Ok(if failures.is_empty() { Exit::Done } else { Exit::Failed })
}

fn image(stored: &StoredImage, records: &[ContainerRecord]) -> ImageJson {
    let users = records.iter().filter(|record| record.image == stored.digest);
    ImageJson {
        digest: stored.digest.to_string(),
        source: stored.source.clone(),
        server: stored.build.as_ref().map(|build| build.server.to_string()),
        arch: stored.build.as_ref().map(|build| build.arch.clone()),
        serial: stored.build.as_ref().map(|build| build.serial.clone()),
        bytes: stored.bytes,
        created_at_s: stored.created_at_s,
        used_by: users.map(|record| record.spec.name.to_string()).collect(),
    }
}

fn cells(image: &ImageJson) -> Vec<String> {
    vec![
        image.digest.get(..12).unwrap_or(&image.digest).to_owned(),
        image.source.clone(),
        image.serial.clone().unwrap_or_else(|| "-".to_owned()),
        Bytes(image.bytes).to_string(),
        image.used_by.len().to_string(),
    ]
}

/// What is recorded of every container of fleet's on this host.
fn records(installation: &Installation) -> Result<Vec<ContainerRecord>, CliError> {
    let states = installation.engine(EngineKind::Native).inspect().map_err(|error| engine_failed(&error))?;
    Ok(states
        .into_iter()
        .filter_map(|state| match state.ownership {
            Ownership::Ours(record) => Some(*record),
            Ownership::Foreign => None,
        })
        .collect())
}

/// The failure of an operation on images.
pub(super) fn image_failed(error: &ImageError) -> CliError {
    CliError::because(error, error.hint())
}
