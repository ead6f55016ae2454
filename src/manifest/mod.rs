//! The fleet file: YAML to [`Fleet`], or every finding with its place.
//!
//! Start at [`load`]. This room never looks at the host's containers and never stops at the first finding.

mod address;
mod armor;
mod check;
mod container;
mod devices;
mod files;
mod findings;
mod image;
mod interpolate;
mod keys;
mod layer;
mod limits;
mod links;
mod lock;
mod mounts;
mod network;
mod networks;
mod node;
mod places;
mod ports;
mod reader;
mod remotes;
mod resolve;
mod scalar;
mod security;
mod ssh_keys;
mod subnet;
#[cfg(test)]
mod tests;
mod users;
mod way;
mod whole;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

pub use lock::Lock;

use files::{Files, reason};
use findings::{Complaint, Findings, Lines};
use interpolate::fill_in;
use node::Span;
use places::Places;
use reader::Reader;
use remotes::Remotes;

use crate::model::{Fleet, ImageSource, ParseImageError};

/// Something wrong in a fleet file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The fleet file, as the user named it.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Byte offset in the file's text, and length in bytes, of what is wrong.
    pub span: (usize, usize),
    /// What is wrong: one sentence without a full stop.
    pub message: String,
    /// The likely fix, such as ``did you mean `memory`?``.
    pub hint: Option<String>,
}

/// A fleet file that has findings, with its text so that lines can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The fleet file, as the user named it.
    pub file: PathBuf,
    /// Its text; empty if it could not be read.
    pub text: String,
    /// At least one, in the order of the file.
    pub findings: Vec<Finding>,
}

/// A fleet file that has no findings of its own.
#[derive(Debug, Clone)]
pub struct FleetFile {
    /// What it asks for.
    pub fleet: Fleet,
    text: String,
    places: Places,
}

/// Reads the fleet file at `path`, and the lock file beside it. `scope` is [`crate::store::Layout::scope`]: names derived for links go by it.
pub fn load(path: &Path, scope: &str) -> Result<FleetFile, Rejected> {
    let rejected = |text: &str, span: Span, message: String| {
        let mut findings = Findings::default();
        findings.add(span, Complaint::new(message));
        findings.into_rejected(path, text, &Lines::of(text))
    };
    let bytes = fs::read(path)
        .map_err(|error| rejected("", Span::default(), format!("cannot read the fleet file: {}", reason(&error))))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let start = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes());
        rejected(&text, Span { start, length: 0 }, "the fleet file is not UTF-8 text".to_owned())
    })?;
    let mut file = parse(path, &text, scope, &|name| env::var(name).ok())?;
    file.fleet.pins = Lock::beside(path)?.pins(&file.fleet.name).to_vec();
    Ok(file)
}

/// Parses `text`, the content of the fleet file `file`; other files that it names are looked up beside that.
/// `env` gives the environment's variables.
pub fn parse(
    file: &Path,
    text: &str,
    scope: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<FleetFile, Rejected> {
    let mut reader = Reader {
        findings: Findings::default(),
        lines: Lines::of(text),
        files: Files::beside(file, env),
        remotes: Remotes::new(env),
        private_keys: BTreeMap::new(),
    };
    let fleet = match yaml::parse(text) {
        Ok(mut root) => {
            fill_in(&mut root, env, &mut reader.findings);
            resolve::fleet(&mut reader, &root, file, scope)
        }
        Err(complaint) => {
            reader.complain(complaint.span, complaint.value);
            None
        }
    };
    match fleet {
        Some((fleet, places)) if reader.findings.is_empty() => Ok(FleetFile { fleet, text: text.to_owned(), places }),
        _ => Err(reader.findings.into_rejected(file, text, &reader.lines)),
    }
}

/// The image that `text` stands for on a command line: a distribution as `distro` has it, or else what `image` has as one
/// text. What is wrong with it, and the likely fix, if it is neither.
pub fn image_source(text: &str) -> Result<ImageSource, (String, Option<String>)> {
    if ["file:", "http:", "https:", "oci:", "bootstrap:"].iter().any(|scheme| text.starts_with(scheme))
        || text == "busybox"
    {
        return text.parse().map_err(|error: ParseImageError| (error.to_string(), None));
    }
    let distro = Remotes::new(&|name| env::var(name).ok()).distro(text);
    distro.map(ImageSource::Distro).map_err(|complaint| (complaint.message, complaint.hint))
}

/// What several fleets that are applied together have in common and must not: names, subnets, bridges, container
/// names, published ports. One finding for each clash, in the later file.
#[must_use]
pub fn check_together(files: &[FleetFile]) -> Vec<Rejected> {
    check::check_together(files)
}
