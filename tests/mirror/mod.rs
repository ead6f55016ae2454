//! An image server on this host: a tree in the format of the public one, from a real root file system, and a web server
//! that can be told to misbehave.
#![allow(dead_code, unused_imports, missing_docs, reason = "each test binary uses a part of it")]

mod registry;
mod serve;
mod stored;
mod tree;

pub(crate) use registry::{Image, Layer, Packing, Registry};
pub(crate) use serve::{Fault, Server};
pub(crate) use stored::Stored;
pub(crate) use tree::{Forms, Tree, root_file_system, sha256};

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a command of the host in `dir` to its end.
#[track_caller]
pub(crate) fn run(dir: &Path, program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).current_dir(dir).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The program that writes trees of Incus, from the PATH or from the package that `incus-simplestreams.sh` unpacks.
pub(crate) fn incus_simplestreams() -> PathBuf {
    let name = "incus-simplestreams";
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.exists()) {
        return found;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mirror/incus-simplestreams.sh");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = Command::new(script).arg(&dir).output().expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir.join("usr/bin").join(name)
}
