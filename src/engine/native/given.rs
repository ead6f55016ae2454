//! The links that a running container was given: those of its record, unless they were changed since it started.
//!
//! What is changed is written down first, so that whoever comes after a kill finds what was to go, and forgotten when the
//! record says the same.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use serde::{Deserialize, Serialize};

use super::paths::ContainerPaths;
use super::run_state::ProcessId;
use super::running::load_running;
use crate::engine::EngineError;
use crate::model::{ContainerRecord, LinkSpec};
use crate::network::set_guest_links;
use crate::store::write_volatile;

/// Those of one run of a container.
#[derive(Debug, Serialize, Deserialize)]
struct GivenFile {
    /// The init of that run.
    init: ProcessId,
    links: Vec<LinkSpec>,
}

/// What the run with `init` was given, of the container with `record`.
pub(super) fn given(paths: &ContainerPaths, init: ProcessId, record: &ContainerRecord) -> Vec<LinkSpec> {
    let file = load(paths).filter(|file| file.init == init);
    file.map_or_else(|| record.spec.links.clone(), |file| file.links)
}

fn load(paths: &ContainerPaths) -> Option<GivenFile> {
    serde_json::from_slice(&fs::read(paths.given()).ok()?).ok()
}

/// Forgets what was written down if it is what the container's record says.
pub(super) fn settle(paths: &ContainerPaths, record: &ContainerRecord) -> io::Result<()> {
    match load(paths) {
        Some(file) if file.links == record.spec.links => fs::remove_file(paths.given()),
        Some(_) | None => Ok(()),
    }
}

/// Opens the network namespace of the process `init`; `None` if it has ended.
pub(super) fn open_namespace(init: ProcessId) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = open(format!("/proc/{}/ns/net", init.pid), flags, Mode::empty()).ok()?;
    // The pid may have been somebody else's by then.
    init.is_alive().then_some(namespace)
}

/// Gives the container, whose record is `before`, the links that `wanted` asks for, if it runs.
pub(super) fn set_links(
    paths: &ContainerPaths,
    before: &ContainerRecord,
    wanted: &ContainerRecord,
) -> Result<(), EngineError> {
    let name = &wanted.spec.name;
    // One that has ended meanwhile gets its links with its next start.
    let Some(state) = load_running(paths, name)? else { return Ok(()) };
    let Some(namespace) = open_namespace(state.init) else { return Ok(()) };
    let given = given(paths, state.init, before);
    let save = |links: Vec<LinkSpec>| {
        let file = GivenFile { init: state.init, links };
        let written = serde_json::to_vec(&file).map_err(io::Error::other);
        written
            .and_then(|bytes| write_volatile(&paths.given(), &bytes, 0o600))
            .map_err(|error| EngineError::because(format!("cannot write down the links of `{name}`"), error))
    };
    let links = &wanted.spec.links;
    let new = links.iter().filter(|link| !given.contains(link));
    save(given.iter().chain(new).cloned().collect())?;
    match set_guest_links(namespace.as_fd(), &given, links, &wanted.spec.security.sysctls) {
        Err(error) if state.init.is_alive() => {
            return Err(EngineError::because(format!("cannot change the links of `{name}`"), error));
        }
        Ok(()) | Err(_) => {}
    }
    save(links.clone())?;
    settle(paths, before)
        .map_err(|error| EngineError::because(format!("cannot forget the former links of `{name}`"), error))
}
