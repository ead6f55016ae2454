//! The process that looks after one running container: parent of its init, keeper of its console, the one who starts
//! it again when the guest reboots or its restart policy says so, and who cleans up behind it. One thread, no runtime.

use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::adopt::{kept_console, reopen_console};
use super::backoff::Backoff;
use super::cgroup::{Hierarchies, to_keep_open};
use super::console::Console;
use super::failure::{StartFailure, Step as _};
use super::launcher::{Client, Job};
use super::run_state::{ProcessId, RunFile};
use super::start::{Machine, Ready, Started, prepare};
use super::stop_sign::StopSign;
use super::{cleanup, ended, machine_with};
use crate::model::{self, Ending, LastExit};
use crate::store::{Layout, boot_id, write_volatile};
use crate::sys::{Children, close_all_except, give_back_memory, keep_capabilities, set_children, set_process_name};

/// Runs the container that `job` names, or goes on with it if its init runs and its monitor was killed; returns when
/// it is down for good. `hierarchies` are the host's. `client` hears how that begins, and says when the init is to be executed. `lock` is the host's
/// lock: while it is open, nobody takes a half-started container for a broken one.
pub(super) fn run(job: &Job, hierarchies: &Hierarchies, mut client: Client, lock: Option<OwnedFd>) -> u8 {
    let begun = Monitor::new(job, hierarchies, &client, lock.as_ref()).and_then(|monitor| monitor.begin(&mut client));
    let (mut monitor, mut init) = match begun {
        Ok(Some(begun)) => begun,
        Ok(None) => return 1,
        Err(failure) => {
            client.report(&Err(failure));
            return 1;
        }
    };
    client.report(&Ok(()));
    drop((client, lock));
    loop {
        let ending = monitor.watch(&init);
        match monitor.start_again(ending, init.since.elapsed()) {
            Some(next) => init = next,
            None => break,
        }
    }
    u8::from(cleanup(&monitor.machine).is_err())
}

/// How long a container runs before its monitor gives back the memory that it needed to start it.
const SETTLING: Duration = Duration::from_secs(1);

struct Monitor<'a> {
    layout: Layout,
    hierarchies: &'a Hierarchies,
    machine: Machine,
    console: Console,
    stop_sign: StopSign,
    backoff: Backoff,
}

/// The init that a monitor looks after.
struct Init {
    id: ProcessId,
    pidfd: OwnedFd,
    kinship: Kinship,
    since: Instant,
}

/// What an init is to its monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kinship {
    /// Its child.
    Child,
    /// The child of a monitor that was killed, and since then of the host's init.
    Adopted,
}

impl<'a> Monitor<'a> {
    /// Makes this process a monitor: nothing of the caller's terminal, directory, descriptors or name is kept but
    /// `client` and `lock`.
    fn new(
        job: &Job,
        hierarchies: &'a Hierarchies,
        client: &Client,
        lock: Option<&OwnedFd>,
    ) -> Result<Monitor<'a>, StartFailure> {
        let step = || "cannot become a monitor".to_owned();
        let kept: Vec<BorrowedFd<'_>> =
            [client.as_fd()].into_iter().chain(lock.map(OwnedFd::as_fd)).chain(to_keep_open()).collect();
        close_all_except(&kept).step(step)?;
        set_children(Children::Waited).step(step)?;
        rustix::process::setsid().step(step)?;
        rustix::process::chdir("/").step(step)?;
        rustix::process::umask(rustix::fs::Mode::empty());
        set_process_name(&format!("fleet:{}", job.name)).step(step)?;
        let null = fs::File::options().read(true).write(true).open("/dev/null").step(step)?;
        rustix::stdio::dup2_stdin(&null).step(step)?;
        rustix::stdio::dup2_stdout(&null).step(step)?;
        rustix::stdio::dup2_stderr(&null).step(step)?;
        keep_capabilities().step(step)?;
        let stop_sign = StopSign::look_out().step(step)?;
        let layout = job.layout();
        let machine = machine_with(&layout, &job.name, hierarchies)
            .step(|| format!("cannot read the record of `{}`", job.name))?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(machine.paths.run()).step(step)?;
        let console = Console::new(&machine.paths);
        Ok(Monitor { layout, hierarchies, machine, console, stop_sign, backoff: Backoff::new() })
    }

    /// The first run: a start, unless the container runs already. `None` if the client gave it up.
    fn begin(mut self, client: &mut Client) -> Result<Option<(Monitor<'a>, Init)>, StartFailure> {
        let step = || "cannot find out whether the container runs".to_owned();
        if let Some(state) = RunFile::load_running(&self.machine.paths.run_state()).step(step)? {
            client.report(&Ok(()));
            client.wants_start();
            let init = self.adopt(state)?;
            return Ok(Some((self, init)));
        }
        let begun = prepare(&self.machine).and_then(|ready| {
            client.report(&Ok(()));
            if client.wants_start() {
                return self.execute(ready).map(Some);
            }
            ready.abandon();
            Ok(None)
        });
        if !matches!(begun, Ok(Some(_))) {
            let _ = cleanup(&self.machine);
        }
        Ok(begun?.map(|init| (self, init)))
    }

    fn start(&mut self) -> Result<Init, StartFailure> {
        let ready = prepare(&self.machine)?;
        self.execute(ready)
    }

    fn execute(&mut self, ready: Ready) -> Result<Init, StartFailure> {
        let Started { pid, pidfd, console, init_kind } = ready.execute()?;
        let step = || "cannot record the container's processes".to_owned();
        let id = ProcessId::of(pid.as_raw_nonzero().get().unsigned_abs()).step(step)?;
        let monitor = ProcessId::of(std::process::id()).step(step)?;
        let boot_id = boot_id().step(step)?;
        let state = RunFile { boot_id, init: id, init_kind, monitor, started_at_s: now_s(), next_start_s: None };
        state.save(&self.machine.paths.run_state()).step(step)?;
        self.console.connect(Some(console));
        Ok(Init { id, pidfd, kinship: Kinship::Child, since: Instant::now() })
    }

    /// Goes on with the init of `state`.
    fn adopt(&mut self, state: RunFile) -> Result<Init, StartFailure> {
        let step = || "cannot go on with the running container".to_owned();
        let id = state.init;
        let pidfd = id.open().step(step)?.ok_or("its init has just ended").step(step)?;
        let monitor = ProcessId::of(std::process::id()).step(step)?;
        RunFile { monitor, ..state }.save(&self.machine.paths.run_state()).step(step)?;
        let console = match self.machine.record.spec.init {
            model::Init::Entrypoint => kept_console(id.pid, &pidfd),
            model::Init::Auto | model::Init::Kind(_) | model::Init::Path(_) => {
                reopen_console(&self.machine.group, &pidfd)
            }
        };
        match console {
            Ok(console) => self.console.connect(Some(console)),
            // A guest that is out of reach runs all the same. Who misses its words looks for them here.
            Err(failure) => self.console.note(&failure.to_string()),
        }
        Ok(Init { id, pidfd, kinship: Kinship::Adopted, since: Instant::now() })
    }

    /// Looks after the console until the init has ended.
    fn watch(&mut self, init: &Init) -> Ending {
        // Most often nothing happens for long. That is worth some work, once there are no others left to be started.
        while init.since.elapsed() < SETTLING {
            if self.wait(Some(&init.pidfd), Some(SETTLING)) {
                return self.ending_of(init);
            }
        }
        give_back_memory();
        while !self.wait(Some(&init.pidfd), None) {}
        self.ending_of(init)
    }

    /// How the init ended.
    fn ending_of(&mut self, init: &Init) -> Ending {
        self.console.read_rest();
        self.console.connect(None);
        match init.kinship {
            Kinship::Child => ended::of_child(&init.pidfd),
            Kinship::Adopted => ended::of_adopted(init.id, &init.pidfd),
        }
    }

    /// After a run of the length `ran` that ended like `ending`: the next one, if there is to be one.
    fn start_again(&mut self, mut ending: Ending, mut ran: Duration) -> Option<Init> {
        loop {
            // What the init left behind must not run beside a new one, nor hold the groups. These are made anew: into a group
            // that `cgroup.kill` has been written to, the kernel (since 6.14) lets nobody outside it make a process that
            // lives (`cgroup_post_fork`).
            let _ = self.machine.group.kill().and_then(|()| self.machine.group.remove());
            self.record(&ending);
            self.read_again()?;
            if !self.machine.record.spec.restart.follows(&ending) || !self.pause(&ending, ran) {
                return None;
            }
            self.read_again()?;
            match self.start() {
                Ok(init) => {
                    // Whoever gave the sign may have looked for the init before there was this one.
                    if self.stop_sign.has_come() {
                        let _ = self.machine.group.kill();
                    }
                    return Some(init);
                }
                Err(failure) => (ending, ran) = (Ending::NotStarted { why: failure.to_string() }, Duration::ZERO),
            }
        }
    }

    /// Keeps how the run ended, for whoever asks later.
    fn record(&self, ending: &Ending) {
        let last_exit = LastExit { ending: ending.clone(), at_s: now_s() };
        let bytes = serde_json::to_vec(&last_exit).unwrap_or_default();
        // A container that has been deleted meanwhile needs none.
        let _ = write_volatile(&self.machine.paths.last_exit(), &bytes, 0o600);
    }

    /// Reads the record again: it may have changed since the last start. `None` if the container is gone.
    fn read_again(&mut self) -> Option<()> {
        self.machine = machine_with(&self.layout, &self.machine.record.spec.name, self.hierarchies).ok()?;
        Some(())
    }

    /// Waits before the start that follows a run of the length `ran` which ended like `ending`; false if the sign to
    /// stop comes, or has come.
    fn pause(&mut self, ending: &Ending, ran: Duration) -> bool {
        let pause = self.backoff.pause_after(ending, ran);
        let until = Instant::now() + pause;
        self.announce(pause);
        while !self.stop_sign.has_come() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            self.wait(None, Some(left));
        }
        false
    }

    /// Tells whoever looks at the container that it is started again after `pause`, unless it is to stop.
    fn announce(&mut self, pause: Duration) {
        if self.stop_sign.has_come() {
            return;
        }
        let path = self.machine.paths.run_state();
        let next_start_s = Some(now_s() + pause.as_secs());
        if let Ok(Some(state)) = RunFile::load_watched(&path) {
            let _ = RunFile { next_start_s, ..state }.save(&path);
        }
    }

    /// Waits for `init` to end, for the sign to stop, for the console, and not longer than `timeout`. Does what the
    /// console asks for; true if the init has ended.
    fn wait(&mut self, init: Option<&OwnedFd>, timeout: Option<Duration>) -> bool {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut fds = vec![PollFd::new(&self.stop_sign, PollFlags::IN)];
        fds.extend(init.map(|init| PollFd::new(init, PollFlags::IN)));
        let own = fds.len();
        fds.extend(self.console.interests());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return false,
            // Without poll(2) only the end of the init can still be waited for.
            Err(_) => return true,
        }
        let events: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        self.console.handle(&events[own..]);
        // Taken note of, so that it does not wake this up again.
        self.stop_sign.has_come();
        init.is_some() && !events[1].is_empty()
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}
