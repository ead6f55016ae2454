//! `fleet cp`.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::change::take_lock;
use super::error::{CliError, Exit};
use super::global::Session;
use super::installation::{Installation, engine_failed};
use super::privilege::require_root;
use super::selection::parse_name;
use crate::engine::Engine;
use crate::guest::NOT_THE_GUESTS;
use crate::guest::transfer::{Outside, Summary, TransferError, copy_in, copy_out};
use crate::model::{ContainerName, ContainerRecord, EngineKind, ID_RANGE_LENGTH, Ownership, RunState};
use crate::report::Format;
use crate::store::HostLock;
use crate::sys::{RootDir, is_not_the_guests};

/// Copy files between the host and a container, running or not
///
/// One of SRC and DST is NAME:PATH, a path in a container; the other is a path of the host, or `-` for a tar stream on
/// stdin or stdout. Directories are copied with all below them: into DST if that is a directory, else to DST itself.
/// SRC with `/.` at its end means what is in it. Symbolic links are copied as links; devices, pipes, sockets and what
/// is mounted below SRC in the container are left out, with a note. In the container files belong to its root and keep
/// their permission bits; on the host they belong to the caller and lose set-id bits. Holes in files stay holes, and
/// `user.*` attributes are kept, capabilities only on the way in; access lists, which name users of one side, are not.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    fleet cp ./nginx.conf web-1:/etc/nginx/nginx.conf\n  \
    fleet cp --owner 1000:1000 ./site/. web-1:/srv/site\n  \
    fleet cp web-1:/var/log ./logs\n  \
    fleet cp web-1:/etc - | tar -tv\n  \
    tar -c bin lib | fleet cp - web-1:/opt")]
pub(super) struct CpArguments {
    /// What is copied: a path, NAME:PATH, or `-`
    #[arg(value_name = "SRC")]
    source: OsString,
    /// Where it goes: a path, NAME:PATH, or `-`
    #[arg(value_name = "DST")]
    destination: OsString,
    /// Whom files belong to in the container [default: 0:0]
    #[arg(long, value_name = "UID[:GID]", value_parser = parse_owner)]
    owner: Option<(u32, u32)>,
}

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
enum Side {
    Host(PathBuf),
    Stream,
    Guest(ContainerName, PathBuf),
}

/// A copy that can be.
enum Way {
    In(Option<PathBuf>),
    Out(Option<PathBuf>),
}

/// The document of `fleet cp`.
#[derive(Debug, Serialize)]
struct CpJson<'a> {
    copied: &'a Summary,
}

pub(super) fn run(session: &Session, arguments: &CpArguments) -> Result<Exit, CliError> {
    let (name, inside, way) = way(side(&arguments.source)?, side(&arguments.destination)?)?;
    check(session, arguments, &way)?;
    require_root()?;
    let engine = Installation::read_only(&session.layout)?.engine(EngineKind::Native);
    let (record, _lock) = find(session, engine.as_ref(), &name)?;
    let mut copied = None;
    let mut work = |root: &RootDir| {
        copied = Some(copy(root, &way, &inside, arguments.owner.unwrap_or((0, 0))));
        Ok(())
    };
    engine.with_root(&record, &mut work).map_err(|error| engine_failed(&error))?;
    let copied = copied.expect("the engine calls the work once, or fails");
    let summary = copied.map_err(|error| CliError::because(&error, hint(&error)))?;
    tell(session, &way, &summary);
    Ok(Exit::Done)
}

fn copy(root: &RootDir, way: &Way, inside: &Path, owner: (u32, u32)) -> Result<Summary, TransferError> {
    let caller = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    match way {
        Way::In(Some(path)) => copy_in(root, Outside::Path(path), inside, owner),
        Way::In(None) => copy_in(root, Outside::Tar(&mut io::stdin().lock()), inside, owner),
        Way::Out(Some(path)) => copy_out(root, inside, Outside::Path(path), caller),
        Way::Out(None) => copy_out(root, inside, Outside::Tar(&mut io::stdout().lock()), caller),
    }
}

/// `NAME:PATH`, `-`, or a path of the host: whatever has a `/` or begins with `.` before its first `:`, or no `:`.
fn side(text: &OsStr) -> Result<Side, CliError> {
    let bytes = text.as_bytes();
    if bytes == b"-" {
        return Ok(Side::Stream);
    }
    let colon = bytes.iter().position(|byte| *byte == b':');
    match colon {
        Some(at) if !bytes.starts_with(b".") && !bytes[..at].contains(&b'/') => {
            let path = OsStr::from_bytes(&bytes[at + 1..]);
            if path.is_empty() {
                let message = format!("`{}` names no path in the container", text.display());
                return Err(CliError::usage(message, "write NAME:PATH"));
            }
            Ok(Side::Guest(
                parse_name(&String::from_utf8_lossy(&bytes[..at]), "write `fleet cp SRC NAME:PATH`")?,
                path.into(),
            ))
        }
        Some(_) | None if bytes.is_empty() => Err(CliError::usage("a path is empty", "write a path, NAME:PATH or `-`")),
        Some(_) | None => Ok(Side::Host(text.into())),
    }
}

fn way(source: Side, destination: Side) -> Result<(ContainerName, PathBuf, Way), CliError> {
    match (source, destination) {
        (Side::Host(path), Side::Guest(name, inside)) => Ok((name, inside, Way::In(Some(path)))),
        (Side::Stream, Side::Guest(name, inside)) => Ok((name, inside, Way::In(None))),
        (Side::Guest(name, inside), Side::Host(path)) => Ok((name, inside, Way::Out(Some(path)))),
        (Side::Guest(name, inside), Side::Stream) => Ok((name, inside, Way::Out(None))),
        (Side::Guest(from, _), Side::Guest(to, _)) => Err(CliError::usage(
            "it copies between the host and one container, not between containers",
            format!("use a tar stream: `fleet cp {from}:SRC - | fleet cp - {to}:DST`"),
        )),
        (Side::Host(_) | Side::Stream, Side::Host(_) | Side::Stream) => {
            Err(CliError::usage("neither side is in a container", "write one of them as NAME:PATH"))
        }
    }
}

/// Refuses what would make no sense, before anything is looked at.
fn check(session: &Session, arguments: &CpArguments, way: &Way) -> Result<(), CliError> {
    match way {
        Way::Out(_) if arguments.owner.is_some() => Err(CliError::usage(
            "`--owner` is for files that go into a container",
            "on the host they belong to the caller",
        )),
        Way::Out(None) if session.console.format == Format::Json => {
            Err(CliError::usage("stdout cannot have a tar stream and a document", "leave out `-o json`"))
        }
        Way::Out(None) if io::stdout().is_terminal() => {
            Err(CliError::usage("a tar stream is not for a terminal", "redirect it to a file or a pipe"))
        }
        Way::Out(_) | Way::In(_) => Ok(()),
    }
}

/// The record of container `name`. One that does not run is kept from being started as long as the lock is held.
fn find(
    session: &Session,
    engine: &dyn Engine,
    name: &ContainerName,
) -> Result<(ContainerRecord, Option<HostLock>), CliError> {
    let inspect = || -> Result<(ContainerRecord, RunState), CliError> {
        let all = engine.inspect().map_err(|error| engine_failed(&error))?;
        let found = all.into_iter().find(|state| state.name == *name).map(|state| (state.ownership, state.run));
        match found {
            Some((Ownership::Ours(record), run)) => Ok((*record, run)),
            Some((Ownership::Foreign, _)) | None => Err(CliError::failed(
                format!("there is no container `{name}`"),
                "`fleet status` lists the containers of a fleet",
            )),
        }
    };
    match inspect()? {
        (record, RunState::Running(_)) => Ok((record, None)),
        // No lock keeps its monitor from starting it in the middle of the copy.
        (_, RunState::Restarting(_)) => Err(CliError::failed(
            format!("the container `{name}` is about to be started again"),
            "try it again when it runs, or stop it first",
        )),
        (_, RunState::Stopped | RunState::Incomplete(_)) => {
            let lock = take_lock(session, "cp")?;
            Ok((inspect()?.0, Some(lock)))
        }
    }
}

fn hint(error: &TransferError) -> Option<String> {
    match error {
        TransferError::NoDirectory(path) => Some(format!("make it first: `mkdir {}`", path.display())),
        TransferError::Write { source, .. } if is_not_the_guests(source) => Some(NOT_THE_GUESTS.to_owned()),
        TransferError::Read { .. }
        | TransferError::Write { .. }
        | TransferError::Absent(_)
        | TransferError::Special(_)
        | TransferError::NotADirectory(_)
        | TransferError::DirectoryToFile(_)
        | TransferError::Stream(..)
        | TransferError::LeadsOut(_) => None,
    }
}

fn tell(session: &Session, way: &Way, summary: &Summary) {
    for skipped in &summary.skipped {
        session.console.note(&format!("left out `{}`: {}", skipped.path, skipped.why));
    }
    let Summary { files, directories, links, bytes, .. } = summary;
    let amount = crate::model::Bytes(*bytes);
    let line = format!(
        "Copied {} ({amount}), {}, {}",
        counted(*files, "file", "files"),
        counted(*directories, "directory", "directories"),
        counted(*links, "link", "links")
    );
    match way {
        // The stream's reader speaks for itself.
        Way::Out(None) => {}
        Way::In(_) | Way::Out(Some(_)) => session.console.note(&line),
    }
    session.console.json(&CpJson { copied: summary });
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn parse_owner(text: &str) -> Result<(u32, u32), String> {
    let id = |text: &str| match text.parse() {
        Ok(id) if id < ID_RANGE_LENGTH => Ok(id),
        _ => Err(format!("`{text}` is no id from 0 to 65535")),
    };
    match text.split_once(':') {
        Some((uid, gid)) => Ok((id(uid)?, id(gid)?)),
        None => id(text).map(|id| (id, id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_told_by_what_is_before_its_colon() {
        let side = |text: &str| side(OsStr::new(text)).expect("a side");
        assert_eq!(side("web-1:/etc/x:y"), Side::Guest("web-1".parse().expect("a name"), "/etc/x:y".into()));
        assert_eq!(side("./web-1:x"), Side::Host("./web-1:x".into()));
        assert_eq!(side("dir/web-1:x"), Side::Host("dir/web-1:x".into()));
        assert_eq!(side("file"), Side::Host("file".into()));
        assert_eq!(side("-"), Side::Stream);
    }

    #[test]
    fn an_owner_is_a_user_and_maybe_a_group_of_the_container() {
        assert_eq!(parse_owner("1000"), Ok((1000, 1000)));
        assert_eq!(parse_owner("1000:100"), Ok((1000, 100)));
        assert_eq!(parse_owner("1000:65536"), Err("`65536` is no id from 0 to 65535".into()));
        assert!(parse_owner("dev").is_err());
    }
}
