//! Which fleet files a verb works on, and their fleets.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::error::CliError;
use super::global::Session;
use crate::manifest::{self, Finding, Rejected};
use crate::model::Fleet;

/// The fleet file that is used when none is named.
const DEFAULT_FILE: &str = "fleet.yaml";

/// Fleet files as arguments.
#[derive(Debug, Args)]
pub(super) struct FileArguments {
    /// Fleet files, or directories whose *.yaml and *.yml files are all meant [default: --file]
    #[arg(value_name = "FILE|DIR")]
    pub(super) files: Vec<PathBuf>,
}

/// The fleets of `named`, or of `--file` if that is empty: at least one, checked each and together.
pub(super) fn load_fleets(session: &Session, named: &[PathBuf]) -> Result<Vec<Fleet>, CliError> {
    let scope = session.layout.scope();
    let (mut fleets, mut rejected) = (Vec::new(), Vec::new());
    for file in fleet_files(session, named)? {
        match manifest::load(&file, &scope) {
            Ok(fleet) => fleets.push(fleet),
            Err(file) => rejected.push(file),
        }
    }
    if rejected.is_empty() {
        rejected = by_file(manifest::check_together(&fleets));
    }
    if rejected.is_empty() { Ok(fleets) } else { Err(CliError::Rejected(rejected)) }
}

/// The one fleet of `--file`, for verbs whose arguments are names of containers.
pub(super) fn load_fleet(session: &Session) -> Result<Fleet, CliError> {
    let mut fleets = load_fleets(session, &[])?;
    match fleets.pop() {
        Some(fleet) if fleets.is_empty() => Ok(fleet),
        _ => Err(CliError::usage("this verb works on one fleet", "name one fleet file with `-f FILE`")),
    }
}

fn fleet_files(session: &Session, named: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let named = if named.is_empty() { session.file.as_slice() } else { named };
    if named.is_empty() {
        let default = PathBuf::from(DEFAULT_FILE);
        return if default.exists() { Ok(vec![default]) } else { Err(no_default()) };
    }
    let mut files = Vec::new();
    for path in named {
        if path.is_dir() {
            files.extend(files_in(path)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn no_default() -> CliError {
    CliError::usage(
        format!("there is no `{DEFAULT_FILE}` in this directory"),
        "name a fleet file with `-f FILE` or in FLEET_FILE",
    )
}

/// The fleet files in `directory`, sorted by name. Deeper ones are not meant: those are templates, keys, data.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>, CliError> {
    let unreadable = |source: io::Error| {
        CliError::usage(format!("cannot read `{}`: {source}", directory.display()), "check the path")
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if is_yaml && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        let message = format!("there is no fleet file in `{}`", directory.display());
        return Err(CliError::usage(message, "fleet files end in .yaml or .yml"));
    }
    Ok(files)
}

/// Findings with the text of their files, so that lines can be shown.
fn by_file(findings: Vec<Finding>) -> Vec<Rejected> {
    let mut rejected: Vec<Rejected> = Vec::new();
    for finding in findings {
        match rejected.iter_mut().find(|file| file.file == finding.file) {
            Some(file) => file.findings.push(finding),
            None => rejected.push(Rejected {
                file: finding.file.clone(),
                text: fs::read_to_string(&finding.file).unwrap_or_default(),
                findings: vec![finding],
            }),
        }
    }
    rejected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_means_its_own_yaml_files_in_order() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        for name in ["b.yaml", "a.yml", "notes.txt"] {
            fs::write(dir.path().join(name), "").expect("a file");
        }
        fs::create_dir(dir.path().join("deeper.yaml")).expect("a directory");
        let files = files_in(dir.path()).expect("two files");
        assert_eq!(files, [dir.path().join("a.yml"), dir.path().join("b.yaml")]);
    }

    #[test]
    fn a_directory_without_fleet_files_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert!(matches!(files_in(dir.path()), Err(CliError::Usage(_))));
    }
}
