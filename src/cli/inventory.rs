//! `fleet inventory`.

use clap::Args;

use super::error::{CliError, Exit};
use super::files::FileArguments;
use super::global::Session;
use super::logins::{look, unquotable};
use crate::report::{Format, Inventory};

/// Print an Ansible inventory of the containers
///
/// It is YAML, or with `-o json` the same as JSON, for `ansible -i FILE`. With `--list` and `--host` it answers as
/// Ansible asks its inventory scripts, so that `exec fleet inventory -f FILE "$@"` is one. Each fleet is a group, called
/// `fleet_NAME`, and so is each profile, `profile_NAME`, with `_` for what Ansible does not take in a name. Addresses and
/// users are those that containers have on this host, and one that is not there is left out, and said.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    fleet inventory > lab.yaml && ansible -i lab.yaml all -m ping\n  \
    fleet inventory --list | jq '._meta.hostvars[].ansible_host'")]
pub(super) struct InventoryArguments {
    #[command(flatten)]
    files: FileArguments,
    /// All groups and hosts, in the form of an inventory script
    #[arg(long, conflicts_with = "host")]
    list: bool,
    /// The variables of one container, in the form of an inventory script
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
}

pub(super) fn run(session: &Session, arguments: &InventoryArguments) -> Result<Exit, CliError> {
    let fleets = look(session, &arguments.files)?;
    let inventory = Inventory::new(&fleets).map_err(|error| unquotable(&error))?;
    if let Some(name) = &arguments.host {
        let variables = inventory.host(name).ok_or_else(|| {
            let hint = "`fleet status` says which containers are there";
            CliError::failed(format!("there is no container `{name}` to log in to"), hint)
        })?;
        session.console.document(variables);
    } else if arguments.list {
        session.console.document(&inventory.script_form());
    } else {
        session.console.json(&inventory.file_form());
        if session.console.format == Format::Text {
            session.console.show(|_| inventory.yaml());
        }
    }
    Ok(Exit::Done)
}
