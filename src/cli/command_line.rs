//! The words of the command line and the environment's variables to what they ask for, or to what is wrong with them.

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _};

use super::arguments::Arguments;
use super::error::Exit;
use crate::model::StepFailure;
use crate::report::{self, Console, Format, Palette, Verbosity};

/// Options with a short form and without a value: another one may stand behind them, as in `-yo json`.
const FLAGS: [char; 3] = ['y', 'q', 'v'];

/// What `words`, the first of which is the program's own name, ask for. If that is help, or nothing that there is, the user
/// is told, and the exit status returned.
pub(super) fn read(words: &[OsString]) -> Result<Arguments, Exit> {
    parsed(words).map_err(|message| {
        // Nobody is left to tell if this cannot be printed.
        let _ = message.print();
        if !message.use_stderr() {
            return Exit::Done;
        }
        if asks_for_json(words) {
            let (format, verbosity) = (Format::Json, Verbosity::Normal);
            let console = Console { format, verbosity, stdout: Palette::Plain, stderr: Palette::Plain };
            console.json(&report::failure_json(&failure(&message)));
        }
        Exit::Usage
    })
}

fn parsed(words: &[OsString]) -> Result<Arguments, clap::Error> {
    // A variable that is set to nothing is not set, as for the shell's `${NAME:-…}`.
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let mut command = Arguments::command().mut_args(|argument| match argument.get_env() {
        Some(name) if is_empty(name) => argument.env(Resettable::Reset),
        Some(_) | None => argument,
    });
    let mut matches = command.try_get_matches_from_mut(words)?;
    Arguments::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Whether `words`, which could not be made out as a whole, ask for JSON.
fn asks_for_json(words: &[OsString]) -> bool {
    let words: Vec<&str> = words.iter().map_while(|word| word.to_str()).take_while(|word| *word != "--").collect();
    words.iter().enumerate().any(|(place, word)| {
        let short = || word.strip_prefix('-')?.trim_start_matches(FLAGS).strip_prefix('o');
        match word.strip_prefix("--output").or_else(short) {
            None => false,
            Some("") => words.get(place + 1) == Some(&"json"),
            Some(value) => value.strip_prefix('=').unwrap_or(value) == "json",
        }
    })
}

/// The paragraphs of `message` as a headline and a hint.
fn failure(message: &clap::Error) -> StepFailure {
    if message.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let chain = vec!["a command is missing".to_owned()];
        return StepFailure { chain, hint: Some("`fleet --help` lists them".to_owned()) };
    }
    let text = message.render().to_string();
    let one_line = |paragraph: &str| paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut paragraphs = text.split("\n\n").map(one_line);
    let headline = paragraphs.next().unwrap_or_default();
    let headline = headline.strip_prefix("error: ").unwrap_or(&headline).to_owned();
    let rest: Vec<String> = paragraphs.collect();
    let tip = rest.iter().find_map(|paragraph| paragraph.strip_prefix("tip: "));
    let usage = || rest.iter().find(|paragraph| paragraph.starts_with("Usage: ")).map(String::as_str);
    StepFailure { chain: vec![headline], hint: tip.or_else(usage).map(str::to_owned) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn json_is_asked_for_in_all_ways_that_options_are_written() {
        let asks = |line: &str| asks_for_json(&words(line));
        for line in ["plan -o json", "plan -ojson", "plan -o=json", "-yo json plan", "--output json x", "--output=json"]
        {
            assert!(asks(line), "{line}");
        }
        for line in ["plan", "plan -o text json", "exec a -- -o json", "--only json", "-o", "--no json"] {
            assert!(!asks(line), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_a_headline_and_the_likely_fix_a_hint() {
        let failed = |line: &str| failure(&parsed(&words(line)).expect_err("it is wrong"));
        let drawn = ["fleet aply", "fleet shell", "fleet --jobs 0 plan", "fleet"].map(|line| {
            let StepFailure { chain, hint } = failed(line);
            format!("{} ({})", chain.join("; "), hint.unwrap_or_default())
        });
        insta::assert_snapshot!(drawn.join("\n"), @r"
        unrecognized subcommand 'aply' (a similar subcommand exists: 'apply')
        the following required arguments were not provided: <NAME> (Usage: fleet shell <NAME>)
        invalid value '0' for '--jobs <N>': 0 is not in 1..=1024 ()
        a command is missing (`fleet --help` lists them)
        ");
    }
}
