//! The first process of a container whose program is no init: it starts the program, takes in processes that lose their
//! parents, passes signals on, and ends with the program's status, which ends everything else in the container.
//!
//! It is this program, forked and never executed anew, so that the image needs nothing for it. What it is made of belongs to
//! the host: its memory has the host's user namespace for an owner and may not be dumped, so that nobody inside, not
//! even root, may trace it, or get at its memory, its environment or its executable through `/proc/1` (ptrace(2),
//! `PTRACE_MODE_READ`; CVE-2019-5736). A privileged container, whose root is the host's, gets none.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use rustix::fs::OFlags;
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, pidfd_open, pidfd_send_signal, set_dumpable_behavior};

use super::child::{FromChild, guest_environment};
use super::execute::{Environment, execute_words};
use super::failure::{StartFailure, Step as _};
use super::login::Login;
use crate::model::{Entrypoint, StopSignal, UserChoice};
use crate::sys::{
    MessageSocket, RootDir, become_user, close_all_except, close_on_exec_from, default_signals, exit_now, fork,
    give_back_memory, set_process_name, signal_real_time,
};

/// The status of a program that a signal ended, less the signal's number, as shells have it.
const SIGNALLED: u8 = 128;

/// Runs `entrypoint` as the calling process's child, and ends when it has. Returns only if nothing of it was begun. Keeps
/// the end `console` of the console open: the program's is the other one, which else would die with a monitor that is killed.
pub(super) fn attend(
    entrypoint: &Entrypoint,
    socket: &MessageSocket,
    console: &OwnedFd,
) -> Result<Infallible, StartFailure> {
    forget_command_line().step(|| "cannot hide fleet's own command line".to_owned())?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).step(|| "cannot hide fleet's own memory".to_owned())?;
    set_process_name("init").step(|| "cannot take the name of an init".to_owned())?;
    // From here on they wait to be asked for: a signal that is blocked is not lost even to a namespace's first process.
    SigSet::all().thread_set_mask().step(|| "cannot block signals".to_owned())?;
    let message = serde_json::to_vec(&FromChild::Executing).step(|| "cannot go on with the start".to_owned())?;
    socket.send(&message, &[]).step(|| "cannot go on with the start".to_owned())?;
    let program = fork(|| begin(entrypoint, socket)).step(|| "cannot make a process in the container".to_owned())?;
    let status = watch(program, entrypoint.stop_signal, console).unwrap_or(SIGNALLED);
    // Whatever this process was forked with is not its own to drop.
    exit_now(status)
}

/// Waits for the program `pid` and for all that become children of this process.
fn watch(program: Pid, stop_signal: StopSignal, console: &OwnedFd) -> io::Result<u8> {
    // The socket too: the monitor sees by its end that the program has been executed.
    close_all_except(&[console.as_fd()])?;
    let pidfd = pidfd_open(program, PidfdFlags::empty())?;
    give_back_memory();
    let program = nix::unistd::Pid::from_raw(program.as_raw_nonzero().get());
    loop {
        if let Some(status) = reap(program)? {
            return Ok(status);
        }
        // A signal that nix has no name for, a real-time one, is not for the program.
        match SigSet::all().wait() {
            Ok(Signal::SIGTERM) => ask_to_end(&pidfd, stop_signal),
            Ok(Signal::SIGCHLD) | Err(_) => {}
            Ok(signal) => pass_on(&pidfd, signal),
        }
    }
}

/// Takes note of all children that have ended; the status of `program` if it is one of them.
fn reap(program: nix::unistd::Pid) -> io::Result<Option<u8>> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(pid, status) if pid == program => {
                return Ok(Some(u8::try_from(status & 0xff).unwrap_or(u8::MAX)));
            }
            WaitStatus::Signaled(pid, signal, _) if pid == program => {
                return Ok(Some(SIGNALLED + u8::try_from(signal as i32).unwrap_or_default()));
            }
            WaitStatus::StillAlive => return Ok(None),
            _ => {}
        }
    }
}

fn ask_to_end(pidfd: &OwnedFd, stop_signal: StopSignal) {
    // One that has ended needs none.
    match stop_signal {
        StopSignal::RealTime(offset) => {
            let _ = signal_real_time(pidfd.as_fd(), offset.into());
        }
        StopSignal::Standard(number) => {
            if let Some(signal) = rustix::process::Signal::from_named_raw(number.into()) {
                let _ = pidfd_send_signal(pidfd, signal);
            }
        }
    }
}

fn pass_on(pidfd: &OwnedFd, signal: Signal) {
    if let Some(signal) = rustix::process::Signal::from_named_raw(signal as i32) {
        let _ = pidfd_send_signal(pidfd, signal);
    }
}

/// Overwrites what `/proc/1/cmdline` and `/proc/1/environ` are read from (`proc_pid_stat(5)`, fields 48 to 51): they are
/// about the host. Only a process that may be dumped can open its own memory by its name there.
fn forget_command_line() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = stat.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    let addresses: Vec<u64> =
        rest.split_ascii_whitespace().skip(45).take(4).filter_map(|field| field.parse().ok()).collect();
    let &[arguments, arguments_end, environment, environment_end] = addresses.as_slice() else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let mut memory = OpenOptions::new().write(true).open("/proc/self/mem")?;
    for (begin, end) in [(arguments, arguments_end), (environment, environment_end)] {
        memory.seek(SeekFrom::Start(begin))?;
        memory.write_all(&vec![0; usize::try_from(end.saturating_sub(begin)).unwrap_or_default()])?;
    }
    Ok(())
}

/// Becomes the program. Returns the exit status of a process that did not get there.
fn begin(entrypoint: &Entrypoint, socket: &MessageSocket) -> u8 {
    let Err(failure) = become_program(entrypoint);
    let message = serde_json::to_vec(&FromChild::Failed(failure)).unwrap_or_default();
    // If the monitor is gone too, nobody is left to tell.
    let _ = socket.send(&message, &[]);
    1
}

fn become_program(entrypoint: &Entrypoint) -> Result<Infallible, StartFailure> {
    let step = || format!("cannot execute `{}`", entrypoint.words.first().map_or("", String::as_str));
    default_signals().step(step)?;
    rustix::process::setsid().step(step)?;
    // What is typed at the console, Ctrl-C too, is for the program.
    rustix::process::ioctl_tiocsctty(rustix::stdio::stdin()).step(step)?;
    let user = entrypoint.user.as_deref().map(str::parse::<UserChoice>).transpose().step(step)?;
    let login = Login::look_up(user.as_ref()).step(step)?;
    if let Some(directory) = &entrypoint.directory {
        change_directory(directory).step(|| format!("cannot change to the directory `{}`", directory.display()))?;
    }
    become_user(login.uid, login.gid, &login.groups).step(step)?;
    // No descriptor of the host may outlive this (CVE-2024-21626).
    close_on_exec_from(3).step(step)?;
    let environment = environment(entrypoint, &login);
    let words: Vec<OsString> = entrypoint.words.iter().map(OsString::from).collect();
    let refusal = execute_words(&words, &environment).unwrap_or_else(|refusal| refusal);
    Err(refusal.words).step(|| "cannot start its program".to_owned())
}

/// Goes to `path`, which is made if it is not there, as other runtimes do. No link of the guest's leads out.
fn change_directory(path: &Path) -> io::Result<()> {
    let root = RootDir::open(Path::new("/"))?;
    root.create_dir_all(path, 0o755, 0, 0)?;
    Ok(rustix::process::fchdir(root.open_at(path, OFlags::PATH | OFlags::DIRECTORY)?)?)
}

/// What every first process gets, and what the image says, which counts.
fn environment(entrypoint: &Entrypoint, login: &Login) -> Environment {
    let mut environment = Environment::default();
    let texts = guest_environment().into_iter().map(str::to_owned);
    for text in texts.chain(entrypoint.environment.iter().cloned()) {
        if let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) {
            environment.set(key.into(), value.into());
        }
    }
    if !entrypoint.environment.iter().any(|text| text.starts_with("HOME=")) {
        environment.set("HOME".into(), login.home.clone());
    }
    environment
}
