//! What a server says, signed by the key that the fleet file names: clear-signed beside it as `.sjson`, or with a signature of
//! its own as `.gpg`. Debian's gpgv(1) verifies it, and nothing but what that has verified is read.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::{Command, Output, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use sha2::{Digest as _, Sha256};

use super::{LONGEST, StreamsError, below};
use crate::image::digest::hex;
use crate::image::web::{Web, WebError};
use crate::model::{SigningKey, WebUrl};

/// What it says on its status descriptor of each good signature (`GnuPG`'s doc/DETAILS).
const VALID: &str = "[GNUPG:] VALIDSIG ";

/// The content of `path`, a file of JSON, of `server`, as its key has signed it.
pub(super) fn read(web: &Web, server: &WebUrl, path: &str, key: &SigningKey) -> Result<Vec<u8>, StreamsError> {
    let fetch = |path: &str| web.read(&below(server, path)?, LONGEST).map_err(StreamsError::from);
    let unsigned = |why: String| StreamsError::Unsigned { server: server.to_string(), path: path.to_owned(), why };
    let clear_signed = path.strip_suffix(".json").map(|stem| format!("{stem}.sjson"));
    match clear_signed.as_deref().map(fetch) {
        Some(Err(StreamsError::Web(WebError::Refused { status: 403 | 404 | 410, .. }))) | None => {
            let content = fetch(path)?;
            let signature = fetch(&format!("{path}.gpg")).map_err(|error| match error {
                StreamsError::Web(WebError::Refused { status: 403 | 404 | 410, .. }) => {
                    unsigned("the server has no signature of it".to_owned())
                }
                other => other,
            })?;
            verify(key, &signature, Some(&content)).map_err(unsigned)?;
            Ok(content)
        }
        Some(signed) => verify(key, &signed?, None).map_err(unsigned),
    }
}

/// What a build that `key` vouches for is marked with.
pub(in crate::image) fn fingerprint(key: &SigningKey) -> String {
    hex(Sha256::new_with_prefix(&key.keyring))
}

/// Verifies `signed`, or the signature `signed` of `content`; returns what was signed, or why it is not to be trusted.
fn verify(key: &SigningKey, signed: &[u8], content: Option<&[u8]>) -> Result<Vec<u8>, String> {
    let Output { status, stdout, stderr } = run(key, signed, content).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => MISSING.to_owned(),
        _ => format!("`gpgv` cannot be run: {error}"),
    })?;
    let said = String::from_utf8_lossy(&stderr);
    if status.success() && said.lines().any(|line| line.starts_with(VALID)) {
        return Ok(stdout);
    }
    let words: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("gpgv: ")).collect();
    let by = key.file.display();
    Err(format!(
        "it has no good signature by `{by}` ({})",
        words.last().map_or("gpgv says nothing", |last| last.trim())
    ))
}

/// What is said where the program is not there.
pub(super) const MISSING: &str = "this host has no program `gpgv` to verify its signature with";

fn run(key: &SigningKey, signed: &[u8], content: Option<&[u8]>) -> io::Result<Output> {
    // Nobody else sees these files, and nothing is left of them.
    let files = [Some(key.keyring.as_slice()), Some(signed), content].map(|bytes| bytes.map(held).transpose());
    let [keyring, signed, content] = files;
    let (keyring, signed, content) = (keyring?, signed?, content?);
    let path = |file: &OwnedFd| format!("/dev/fd/{}", file.as_raw_fd());
    let mut command = Command::new("gpgv");
    command.args(["--status-fd", "2", "--keyring"]).args(keyring.iter().map(path));
    // What is signed within comes out; what is signed by a file of its own is known already.
    if content.is_none() {
        command.args(["--output", "-"]);
    }
    command.arg("--").args(signed.iter().map(path)).args(content.iter().map(path));
    command.env("LC_ALL", "C").env("GNUPGHOME", "/nonexistent").stdin(Stdio::null()).output()
}

/// `bytes` as a file that a program finds below `/dev/fd`.
fn held(bytes: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("fleet", MemfdFlags::empty())?);
    file.write_all(bytes)?;
    Ok(file.into())
}
