//! `fleet logs`.

use std::io::{self, Write as _};

use clap::Args;
use serde::Serialize;

use super::error::{CliError, Exit};
use super::global::Session;
use super::installation::engine_failed;
use super::privilege::require_root;
use super::selection::chosen;
use crate::engine::native::{ConsoleLogReader, ConsoleLogWatch};
use crate::model::ContainerName;
use crate::report::{Format, GuestText, Sink};

/// Show what guests printed on their consoles
///
/// The last one to two megabytes of each container are kept, over restarts and stops. Of several containers each line
/// begins with the container's name. In a pipe bytes come as they were printed; on a terminal, line ends, tabs and
/// colours are obeyed and all other control characters are written visibly, such as ^[ for escape.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  fleet logs agent-1\n  fleet logs -n 20 'agent-*'\n  fleet logs --follow")]
pub(super) struct LogsArguments {
    /// Containers, by name or, from the fleet file, by pattern [default: the whole fleet]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Go on with what is printed from now on, until the containers are deleted or Ctrl-C
    #[arg(short = 'F', long)]
    follow: bool,
    /// Begin with the last N lines only
    #[arg(short = 'n', long, value_name = "N")]
    tail: Option<usize>,
}

/// The document of `fleet logs`.
#[derive(Debug, Serialize)]
struct LogsJson {
    logs: Vec<LogJson>,
}

#[derive(Debug, Serialize)]
struct LogJson {
    name: ContainerName,
    text: String,
}

pub(super) fn run(session: &Session, arguments: &LogsArguments) -> Result<Exit, CliError> {
    if arguments.follow && session.console.format == Format::Json {
        return Err(CliError::usage("`--follow` has no end, and JSON is one document", "leave one of them out"));
    }
    let names = chosen(session, &arguments.names, false, "write `fleet logs NAME`")?;
    require_root()?;
    let opened = names.iter().map(|name| ConsoleLogReader::open(&session.layout, name));
    let mut logs = opened.collect::<Result<Vec<_>, _>>().map_err(|error| engine_failed(&error))?;
    // Before anything is read, so that nothing comes unseen in between.
    let watch = if arguments.follow { Some(ConsoleLogWatch::new(&logs).map_err(unreadable)?) } else { None };
    let kept =
        logs.iter_mut().map(|log| log.kept(arguments.tail)).collect::<io::Result<Vec<_>>>().map_err(unreadable)?;
    if session.console.format == Format::Json {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let logs = names.into_iter().zip(&kept).map(|(name, bytes)| LogJson { name, text: text(bytes) }).collect();
        session.console.json(&LogsJson { logs });
        return Ok(Exit::Done);
    }
    let mut texts = texts(session, &names);
    for (text, bytes) in texts.iter_mut().zip(kept) {
        if !write(&text.pass(&bytes))? || (watch.is_none() && !write(&text.finish())?) {
            return Ok(Exit::Done);
        }
    }
    match watch {
        Some(watch) => follow(&watch, &mut logs, &mut texts),
        None => Ok(Exit::Done),
    }
}

/// One for each container, in the form that standard output takes.
fn texts(session: &Session, names: &[ContainerName]) -> Vec<GuestText> {
    let sink = Sink::of(&io::stdout(), session.console.stdout);
    let width = names.iter().map(|name| name.as_str().len()).max().unwrap_or(0);
    let prefix = |name: &ContainerName| (names.len() > 1).then(|| format!("{name:<width$} | "));
    names.iter().map(|name| GuestText::new(prefix(name), sink)).collect()
}

/// Passes on what is added until all containers are gone.
fn follow(watch: &ConsoleLogWatch, logs: &mut [ConsoleLogReader], texts: &mut [GuestText]) -> Result<Exit, CliError> {
    while logs.iter().any(ConsoleLogReader::is_there) {
        watch.wait().map_err(unreadable)?;
        for (log, text) in logs.iter_mut().zip(texts.iter_mut()) {
            if !write(&text.pass(&log.more().map_err(unreadable)?))? {
                return Ok(Exit::Done);
            }
        }
    }
    for text in texts {
        write(&text.finish())?;
    }
    Ok(Exit::Done)
}

/// Writes to standard output at once; false when nobody reads it any more, as `head` does.
fn write(bytes: &[u8]) -> Result<bool, CliError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::io("cannot write the logs", &error)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn unreadable(error: io::Error) -> CliError {
    CliError::io("cannot read the logs", &error)
}
