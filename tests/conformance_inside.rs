//! What every user may rely on inside running containers: commands, shells, frozen containers, files in and out.

mod world;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};

use world::{Ran, World, eventually, host, ran};

const TWO: &str = "\
fleet: inside
network: {subnet: 10.213.8.0/24}
defaults: {distro: busybox, memory: 96MiB, pids: 64}
containers:
  inside:
    replicas: 2
    ip: 10.213.8.11
";

/// A world with the fleet [`TWO`], in whose first container lives `dev`, a member of `wheel`.
fn two() -> World {
    let world = World::new();
    world.write(TWO).fleet(&["apply"]).expect(0);
    world.sh(
        "inside-1",
        "echo 'dev:x:1000:1000:Dev:/home/dev:/bin/sh' >> /etc/passwd; \
         printf 'dev:x:1000:\\nwheel:x:10:root,dev\\nusers:x:100:\\n' >> /etc/group; \
         mkdir -p /home/dev && chown 1000:1000 /home/dev",
    );
    world
}

fn exec(world: &World, options: &[&str], script: &str) -> Ran {
    let all: Vec<&str> =
        ["exec", "inside-1"].iter().chain(options).chain(&["--", "sh", "-c", script]).copied().collect();
    world.fleet(&all)
}

/// Runs fleet with `input` as its standard input.
fn fed(world: &World, args: &[&str], input: File) -> std::process::Output {
    world.command(args).stdin(input).output().expect("fleet runs")
}

#[test]
fn a_command_runs_as_the_user_that_the_guest_knows() {
    let world = two();
    let who = "id -u; id -g; id -G; echo $HOME $USER $LOGNAME $SHELL; pwd";
    let said = |options: &[&str]| exec(&world, options, who).expect(0).stdout;
    assert_eq!(said(&["--user", "dev"]), "1000\n1000\n1000 10\n/home/dev dev dev /bin/sh\n/home/dev\n");
    assert_eq!(said(&["--user", "1000:users"]), "1000\n100\n100\n/home/dev dev dev /bin/sh\n/home/dev\n");
    assert_eq!(said(&["--user", "1234:55"]), "1234\n55\n55\n/ /bin/sh\n/\n");
    assert!(said(&[]).starts_with("0\n0\n"), "{}", said(&[]));
    // The host knows this one, the guest does not.
    let refused = exec(&world, &["--user", "daemon-of-the-host"], "true").expect(125);
    insta::assert_snapshot!(refused.stderr, @"error: the container has no user `daemon-of-the-host`");
    assert!(exec(&world, &["--user", "dev:nogroup-here"], "true").expect(125).stderr.contains("no group"));
    exec(&world, &["--user", "70000"], "true").expect(64);
    // A user has no capability, whatever the container has.
    assert_eq!(exec(&world, &["--user", "dev"], "grep CapEff /proc/self/status").stdout, "CapEff:\t0000000000000000\n");
    exec(&world, &["--user", "dev"], "echo x > /etc/mine").expect(1);
    // A list of users that cannot be read keeps nobody out who does not need it.
    world.sh("inside-1", "rm /etc/passwd; mkdir /etc/passwd");
    assert!(said(&[]).starts_with("0\n0\n"));
    exec(&world, &["--user", "dev"], "true").expect(125);
    world.destroy();
}

#[test]
fn a_command_has_its_directory_and_its_variables() {
    let world = two();
    assert_eq!(exec(&world, &["--workdir", "/etc"], "pwd").expect(0).stdout, "/etc\n");
    let refused = exec(&world, &["--workdir", "/nowhere"], "pwd").expect(125);
    assert!(refused.stderr.contains("cannot change to the directory `/nowhere`"), "{}", refused.stderr);
    // With the rights of its user.
    exec(&world, &["--user", "dev", "--workdir", "/root"], "true").expect(125);
    let output = world
        .command(&["exec", "inside-1", "-e", "A=1 2", "-e", "MINE", "-e", "ABSENT", "-e", "HOME=/x", "--", "env"])
        .env("MINE", "of the caller")
        .env("SECRET", "stays outside")
        .output();
    let said = ran(&output.expect("fleet runs")).expect(0).stdout;
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "A=1 2",
            "HOME=/x",
            "LOGNAME=root",
            "MINE=of the caller",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SHELL=/bin/sh",
            "TERM=linux",
            "USER=root",
            "container=lxc",
        ]
    );
    // The directory of a guest that points its root's home at what a command has open leads nowhere.
    world.sh("inside-1", "rm -rf /root; ln -s /proc/self/fd/3 /root");
    let mut command = world.command(&["exec", "inside-1", "--", "pwd"]);
    let outside = File::open("/var").expect("it is there");
    let said = ran(&with_open(&mut command, &outside).output().expect("fleet runs")).expect(0).stdout;
    assert_eq!(said, "/\n");
    world.destroy();
}

/// `command`, with `file` open as descriptor 3, as a shell's `3<` does it.
fn with_open<'a>(command: &'a mut std::process::Command, file: &File) -> &'a mut std::process::Command {
    let script =
        format!("exec \"$0\" \"$@\" 3< /proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(file));
    let mut wrapped = std::process::Command::new("sh");
    wrapped.arg("-c").arg(script).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(key, value),
            None => wrapped.env_remove(key),
        };
    }
    wrapped.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    *command = wrapped;
    command
}

#[test]
fn a_command_is_as_confined_as_the_container() {
    let world = two();
    // Nothing of the host's is open: pipes of its own, and what ls reads the directory with.
    let mut command = world.command(&["exec", "inside-1", "--", "ls", "-l", "/proc/self/fd"]);
    let outside = File::open("/var").expect("it is there");
    let secret = world.dir.path().join("secret");
    fs::write(&secret, "the host's").expect("written");
    let command = with_open(&mut command, &outside).stdin(File::open(&secret).expect("it is there"));
    let said = ran(&command.output().expect("fleet runs")).expect(0).stdout;
    let opened: Vec<&str> = said.lines().filter_map(|line| line.split_once(" -> ")).map(|(_, target)| target).collect();
    assert!(opened.len() == 3 && opened.iter().all(|target| target.starts_with("pipe:")), "{said}");
    assert_eq!(said.lines().count(), "total 0 1 2 3".split(' ').count(), "{said}");
    // The pipes are its user's, so that it can open them once more.
    assert_eq!(exec(&world, &["--user", "dev"], "echo hello > /dev/stdout").expect(0).stdout, "hello\n");

    let of_init = |field: &str| {
        let status = fs::read_to_string(format!("/proc/{}/status", world.pid("inside-1"))).expect("readable");
        status.lines().find(|line| line.starts_with(field)).map(str::to_owned)
    };
    // As nohup(1) would start fleet: what it ignores is no matter of the guest's.
    let script =
        format!("trap '' INT TERM; exec {} exec inside-1 -- cat /proc/self/status", env!("CARGO_BIN_EXE_fleet"));
    let mut ignoring = std::process::Command::new("sh");
    ignoring.args(["-c", &script]).env("FLEET_ROOT", world.root()).stdin(Stdio::null());
    let status = ran(&ignoring.output().expect("sh runs")).expect(0).stdout;
    let of_command = |field: &str| status.lines().find(|line| line.starts_with(field)).map(str::to_owned);
    for field in ["CapBnd", "NoNewPrivs"] {
        assert_eq!(of_command(field), of_init(field), "{field}");
    }
    for field in ["SigIgn", "SigBlk"] {
        let mask = of_command(field).and_then(|line| u64::from_str_radix(line.split_once('\t')?.1, 16).ok());
        // 32 and 33 are the C library's own.
        assert_eq!(mask.map(|mask| mask & 0x7fff_ffff), Some(0), "{field}");
    }
    assert_ne!(of_command("CapBnd"), Some("CapBnd:\t000001ffffffffff".to_owned()));
    // In every hierarchy it is in the container's group or below, and nothing of the host shows.
    let groups = exec(&world, &[], "cat /proc/self/cgroup").expect(0).stdout;
    for line in groups.lines() {
        let path = line.splitn(3, ':').nth(2).expect("three fields");
        assert!(path == "/" || path == "/fleet.exec", "{groups}");
    }
    for namespace in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        let inside = exec(&world, &[], &format!("readlink /proc/self/ns/{namespace}")).expect(0).stdout;
        let init = fs::read_link(format!("/proc/{}/ns/{namespace}", world.pid("inside-1"))).expect("readable");
        assert_eq!(inside.trim(), init.display().to_string());
    }
    // Neither does it have a terminal of the host's to type into.
    let script =
        format!("true | {} exec inside-1 -- sh -c 'echo typed > /dev/tty' 2>/dev/null", env!("CARGO_BIN_EXE_fleet"));
    let output = std::process::Command::new("script")
        .args(["-qec", &script, "/dev/null"])
        .env("FLEET_ROOT", world.root())
        .stdin(Stdio::null())
        .output();
    assert_eq!(ran(&output.expect("script runs")).stdout, "");
    // A guest that spoils the group of commands does not keep them out.
    world.sh("inside-1", "mkdir -p /sys/fs/cgroup/x; rmdir /sys/fs/cgroup/fleet.exec 2>/dev/null; true");
    world.sh("inside-1", "true");
    world.destroy();
}

/// Waits until the program has written `text` to its standard output.
fn wait_for(child: &mut Child, text: &str) {
    let stdout = child.stdout.as_mut().expect("piped");
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let mut byte = [0];
        assert_eq!(stdout.read(&mut byte).expect("readable"), 1, "it ended: {}", String::from_utf8_lossy(&seen));
        seen.push(byte[0]);
    }
}

#[test]
fn signals_reach_the_command_and_its_status_comes_back() {
    let world = two();
    let trap = "trap 'echo got; exit 9' INT TERM HUP QUIT; echo ready; while :; do sleep 60; done";
    for signal in ["INT", "TERM", "HUP", "QUIT"] {
        let mut child =
            world.command(&["exec", "inside-1", "--", "sh", "-c", trap]).process_group(0).spawn().expect("fleet");
        wait_for(&mut child, "ready");
        host("kill", &["-s", signal, &child.id().to_string()]);
        let ended = ran(&child.wait_with_output().expect("ended")).expect(9);
        assert_eq!(ended.stdout, "\ngot\n", "{signal}");
    }
    // One that does not catch it ends by it.
    let mut child = world.spawn(&["exec", "inside-1", "--", "sh", "-c", "echo ready; exec sleep 60"]);
    wait_for(&mut child, "ready");
    host("kill", &["-s", "TERM", &child.id().to_string()]);
    ran(&child.wait_with_output().expect("ended")).expect(128 + 15);
    // Of many too.
    let mut child = world.spawn(&["exec", "inside-*", "--", "sh", "-c", "echo ready; exec sleep 60"]);
    wait_for(&mut child, "ready");
    wait_for(&mut child, "ready");
    host("kill", &["-s", "INT", &child.id().to_string()]);
    ran(&child.wait_with_output().expect("ended")).expect(128 + 2);
    assert_eq!(world.sh("inside-1", "pgrep sleep || true"), "");
    world.destroy();
}

#[test]
fn a_hundred_megabytes_pass_both_ways_byte_for_byte() {
    let world = two();
    let path = world.dir.path().join("large");
    let mut state = 0x9e37_79b9_u32;
    let bytes: Vec<u8> = (0..100_000_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect();
    fs::write(&path, &bytes).expect("written");
    let output = fed(&world, &["exec", "inside-1", "--", "cat"], File::open(&path).expect("it is there"));
    assert!(output.status.success());
    assert!(output.stdout == bytes, "{} bytes came back", output.stdout.len());
    // Who stops reading stops the command, and what the command does not read stays in its file.
    let fleet = env!("CARGO_BIN_EXE_fleet");
    let loops = format!(
        "{fleet} exec inside-1 -- yes | head -n1; while read line; do {fleet} exec inside-1 -- echo $line; done < lines"
    );
    fs::write(world.dir.path().join("lines"), "one\ntwo\nthree\n").expect("written");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &loops]).env("FLEET_ROOT", world.root()).current_dir(world.dir.path());
    assert_eq!(ran(&command.output().expect("sh runs")).expect(0).stdout, "y\none\ntwo\nthree\n");
    world.destroy();
}

#[test]
fn a_terminal_can_be_forced_and_forbidden() {
    let world = two();
    assert!(exec(&world, &["-t"], "tty; stty size").expect(0).stdout.starts_with("/dev/pts/"));
    assert_eq!(exec(&world, &["-t", "--user", "dev"], "test -O $(tty) && echo mine").expect(0).stdout, "mine\r\n");
    assert_eq!(exec(&world, &["-T"], "tty").stdout, "not a tty\n");
    exec(&world, &["-t", "-T"], "true").expect(64);
    // A terminal's input ends as a terminal's does.
    let mut input = tempfile::tempfile().expect("a file");
    input.write_all(b"no line end").and_then(|()| std::io::Seek::rewind(&mut input)).expect("written");
    let output = ran(&fed(&world, &["exec", "-t", "inside-1", "--", "sh", "-c", "stty -echo; cat"], input)).expect(0);
    assert!(output.stdout.contains("no line end"), "{output:?}");
    world.destroy();
}

#[test]
fn a_command_in_many_containers_ends_with_the_worst_and_stops_for_none() {
    let world = two();
    let script = "case $(hostname) in *-1) exit 3;; esac; echo out; echo err >&2; exit 2";
    let ended = world.fleet(&["exec", "--all", "--", "sh", "-c", script]).expect(3);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("inside-2 | out\n", "inside-2 | err\n"));
    world.fleet(&["stop", "inside-1"]).expect(0);
    let ended = world
        .fleet(&[
            "exec",
            "inside-*",
            "-o",
            "json",
            "-u",
            "0",
            "-w",
            "/etc",
            "-e",
            "A=b c",
            "--",
            "sh",
            "-c",
            "echo $PWD $A",
        ])
        .expect(1);
    let results = ended.json()["results"].clone();
    assert_eq!(results[0]["name"], "inside-1");
    assert_eq!(results[0]["status"], 1);
    assert!(results[0]["stderr"].as_str().is_some_and(|text| text.contains("does not run")), "{results}");
    assert_eq!(results[1], serde_json::json!({"name": "inside-2", "status": 0, "stdout": "/etc b c\n", "stderr": ""}));
    world.fleet(&["exec", "-t", "--all", "--", "true"]).expect(64);
    // One container has the same document.
    let one = world.fleet(&["exec", "inside-2", "-o", "json", "--", "sh", "-c", "echo hi; exit 4"]).expect(4);
    assert_eq!(
        one.json()["results"],
        serde_json::json!([{"name": "inside-2", "status": 4, "stdout": "hi\n", "stderr": ""}])
    );
    world.destroy();
}

/// A terminal that a program of the test's sits at.
struct Terminal {
    master: File,
    child: Child,
    seen: String,
}

impl Terminal {
    fn run(world: &World, args: &[&str]) -> Terminal {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("it can be used");
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let slave =
            File::options().read(true).write(true).open(name.to_str().expect("text")).expect("it can be opened");
        let mut terminal = Terminal { master: master.into(), child: world.spawn(&["--version"]), seen: String::new() };
        terminal.resize(24, 80);
        let copy = || Stdio::from(slave.try_clone().expect("cloned"));
        // In a session of its own, with this as its terminal.
        let child = std::process::Command::new("setsid")
            .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_fleet")])
            .args(args)
            .env("FLEET_ROOT", world.root())
            .env("TERM", "vt220")
            .stdin(copy())
            .stdout(copy())
            .stderr(copy())
            .spawn();
        terminal.child.wait().expect("it ends at once");
        terminal.child = child.expect("setsid runs");
        terminal
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.master, size).expect("it is a terminal");
    }

    fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).expect("typed");
    }

    /// Waits until `text` has been shown after what was waited for before.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        let mut bytes = [0; 256];
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let count = self.master.read(&mut bytes).unwrap_or(0);
            assert!(count > 0, "it ended without `{text}`: {}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }
}

#[test]
fn a_shell_is_the_users_login_shell_at_this_terminal() {
    let world = two();
    let mut terminal = Terminal::run(&world, &["shell", "inside-1"]);
    terminal.shows("# ");
    terminal.type_in("echo \"<$0>\" $TERM $HOME; stty size\n");
    terminal.shows("<-sh> vt220 /root\r\n24 80\r\n");
    // A window that changes is seen, sooner or later.
    terminal.resize(50, 132);
    terminal.type_in("until [ \"$(stty size)\" = '50 132' ]; do sleep 0.1; done; echo grown $((1+1))\n");
    terminal.shows("grown 2");
    // What is typed is the guest's: this ends the sleep, not fleet.
    terminal.type_in("sh -c 'echo be''gun; exec sleep 60'\n");
    terminal.shows("begun");
    terminal.type_in("\u{3}");
    terminal.shows("# ");
    terminal.type_in("exit 7\n");
    assert_eq!(terminal.child.wait().expect("ended").code(), Some(7));
    let mut terminal = Terminal::run(&world, &["shell", "inside-1", "--user", "dev"]);
    terminal.shows("$ ");
    terminal.type_in("id -un; pwd; exit\n");
    terminal.shows("dev\r\n/home/dev\r\n");
    terminal.child.wait().expect("ended");

    // A script is as good as somebody who types; a shell that is missing is no reason to stay out.
    let script = |text: &str| {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(text.as_bytes()).and_then(|()| std::io::Seek::rewind(&mut file)).expect("written");
        ran(&fed(&world, &["shell", "inside-1"], file))
    };
    assert_eq!(script("echo $0; exit 3").expect(3).stdout, "-sh\n");
    world.sh("inside-1", "sed -i 's,^\\(root:.*\\):[^:]*$,\\1:/bin/of-another-image,' /etc/passwd");
    assert_eq!(script("echo $0 $SHELL").expect(0).stdout, "-sh /bin/of-another-image\n");
    world.sh("inside-1", "sed -i 's,:[^:]*$,:/bin/false,' /etc/passwd");
    script("echo never").expect(1);
    world.destroy();
}

#[test]
fn a_frozen_container_stands_still_and_goes_on() {
    let world = two();
    world.sh("inside-1", "(while :; do date +%s%N > /dev/shm/beat; done) >/dev/null 2>&1 &");
    eventually("it beats", || !world.sh("inside-1", "cat /dev/shm/beat 2>/dev/null || true").is_empty());
    world.fleet(&["freeze", "inside-1"]).expect(0);
    let status = world.container("inside-1");
    assert_eq!((&status["state"], &status["drift"]), (&"frozen".into(), &serde_json::json!([])), "{status}");
    assert_eq!(world.state("inside-2"), "running");
    assert_eq!(world.changes(), 0);
    let beat = || {
        let path = format!("/proc/{}/root/dev/shm/beat", world.pid("inside-1"));
        fs::read_to_string(path).expect("readable")
    };
    let (before, cpu_before) = (beat(), cpu_ticks(&world));
    world.sh("inside-2", "for i in 1 2 3 4 5 6 7 8 9; do date; done");
    assert_eq!((beat(), cpu_ticks(&world)), (before, cpu_before));

    let refused = world.fleet(&["exec", "inside-1", "--", "true"]).expect(1);
    insta::assert_snapshot!(refused.stderr, @r"
    error: the container `inside-1` is frozen: a command in it would stand still
      hint: let it go on with `fleet thaw inside-1`
    ");
    // Its limits can be changed, and again that is all there is to do.
    world.write(&TWO.replace("96MiB", "80MiB")).fleet(&["apply"]).expect(0);
    let status = world.container("inside-1");
    assert_eq!((&status["state"], &status["memory"]["limit"]), (&"frozen".into(), &(80 << 20).into()), "{status}");
    assert_eq!(world.changes(), 0);
    // Freezing what is frozen, and thawing what is not, is done already.
    let all = world.fleet(&["freeze", "--all", "-o", "json"]).expect(0);
    assert_eq!(all.json(), serde_json::json!({"done": ["inside-1", "inside-2"], "failed": []}));
    world.fleet(&["thaw", "inside-*"]).expect(0);
    world.fleet(&["thaw", "inside-1"]).expect(0);
    assert_eq!(world.state("inside-1"), "running");
    let before = beat();
    eventually("it goes on", || beat() != before);

    // Stopping it lets its init shut down, destroying it kills it.
    world.fleet(&["freeze", "inside-1"]).expect(0);
    world.fleet(&["stop", "inside-1"]).expect(0);
    assert_eq!(world.state("inside-1"), "stopped");
    let some = world.fleet(&["freeze", "inside-*", "-o", "json"]).expect(1).json();
    assert_eq!((&some["done"], &some["failed"][0]["name"]), (&serde_json::json!(["inside-2"]), &"inside-1".into()));
    world.destroy();
}

/// The processor time of all processes of the first container, in ticks.
fn cpu_ticks(world: &World) -> Vec<String> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace(&world.pid("inside-1").to_string());
    let stat = |pid: &String| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let ticks = |stat: String| stat.split(' ').skip(13).take(2).collect::<Vec<_>>().join("+");
    world::names_in(std::path::Path::new("/proc"))
        .iter()
        .filter(|pid| own.is_some() && namespace(pid) == own)
        .map(|pid| ticks(stat(pid)))
        .collect()
}

#[test]
fn files_go_in_and_out_with_owners_of_the_side_that_they_come_to() {
    let world = two();
    let here = |path: &str| world.dir.path().join(path);
    fs::create_dir_all(here("site/sub")).expect("made");
    fs::write(here("site/sub/run"), "#!/bin/sh\necho ran\n").expect("written");
    fs::set_permissions(here("site/sub/run"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("set");
    std::os::unix::fs::symlink("sub/run", here("site/link")).expect("a link");
    std::os::unix::fs::chown(here("site/sub/run"), Some(4711), Some(4711)).expect("root may");

    let copied = world.fleet(&["cp", "site", "inside-1:/srv"]).expect(0);
    assert_eq!(copied.stderr, "Copied 1 file (19B), 2 directories, 1 link\n");
    assert_eq!(world.sh("inside-1", "/srv/link; stat -c '%u %g %a' /srv/sub/run"), "ran\n0 0 755\n");
    world.fleet(&["cp", "--owner", "1000", "site/.", "inside-1:/home/dev"]).expect(0);
    assert_eq!(world.sh("inside-1", "stat -c '%u %g' /home/dev/sub/run /home/dev/sub"), "1000 1000\n1000 1000\n");
    // Into what is mounted in it too, as long as that stores files.
    world.fleet(&["cp", "site/sub/run", "inside-1:/dev/shm/"]).expect(0);
    assert_eq!(world.sh("inside-1", "stat -c %u /dev/shm/run; sh /dev/shm/run"), "0\nran\n");
    world.fleet(&["cp", "site/sub/run", "inside-1:/nowhere/"]).expect(1);

    world.sh("inside-1", "chown 1000:1000 /srv/sub/run; chmod 6755 /srv/sub/run; mkfifo /srv/pipe");
    let out = world.fleet(&["cp", "inside-1:/srv", "out", "-o", "json"]).expect(0).json();
    assert_eq!(
        out["copied"],
        serde_json::json!({"files": 1, "directories": 2, "links": 1, "bytes": 19,
            "skipped": [{"path": "pipe", "why": "it is a device, a pipe or a socket"}]})
    );
    let metadata = fs::metadata(here("out/sub/run")).expect("it is there");
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (0, 0, 0o755));
    assert_eq!(fs::read_link(here("out/link")).expect("a link"), std::path::Path::new("sub/run"));

    // The same of one that does not run, and as a stream from one to the other.
    world.fleet(&["stop", "inside-2"]).expect(0);
    world.fleet(&["cp", "site", "inside-2:/srv"]).expect(0);
    let fleet = env!("CARGO_BIN_EXE_fleet");
    let pipe = format!("{fleet} cp inside-1:/home/dev - | {fleet} cp --owner 5:6 - inside-2:/srv");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &pipe]).env("FLEET_ROOT", world.root()).current_dir(world.dir.path());
    ran(&command.output().expect("sh runs")).expect(0);
    world.fleet(&["cp", "inside-2:/srv/sub/run", "back"]).expect(0);
    assert_eq!(fs::read(here("back")).expect("readable"), fs::read(here("site/sub/run")).expect("readable"));
    world.fleet(&["start", "inside-2"]).expect(0);
    assert_eq!(world.sh("inside-2", "stat -c '%u %g' /srv/sub/run /srv/dev/sub/run"), "0 0\n5 6\n");

    let refused = world.fleet(&["cp", "inside-1:/etc", "inside-2:/srv"]).expect(64);
    insta::assert_snapshot!(refused.stderr, @r"
    error: it copies between the host and one container, not between containers
      hint: use a tar stream: `fleet cp inside-1:SRC - | fleet cp - inside-2:DST`
    ");
    world.fleet(&["cp", "nobody:/etc", "out"]).expect(1);
    assert!(world.fleet(&["cp", "inside-1:/absent", "out"]).expect(1).stderr.contains("there is no `/absent`"));
    world.destroy();
}

#[test]
fn a_hostile_guest_gains_nothing_by_what_is_copied() {
    let world = two();
    let here = |path: &str| world.dir.path().join(path);
    fs::write(here("secret"), "the host's").expect("written");
    fs::write(here("new"), "new").expect("written");
    let outside = world.dir.path().display();
    // Links out of the root, at every place of a path.
    world.sh("inside-1", &format!("ln -s {outside} /out; ln -s {outside}/secret /file; ln -s /proc/1/root /door"));
    world.fleet(&["cp", "inside-1:/out/secret", "got"]).expect(1);
    world.fleet(&["cp", "inside-1:/out/", "got"]).expect(1);
    world.fleet(&["cp", "inside-1:/door/etc/hostname", "got"]).expect(1);
    world.fleet(&["cp", "new", "inside-1:/out/secret"]).expect(1);
    world.fleet(&["cp", "new", "inside-1:/file"]).expect(0);
    world.fleet(&["cp", "new", "inside-1:/door/tmp/x"]).expect(1);
    assert_eq!(fs::read_to_string(here("secret")).expect("it is there"), "the host's");
    assert!(!here("got").exists());
    // The kernel's files, through a link: written by the host they would be the host's.
    world.sh("inside-1", "ln -s /proc/sys/kernel /release; ln -s /proc/sysrq-trigger /log");
    let before = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("readable");
    world.fleet(&["cp", "new", "inside-1:/release/core_pattern"]).expect(1);
    world.fleet(&["cp", "inside-1:/release/", "got"]).expect(1);
    let _ = world.fleet(&["cp", "new", "inside-1:/log"]);
    assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").expect("readable"), before);
    // All of it: no mount of the guest's is entered, nothing hangs, and what was copied stays below.
    world.sh("inside-1", "mkdir -p /etc/deep; mkfifo /etc/deep/pipe; ln -s ../../.. /etc/deep/up");
    let all = world.fleet(&["cp", "inside-1:/", "all", "-o", "json"]).expect(0).json();
    let skipped = all["copied"]["skipped"].as_array().cloned().unwrap_or_default();
    let why = |path: &str| skipped.iter().find(|one| one["path"] == path).map(|one| one["why"].clone());
    assert_eq!(why("proc"), Some("another file system is mounted there".into()), "{skipped:?}");
    assert_eq!(why("etc/deep/pipe"), Some("it is a device, a pipe or a socket".into()), "{skipped:?}");
    // And a second copy does not follow the links of the first.
    world.sh("inside-1", "rm /etc/deep/up; mkdir /etc/deep/up; echo mine > /etc/deep/up/secret");
    world.fleet(&["cp", "inside-1:/etc/.", "all/etc"]).expect(1);
    assert_eq!(fs::read_to_string(here("secret")).expect("it is there"), "the host's");
    // A tree that changes all the time.
    world.sh(
        "inside-1",
        &format!(
            "mkdir -p /race/d; echo x > /race/d/f; (while :; do mv /race/d /race/e; ln -s {outside} /race/d; rm /race/d; \
             mv /race/e /race/d; done) >/dev/null 2>&1 &"
        ),
    );
    for round in 0..30 {
        let _ = world.fleet(&["cp", "new", "inside-1:/race/d/secret"]);
        let _ = world.fleet(&["cp", "inside-1:/race", &format!("races/{round}")]);
        fs::create_dir_all(here("races")).expect("made");
    }
    assert_eq!(fs::read_to_string(here("secret")).expect("it is there"), "the host's");
    for round in world::names_in(&here("races")) {
        let copied = here("races").join(round).join("d");
        let is_link = fs::symlink_metadata(&copied).is_ok_and(|metadata| metadata.is_symlink());
        assert!(is_link || !copied.join("new").exists(), "the host's own files came through");
    }
    world.destroy();
    assert_eq!(fs::read_to_string(here("secret")).expect("it is there"), "the host's");
}

#[test]
fn a_large_file_is_copied_whole_both_ways() {
    let world = two();
    let path = world.dir.path().join("large");
    let mut file = File::create(&path).expect("made");
    let piece: Vec<u8> = (0..1_000_003_u32).map(|number| (number % 253) as u8).collect();
    for _ in 0..100 {
        file.write_all(&piece).expect("written");
    }
    world.fleet(&["cp", "large", "inside-1:/root/large"]).expect(0);
    let sum = |text: String| text.split(' ').next().map(str::to_owned);
    let expected = sum(host("sha256sum", &[&path.display().to_string()]));
    assert_eq!(sum(world.sh("inside-1", "sha256sum /root/large")), expected);
    world.fleet(&["cp", "inside-1:/root/large", "back"]).expect(0);
    assert_eq!(sum(host("sha256sum", &[&world.dir.path().join("back").display().to_string()])), expected);
    world.destroy();
}

#[test]
fn capabilities_of_programs_that_are_copied_in_count_in_the_guest_alone() {
    let world = two();
    let program = world.dir.path().join("program");
    fs::copy("/bin/busybox", &program).expect("busybox-static is installed");
    // What `setcap cap_net_raw+ep` writes.
    let value = [&0x0200_0001_u32.to_le_bytes()[..], &0x2000_u32.to_le_bytes(), &[0; 12]].concat();
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&program, "security.capability", &value, flags).expect("we are root");
    rustix::fs::setxattr(&program, "user.note", b"kept", flags).expect("the file system keeps them");
    let effective = |name: &str| {
        let show = ["exec", "--user", "1000:1000", name, "--", "/busybox", "grep", "CapEff", "/proc/self/status"];
        world.fleet(&show).expect(0).stdout
    };
    world.fleet(&["stop", "inside-2"]).expect(0);
    for name in ["inside-1", "inside-2"] {
        world.fleet(&["cp", "program", &format!("{name}:/busybox")]).expect(0);
        world.fleet(&["start", name]).expect(0);
        assert_eq!(effective(name), "CapEff:\t0000000000002000\n", "{name}");
        world.fleet(&["cp", &format!("{name}:/busybox"), "back"]).expect(0);
        let back = world.dir.path().join("back");
        let mut buffer = [0; 64];
        rustix::fs::getxattr(&back, "security.capability", &mut buffer[..]).expect_err("the host gets none");
        assert_eq!(rustix::fs::getxattr(&back, "user.note", &mut buffer[..]).expect("it came along"), 4);
    }
    world.destroy();
}
