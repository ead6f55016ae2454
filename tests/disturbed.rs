//! Killed before any of its system calls, or with any of them failing, fleet loses nothing: see `conformance_kills`, which
//! does so by the clock. strace(1) counts the calls.

mod trial;
mod world;

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::Duration;

use trial::{Trial, changed};
use world::World;

/// The calls that change something, tell another process to, or find out what there is.
const CALLS: &str = "rename renameat2 mkdir mkdirat rmdir unlink unlinkat symlink symlinkat linkat chmod fchmod fchmodat \
    chown fchown fchownat openat ftruncate write fsync syncfs setxattr fsetxattr sendto sendmsg mount move_mount fsmount \
    fsconfig open_tree mount_setattr umount2 pivot_root clone clone3 unshare setns execve mknodat kill pidfd_open \
    pidfd_send_signal readlink getdents64";

/// Of those that fail, not these: the runtime takes its own events and threads for granted.
const TAKEN_FOR_GRANTED: [&str; 2] = ["write", "clone3"];

/// What is done when a command is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    /// An apply that finds all as it should be: no guest may end by that.
    Nothing,
    Change,
    Stop,
    Start,
    Creation,
    Destruction,
}

const VERBS: [Verb; 6] = [Verb::Nothing, Verb::Change, Verb::Stop, Verb::Start, Verb::Creation, Verb::Destruction];

impl Verb {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Verb::Nothing | Verb::Change | Verb::Creation => &["apply", "-y"],
            Verb::Stop => &["stop", "trial-1"],
            Verb::Start => &["start", "trial-1"],
            Verb::Destruction => &["destroy", "-y"],
        }
    }
}

/// What came of a command that was disturbed.
struct Disturbed {
    /// Whether a call was met.
    was_met: bool,
    /// Its exit status, if it ended by itself.
    status: Option<i32>,
    stderr: String,
}

/// Runs `fleet ARGS`, and does `what` to each of its processes and threads that is about to make its call number `number`
/// of `call` (strace(1), its option `inject`).
fn disturb(world: &World, args: &[&str], call: &str, what: &str, number: u32) -> Disturbed {
    let (log, stderr) = (world.dir.path().join("calls"), world.dir.path().join("stderr"));
    let traced = world.command(args);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-I2", "-e", &format!("trace={call}"), "-o"]).arg(&log);
    strace.args(["-e", &format!("inject={call}:{what}:when={number}")]);
    strace.arg(traced.get_program()).args(traced.get_args()).current_dir(world.dir.path());
    strace.envs(traced.get_envs().filter_map(|(name, value)| Some((name, value?))));
    strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&stderr).expect("writable"));
    // Where cargo has its libraries looked for are hundreds of places.
    let mut strace = strace.env_remove("LD_LIBRARY_PATH").spawn().expect("it runs");
    // What fleet leaves running is followed too: strace does not end by itself.
    let pid = strace.id();
    let children = || fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    // It has others, to find out what the kernel can do.
    let is_fleet = |child: &u64| fs::read_to_string(format!("/proc/{child}/comm")).is_ok_and(|name| name == "fleet\n");
    let mut program = None;
    world::eventually("fleet has begun", || {
        program = children().split_ascii_whitespace().filter_map(|child| child.parse().ok()).find(is_fleet);
        program.is_some() || strace.try_wait().expect("it is a child").is_some()
    });
    world::eventually("fleet has ended", || program.is_none_or(world::has_ended));
    // Nobody knows what its monitors would do next.
    std::thread::sleep(Duration::from_millis(50));
    let _ = Command::new("kill").args(["-TERM", &pid.to_string()]).stderr(Stdio::null()).status();
    strace.wait().expect("it is a child");
    let log = fs::read_to_string(log).unwrap_or_default();
    let status = program.and_then(|program| {
        let mut own = log.lines().filter_map(|line| line.strip_prefix(&program.to_string()));
        let end = own.find_map(|words| words.trim_start().strip_prefix("+++ exited with "))?;
        end.split(' ').next()?.parse().ok()
    });
    // A call that does not return is one of somebody who was killed before it.
    let was_met = log.lines().any(|line| line.ends_with("(INJECTED)") || line.ends_with(" = ?"));
    Disturbed { was_met, status, stderr: fs::read_to_string(stderr).unwrap_or_default() }
}

/// Which of many calls of one kind: the first ones, and then fewer and fewer.
fn numbers() -> impl Iterator<Item = u32> {
    (1..60).chain((60..300).step_by(8))
}

/// Does `what` to `verb` before each call of `call` in turn. Returns how many were met.
fn disturb_each(trial: &Trial, what: &str, verb: Verb, call: &str) -> usize {
    let world = &trial.world;
    let was_met = |number: &u32| {
        let when = format!("{verb:?}, {call} {number}");
        match verb {
            Verb::Change => drop(world.write(&changed())),
            Verb::Creation => world.destroy(),
            Verb::Start => drop(world.fleet(&["stop", "trial-1"]).expect(0)),
            Verb::Nothing | Verb::Stop | Verb::Destruction => {}
        }
        let pids = world.pids();
        let Disturbed { was_met, status, stderr } = disturb(world, verb.arguments(), call, what, *number);
        assert!(!stderr.contains("panicked"), "{when}: {stderr}");
        assert!(!stderr.contains("unrecognized"), "{when}: {stderr}");
        match verb {
            Verb::Destruction => world.destroy(),
            Verb::Stop if status == Some(0) => assert_eq!(world.state("trial-1"), "stopped", "{when}: {stderr}"),
            _ if status == Some(0) => assert_eq!(world.changes(), 0, "{when}: {stderr}"),
            _ => {}
        }
        trial.finish(&when);
        if verb == Verb::Nothing {
            assert_eq!(world.pids(), pids, "{when}: {stderr}");
        }
        was_met
    };
    numbers().take_while(was_met).count()
}

/// Does `what` to each verb before any of `calls`.
fn disturb_all<'a>(what: &str, calls: impl Iterator<Item = &'a str>) {
    let trial = Trial::new();
    let met: usize = calls.flat_map(|call| VERBS.map(|verb| disturb_each(&trial, what, verb, call))).sum();
    assert!(met > 500, "{met} calls were met");
    trial.world.destroy();
}

#[test]
fn guests_outlive_whatever_cannot_be_read_of_them() {
    let trial = Trial::new();
    let met = disturb_each(&trial, "error=EIO", Verb::Nothing, "openat");
    assert!(met > 50, "{met} files were met");
    trial.world.destroy();
}

#[test]
fn a_kill_before_anything_gets_its_name_is_finished_by_the_next_apply() {
    let trial = Trial::new();
    for verb in VERBS {
        disturb_each(&trial, "signal=KILL", verb, "rename");
    }
    trial.world.destroy();
}

#[test]
#[ignore = "takes a quarter of an hour; `make test-all` runs it"]
fn a_kill_before_any_call_is_finished_by_the_next_apply() {
    disturb_all("signal=KILL", CALLS.split_ascii_whitespace());
}

#[test]
#[ignore = "takes half an hour; `make test-all` runs it"]
fn what_fails_at_any_call_is_told_and_finished_by_the_next_apply() {
    disturb_all("error=EIO", CALLS.split_ascii_whitespace().filter(|call| !TAKEN_FOR_GRANTED.contains(call)));
}
