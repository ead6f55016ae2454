//! Whole fleet files.

mod access;
mod across;
mod findings;
mod fleets;
mod hints;
mod ipv6;
mod laws;
mod networks;
mod together;
mod traffic;
mod values;
mod yaml;

use std::path::Path;

use super::{Rejected, parse};
use crate::model::Fleet;

fn environment(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/dev".to_owned()),
        "MEMORY" => Some("1GiB".to_owned()),
        _ => None,
    }
}

fn read(text: &str) -> Result<Fleet, Rejected> {
    parse(Path::new("/srv/fleet.yaml"), text, "", &environment).map(|file| file.fleet)
}

fn accepted(text: &str) -> Fleet {
    read(text).unwrap_or_else(|rejected| panic!("it must be accepted:\n{}", drawn(&rejected)))
}

/// The findings of `text`, one per line: `line:column message (hint)`.
fn findings(text: &str) -> String {
    read(text).map_or_else(|rejected| drawn(&rejected), |_| "none".to_owned())
}

fn drawn(rejected: &Rejected) -> String {
    let lines = rejected.findings.iter().map(|finding| {
        let hint = finding.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}:{} {}{hint}", finding.line, finding.column, finding.message)
    });
    lines.collect::<Vec<_>>().join("\n")
}
