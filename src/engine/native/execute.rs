//! Inside a container: the last steps of a process on its way to becoming a command, in order.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use nix::errno::Errno;
use rustix::fs::{Mode, OFlags};

use super::child::guest_environment;
use super::confinement::confine;
use super::enter::{Entrance, OWN_FAILURE};
use super::foreign::pretend;
use super::login::{Login, PLAIN_SHELL};
use super::streams::{FromInside, NotExecuted, Streams, say};
use crate::model::{GuestCommand, Program};
use crate::sys::{MessageSocket, RootDir, become_namespace_root, become_user, close_on_exec_from, default_signals};

/// Exit statuses of a command that was not executed, as shells have them (POSIX, 2.8.2).
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The variable that programs are found by.
const PATH: &str = "PATH";

/// Variables of a process, each once.
#[derive(Default)]
pub(super) struct Environment(Vec<(OsString, OsString)>);

/// Enters the groups that `groups` are the files of, and becomes the command. Returns the exit status of a process that did
/// not get there.
pub(super) fn execute(entrance: &Entrance<'_>, groups: &[File], socket: &MessageSocket) -> u8 {
    let Err(refusal) = become_command(entrance, groups, socket);
    let status = refusal.status;
    // If the caller is gone, nobody is left to tell.
    let _ = say(socket, &FromInside::NotExecuted(refusal), &[]);
    status
}

fn become_command(entrance: &Entrance<'_>, groups: &[File], socket: &MessageSocket) -> Result<Infallible, NotExecuted> {
    let command = entrance.command;
    groups.iter().try_for_each(|mut group| group.write_all(b"0")).map_err(failed("enter the container's groups"))?;
    // A guest may make the steps below wait for ever: from here on signals end this process.
    default_signals().map_err(failed("reset signals"))?;
    rustix::process::setsid().map_err(failed("begin a session"))?;
    become_namespace_root().map_err(failed("become the guest's root"))?;
    let login = Login::look_up(command.user.as_ref()).map_err(|words| refused(OWN_FAILURE, &words))?;
    let make_streams = if entrance.with_terminal { Streams::terminal } else { Streams::pipes };
    let streams = make_streams(socket, &login).map_err(failed("make the standard streams"))?;

    // What no process of the container may have: by what its init may do, not what was asked for since.
    entrance.bounds.apply().map_err(failed("drop capabilities"))?;
    pretend(entrance.arch).map_err(failed("become a process of the container's architecture"))?;
    confine(entrance.security).map_err(failed("become as confined as the container"))?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    become_user(login.uid, login.gid, &login.groups).map_err(failed("become the user"))?;
    change_directory(command, &login)?;
    streams.install().map_err(failed("take the standard streams"))?;
    // No descriptor of the host may outlive this (CVE-2024-21626).
    close_on_exec_from(3).map_err(failed("close the host's descriptors"))?;
    execute_program(command, &login, &environment(entrance, &login))
}

/// The words are cut to what a message surely holds: they may quote the caller's or the guest's at any length.
fn refused(status: u8, words: &str) -> NotExecuted {
    NotExecuted { status, words: words.chars().take(1000).collect(), is_full: false }
}

fn failed<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> NotExecuted {
    let what = what.to_owned();
    move |error| refused(OWN_FAILURE, &format!("cannot {what}: {error}"))
}

/// Goes to the directory that was asked for, else to the user's home. A link of the guest's to what this process
/// has open, through `/proc`, is not followed: it would lead out (CVE-2024-21626).
fn change_directory(command: &GuestCommand, login: &Login) -> Result<(), NotExecuted> {
    let change = |path: &Path| -> io::Result<()> {
        let directory = RootDir::open(Path::new("/"))?.open_at(path, OFlags::PATH | OFlags::DIRECTORY)?;
        Ok(rustix::process::fchdir(directory)?)
    };
    match &command.directory {
        Some(path) => change(path).map_err(failed(&format!("change to the directory `{}`", path.display()))),
        None => change(Path::new(&login.home)).or_else(|_| change(Path::new("/"))).map_err(failed("change to `/`")),
    }
}

/// What every command gets, what belongs to its user, and what was asked for; the last word counts.
fn environment(entrance: &Entrance<'_>, login: &Login) -> Environment {
    let mut environment = Environment(Vec::new());
    for text in guest_environment() {
        let (key, value) = text.split_once('=').expect("each is a variable and its value");
        environment.set(key.into(), value.into());
    }
    if entrance.with_terminal
        && let Some(term) = std::env::var_os("TERM")
    {
        environment.set("TERM".into(), term);
    }
    environment.set("HOME".into(), login.home.clone());
    environment.set("SHELL".into(), login.shell.clone());
    if let Some(name) = &login.name {
        environment.set("USER".into(), name.clone());
        environment.set("LOGNAME".into(), name.clone());
    }
    for (key, value) in &entrance.command.environment {
        environment.set(key.clone(), value.clone());
    }
    environment
}

impl Environment {
    pub(super) fn set(&mut self, key: OsString, value: OsString) {
        self.0.retain(|(other, _)| *other != key);
        self.0.push((key, value));
    }

    fn get(&self, key: &str) -> &OsStr {
        self.0.iter().find(|(other, _)| other == key).map(|(_, value)| value.as_os_str()).unwrap_or_default()
    }

    fn to_texts(&self) -> Result<Vec<CString>, NotExecuted> {
        self.0.iter().map(|(key, value)| c_text(&[key.as_bytes(), b"=", value.as_bytes()])).collect()
    }
}

fn execute_program(
    command: &GuestCommand,
    login: &Login,
    environment: &Environment,
) -> Result<Infallible, NotExecuted> {
    match &command.program {
        Program::Words(words) => Err(execute_words(words, environment)?),
        Program::LoginShell => {
            let texts = environment.to_texts()?;
            // Each under its own name: a shell that is missing is replaced, one that cannot be executed is not.
            let refusal = login_shell(&login.shell, &texts)?;
            if refusal.status == NOT_FOUND { Err(login_shell(OsStr::new(PLAIN_SHELL), &texts)?) } else { Err(refusal) }
        }
    }
}

/// Executes the program that is the first of `words`, found by the `PATH` of `environment`; returns why it was not.
pub(super) fn execute_words(words: &[OsString], environment: &Environment) -> Result<NotExecuted, NotExecuted> {
    let texts = environment.to_texts()?;
    let arguments: Vec<CString> = words.iter().map(|word| c_text(&[word.as_bytes()])).collect::<Result<_, _>>()?;
    let program = words.first().map(OsString::as_os_str).unwrap_or_default();
    Ok(first_of(&candidates(program, environment.get(PATH)), program, &arguments, &texts))
}

/// Executes `shell` as a login shell, which it knows by the `-` before its name (login(1)).
fn login_shell(shell: &OsStr, environment: &[CString]) -> Result<NotExecuted, NotExecuted> {
    let name = Path::new(shell).file_name().unwrap_or(shell);
    let argument = c_text(&[b"-", name.as_bytes()])?;
    Ok(first_of(&[shell.to_owned()], shell, &[argument], environment))
}

/// Executes the first of `candidates` that is there; returns why none was.
fn first_of(candidates: &[OsString], program: &OsStr, arguments: &[CString], environment: &[CString]) -> NotExecuted {
    let mut error = Errno::ENOENT;
    for candidate in candidates {
        let Ok(candidate) = c_text(&[candidate.as_bytes()]) else { continue };
        let Err(refusal) = nix::unistd::execve(&candidate, arguments, environment);
        if !matches!(refusal, Errno::ENOENT | Errno::ENOTDIR) {
            error = refusal;
        }
    }
    let status = if error == Errno::ENOENT { NOT_FOUND } else { NOT_EXECUTABLE };
    let words = format!("cannot execute `{}` in the container: {}", program.display(), error.desc());
    refused(status, &words)
}

/// Where a program may be: itself if it names a directory, else each directory of `path`.
fn candidates(program: &OsStr, path: &OsStr) -> Vec<OsString> {
    if program.as_bytes().contains(&b'/') {
        return vec![program.to_owned()];
    }
    let directories = path.as_bytes().split(|byte| *byte == b':').filter(|directory| !directory.is_empty());
    directories.map(|directory| OsString::from_vec([directory, b"/", program.as_bytes()].concat())).collect()
}

fn c_text(parts: &[&[u8]]) -> Result<CString, NotExecuted> {
    CString::new(parts.concat()).map_err(|_| refused(OWN_FAILURE, "cannot pass on a text with a NUL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_in_its_own_path() {
        let found = |program: &str, path: &str| candidates(OsStr::new(program), OsStr::new(path));
        assert_eq!(found("ls", "/sbin::/bin"), ["/sbin/ls", "/bin/ls"]);
        assert_eq!(found("./ls", "/sbin:/bin"), ["./ls"]);
    }

    #[test]
    fn the_last_word_on_a_variable_counts() {
        let mut environment = Environment(Vec::new());
        environment.set("A".into(), "1".into());
        environment.set("A".into(), "2".into());
        assert_eq!(environment.get("A"), "2");
        assert_eq!(environment.to_texts(), Ok(vec![c"A=2".to_owned()]));
    }
}
