//! The lock file: written by `apply` and `update`, obeyed by all that plan.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::error::CliError;
use super::global::Session;
use crate::image::Images;
use crate::manifest::Lock;
use crate::model::{Action, Build, Distro, Fleet, Host, ImageSource, ImageState, Plan};
use crate::store::write_atomic;

/// The pins of `fleet` that go with what was found on `host`: those that there are, and one for each distribution that had
/// none. Pins of other architectures stay, for other hosts may use the same file.
pub(super) fn pins(fleet: &Fleet, host: &Host, images: &Images) -> Vec<Build> {
    let distros = fleet.distros();
    let mut pins: Vec<Build> = distros.iter().filter_map(|distro| pin(fleet, distro, host, images)).collect();
    let here = |build: &Build| pins.iter().any(|pin| pin.distro == build.distro && pin.arch == build.arch);
    let used = |build: &Build| distros.iter().any(|distro| distro.name == build.distro);
    let others: Vec<Build> = fleet.pins.iter().filter(|build| used(build) && !here(build)).cloned().collect();
    pins.extend(others);
    pins
}

fn pin(fleet: &Fleet, distro: &Distro, host: &Host, images: &Images) -> Option<Build> {
    if let Some(pin) = fleet.pin(distro) {
        return Some(pin);
    }
    let build = match host.images.get(&ImageSource::Distro(distro.clone()))? {
        ImageState::Offered(build) => (**build).clone(),
        ImageState::Stored(digest) => images.build(digest)?,
        ImageState::Available(_) | ImageState::StandIn { .. } | ImageState::Unavailable { .. } => return None,
    };
    Some(Build { distro: distro.name.clone(), server: distro.server.clone(), ..build })
}

/// Makes `pins` those of `fleet` in its lock file, and says so. What others did since `fleet` was loaded stays.
pub(super) fn write(session: &Session, fleet: &Fleet, pins: &[Build]) -> Result<(), CliError> {
    if fleet.pins == pins {
        return Ok(());
    }
    // Others may write at the same time.
    let directory = fleet.file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed =
        |error: &io::Error| CliError::io(&format!("cannot write the lock file in `{}`", directory.display()), error);
    let directory_lock = File::open(directory).map_err(|error| failed(&error))?;
    directory_lock.lock().map_err(|error| failed(&error))?;
    let mut lock = Lock::beside(&fleet.file).map_err(|file| CliError::Rejected(vec![file]))?;
    if !lock.change(&fleet.name, &fleet.pins, pins) {
        return Ok(());
    }
    let written = std::path::absolute(lock.path()).and_then(|path| match lock.text() {
        Some(text) => write_atomic(&path, text.as_bytes(), 0o644),
        None => fs::remove_file(&path),
    });
    written.map_err(|error| failed(&error))?;
    session.console.note(&format!("{}: written", lock.path().display()));
    Ok(())
}

/// Like [`write`] after an apply: pins what was loaded and so verified, be it that something else failed. A lock file that
/// cannot be written is told, and no failure of what was done.
pub(super) fn write_or_warn(session: &Session, fleet: &Fleet, pins: Vec<Build>, images: &Images) {
    let is_stored = |build: &Build| matches!(images.observe_build(build), ImageState::Stored(_));
    let pins: Vec<Build> = pins.into_iter().filter(|build| fleet.pins.contains(build) || is_stored(build)).collect();
    if let Err(error) = write(session, fleet, &pins) {
        let why = error.into_failure().chain.join(": ");
        session.console.note(&format!("warning: {why}: builds are not pinned"));
    }
}

/// Refuses fleets with a distribution that is not pinned to a build of the server that it names.
pub(super) fn require_pins(fleets: &[Fleet]) -> Result<(), CliError> {
    for fleet in fleets {
        let missing = |distro: &&&Distro| !fleet.pins.iter().any(|build| build.is_of(distro));
        if let Some(distro) = fleet.distros().iter().find(missing) {
            let path = fleet.file.with_file_name("fleet.lock");
            return Err(CliError::usage(
                format!("`{distro}` of `{}` is not pinned in `{}`", distro.server, path.display()),
                "run `fleet apply` without `--locked`, or `fleet update`, and keep the lock file",
            ));
        }
    }
    Ok(())
}

/// Refuses plans by which an image would be made here: what it would consist of, nothing pins.
pub(super) fn refuse_making(plans: &[Plan]) -> Result<(), CliError> {
    for step in plans.iter().flat_map(|plan| &plan.steps) {
        if let Action::FetchImage { source: ImageSource::Bootstrap(request), .. } = &step.action {
            return Err(CliError::usage(
                format!("`{request}` is not in the image store, and what is made of an archive is not pinned"),
                "make it with `fleet image pull`, or run `fleet apply` without `--locked`",
            ));
        }
    }
    Ok(())
}
