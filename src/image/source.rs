//! Where images come from: what a source is on this host, and what tells its content.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::path::{Path, PathBuf};

use super::busybox;
use super::copy;
use super::digest::{DigestCache, Identity};
use super::elf;
use super::entries::BLOCK;
use super::error::TreeError;
use super::format::Format;
use super::squashfs;
use crate::model::{ImageDigest, ImageState};

/// A source, as found on the host.
#[derive(Debug)]
pub(super) enum Located {
    /// The program that the built-in image is made of.
    Busybox {
        /// Where it is.
        path: PathBuf,
        /// It, open.
        file: File,
    },
    /// An archive.
    Archive {
        /// Where it is.
        path: PathBuf,
        /// It, open.
        file: File,
        /// How it is packed.
        format: Format,
    },
    /// A squashfs.
    Squashfs {
        /// Where it is.
        path: PathBuf,
        /// It, open.
        file: File,
    },
    /// A directory.
    Directory(PathBuf),
}

/// Why a source cannot be had.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unavailable {
    /// What is wrong, as a sentence without a full stop.
    pub(super) why: String,
    /// The likely fix.
    pub(super) hint: Option<String>,
}

impl From<Unavailable> for ImageState {
    fn from(unavailable: Unavailable) -> ImageState {
        let Unavailable { why, hint } = unavailable;
        ImageState::Unavailable { why, hint }
    }
}

impl Unavailable {
    pub(super) fn new(why: impl Into<String>, hint: impl Into<String>) -> Unavailable {
        Unavailable { why: why.into(), hint: Some(hint.into()) }
    }

    fn unreadable(path: &Path, error: &io::Error) -> Unavailable {
        let path = path.display();
        match error.kind() {
            io::ErrorKind::NotFound => Unavailable::new(
                format!("`{path}` does not exist"),
                "a path in a fleet file is relative to that file; write it as `file:PATH`",
            ),
            io::ErrorKind::PermissionDenied => Unavailable::new(format!("`{path}` is not readable"), "run as root"),
            _ => Unavailable { why: format!("`{path}` cannot be read: {error}"), hint: None },
        }
    }
}

/// Finds the program that the built-in image is made of.
pub(super) fn locate_busybox() -> Result<Located, Unavailable> {
    busybox_in(&busybox_places())
}

impl Located {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        match self {
            Located::Busybox { path, .. }
            | Located::Archive { path, .. }
            | Located::Squashfs { path, .. }
            | Located::Directory(path) => path,
        }
    }

    /// A name for the archive as it is now, if all of it would have to be read to tell its content.
    pub(super) fn unread(&self, cache: &DigestCache) -> Option<String> {
        match self {
            Located::Archive { path, file, .. } | Located::Squashfs { path, file } => {
                let identity = Identity::of(file).ok()?;
                cache.known(path, identity).is_none().then(|| identity.name())
            }
            Located::Busybox { .. } | Located::Directory(_) => None,
        }
    }

    /// What tells the content. If the fleet file declares a `sha256`, an archive that has another is refused.
    pub(super) fn digest(&self, declared: Option<&str>, cache: &DigestCache) -> Result<ImageDigest, Unavailable> {
        match self {
            Located::Busybox { path, file } => {
                let sha256 = cache.sha256(path, file).map_err(|error| Unavailable::unreadable(path, &error))?;
                Ok(busybox::digest(&sha256))
            }
            Located::Archive { path, file, .. } | Located::Squashfs { path, file } => {
                let sha256 = cache.sha256(path, file).map_err(|error| Unavailable::unreadable(path, &error))?;
                match declared {
                    Some(declared) if declared != sha256 => Err(Unavailable::new(
                        format!("its SHA-256 is {sha256}, the fleet file says {declared}"),
                        "copy or download the archive again, or correct the fleet file if the new content is wanted",
                    )),
                    Some(_) | None => Ok(ImageDigest(sha256)),
                }
            }
            Located::Directory(path) => copy::digest(path).map(ImageDigest).map_err(|error| match &error {
                TreeError::Read { path, source } => Unavailable::unreadable(path, source),
                _ => Unavailable { why: error.to_string(), hint: error.hint().map(str::to_owned) },
            }),
        }
    }
}

/// Finds the archive or directory `path`; `is_declared` says whether the fleet file knows its checksum.
pub(super) fn locate_file(path: &Path, is_declared: bool) -> Result<Located, Unavailable> {
    let unreadable = |error: io::Error| Unavailable::unreadable(path, &error);
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return if is_declared {
            Err(Unavailable::new(
                format!("`{}` is a directory, and only an archive has a SHA-256", path.display()),
                "leave out `@sha256:…`, or make an archive: `tar -C DIRECTORY --xattrs -c .`",
            ))
        } else {
            Ok(Located::Directory(path.to_owned()))
        };
    }
    // Opening a pipe or a device could hang or do something.
    if !metadata.is_file() {
        return Err(not_an_archive(path));
    }
    let mut file = File::open(path).map_err(unreadable)?;
    let mut head = Vec::with_capacity(BLOCK);
    (&file).take(BLOCK as u64).read_to_end(&mut head).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    if head.starts_with(squashfs::MAGIC) {
        return Ok(Located::Squashfs { path: path.to_owned(), file });
    }
    let format = Format::detect(&head).ok_or_else(|| not_an_archive(path))?;
    Ok(Located::Archive { path: path.to_owned(), file, format })
}

fn not_an_archive(path: &Path) -> Unavailable {
    Unavailable::new(
        format!("`{}` is not a tar archive", path.display()),
        "an image is a directory, a squashfs or a tar archive, packed with gzip, xz or zstd or not at all",
    )
}

/// Where a static busybox is looked for: where distributions install it, then where a shell would find one.
fn busybox_places() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).filter(|directory| directory.is_absolute());
    ["/bin".into(), "/usr/bin".into()].into_iter().chain(directories).map(|place| place.join("busybox")).collect()
}

fn busybox_in(places: &[PathBuf]) -> Result<Located, Unavailable> {
    let mut dynamic = None;
    for path in places {
        if !fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
            continue;
        }
        let Ok(file) = File::open(path) else { continue };
        if elf::is_static(&file).unwrap_or(false) {
            return Ok(Located::Busybox { path: path.clone(), file });
        }
        dynamic.get_or_insert(path);
    }
    let why = match dynamic {
        Some(path) => format!("`{}` needs libraries: only a statically linked one runs on its own", path.display()),
        None => "this host has no busybox program".to_owned(),
    };
    Err(Unavailable::new(why, "install busybox-static"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busybox_that_is_missing_or_needs_libraries_is_explained() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let missing = dir.path().join("missing");
        let unavailable = busybox_in(std::slice::from_ref(&missing)).expect_err("there is none");
        assert_eq!(unavailable, Unavailable::new("this host has no busybox program", "install busybox-static"));
        let myself = env::current_exe().expect("this test is a program");
        let unavailable = busybox_in(&[missing, myself.clone()]).expect_err("it is dynamic");
        let why = format!("`{}` needs libraries: only a statically linked one runs on its own", myself.display());
        assert_eq!(unavailable, Unavailable::new(why, "install busybox-static"));
    }
}
