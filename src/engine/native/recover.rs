//! Clears up what killed runs left and no container owns. Whoever calls this holds the host's lock, so nothing is
//! being made or deleted, and no monitor is half-way through a start: monitors hold the lock until theirs is done.

use std::fs;
use std::io;

use super::cgroup::{Group, Hierarchies, groups_of};
use super::files::is_unfinished;
use super::given::settle;
use super::inspect::load_record;
use super::paths::{ContainerPaths, run_dirs};
use super::run_state::RunFile;
use super::{cleanup, group_parent, machine_with};
use crate::model::ContainerName;
use crate::store::{Layout, discard_draft, remove_tree};

/// Removes drafts, and the processes, groups, links and state of containers whose init does not run and will not
/// be started again.
pub(super) fn recover(layout: &Layout, hierarchies: &Hierarchies) -> io::Result<()> {
    for file_name in names_in(layout.containers())? {
        let paths = file_name.parse().ok().map(|name| ContainerPaths::finished(layout, &name));
        if paths.as_ref().is_some_and(is_unfinished) || ContainerPaths::is_draft(&file_name) {
            remove_tree(&layout.containers().join(&file_name))?;
        } else if let Some(paths) = paths {
            paths.kept_files().iter().try_for_each(|file| discard_draft(file))?;
        }
    }
    let parent = group_parent(layout);
    let mut suspects = groups_of(hierarchies, &parent);
    suspects.extend(names_in(&run_dirs(layout))?);
    for name in suspects {
        let Ok(name) = name.parse::<ContainerName>() else { continue };
        let paths = ContainerPaths::finished(layout, &name);
        if RunFile::load_watched(&paths.run_state())?.is_some() {
            paths.run_files().iter().try_for_each(|file| discard_draft(file))?;
            if paths.given().exists()
                && let Some(record) = load_record(&paths.record())?
            {
                settle(&paths, &record)?;
            }
            continue;
        }
        if load_record(&paths.record())?.is_some() {
            cleanup(&machine_with(layout, &name, hierarchies)?)?;
        } else {
            let group = Group::new(hierarchies, &parent, name.as_str());
            group.kill()?;
            group.remove()?;
            remove_tree(paths.run())?;
        }
    }
    hierarchies.remove_parent(&parent);
    Ok(())
}

fn names_in(dir: &std::path::Path) -> io::Result<Vec<String>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
