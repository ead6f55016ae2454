//! `fleet.lock` beside the fleet file: which build each distribution of a fleet is pinned to.
//!
//! One file serves all fleets of a directory; each has its own section. It is JSON that people do not write but may well
//! read, compare and keep with the fleet file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Finding, Rejected};
use crate::model::{Build, BuildFile, BuildFiles, FleetName, ImageDigest};

/// The version of the format that this program reads and writes.
const VERSION: u32 = 1;

/// The pins of all fleets of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    path: PathBuf,
    fleets: BTreeMap<String, Vec<Build>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    fleets: BTreeMap<String, Vec<Build>>,
}

impl Lock {
    /// The pins beside the fleet file `file`; none if there is no such file.
    pub fn beside(file: &Path) -> Result<Lock, Rejected> {
        let path = file.with_file_name("fleet.lock");
        match fs::read_to_string(&path) {
            Ok(text) => Lock::parse(path, text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Lock { path, fleets: BTreeMap::new() }),
            Err(error) => Err(rejected(path, String::new(), (1, 1), format!("cannot read the lock file: {error}"))),
        }
    }

    fn parse(path: PathBuf, text: String) -> Result<Lock, Rejected> {
        let document: Document = match serde_json::from_str(&text) {
            Ok(document) => document,
            Err(error) => {
                let place = (error.line().max(1), error.column().max(1));
                return Err(rejected(path, text, place, format!("this is not a lock file of fleet: {error}")));
            }
        };
        if document.version != VERSION {
            let message = format!("this lock file has version {}, and this fleet knows {VERSION}", document.version);
            return Err(rejected(path, text, (1, 1), message));
        }
        // They become names of files.
        if let Some(build) = document.fleets.values().flatten().find(|build| !digests(build).all(is_digest)) {
            let message = format!("the pin of `{}` has a checksum that is not a SHA-256", build.distro);
            return Err(rejected(path, text, (1, 1), message));
        }
        let mut lock = Lock { path, fleets: document.fleets };
        // Where a lock file comes from, nobody knows: that its builds are signed is not its to say.
        lock.fleets.values_mut().for_each(|pins| unmark(pins));
        Ok(lock)
    }

    /// Where it is, or would be.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The pins of `fleet`.
    #[must_use]
    pub fn pins(&self, fleet: &FleetName) -> &[Build] {
        self.fleets.get(fleet.as_str()).map_or(&[], Vec::as_slice)
    }

    /// Makes `pins` those of `fleet`; returns whether anything is different now.
    pub fn pin(&mut self, fleet: &FleetName, mut pins: Vec<Build>) -> bool {
        unmark(&mut pins);
        pins.sort_by(|one, other| {
            (&one.distro, &one.arch, &one.server).cmp(&(&other.distro, &other.arch, &other.server))
        });
        if self.pins(fleet) == pins {
            return false;
        }
        if pins.is_empty() {
            self.fleets.remove(fleet.as_str());
        } else {
            self.fleets.insert(fleet.to_string(), pins);
        }
        true
    }

    /// Makes the same of the pins of `fleet` as somebody did who found `before` and left `after`; returns whether anything is
    /// different now. A pin that was changed here meanwhile stays, unless theirs is of a newer build: none goes back.
    pub fn change(&mut self, fleet: &FleetName, before: &[Build], after: &[Build]) -> bool {
        let (mut pins, mut after) = (self.pins(fleet).to_vec(), after.to_vec());
        unmark(&mut after);
        for old in before.iter().filter(|old| !after.iter().any(|new| is_same_pin(new, old))) {
            pins.retain(|pin| pin != old);
        }
        for new in after.iter().filter(|new| !before.contains(new)) {
            match pins.iter_mut().find(|pin| is_same_pin(pin, new)) {
                None => pins.push(new.clone()),
                Some(pin) if before.contains(pin) || new.serial > pin.serial => pin.clone_from(new),
                Some(_) => {}
            }
        }
        self.pin(fleet, pins)
    }

    /// What stands in the file; `None` if there is nothing to stand in it.
    ///
    /// # Panics
    /// Never: texts and numbers have a JSON form.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        if self.fleets.is_empty() {
            return None;
        }
        let document = Document { version: VERSION, fleets: self.fleets.clone() };
        let text = serde_json::to_string_pretty(&document).expect("string keys and plain values always serialise");
        Some(text + "\n")
    }
}

/// Takes away what this host alone knows of builds.
fn unmark(pins: &mut [Build]) {
    for build in pins {
        build.signed_by = None;
    }
}

/// Whether both are pins of one distribution.
fn is_same_pin(one: &Build, other: &Build) -> bool {
    (&one.distro, &one.arch, &one.server) == (&other.distro, &other.arch, &other.server)
}

fn digests(build: &Build) -> impl Iterator<Item = &str> {
    let files: Vec<&BuildFile> = match &build.files {
        BuildFiles::Unified(file) => vec![file],
        BuildFiles::Layers { .. } => vec![],
        BuildFiles::Archive { metadata, root } | BuildFiles::Squashfs { metadata, root } => vec![metadata, root],
    };
    files.into_iter().map(|file| file.sha256.as_str()).chain([build.fingerprint.0.as_str()])
}

fn is_digest(text: &str) -> bool {
    ImageDigest::parse_hex(text).is_ok_and(|digest| digest == text)
}

fn rejected(path: PathBuf, text: String, (line, column): (usize, usize), message: String) -> Rejected {
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let start = (start + column - 1).min(text.len());
    let hint = "restore it, or remove it: `fleet apply` writes it anew from what is in use".to_owned();
    let finding = Finding { file: path.clone(), line, column, span: (start, 0), message, hint: Some(hint) };
    Rejected { file: path, text, findings: vec![finding] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(distro: &str, digit: &str) -> Build {
        let file = |path: &str| BuildFile { path: path.to_owned(), sha256: digit.repeat(64), size: 7 };
        Build {
            distro: distro.parse().expect("a name"),
            server: "https://images.example".parse().expect("an address"),
            arch: "amd64".to_owned(),
            serial: "20241101_05:24".to_owned(),
            fingerprint: ImageDigest(digit.repeat(64)),
            files: BuildFiles::Archive { metadata: file("m"), root: file("r") },
            signed_by: None,
        }
    }

    #[test]
    fn a_lock_file_does_not_say_who_signed_a_build() {
        let signed = Build { signed_by: Some("f".repeat(64)), ..build("debian/12", "b") };
        let dev = "dev".parse().expect("a name");
        let mut lock = Lock { path: "fleet.lock".into(), fleets: BTreeMap::new() };
        assert!(lock.pin(&dev, vec![signed.clone()]) && !lock.pin(&dev, vec![build("debian/12", "b")]));
        lock.fleets.insert(dev.to_string(), vec![signed]);
        let read = Lock::parse("fleet.lock".into(), lock.text().expect("pins")).expect("it is right");
        assert_eq!(read.pins(&dev), [build("debian/12", "b")]);
    }

    #[test]
    fn pins_of_each_fleet_are_kept_apart_and_sorted() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("dev.yaml");
        let (dev, web) = ("dev".parse().expect("a name"), "web".parse().expect("a name"));
        let mut lock = Lock::beside(&file).expect("there is none");
        assert_eq!(lock.text(), None);
        assert!(lock.pin(&dev, vec![build("debian/12", "b"), build("alpine/3.20", "a")]));
        assert!(lock.pin(&web, vec![build("debian/12", "c")]));
        fs::write(lock.path(), lock.text().expect("pins")).expect("written");
        let mut read = Lock::beside(&dir.path().join("web.yaml")).expect("it is right");
        assert_eq!(read, lock);
        assert_eq!(read.pins(&dev), [build("alpine/3.20", "a"), build("debian/12", "b")]);
        assert!(!read.pin(&web, vec![build("debian/12", "c")]));
        assert!(read.pin(&dev, vec![]) && read.pin(&web, vec![]));
        assert_eq!(read.text(), None);
    }

    #[test]
    fn of_two_who_change_the_pins_at_one_time_neither_undoes_what_the_other_did() {
        let dev = "dev".parse().expect("a name");
        // `alpine/3.20 2, debian/12 1`: distributions with the serials of their builds.
        let pins = |text: &str| -> Vec<Build> {
            let words = text.split(", ").filter_map(|pin| pin.split_once(' '));
            words.map(|(distro, serial)| Build { serial: serial.to_owned(), ..build(distro, "a") }).collect()
        };
        let changed = |now: &str, before: &str, after: &str| {
            let mut lock = Lock { path: "fleet.lock".into(), fleets: BTreeMap::new() };
            lock.pin(&dev, pins(now));
            lock.change(&dev, &pins(before), &pins(after));
            let left = lock.pins(&dev).iter().map(|pin| format!("{} {}", pin.distro, pin.serial));
            left.collect::<Vec<_>>().join(", ")
        };
        let both = "alpine/3.20 1, debian/12 1";
        // Nobody else did anything.
        assert_eq!(changed(both, both, "alpine/3.20 2, debian/12 1"), "alpine/3.20 2, debian/12 1");
        assert_eq!(changed(both, both, "alpine/3.20 1"), "alpine/3.20 1");
        // Another one was moved, or added.
        let moved = "alpine/3.20 1, debian/12 2";
        assert_eq!(changed(moved, both, "alpine/3.20 2, debian/12 1"), "alpine/3.20 2, debian/12 2");
        assert_eq!(changed(both, "alpine/3.20 1", "alpine/3.20 2"), "alpine/3.20 2, debian/12 1");
        // The same was.
        assert_eq!(changed("debian/12 2", "debian/12 1", "debian/12 3"), "debian/12 3");
        assert_eq!(changed("debian/12 3", "debian/12 1", "debian/12 2"), "debian/12 3");
        assert_eq!(changed("debian/12 3", "", "debian/12 2"), "debian/12 3");
        // It is used no more, but somebody has just moved it; or it was taken out.
        assert_eq!(changed("debian/12 2", "debian/12 1", ""), "debian/12 2");
        assert_eq!(changed("", "debian/12 1", "debian/12 2"), "debian/12 2");
    }

    #[test]
    fn a_lock_file_that_is_none_is_a_finding() {
        let refused = |text: &str| {
            let rejected = Lock::parse("fleet.lock".into(), text.to_owned()).expect_err("it is none");
            let finding = &rejected.findings[0];
            format!("{}:{} {}", finding.line, finding.column, finding.message)
        };
        assert_eq!(
            refused("{\n<<<<<<< HEAD\n"),
            "2:1 this is not a lock file of fleet: key must be a string at line 2 column 1"
        );
        assert_eq!(
            refused("{\"version\": 9, \"fleets\": {}}"),
            "1:1 this lock file has version 9, and this fleet knows 1"
        );
        let mut lock = Lock { path: "fleet.lock".into(), fleets: BTreeMap::new() };
        let outside = Build { fingerprint: ImageDigest("../../etc".to_owned()), ..build("debian/12", "b") };
        lock.pin(&"dev".parse().expect("a name"), vec![outside]);
        let text = lock.text().expect("pins");
        assert_eq!(refused(&text), "1:1 the pin of `debian/12` has a checksum that is not a SHA-256");
    }
}
