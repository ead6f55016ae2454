//! One start of a container, from the monitor's side, in order.
//!
//! What only the host may do is done here, side by side with [`super::child`], which does the rest from inside.

use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};

use super::cgroup::Group;
use super::child::{self, ChildSetup, FirstProgram, FromChild, FromMonitor};
use super::confinement::limit_resources;
use super::dev::{mount_dev, usable_devices};
use super::failure::{StartFailure, Step as _};
use super::inits::detect_init;
use super::lxcfs;
use super::mounted::{Mounted, MountedFile};
use super::mountinfo;
use super::mounts::open_mounts;
use super::overlay::mount_for_guest;
use super::paths::ContainerPaths;
use super::run_state::ProcessId;
use super::system_mounts::{clone_of_sys, has_udev};
use crate::model::{ContainerRecord, Entrypoint, ID_RANGE_LENGTH, Init, InitKind};
use crate::network::{GuestPlace, connect_guest};
use crate::store::{StoredRoot, Volumes};
use crate::sys::{CloneRequest, Cloned, MessageSocket, RootDir, clone_into, set_effective_ids};

/// What one start needs.
pub(super) struct Machine {
    pub(super) record: ContainerRecord,
    pub(super) paths: ContainerPaths,
    /// What its image is made for, if that is to be run and known.
    pub(super) entrypoint: Option<Entrypoint>,
    pub(super) image: StoredRoot,
    /// The volumes of its fleet.
    pub(super) volumes: Volumes,
    pub(super) group: Group,
    pub(super) has_cgroup2: bool,
}

/// A container whose init has been executed.
pub(super) struct Started {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    /// The console's master end.
    pub(super) console: OwnedFd,
    pub(super) init_kind: Option<InitKind>,
}

/// All namespaces but the user one, which a privileged container has not, and those that the child makes later: the
/// cgroup one when it is in its groups, the network one when it has its ids. One call makes them, so that the user
/// namespace owns the others.
const NAMESPACES: i32 = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;

/// A container that lacks nothing but the execution of its init.
pub(super) struct Ready {
    child: Cloned,
    socket: MessageSocket,
    console: OwnedFd,
    init_kind: Option<InitKind>,
}

/// Prepares the container. The caller has one thread and keeps its capabilities over id changes. On failure nothing
/// of it runs any more; groups are the caller's to remove.
pub(super) fn prepare(machine: &Machine) -> Result<Ready, StartFailure> {
    let record = &machine.record;
    let first = first_program(machine)?;
    let base = record.root_id();
    let is_privileged = record.spec.security.privileged;
    machine.group.create(&record.spec.limits, base).step(|| "cannot make the cgroups".to_owned())?;
    if is_privileged {
        // Nobody else could open a device of the host's: the nodes in a user namespace's own mounts are dead.
        let devices = usable_devices(&record.spec.devices).step(|| "cannot look at the devices".to_owned())?;
        machine.group.allow_only(&devices).step(|| "cannot confine the container to its devices".to_owned())?;
    }
    let tasks = machine.group.open_v1_tasks().step(|| "cannot open the cgroups".to_owned())?;
    let guest_dir = machine.group.open_guest_dir().step(|| "cannot open the cgroups".to_owned())?;
    let (ours, theirs) = MessageSocket::pair().step(|| "cannot make a socket".to_owned())?;
    let setup = ChildSetup {
        socket: theirs,
        tasks,
        has_cgroup2: machine.has_cgroup2,
        // Nothing is covered where containers are run inside.
        views: if record.spec.security.nesting { Vec::new() } else { lxcfs::views() },
        hostname: &record.spec.guest.hostname,
        links: (!record.spec.is_on_host_network).then_some(record.spec.links.as_slice()),
        arch: &record.spec.arch,
        security: &record.spec.security,
        mounts: &record.spec.mounts,
        first,
    };

    // The kernel charges inotify instances and the like to the *owner* of a user namespace. Were that root for all
    // containers, they would share root's 128: enough for 16 systemd guests.
    set_effective_ids(base).step(|| "cannot become the guest's root".to_owned())?;
    let namespaces = if is_privileged { NAMESPACES } else { NAMESPACES | libc::CLONE_NEWUSER };
    let request = CloneRequest { namespaces, cgroup: guest_dir.as_ref().map(OwnedFd::as_fd) };
    let mut ours = Some(ours);
    let our_end = &mut ours;
    let cloned = clone_into(request, move || {
        // The child's copy: with it open, the child would not notice its monitor's end.
        drop(our_end.take());
        child::run(&setup)
    });
    set_effective_ids(0).step(|| "cannot become root again".to_owned())?;
    let child = cloned.step(|| "cannot make the container's namespaces".to_owned())?;
    let socket = ours.expect("only the child took it");
    match serve(machine, &child, &socket) {
        Ok((console, init_kind)) => Ok(Ready { child, socket, console, init_kind }),
        Err(failure) => Err(end(&child, &socket, failure)),
    }
}

impl Ready {
    /// Has the init executed. On failure nothing of the container runs any more.
    pub(super) fn execute(self) -> Result<Started, StartFailure> {
        let Ready { child, socket, console, init_kind } = self;
        match send(&socket, &FromMonitor::Execute, &[]).and_then(|()| wait_for_init(&socket)) {
            Ok(()) => Ok(Started { pid: child.pid, pidfd: child.pidfd, console, init_kind }),
            Err(failure) => Err(end(&child, &socket, failure)),
        }
    }

    /// Takes it down.
    pub(super) fn abandon(self) {
        kill(&self.child);
    }
}

/// Everything that the child waits for, until it lacks nothing but its init.
fn serve(
    machine: &Machine,
    child: &Cloned,
    socket: &MessageSocket,
) -> Result<(OwnedFd, Option<InitKind>), StartFailure> {
    let base = machine.record.root_id();
    let pid = child.pid.as_raw_nonzero();
    let user_namespace = if machine.record.spec.security.privileged { None } else { Some(map_ids(pid.get(), base)?) };
    send(socket, &FromMonitor::Mapped, &[])?;
    // Only the host's root can raise limits; where even that may not, the child lowers what can be lowered.
    let _ = limit_resources(&machine.record.spec.security, pid.get().unsigned_abs());
    let mapping = user_namespace.as_ref().map(OwnedFd::as_fd);
    let lowers = machine.image.lowers().step(|| "cannot read what the image consists of".to_owned())?;
    let root = mount_for_guest(&lowers, &machine.paths, mapping, base)?;
    let (init_kind, writable_sys) = examine(&machine.record.spec.init, &root)?;
    let dev = mount_dev(base, &machine.record.spec.devices)?;
    let sys = if machine.record.spec.is_on_host_network { Some(clone_of_sys()?) } else { None };
    let fds: Vec<BorrowedFd<'_>> = [&root, &dev].into_iter().chain(&sys).map(OwnedFd::as_fd).collect();
    send(socket, &FromMonitor::Mounts { writable_sys }, &fds)?;
    drop((root, dev, sys));
    let mut mounted = Vec::new();
    for mount in open_mounts(machine, &machine.record.spec.mounts, mapping)? {
        send(socket, &FromMonitor::Mount, &[mount.fd.as_fd()])?;
        mounted.push(mount.mounted);
    }
    wait_for_network(socket)?;
    for link in &machine.record.spec.links {
        connect_guest(link, GuestPlace::Process(pid.get().unsigned_abs()))
            .step(|| format!("cannot link the container to `{}`", link.parent))?;
    }
    send(socket, &FromMonitor::Linked, &[])?;
    let console = wait_until_ready(socket)?;
    note_mounts(machine, pid.get().unsigned_abs(), mounted)?;
    Ok((console, init_kind))
}

/// Writes down what is mounted in the guest of the child `pid`, in which nothing of the guest's has run yet.
fn note_mounts(machine: &Machine, pid: u32, mounted: Vec<Mounted>) -> Result<(), StartFailure> {
    if mounted.is_empty() {
        return Ok(());
    }
    let step = || "cannot write down what is mounted".to_owned();
    let init = ProcessId::of(pid).step(step)?;
    let mounts = mountinfo::read(pid).step(step)?;
    let mounted = mounted.into_iter().map(|one| one.attached(&mounts)).collect();
    MountedFile::save(&machine.paths.mounted(), init, mounted).step(step)
}

/// Gives the child's user namespace its ids; returns the namespace.
fn map_ids(pid: i32, base: u32) -> Result<OwnedFd, StartFailure> {
    for file in ["uid_map", "gid_map"] {
        let path = format!("/proc/{pid}/{file}");
        fs::write(&path, format!("0 {base} {ID_RANGE_LENGTH}\n")).step(|| format!("cannot write `{path}`"))?;
    }
    open(format!("/proc/{pid}/ns/user"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .step(|| "cannot open the user namespace".to_owned())
}

/// Finds out what the root file system's init is and needs, and whether it is the one that was asked for.
fn examine(init: &Init, root: &OwnedFd) -> Result<(Option<InitKind>, bool), StartFailure> {
    let root = RootDir::new(root.try_clone().step(|| "cannot open the root file system".to_owned())?);
    let Some(program) = init_path(init) else { return Ok((None, has_udev(&root))) };
    let found = detect_init(&root, &program);
    let is_there = root.metadata_followed(&program).step(|| format!("cannot look at `{}`", program.display()))?;
    let refuse = |why: String, hint: &str| {
        Err(StartFailure { step: "cannot start its init".to_owned(), why, hint: Some(hint.to_owned()) })
    };
    if is_there.is_none() {
        let hint = "use an image with an init system, name the program with `init: /path`, or run what an image of a \
                    registry is made for with `init: entrypoint`";
        return refuse(format!("the root file system has no `{}`", program.display()), hint);
    }
    match init {
        Init::Kind(asked) if found != Some(*asked) => {
            let found = found.map_or("something else".to_owned(), |found| format!("{found:?}").to_lowercase());
            let why = format!("`/sbin/init` is {found}, not {}", format!("{asked:?}").to_lowercase());
            refuse(why, "leave `init:` out, or use an image with that init")
        }
        Init::Kind(_) | Init::Auto | Init::Path(_) | Init::Entrypoint => Ok((found, has_udev(&root))),
    }
}

/// What becomes PID 1, or runs below it.
fn first_program(machine: &Machine) -> Result<FirstProgram<'_>, StartFailure> {
    if let Some(path) = init_path(&machine.record.spec.init) {
        return Ok(FirstProgram::Init(path));
    }
    let refuse = |why: &str, hint: &str| {
        let step = "cannot start its program".to_owned();
        Err(StartFailure { step, why: why.to_owned(), hint: Some(hint.to_owned()) })
    };
    if machine.record.spec.security.privileged {
        return refuse("a privileged container could reach fleet's own program", "leave `privileged: true` out");
    }
    match &machine.entrypoint {
        Some(entrypoint) => Ok(FirstProgram::Entrypoint(entrypoint)),
        None => refuse("its image names no program that it is made for", "name one with `init: /path`"),
    }
}

/// The program of the image that becomes PID 1.
fn init_path(init: &Init) -> Option<PathBuf> {
    match init {
        Init::Auto | Init::Kind(_) => Some(PathBuf::from("/sbin/init")),
        Init::Path(path) => Some(path.clone()),
        Init::Entrypoint => None,
    }
}

/// Waits until the child is where its links are to be.
fn wait_for_network(socket: &MessageSocket) -> Result<(), StartFailure> {
    match next(socket)? {
        (FromChild::Networked, _) => Ok(()),
        (FromChild::Ready | FromChild::Executing, _) => killed(),
        (FromChild::Failed(failure), _) => Err(failure),
    }
}

/// Waits until the child has done all but execute the init; returns the console.
fn wait_until_ready(socket: &MessageSocket) -> Result<OwnedFd, StartFailure> {
    match next(socket)? {
        (FromChild::Ready, fds) => fds.into_iter().next().map_or_else(killed, Ok),
        (FromChild::Failed(failure), _) => Err(failure),
        (FromChild::Networked | FromChild::Executing, _) => killed(),
    }
}

/// What the child tells next, with what comes along.
fn next(socket: &MessageSocket) -> Result<(FromChild, Vec<OwnedFd>), StartFailure> {
    let Some(received) = socket.receive().step(following)? else { return killed() };
    Ok((serde_json::from_slice(&received.bytes).step(following)?, received.fds))
}

fn following() -> String {
    "cannot follow the container's start".to_owned()
}

fn killed<T>() -> Result<T, StartFailure> {
    Err("the container's first process was killed".to_owned()).step(following)
}

/// Reads the child's messages until it has executed the init, which closes its socket.
fn wait_for_init(socket: &MessageSocket) -> Result<(), StartFailure> {
    let mut is_executing = false;
    while let Some(received) = socket.receive().step(following)? {
        match serde_json::from_slice(&received.bytes).step(following)? {
            FromChild::Executing => is_executing = true,
            FromChild::Failed(failure) => return Err(failure),
            FromChild::Networked | FromChild::Ready => {}
        }
    }
    if is_executing { Ok(()) } else { killed() }
}

/// What the child said before it ended, if it said that it failed.
fn last_words(socket: &MessageSocket) -> Option<StartFailure> {
    while let Some(received) = socket.receive().ok()? {
        if let Ok(FromChild::Failed(failure)) = serde_json::from_slice(&received.bytes) {
            return Some(failure);
        }
    }
    None
}

fn send(socket: &MessageSocket, message: &FromMonitor, fds: &[BorrowedFd<'_>]) -> Result<(), StartFailure> {
    let step = || "cannot speak to the container's first process".to_owned();
    let bytes = serde_json::to_vec(message).step(step)?;
    socket.send(&bytes, fds).step(step)
}

/// Ends a child that did not get to its init because of `failure`; returns the failure to tell of.
fn end(child: &Cloned, socket: &MessageSocket, failure: StartFailure) -> StartFailure {
    kill(child);
    // The child's own words are nearer to the cause than "it is gone".
    last_words(socket).unwrap_or(failure)
}

fn kill(child: &Cloned) {
    let _ = pidfd_send_signal(&child.pidfd, Signal::KILL);
    let _ = waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED);
}
