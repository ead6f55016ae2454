//! A small process with one thread that monitors are forked from: namespaces must not be made in a process with
//! threads, and fleet's own has them. It is forked before the first one, so monitors share its memory with it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, waitpid};
use serde::{Deserialize, Serialize};

use super::cgroup::Hierarchies;
use super::failure::{StartFailure, Step as _};
use super::{group_parent, monitor, reload, remount};
use crate::model::ContainerName;
use crate::store::{HostLock, Layout};
use crate::sys::{Children, CloneRequest, MessageSocket, clone_into, fork, set_children, set_process_name};

/// How long one start may take, from the request to the init's execution.
const START_DEADLINE: Duration = Duration::from_mins(2);

/// A request to do something for one container that only a process with one thread can do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    root: Option<PathBuf>,
    pub(super) name: ContainerName,
    task: Task,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Task {
    /// Run it, or look after it if it runs.
    Run,
    /// Mount in it what its record asks for.
    Mount,
    /// Have its network manager read its files anew.
    Reload,
}

impl Job {
    /// The layout that the container is in.
    pub(super) fn layout(&self) -> Layout {
        Layout::new(self.root.as_deref())
    }
}

/// The launcher, as its client sees it. It ends when this is dropped; monitors go on.
#[derive(Debug)]
pub struct Launcher {
    socket: Option<MessageSocket>,
    pid: Pid,
}

impl Drop for Launcher {
    fn drop(&mut self) {
        // Its sign to end. Nobody else waits for it.
        self.socket = None;
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }
}

impl Launcher {
    /// Forks the launcher. The caller has one thread.
    pub fn fork() -> io::Result<Launcher> {
        let (ours, theirs) = MessageSocket::pair()?;
        let mut ours = Some(ours);
        let our_end = &mut ours;
        let pid = fork(move || {
            // With its own copy open, the launcher would never see its client's end.
            drop(our_end.take());
            serve(&theirs)
        })?;
        Ok(Launcher { socket: ours, pid })
    }

    /// Has a monitor prepare container `name` of `layout`; returns when all is done but the execution of the init.
    /// The monitor keeps `lock` until that is done too, or until it has taken down what it made because this process
    /// was killed.
    pub(super) fn prepare(
        &self,
        layout: &Layout,
        name: &ContainerName,
        lock: Option<&HostLock>,
    ) -> Result<Launched, LaunchError> {
        let mut launched = self.send(layout, name, lock, Task::Run)?;
        launched.next_report()?;
        Ok(launched)
    }

    /// Mounts in the running container `name` of `layout` what its record asks for, and unmounts what it does not.
    /// `lock` is kept meanwhile.
    pub(super) fn set_mounts(
        &self,
        layout: &Layout,
        name: &ContainerName,
        lock: Option<&HostLock>,
    ) -> Result<(), LaunchError> {
        self.send(layout, name, lock, Task::Mount)?.next_report()
    }

    /// Has the network manager of the running container `name` of `layout` read its files anew. `lock` is kept meanwhile.
    pub(super) fn reload_network(
        &self,
        layout: &Layout,
        name: &ContainerName,
        lock: Option<&HostLock>,
    ) -> Result<(), LaunchError> {
        self.send(layout, name, lock, Task::Reload)?.next_report()
    }

    fn send(
        &self,
        layout: &Layout,
        name: &ContainerName,
        lock: Option<&HostLock>,
        task: Task,
    ) -> Result<Launched, LaunchError> {
        let job = Job { root: layout.root().map(Into::into), name: name.clone(), task };
        let (ours, theirs) = UnixStream::pair()?;
        let mut fds = vec![theirs.as_fd()];
        fds.extend(lock.map(|lock| lock.file().as_fd()));
        let socket = self.socket.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        socket.send(&serde_json::to_vec(&job).map_err(io::Error::other)?, &fds)?;
        ours.set_read_timeout(Some(START_DEADLINE))?;
        Ok(Launched { monitor: BufReader::new(ours), name: name.clone() })
    }
}

/// A container that its monitor has prepared.
pub(super) struct Launched {
    monitor: BufReader<UnixStream>,
    name: ContainerName,
}

impl Launched {
    /// Which container it is.
    pub(super) fn name(&self) -> &ContainerName {
        &self.name
    }

    /// Has the init executed; returns when it has been.
    pub(super) fn start(mut self) -> Result<(), LaunchError> {
        self.monitor.get_mut().write_all(GO)?;
        self.next_report()
    }

    fn next_report(&mut self) -> Result<(), LaunchError> {
        let mut line = String::new();
        self.monitor.read_line(&mut line)?;
        if line.is_empty() {
            return Err(io::Error::other("the monitor was killed").into());
        }
        let report: Result<(), StartFailure> = serde_json::from_str(&line).map_err(io::Error::other)?;
        report.map_err(LaunchError::Step)
    }
}

/// Why a container was not started.
#[derive(Debug)]
pub(super) enum LaunchError {
    /// A step of the start failed.
    Step(StartFailure),
    /// Nothing is heard from its monitor.
    Monitor(io::Error),
}

impl From<io::Error> for LaunchError {
    fn from(error: io::Error) -> LaunchError {
        LaunchError::Monitor(error)
    }
}

/// What the client says to have the init executed.
const GO: &[u8] = b"go\n";

/// The client, as the monitor sees it.
pub(super) struct Client(UnixStream);

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Client {
    /// Tells how far the start has come: that all is prepared, then that the init was executed; or what failed.
    pub(super) fn report(&mut self, result: &Result<(), StartFailure>) {
        let mut line = serde_json::to_vec(result).unwrap_or_default();
        line.push(b'\n');
        // A client that was killed does not listen any more.
        let _ = self.0.write_all(&line);
    }

    /// Waits until the client wants the init executed; false if it was killed or gave up.
    pub(super) fn wants_start(&mut self) -> bool {
        let mut said = [0; GO.len()];
        self.0.read_exact(&mut said).is_ok_and(|()| said == GO)
    }
}

/// Moves this process to where monitors live: the end of its caller's group must not be theirs. Returns the host's
/// hierarchies, and the group of version 2 that monitors are to be made in.
fn leave_callers_groups(layout: &Layout) -> Result<(Hierarchies, Option<OwnedFd>), StartFailure> {
    let step = || "cannot enter the group of the monitors".to_owned();
    let hierarchies = Hierarchies::detect(layout.containers()).step(step)?;
    let group = hierarchies.enter_monitors(&group_parent(layout)).step(step)?;
    Ok((hierarchies, group))
}

/// The launcher's whole life.
fn serve(socket: &MessageSocket) -> u8 {
    let _ = set_process_name("fleet:launcher");
    // Ctrl-C on the terminal is the client's to handle: what is being started is finished.
    let _ = rustix::process::setsid();
    // Monitors that end are nobody's concern here.
    let _ = set_children(Children::Forgotten);
    let mut place = None;
    while let Ok(Some(received)) = socket.receive() {
        let Ok(job) = serde_json::from_slice::<Job>(&received.bytes) else { continue };
        let mut fds = received.fds.into_iter();
        let Some(mut client) = fds.next().map(|fd| Client(UnixStream::from(fd))) else { continue };
        let lock = fds.next();
        // Once for all monitors, and not before there is one to fork: who starts nothing makes no group.
        let (hierarchies, group) = match place.take().map_or_else(|| leave_callers_groups(&job.layout()), Ok) {
            Ok(found) => place.insert(found),
            Err(failure) => {
                client.report(&Err(failure));
                continue;
            }
        };
        let request = CloneRequest { namespaces: 0, cgroup: group.as_ref().map(OwnedFd::as_fd) };
        // On failure the closure, and with it the client's socket, is dropped: the client sees it close.
        let _ = clone_into(request, move || match job.task {
            Task::Run => monitor::run(&job, hierarchies, client, lock),
            Task::Mount => remount::run(&job, hierarchies, client, lock.as_ref()),
            Task::Reload => reload::run(&job, hierarchies, client, lock.as_ref()),
        });
    }
    0
}
