//! `fleet ssh-config`.

use clap::Args;

use super::error::{CliError, Exit};
use super::files::FileArguments;
use super::global::Session;
use super::logins::{look, unquotable};
use crate::report::{Format, LoginsJson, OneOrMany, ssh_config};

/// Print an `ssh_config(5)` by which ssh, scp, rsync and editors reach the containers
///
/// Containers are called NAME and NAME.FLEET there. Addresses and users are those that they have on this host, and a
/// container that is not there is left out, and said. The private keys are those that lie beside the public ones that
/// the fleet file names.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    fleet ssh-config > ~/.ssh/fleet.conf     with `Include fleet.conf` at the top of ~/.ssh/config\n  \
    fleet ssh-config > lab.conf && rsync -e 'ssh -F lab.conf' -a ./site/ web-1:/srv/site/")]
pub(super) struct SshConfigArguments {
    #[command(flatten)]
    files: FileArguments,
}

pub(super) fn run(session: &Session, arguments: &SshConfigArguments) -> Result<Exit, CliError> {
    let fleets = look(session, &arguments.files)?;
    let text = ssh_config(&fleets).map_err(|error| unquotable(&error))?;
    if session.console.format == Format::Text {
        session.console.show(|_| text);
    }
    session.console.json(&OneOrMany::new(fleets.iter().map(LoginsJson::new).collect()));
    Ok(Exit::Done)
}
