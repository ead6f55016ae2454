//! What containers there are and what they do, read back from disk and kernel.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::cgroup::{Group, Hierarchies};
use super::given::{given, open_namespace};
use super::mounted::read_back;
use super::paths::ContainerPaths;
use super::run_state::{ProcessId, RunFile, load, load_json, not_understood};
use super::stop::wait_for_end;
use crate::model::{
    ContainerName, ContainerRecord, ContainerSpec, ContainerState, GuestNetwork, ImageDigest, MonitorState, Ownership,
    Restarting, RunState, Running,
};
use crate::network::read_guest_links;
use crate::store::Layout;
use crate::sys::age_of_process;

/// All containers under `layout`, foreign ones too, sorted by name.
pub(super) fn inspect(
    layout: &Layout,
    hierarchies: &Hierarchies,
    group_parent: &str,
) -> io::Result<Vec<ContainerState>> {
    let inspected = names(layout)?.into_iter().map(|name| {
        let group = Group::new(hierarchies, group_parent, name.as_str());
        inspect_one(layout, name, &group)
    });
    let (mut states, inits): (Vec<_>, Vec<_>) = inspected.collect::<io::Result<Vec<_>>>()?.into_iter().unzip();
    let read = read_guest_links(&inits, |init: &Option<ProcessId>| open_namespace((*init)?));
    for (state, links) in states.iter_mut().zip(read) {
        if let RunState::Running(running) = &mut state.run {
            running.network =
                running.network.take().zip(links).map(|(network, links)| GuestNetwork { links, ..network });
        }
    }
    Ok(states)
}

/// The names of all containers under `layout`, foreign ones too, sorted.
fn names(layout: &Layout) -> io::Result<Vec<ContainerName>> {
    let entries = match fs::read_dir(layout.containers()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        // What cannot be a container's name can clash with none.
        let name = entry.file_name().to_str().and_then(|name| name.parse::<ContainerName>().ok());
        if let Some(name) = name
            && entry.file_type()?.is_dir()
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The images that the containers under `layout` stand on, those of records that only another version understands too.
pub(super) fn images_in_use(layout: &Layout) -> io::Result<Vec<ImageDigest>> {
    /// What every version writes.
    #[derive(Deserialize)]
    struct OnImage {
        image: ImageDigest,
    }
    let mut images = Vec::new();
    for name in names(layout)? {
        let path = ContainerPaths::finished(layout, &name).record();
        let Some(text) = load(&path)? else { continue };
        let record: OnImage = serde_json::from_slice(&text).map_err(|error| not_understood(&path, &error))?;
        images.push(record.image);
    }
    Ok(images)
}

/// The container, but for the links in its network namespace, and the process that is in it, if it has one of its own.
fn inspect_one(layout: &Layout, name: ContainerName, group: &Group) -> io::Result<(ContainerState, Option<ProcessId>)> {
    let paths = ContainerPaths::finished(layout, &name);
    // Of another version's it is no less somebody else's.
    let record = match load_record(&paths.record()) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        other => other?,
    };
    let Some(record) = record else {
        let state = ContainerState { name, ownership: Ownership::Foreign, run: RunState::Stopped, last_exit: None };
        return Ok((state, None));
    };
    let mut init = None;
    let run = match load_settled(&paths.run_state())? {
        Some(state) if state.init.is_alive() => {
            let mounts = read_back(&paths.mounted(), state.init, &layout.volumes(&record.fleet));
            let is_stopping = paths.stopping().exists();
            init = (!record.spec.is_on_host_network).then_some(state.init);
            let given = || given(&paths, state.init, &record);
            let network = init.is_some().then(|| GuestNetwork { number: None, given: given(), links: Vec::new() });
            RunState::Running(Box::new(Running {
                is_stopping,
                mounts,
                network,
                ..read_running(&state, group, &record.spec)
            }))
        }
        Some(state) => RunState::Restarting(Restarting {
            monitor: state.monitor.pid,
            next_start_s: state.next_start_s.unwrap_or_default(),
        }),
        None if group.is_populated() => RunState::Incomplete("processes of it run without a monitor".to_owned()),
        None => RunState::Stopped,
    };
    let last_exit = load_json(&paths.last_exit())?;
    Ok((ContainerState { name, ownership: Ownership::Ours(Box::new(record)), run, last_exit }, init))
}

/// How long a monitor may take to clean up behind its init, or to decide that it starts another.
const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// The processes of the container. For a moment after an init's end its monitor is still at work: to take that for
/// either end of it would start a container that is being cleaned up.
fn load_settled(path: &Path) -> io::Result<Option<RunFile>> {
    let began = Instant::now();
    loop {
        let Some(state) = RunFile::load_watched(path)? else { return Ok(None) };
        if state.init.is_alive() || state.next_start_s.is_some() || began.elapsed() > SETTLED_AFTER {
            return Ok(Some(state));
        }
        if let Some(monitor) = state.monitor.open()? {
            let _ = wait_for_end(monitor.as_fd(), Duration::from_millis(10));
        }
    }
}

/// The record at `path`; `None` if there is none, or none of ours. Of another version's, or a damaged one, the error is
/// `InvalidData`.
pub(super) fn load_record(path: &Path) -> io::Result<Option<ContainerRecord>> {
    let Some(text) = load(path)? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|error| not_understood(path, &error))
}

fn read_running(state: &RunFile, group: &Group, spec: &ContainerSpec) -> Running {
    Running {
        pid: state.init.pid,
        init: state.init_kind,
        monitor: if state.monitor.is_alive() { MonitorState::Alive(state.monitor.pid) } else { MonitorState::Dead },
        frozen: group.is_frozen(),
        is_stopping: false,
        limits: group.limits(&spec.limits),
        memory_used: group.memory_used(),
        mounts: Vec::new(),
        network: None,
        uptime_s: age_of_process(state.init.start_time).as_secs(),
    }
}
