//! `fleet update` and `fleet outdated`.

use clap::Args;
use serde::Serialize;

use super::error::{CliError, Exit};
use super::files::load_fleets;
use super::global::Session;
use super::lock;
use crate::image::Images;
use crate::model::{Build, Distro, Fleet, ImageState};
use crate::report::{Format, OneOrMany, table};

/// Pin distributions to the newest builds of their servers
///
/// Writes `fleet.lock` and nothing else: the next `apply` loads the builds, and asks before it rebuilds containers.
#[derive(Debug, Args)]
pub(super) struct UpdateArguments {
    /// Only these, such as debian/12 or oci:docker.io/library/debian:12 [default: all of the fleet]
    #[arg(value_name = "DISTRO")]
    distros: Vec<String>,
}

/// Show which distributions have newer builds than those that are pinned
#[derive(Debug, Args)]
pub(super) struct OutdatedArguments {
    /// Only these, such as debian/12 or oci:docker.io/library/debian:12 [default: all of the fleet]
    #[arg(value_name = "DISTRO")]
    distros: Vec<String>,
}

/// One fleet.
#[derive(Debug, Serialize)]
struct FleetJson {
    fleet: String,
    distros: Vec<DistroJson>,
}

/// One distribution: what it is pinned to, and what its server has.
#[derive(Debug, Serialize)]
struct DistroJson {
    distro: String,
    server: String,
    pinned: Option<BuildJson>,
    newest: Option<BuildJson>,
    outdated: bool,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct BuildJson {
    serial: String,
    fingerprint: String,
}

/// A distribution of a fleet, and what was found out.
struct Found<'f> {
    distro: &'f Distro,
    pinned: Option<Build>,
    newest: Result<Build, String>,
}

pub(super) fn update(session: &Session, arguments: &UpdateArguments) -> Result<Exit, CliError> {
    session.refuse_only("update")?;
    let fleets = load_fleets(session, &[])?;
    let (mut documents, mut exit) = (Vec::new(), Exit::Done);
    for fleet in &fleets {
        let found = look(fleet, &arguments.distros)?;
        let moved = found.iter().filter(|found| found.is_outdated()).filter_map(|found| found.newest.clone().ok());
        let moved: Vec<Build> = moved.collect();
        let kept = fleet
            .pins
            .iter()
            .filter(|pin| !moved.iter().any(|new| new.distro() == pin.distro() && new.arch == pin.arch));
        let pins: Vec<Build> = kept.chain(&moved).cloned().collect();
        if !moved.is_empty() {
            lock::write(session, fleet, &pins)?;
        }
        if found.iter().any(|found| found.newest.is_err()) {
            exit = Exit::Failed;
        }
        documents.push(show(session, fleet, &found, "NEW"));
    }
    session.console.json(&OneOrMany::new(documents));
    Ok(exit)
}

pub(super) fn outdated(session: &Session, arguments: &OutdatedArguments) -> Result<Exit, CliError> {
    session.refuse_only("outdated")?;
    let fleets = load_fleets(session, &[])?;
    let (mut documents, mut exit) = (Vec::new(), Exit::Done);
    for fleet in &fleets {
        let found = look(fleet, &arguments.distros)?;
        if found.iter().any(|found| found.newest.is_err()) {
            exit = Exit::Failed;
        }
        documents.push(show(session, fleet, &found, "NEWEST"));
    }
    session.console.json(&OneOrMany::new(documents));
    Ok(exit)
}

/// What is pinned and what the servers have, of the distributions of `fleet` in `chosen`, or of all if that is empty.
fn look<'f>(fleet: &'f Fleet, chosen: &[String]) -> Result<Vec<Found<'f>>, CliError> {
    let all = fleet.distros();
    let is_called = |distro: &Distro, name: &String| distro.to_string().eq_ignore_ascii_case(name);
    if let Some(unknown) = chosen.iter().find(|name| !all.iter().any(|distro| is_called(distro, name))) {
        let names: Vec<String> = all.iter().map(|distro| format!("`{distro}`")).collect();
        let hint = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        return Err(CliError::usage(format!("`{unknown}` is no distribution of {}", fleet.name), hint));
    }
    let wanted: Vec<&Distro> = all
        .into_iter()
        .filter(|distro| chosen.is_empty() || chosen.iter().any(|name| is_called(distro, name)))
        .collect();
    let owned: Vec<Distro> = wanted.iter().map(|distro| (*distro).clone()).collect();
    let mut newest = Images::resolve(&owned, &fleet.signing_keys);
    let found = wanted.into_iter().map(|distro| {
        let pinned = fleet.pin(distro);
        let newest = match newest.remove(distro) {
            Some(Ok(build)) => not_older(build, pinned.as_ref()),
            Some(Err(ImageState::Unavailable { why, .. } | ImageState::StandIn { why, .. })) => Err(why),
            Some(Err(_)) | None => Err("nothing is known of it".to_owned()),
        };
        Found { distro, pinned, newest }
    });
    Ok(found.collect())
}

/// A server that offers an older build than it had has lost something, or is not what it was: no pin goes back by itself.
/// What a registry says of an image's time is the word of whoever made it, and may be the same for all.
fn not_older(build: Build, pinned: Option<&Build>) -> Result<Build, String> {
    match pinned {
        Some(pinned) if build.distro.repository().is_none() && build.serial < pinned.serial => Err(format!(
            "the newest build of `{}` is {}, older than the pinned {}",
            build.server, build.serial, pinned.serial
        )),
        Some(_) | None => Ok(build),
    }
}

impl Found<'_> {
    fn is_outdated(&self) -> bool {
        let pinned = self.pinned.as_ref().map(|build| &build.fingerprint);
        self.newest.as_ref().is_ok_and(|newest| Some(&newest.fingerprint) != pinned)
    }

    fn document(&self) -> DistroJson {
        let build =
            |build: &Build| BuildJson { serial: build.serial.clone(), fingerprint: build.fingerprint.to_string() };
        DistroJson {
            distro: self.distro.to_string(),
            server: self.distro.server.to_string(),
            pinned: self.pinned.as_ref().map(build),
            newest: self.newest.as_ref().ok().map(build),
            outdated: self.is_outdated(),
            error: self.newest.as_ref().err().cloned(),
        }
    }

    /// `debian/12  OLD → NEW`, or the one that it stays at.
    fn line(&self) -> Vec<String> {
        let serial = |build: &Build| format!("{} ({})", build.serial, build.fingerprint.short());
        let pinned = self.pinned.as_ref().map_or_else(|| "-".to_owned(), serial);
        let newest = match &self.newest {
            Ok(newest) if self.is_outdated() => format!("→ {}", serial(newest)),
            Ok(_) => "is the newest".to_owned(),
            Err(why) => format!("unknown: {why}"),
        };
        vec![self.distro.to_string(), pinned, newest]
    }
}

fn show(session: &Session, fleet: &Fleet, found: &[Found<'_>], new: &str) -> FleetJson {
    if session.console.format == Format::Text && !found.is_empty() {
        let rows: Vec<Vec<String>> = found.iter().map(Found::line).collect();
        session.console.show(|_| table(&["DISTRO", "PINNED", new], &rows));
    } else if session.console.format == Format::Text {
        session.console.note(&format!("{} has no distribution of an image server", fleet.name));
    }
    FleetJson { fleet: fleet.name.to_string(), distros: found.iter().map(Found::document).collect() }
}
