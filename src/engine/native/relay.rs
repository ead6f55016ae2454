//! Bytes passed on between descriptors until a process has ended.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{SeekFrom, seek};

/// How much is read at once, in bytes.
const PIECE: usize = 16 << 10;

/// How much a pipe that can be written to has room for at least, in bytes (`PIPE_BUF`).
const ATOMIC: usize = 4096;

/// End of transmission: what a terminal takes for the end of its input at the beginning of a line (termios(3), VEOF).
const END_OF_INPUT: u8 = 4;

/// One direction: what is read from one descriptor is written to another.
pub(super) struct Pump {
    kind: PumpKind,
    /// Open until nobody reads any more.
    from: Option<OwnedFd>,
    /// Whether everything was read.
    is_at_end: bool,
    /// Open until nobody reads any more, or everything is written.
    to: Option<OwnedFd>,
    /// What is read and not yet written.
    pending: Vec<u8>,
    /// What was read last.
    last: u8,
    /// The end that the process reads from, where what it did not read is to be given back.
    theirs: Option<OwnedFd>,
}

/// What a pump carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PumpKind {
    /// What the user gives to a pipe: of no use once the process has ended.
    Input,
    /// The same, to a terminal, which does not notice that its other end was closed.
    TerminalInput,
    /// What the process wrote: passed on to the last byte.
    Output,
}

impl Pump {
    pub(super) fn new(from: OwnedFd, to: OwnedFd, kind: PumpKind) -> io::Result<Pump> {
        match kind {
            // A process that does not read its input must not hold up what it writes.
            PumpKind::Input | PumpKind::TerminalInput => rustix::io::ioctl_fionbio(&to, true)?,
            PumpKind::Output => rustix::io::ioctl_fionbio(&from, true)?,
        }
        let (from, to, pending) = (Some(from), Some(to), Vec::new());
        Ok(Pump { kind, from, is_at_end: false, to, pending, last: b'\n', theirs: None })
    }

    /// Input to a pipe whose other end is `theirs`: what the process did not read is given back to `from`.
    pub(super) fn returning(from: OwnedFd, to: OwnedFd, theirs: OwnedFd) -> io::Result<Pump> {
        Ok(Pump { theirs: Some(theirs), ..Pump::new(from, to, PumpKind::Input)? })
    }

    /// What it waits for: room for what is pending, else something to read.
    fn waits_for(&self) -> Option<PollFd<'_>> {
        let to = self.to.as_ref()?;
        if !self.pending.is_empty() {
            return Some(PollFd::new(to, PollFlags::OUT));
        }
        let from = self.from.as_ref().filter(|_| !self.is_at_end)?;
        Some(PollFd::new(from, PollFlags::IN))
    }

    /// Passes a piece on, being ready for it; true if there was something.
    fn step(&mut self) -> io::Result<bool> {
        if self.pending.is_empty() {
            if !self.read()? {
                return Ok(false);
            }
        } else {
            self.write()?;
        }
        if self.is_at_end && self.pending.is_empty() {
            self.to = None;
        }
        Ok(true)
    }

    /// Reads a piece; false if there is none for now.
    fn read(&mut self) -> io::Result<bool> {
        let Some(from) = &self.from else { return Ok(false) };
        self.pending.resize(PIECE, 0);
        let read = rustix::io::read(from, &mut self.pending);
        self.pending.truncate(*read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => self.end(),
            Ok(_) => self.last = self.pending.last().copied().unwrap_or(self.last),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return Ok(false),
            // EIO: nobody has the other end of a terminal open any more. Input that cannot be read has ended too.
            Err(error) if error == rustix::io::Errno::IO || self.kind != PumpKind::Output => self.end(),
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    fn end(&mut self) {
        self.is_at_end = true;
        if self.kind == PumpKind::TerminalInput {
            // In the middle of a line the first one only ends the line.
            let times = if self.last == b'\n' { 1 } else { 2 };
            self.pending = vec![END_OF_INPUT; times];
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let Some(to) = &self.to else { return Ok(()) };
        // Where the other end is the user's, which may block, no more than there surely is room for.
        let length = if self.kind == PumpKind::Output { self.pending.len().min(ATOMIC) } else { self.pending.len() };
        match rustix::io::write(to, &self.pending[..length]) {
            Ok(count) => drop(self.pending.drain(..count)),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            // Nobody reads: whoever writes is to notice it too, so both ends are closed.
            Err(rustix::io::Errno::PIPE | rustix::io::Errno::IO) => {
                (self.from, self.to) = (None, None);
                self.pending.clear();
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Puts a file that input was read from back to where the process stopped reading, as if it had had the file
    /// itself: a shell's loop may go on reading it. What cannot be rewound is left as it is.
    fn give_back(&self) {
        if let (Some(from), Some(theirs)) = (&self.from, &self.theirs) {
            let unread = self.pending.len() as u64 + rustix::io::ioctl_fionread(theirs).unwrap_or(0);
            if let Ok(unread @ 1..) = i64::try_from(unread) {
                let _ = seek(from, SeekFrom::Current(-unread));
            }
        }
    }

    fn has_output(&self) -> bool {
        self.kind == PumpKind::Output && !self.pending.is_empty()
    }
}

/// Writes all of `bytes`.
pub(super) fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Runs `pumps` until the process behind `pidfd` has ended and what it wrote is passed on. `wake` is a descriptor that
/// `woken` is called for whenever it can be read.
pub(super) fn relay(
    mut pumps: Vec<Pump>,
    pidfd: &OwnedFd,
    wake: BorrowedFd<'_>,
    mut woken: impl FnMut(),
) -> io::Result<()> {
    let mut is_over = false;
    loop {
        // When it is over only what lies ready is passed on: something it left behind may keep its streams open.
        let at_once = is_over && !pumps.iter().any(Pump::has_output);
        let (ready, waiting) = wait(&pumps, pidfd, wake, at_once)?;
        if ready[1] {
            woken();
        }
        let mut had_output = false;
        for (index, is_ready) in waiting.into_iter().zip(&ready[2..]) {
            let pump = &mut pumps[index];
            if *is_ready && !(is_over && pump.kind != PumpKind::Output) {
                had_output |= pump.step()? && pump.kind == PumpKind::Output;
            }
        }
        if is_over && !had_output && !pumps.iter().any(Pump::has_output) {
            pumps.iter().for_each(Pump::give_back);
            return Ok(());
        }
        is_over = ready[0];
    }
}

/// Waits until something can be done; tells what of process, `wake` and the waiting pumps is ready, and which pumps
/// these are.
fn wait(pumps: &[Pump], pidfd: &OwnedFd, wake: BorrowedFd<'_>, at_once: bool) -> io::Result<(Vec<bool>, Vec<usize>)> {
    let mut fds = vec![PollFd::new(pidfd, PollFlags::IN), PollFd::from_borrowed_fd(wake, PollFlags::IN)];
    let mut waiting = Vec::new();
    for (index, pump) in pumps.iter().enumerate() {
        if let Some(fd) = pump.waits_for() {
            waiting.push(index);
            fds.push(fd);
        }
    }
    let timeout = at_once.then_some(Timespec { tv_sec: 0, tv_nsec: 0 });
    match poll(&mut fds, timeout.as_ref()) {
        Ok(_) => {}
        Err(rustix::io::Errno::INTR) => fds.iter_mut().for_each(PollFd::clear_revents),
        Err(error) => return Err(error.into()),
    }
    Ok((fds.iter().map(|fd| !fd.revents().is_empty()).collect(), waiting))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Seek as _, Write as _};
    use std::os::fd::AsFd as _;
    use std::process::Command;

    use rustix::pipe::{PipeFlags, pipe_with};
    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    /// Runs `script` with `input` passed on to its standard input; what it wrote.
    fn relayed(script: &str, input: OwnedFd) -> Vec<u8> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
        let ((stdin, to_stdin), (from_stdout, stdout), (output, to_output), (never, _open)) =
            (pipe(), pipe(), pipe(), pipe());
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdin(stdin.try_clone().expect("cloned"))
            .stdout(stdout)
            .spawn()
            .expect("sh is there");
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).expect("it is not waited for");
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            File::from(output).read_to_end(&mut bytes).expect("readable");
            bytes
        });
        let pumps = vec![
            Pump::returning(input, to_stdin, stdin).expect("a pump"),
            Pump::new(from_stdout, to_output, PumpKind::Output).expect("a pump"),
        ];
        relay(pumps, &pidfd, never.as_fd(), || {}).expect("relayed");
        child.wait().expect("ended");
        reader.join().expect("read")
    }

    fn file_with(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file.rewind().expect("rewound");
        file
    }

    #[test]
    fn both_directions_flow_at_the_same_time_without_loss() {
        let bytes: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
        // More than the pipes hold: a relay that waited for one direction would wait for ever.
        assert!(relayed("cat", file_with(&bytes).into()) == bytes);
    }

    #[test]
    fn input_that_was_not_read_is_left_in_its_file() {
        let mut file = file_with(b"one\ntwo\nthree\n");
        assert_eq!(relayed("read line; echo $line", file.try_clone().expect("cloned").into()), b"one\n");
        let mut rest = String::new();
        file.read_to_string(&mut rest).expect("readable");
        assert_eq!(rest, "two\nthree\n");
    }
}
