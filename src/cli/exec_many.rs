//! One command in many containers at the same time.

use std::ffi::OsStr;
use std::io::{self, IsTerminal, Read, Write};
use std::num::NonZeroUsize;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;

use super::error::CliError;
use super::exec::ExecArguments;
use super::forwarding::Forwarding;
use super::global::Session;
use crate::model::ContainerName;
use crate::report::{Console, Format, GuestText, Palette, Sink};

/// So many bytes of each stream are kept for JSON; the rest is read and dropped.
const MOST_KEPT: u64 = 16 << 20;

/// So many bytes are read at a time.
const PIECE: usize = 16 << 10;

/// The exit status that tells that fleet itself failed, as in env(1).
const OWN_FAILURE: u8 = 125;

/// The document of `fleet exec`.
#[derive(Debug, Serialize)]
pub(super) struct ExecJson {
    pub(super) results: Vec<ExecResult>,
}

/// What came of the command in one container.
#[derive(Debug, Serialize)]
pub(super) struct ExecResult {
    pub(super) name: ContainerName,
    pub(super) status: u8,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Everything that is the same for all the containers.
struct Many<'a> {
    session: &'a Session,
    arguments: &'a ExecArguments,
    /// This program, to be run once more for each: entering a container takes a process with one thread.
    program: &'a OsStr,
    /// Of the longest name.
    width: usize,
    forwarding: Forwarding,
}

/// Runs the command in each of `names`, at most `--jobs` at a time; what fails in one does not stop it in the others.
pub(super) fn exec_many(
    session: &Session,
    names: &[ContainerName],
    arguments: &ExecArguments,
) -> Result<Vec<ExecResult>, CliError> {
    let program = std::env::current_exe().map_err(|source| CliError::io("cannot find this program", &source))?;
    let forwarding = Forwarding::begin().map_err(|source| CliError::io("cannot listen for signals", &source))?;
    let width = names.iter().map(|name| name.as_str().len()).max().unwrap_or(0);
    let many = Many { session, arguments, program: program.as_os_str(), width, forwarding };
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<ExecResult>>> = names.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(name) = names.get(index) else { return };
            *results[index].lock().expect("no holder panics") = Some(many.exec_one(name));
        }
    };
    let workers = NonZeroUsize::new(session.jobs.min(names.len())).map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    Ok(results.into_iter().filter_map(|slot| slot.into_inner().expect("no holder panics")).collect())
}

impl Many<'_> {
    fn exec_one(&self, name: &ContainerName) -> ExecResult {
        let (status, stdout, stderr) = self.run(name).unwrap_or_else(|error| {
            let words = format!("error: cannot run this program once more: {error}\n");
            match self.session.console.format {
                Format::Json => (OWN_FAILURE, String::new(), words),
                Format::Text => {
                    pass_on(words.as_bytes(), &self.prefix(name), io::stderr(), self.session.console.stderr);
                    (OWN_FAILURE, String::new(), String::new())
                }
            }
        });
        ExecResult { name: name.clone(), status, stdout, stderr }
    }

    fn run(&self, name: &ContainerName) -> io::Result<(u8, String, String)> {
        let mut child = match self.forwarding.spawn(&mut self.child(name))? {
            Ok(child) => child,
            // It came before this one's turn: nothing was begun.
            Err(signal) => return Ok((128 + signal, String::new(), String::new())),
        };
        let (stdout, stderr) = read_both(&mut child, self.session.console, &self.prefix(name));
        Ok((status_of(child.wait()?), stdout, stderr))
    }

    fn prefix(&self, name: &ContainerName) -> String {
        format!("{name:<width$} | ", width = self.width)
    }

    fn child(&self, name: &ContainerName) -> Command {
        let mut child = Command::new(self.program);
        if let Some(root) = &self.session.root {
            child.arg("--root").arg(root);
        }
        let how = &self.arguments.how;
        child.args(["--output", "text", "exec", name.as_str(), "--no-tty"]);
        if let Some(user) = &how.user {
            child.arg("--user").arg(user.to_string());
        }
        if let Some(directory) = &how.workdir {
            child.arg("--workdir").arg(directory);
        }
        for variable in &how.env {
            child.arg("--env").arg(variable);
        }
        child.arg("--").args(&self.arguments.command);
        // A group of its own: what is typed at the terminal comes once, passed on by this process.
        child.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        child
    }
}

/// Both streams to their ends: as text for JSON, or passed on line by line.
fn read_both(child: &mut Child, console: Console, prefix: &str) -> (String, String) {
    let stdout = child.stdout.take().expect("it was made with a pipe");
    let stderr = child.stderr.take().expect("it was made with a pipe");
    thread::scope(|scope| match console.format {
        Format::Json => {
            let errors = scope.spawn(|| keep(stderr));
            (keep(stdout), errors.join().expect("reading does not panic"))
        }
        Format::Text => {
            let errors = scope.spawn(|| pass_on(stderr, prefix, io::stderr(), console.stderr));
            pass_on(stdout, prefix, io::stdout(), console.stdout);
            errors.join().expect("reading does not panic");
            (String::new(), String::new())
        }
    })
}

fn keep(mut stream: impl Read) -> String {
    let mut bytes = Vec::new();
    // What cannot be read any more is not there: the status tells whether the command failed.
    let _ = stream.by_ref().take(MOST_KEPT).read_to_end(&mut bytes);
    let _ = io::copy(&mut stream, &mut io::sink());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Writes the lines of `stream` to `to`, each in one piece with `prefix` before and a line end behind it. A terminal gets
/// no orders from guests, which could give themselves out for others by them.
fn pass_on(stream: impl Read, prefix: &str, to: impl Write + IsTerminal, palette: Palette) {
    let sink = Sink::of(&to, palette);
    pass_lines(stream, GuestText::new(Some(prefix.to_owned()), sink), to);
}

fn pass_lines(mut stream: impl Read, mut text: GuestText, mut to: impl Write) {
    let mut piece = vec![0; PIECE];
    // Of a stream that nobody takes any more the rest is read all the same: the command is to go on.
    let mut write = |lines: &[u8]| {
        // One by one, so that those of other streams come between them and not into them.
        lines.split_inclusive(|byte| *byte == b'\n').for_each(|line| drop(to.write_all(line)));
    };
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => write(&text.pass(&piece[..length])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    write(&text.finish());
}

/// 128 plus the signal's number for a process that a signal ended, as in a shell.
fn status_of(ended: ExitStatus) -> u8 {
    let status = ended.code().or(ended.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(status).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(stream: &[u8], sink: Sink) -> String {
        let mut written = Vec::new();
        pass_lines(stream, GuestText::new(Some("a | ".to_owned()), sink), &mut written);
        String::from_utf8(written).expect("text")
    }

    #[test]
    fn every_line_has_the_prefix_and_an_end() {
        assert_eq!(passed(b"one\n\ntwo", Sink::Raw), "a | one\na | \na | two\n");
    }

    #[test]
    fn a_pipe_gets_what_was_printed_and_a_terminal_no_orders() {
        let forged = b"\r\x1b[2Kb | ok\n";
        assert_eq!(passed(forged, Sink::Raw), "a | \r\x1b[2Kb | ok\n");
        assert_eq!(passed(forged, Sink::Terminal(Palette::Plain)), "a | ^M^[[2Kb | ok\n");
    }

    #[test]
    fn a_signal_shows_in_the_status_as_in_a_shell() {
        assert_eq!(status_of(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(status_of(ExitStatus::from_raw(9)), 137);
    }
}
