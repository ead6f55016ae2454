//! Where the parts of one container lie.

use std::path::{Path, PathBuf};

use crate::model::{ContainerName, hex, stable_hash};
use crate::store::Layout;

/// What the name of a container's directory looks like while it is made or deleted: `.NAME.fleet`. A directory of
/// that form belongs to nobody once no fleet runs.
const DRAFT_END: &str = ".fleet";

/// The paths of one container.
#[derive(Debug, Clone)]
pub(super) struct ContainerPaths {
    dir: PathBuf,
    run: PathBuf,
}

impl ContainerPaths {
    /// Of the container `name`, finished.
    pub(super) fn finished(layout: &Layout, name: &ContainerName) -> ContainerPaths {
        ContainerPaths { dir: layout.container(name), run: run_dir(layout, name) }
    }

    /// Of the container `name` while it is made or deleted.
    pub(super) fn draft(layout: &Layout, name: &ContainerName) -> ContainerPaths {
        let dir = layout.containers().join(format!(".{name}{DRAFT_END}"));
        ContainerPaths { dir, run: run_dir(layout, name) }
    }

    /// Of the container `name`: finished if it is, else its draft.
    pub(super) fn current(layout: &Layout, name: &ContainerName) -> ContainerPaths {
        let finished = ContainerPaths::finished(layout, name);
        if finished.record().exists() { finished } else { ContainerPaths::draft(layout, name) }
    }

    /// What `file_name` is the draft of, if it is one.
    pub(super) fn name_of_draft(file_name: &str) -> Option<&str> {
        file_name.strip_prefix('.')?.strip_suffix(DRAFT_END)
    }

    /// The container's directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The record of what was asked for: fleet's mark of ownership.
    pub(super) fn record(&self) -> PathBuf {
        self.dir.join("fleet.json")
    }

    /// The directory with the writable layer: one mount, so that upper and work directory are in one.
    pub(super) fn layer(&self) -> PathBuf {
        self.dir.join("fs")
    }

    /// The writable layer's files.
    pub(super) fn upper(&self) -> PathBuf {
        self.dir.join("fs/upper")
    }

    /// What overlayfs prepares files in before they appear in the writable layer.
    pub(super) fn work(&self) -> PathBuf {
        self.dir.join("fs/work")
    }

    /// What the guest wrote to the overlay of a host's directory that is mounted at `target`.
    pub(super) fn mount_layer(&self, target: &Path) -> PathBuf {
        self.dir.join("mounts").join(hex(&stable_hash(&["mount", &target.to_string_lossy()])[..8]))
    }

    /// Where the root file system is mounted, in the container's own mount namespace; empty on the host.
    pub(super) fn rootfs(&self) -> PathBuf {
        self.dir.join("rootfs")
    }

    /// What the guest wrote to its console.
    pub(super) fn console_log(&self) -> PathBuf {
        self.dir.join("console.log")
    }

    /// How the last run ended.
    pub(super) fn last_exit(&self) -> PathBuf {
        self.dir.join("last_exit.json")
    }

    /// The files in its directory that are written anew.
    pub(super) fn kept_files(&self) -> [PathBuf; 2] {
        [self.record(), self.last_exit()]
    }

    /// The files that are written anew while the container runs.
    pub(super) fn run_files(&self) -> [PathBuf; 4] {
        [self.stopping(), self.mounted(), self.given(), self.run_state()]
    }

    /// What exists only while the container runs.
    pub(super) fn run(&self) -> &Path {
        &self.run
    }

    /// What says that a stop of the running container has begun.
    pub(super) fn stopping(&self) -> PathBuf {
        self.run.join("stopping")
    }

    /// What is mounted in the running container of its own.
    pub(super) fn mounted(&self) -> PathBuf {
        self.run.join("mounts.json")
    }

    /// The links that the running container was given since it started.
    pub(super) fn given(&self) -> PathBuf {
        self.run.join("links.json")
    }

    /// The processes of the running container.
    pub(super) fn run_state(&self) -> PathBuf {
        self.run.join("state.json")
    }
}

/// The directory of all that exists only while containers run, one directory for each.
pub(super) fn run_dirs(layout: &Layout) -> PathBuf {
    layout.run().join("containers")
}

fn run_dir(layout: &Layout, name: &ContainerName) -> PathBuf {
    run_dirs(layout).join(name.as_str())
}
