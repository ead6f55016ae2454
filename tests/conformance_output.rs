//! What many guests print, at once, without end, or at the user's terminal.

mod world;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use world::{World, eventually, ran};

const TWO: &str = "\
fleet: told
network: {subnet: 10.213.29.0/24}
containers:
  told: {distro: busybox, replicas: 2, memory: 64MiB, mounts: ['meet:/meet']}
";

fn two() -> World {
    let world = World::new();
    world.write(TWO).fleet(&["apply"]).expect(0);
    world
}

#[test]
fn at_a_terminal_what_a_guest_has_printed_gives_no_orders() {
    let world = two();
    // Clears the screen, names the window, asks for an answer as if it were typed, and begins a string without end.
    world.sh(
        "told-1",
        "printf 'a\\033[2Jb\\033]0;owned\\007c\\033[6nd\\033Pe\\302\\233f \\033[31mred\\033[0m over\\n' > /dev/console",
    );
    eventually("it is logged", || world.fleet(&["logs", "told-1"]).expect(0).stdout.contains("over"));
    for names in ["told-1", "told-1 told-2"] {
        let script = format!("{} logs {names}", env!("CARGO_BIN_EXE_fleet"));
        let mut terminal = Command::new("script");
        terminal.args(["-qec", &script, "/dev/null"]).env("FLEET_ROOT", world.root()).stdin(Stdio::null());
        terminal.env("FLEET_FILE", world.file()).env_remove("NO_COLOR");
        let shown = ran(&terminal.output().expect("script runs")).expect(0).stdout;
        let line = shown.lines().find(|line| line.contains("over")).unwrap_or_else(|| panic!("{shown:?}"));
        for order in ["\x1b[2J", "\x1b]", "\x07", "\x1b[6n", "\x1bP", "\u{9b}"] {
            assert!(!line.contains(order), "{order:?} in {line:?}");
        }
        assert!(line.contains("^[[2J") && line.contains("red"), "{line:?}");
    }
    world.destroy();
}

#[test]
fn consoles_of_several_are_followed_side_by_side() {
    let world = two();
    let path = world.dir.path().join("followed");
    let file = File::create(&path).expect("made");
    let mut follower = world.command(&["logs", "-F"]).stdout(file).spawn().expect("fleet runs");
    let read = || fs::read_to_string(&path).unwrap_or_default();
    for round in 0..3 {
        for name in ["told-1", "told-2"] {
            world.sh(name, &format!("printf '\\nround-{round}\\n' > /dev/console"));
        }
        for name in ["told-1", "told-2"] {
            let line = format!("{name} | round-{round}\r\n");
            eventually(&line, || read().contains(&line));
        }
    }
    world.destroy();
    assert!(follower.wait().expect("it ends with the containers").success());
}

#[test]
fn a_guest_that_prints_without_end_fills_no_disk() {
    let world = two();
    world.sh("told-1", "yes 'all work and no play' | head -n 350000 > /dev/console; echo over > /dev/console");
    eventually("it is all read", || world.fleet(&["logs", "-n", "1", "told-1"]).expect(0).stdout == "over\r\n");
    let dir = world.root().join("lxc/told-1");
    let logs: Vec<_> = world::names_in(&dir).into_iter().filter(|name| name.starts_with("console")).collect();
    assert_eq!(logs.len(), 2, "{logs:?}");
    let metadata: Vec<_> = logs.iter().map(|name| fs::metadata(dir.join(name)).expect("it is there")).collect();
    let bytes: u64 = metadata.iter().map(fs::Metadata::len).sum();
    // Each file ends with the piece that made it too large.
    assert!(bytes > 1 << 20 && bytes <= (2 << 20) + (128 << 10), "{bytes}");
    assert!(metadata.iter().all(|one| one.permissions().mode().trailing_zeros() >= 6), "{metadata:?}");
    world.destroy();
}

#[test]
fn at_a_terminal_no_command_of_one_guest_writes_the_lines_of_another() {
    let world = two();
    let script = format!("{} exec --all -- printf 'a\\r\\033[2Ktold-2 | forged\\n'", env!("CARGO_BIN_EXE_fleet"));
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &script, "/dev/null"]).env("FLEET_ROOT", world.root()).stdin(Stdio::null());
    terminal.env("FLEET_FILE", world.file()).env_remove("NO_COLOR");
    let shown = ran(&terminal.output().expect("script runs")).expect(0).stdout;
    assert!(shown.contains("told-1 | a^M^[[2Ktold-2 | forged"), "{shown:?}");
    assert!(!shown.contains('\x1b'), "{shown:?}");
    // A link's name is the guest's to choose.
    world.sh("told-1", "ip link set eth0 down; ip link set eth0 name \"$(printf 'x\\033[8m')\"");
    let status = world.fleet(&["status"]).expect(0).stdout;
    assert!(status.contains("x^[[8m") && !status.contains('\x1b'), "{status:?}");
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    assert!(plan.contains("x^[[8m") && !plan.contains('\x1b'), "{plan:?}");
    world.destroy();
}

#[test]
fn a_fleet_that_fails_keeps_neither_the_others_nor_their_documents() {
    let world = World::new();
    let write = |name: &str, number: u8, keys: &str| {
        let container = format!("{name}: {{distro: busybox, memory: 64MiB, stop_timeout: 3s{keys}}}");
        let network = format!("{{subnet: 10.213.{number}.0/24, bridge: fleettest-{name}}}");
        let text = format!("fleet: {name}\nnetwork: {network}\ncontainers: {{{container}}}\n");
        fs::write(world.dir.path().join(format!("{name}.yaml")), text).expect("written");
    };
    for (name, number) in [("one", 94), ("two", 95), ("three", 96)] {
        write(name, number, "");
    }
    world.fleet(&["apply", "-y", "one.yaml"]).expect(0);
    // A guest that does not hear takes its time to stop: until then there is nothing in the way of the second fleet.
    let pid = world.fleet(&["-f", "one.yaml", "status", "-o", "json"]).expect(0).json()["containers"][0]["pid"].clone();
    world::host("kill", &["-STOP", &pid.to_string()]);
    write("one", 94, ", sysctls: {net.ipv4.ip_forward: '1'}");
    let apply = world.spawn(&["apply", "-y", "-o", "json", "one.yaml", "two.yaml", "three.yaml"]);
    let is_stopping = world.root().join("run/containers/one/stopping");
    eventually("it has begun", || is_stopping.exists());
    world::host("ip", &["link", "add", "fleettest-two", "type", "bridge"]);
    let applied = ran(&apply.wait_with_output().expect("it ends"));
    world::host("ip", &["link", "del", "fleettest-two"]);
    for file in ["one.yaml", "two.yaml", "three.yaml"] {
        let state = |status: serde_json::Value| status["containers"][0]["state"].clone();
        let expected = if file == "two.yaml" { "absent" } else { "running" };
        assert_eq!(state(world.fleet(&["-f", file, "status", "-o", "json"]).expect(0).json()), expected, "{applied:?}");
        world.fleet(&["destroy", "-y", file]).expect(0);
    }
    let documents = applied.expect(1).json();
    let of = |number: usize, key: &str| documents[number][key].to_string();
    assert_eq!([0, 1, 2].map(|number| of(number, "fleet")), ["\"one\"", "\"two\"", "\"three\""]);
    assert!(of(0, "done").contains("start:one") && of(2, "done").contains("start:three"), "{documents:#}");
    assert!(of(1, "error").contains("a link `fleettest-two` exists that is not the bridge of fleet `two`"));
    assert_eq!((of(1, "done"), of(0, "error")), ("[]".to_owned(), "null".to_owned()));
}

/// Each waits for the other: one after the other they would wait for ever.
#[test]
fn a_command_in_many_containers_runs_in_all_at_once() {
    let world = two();
    let script = "touch /meet/$(hostname); i=0
        until test -e /meet/told-1 && test -e /meet/told-2; do i=$((i+1)); test $i -lt 300 || exit 1; sleep 0.1; done; echo met";
    let said = world.fleet(&["exec", "--all", "--", "sh", "-c", script]).expect(0).stdout;
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["told-1 | met", "told-2 | met"]);
    world.destroy();
}
