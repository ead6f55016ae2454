//! `fleet shell`.

use clap::Args;

use super::error::{CliError, Exit};
use super::exec::in_one;
use super::global::Session;
use super::privilege::require_root;
use super::selection::parse_name;
use crate::model::{GuestCommand, Program, TerminalUse, UserChoice};

/// Open a login shell in a running container
///
/// It is the user's own shell, as the container's /etc/passwd has it, or /bin/sh where that is missing. Exits with the
/// shell's status.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  fleet shell web-1\n  fleet shell web-1 --user dev\n  \
    fleet shell web-1 < setup.sh")]
pub(super) struct ShellArguments {
    /// The container
    #[arg(value_name = "NAME")]
    name: String,
    /// As this user of the container: `NAME` or `UID`, and maybe `:GROUP` or `:GID` [default: root]
    #[arg(short, long, value_name = "USER")]
    user: Option<UserChoice>,
}

pub(super) fn run(session: &Session, arguments: &ShellArguments) -> Result<Exit, CliError> {
    session.refuse_json("shell")?;
    let name = parse_name(&arguments.name, "write `fleet shell NAME`")?;
    require_root()?;
    let command = GuestCommand {
        program: Program::LoginShell,
        user: arguments.user.clone(),
        directory: None,
        environment: Vec::new(),
        terminal: TerminalUse::Auto,
    };
    Ok(in_one(session, &name, &command))
}
