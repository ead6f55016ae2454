//! Killed at any moment, whatever fleet was doing is finished by the next apply, and nothing is left behind: what the
//! host has then is compared with what it has after an apply that nobody disturbed. With real containers.

mod world;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use world::World;

/// Three containers with something of everything that a start makes.
const FLEET: &str = "\
fleet: trial
network: {subnet: 10.213.19.0/24}
defaults:
  distro: busybox
  memory: 64MiB
  pids: 64
  stop_timeout: 1
  users: [{name: dev}]
  mounts: ['store:/home', './data:/srv/data:ro', './data:/srv/over:overlay']
containers:
  trial: {replicas: 3, ip: 10.213.19.11}
  web: {ip: 10.213.19.5, ports: ['127.0.0.1:18080:80'], restart: always}
";

/// The same containers, each changed: one part live, one with a restart, one less and one more.
fn changed() -> String {
    FLEET
        .replace("64MiB", "48MiB")
        .replace("'./data:/srv/data:ro'", "'./data:/srv/more'")
        .replace("replicas: 3, ip: 10.213.19.11", "replicas: 2, ip: 10.213.19.21")
        .replace("  web:", "  web-2:")
}

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    /// The program that the user started.
    Program,
    /// It, and whatever it has forked: launcher, monitors, first processes of containers that are not executed yet.
    Everything,
    /// One of the monitors that run then.
    Monitor,
}

const VICTIMS: [Victim; 3] = [Victim::Program, Victim::Everything, Victim::Monitor];

/// Runs `fleet ARGS` and kills when `delay` is over. Returns whether it ended before.
fn kill_after(world: &World, args: &[&str], delay: Duration, victim: Victim) -> bool {
    let mut running = world.spawn(args);
    std::thread::sleep(delay);
    let has_ended = running.try_wait().expect("it is a child").is_some();
    if victim != Victim::Monitor {
        let _ = running.kill();
    }
    let forked = world.processes();
    let chosen = match victim {
        Victim::Program => Vec::new(),
        Victim::Everything => forked,
        Victim::Monitor => {
            let monitors: Vec<_> = forked.into_iter().filter(|(_, name)| name.starts_with("fleet:trial")).collect();
            let one = delay.subsec_micros() as usize % monitors.len().max(1);
            monitors.into_iter().skip(one).take(1).collect()
        }
    };
    for (pid, _) in &chosen {
        let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
    }
    let _ = running.wait_with_output();
    // What is killed ends when the kernel comes to it.
    world::eventually("they end", || chosen.iter().all(|(pid, _)| world::has_ended((*pid).into())));
    has_ended
}

/// The calls that change something, or tell another process to.
const CALLS: &str = "rename renameat2 mkdir mkdirat rmdir unlink unlinkat symlink symlinkat linkat chmod fchmod fchmodat \
    chown fchown fchownat openat ftruncate write fsync syncfs setxattr fsetxattr sendto sendmsg mount move_mount fsmount \
    fsconfig open_tree mount_setattr umount2 pivot_root clone clone3 unshare setns execve mknodat kill pidfd_send_signal \
    exit_group";

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
    let was_met = log.contains("killed by SIGKILL") || log.contains("(INJECTED)");
    Disturbed { was_met, status, stderr: fs::read_to_string(stderr).unwrap_or_default() }
}

/// All that the fleet makes of the host: names of files, groups, links and processes, the mounts and the rules.
fn state_of(world: &World) -> String {
    let mut lines = Vec::new();
    for (dir, depth) in [("lxc", 3), ("fleet", 4), ("run", 3)] {
        list(&world.root(), Path::new(dir), depth, &mut lines);
    }
    lines.extend(world.processes().into_iter().map(|(_, name)| format!("process {name}")));
    lines.extend(world.groups().into_iter().map(|group| format!("group {}", group.display())));
    for group in world.groups() {
        let names = world::names_in(&group).into_iter().filter(|name| group.join(name).is_dir());
        lines.extend(names.map(|name| format!("group of {name}")));
    }
    lines.extend(world::links().into_iter().map(|link| format!("link {link}")));
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("readable");
    let root = world.root().display().to_string();
    lines.extend(mounts.lines().filter(|line| line.contains(&root)).map(str::to_owned));
    lines.sort();
    lines.join("\n") + &world::traffic()
}

/// The files below `dir`, but for those that tell of the past.
fn list(root: &Path, dir: &Path, depth: usize, lines: &mut Vec<String>) {
    for name in world::names_in(&root.join(dir)) {
        let path = dir.join(&name);
        let is_past = ["last_exit.json", "console.log", "console.log.1"].contains(&name.as_str());
        // What guests and overlayfs make of their layers is theirs.
        if is_past || path.ends_with("fs/upper") || path.ends_with("fs/work") {
            continue;
        }
        lines.push(path.display().to_string());
        if depth > 1 && !name.ends_with("rootfs") {
            list(root, &path, depth - 1, lines);
        }
    }
}

/// How long `fleet ARGS` takes, to its end.
fn time(world: &World, args: &[&str]) -> Duration {
    let begun = Instant::now();
    world.fleet(args).expect(0);
    begun.elapsed()
}

/// Kills at `points` moments of each verb, spread over the time that it takes, with each victim in turn.
fn kill_everywhere(points: u32) {
    let world = World::new();
    fs::create_dir(world.dir.path().join("data")).expect("made");
    let apply = || time(&world, &["apply", "-y"]);
    world.write(FLEET);
    let creation = apply();
    let as_it_should_be = state_of(&world);
    world.write(&changed());
    let change = apply();
    let stop = time(&world, &["stop", "trial-1"]);
    let start = time(&world, &["start", "trial-1"]);
    let destruction = time(&world, &["destroy", "-y", "--keep-data"]);

    let mut ended_before = 0;
    for point in 0..points {
        let moment = |all: Duration| all * point / points;
        let victim = VICTIMS[point as usize % VICTIMS.len()];
        let check = |what: &str| {
            world.write(FLEET).fleet(&["apply", "-y"]).expect(0);
            let when = format!("{what} {point} of {points}, {victim:?}");
            assert_eq!(world.changes(), 0, "{when}");
            assert_eq!(state_of(&world), as_it_should_be, "{when}");
        };
        let mut kill = |args: &[&str], all| ended_before += u32::from(kill_after(&world, args, moment(all), victim));
        kill(&["apply", "-y"], creation);
        check("creation");
        world.write(&changed());
        kill(&["apply", "-y"], change);
        check("change");
        kill(&["stop", "trial-1"], stop);
        check("stop");
        world.fleet(&["stop", "trial-2"]).expect(0);
        kill(&["start", "trial-2"], start);
        check("start");
        kill(&["destroy", "-y"], destruction);
        world.fleet(&["destroy", "-y"]).expect(0);
        world.assert_nothing_left();
    }
    assert!(ended_before < points * 5 / 2, "{ended_before} of {} kills came too late", points * 5);
}

#[test]
fn what_killed_writers_left_goes_with_the_next_apply() {
    let world = World::new();
    fs::create_dir(world.dir.path().join("data")).expect("made");
    world.write(FLEET).fleet(&["apply", "-y"]).expect(0);
    let as_it_should_be = state_of(&world);
    let drafts = [
        "lxc/trial-2/.fleet.json.new",
        "lxc/trial-2/.last_exit.json.new",
        "run/containers/trial-1/.links.json.new",
        "run/containers/trial-1/.mounts.json.new",
        "run/containers/trial-1/.state.json.new",
        "run/containers/trial-1/.stopping.new",
        "fleet/.secret.new",
        "fleet/.forwarding.json.new",
        "fleet/fleets/trial/.known_hosts.new",
    ];
    for draft in drafts {
        fs::write(world.root().join(draft), "{").expect("written");
    }
    let foreign = world.root().join("lxc/notes");
    fs::write(&foreign, "not a container").expect("written");
    assert_ne!(state_of(&world), as_it_should_be);
    world.fleet(&["apply", "-y"]).expect(0);
    fs::remove_file(foreign).expect("it is still there");
    assert_eq!(state_of(&world), as_it_should_be);
    world.destroy();
}

#[test]
fn a_kill_at_some_moments_of_every_verb_is_finished_by_the_next_apply() {
    kill_everywhere(6);
}

#[test]
#[ignore = "takes minutes; `make test-all` runs it"]
fn a_kill_at_many_moments_of_every_verb_is_finished_by_the_next_apply() {
    kill_everywhere(60);
}

/// Which of many calls of one kind: the first ones, and then fewer and fewer.
fn numbers() -> impl Iterator<Item = u32> {
    (1..60).chain((60..300).step_by(8))
}

/// Does `what` to each verb before any of `calls`: the next apply finishes the work, and no guest ends that nobody wanted
/// to end.
fn disturb_everywhere<'a>(what: &str, calls: impl Iterator<Item = &'a str>) {
    let world = World::new();
    fs::create_dir(world.dir.path().join("data")).expect("made");
    world.write(FLEET).fleet(&["apply", "-y"]).expect(0);
    let as_it_should_be = state_of(&world);
    for call in calls {
        for (verb, args) in [
            ("nothing", "apply -y"),
            ("change", "apply -y"),
            ("restart", "restart trial-1"),
            ("creation", "apply -y"),
            ("destruction", "destroy -y"),
        ] {
            let args: Vec<&str> = args.split(' ').collect();
            for number in numbers() {
                let when = format!("{verb}, {call} {number}");
                match verb {
                    "change" => drop(world.write(&changed())),
                    "creation" => world.destroy(),
                    _ => {}
                }
                let pids = world.pids();
                let Disturbed { was_met, status, stderr } = disturb(&world, &args, call, what, number);
                assert!(!stderr.contains("panicked"), "{when}: {stderr}");
                if status == Some(0) && verb != "destruction" {
                    assert_eq!(world.changes(), 0, "{when}: {stderr}");
                }
                if verb == "destruction" {
                    world.destroy();
                }
                world.write(FLEET).fleet(&["apply", "-y"]).expect(0);
                assert_eq!(world.changes(), 0, "{when}");
                assert_eq!(state_of(&world), as_it_should_be, "{when}");
                if verb == "nothing" {
                    assert_eq!(world.pids(), pids, "{when}: {stderr}");
                }
                if !was_met {
                    break;
                }
            }
        }
    }
    world.destroy();
}

#[test]
#[ignore = "takes a quarter of an hour; `make test-all` runs it"]
fn a_kill_before_any_call_is_finished_by_the_next_apply() {
    disturb_everywhere("signal=KILL", CALLS.split_ascii_whitespace());
}

#[test]
#[ignore = "takes half an hour; `make test-all` runs it"]
fn what_fails_at_any_call_is_told_and_finished_by_the_next_apply() {
    // Those two are made by the runtime too, which takes its own events and threads for granted.
    let calls = CALLS.split_ascii_whitespace().filter(|call| !["write", "clone3"].contains(call));
    disturb_everywhere("error=EIO", calls);
}
