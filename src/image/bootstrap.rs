//! Root file systems that are made on this host by mmdebstrap(1): what tells their content, what is needed, and the making.
//!
//! The program runs maintainers' scripts as root in a directory of its own. It gets a mount and a pid namespace, so that
//! however it ends, or this process does, nothing of it runs on and nothing of it stays mounted.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use sha2::{Digest as _, Sha256};

use super::apt;
use super::digest::hex;
use super::error::{ImageError, LastWords, TreeError};
use super::file_hashes::FileHashes;
use super::format::CHUNK;
use super::source::Unavailable;
use super::tree::Limits;
use super::unpack::{Contents, unpack};
use crate::model::{Bootstrap, Family, ImageDigest, InitChoice, native_architecture};
use crate::store::remove_tree;

/// Begins what is hashed. **Another number whenever [`make`] makes something else of the same request.**
const RECIPE: &str = "fleet-bootstrap-1";

/// The programs that it takes, each with the Debian package that has it. The latter two see to it that nothing of the first
/// outlives this process.
const PROGRAMS: [(&str, &str); 3] =
    [("mmdebstrap", "mmdebstrap"), ("unshare", "util-linux"), ("setpriv", "util-linux")];

/// Tells it whether this host runs what is built for another architecture.
const ARCH_TEST: (&str, &str) = ("arch-test", "arch-test");

/// What every such root file system has beside the smallest one of its family, to be looked at from inside.
const BASE: [&str; 2] = ["iproute2", "iputils-ping"];

/// Takes out what is this host's: mmdebstrap copies the first two, and packages make the keys. A link that a package has
/// made stays. (`machine-id` it empties itself.)
const CLEANING: &str = "for file in \"$1\"/etc/resolv.conf \"$1\"/etc/hostname; do [ -L \"$file\" ] || rm -f \"$file\"; done; \
    rm -f \"$1\"/etc/ssh/ssh_host_*";

/// So many of its last lines are shown when it fails.
const LAST_LINES: usize = 8;

/// What the image of `request` is known by: the request, not what an archive has of it today.
pub(super) fn digest(request: &Bootstrap) -> ImageDigest {
    let Bootstrap { family, release, arch, init, packages, serial } = request;
    let packages: Vec<&str> = packages.iter().map(String::as_str).collect();
    let serial = serial.as_deref().unwrap_or_default();
    let lines = [RECIPE, family.word(), release, arch, init.word(), &packages.join(","), serial];
    ImageDigest(hex(Sha256::new_with_prefix(lines.join("\n"))))
}

/// Whether this host has what it takes to make `request`.
pub(super) fn check(request: &Bootstrap) -> Result<(), Unavailable> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| env::split_paths(&path).any(|dir| dir.join(program).is_file());
    let of_others = (request.arch != native_architecture()).then_some(&ARCH_TEST);
    if let Some((program, package)) = PROGRAMS.iter().chain(of_others).find(|(program, _)| !is_there(program)) {
        let why = format!("this host has no program `{program}`, which it takes to make it");
        return Err(Unavailable::new(why, format!("install the package {package}")));
    }
    let (keyring, package) = match request.family {
        Family::Debian => ("debian-archive-keyring.gpg", "debian-archive-keyring"),
        Family::Ubuntu => ("ubuntu-archive-keyring.gpg", "ubuntu-keyring"),
        Family::Devuan => ("devuan-archive-keyring.gpg", "devuan-keyring"),
    };
    let keyring = Path::new("/usr/share/keyrings").join(keyring);
    if !keyring.is_file() {
        let why = format!("this host has no `{}` to verify packages with", keyring.display());
        return Err(Unavailable::new(why, format!("install the package {package}")));
    }
    Ok(())
}

/// Makes the root file system of `request` in the empty directory `root`, which has a neighbour `scratch` meanwhile. `tell`
/// hears what is being done. Returns the hashes of its files.
pub(super) fn make(
    request: &Bootstrap,
    root: &Path,
    scratch: &Path,
    limits: Limits,
    tell: &(dyn Fn(&str) + Sync),
) -> Result<FileHashes, ImageError> {
    fs::create_dir(scratch).map_err(ImageError::io("make", scratch))?;
    let failed = |words: Vec<String>| ImageError::NotMade { image: request.to_string(), words: LastWords(words) };
    let mut child = command(request, scratch).spawn().map_err(|error| failed(vec![error.to_string()]))?;
    let (unpacked, words) = thread::scope(|scope| {
        let words = child.stderr.take().map(|said| scope.spawn(move || listen(said, tell)));
        let unpacked = unpack_output(&mut child, root, limits);
        (unpacked, words.and_then(|words| words.join().ok()).unwrap_or_default())
    });
    let ended = child.wait();
    let _ = remove_tree(scratch);
    match (unpacked, ended) {
        (Ok(hashes), Ok(status)) if status.success() => Ok(hashes),
        // An archive that breaks off has its reason where it was written; any other failure is of the reader.
        (Err(TreeError::Damaged(_)) | Ok(_), _) => Err(failed(words)),
        (Err(source), _) => Err(ImageError::Unpack { path: root.to_owned(), source }),
    }
}

fn command(request: &Bootstrap, scratch: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.args(["mmdebstrap", "--variant=minbase", "--format=tar"]);
    command.arg(format!("--architectures={}", request.arch));
    command.arg(format!("--include={}", packages(request).join(",")));
    command.arg(format!("--customize-hook={CLEANING}"));
    command.args([request.suite(), "-"]);
    command.args(apt::sources(request.family, request.suite()));
    command.env("TMPDIR", scratch).env("LC_ALL", "C.UTF-8").env_remove("SOURCE_DATE_EPOCH");
    // What is typed at the user's terminal is for this process, which finishes what it has begun.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// All that is installed beside the smallest root file system.
fn packages(request: &Bootstrap) -> Vec<&str> {
    let init: &[&str] = match request.init {
        InitChoice::Systemd => &["systemd-sysv", "dbus", "libpam-systemd", "libnss-systemd"],
        InitChoice::Sysvinit => &["sysvinit-core"],
        InitChoice::Openrc => &["openrc", "sysvinit-core"],
        InitChoice::Runit => &["runit-init"],
    };
    let asked = request.packages.iter().map(String::as_str);
    init.iter().copied().chain(BASE).chain(asked).collect()
}

fn unpack_output(child: &mut Child, root: &Path, limits: Limits) -> Result<FileHashes, TreeError> {
    // Dropped at the end: were it not read to its end, the writer must not wait for that.
    let output = child.stdout.take().map(|output| BufReader::with_capacity(CHUNK, output));
    output.map_or_else(|| Ok(FileHashes::default()), |output| unpack(output, Contents::Root, root, limits))
}

/// Reads what the program says to its end; returns the last lines. What it is about to do it says in lines of their own.
fn listen(said: impl Read, tell: &(dyn Fn(&str) + Sync)) -> Vec<String> {
    let mut last = VecDeque::with_capacity(LAST_LINES);
    for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if let Some(stage) = line.strip_prefix("I: ").and_then(|line| line.strip_suffix("...")) {
            tell(stage);
        }
        if line.is_empty() {
            continue;
        }
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
    last.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_known_by_all_that_it_says() {
        let debian: Bootstrap = "debian/12".parse().expect("it is one");
        let others = [
            "debian/13".parse().expect("it is one"),
            Bootstrap { init: InitChoice::Runit, ..debian.clone() },
            Bootstrap { arch: "s390x".to_owned(), ..debian.clone() },
            Bootstrap { packages: ["sudo".to_owned()].into(), ..debian.clone() },
            Bootstrap { serial: Some("sudo".to_owned()), ..debian.clone() },
        ];
        let mut digests: Vec<_> = others.iter().map(digest).collect();
        digests.push(digest(&debian));
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), 6);
        assert_eq!(digest(&"debian/bookworm".parse().expect("it is one")), digest(&debian));
    }

    #[test]
    fn its_stages_are_told_and_its_last_lines_are_kept() {
        let said = "I: running apt-get update...\nI: done\n\nE: 1\n2\n3\n4\n5\n6\n7\n8\n";
        let told = std::sync::Mutex::new(Vec::new());
        let last = listen(said.as_bytes(), &|stage| told.lock().expect("not poisoned").push(stage.to_owned()));
        assert_eq!(told.into_inner().expect("not poisoned"), ["running apt-get update"]);
        assert_eq!(last, ["E: 1", "2", "3", "4", "5", "6", "7", "8"]);
    }
}
