//! Has systemd-networkd, where it runs in a guest, read anew what is written of the guest's links. It would otherwise give
//! a link that loses its carrier and gets it back what it read when it started: the address that the link had then.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitOptions, pidfd_send_signal, waitpid};

use super::cgroup::Hierarchies;
use super::enter::{Way, enter_and_wait};
use super::exec::entrance;
use super::failure::{StartFailure, Step as _};
use super::launcher::{Client, Job};
use super::machine_with;
use super::remount::prepare;
use super::run_state::RunFile;
use super::signals::Signals;
use super::start::Machine;
use super::stop::wait_for_end;
use crate::model::{GuestCommand, InitKind, Program, TerminalUse};
use crate::sys::{Cloned, MessageSocket};

/// How long the guest may make it take. It is the guest's own loss.
const DEADLINE: Duration = Duration::from_secs(5);

/// Does it for the container that `job` names, and tells `client` when it is done. Returns an exit status. `lock` is the
/// host's lock.
pub(super) fn run(job: &Job, hierarchies: &Hierarchies, mut client: Client, lock: Option<&OwnedFd>) -> u8 {
    let done = prepare(&client, lock).and_then(|()| {
        let step = || format!("cannot read the record of `{}`", job.name);
        reload(&machine_with(&job.layout(), &job.name, hierarchies).step(step)?)
    });
    client.report(&done);
    u8::from(done.is_err())
}

/// What comes of the command is nobody's concern: most guests have neither it nor whom it speaks to.
fn reload(machine: &Machine) -> Result<(), StartFailure> {
    let step = || "cannot run a command in the guest".to_owned();
    let Some(state) = RunFile::load_running(&machine.paths.run_state()).step(step)? else { return Ok(()) };
    if state.init_kind != Some(InitKind::Systemd) || machine.group.is_frozen() {
        return Ok(());
    }
    let command = GuestCommand {
        program: Program::Words(["networkctl", "reload"].map(Into::into).to_vec()),
        user: None,
        directory: Some("/".into()),
        environment: Vec::new(),
        terminal: TerminalUse::Never,
    };
    // One that has ended meanwhile reads its files when it starts.
    let Ok(entrance) = entrance(machine, &state, &command) else { return Ok(()) };
    let _signals = Signals::block().step(step)?;
    let (ours, theirs) = MessageSocket::pair().step(step)?;
    let inside = machine.group.fork_inside(|| enter_and_wait(&entrance, Way::Made, &theirs)).step(step)?;
    drop(theirs);
    let Cloned { pid, pidfd } = inside;
    // Its streams are open as long as it runs: a program that cannot write may give up.
    let streams = receive(&ours);
    let _ = wait_for_end(pidfd.as_fd(), DEADLINE);
    drop(streams);
    let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    let _ = wait_for_end(pidfd.as_fd(), DEADLINE);
    let _ = waitpid(Some(pid), WaitOptions::NOHANG);
    Ok(())
}

/// The other ends of the command's streams, if it got so far.
fn receive(socket: &MessageSocket) -> Option<Vec<OwnedFd>> {
    let timeout = Timespec::try_from(DEADLINE).ok()?;
    match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout)) {
        Ok(1..) => socket.receive().ok()?.map(|received| received.fds),
        Ok(0) | Err(_) => None,
    }
}
