//! From the first instruction of a container's first process to its init, in order.
//!
//! The process has been made with its own user, mount, pid, ipc and uts namespaces, by a monitor that meanwhile prepares
//! what only the host can: id maps, mounts with mapped ids, the links. See [`super::start`].

use std::ffi::CString;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, unshare};
use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use super::attendant::attend;
use super::confinement::{confine, limit_resources};
use super::failure::{StartFailure, Step as _};
use super::foreign::pretend;
use super::guest_mounts::attach_mounts;
use super::guest_root::GuestRoot;
use super::lxcfs::View;
use super::system_mounts::SystemMounts;
use crate::model::{Entrypoint, LinkSpec, MountSpec, SecuritySpec};
use crate::network::{configure_inside, name_inside};
use crate::sys::{
    MessageSocket, become_namespace_root, close_on_exec_from, default_signals, lose_capabilities_with_root,
};

/// What the container's first process tells its monitor. After [`FromChild::Executing`] the socket closes by itself
/// when the init has been executed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromChild {
    /// It is in the network namespace that its links are to be in.
    Networked,
    /// Everything is done but the execution of the init, for which it waits to be told. The console's master end
    /// comes with this message.
    Ready,
    /// The next call is execve(2).
    Executing,
    /// A step failed; nothing more comes.
    Failed(StartFailure),
}

/// What the monitor tells the container's first process.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum FromMonitor {
    /// The id maps are written.
    Mapped,
    /// The root file system and `/dev`, detached, come with this message, and `/sys` if the container cannot mount its own.
    Mounts {
        /// Whether `/sys` may be written to.
        writable_sys: bool,
    },
    /// One of the container's own mounts, detached, comes with this message.
    Mount,
    /// The links are there.
    Linked,
    /// The init shall be executed.
    Execute,
}

/// What the container's first process needs to know from the start.
pub(super) struct ChildSetup<'a> {
    pub(super) socket: MessageSocket,
    /// The `tasks` files of the container's version 1 groups.
    pub(super) tasks: Vec<File>,
    /// Whether the host has cgroups of version 2.
    pub(super) has_cgroup2: bool,
    /// What lxcfs shows in place of the kernel's files.
    pub(super) views: Vec<View>,
    pub(super) hostname: &'a str,
    /// Nothing where it is in the host's network namespace.
    pub(super) links: Option<&'a [LinkSpec]>,
    pub(super) arch: &'a str,
    pub(super) security: &'a SecuritySpec,
    pub(super) mounts: &'a [MountSpec],
    pub(super) first: FirstProgram<'a>,
}

/// What the container's first process becomes.
pub(super) enum FirstProgram<'a> {
    /// This program of the image.
    Init(PathBuf),
    /// An attendant of this one.
    Entrypoint(&'a Entrypoint),
}

/// Sets the container up and executes its init. Returns the exit status of a process that did not get there.
pub(super) fn run(setup: &ChildSetup<'_>) -> u8 {
    let Err(failure) = set_up_and_execute(setup);
    let message = serde_json::to_vec(&FromChild::Failed(failure)).unwrap_or_default();
    // If the monitor is gone too, nobody is left to tell.
    let _ = setup.socket.send(&message, &[]);
    1
}

fn set_up_and_execute(setup: &ChildSetup<'_>) -> Result<std::convert::Infallible, StartFailure> {
    wait_for(&setup.socket, &FromMonitor::Mapped)?;
    // From now on this process can be root of its namespace, and must be to own what it makes. Its capabilities there are
    // those of a namespace's first process, all of them.
    become_namespace_root().step(|| "cannot become the guest's root".to_owned())?;
    // A privileged container's first process is still in its monitor's user namespace, and has its habits.
    lose_capabilities_with_root().step(|| "cannot become the guest's root".to_owned())?;
    if let Some(links) = setup.links {
        make_network(links)?;
    }
    tell(&setup.socket, &FromChild::Networked)?;
    let Received { root, dev, sys, writable_sys } = receive_mounts(&setup.socket)?;

    // Before anything of the guest runs, so that all of it is counted. Version 2 was entered at clone3(2).
    for mut tasks in &setup.tasks {
        tasks.write_all(b"0").step(|| "cannot enter a cgroup".to_owned())?;
    }
    // Only now: the namespace's root is where its maker is.
    unshare(CloneFlags::CLONE_NEWCGROUP).step(|| "cannot make a cgroup namespace".to_owned())?;

    let root = GuestRoot::attach(root)?;
    let sys = sys.as_ref().map(OwnedFd::as_fd);
    let mounts = SystemMounts { sys, writable_sys, has_cgroup2: setup.has_cgroup2, security: setup.security };
    let console = mounts.mount(&root, dev.as_fd())?;
    for view in &setup.views {
        if root.open_if_there(&view.place)?.is_some() {
            root.attach_at(view.mount.as_fd(), &view.place)?;
        }
    }
    attach_mounts(&setup.socket, &root, setup.mounts)?;
    rustix::system::sethostname(setup.hostname.as_bytes()).step(|| "cannot set the host name".to_owned())?;
    root.enter()?;

    wait_for(&setup.socket, &FromMonitor::Linked)?;
    if let Some(links) = setup.links {
        name_inside(links).step(|| "cannot name the links".to_owned())?;
        configure_inside(links).step(|| "cannot configure the links".to_owned())?;
    }
    set_parameters(setup.security)?;

    // Those that the monitor has set stay as they are, and what it could not set is told of.
    limit_resources(setup.security, 0).step(|| "cannot limit the container's resources".to_owned())?;
    become_init(&console.slave)?;
    pretend(setup.arch).step(|| format!("cannot become a process for {}", setup.arch))?;
    confine(setup.security).step(|| "cannot give up what no guest may have".to_owned())?;
    let message = serde_json::to_vec(&FromChild::Ready).step(|| "cannot hand the console over".to_owned())?;
    setup.socket.send(&message, &[console.master.as_fd()]).step(|| "cannot hand the console over".to_owned())?;
    let master = console.master;
    drop(console.slave);
    wait_for(&setup.socket, &FromMonitor::Execute)?;
    match &setup.first {
        FirstProgram::Init(path) => execute(path, &setup.socket),
        FirstProgram::Entrypoint(entrypoint) => attend(entrypoint, &setup.socket, &master),
    }
}

/// Makes the network namespace, side by side with the monitor's mounts.
///
/// Not before the id maps are written: what sysfs shows of the loopback has the owner for good that the namespace's root
/// has now, and guests have their udev write there (`netplan apply`).
fn make_network(links: &[LinkSpec]) -> Result<(), StartFailure> {
    unshare(CloneFlags::CLONE_NEWNET).step(|| "cannot make a network namespace".to_owned())?;
    // `/proc` is still the host's, but below `sys/net` everybody sees his own namespace.
    if links.iter().all(|link| link.address6.is_none()) {
        forgo_ipv6();
    }
    Ok(())
}

/// What comes with [`FromMonitor::Mounts`].
struct Received {
    root: OwnedFd,
    dev: OwnedFd,
    sys: Option<OwnedFd>,
    writable_sys: bool,
}

fn receive_mounts(socket: &MessageSocket) -> Result<Received, StartFailure> {
    let gone = || Err("the monitor is gone".to_owned()).step(|| "cannot receive the mounts".to_owned());
    let Some(received) = socket.receive().step(|| "cannot receive the mounts".to_owned())? else { return gone() };
    let mut fds = received.fds.into_iter();
    match (serde_json::from_slice(&received.bytes), fds.next(), fds.next()) {
        (Ok(FromMonitor::Mounts { writable_sys }), Some(root), Some(dev)) => {
            Ok(Received { root, dev, sys: fds.next(), writable_sys })
        }
        _ => gone(),
    }
}

/// Has no IPv6 on the links still to come, as [`configure_inside`] has it then.
///
/// For a link that is there the kernel does not wait for the lock of all links but has the call begin anew until the
/// lock is free (`addrconf_disable_ipv6` in net/ipv6/addrconf.c), which keeps a processor busy while others make
/// their links. For `default` it needs no lock.
fn forgo_ipv6() {
    let path = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
    // A kernel without IPv6 has no such file.
    if fs::read_to_string(path).is_ok_and(|text| text.trim() == "0") {
        let _ = fs::write(path, "1");
    }
}

fn tell(socket: &MessageSocket, message: &FromChild) -> Result<(), StartFailure> {
    let step = || "cannot speak to the monitor".to_owned();
    let bytes = serde_json::to_vec(message).step(step)?;
    socket.send(&bytes, &[]).step(step)
}

fn wait_for(socket: &MessageSocket, awaited: &FromMonitor) -> Result<(), StartFailure> {
    let step = || "cannot go on with the start".to_owned();
    let received = socket.receive().step(step)?.and_then(|received| serde_json::from_slice(&received.bytes).ok());
    if received.as_ref() == Some(awaited) { Ok(()) } else { Err("the monitor is gone".to_owned()).step(step) }
}

/// Sets the kernel parameters of the container's own namespaces (`proc_sys(5)`).
fn set_parameters(security: &SecuritySpec) -> Result<(), StartFailure> {
    for (name, value) in &security.sysctls {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::write(path, value).step(|| format!("cannot set the kernel parameter `{name}` to `{value}`"))?;
    }
    Ok(())
}

/// Gives this process what an init starts with: a session, the console, its signals.
fn become_init(console: &OwnedFd) -> Result<(), StartFailure> {
    rustix::process::setsid().step(|| "cannot begin a session".to_owned())?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    default_signals().step(|| "cannot reset signals".to_owned())?;
    let step = || "cannot make the console the standard streams".to_owned();
    rustix::stdio::dup2_stdin(console).step(step)?;
    rustix::stdio::dup2_stdout(console).step(step)?;
    rustix::stdio::dup2_stderr(console).step(step)
}

fn execute(init: &Path, socket: &MessageSocket) -> Result<std::convert::Infallible, StartFailure> {
    let program = init.display();
    let step = || format!("cannot execute `{program}`");
    // No descriptor of the host may outlive this (CVE-2024-21626).
    close_on_exec_from(3).step(step)?;
    let path = CString::new(init.as_os_str().as_bytes()).step(step)?;
    let environment = guest_environment().map(|text| CString::new(text).expect("the words have no NUL"));
    tell(socket, &FromChild::Executing)?;
    nix::unistd::execve(&path, &[&path], &environment).step(step)
}

/// The environment of a guest's first process and of commands run in it. `container=lxc` is how guests made for LXC
/// know where they are (systemd's Container Interface, <https://systemd.io/CONTAINER_INTERFACE/>).
pub(super) fn guest_environment() -> [&'static str; 4] {
    ["container=lxc", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=linux", "HOME=/root"]
}
