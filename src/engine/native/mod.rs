//! The engine that needs nothing installed: containers made of system calls.
//!
//! Start at [`NativeEngine`]. A start goes through `launcher` → `monitor` → `start` (host's side) and `child` (inside,
//! up to the init, or to the `attendant` that stands in for one). A monitor starts its container again after a pause
//! (`backoff`), and another takes its place if it was killed (`adopt`). What runs is found again by `inspect`, with its
//! mounts (`mounted`), which `remount` changes, and its links (`given`), of which `reload` tells the guest; `stop` and
//! `recover` take it down. `console` is the way to a guest's console and to its log. A command goes through `exec` (the
//! caller's side), `enter` and `execute` (inside).

mod adopt;
mod assembled;
mod attendant;
mod backoff;
mod cgroup;
mod child;
mod confinement;
mod console;
mod dev;
mod ended;
mod enter;
mod exec;
mod execute;
mod failure;
mod files;
mod foreign;
#[cfg(test)]
mod fuzz;
mod given;
mod guest_mounts;
mod guest_root;
mod inits;
mod inspect;
mod launcher;
mod login;
mod lxcfs;
mod monitor;
mod mount_stage;
mod mounted;
mod mountinfo;
mod mounts;
mod overlay;
mod paths;
mod probe;
mod recover;
mod relay;
mod reload;
mod remount;
mod run_state;
mod running;
mod seccomp;
mod signals;
mod start;
mod stop;
mod stop_sign;
mod streams;
mod system_mounts;
mod terminal;
mod visit;

use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use console::attach::{ConsoleAttachment, ConsoleEnd};
pub use console::reader::{ConsoleLogReader, ConsoleLogWatch};
pub use exec::{ExecFailure, exec};
pub use launcher::Launcher;
use launcher::{LaunchError, Launched};

use self::cgroup::{Group, Hierarchies};
use self::paths::ContainerPaths;
use self::run_state::RunFile;
use self::start::Machine;
use crate::engine::{Engine, EngineError, Leftover, Prepared, WithRoot};
use crate::model::{
    ContainerName, ContainerRecord, ContainerSpec, ContainerState, Entrypoint, ImageDigest, Init, InitKind, LinkWay,
    hex, stable_hash,
};
use crate::network::await_removal;
use crate::store::{HostLock, Layout, remove_tree, sync_file_system_of};

/// The native engine.
#[derive(Debug)]
pub struct NativeEngine {
    layout: Layout,
    launcher: Option<Launcher>,
    lock: Option<Arc<HostLock>>,
    hierarchies: Hierarchies,
}

impl NativeEngine {
    /// The engine under `layout`. Without a `launcher` it can start nothing. Monitors keep `lock` until their
    /// containers run.
    pub fn new(
        layout: Layout,
        launcher: Option<Launcher>,
        lock: Option<Arc<HostLock>>,
    ) -> Result<NativeEngine, EngineError> {
        let hierarchies = detect_hierarchies(&layout)?;
        Ok(NativeEngine { layout, launcher, lock, hierarchies })
    }

    fn machine(&self, name: &ContainerName) -> io::Result<Machine> {
        machine_with(&self.layout, name, &self.hierarchies)
    }

    fn record_of(&self, name: &ContainerName) -> Result<Option<ContainerRecord>, EngineError> {
        inspect::load_record(&ContainerPaths::finished(&self.layout, name).record())
            .map_err(|error| EngineError::because(format!("cannot read the record of `{name}`"), error))
    }

    /// Its processes, if it runs.
    fn running(&self, name: &ContainerName) -> Result<Option<RunFile>, EngineError> {
        running::load_running(&ContainerPaths::finished(&self.layout, name), name)
    }
}

impl Engine for NativeEngine {
    fn lacks(&self, containers: &[ContainerSpec]) -> Vec<(String, String)> {
        probe::lacks(&self.layout, &self.hierarchies, containers)
    }

    fn recover(&self) -> Result<Vec<Leftover>, EngineError> {
        recover::recover(&self.layout, &self.hierarchies)
            .map_err(|error| EngineError::because("cannot clear up after an earlier run", error))
    }

    fn inspect(&self) -> Result<Vec<ContainerState>, EngineError> {
        inspect::inspect(&self.layout, &self.hierarchies, &group_parent(&self.layout))
            .map_err(|error| EngineError::because("cannot read the containers of this host", error))
    }

    fn images_in_use(&self) -> Result<Vec<ImageDigest>, EngineError> {
        inspect::images_in_use(&self.layout)
            .map_err(|error| EngineError::because("cannot tell which images are in use", error))
    }

    fn create(&self, record: &ContainerRecord) -> Result<(), EngineError> {
        let name = &record.spec.name;
        files::create(&self.layout, name)
            .map_err(|error| EngineError::because(format!("cannot make the directory of `{name}`"), error))
    }

    fn with_root(&self, record: &ContainerRecord, work: &mut WithRoot<'_>) -> Result<(), EngineError> {
        let name = &record.spec.name;
        files::with_root(&self.layout, record, work)
            .map_err(|error| EngineError::because(format!("cannot open the root file system of `{name}`"), error))?
            .map_err(|error| EngineError::because(format!("cannot set up the guest of `{name}`"), error))
    }

    fn record(&self, record: &ContainerRecord) -> Result<(), EngineError> {
        let name = &record.spec.name;
        files::publish(&self.layout, record)
            .map_err(|error| EngineError::because(format!("cannot record `{name}`"), error))
    }

    fn settle(&self) -> Result<(), EngineError> {
        self.hierarchies.remove_parent(&group_parent(&self.layout));
        sync_file_system_of(self.layout.containers())
            .map_err(|error| EngineError::because("cannot write the containers to the disk", error))
    }

    fn set_limits(&self, record: &ContainerRecord) -> Result<(), EngineError> {
        let name = &record.spec.name;
        let group = Group::new(&self.hierarchies, &group_parent(&self.layout), name.as_str());
        if !group.is_populated() {
            return Ok(());
        }
        group
            .set_limits(&record.spec.limits)
            .map_err(|error| EngineError::because(format!("cannot set the limits of `{name}`"), error))
    }

    fn set_mounts(&self, record: &ContainerRecord) -> Result<(), EngineError> {
        let name = &record.spec.name;
        if self.running(name)?.is_none() {
            return Ok(());
        }
        let message = || format!("cannot mount what `{name}` is to have");
        let launcher = self.launcher.as_ref().ok_or_else(|| EngineError::new(message()))?;
        let done = launcher.set_mounts(&self.layout, name, self.lock.as_deref());
        done.map_err(|error| failed_at(message(), error))
    }

    fn set_links(&self, record: &ContainerRecord) -> Result<(), EngineError> {
        let name = &record.spec.name;
        let paths = ContainerPaths::finished(&self.layout, name);
        let before = self.record_of(name)?.ok_or_else(|| EngineError::new(format!("`{name}` has no record")))?;
        given::set_links(&paths, &before, record)
    }

    fn tell_links(&self, record: &ContainerRecord) -> Result<(), EngineError> {
        let name = &record.spec.name;
        let is_told = self.record_of(name)?.is_none_or(|before| before.spec.links == record.spec.links);
        let state = self.running(name)?;
        if is_told || state.is_none_or(|state| state.init_kind != Some(InitKind::Systemd)) {
            return Ok(());
        }
        let message = || format!("cannot tell `{name}` of its links");
        let launcher = self.launcher.as_ref().ok_or_else(|| EngineError::new(message()))?;
        let done = launcher.reload_network(&self.layout, name, self.lock.as_deref());
        done.map_err(|error| failed_at(message(), error))
    }

    fn prepare(&self, name: &ContainerName) -> Result<Box<dyn Prepared>, EngineError> {
        let state = self.running(name)?;
        if state.is_some_and(|state| state.monitor.is_alive()) {
            return Ok(Box::new(Nothing));
        }
        let launcher = self.launcher.as_ref().ok_or_else(|| EngineError::new(format!("cannot start `{name}`")))?;
        let prepared = launcher.prepare(&self.layout, name, self.lock.as_deref());
        Ok(Box::new(prepared.map_err(|error| start_failed(name, error))?))
    }

    fn freeze(&self, name: &ContainerName) -> Result<(), EngineError> {
        let (machine, _) = running::find_running(&self.layout, name)?;
        machine.group.freeze().map_err(|error| EngineError::because(format!("cannot freeze `{name}`"), error))
    }

    fn thaw(&self, name: &ContainerName) -> Result<(), EngineError> {
        let (machine, _) = running::find_running(&self.layout, name)?;
        machine.group.thaw().map_err(|error| EngineError::because(format!("cannot thaw `{name}`"), error))
    }

    fn stop(&self, name: &ContainerName, timeout_s: u32) -> Result<(), EngineError> {
        let failed = |error| EngineError::because(format!("cannot stop `{name}`"), error);
        let machine = match self.machine(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(failed)?,
        };
        stop::stop(&machine, Duration::from_secs(timeout_s.into())).map_err(failed)
    }

    fn delete(&self, name: &ContainerName) -> Result<(), EngineError> {
        files::delete(&self.layout, name)
            .map_err(|error| EngineError::because(format!("cannot delete `{name}`"), error))
    }
}

/// What is left to do for a container that runs.
struct Nothing;

impl Prepared for Nothing {
    fn start(self: Box<Self>) -> Result<(), EngineError> {
        Ok(())
    }
}

impl Prepared for Launched {
    fn start(self: Box<Self>) -> Result<(), EngineError> {
        let name = self.name().clone();
        Launched::start(*self).map_err(|error| start_failed(&name, error))
    }
}

fn start_failed(name: &ContainerName, error: LaunchError) -> EngineError {
    failed_at(format!("cannot start `{name}`"), error)
}

/// The operation `message` failed at the hands of a process of the launcher's.
fn failed_at(message: String, error: LaunchError) -> EngineError {
    match error {
        LaunchError::Step(failure) => {
            let hint = failure.hint.clone();
            let error = EngineError::because(message, failure.to_string());
            match hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        }
        LaunchError::Monitor(error) => EngineError::because(message, error),
    }
}

fn detect_hierarchies(layout: &Layout) -> Result<Hierarchies, EngineError> {
    Hierarchies::detect(layout.containers())
        .map_err(|error| EngineError::because("cannot read the host's cgroups", error))
}

/// The cgroup that holds those of the containers: `fleet`, or another for a layout of its own.
fn group_parent(layout: &Layout) -> String {
    let scope = layout.scope();
    if scope.is_empty() {
        return "fleet".to_owned();
    }
    format!("fleet-{}", hex(&stable_hash(&["cgroup", &scope])[..4]))
}

/// What a start or a stop of container `name` needs to know.
fn machine_of(layout: &Layout, name: &ContainerName) -> io::Result<Machine> {
    machine_with(layout, name, &Hierarchies::detect(layout.containers())?)
}

fn machine_with(layout: &Layout, name: &ContainerName, hierarchies: &Hierarchies) -> io::Result<Machine> {
    let paths = ContainerPaths::finished(layout, name);
    let record: ContainerRecord = serde_json::from_slice(&std::fs::read(paths.record())?)?;
    let entrypoint = match record.spec.init {
        Init::Entrypoint => entrypoint_of(layout, &record.image)?,
        Init::Auto | Init::Kind(_) | Init::Path(_) => None,
    };
    Ok(Machine {
        entrypoint,
        volumes: layout.volumes(&record.fleet),
        image: layout.stored_root(&record.image),
        group: Group::new(hierarchies, &group_parent(layout), name.as_str()),
        has_cgroup2: hierarchies.has_v2(),
        record,
        paths,
    })
}

/// What is kept with the image of the program that it is made for.
fn entrypoint_of(layout: &Layout, image: &ImageDigest) -> io::Result<Option<Entrypoint>> {
    match std::fs::read(layout.entrypoint(image)) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes what lives only while the container runs: processes, groups, link, state. All of it may be gone already.
fn cleanup(machine: &Machine) -> io::Result<()> {
    machine.group.kill()?;
    machine.group.remove()?;
    for link in machine.record.spec.links.iter().filter(|link| link.way == LinkWay::Bridge) {
        await_removal(&link.host_name)?;
    }
    match remove_tree(machine.paths.run()) {
        // What has to stay tells of processes that have ended, and is not taken for others.
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Ok(()),
        other => other,
    }
}
