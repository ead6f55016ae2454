//! How containers live and end: restarts, consoles, logs, and monitors that are killed. With real containers.

mod world;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::json;
use world::{World, eventually, has_ended, host};

const TWO: &str = "\
fleet: trial
network: {subnet: 10.213.7.0/24}
defaults: {distro: busybox, memory: 64MiB, pids: 64}
containers:
  trial:
    replicas: 2
    ip: 10.213.7.11
";

/// The same two containers with restart policies of their own.
fn with_policies(one: &str, two: &str) -> String {
    let (head, _) = TWO.split_once("  trial:").expect("it is there");
    let container =
        |number: u8, policy: &str| format!("  trial-{number}: {{ip: 10.213.7.1{number}, restart: \"{policy}\"}}\n");
    format!("{head}{}{}", container(1, one), container(2, two))
}

fn monitor(world: &World, name: &str) -> u64 {
    world.container(name)["monitor"].as_u64().unwrap_or_else(|| panic!("`{name}` has no monitor"))
}

/// Kills the init of `name` from the host, as if it had crashed.
fn crash(world: &World, name: &str) {
    host("kill", &["-KILL", &world.pid(name).to_string()]);
}

#[test]
fn a_clock_that_was_set_says_nothing_of_how_long_a_container_runs() {
    let world = World::new();
    world.write(TWO).fleet(&["apply"]).expect(0);
    let path = world.root().join("run/containers/trial-1/state.json");
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("it runs")).expect("JSON");
    // As if the host had had no time yet when it was started.
    state["started_at_s"] = json!(0);
    fs::write(&path, state.to_string()).expect("written");
    let uptime_s = world.container("trial-1")["uptime_s"].as_u64().expect("it runs");
    assert!(uptime_s < 120, "{uptime_s}");
    world.destroy();
}

#[test]
fn a_crashed_init_is_started_again_as_the_policy_says() {
    let world = World::new();
    world.write(&with_policies("on-failure", "no")).fleet(&["apply"]).expect(0);

    let (before, monitor_before) = (world.pid("trial-1"), monitor(&world, "trial-1"));
    crash(&world, "trial-1");
    world.another_init("trial-1", before);
    assert_eq!(monitor(&world, "trial-1"), monitor_before);
    let last = &world.container("trial-1")["last_exit"];
    assert_eq!((&last["how"], &last["signal"]), (&json!("killed"), &json!(9)));
    host("ping", &["-c1", "-W5", "10.213.7.11"]);

    // Who powers off has not failed.
    world.last_words("trial-1", "poweroff");
    eventually("it is off", || world.state("trial-1") == "stopped");
    assert_eq!(world.container("trial-1")["last_exit"]["how"], "powered-off");

    // Without a policy a crash is an end.
    crash(&world, "trial-2");
    eventually("it is down", || world.state("trial-2") == "stopped");

    // Its monitor reads the record anew before every start.
    world.fleet(&["start", "trial-2"]).expect(0);
    world.write(&with_policies("on-failure", "always")).fleet(&["apply"]).expect(0);
    let before = world.pid("trial-2");
    world.last_words("trial-2", "poweroff");
    world.another_init("trial-2", before);
    world.destroy();
}

/// A group knows for ever that it was killed: as when some of the container's processes outlive its init for a moment.
#[test]
fn a_container_whose_group_was_killed_is_started_again() {
    let world = World::new();
    world.write(&with_policies("on-failure", "no")).fleet(&["apply"]).expect(0);
    for _ in 0..2 {
        let before = world.pid("trial-1");
        let groups = fs::read_to_string(format!("/proc/{before}/cgroup")).expect("it runs");
        let path = groups.lines().find_map(|line| line.strip_prefix("0::/")).expect("version 2 is there");
        let top = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new).into_iter().find(|dir| dir.is_dir());
        let group = top.expect("mounted").join(path.trim_end_matches("/guest"));
        fs::write(group.join("cgroup.kill"), "1").expect("killed");
        world.another_init("trial-1", before);
        assert_eq!(world.container("trial-1")["last_exit"]["how"], "killed");
    }
    assert_eq!(world.changes(), 0);
    world.destroy();
}

#[test]
fn a_container_that_ends_at_once_is_restarting_and_apply_does_not_fight_it() {
    let world = World::new();
    world.write(&with_policies("always", "always")).fleet(&["apply"]).expect(0);
    for name in ["trial-1", "trial-2"] {
        // The guest's own init program goes: every further start ends with this.
        world.sh(name, "rm /sbin/init && printf '#!/bin/sh\\nexit 3\\n' >/sbin/init && chmod +x /sbin/init");
        crash(&world, name);
    }
    eventually("the pauses are long enough to be seen", || {
        let status = world.container("trial-1");
        status["state"] == "restarting" && status["last_exit"]["status"] == 3
    });
    let status = world.container("trial-1");
    assert!(status["detail"].as_str().is_some_and(|detail| detail.contains("exited with status 3")), "{status}");
    assert_eq!(world.changes(), 0);
    let monitor_before = monitor(&world, "trial-1");
    world.fleet(&["apply"]).expect(0);
    assert_eq!(monitor(&world, "trial-1"), monitor_before);

    // A stop in the pause ends it for good; so does a deletion.
    eventually("it pauses", || world.state("trial-1") == "restarting");
    world.fleet(&["stop", "trial-1"]).expect(0);
    assert_eq!(world.state("trial-1"), "stopped");
    assert!(has_ended(monitor_before));
    world.destroy();
}

#[test]
fn a_stop_ends_a_container_for_good_whenever_it_comes() {
    let world = World::new();
    world.write(&with_policies("always", "no")).fleet(&["apply"]).expect(0);
    for delay_ms in [0, 20, 60, 95, 100, 105, 110, 120, 150, 220] {
        let monitor = monitor(&world, "trial-1");
        crash(&world, "trial-1");
        // Not a wait for anything: the stop is to meet the restart at every stage of it.
        std::thread::sleep(std::time::Duration::from_millis(delay_ms));
        world.fleet(&["stop", "trial-1"]).expect(0);
        assert_eq!(world.state("trial-1"), "stopped", "after {delay_ms} ms");
        assert!(has_ended(monitor), "after {delay_ms} ms");
        world.fleet(&["start", "trial-1"]).expect(0);
    }
    world.destroy();
}

/// A `fleet` that goes on running, with what it has printed so far.
struct Session {
    child: Child,
    printed: Arc<Mutex<Vec<u8>>>,
}

impl Session {
    fn new(world: &World, args: &[&str]) -> Session {
        let mut child = world.command(args).stdin(Stdio::piped()).spawn().expect("fleet runs");
        let mut stdout = child.stdout.take().expect("piped");
        let printed = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&printed);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                sink.lock().expect("nobody panics with it").extend_from_slice(&bytes[..count]);
            }
        });
        Session { child, printed }
    }

    fn type_in(&mut self, text: &str) {
        self.child.stdin.as_mut().expect("piped").write_all(text.as_bytes()).expect("it listens");
    }

    fn printed(&self) -> String {
        String::from_utf8_lossy(&self.printed.lock().expect("nobody panics with it")).into_owned()
    }

    #[track_caller]
    fn expect(&self, text: &str) {
        let started = std::time::Instant::now();
        while !self.printed().contains(text) {
            assert!(started.elapsed() < world::DEADLINE, "`{text}` did not come:\n{}", self.printed());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    #[track_caller]
    fn end(mut self) -> i32 {
        drop(self.child.stdin.take());
        let mut status = None;
        eventually("it ends", || {
            status = self.child.try_wait().expect("it is a child");
            status.is_some()
        });
        status.and_then(|status| status.code()).unwrap_or(-1)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A console that answers: the built-in image's shell begins when Enter is pressed.
fn shell_on(world: &World, name: &str) -> Session {
    let mut session = Session::new(world, &["console", name]);
    eventually("the shell answers", || {
        session.type_in("\necho its-$((40+2))\n");
        std::thread::sleep(std::time::Duration::from_millis(100));
        session.printed().contains("its-42")
    });
    session
}

#[test]
fn a_console_takes_what_is_typed_and_shows_what_the_guest_prints() {
    let world = World::new();
    world.write(TWO).fleet(&["apply"]).expect(0);
    let mut one = shell_on(&world, "trial-1");
    let two = Session::new(&world, &["console", "trial-1"]);
    eventually("both see it", || {
        one.type_in("echo both-$((1+1))\n");
        std::thread::sleep(std::time::Duration::from_millis(50));
        two.printed().contains("both-2")
    });
    one.expect("both-2");
    // A viewer stays over a reboot, and goes when the container does.
    let before = world.pid("trial-1");
    one.type_in("reboot\n");
    world.another_init("trial-1", before);
    eventually("the new guest answers", || {
        one.type_in("\necho again-$((40+2))\n");
        std::thread::sleep(std::time::Duration::from_millis(100));
        one.printed().contains("again-42")
    });
    world.fleet(&["stop", "trial-1"]).expect(0);
    assert_eq!((one.end(), two.end()), (0, 0));
    let refused = world.fleet(&["console", "trial-1"]).expect(1);
    assert!(refused.stderr.contains("does not run"), "{}", refused.stderr);
    world.destroy();
}

#[test]
fn a_viewer_that_does_not_read_holds_up_neither_guest_nor_log() {
    let world = World::new();
    world.write(TWO).fleet(&["apply"]).expect(0);
    // Its standard output is a pipe that nobody reads: it blocks soon.
    let mut stuck = world.command(&["console", "trial-1"]).stdin(Stdio::piped()).spawn().expect("fleet runs");
    let shell = shell_on(&world, "trial-1");
    world.sh("trial-1", "seq 1 200000 >/dev/console; echo flood-over >/dev/console");
    eventually("the log has the end", || world.fleet(&["logs", "-n", "3", "trial-1"]).stdout.contains("flood-over"));
    drop(shell);
    stuck.kill().expect("it runs");
    stuck.wait().expect("it has ended");
    world.destroy();
}

#[test]
fn at_a_terminal_the_detach_keys_detach_and_the_window_has_its_size() {
    let world = World::new();
    world.write(TWO).fleet(&["apply"]).expect(0);
    drop(shell_on(&world, "trial-1"));
    // script(1) plays the terminal, stty(1) sizes it.
    let command = format!("stty rows 33 cols 99; {} console trial-1", env!("CARGO_BIN_EXE_fleet"));
    let mut terminal = std::process::Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("FLEET_ROOT", world.root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script runs");
    let sized = || world.sh("trial-1", "stty size </dev/console").trim() == "33 99";
    eventually("the guest's terminal has the size", sized);
    let mut keys = terminal.stdin.take().expect("piped");
    keys.write_all(b"\x01q").expect("it listens");
    let output = terminal.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    world.destroy();
}

#[test]
fn logs_tell_what_was_printed_over_rotation_and_restart_and_follow_what_comes() {
    let world = World::new();
    world.write(TWO).fleet(&["apply"]).expect(0);
    world.sh("trial-1", "echo first-words >/dev/console");
    world.sh("trial-2", "printf '\\033[2Jred\\n' >/dev/console");
    eventually("it is logged", || world.fleet(&["logs", "trial-1"]).expect(0).stdout.contains("first-words"));
    let follower = Session::new(&world, &["logs", "--follow", "-n", "1"]);
    follower.expect("trial-1 | ");

    // More than a megabyte: the log starts anew, and nothing is missed.
    world.sh("trial-1", "seq 100001 250000 >/dev/console; echo over >/dev/console");
    follower.expect("trial-1 | over");
    let printed = follower.printed();
    let numbers: Vec<u32> =
        printed.lines().filter_map(|line| line.strip_prefix("trial-1 | ")?.trim_end().parse().ok()).collect();
    assert!(numbers.iter().copied().eq(100_001..=250_000), "{} of 150000 lines", numbers.len());
    assert_eq!(world.fleet(&["logs", "trial-1", "-n", "2"]).expect(0).stdout, "250000\r\nover\r\n");

    // Both files are told, the older first; in a pipe bytes are as they were printed.
    let all = world.fleet(&["logs", "trial-1"]).expect(0).stdout;
    assert!(all.len() > 1 << 20, "{}", all.len());
    assert!(world.fleet(&["logs", "trial-2"]).expect(0).stdout.contains("\x1b[2Jred"));
    let document = world.fleet(&["logs", "trial-*", "-n", "1", "-o", "json"]).expect(0).json();
    assert_eq!(document["logs"][0]["text"], "over\r\n");

    world.fleet(&["stop", "trial-1"]).expect(0);
    assert!(world.fleet(&["logs", "trial-1", "-n", "9"]).expect(0).stdout.contains("over"));
    world.fleet(&["start", "trial-1"]).expect(0);
    world.sh("trial-1", "echo second-life >/dev/console");
    follower.expect("second-life");
    world.destroy();
    assert_eq!(follower.end(), 0, "the containers are gone");
}

#[test]
#[ignore = "a hundred containers; `make test-all` runs it"]
#[expect(clippy::print_stdout, reason = "the figure is what one runs it for")]
fn a_monitor_is_small_and_holds_nothing_but_its_own() {
    let world = World::new();
    world.write(&TWO.replace("replicas: 2", "replicas: 100").replace(".11", ".101")).fleet(&["apply"]).expect(0);
    let status = world.fleet(&["status", "-o", "json"]).expect(0).json();
    let monitors: Vec<u64> =
        status["containers"].as_array().expect("rows").iter().filter_map(|row| row["monitor"].as_u64()).collect();
    assert_eq!(monitors.len(), 100);
    let share_kb = |pid: &u64| -> u64 {
        let smaps = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("readable");
        let pss = smaps.lines().find_map(|line| line.strip_prefix("Pss:")).expect("there is a Pss line");
        pss.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    let median_kb = || {
        let mut all: Vec<u64> = monitors.iter().map(share_kb).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    // A debug build's program is three times as large.
    let most_kb = if cfg!(debug_assertions) { 250 } else { 150 };
    // What it needed to start its container it gives back a second later.
    eventually("monitors are small", || median_kb() < most_kb);
    println!("a monitor takes {} kB", median_kb());
    for pid in &monitors {
        assert_eq!(fs::read_link(format!("/proc/{pid}/cwd")).expect("readable"), std::path::Path::new("/"));
        let mut open: Vec<String> = world::names_in(format!("/proc/{pid}/fd").as_ref())
            .iter()
            .map(|fd| fs::read_link(format!("/proc/{pid}/fd/{fd}")).expect("readable").display().to_string())
            .map(|target| if target.starts_with("socket:") { "socket".to_owned() } else { target })
            .collect();
        open.sort();
        let (null, master) = ("/dev/null", "/dev/pts/ptmx");
        assert_eq!(open, [null, null, null, master, "anon_inode:[pidfd]", "anon_inode:[signalfd]", "socket"]);
    }
    world.destroy();
}

#[test]
fn a_killed_monitor_is_replaced_while_the_guest_runs_on() {
    let world = World::new();
    world.write(TWO).fleet(&["apply"]).expect(0);
    let (init, killed) = (world.pid("trial-1"), monitor(&world, "trial-1"));
    host("kill", &["-9", &killed.to_string()]);
    eventually("its end is seen", || world.container("trial-1")["drift"] != json!([]));
    assert_eq!(world.state("trial-1"), "running");
    let plan = world.fleet(&["plan", "-o", "json"]).expect(2).json();
    assert_eq!((&plan["steps"][0]["action"], &plan["steps"][0]["consequence"]), (&json!("adopt"), &json!("live")));
    let refused = world.fleet(&["console", "trial-1"]).expect(1);
    assert!(refused.stderr.contains("fleet apply"), "{}", refused.stderr);

    world.fleet(&["apply"]).expect(0);
    assert_eq!(world.pid("trial-1"), init);
    assert_eq!(world.container("trial-1")["drift"], json!([]));
    assert_eq!(world.changes(), 0);

    // The console is another, and its log goes on.
    let session = Session::new(&world, &["console", "trial-1"]);
    eventually("the new console is heard", || {
        world.sh("trial-1", "echo heard-again >/dev/console");
        session.printed().contains("heard-again")
    });
    let mut typed = world.spawn(&["exec", "trial-1", "--", "grep", "-m1", "typed-words", "/dev/console"]);
    let mut session = session;
    // Some of it goes to the shell that waits there too, parts of lines as well.
    eventually("what is typed arrives", || {
        session.type_in("typed-words\n");
        std::thread::sleep(std::time::Duration::from_millis(50));
        typed.try_wait().expect("it is a child").is_some()
    });
    drop(session);
    world::ran(&typed.wait_with_output().expect("ended")).expect(0);
    assert!(world.fleet(&["logs", "trial-1"]).expect(0).stdout.contains("heard-again"));

    // The adopted guest reboots, and its monitor stays.
    let adopter = monitor(&world, "trial-1");
    world.last_words("trial-1", "reboot");
    world.another_init("trial-1", init);
    assert_eq!(monitor(&world, "trial-1"), adopter);
    // Whoever asks for the status of an orphan may come before its new monitor.
    let last_exit = || world.container("trial-1")["last_exit"]["how"].as_str().unwrap_or_default().to_owned();
    assert!(["rebooted", "unknown"].contains(&last_exit().as_str()), "{}", last_exit());
    shell_on(&world, "trial-1");

    // Adopted once more, it is stopped and destroyed like any other.
    host("kill", &["-9", &adopter.to_string()]);
    eventually("its end is seen", || world.changes() == 1);
    world.fleet(&["apply"]).expect(0);
    world.fleet(&["stop", "trial-1"]).expect(0);
    assert!(["powered-off", "unknown"].contains(&last_exit().as_str()), "{}", last_exit());
    let other = monitor(&world, "trial-2");
    host("kill", &["-9", &other.to_string()]);
    world.destroy();
}
