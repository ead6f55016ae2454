//! A container that a verb needs running, found by its name.

use std::io;

use super::machine_of;
use super::paths::ContainerPaths;
use super::run_state::RunFile;
use super::start::Machine;
use crate::engine::EngineError;
use crate::model::ContainerName;
use crate::store::Layout;

/// The processes of the container `name`, which lies at `paths`; `None` if it does not run.
pub(super) fn load_running(paths: &ContainerPaths, name: &ContainerName) -> Result<Option<RunFile>, EngineError> {
    RunFile::load_running(&paths.run_state()).map_err(not_known(name))
}

/// What is said where nobody can tell whether the container `name` runs.
pub(super) fn not_known(name: &ContainerName) -> impl FnOnce(io::Error) -> EngineError {
    let operation = format!("cannot find out whether `{name}` runs");
    move |error| EngineError::because(operation, error)
}

/// The container `name` and its processes, or why a verb on running containers cannot work on it.
pub(super) fn find_running(layout: &Layout, name: &ContainerName) -> Result<(Machine, RunFile), EngineError> {
    let machine = match machine_of(layout, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(EngineError::new(format!("there is no container `{name}`"))
                .with_hint("`fleet status` lists the containers of a fleet"));
        }
        other => other.map_err(|error| EngineError::because(format!("cannot read the record of `{name}`"), error))?,
    };
    match load_running(&machine.paths, name)? {
        Some(state) => Ok((machine, state)),
        None => Err(EngineError::new(format!("the container `{name}` does not run"))
            .with_hint(format!("start it with `fleet start {name}`"))),
    }
}
