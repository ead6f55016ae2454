//! A container's directory: made, opened for the host to work on, recorded, deleted.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

use super::assembled::with_assembled;
use super::given::settle;
use super::paths::ContainerPaths;
use super::run_state::RunFile;
use crate::engine::WithRoot;
use crate::model::{ContainerName, ContainerRecord};
use crate::store::{Layout, remove_tree, write_atomic, write_volatile};
use crate::sys::{GuestIds, RootDir, as_filesystem_user};

/// What the caller's work on a root file system came to.
type WorkResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Makes the draft of container `name`, empty. A draft that is there belongs to nobody: its maker was killed.
pub(super) fn create(layout: &Layout, name: &ContainerName) -> io::Result<()> {
    // Others may pass through the LXC path to containers of their own, but into none of ours.
    DirBuilder::new().recursive(true).mode(0o711).create(layout.containers())?;
    let draft = ContainerPaths::draft(layout, name);
    remove_tree(draft.dir())?;
    DirBuilder::new().mode(0o700).create(draft.dir())?;
    // The layers' top directories become the guest's `/`: what mode they have is what the guest sees.
    for dir in [draft.layer(), draft.upper(), draft.work(), draft.rootfs()] {
        make_open_dir(&dir)?;
    }
    Ok(())
}

fn make_open_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir(dir)?;
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

/// Opens the root file system of the container and calls `work` on it: the one that the guest sees if it runs, else
/// the layers, with its own mounts, for the host alone.
pub(super) fn with_root(layout: &Layout, record: &ContainerRecord, work: &mut WithRoot<'_>) -> io::Result<WorkResult> {
    let paths = ContainerPaths::current(layout, &record.spec.name);
    let Some(state) = RunFile::load_running(&paths.run_state())? else {
        let lowers = layout.stored_root(&record.image).lowers()?;
        return with_assembled(&lowers, &paths, record, &layout.volumes(&record.fleet), |root| work(root));
    };
    let init = state.init.open()?.ok_or(io::ErrorKind::NotFound)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = open(format!("/proc/{}/root", state.init.pid), flags, Mode::empty())?;
    // The pid may have been somebody else's by then: the process that was meant must have lived through it.
    if !state.init.is_alive() {
        return Err(io::ErrorKind::NotFound.into());
    }
    drop(init);
    let ids = guest_ids(state.init.pid)?;
    let root = RootDir::of_running_guest(top, ids)?;
    as_filesystem_user(ids.base, || work(&root))
}

/// The ids of the running guest with the init `pid`: what its user namespace says, whatever has been asked for since
/// (`user_namespaces(7)`). A privileged one has all.
fn guest_ids(pid: u32) -> io::Result<GuestIds> {
    let map = fs::read_to_string(format!("/proc/{pid}/uid_map"))?;
    let numbers: Vec<u32> = map.split_ascii_whitespace().map_while(|word| word.parse().ok()).take(3).collect();
    let [_, base, count] = numbers[..] else { return Err(io::ErrorKind::InvalidData.into()) };
    Ok(GuestIds { base, count })
}

/// Writes the record, and makes a draft the container. That a new container would outlive a power cut is seen to
/// later, for all that are made at one time; until then its record may be found empty after one.
pub(super) fn publish(layout: &Layout, record: &ContainerRecord) -> io::Result<()> {
    let name = &record.spec.name;
    let text = serde_json::to_vec_pretty(record)?;
    let finished = ContainerPaths::finished(layout, name);
    if finished.record().exists() {
        write_atomic(&finished.record(), &text, 0o600)?;
        return settle(&finished, record);
    }
    let draft = ContainerPaths::draft(layout, name);
    write_volatile(&draft.record(), &text, 0o600)?;
    fs::rename(draft.dir(), finished.dir())
}

/// Whether `paths` are those of a container whose making a power cut ended: its record has no content.
pub(super) fn is_unfinished(paths: &ContainerPaths) -> bool {
    fs::metadata(paths.record()).is_ok_and(|metadata| metadata.len() == 0)
}

/// Removes the container with all its data. The rename makes it a draft, which nobody takes for a container, so that
/// a kill half-way leaves nothing that looks whole.
pub(super) fn delete(layout: &Layout, name: &ContainerName) -> io::Result<()> {
    let finished = ContainerPaths::finished(layout, name);
    let draft = ContainerPaths::draft(layout, name);
    if finished.record().exists() {
        remove_tree(draft.dir())?;
        fs::rename(finished.dir(), draft.dir())?;
    }
    remove_tree(draft.dir())
}
