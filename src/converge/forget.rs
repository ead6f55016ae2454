//! What is kept for a fleet besides its containers, and goes after the last of them.

use std::fs;

use crate::model::{FleetName, StepFailure};
use crate::store::{Layout, remove_tree};

/// Removes what is kept for the fleet `name`, which has no containers: the host keys of its members, and the directory
/// of its volumes if none is left in it.
pub fn forget(layout: &Layout, name: &FleetName) -> Result<(), StepFailure> {
    let dir = layout.fleet(name);
    let removed = remove_tree(&dir);
    // It is not empty while there are volumes that outlive the fleet.
    let _ = fs::remove_dir(layout.volumes(name).dir());
    removed.map_err(|error| StepFailure {
        chain: vec![format!("cannot remove `{}`", dir.display()), error.to_string()],
        hint: None,
    })
}
