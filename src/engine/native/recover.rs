//! Clears up what killed runs left and no container owns. Whoever calls this holds the host's lock, so nothing is
//! being made or deleted, and no monitor is half-way through a start: monitors hold the lock until theirs is done.

use std::fs;
use std::io;
use std::path::Path;

use super::cgroup::{Group, Hierarchies, groups_of};
use super::files::is_unfinished;
use super::given::settle;
use super::inspect::load_record;
use super::paths::{ContainerPaths, run_dirs};
use super::run_state::RunFile;
use super::{cleanup, group_parent, machine_with};
use crate::engine::{EngineError, Leftover};
use crate::model::{ContainerName, FleetName};
use crate::store::{Layout, discard_draft, remove_tree};

/// Removes drafts, and the processes, groups, links and state of containers whose init does not run and will not
/// be started again. What cannot be removed is returned, and keeps nothing else from being: it is one container's affair.
pub(super) fn recover(layout: &Layout, hierarchies: &Hierarchies) -> io::Result<Vec<Leftover>> {
    let mut left = Vec::new();
    for file_name in names_in(layout.containers())? {
        left.extend(clear_directory(layout, &file_name).err());
    }
    let parent = group_parent(layout);
    let mut suspects = groups_of(hierarchies, &parent);
    suspects.extend(names_in(&run_dirs(layout))?);
    for name in suspects {
        let Ok(name) = name.parse::<ContainerName>() else { continue };
        if let Err(error) = clear_run(layout, hierarchies, &parent, &name) {
            let fleet = fleet_of(&ContainerPaths::finished(layout, &name));
            let error = EngineError::because(format!("cannot clear up after an earlier run of `{name}`"), error);
            left.push(Leftover { name: name.to_string(), fleet, error });
        }
    }
    hierarchies.remove_parent(&parent);
    Ok(left)
}

/// Removes the directory `file_name` among those of the containers if it is nobody's, else what writers left in it.
fn clear_directory(layout: &Layout, file_name: &str) -> Result<(), Leftover> {
    let dir = layout.containers().join(file_name);
    let draft_of = ContainerPaths::name_of_draft(file_name);
    let name = draft_of.unwrap_or(file_name);
    let paths = name.parse().ok().map(|name| match draft_of {
        Some(_) => ContainerPaths::draft(layout, &name),
        None => ContainerPaths::finished(layout, &name),
    });
    if draft_of.is_none() && !paths.as_ref().is_some_and(is_unfinished) {
        let mut files = paths.iter().flat_map(ContainerPaths::kept_files);
        return files.try_for_each(|file| discard_draft(&file)).map_err(|error| Leftover {
            name: name.to_owned(),
            fleet: paths.as_ref().and_then(fleet_of),
            error: EngineError::because(
                format!("cannot remove what a killed command left in `{}`", dir.display()),
                error,
            ),
        });
    }
    // Now: it may be gone when the rest cannot be removed.
    let fleet = paths.as_ref().and_then(fleet_of);
    remove_tree(&dir).map_err(|error| Leftover {
        name: name.to_owned(),
        fleet,
        error: EngineError::because(format!("cannot remove `{}`, which is left of `{name}`", dir.display()), error),
    })
}

/// Takes down what lives only while the container `name` runs, unless it does.
fn clear_run(layout: &Layout, hierarchies: &Hierarchies, parent: &str, name: &ContainerName) -> io::Result<()> {
    let paths = ContainerPaths::finished(layout, name);
    if RunFile::load_watched(&paths.run_state())?.is_some() {
        paths.run_files().iter().try_for_each(|file| discard_draft(file))?;
        if paths.given().exists()
            && let Some(record) = load_record(&paths.record())?
        {
            settle(&paths, &record)?;
        }
        return Ok(());
    }
    if load_record(&paths.record())?.is_some() {
        return cleanup(&machine_with(layout, name, hierarchies)?);
    }
    let group = Group::new(hierarchies, parent, name.as_str());
    group.kill()?;
    group.remove()?;
    remove_tree(paths.run())
}

/// The fleet of the container that lies at `paths`, as far as its record tells.
fn fleet_of(paths: &ContainerPaths) -> Option<FleetName> {
    Some(load_record(&paths.record()).ok()??.fleet)
}

fn names_in(dir: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
