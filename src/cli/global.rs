//! The options that every verb has, and what they come to.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::error::CliError;
use crate::model::{Bytes, ImageLimits};
use crate::report::{Console, Format, Palette, Verbosity};
use crate::store::Layout;

/// The options that every verb has.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct GlobalArguments {
    /// The fleet file, or a directory of fleet files [default: ./fleet.yaml]
    #[arg(short, long, global = true, env = "FLEET_FILE", hide_env_values = true, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Keep everything under another root, sharing nothing with the host's own
    #[arg(long, global = true, env = "FLEET_ROOT", hide_env_values = true, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The form of what goes to stdout
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "text")]
    output: Output,
    /// Do so many things at the same time
    #[arg(long, global = true, env = "FLEET_JOBS", hide_env_values = true, value_name = "N", default_value = "64")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: u16,
    /// Answer yes to every question
    #[arg(short, long, global = true)]
    yes: bool,
    /// Only the containers that match (`agent-*`); may be given several times
    #[arg(long, global = true, value_name = "GLOB")]
    only: Vec<String>,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more, and fold nothing
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Colours; `auto` has them on a terminal unless `NO_COLOR` is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    color: Color,
    /// Wait so long for another `fleet` that changes this host: seconds, or `90s`, `5m`, `1h`
    #[arg(long, global = true, value_name = "TIME", default_value = "5m", value_parser = parse_time)]
    lock_timeout: Duration,
    /// Take in no image with more in its files than this
    #[arg(long, global = true, env = "FLEET_IMAGE_MAX_SIZE", hide_env_values = true, value_name = "SIZE")]
    #[arg(default_value_t = ImageLimits::default().size)]
    image_max_size: Bytes,
    /// Take in no image with more files, directories and links than this
    #[arg(long, global = true, env = "FLEET_IMAGE_MAX_FILES", hide_env_values = true, value_name = "N")]
    #[arg(default_value_t = ImageLimits::default().entries)]
    image_max_files: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// What the global options come to.
#[derive(Debug)]
pub(super) struct Session {
    /// Where text goes.
    pub(super) console: Console,
    /// Where everything of fleet lies.
    pub(super) layout: Layout,
    /// `--root`, absolute.
    pub(super) root: Option<PathBuf>,
    /// `--file`, as given.
    pub(super) file: Option<PathBuf>,
    /// Things to do at the same time.
    pub(super) jobs: usize,
    /// Whether every question is answered already.
    pub(super) yes: bool,
    /// `--only`, as given.
    pub(super) only: Vec<String>,
    /// How long to wait for the host's lock.
    pub(super) lock_timeout: Duration,
    /// How much one image may hold.
    pub(super) image_limits: ImageLimits,
}

impl GlobalArguments {
    /// Where text goes; known before anything can fail.
    pub(super) fn console(&self) -> Console {
        Console {
            format: match self.output {
                Output::Text => Format::Text,
                Output::Json => Format::Json,
            },
            verbosity: match (self.quiet, self.verbose) {
                (true, _) => Verbosity::Quiet,
                (false, false) => Verbosity::Normal,
                (false, true) => Verbosity::Verbose,
            },
            stdout: self.palette(&io::stdout()),
            stderr: self.palette(&io::stderr()),
        }
    }

    fn palette(&self, stream: &impl IsTerminal) -> Palette {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let colour = match self.color {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org: set and not empty.
            Color::Auto => stream.is_terminal() && !set("NO_COLOR") && !dumb(),
        };
        if colour { Palette::Colour } else { Palette::Plain }
    }
}

impl Session {
    /// The session that `global` asks for.
    pub(super) fn new(global: &GlobalArguments, console: Console) -> Result<Session, CliError> {
        let root = global.root.as_deref().map(settled).transpose();
        let root = root.map_err(|source| CliError::usage(format!("--root: {source}"), "name a directory"))?;
        Ok(Session {
            console,
            layout: Layout::new(root.as_deref()),
            root,
            file: global.file.clone(),
            jobs: usize::from(global.jobs),
            yes: global.yes,
            only: global.only.clone(),
            lock_timeout: global.lock_timeout,
            image_limits: ImageLimits { size: global.image_max_size, entries: global.image_max_files },
        })
    }

    /// Refuses JSON for a verb that has nothing to say of its own.
    pub(super) fn refuse_json(&self, verb: &str) -> Result<(), CliError> {
        match self.console.format {
            Format::Text => Ok(()),
            Format::Json => Err(CliError::usage(
                format!("what `{verb}` prints is the guest's, and no document"),
                "`fleet exec NAME -o json -- CMD` gives the output of a command as a document",
            )),
        }
    }

    /// Refuses `--only` for a verb that works on whole fleets: to ignore it would do more than was asked for.
    pub(super) fn refuse_only(&self, verb: &str) -> Result<(), CliError> {
        if self.only.is_empty() {
            return Ok(());
        }
        Err(CliError::usage(
            format!("`{verb}` works on whole fleets: `--only` cannot be used with it"),
            "`status`, `exec`, `start` and `stop` know `--only`",
        ))
    }
}

/// `path` written the one way that all its writings come to, whether it exists yet or not: names of links are derived
/// from it.
fn settled(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    for ancestor in absolute.ancestors() {
        if let (Ok(real), Ok(rest)) = (ancestor.canonicalize(), absolute.strip_prefix(ancestor)) {
            return Ok(real.components().chain(rest.components()).collect());
        }
    }
    Ok(absolute)
}

/// `300`, `90s`, `5m`, `1h`.
fn parse_time(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(format!("unknown unit `{unit}`: use s, m or h")),
    };
    let number: u64 = number.parse().map_err(|_| "write a number, such as 300 or 5m".to_owned())?;
    number.checked_mul(factor).map(Duration::from_secs).ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_the_same_however_it_is_written_and_before_it_exists() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let real = dir.path().canonicalize().expect("it exists");
        std::os::unix::fs::symlink(&real, dir.path().join("link")).expect("a link");
        let expected = real.join("root");
        assert_eq!(settled(&dir.path().join("link/root/")).expect("settled"), expected);
        std::fs::create_dir(&expected).expect("a directory");
        assert_eq!(settled(&dir.path().join("link/root/")).expect("settled"), expected);
        assert!(settled(Path::new("")).is_err());
    }

    #[test]
    fn a_time_is_seconds_unless_it_has_a_unit() {
        assert_eq!(parse_time("300"), Ok(Duration::from_mins(5)));
        assert_eq!(parse_time("5m"), Ok(Duration::from_mins(5)));
        assert_eq!(parse_time("1h"), Ok(Duration::from_hours(1)));
        assert_eq!(parse_time("5 minutes"), Err("unknown unit ` minutes`: use s, m or h".into()));
        assert_eq!(parse_time("m"), Err("write a number, such as 300 or 5m".into()));
    }
}
