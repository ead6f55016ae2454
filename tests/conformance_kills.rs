//! Killed at any moment, whatever fleet was doing is finished by the next apply, and nothing is left behind: what the
//! host has then is compared with what it has after an apply that nobody disturbed. With real containers.

mod trial;
mod world;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use trial::{Trial, changed};
use world::World;

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

/// How long `fleet ARGS` takes, to its end.
fn time(world: &World, args: &[&str]) -> Duration {
    let begun = Instant::now();
    world.fleet(args).expect(0);
    begun.elapsed()
}

/// Kills at `points` moments of each verb, spread over the time that it takes, with each victim in turn.
fn kill_everywhere(points: u32) {
    let trial = Trial::new();
    let world = &trial.world;
    let apply = || time(world, &["apply", "-y"]);
    world.destroy();
    let creation = apply();
    world.write(&changed());
    let change = apply();
    let stop = time(world, &["stop", "trial-1"]);
    let start = time(world, &["start", "trial-1"]);
    let destruction = time(world, &["destroy", "-y", "--keep-data"]);

    let mut ended_before = 0;
    for point in 0..points {
        let moment = |all: Duration| all * point / points;
        let victim = VICTIMS[point as usize % VICTIMS.len()];
        let check = |what: &str| trial.finish(&format!("{what} {point} of {points}, {victim:?}"));
        let mut kill = |args: &[&str], all| ended_before += u32::from(kill_after(world, args, moment(all), victim));
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
    let trial = Trial::new();
    let world = &trial.world;
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
    world.fleet(&["apply", "-y"]).expect(0);
    fs::remove_file(foreign).expect("it is still there");
    trial.finish("drafts");
    world.destroy();
}

#[test]
fn what_another_version_wrote_is_not_taken_for_nothing() {
    let trial = Trial::new();
    let world = &trial.world;
    let pids = world.pids();
    let edited = |file: &str, from: &str, to: &str| {
        let path = world.root().join(file);
        let text = fs::read_to_string(&path).expect("it is there");
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).expect("written");
        move || fs::write(path, text).expect("written")
    };

    // Nobody knows whether it runs, and it does.
    let restore = edited("run/containers/trial-1/state.json", "\"init_kind\":\"busybox\"", "\"init_kind\":\"later\"");
    for verb in [&["stop", "web"][..], &["apply", "-y"], &["destroy", "-y"]] {
        let refused = world.fleet(verb).expect(1).stderr;
        assert!(refused.contains("is not what this version of fleet writes"), "{refused}");
    }
    restore();
    assert_eq!(world.pids(), pids);

    // What it stands on is in use.
    let restore = edited("lxc/trial-1/fleet.json", "\"engine\": \"native\"", "\"engine\": \"later\"");
    world.fleet(&["stop", "trial-2"]).expect(0);
    let refused = world.fleet(&["plan"]).expect(1);
    assert!(refused.stderr.contains("a container `trial-1` exists that fleet did not make"), "{refused:?}");
    world.fleet(&["image", "prune"]).expect(0);
    restore();
    assert_eq!(world.pids().get("trial-1"), pids.get("trial-1"));
    trial.finish("restored");
    assert_eq!(world.pids().get("trial-1"), pids.get("trial-1"));
    let restore = edited("lxc/trial-1/fleet.json", "\"image\": \"e", "\"picture\": \"e");
    let refused = world.fleet(&["image", "prune"]).expect(1).stderr;
    assert!(refused.contains("cannot tell which images are in use"), "{refused}");
    restore();
    world.destroy();
}

#[test]
fn what_a_test_left_that_was_killed_does_not_disturb_the_next_one() {
    let killed = World::new();
    let before = (world::links(), world::traffic());
    killed.write("fleet: killed\nnetwork: {subnet: 10.213.18.0/24}\ncontainers: {one: {distro: busybox}}\n");
    killed.fleet(&["apply", "-y"]).expect(0);
    world::host("ip", &["link", "add", "fleettestlan0", "type", "bridge"]);
    let left = killed.abandon();
    let _next = World::new();
    assert!(!left.exists());
    assert_eq!((world::links(), world::traffic()), before);
    assert!(!world::links_there().contains(&"fleettestlan0".to_owned()));
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
