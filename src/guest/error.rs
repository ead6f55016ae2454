//! What can go wrong while a guest is set up.

use std::io;
use std::path::PathBuf;

use crate::sys::is_not_the_guests;
use crate::template::TemplateError;

/// What to do about a directory in which nothing is written, as it is not the guest's.
pub const NOT_THE_GUESTS: &str = "if it is a directory of the host, mounted in the container, change it on the host";

/// A guest that could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// A template of the fleet file does not work.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A file of the guest.
    #[error("cannot {verb} `{}` in the guest", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file, as the guest sees it.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another user has the id already.
    #[error("cannot add user `{user}`: uid {uid} belongs to `{owner}`")]
    UidTaken {
        /// The user to add.
        user: String,
        /// The id asked for.
        uid: u32,
        /// Who has it.
        owner: String,
    },
    /// An id that no container has: chown(2) to it would reach into another container's range.
    #[error("cannot set up user `{user}`: id {id} is outside the container's 0 to 65535")]
    IdOutOfRange {
        /// The user.
        user: String,
        /// The id asked for, or found in the guest's files.
        id: u32,
    },
    /// All ids for users are taken.
    #[error("cannot add user `{user}`: no id from 1000 to 59999 is free")]
    NoFreeId {
        /// The user to add.
        user: String,
    },
    /// A home directory that is no absolute path.
    #[error("cannot set up user `{user}`: its home `{}` is not an absolute path", home.display())]
    NoHome {
        /// The user.
        user: String,
        /// What `/etc/passwd` has.
        home: PathBuf,
    },
}

impl GuestError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            GuestError::Template(error) => error.hint(),
            GuestError::UidTaken { .. } => Some("choose another `uid`, or leave it out".to_owned()),
            GuestError::File { source, .. } if is_not_the_guests(source) => Some(NOT_THE_GUESTS.to_owned()),
            GuestError::File { .. }
            | GuestError::IdOutOfRange { .. }
            | GuestError::NoFreeId { .. }
            | GuestError::NoHome { .. } => None,
        }
    }
}
