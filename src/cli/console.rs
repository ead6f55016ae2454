//! `fleet console`.

use std::io::{self, IsTerminal as _};

use clap::Args;

use super::error::{CliError, Exit};
use super::global::Session;
use super::installation::engine_failed;
use super::privilege::require_root;
use super::selection::parse_name;
use crate::engine::native::{ConsoleAttachment, ConsoleEnd};

/// Attach to the console of a running container
///
/// What is typed goes in, and what the guest prints comes out, as on a machine's own keyboard and screen; several may do
/// so at once. Ctrl-a q detaches, and Ctrl-a Ctrl-a types Ctrl-a. Nothing of before is shown: press Enter for a prompt,
/// or look at `fleet logs`. It ends when the container stops, not when the guest reboots.
///
/// Without a terminal, standard input is passed on as it is, and its end does not end the attachment.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  fleet console agent-1\n  fleet console agent-1 </dev/null | tee boot.log")]
pub(super) struct ConsoleArguments {
    /// The container
    #[arg(value_name = "NAME")]
    name: String,
}

pub(super) fn run(session: &Session, arguments: &ConsoleArguments) -> Result<Exit, CliError> {
    session.refuse_json("console")?;
    let name = parse_name(&arguments.name, "write `fleet console NAME`")?;
    require_root()?;
    let attachment = ConsoleAttachment::open(&session.layout, &name).map_err(|error| engine_failed(&error))?;
    if io::stdin().is_terminal() {
        session.console.note(&format!("this is the console of {name}; Ctrl-a q detaches"));
    }
    let end = attachment.relay().map_err(|error| engine_failed(&error))?;
    session.console.note(match end {
        ConsoleEnd::Detached => "detached",
        ConsoleEnd::Closed => "the console was closed",
    });
    Ok(Exit::Done)
}
