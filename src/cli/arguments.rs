//! The whole command line.

use clap::{Parser, Subcommand};

use super::global::GlobalArguments;
use super::{
    apply, console, cp, destroy, exec, freeze, image, inventory, logs, plan, shell, ssh, ssh_config, start, status,
    stop, thaw, update, validate,
};

/// Turns a YAML file into running system containers
///
/// `fleet` reads a fleet file, looks at the host, shows the difference, and makes the host what the file says.
#[derive(Debug, Parser)]
#[command(name = "fleet", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Exit status: 0 done or nothing to do, 1 a step failed, 2 `plan` found changes, \
    64 usage or fleet file wrong, 130 interrupted; `exec`, \
    `shell` and `ssh` pass the status of the command through.")]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: GlobalArguments,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    Validate(validate::ValidateArguments),
    #[command(visible_alias = "diff")]
    Plan(plan::PlanArguments),
    Apply(apply::ApplyArguments),
    #[command(visible_alias = "ls")]
    Status(status::StatusArguments),
    Exec(exec::ExecArguments),
    Shell(shell::ShellArguments),
    Ssh(ssh::SshArguments),
    SshConfig(ssh_config::SshConfigArguments),
    Inventory(inventory::InventoryArguments),
    Console(console::ConsoleArguments),
    Logs(logs::LogsArguments),
    Cp(cp::CpArguments),
    Start(start::StartArguments),
    Stop(stop::StopArguments),
    Freeze(freeze::FreezeArguments),
    Thaw(thaw::ThawArguments),
    Destroy(destroy::DestroyArguments),
    Update(update::UpdateArguments),
    Outdated(update::OutdatedArguments),
    Image(image::ImageArguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
