//! The command line: one file for each verb, with its arguments, its help and its call.
//!
//! Start at [`run`], then at a verb such as `apply`; `change` is the way that all verbs go which change the host.
//! This room holds no rule of the domain.

mod apply;
mod arguments;
mod change;
mod command_line;
mod console;
mod converging;
mod cp;
mod destroy;
mod each;
mod error;
mod exec;
mod exec_many;
mod files;
mod forwarding;
mod freeze;
mod global;
mod goal;
mod image;
mod image_pull;
mod installation;
mod interrupt;
mod inventory;
mod lock;
mod logins;
mod logs;
mod plan;
mod privilege;
mod selection;
mod shell;
mod ssh;
mod ssh_config;
mod start;
mod status;
mod stop;
mod thaw;
mod update;
mod validate;

use std::ffi::OsString;
use std::process::ExitCode;

use arguments::Verb;
use error::{CliError, Exit};
use global::Session;

/// Runs the program with `arguments`, the first of which is its own name. Called while the process has one thread:
/// some verbs fork.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let arguments = match command_line::read(&arguments) {
        Ok(arguments) => arguments,
        Err(exit) => return exit.into(),
    };
    let console = arguments.global.console();
    let ended = Session::new(&arguments.global, console).and_then(|session| dispatch(&session, arguments.verb));
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => {
            error.tell(console);
            error.exit().into()
        }
    }
}

fn dispatch(session: &Session, verb: Verb) -> Result<Exit, CliError> {
    match verb {
        Verb::Validate(arguments) => validate::run(session, &arguments),
        Verb::Plan(arguments) => plan::run(session, &arguments),
        Verb::Apply(arguments) => apply::run(session, &arguments),
        Verb::Status(arguments) => status::run(session, &arguments),
        Verb::Exec(arguments) => exec::run(session, &arguments),
        Verb::Shell(arguments) => shell::run(session, &arguments),
        Verb::Ssh(arguments) => ssh::run(session, &arguments),
        Verb::SshConfig(arguments) => ssh_config::run(session, &arguments),
        Verb::Inventory(arguments) => inventory::run(session, &arguments),
        Verb::Console(arguments) => console::run(session, &arguments),
        Verb::Logs(arguments) => logs::run(session, &arguments),
        Verb::Cp(arguments) => cp::run(session, &arguments),
        Verb::Start(arguments) => start::run(session, &arguments),
        Verb::Stop(arguments) => stop::run(session, &arguments),
        Verb::Freeze(arguments) => freeze::run(session, &arguments),
        Verb::Thaw(arguments) => thaw::run(session, &arguments),
        Verb::Destroy(arguments) => destroy::run(session, &arguments),
        Verb::Update(arguments) => update::update(session, &arguments),
        Verb::Outdated(arguments) => update::outdated(session, &arguments),
        Verb::Image(arguments) => image::run(session, &arguments),
    }
}
