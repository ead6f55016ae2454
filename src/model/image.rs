//! Where a root file system comes from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Bootstrap, BootstrapError, Build, Distro, Init, RegistryNameError, WebUrl, WebUrlError};

/// A source of a root file system.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageSource {
    /// The built-in one, assembled from the host's static busybox.
    Busybox,
    /// A tar archive or a directory on the host.
    File {
        /// Absolute path.
        path: PathBuf,
        /// SHA-256 that the archive must have, in lower-case hexadecimal. Never set for a directory.
        sha256: Option<String>,
    },
    /// A tar archive on a web server.
    Https {
        /// Where it is.
        url: WebUrl,
        /// SHA-256 that it must have, in lower-case hexadecimal.
        sha256: String,
    },
    /// A distribution on an image server, or a tag of a registry.
    Distro(Distro),
    /// One that is made on this host, of the packages of a Debian archive.
    Bootstrap(Bootstrap),
}

/// Why a text is not an image source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseImageError {
    /// No scheme that fleet knows.
    #[error(
        "`{0}` is not an image source: write `busybox`, `file:PATH`, `file:PATH@sha256:HEX`, `https://…@sha256:HEX`, `oci:HOST/REPOSITORY:TAG` or `bootstrap:debian/12`"
    )]
    UnknownScheme(String),
    /// A checksum that is not one.
    #[error("`{0}` is not a SHA-256: it has 64 hexadecimal digits")]
    BadSha256(String),
    /// No path after `file:`.
    #[error("`file:` needs a path")]
    NoPath,
    /// An address that is none, or that is not fetched from.
    #[error(transparent)]
    BadUrl(#[from] WebUrlError),
    /// What no registry has.
    #[error(transparent)]
    BadRegistryName(#[from] RegistryNameError),
    /// What cannot be made on a host.
    #[error(transparent)]
    BadBootstrap(#[from] BootstrapError),
    /// An address without a checksum: nobody could tell what it gives tomorrow.
    #[error("`{0}` needs a SHA-256: write `{0}@sha256:HEX`, or `sha256:` beside it")]
    NoSha256(String),
}

impl FromStr for ImageSource {
    type Err = ParseImageError;

    /// `busybox`, `file:PATH`, `file:PATH@sha256:HEX`, `https://…@sha256:HEX`, `oci:HOST/REPOSITORY:TAG`,
    /// `bootstrap:debian/12`. The path is left as written; whoever knows what it is relative to makes it absolute.
    fn from_str(text: &str) -> Result<Self, ParseImageError> {
        if text == "busybox" {
            return Ok(ImageSource::Busybox);
        }
        if text.starts_with("https:") || text.starts_with("http:") {
            let (url, sha256) =
                text.rsplit_once("@sha256:").ok_or_else(|| ParseImageError::NoSha256(text.to_owned()))?;
            return Ok(ImageSource::Https { url: url.parse()?, sha256: ImageDigest::parse_hex(sha256)? });
        }
        if let Some(name) = text.strip_prefix("oci:") {
            return Ok(ImageSource::Distro(Distro::of_registry(name)?));
        }
        if let Some(name) = text.strip_prefix("bootstrap:") {
            return Ok(ImageSource::Bootstrap(name.parse()?));
        }
        let rest = text.strip_prefix("file:").ok_or_else(|| ParseImageError::UnknownScheme(text.to_owned()))?;
        let (path, sha256) = match rest.rsplit_once("@sha256:") {
            Some((path, sha256)) => (path, Some(ImageDigest::parse_hex(sha256)?)),
            None => (rest, None),
        };
        if path.is_empty() {
            return Err(ParseImageError::NoPath);
        }
        Ok(ImageSource::File { path: PathBuf::from(path), sha256 })
    }
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageSource::Busybox => f.pad("busybox"),
            ImageSource::File { path, .. } => f.pad(&format!("file:{}", path.display())),
            ImageSource::Https { url, .. } => f.pad(url.as_str()),
            ImageSource::Distro(distro) => distro.fmt(f),
            ImageSource::Bootstrap(bootstrap) => bootstrap.fmt(f),
        }
    }
}

impl ImageSource {
    /// The architecture, by Debian's name, that it says it has; `None` if it says nothing of that.
    #[must_use]
    pub fn architecture(&self) -> Option<&str> {
        match self {
            ImageSource::Distro(distro) => distro.name.named_architecture(),
            ImageSource::Bootstrap(request) => Some(&request.arch),
            ImageSource::Busybox | ImageSource::File { .. } | ImageSource::Https { .. } => None,
        }
    }

    /// The same for `arch`, by Debian's name, where there is something to choose.
    #[must_use]
    pub fn for_architecture(self, arch: &str) -> ImageSource {
        match self {
            ImageSource::Distro(Distro { server, name }) => {
                ImageSource::Distro(Distro { server, name: name.for_architecture(arch) })
            }
            ImageSource::Bootstrap(request) => ImageSource::Bootstrap(Bootstrap { arch: arch.to_owned(), ..request }),
            ImageSource::Busybox | ImageSource::File { .. } | ImageSource::Https { .. } => self,
        }
    }
}

/// What identifies an image in the store: 64 lower-case hexadecimal digits, the SHA-256 of the archive, or of what
/// stands in its place (see the image room).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ImageDigest(pub String);

impl ImageDigest {
    /// Checks the form of a SHA-256 and returns it in lower case.
    pub fn parse_hex(text: &str) -> Result<String, ParseImageError> {
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(text.to_ascii_lowercase())
        } else {
            Err(ParseImageError::BadSha256(text.to_owned()))
        }
    }

    /// The first twelve digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ImageDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What can be started in a stored image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Startable {
    /// Whether it has an init; `None` if nobody has looked.
    pub init: Option<bool>,
    /// Whether it names the program that it is made for.
    pub entrypoint: bool,
}

impl Startable {
    /// What keeps `init` from being started in it, and the fix; nothing if that is not known.
    #[must_use]
    pub fn lacks(self, init: &Init) -> Option<(String, String)> {
        let lack = |what: &str, fix: &str| Some((what.to_owned(), fix.to_owned()));
        match init {
            Init::Auto | Init::Kind(_) if self.init == Some(false) && self.entrypoint => lack(
                "its image has no `/sbin/init`",
                "run the program that the image is made for with `init: entrypoint`, or another one with `init: /path`",
            ),
            Init::Auto | Init::Kind(_) if self.init == Some(false) => lack(
                "its image has no `/sbin/init`, and names no program that it is made for",
                "use an image with an init system, or name the program with `init: /path`",
            ),
            Init::Entrypoint if !self.entrypoint => {
                lack("its image names no program that it is made for", "name the program with `init: /path`")
            }
            Init::Auto | Init::Kind(_) | Init::Path(_) | Init::Entrypoint => None,
        }
    }
}

/// An image source, as found on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageState {
    /// Its content is known by `digest`, and the store has it unpacked.
    Stored(ImageDigest),
    /// Its content is known by `digest`; the store does not have it.
    Available(ImageDigest),
    /// A server offers this build; the store does not have it.
    Offered(Box<Build>),
    /// Its server does not answer, but this host can make one of the same name; the store does not have it.
    StandIn {
        /// What it is known by.
        digest: ImageDigest,
        /// What is made in its place.
        request: Box<Bootstrap>,
        /// What is wrong with the server.
        why: String,
    },
    /// It cannot be had: why, and what would help.
    Unavailable {
        /// What is wrong, as a sentence without a full stop.
        why: String,
        /// The likely fix.
        hint: Option<String>,
    },
}
