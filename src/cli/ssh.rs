//! `fleet ssh`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Args;

use super::error::{CliError, Exit};
use super::files::load_fleets;
use super::global::Session;
use super::installation::{Installation, engine_failed};
use super::logins::unquotable;
use super::privilege::require_root;
use super::selection::parse_name;
use crate::model::{ContainerName, ContainerRecord, EngineKind, Fleet, Login, Ownership, RunState};

/// Log in to a running container with the host's ssh
///
/// The host key is checked against the one that fleet gave the container, so that nothing is asked and no trust in a
/// first answer is needed. No entry in ~/.ssh/config is needed either; what stands there of keys and terminals counts.
/// The user is the container's only one, or root if it has none or several. Private keys are those that lie beside the
/// public ones of the fleet file, if there is one, and those that ssh finds by itself. Exits as ssh does: with the
/// status of the command, or 255 if the login failed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  fleet ssh web-1\n  fleet ssh root@web-1\n  fleet ssh dev@db -- uptime")]
pub(super) struct SshArguments {
    /// The container, and maybe as whom
    #[arg(value_name = "[USER@]NAME")]
    target: String,
    /// A command for the user's shell in place of a login, its words joined by blanks
    #[arg(last = true, value_name = "CMD")]
    command: Vec<OsString>,
}

const USAGE: &str = "write `fleet ssh NAME` or `fleet ssh USER@NAME`";

pub(super) fn run(session: &Session, arguments: &SshArguments) -> Result<Exit, CliError> {
    session.refuse_json("ssh")?;
    let (user, name) = target(&arguments.target)?;
    require_root()?;
    let fleets = fleets_at_hand(session)?;
    let record = running(session, &name)?;
    let of_fleet = fleets.iter().find(|fleet| fleet.name == record.fleet);
    let private_keys = of_fleet.map(|fleet| fleet.private_keys.clone()).unwrap_or_default();
    let login = Login::new(&record, user, session.layout.known_hosts(&record.fleet), &private_keys);
    let login = login.ok_or_else(|| {
        let hint = format!("`fleet shell {name}` needs no network");
        CliError::failed(format!("fleet knows no address of `{name}`"), hint)
    })?;
    let mut ssh = Command::new("ssh");
    for (keyword, value) in login.options().map_err(|error| unquotable(&error))? {
        ssh.arg("-o").arg(format!("{keyword}={value}"));
    }
    // The container is a neighbour of this host, whatever stands in the user's configuration for others. Behind `--`
    // ssh takes no word of the command for an option of its own.
    ssh.args(["-o", "ProxyCommand=none", "--", name.as_str()]).args(&arguments.command);
    Err(not_run(&ssh.exec()))
}

/// The user, if one is given, and the container.
fn target(text: &str) -> Result<(Option<&str>, ContainerName), CliError> {
    let (user, name) = match text.rsplit_once('@') {
        Some((user, name)) => (Some(user), name),
        None => (None, text),
    };
    // What stands in ssh's configuration must not be taken for more than a name.
    let is_user = |user: &str| {
        let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+');
        !user.is_empty() && !user.starts_with('-') && user.chars().all(is_plain)
    };
    match user.filter(|user| !is_user(user)) {
        Some(user) => Err(CliError::usage(format!("`{user}` is no name of a user"), USAGE)),
        None => Ok((user, parse_name(name, USAGE)?)),
    }
}

/// The fleets of the named file, or of `./fleet.yaml` if that is there and right: the login can do without it.
fn fleets_at_hand(session: &Session) -> Result<Vec<Fleet>, CliError> {
    match load_fleets(session, &[]) {
        Err(_) if session.file.is_none() => Ok(Vec::new()),
        other => other,
    }
}

fn running(session: &Session, name: &ContainerName) -> Result<ContainerRecord, CliError> {
    let engine = Installation::read_only(&session.layout)?.engine(EngineKind::Native);
    let all = engine.inspect().map_err(|error| engine_failed(&error))?;
    let found = all.into_iter().find(|state| state.name == *name).map(|state| (state.ownership, state.run));
    let Some((Ownership::Ours(record), run)) = found else {
        let hint = "`fleet status` lists the containers of a fleet";
        return Err(CliError::failed(format!("there is no container `{name}`"), hint));
    };
    match run {
        RunState::Running(running) if running.frozen => {
            Err(CliError::failed(format!("the container `{name}` is frozen"), format!("`fleet thaw {name}` first")))
        }
        RunState::Running(_) => Ok(*record),
        RunState::Restarting(_) => Err(CliError::failed(
            format!("the container `{name}` is about to be started again"),
            "try it again when it runs",
        )),
        RunState::Stopped | RunState::Incomplete(_) => {
            Err(CliError::failed(format!("the container `{name}` does not run"), format!("`fleet start {name}` first")))
        }
    }
}

fn not_run(error: &io::Error) -> CliError {
    if error.kind() == io::ErrorKind::NotFound {
        return CliError::failed("there is no `ssh` on this host", "install OpenSSH's client: package openssh-client");
    }
    CliError::io("cannot run `ssh`", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_container_and_maybe_a_user() {
        let target = |text| target(text).map(|(user, name)| (user, name.to_string())).ok();
        assert_eq!(target("web-1"), Some((None, "web-1".into())));
        assert_eq!(target("dev@web-1"), Some((Some("dev"), "web-1".into())));
        for wrong in ["@web-1", "-oX@web-1", "a b@web-1", "%r@web-1", "dev@", "dev@-x"] {
            assert_eq!(target(wrong), None, "{wrong}");
        }
    }
}
