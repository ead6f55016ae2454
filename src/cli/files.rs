//! Which fleet files a verb works on, and their fleets.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::error::CliError;
use super::global::Session;
use crate::manifest;
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
    let (mut files, mut rejected) = (Vec::new(), Vec::new());
    for file in fleet_files(session, named)? {
        match manifest::load(&file, &scope) {
            Ok(file) => files.push(file),
            Err(file) => rejected.push(file),
        }
    }
    if rejected.is_empty() {
        rejected = manifest::check_together(&files);
    }
    if !rejected.is_empty() {
        return Err(CliError::Rejected(rejected));
    }
    Ok(files.into_iter().map(|file| file.fleet).collect())
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
    Ok(each_once(files))
}

/// `files` without those that stand further in front already, by whatever way they are named: `a.yaml` and a directory
/// that holds it.
fn each_once(mut files: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    // What is not there is a finding of its own.
    files.retain(|file| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
    files
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
    fn a_file_that_is_named_twice_is_meant_once() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (one, other) = (dir.path().join("a.yaml"), dir.path().join("b.yaml"));
        for file in [&one, &other] {
            fs::write(file, "").expect("a file");
        }
        let link = dir.path().join("link.yaml");
        std::os::unix::fs::symlink(&one, &link).expect("a link");
        let absent = dir.path().join("absent.yaml");
        let named = vec![one.clone(), other.clone(), dir.path().join("./a.yaml"), link, absent.clone(), absent.clone()];
        assert_eq!(each_once(named), [one, other, absent]);
    }

    #[test]
    fn a_directory_without_fleet_files_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        assert!(matches!(files_in(dir.path()), Err(CliError::Usage(_))));
    }
}
