//! Changes the mounts of a container while it runs: those of its own, to what its record asks for.
//!
//! A mount that is asked for and as it should be stays; the rest is unmounted and mounted anew. What a process of the
//! guest has open in a mount that goes stays usable to it.

use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{UnmountFlags, unmount};

use super::cgroup::{Hierarchies, to_keep_open};
use super::failure::{StartFailure, Step as _};
use super::guest_mounts::attach;
use super::guest_root::GuestRoot;
use super::launcher::{Client, Job};
use super::machine_with;
use super::mounted::{Mounted, MountedFile};
use super::mountinfo::{self, Mount, Mounts};
use super::mounts::{OpenedMount, open_mounts};
use super::run_state::RunFile;
use super::start::Machine;
use super::visit::visit;
use crate::model::MountSpec;
use crate::sys::{Children, CloneRequest, clone_into, close_all_except, keep_capabilities, set_children};

/// Does it for the container that `job` names, and tells `client` what came of it. Returns an exit status. `lock` is
/// the host's lock.
pub(super) fn run(job: &Job, hierarchies: &Hierarchies, mut client: Client, lock: Option<&OwnedFd>) -> u8 {
    let done = prepare(&client, lock)
        .and_then(|()| {
            machine_with(&job.layout(), &job.name, hierarchies)
                .step(|| format!("cannot read the record of `{}`", job.name))
        })
        .and_then(|machine| set_mounts(&machine));
    client.report(&done);
    u8::from(done.is_err())
}

/// Keeps nothing of the caller's but `client` and `lock`.
pub(super) fn prepare(client: &Client, lock: Option<&OwnedFd>) -> Result<(), StartFailure> {
    let step = || "cannot become a process that works on a container".to_owned();
    let kept: Vec<BorrowedFd<'_>> =
        [client.as_fd()].into_iter().chain(lock.map(OwnedFd::as_fd)).chain(to_keep_open()).collect();
    close_all_except(&kept).step(step)?;
    set_children(Children::Waited).step(step)?;
    rustix::process::chdir("/").step(step)?;
    rustix::process::umask(Mode::empty());
    keep_capabilities().step(step)
}

/// What is to be done with the mounts of a container.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    kept: Vec<Mounted>,
    /// The last one first.
    removed: Vec<Mounted>,
    added: Vec<MountSpec>,
}

fn set_mounts(machine: &Machine) -> Result<(), StartFailure> {
    let step = || "cannot find out what is mounted".to_owned();
    // One that has ended meanwhile gets its mounts with its next start.
    let Some(state) = RunFile::load_running(&machine.paths.run_state()).step(step)? else { return Ok(()) };
    let Some(init) = state.init.open().step(step)? else { return Ok(()) };
    let path = machine.paths.mounted();
    let mounts = mountinfo::read(state.init.pid).step(step)?;
    let mounted = MountedFile::load(&path, state.init);
    let is_good = |one: &Mounted| one.fault(&mounts, &machine.volumes).is_none();
    let Difference { kept, removed, added } = difference(mounted, &machine.record.spec.mounts, is_good);
    let user_namespace = user_namespace_of(machine, state.init.pid)?;
    let opened = open_mounts(machine, &added, user_namespace.as_ref().map(OwnedFd::as_fd))?;

    // Before the first of them is attached: what a kill leaves behind is found again by what is written here.
    let all = || kept.iter().chain(&removed).cloned().chain(opened.iter().map(|one| one.mounted.clone()));
    let step = || "cannot write down what is mounted".to_owned();
    MountedFile::save(&path, state.init, all().collect()).step(step)?;
    let apart = |work: &dyn Fn() -> u8| clone_into(CloneRequest { namespaces: 0, cgroup: None }, work);
    let changed = visit(&init, apart, |root| change(root, &removed, &opened, &mounts).map(|()| None));
    let mounts = mountinfo::read(state.init.pid).step(step)?;
    let kept = kept.iter().cloned();
    // After a failure, what should be gone may still be there.
    let left = removed.iter().filter(|one| changed.is_err() && one.find(&mounts).is_some()).cloned();
    let new = opened.iter().map(|one| one.mounted.clone().attached(&mounts));
    MountedFile::save(&path, state.init, kept.chain(left).chain(new).collect()).step(step)?;
    changed.map(drop)
}

/// What has to be done for `mounted` to become `wanted`. A mount below one that is mounted or unmounted is mounted anew,
/// too: it would be covered by it, or go with it.
fn difference(mounted: Vec<Mounted>, wanted: &[MountSpec], is_good: impl Fn(&Mounted) -> bool) -> Difference {
    let stays = |one: &Mounted| wanted.contains(&one.spec) && is_good(one);
    let mut moved: Vec<&Path> = mounted.iter().filter(|one| !stays(one)).map(|one| one.spec.target.as_path()).collect();
    let is_there = |spec: &MountSpec| mounted.iter().any(|one| one.spec == *spec && stays(one));
    moved.extend(wanted.iter().filter(|spec| !is_there(spec)).map(|spec| spec.target.as_path()));
    let is_below = |spec: &MountSpec| moved.iter().any(|outer| spec.target.starts_with(outer));
    let is_kept: Vec<bool> = mounted.iter().map(|one| stays(one) && !is_below(&one.spec)).collect();
    let added = wanted.iter().filter(|spec| is_below(spec)).cloned().collect();
    let (mut kept, mut removed) = (Vec::new(), Vec::new());
    for (one, is_kept) in mounted.into_iter().zip(is_kept) {
        if is_kept { kept.push(one) } else { removed.insert(0, one) }
    }
    Difference { kept, removed, added }
}

/// The user namespace of the container's first process; a privileged one has none of its own.
fn user_namespace_of(machine: &Machine, pid: u32) -> Result<Option<OwnedFd>, StartFailure> {
    if machine.record.spec.security.privileged {
        return Ok(None);
    }
    open(format!("/proc/{pid}/ns/user"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map(Some)
        .step(|| "cannot open the user namespace".to_owned())
}

/// In the guest: unmounts and mounts. `mounts` are those that were there before.
fn change(root: &GuestRoot, removed: &[Mounted], opened: &[OpenedMount], mounts: &Mounts) -> Result<(), StartFailure> {
    let tree = root.tree()?;
    for one in removed {
        let Some(mount) = one.find(mounts) else { continue };
        let place = mount.place.display().to_string();
        uncover_and_unmount(mount, mounts).step(|| format!("cannot unmount `{}` at `{place}`", one.spec))?;
    }
    for OpenedMount { fd, mounted } in opened {
        attach(&tree, fd, &mounted.spec.target).step(|| format!("cannot mount `{}`", mounted.spec))?;
    }
    Ok(())
}

/// Unmounts `mount` and what is mounted over it at the same place. One whose place is itself covered is out of
/// everybody's sight and out of reach.
fn uncover_and_unmount(mount: &Mount, mounts: &Mounts) -> rustix::io::Result<()> {
    let is_in_sight = mounts.seen_at(&mount.place).is_some_and(|seen| seen.place == mount.place);
    if !is_in_sight {
        return Ok(());
    }
    let place: &OsStr = mount.place.as_os_str();
    for _ in 0..=mounts.count_above(mount) {
        // The guest may have been faster. Links on the way lead to places of the guest's, as all that is to be seen here.
        match unmount(place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
