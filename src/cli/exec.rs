//! `fleet exec`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use clap::Args;

use super::error::{CliError, Exit};
use super::exec_many::{ExecJson, exec_many};
use super::global::Session;
use super::installation::engine_failed;
use super::privilege::require_root;
use super::selection::{chosen, is_plain};
use crate::engine::native;
use crate::model::{ContainerName, GuestCommand, Program, TerminalUse, UserChoice};
use crate::report::Format;

/// Run a command in running containers
///
/// In one container it has this terminal or these pipes, and gets the signals that `fleet exec` is sent. In several it
/// runs at the same time, without input, and each line of output begins with the container's name. Exits with the
/// command's own status, 128 and more if a signal ended it; of several, with the highest. 125 means that fleet could
/// not prepare the command, 126 that it cannot be executed, 127 that it is not there.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    fleet exec web-1 -- ps aux\n  \
    fleet exec web-1 --user dev --workdir /srv --env LANG=C.UTF-8 -- make test\n  \
    fleet exec db -- pg_dump shop > shop.sql\n  \
    fleet exec 'web-*' -- rc-service nginx restart\n  \
    fleet exec --all -o json -- uname -r")]
pub(super) struct ExecArguments {
    /// Containers, by name or, from the fleet file, by pattern
    #[arg(value_name = "NAME", required_unless_present_any = ["all", "only"])]
    names: Vec<String>,
    /// All containers of the fleet file
    #[arg(long, conflicts_with = "names")]
    all: bool,
    #[command(flatten)]
    pub(super) how: HowArguments,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(super) command: Vec<OsString>,
}

/// As whom, where and with what a command is run.
#[derive(Debug, Args)]
pub(super) struct HowArguments {
    /// Run it as this user of the container: `NAME` or `UID`, and maybe `:GROUP` or `:GID` [default: root]
    #[arg(short, long, value_name = "USER")]
    pub(super) user: Option<UserChoice>,
    /// Run it in this directory of the container [default: the user's home]
    #[arg(short, long, value_name = "DIR")]
    pub(super) workdir: Option<PathBuf>,
    /// Set a variable, or, without a value, pass on the caller's; may be given several times
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = clap::builder::OsStringValueParser::new())]
    pub(super) env: Vec<OsString>,
    /// Give it a terminal, even if there is none here
    #[arg(short, long, conflicts_with = "no_tty")]
    pub(super) tty: bool,
    /// Give it pipes, even if there is a terminal here
    #[arg(short = 'T', long)]
    pub(super) no_tty: bool,
}

const USAGE: &str = "write `fleet exec NAME -- CMD`";

pub(super) fn run(session: &Session, arguments: &ExecArguments) -> Result<Exit, CliError> {
    let names = chosen(session, &arguments.names, arguments.all, USAGE)?;
    let command = arguments.how.command(Program::Words(arguments.command.clone()))?;
    require_root()?;
    match names.as_slice() {
        [name] if is_plain(session, &arguments.names, arguments.all) && session.console.format == Format::Text => {
            Ok(in_one(session, name, &command))
        }
        names => several(session, names, arguments),
    }
}

/// Runs `command` in the container `name` with this process's streams.
pub(super) fn in_one(session: &Session, name: &ContainerName, command: &GuestCommand) -> Exit {
    Exit::Guest(native::exec(&session.layout, name, command).unwrap_or_else(|failure| {
        engine_failed(&failure.error).tell(session.console);
        failure.status
    }))
}

fn several(session: &Session, names: &[ContainerName], arguments: &ExecArguments) -> Result<Exit, CliError> {
    if arguments.how.tty {
        return Err(CliError::usage("there is one terminal, for one container", "leave out `--tty`"));
    }
    let results = exec_many(session, names, arguments)?;
    let worst = results.iter().map(|result| result.status).max().unwrap_or(0);
    session.console.json(&ExecJson { results });
    Ok(Exit::Guest(worst))
}

impl HowArguments {
    /// `program`, run like this.
    fn command(&self, program: Program) -> Result<GuestCommand, CliError> {
        let variables: Vec<_> = self.env.iter().map(|text| variable(text)).collect::<Result<_, _>>()?;
        Ok(GuestCommand {
            program,
            user: self.user.clone(),
            directory: self.workdir.clone(),
            environment: variables.into_iter().flatten().collect(),
            terminal: match (self.tty, self.no_tty) {
                (true, _) => TerminalUse::Always,
                (false, true) => TerminalUse::Never,
                (false, false) => TerminalUse::Auto,
            },
        })
    }
}

/// `NAME=VALUE`, or `NAME` with the value that the caller has; `None` if the caller has none.
fn variable(text: &OsStr) -> Result<Option<(OsString, OsString)>, CliError> {
    let bytes = text.as_bytes();
    let end = bytes.iter().position(|byte| *byte == b'=').unwrap_or(bytes.len());
    if end == 0 {
        let message = format!("`--env {}` names no variable", text.display());
        return Err(CliError::usage(message, "write `--env NAME=VALUE`, or `--env NAME` for your own value"));
    }
    let name = OsStr::from_bytes(&bytes[..end]).to_owned();
    Ok(match bytes.get(end + 1..) {
        Some(value) => Some((name, OsStr::from_bytes(value).to_owned())),
        None => std::env::var_os(&name).map(|value| (name, value)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_its_own_value_or_the_callers() {
        let set = |text: &str| variable(OsStr::new(text)).expect("it names one");
        assert_eq!(set("A=b=c"), Some(("A".into(), "b=c".into())));
        assert_eq!(set("A="), Some(("A".into(), "".into())));
        assert_eq!(set("PATH"), Some(("PATH".into(), std::env::var_os("PATH").expect("it is set"))));
        assert_eq!(set("NO_SUCH_VARIABLE_HERE"), None);
        assert!(variable(OsStr::new("=x")).is_err());
    }
}
