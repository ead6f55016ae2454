//! What a container's `mounts` name, opened on the host's side: directories and files of the host, volumes, overlays,
//! memory. The container's first process attaches them (see [`super::guest_mounts`]), or a visitor (see [`super::remount`]).

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{CWD, fstat};
use rustix::mount::MountAttrFlags;

use super::failure::{StartFailure, Step as _};
use super::guest_root::NewMount;
use super::mount_stage::MountStage;
use super::mounted::Mounted;
use super::overlay::{attach_all, in_private_namespace, open_mapped, overlay_as};
use super::start::Machine;
use crate::model::{ID_RANGE_LENGTH, MountIds, MountSource, MountSpec};
use crate::store::Lower;
use crate::sys::{Devices, TreeAttributes, copy_of_mount, copy_of_tree, set_tree_attributes, user_namespace_of_one};

/// What keeps ids from being mapped.
const NOT_MAPPABLE: &str = "its file system must support idmapped mounts, as ext4, xfs, btrfs and tmpfs do";

/// A mount that is to be attached in the guest.
pub(super) struct OpenedMount {
    /// Detached.
    pub(super) fd: OwnedFd,
    /// What is to be written down of it.
    pub(super) mounted: Mounted,
}

/// Opens `mounts` of the container, detached, in their order. `user_namespace` is the container's; a privileged one has
/// none. The caller has one thread.
pub(super) fn open_mounts(
    machine: &Machine,
    mounts: &[MountSpec],
    user_namespace: Option<BorrowedFd<'_>>,
) -> Result<Vec<OpenedMount>, StartFailure> {
    if mounts.is_empty() {
        return Ok(Vec::new());
    }
    let opened = in_private_namespace(|| {
        let stage = MountStage::set_up(&machine.paths.rootfs())?;
        let open = |mount| Opener { machine, user_namespace, mount }.open(&stage);
        let opened: Vec<OwnedFd> = mounts.iter().map(open).collect::<Result<_, _>>()?;
        // Against a privileged container, whose root is the host's, nothing can be locked.
        match user_namespace {
            Some(user_namespace) => stage.lock(&opened, user_namespace),
            None => Ok(opened),
        }
    })?;
    let describe = |(spec, fd): (&MountSpec, OwnedFd)| {
        let mounted = Mounted::detached(spec, &fd, &machine.volumes).step(|| format!("cannot look at `{spec}`"))?;
        Ok(OpenedMount { fd, mounted })
    };
    mounts.iter().zip(opened).map(describe).collect()
}

/// The file or directory `path` of the host, detached; `recursive` with what is mounted below.
pub(super) fn copy_of(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    if recursive { copy_of_tree(CWD, path) } else { copy_of_mount(CWD, path) }
}

/// Opens one mount.
struct Opener<'a> {
    machine: &'a Machine,
    user_namespace: Option<BorrowedFd<'a>>,
    mount: &'a MountSpec,
}

impl Opener<'_> {
    fn open(&self, stage: &MountStage) -> Result<OwnedFd, StartFailure> {
        let opened = match &self.mount.source {
            MountSource::Bind { path, ids, recursive } => self.bind(path, *ids, *recursive),
            MountSource::Volume { name } => {
                let volumes = &self.machine.volumes;
                let path = volumes
                    .ensure(name)
                    .step(|| format!("cannot make the volume `{name}` in `{}`", volumes.dir().display()))?;
                self.bind(&path, MountIds::Guest, false)
            }
            MountSource::Overlay { path } => self.overlay(path, stage),
            MountSource::Tmpfs { size, mode } => self.memory(size.map(|size| size.0), mode.unwrap_or(0o755)),
        };
        opened.map_err(|failure| StartFailure { step: self.describe(&failure.step), ..failure })
    }

    /// The mount that a step which failed was for.
    fn describe(&self, step: &str) -> String {
        format!("cannot mount `{}`: {step}", self.mount)
    }

    fn bind(&self, path: &Path, ids: MountIds, recursive: bool) -> Result<OwnedFd, StartFailure> {
        let tree = copy_of(path, recursive).step(|| format!("cannot open `{}`", path.display()))?;
        let owner;
        let ids = match ids {
            MountIds::Host => None,
            MountIds::Guest => self.user_namespace,
            MountIds::Owner => {
                let stat = fstat(&tree).step(|| format!("cannot look at `{}`", path.display()))?;
                owner = user_namespace_of_one(stat.st_uid, stat.st_gid, self.machine.record.root_id())
                    .step(|| format!("cannot make a user namespace of the owner of `{}`", path.display()))?;
                Some(owner.as_fd())
            }
        };
        self.restrict(&tree, ids).map_err(|failure| match ids {
            Some(_) => StartFailure { hint: Some(NOT_MAPPABLE.to_owned()), ..failure },
            None => failure,
        })?;
        Ok(tree)
    }

    /// The overlay of the host's directory `path` and a layer in the container's own directory.
    fn overlay(&self, path: &Path, stage: &MountStage) -> Result<OwnedFd, StartFailure> {
        let layer = self.machine.paths.mount_layer(&self.mount.target);
        ensure_layer(&layer, path).step(|| format!("cannot make the layer `{}`", layer.display()))?;
        let lower = open_mapped(&Lower::Directory(path.to_owned()), self.user_namespace)?;
        let layer = open_mapped(&Lower::Directory(layer), self.user_namespace)?;
        let place = stage.make_dir().step(|| "cannot make a place for the layers".to_owned())?;
        let mount = attach_all([&lower, &layer].into_iter(), Path::new(&place))
            .and_then(|()| overlay_as(self.machine.record.root_id(), &[lower], &layer, Devices::Dead))
            .step(|| "cannot mount the overlay".to_owned())?;
        self.restrict(&mount, None)?;
        Ok(mount)
    }

    /// Mounted from the host's side, so that the guest cannot make it larger.
    fn memory(&self, size: Option<u64>, mode: u32) -> Result<OwnedFd, StartFailure> {
        let (id, mode) = (self.machine.record.root_id().to_string(), format!("{mode:o}"));
        let size = size.map(|size| size.to_string());
        let mut options = vec![("uid", id.as_str()), ("gid", id.as_str()), ("mode", mode.as_str())];
        options.extend(size.as_deref().map(|size| ("size", size)));
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID;
        let mount = NewMount { kind: "tmpfs", attributes, options: &options }.open();
        let mount = mount.step(|| "cannot make the tmpfs".to_owned())?;
        self.restrict(&mount, None)?;
        Ok(mount)
    }

    /// Forbids what the guest may not do in it: devices are given to a container by `devices` alone.
    fn restrict(&self, mount: &OwnedFd, ids: Option<BorrowedFd<'_>>) -> Result<(), StartFailure> {
        set_tree_attributes(mount.as_fd(), TreeAttributes { is_read_only: self.mount.read_only, ids })
            .step(|| "cannot set what may be done in it".to_owned())
    }
}

/// Makes the layer above the host's directory `below` if it is not there. Its top is what the guest sees of the top
/// of `below`, so it has that one's owner and mode.
pub(super) fn ensure_layer(layer: &Path, below: &Path) -> io::Result<()> {
    let upper = layer.join("upper");
    if upper.exists() {
        return Ok(());
    }
    let metadata = fs::metadata(below)?;
    DirBuilder::new().recursive(true).mode(0o700).create(layer)?;
    ensure_dir(&layer.join("work"), 0o755)?;
    // Under another name first: a layer that is there is finished.
    let draft = layer.join("draft");
    ensure_dir(&draft, 0o755)?;
    let known = |id: u32| if id < ID_RANGE_LENGTH { id } else { 0 };
    std::os::unix::fs::chown(&draft, Some(known(metadata.uid())), Some(known(metadata.gid())))?;
    fs::set_permissions(&draft, metadata.permissions())?;
    fs::rename(draft, upper)
}

fn ensure_dir(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
