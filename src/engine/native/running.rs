//! A container that a verb needs running, found by its name.

use std::io;

use super::machine_of;
use super::run_state::RunFile;
use super::start::Machine;
use crate::engine::EngineError;
use crate::model::ContainerName;
use crate::store::Layout;

/// The container `name` and its processes, or why a verb on running containers cannot work on it.
pub(super) fn find_running(layout: &Layout, name: &ContainerName) -> Result<(Machine, RunFile), EngineError> {
    let machine = match machine_of(layout, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(EngineError::new(format!("there is no container `{name}`"))
                .with_hint("`fleet status` lists the containers of a fleet"));
        }
        other => other.map_err(|error| EngineError::because(format!("cannot read the record of `{name}`"), error))?,
    };
    let failed = |error| EngineError::because(format!("cannot find out whether `{name}` runs"), error);
    match RunFile::load_running(&machine.paths.run_state()).map_err(failed)? {
        Some(state) => Ok((machine, state)),
        None => Err(EngineError::new(format!("the container `{name}` does not run"))
            .with_hint(format!("start it with `fleet start {name}`"))),
    }
}
