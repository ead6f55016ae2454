//! Images of registries that are made for one program: run below fleet's own init, which nobody inside gets hold of.

mod mirror;
mod world;

use std::fs;
use std::time::{Duration, Instant};

use mirror::{Image, Layer, Packing, Server};
use serde_json::{Value, json};
use world::{World, eventually, host};

const STOP_TIMEOUT_S: u64 = 60;

/// What every image here has: a shell, and two users.
const BELOW: &str = "mkdir -p bin tmp etc opt; chmod 1777 tmp; cp /bin/busybox bin
    for applet in sh cat id ls ps sleep readlink dd env grep stat kill setsid true; do ln -s busybox bin/$applet; done
    printf 'root:x:0:0:root:/root:/bin/sh\\napp:x:500:600::/tmp:/bin/sh\\n' > etc/passwd
    printf 'root:x:0:\\nstaff:x:700:app\\n' > etc/group";

/// Tells what it was started with, leaves an orphan behind, and ends as it is told to.
const PROGRAM: &str = r#"#!/bin/sh
trap 'echo told > /tmp/told; exit 7' QUIT
trap 'exit 3' USR1
{ pwd; id -u; id -G; env | grep -E '^(A|B|HOME|PATH)='; echo "$@"; readlink /proc/self/fd; ls /proc/self/fd; } > /tmp/begin
(sleep 0.1 & exec true) &
echo ready > /tmp/ready
echo running
while :; do sleep 1 & wait $!; done
"#;

/// What root inside may not do with the first process. Prints each attempt that did not fail.
const ATTACKS: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
static void must_fail(const char *what, long result) { if (result >= 0) printf("%s worked\n", what); }
int main(void) {
    static const char *files[] = {"mem", "maps", "environ", "exe", "auxv", "map_files", "stack", "syscall", "root", "cwd", "fd"};
    char path[64], text[4096];
    must_fail("attaching", ptrace(PTRACE_ATTACH, 1, 0, 0));
    must_fail("seizing", ptrace(PTRACE_SEIZE, 1, 0, 0));
    struct iovec here = {text, sizeof text}, there = {(void *)main, 16};
    must_fail("reading its memory", process_vm_readv(1, &here, 1, &there, 1, 0));
    must_fail("writing its memory", process_vm_writev(1, &here, 1, &there, 1, 0));
    int pidfd = syscall(SYS_pidfd_open, 1, 0);
    for (int fd = 0; fd < 8; fd++) must_fail("taking a descriptor", syscall(SYS_pidfd_getfd, pidfd, fd, 0));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "/proc/1/%s", files[i]);
        int fd = open(path, O_RDONLY);
        must_fail(path, fd < 0 ? -1 : read(fd, text, sizeof text) > 0 ? 0 : -1);
        must_fail(path, readlink(path, text, sizeof text));
        must_fail(path, open(path, O_WRONLY));
    }
    int fd = open("/proc/1/cmdline", O_RDONLY);
    ssize_t length = fd < 0 ? 0 : read(fd, text, sizeof text);
    for (ssize_t i = 0; i < length; i++) if (text[i]) { printf("its command line is there\n"); break; }
    fd = open("/proc/self/environ", O_RDONLY);
    must_fail("this test cannot fail", fd >= 0 && read(fd, text, sizeof text) > 0 ? -1 : 0);
    return 0;
}
"#;

/// An image with the program `/opt/program`, and `config`.
fn image(config: Value) -> Image {
    let dir = tempfile::Builder::new().prefix("fleet-layer-").tempdir_in("/var/tmp").expect("a directory");
    fs::write(dir.path().join("program"), PROGRAM).expect("written");
    fs::write(dir.path().join("attacks.c"), ATTACKS).expect("written");
    mirror::run(dir.path(), "cc", &["-static", "-Wall", "-Werror", "-o", "attacks", "attacks.c"]);
    let own = format!("{BELOW}\ncp {0}/program {0}/attacks opt; chmod 755 opt/*", dir.path().display());
    let mut image = Image::new(&[Layer::made_by(&own, Packing::Gzip)], "2024-11-01T05:24:00Z");
    image.config["config"] = config;
    image.publish();
    image
}

fn program() -> Value {
    json!({"Entrypoint": ["program"], "Cmd": ["one", "two words"], "User": "app", "WorkingDir": "/srv/work",
        "Env": ["PATH=/opt:/bin", "A=1", "B=x=y"], "StopSignal": "SIGQUIT"})
}

fn fleet(server: &Server, subnet: u8, more: &str) -> String {
    format!(
        "fleet: entry\nnetwork: {{subnet: 10.211.{subnet}.0/24}}\ncontainers:\n  \
         ee: {{image: 'oci:{}/app:1', stop_timeout: {STOP_TIMEOUT_S}{more}}}\n",
        &server.url()[7..]
    )
}

#[test]
fn its_program_runs_as_the_image_says_and_ends_when_it_is_told() {
    let image = image(program());
    let server = Server::new(&image.path());
    let world = World::new();
    world.write(&fleet(&server, 121, ", init: entrypoint"));
    world.fleet(&["apply", "-y"]).expect(0);
    eventually("it says so", || world.fleet(&["logs", "ee"]).stdout.contains("running"));
    let begin = world.sh("ee", "cat /tmp/begin");
    let mut said: Vec<&str> = begin.lines().collect();
    said[3..7].sort_unstable();
    assert_eq!(
        said[..8],
        ["/srv/work", "500", "600 700", "A=1", "B=x=y", "HOME=/tmp", "PATH=/opt:/bin", "one two words"],
        "{begin}"
    );
    assert_eq!(said[8..], ["0", "1", "2", "3"], "it has no descriptor but its own (3 is that of ls): {begin}");
    assert_eq!(world.sh("ee", "cat /proc/1/comm"), "init\n");
    eventually("the orphan is taken in", || {
        world.sh("ee", "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null || true").is_empty()
    });
    assert_eq!(world.container("ee")["init"], Value::Null);
    assert_eq!(world.changes(), 0);

    let asked = Instant::now();
    world.fleet(&["stop", "ee"]).expect(0);
    assert!(asked.elapsed() < Duration::from_secs(STOP_TIMEOUT_S / 2), "the stop was a kill");
    let told = world.root().join("lxc/ee/fs/upper/tmp/told");
    assert_eq!(fs::read_to_string(told).expect("it had time"), "told\n");
    let last = &world.container("ee")["last_exit"];
    assert_eq!((&last["how"], &last["status"]), (&json!("exited"), &json!(7)));
    world.destroy();
}

#[test]
fn its_status_counts_for_the_restart_policy() {
    let image = image(program());
    let server = Server::new(&image.path());
    let world = World::new();
    world.write(&fleet(&server, 122, ", init: entrypoint, restart: on-failure"));
    world.fleet(&["apply", "-y"]).expect(0);
    eventually("it says so", || world.fleet(&["logs", "ee"]).stdout.contains("running"));
    let of_program =
        "grep -l '^PPid:.1$' $(grep -l '^Name:.program' /proc/[0-9]*/status) | { IFS=/ read -r _ _ pid _; echo $pid; }";
    for (end, status) in [("kill -USR1 1".to_owned(), 3), (format!("kill -9 $({of_program})"), 137)] {
        let end = format!(": > /tmp/ready; {end}");
        let before = world.pid("ee");
        world.last_words("ee", &end);
        eventually(&format!("it runs again after {end}"), || {
            let status = world.container("ee");
            status["state"] == "running" && status["pid"] != before
        });
        let last = &world.container("ee")["last_exit"];
        assert_eq!((&last["how"], &last["status"]), (&json!("exited"), &json!(status)));
        let is_ready = || world.fleet(&["exec", "ee", "--", "/bin/grep", "-q", "ready", "/tmp/ready"]).status == 0;
        eventually("it has begun", is_ready);
    }
    world.destroy();
}

#[test]
fn nobody_inside_gets_hold_of_the_first_process() {
    let image = image(program());
    let server = Server::new(&image.path());
    let world = World::new();
    let own = fleet(&server, 123, ", init: entrypoint, nesting: true");
    let other = own.lines().last().expect("a container").replace("ee:", "oo:").replace("entrypoint", "/opt/program");
    world.write(&format!("{own}{other}\n"));
    let apply = world.command(&["apply", "-y"]).env("SECRET_OF_THE_HOST", "xyzzy").output().expect("fleet runs");
    assert!(apply.status.success(), "{apply:?}");
    let pid = world.pid("ee");
    assert_eq!(world.sh("ee", "/opt/attacks"), "");
    assert!(world.sh("oo", "/opt/attacks").lines().count() > 10, "of another first process all that works");
    // Nor is there anything to be got: this host's root sees it.
    for file in ["cmdline", "environ"] {
        let text = fs::read(format!("/proc/{pid}/{file}")).expect("readable");
        assert!(text.iter().all(|byte| *byte == 0), "{file}: {}", String::from_utf8_lossy(&text));
    }
    let descriptors = world::names_in(format!("/proc/{pid}/fd").as_ref());
    assert_eq!(descriptors.len(), 5, "{descriptors:?}");
    let console = |fd: &String| fs::read_link(format!("/proc/{pid}/fd/{fd}")).expect("a link").display().to_string();
    let own: Vec<String> = descriptors.iter().map(console).filter(|path| path != "/dev/pts/0").collect();
    assert_eq!(own, ["/dev/pts/ptmx", "anon_inode:[pidfd]"], "its console, and the program");
    // A monitor that was killed leaves it running, and another goes on with it.
    let monitor = world.container("ee")["monitor"].clone();
    host("kill", &["-9", &monitor.to_string()]);
    eventually("it is missed", || world.changes() == 1);
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(world.pid("ee"), pid);
    world.sh("ee", "echo to the console > /proc/$(grep -l '^Name:.program' /proc/[0-9]*/status | { IFS=/ read -r _ _ pid _; echo $pid; })/fd/1");
    eventually("its console is heard", || world.fleet(&["logs", "ee"]).stdout.contains("to the console"));
    world.destroy();
}

#[test]
fn what_cannot_be_started_is_said_before_it_is() {
    let mut image = image(program());
    let server = Server::new(&image.path());
    let world = World::new();
    world.write(&fleet(&server, 124, ""));
    let told = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with(['!', ' ']) || line.contains(": failed: "));
        lines.collect::<Vec<_>>().join("\n")
    };
    // At first nobody knows what is in it; then it is found before anything is made.
    insta::assert_snapshot!(told(&world.fleet(&["apply", "-y"]).expect(1).stderr), @r"
    ee: failed: cannot start anything in `ee`: its image has no `/sbin/init`
      hint: run the program that the image is made for with `init: entrypoint`, or another one with `init: /path`
    ");
    insta::assert_snapshot!(told(&world.fleet(&["apply", "-y"]).expect(1).stderr), @r"
    ! ee  its image has no `/sbin/init`
      hint: run the program that the image is made for with `init: entrypoint`, or another one with `init: /path`
    ");
    world.write(&fleet(&server, 124, ", init: entrypoint, privileged: true"));
    let rejected = world.fleet(&["plan"]).expect(64).stderr;
    assert!(rejected.contains("`init: entrypoint` and `privileged: true` exclude each other"), "{rejected}");

    image.config["config"] = json!({"Cmd": ["no-such-program"]});
    image.publish();
    world.write(&fleet(&server, 124, ", init: entrypoint"));
    fs::remove_file(world.dir.path().join("fleet.lock")).expect("it was written");
    world.fleet(&["image", "prune"]).expect(0);
    insta::assert_snapshot!(told(&world.fleet(&["apply", "-y"]).expect(1).stderr), @r"
    ee: failed: cannot start `ee`
      because: cannot start its program: cannot execute `no-such-program` in the container: No such file or directory
    ");
    image.config["config"] = json!({});
    image.publish();
    world.fleet(&["destroy", "-y"]).expect(0);
    world.fleet(&["image", "prune"]).expect(0);
    world.fleet(&["update"]).expect(0);
    insta::assert_snapshot!(told(&world.fleet(&["apply", "-y"]).expect(1).stderr), @r"
    ee: failed: cannot start anything in `ee`: its image names no program that it is made for
      hint: name the program with `init: /path`
    ");
    world.destroy();
}
