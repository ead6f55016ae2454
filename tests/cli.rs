//! The command line as its users see it: help, exit statuses, what goes to which stream.

use std::process::{Command, Output};

/// `fleet` with `arguments`, nothing of this test's own environment, in an empty directory.
fn fleet(arguments: &[&str]) -> Output {
    let empty = tempfile::tempdir().expect("a temporary directory");
    Command::new(env!("CARGO_BIN_EXE_fleet"))
        .args(arguments)
        .env_clear()
        .current_dir(empty.path())
        .output()
        .expect("the program is built")
}

fn status(output: &Output) -> i32 {
    output.status.code().expect("no signal ended it")
}

/// Help has spaces at the ends of empty lines; they mean nothing.
fn trimmed(text: &str) -> String {
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("output is UTF-8")
}

#[test]
fn the_help_lists_every_verb_and_option() {
    let help = fleet(&["--help"]);
    assert_eq!((status(&help), text(&help.stderr)), (0, ""));
    insta::assert_snapshot!(trimmed(text(&help.stdout)), @"
    Turns a YAML file into running system containers

    `fleet` reads a fleet file, looks at the host, shows the difference, and makes the host what the
    file says.

    Usage: fleet [OPTIONS] <COMMAND>

    Commands:
      validate    Check fleet files, and show everything that is wrong with them
      plan        Show what `apply` would do, and do nothing [alias: diff]
      apply       Make the host what the fleet files say
      status      Show the containers of a fleet: what they do, what they use, how they differ from
                  their file [alias: ls]
      exec        Run a command in running containers
      shell       Open a login shell in a running container
      ssh         Log in to a running container with the host's ssh
      ssh-config  Print an `ssh_config(5)` by which ssh, scp, rsync and editors reach the containers
      inventory   Print an Ansible inventory of the containers
      console     Attach to the console of a running container
      logs        Show what guests printed on their consoles
      cp          Copy files between the host and a container, running or not
      start       Start containers that are stopped
      stop        Stop containers that run
      freeze      Let the processes of running containers stand still
      thaw        Let the processes of frozen containers go on
      destroy     Remove everything that was made for the fleets, with all data
      update      Pin distributions to the newest builds of their servers
      outdated    Show which distributions have newer builds than those that are pinned
      image       Look at the image store, or tidy it up

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Global options:
      -f, --file <FILE>
              The fleet file, or a directory of fleet files [default: ./fleet.yaml]

              [env: FLEET_FILE]

          --root <DIR>
              Keep everything under another root, sharing nothing with the host's own

              [env: FLEET_ROOT]

      -o, --output <FORMAT>
              The form of what goes to stdout

              [default: text]
              [possible values: text, json]

          --jobs <N>
              Do so many things at the same time

              [env: FLEET_JOBS]
              [default: 64]

      -y, --yes
              Answer yes to every question

          --only <GLOB>
              Only the containers that match (`agent-*`); may be given several times

      -q, --quiet
              Say nothing but errors

      -v, --verbose
              Say more, and fold nothing

          --color <WHEN>
              Colours; `auto` has them on a terminal unless `NO_COLOR` is set

              [default: auto]
              [possible values: auto, always, never]

          --lock-timeout <TIME>
              Wait so long for another `fleet` that changes this host: seconds, or `90s`, `5m`, `1h`

              [default: 5m]

          --image-max-size <SIZE>
              Take in no image with more in its files than this

              [env: FLEET_IMAGE_MAX_SIZE]
              [default: 64GiB]

          --image-max-files <N>
              Take in no image with more files, directories and links than this

              [env: FLEET_IMAGE_MAX_FILES]
              [default: 4000000]

    Exit status: 0 done or nothing to do, 1 a step failed, 2 `plan` found changes, 64 usage or fleet
    file wrong, 130 interrupted; `exec`, `shell` and `ssh` pass the status of the command through.
    ");
}

#[test]
fn the_help_of_a_verb_says_what_it_does() {
    let help = fleet(&["exec", "--help"]);
    assert_eq!(status(&help), 0);
    let own: String = text(&help.stdout).split("Global options:").take(1).collect();
    insta::assert_snapshot!(trimmed(&own), @"
    Run a command in running containers

    In one container it has this terminal or these pipes, and gets the signals that `fleet exec` is
    sent. In several it runs at the same time, without input, and each line of output begins with the
    container's name. Exits with the command's own status, 128 and more if a signal ended it; of
    several, with the highest. 125 means that fleet could not prepare the command, 126 that it cannot be
    executed, 127 that it is not there.

    Usage: fleet exec [OPTIONS] [NAME]... -- <CMD>...

    Arguments:
      [NAME]...
              Containers, by name or, from the fleet file, by pattern

      <CMD>...
              The command and its arguments

    Options:
          --all
              All containers of the fleet file

      -u, --user <USER>
              Run it as this user of the container: `NAME` or `UID`, and maybe `:GROUP` or `:GID`
              [default: root]

      -w, --workdir <DIR>
              Run it in this directory of the container [default: the user's home]

      -e, --env <NAME[=VALUE]>
              Set a variable, or, without a value, pass on the caller's; may be given several times

      -t, --tty
              Give it a terminal, even if there is none here

      -T, --no-tty
              Give it pipes, even if there is a terminal here

      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn the_help_of_ssh_and_its_config_says_whom_and_what_they_trust() {
    for (verb, first) in [("ssh", "Log in to"), ("ssh-config", "Print an `ssh_config(5)`")] {
        let help = fleet(&[verb, "--help"]);
        assert_eq!(status(&help), 0);
        assert!(text(&help.stdout).starts_with(first));
    }
    let help = fleet(&["ssh", "--help"]);
    let own: String = text(&help.stdout).split("Global options:").take(1).collect();
    insta::assert_snapshot!(trimmed(&own), @"
    Log in to a running container with the host's ssh

    The host key is checked against the one that fleet gave the container, so that nothing is asked and
    no trust in a first answer is needed. No entry in ~/.ssh/config is needed either; what stands there
    of keys and terminals counts. The user is the container's only one, or root if it has none or
    several. Private keys are those that lie beside the public ones of the fleet file, if there is one,
    and those that ssh finds by itself. Exits as ssh does: with the status of the command, or 255 if the
    login failed.

    Usage: fleet ssh [OPTIONS] <[USER@]NAME> [-- <CMD>...]

    Arguments:
      <[USER@]NAME>
              The container, and maybe as whom

      [CMD]...
              A command for the user's shell in place of a login, its words joined by blanks

    Options:
      -h, --help
              Print help (see a summary with '-h')
    ");
}

#[test]
fn the_help_of_inventory_says_what_ansible_gets() {
    let help = fleet(&["inventory", "--help"]);
    assert_eq!(status(&help), 0);
    let own: String = text(&help.stdout).split("Global options:").take(1).collect();
    insta::assert_snapshot!(trimmed(&own), @r#"
    Print an Ansible inventory of the containers

    It is YAML, or with `-o json` the same as JSON, for `ansible -i FILE`. With `--list` and `--host` it
    answers as Ansible asks its inventory scripts, so that `exec fleet inventory -f FILE "$@"` is one.
    Each fleet is a group, called `fleet_NAME`, and so is each profile, `profile_NAME`, with `_` for
    what Ansible does not take in a name. Addresses and users are those that containers have on this
    host, and one that is not there is left out, and said.

    Usage: fleet inventory [OPTIONS] [FILE|DIR]...

    Arguments:
      [FILE|DIR]...
              Fleet files, or directories whose *.yaml and *.yml files are all meant [default: --file]

    Options:
          --list
              All groups and hosts, in the form of an inventory script

          --host <NAME>
              The variables of one container, in the form of an inventory script

      -h, --help
              Print help (see a summary with '-h')
    "#);
}

#[test]
fn what_a_guest_prints_to_its_user_is_no_document() {
    for verb in ["ssh", "shell", "console"] {
        let output = fleet(&["-o", "json", verb, "web-1"]);
        assert_eq!(status(&output), 64, "{verb}");
        let expected = format!(
            "error: what `{verb}` prints is the guest's, and no document\n  \
             hint: `fleet exec NAME -o json -- CMD` gives the output of a command as a document\n"
        );
        assert_eq!(text(&output.stderr), expected);
    }
}

#[test]
fn with_json_a_wrong_command_line_is_a_document_too() {
    for arguments in [&["aply", "-o", "json"][..], &["-ojson", "aply"], &["--output=json", "aply"]] {
        let output = fleet(arguments);
        assert_eq!(status(&output), 64);
        assert!(text(&output.stderr).starts_with("error: unrecognized subcommand 'aply'\n"), "{arguments:?}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(text(&output.stdout), @r#"
            {
              "error": [
                "unrecognized subcommand 'aply'"
              ],
              "hint": "a similar subcommand exists: 'apply'"
            }
            "#);
        }
    }
    assert_eq!(text(&fleet(&["aply"]).stdout), "");
    assert!(text(&fleet(&["--help", "-o", "json"]).stdout).starts_with("Turns a YAML file"));
}

#[test]
fn a_variable_that_is_empty_is_not_set() {
    let empty = tempfile::tempdir().expect("a temporary directory");
    let variables = ["FLEET_FILE", "FLEET_ROOT", "FLEET_JOBS", "FLEET_IMAGE_MAX_SIZE", "FLEET_IMAGE_MAX_FILES"]
        .map(|name| (name, ""));
    std::fs::write(empty.path().join("fleet.yaml"), "fleet: a\ncontainers: {}\n").expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleet"));
    command.arg("validate").env_clear().current_dir(empty.path());
    let output = command.envs(variables).output().expect("the program is built");
    assert_eq!((status(&output), text(&output.stderr)), (0, ""));
    let wrong = command.env("FLEET_JOBS", "many").output().expect("the program is built");
    assert_eq!(status(&wrong), 64);
}

#[test]
fn fleets_that_clash_are_shown_where_they_do_and_a_file_counts_once() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("a.yaml"), "fleet: a\ncontainers: {web: {distro: busybox}}\n").expect("written");
    let validate = |files: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleet"));
        command.arg("validate").args(files).env_clear().current_dir(dir.path()).output().expect("the program is built")
    };
    let once = validate(&["a.yaml", ".", "./a.yaml"]);
    assert_eq!((status(&once), text(&once.stderr)), (0, ""));
    assert_eq!(text(&once.stdout), "a.yaml: a is valid (1 container)\n");
    let other = "# Another one.\nfleet: b\ncontainers:\n  web: {distro: busybox}\n";
    std::fs::write(dir.path().join("b.yaml"), other).expect("written");
    let clash = validate(&["a.yaml", "b.yaml"]);
    assert_eq!(status(&clash), 64);
    insta::assert_snapshot!(text(&clash.stderr), @r"
      x b.yaml:4:3: the container `web` is in `a.yaml:2` already
       ,-[b.yaml:4:3]
     3 | containers:
     4 |   web: {distro: busybox}
       :   ^^^
       `----
      help: rename one, or give one of the fleets a `prefix`
    error: 1 finding: nothing was done
    ");
}

#[test]
fn the_version_is_data() {
    let version = fleet(&["--version"]);
    assert_eq!((status(&version), text(&version.stdout)), (0, concat!("fleet ", env!("CARGO_PKG_VERSION"), "\n")));
}

#[test]
fn a_wrong_command_line_exits_with_64() {
    for arguments in [
        &[][..],
        &["aply"],
        &["apply", "--no-such-option"],
        &["apply", "--jobs", "0"],
        &["apply", "--lock-timeout", "soon"],
        &["apply", "--image-max-size", "12 parsecs"],
        &["exec", "agent-1"],
        &["exec", "--", "true"],
        &["exec", "Not_A_Name", "--", "true"],
        &["status", "-q", "-v"],
        &["ssh"],
        &["ssh", "-oX@web-1"],
        &["ssh", "web-1", "uptime"],
        &["inventory", "--list", "--host", "web-1"],
    ] {
        let output = fleet(arguments);
        assert_eq!((status(&output), text(&output.stdout)), (64, ""), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?} says why");
    }
}

#[test]
fn no_fleet_file_is_an_error_with_a_hint() {
    let output = fleet(&["plan"]);
    assert_eq!((status(&output), text(&output.stdout)), (64, ""));
    insta::assert_snapshot!(text(&output.stderr), @r"
    error: there is no `fleet.yaml` in this directory
      hint: name a fleet file with `-f FILE` or in FLEET_FILE
    ");
}

#[test]
fn with_json_an_error_is_a_document_too() {
    let output = fleet(&["-o", "json", "plan"]);
    assert_eq!(status(&output), 64);
    insta::assert_snapshot!(text(&output.stdout), @r#"
    {
      "error": [
        "there is no `fleet.yaml` in this directory"
      ],
      "hint": "name a fleet file with `-f FILE` or in FLEET_FILE"
    }
    "#);
}

#[test]
fn a_pattern_for_whole_fleets_is_refused_not_ignored() {
    let output = fleet(&["apply", "--only", "agent-*"]);
    assert_eq!(status(&output), 64);
    insta::assert_snapshot!(text(&output.stderr), @r"
    error: `apply` works on whole fleets: `--only` cannot be used with it
      hint: `status`, `exec`, `start` and `stop` know `--only`
    ");
}
