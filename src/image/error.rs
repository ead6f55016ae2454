//! What can go wrong with images, and what the user can do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use super::web::WebError;
use crate::model::ImageLimit;

/// An image operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The source cannot be had.
    #[error("cannot use image `{image}`: {why}")]
    Unavailable {
        /// The source, as the fleet file writes it.
        image: String,
        /// What is wrong.
        why: String,
        /// The likely fix.
        hint: Option<String>,
    },
    /// The source is not, or no longer, what the plan was made for.
    #[error("cannot verify `{}`: its SHA-256 is {found}, the plan was made for {expected}", path.display())]
    Changed {
        /// The archive, the directory or the program.
        path: PathBuf,
        /// What the plan says.
        expected: String,
        /// What was found while it was unpacked.
        found: String,
    },
    /// A server did not give it.
    #[error(transparent)]
    Web(#[from] WebError),
    /// What a server gave is not what it should be.
    #[error("cannot verify `{url}`: its {what} is {found}, and should be {expected}")]
    Mismatch {
        /// What was loaded.
        url: String,
        /// `SHA-256`, `length` or `fingerprint`.
        what: &'static str,
        /// What was said before.
        expected: String,
        /// What came.
        found: String,
    },
    /// A root file system could not be made from it.
    #[error("cannot unpack `{}`", path.display())]
    Unpack {
        /// The archive, the directory or the program.
        path: PathBuf,
        /// Why.
        source: TreeError,
    },
    /// It could not be made on this host.
    #[error("cannot make `{image}`")]
    NotMade {
        /// The image, as the fleet file writes it.
        image: String,
        /// What the program that makes it said last.
        #[source]
        words: LastWords,
    },
    /// A stored image cannot be gone through.
    #[error("cannot go through the image in `{}`", path.display())]
    Walk {
        /// Its root file system.
        path: PathBuf,
        /// Why.
        source: TreeError,
    },
    /// The store itself failed.
    #[error("cannot {verb} `{}`", path.display())]
    Io {
        /// What was being done.
        verb: &'static str,
        /// To which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ImageError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            ImageError::Unavailable { hint, .. } => hint.clone(),
            ImageError::Web(error) => error.hint().map(str::to_owned),
            ImageError::Mismatch { .. } => {
                Some("nothing of it was used: try again later, and tell whoever runs the server".to_owned())
            }
            ImageError::Changed { .. } => Some("it was changed meanwhile: run the command again".to_owned()),
            ImageError::Unpack { source, .. } | ImageError::Walk { source, .. } => source.hint().map(str::to_owned),
            ImageError::NotMade { .. } => {
                Some("check the names of its packages, and that this host's APT reaches its archive".to_owned())
            }
            ImageError::Io { source, .. } => io_hint(source).map(str::to_owned),
        }
    }

    /// For `map_err`: the failure to `verb` the file or directory `path`.
    pub(super) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImageError + use<> {
        let path = path.to_owned();
        move |source| ImageError::Io { verb, path, source }
    }
}

/// The last lines of a program that failed.
#[derive(Debug)]
pub struct LastWords(pub(super) Vec<String>);

impl fmt::Display for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n    "))
    }
}

impl std::error::Error for LastWords {}

/// Why a root file system could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The archive's bytes are not what its format says.
    #[error("cannot read the archive: it is damaged or incomplete")]
    Damaged(#[source] io::Error),
    /// A name that could lead out of the tree.
    #[error("cannot accept entry `{0}`: a name must be relative, without `..` and null bytes")]
    UnsafeName(String),
    /// An owner that no container has.
    #[error("cannot accept entry `{entry}`: its {what} {id} is above 65535, the last id of a container")]
    OwnerOutOfRange {
        /// Its name.
        entry: String,
        /// `owner` or `group`.
        what: &'static str,
        /// The id.
        id: u64,
    },
    /// An access control list with a name that means nobody.
    #[error("cannot accept entry `{entry}`: its access list names the {what} `{name}`, which the image does not have")]
    UnknownName {
        /// The entry's name.
        entry: String,
        /// `user` or `group`.
        what: &'static str,
        /// The name in the list.
        name: String,
    },
    /// A kind of entry that is not known.
    #[error("cannot accept entry `{entry}`: {what}")]
    Unsupported {
        /// Its name.
        entry: String,
        /// What is not supported.
        what: &'static str,
    },
    /// The tree is beyond all measure, as a decompression bomb is.
    #[error("cannot accept more than {0} in one image")]
    TooLarge(ImageLimit),
    /// Nobody can go through it.
    #[error("cannot accept what is below `{}`: it lies more than {most} directories deep", begin.display())]
    TooDeep {
        /// How its path begins.
        begin: PathBuf,
        /// So many would be accepted.
        most: usize,
    },
    /// The source file or directory cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Its path in the source.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file system refused it.
    #[error("cannot write entry `{entry}`")]
    Write {
        /// Its name.
        entry: String,
        /// Why.
        source: io::Error,
    },
}

impl TreeError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            TreeError::Damaged(_) => Some("copy or download the archive again"),
            TreeError::UnsafeName(_) => Some("make the archive from inside its directory: `tar -C ROOTFS -c .`"),
            TreeError::OwnerOutOfRange { .. } => {
                Some("make the archive as root with the guest's own ids: `tar --numeric-owner`")
            }
            TreeError::UnknownName { .. } => {
                // GNU tar 1.34 has names in lists, whatever it is asked for.
                Some(
                    "make the archive with numbers in place of names: `tar --xattrs --xattrs-include='*'`, not `--acls`",
                )
            }
            TreeError::Unsupported { .. } => Some("make the archive with GNU tar: `tar -C ROOTFS --xattrs -c .`"),
            TreeError::TooDeep { .. } => Some("no system is that deep: what made it may have gone round in a circle"),
            TreeError::TooLarge(ImageLimit::Size(_)) => {
                Some("if it is meant to be so large: `--image-max-size SIZE`, or FLEET_IMAGE_MAX_SIZE")
            }
            TreeError::TooLarge(ImageLimit::Entries(_)) => {
                Some("if it is meant to have so many: `--image-max-files N`, or FLEET_IMAGE_MAX_FILES")
            }
            TreeError::Read { source, .. } | TreeError::Write { source, .. } => io_hint(source),
        }
    }

    /// For `map_err`: the failure to read or decode an archive.
    pub(super) fn damaged(error: io::Error) -> TreeError {
        // The decoder's end of the pipe can only speak io::Error, even of a limit.
        error.downcast::<TreeError>().unwrap_or_else(TreeError::Damaged)
    }

    /// For `map_err`: the failure to write the entry `path`.
    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> TreeError + use<> {
        let entry = path.display().to_string();
        move |source| TreeError::Write { entry, source }
    }

    /// For `map_err`: the failure to read the source's `path`.
    pub(super) fn read(path: &Path) -> impl FnOnce(io::Error) -> TreeError + use<> {
        let path = path.to_owned();
        move |source| TreeError::Read { path, source }
    }
}

fn io_hint(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Some("free some space, or keep everything elsewhere with `--root DIR`")
        }
        io::ErrorKind::PermissionDenied => Some("run as root"),
        _ => None,
    }
}
