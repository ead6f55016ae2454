//! Distributions, as image servers offer them, and the builds that they stand for.

use std::env::consts::ARCH;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::registry::{reference, registry_name};
use super::{ImageDigest, WebUrl};

/// What a server offers under a name, one build after the other: a distribution of an image server, as `debian/12` of
/// `https://images.linuxcontainers.org`, or a tag of a registry, as `library/debian:12`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Distro {
    /// Where it is offered.
    pub server: WebUrl,
    /// Which.
    pub name: DistroName,
}

/// The name of a distribution: DISTRO/RELEASE, with /VARIANT and /ARCH where these are not the usual ones, in lower case. Or
/// REPOSITORY:TAG or REPOSITORY@DIGEST of a registry, and maybe /ARCH: no distribution has a colon in its name, and all of
/// these have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DistroName(String);

/// Why a text cannot be the name of a distribution.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a distribution: write it as `debian/12`, `alpine/3.20` or `ubuntu/24.04/cloud`")]
pub struct DistroNameError(String);

/// Architectures: Debian's name, which image servers use, then the kernel's and other ones.
const ARCHITECTURES: [(&str, &[&str]); 9] = [
    ("amd64", &["x86_64"]),
    ("arm64", &["aarch64"]),
    ("armhf", &["armv7l", "armv7", "arm"]),
    ("i386", &["i686", "x86"]),
    ("loong64", &["loongarch64"]),
    ("ppc64el", &["ppc64le", "powerpc64"]),
    ("riscv64", &[]),
    ("s390x", &[]),
    ("armel", &["armv6l"]),
];

/// Debian's name of an architecture that may be written in another way; `None` if it is none.
#[must_use]
pub fn architecture(text: &str) -> Option<&'static str> {
    ARCHITECTURES.iter().find(|(name, others)| *name == text || others.contains(&text)).map(|(name, _)| *name)
}

/// The architecture of this program, and so of this host, as image servers call it.
#[must_use]
pub fn native_architecture() -> &'static str {
    architecture(ARCH).unwrap_or(ARCH)
}

impl DistroName {
    /// The name without an architecture at its end, and the architecture that is meant.
    #[must_use]
    pub fn split(&self) -> (&str, &str) {
        if let Some((name, last)) = self.0.rsplit_once('/')
            && let Some(arch) = architecture(last)
        {
            return (name, arch);
        }
        (&self.0, native_architecture())
    }

    /// The architecture at its end, if it has one there.
    #[must_use]
    pub fn named_architecture(&self) -> Option<&'static str> {
        architecture(self.0.rsplit_once('/')?.1)
    }

    /// The name of the same for `arch`, by Debian's name.
    #[must_use]
    pub fn for_architecture(&self, arch: &str) -> DistroName {
        let (name, _) = self.split();
        if arch == native_architecture() { DistroName(name.to_owned()) } else { DistroName(format!("{name}/{arch}")) }
    }

    /// `text`, which whoever calls has checked.
    pub(super) fn unchecked(text: String) -> DistroName {
        DistroName(text)
    }

    /// The name as a text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DistroName {
    type Err = DistroNameError;

    fn from_str(text: &str) -> Result<DistroName, DistroNameError> {
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with(['.', '-'])
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte))
        };
        if text.len() > 200 || !text.split('/').all(is_part) {
            return Err(DistroNameError(text.to_owned()));
        }
        Ok(DistroName(text.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for DistroName {
    type Error = DistroNameError;

    fn try_from(text: String) -> Result<DistroName, DistroNameError> {
        if text.contains(':') { reference(&text).map_err(|_| DistroNameError(text)) } else { text.parse() }
    }
}

impl From<DistroName> for String {
    fn from(name: DistroName) -> String {
        name.0
    }
}

impl fmt::Display for DistroName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for Distro {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.repository() {
            Some(_) => f.pad(&format!("oci:{}/{}", registry_name(self.server.host()), self.name)),
            None => self.name.fmt(f),
        }
    }
}

/// One build of a distribution: exactly which bytes are meant, and where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The name that it was found under.
    pub distro: DistroName,
    /// Where it is offered.
    pub server: WebUrl,
    /// Its architecture, by Debian's name.
    pub arch: String,
    /// When it was built, as the server writes it: `20241101_05:24`. The greatest text is the newest build.
    pub serial: String,
    /// What identifies it: the SHA-256 of its files, one behind the other, which Incus and LXD call the fingerprint; of a
    /// registry's image that of its manifest.
    pub fingerprint: ImageDigest,
    /// Its files.
    pub files: BuildFiles,
    /// The SHA-256 of the key that signed what its server said of it, if that was verified on this host. A lock file does not
    /// tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
}

/// What a build consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BuildFiles {
    /// One archive of metadata and root file system.
    Unified(BuildFile),
    /// Metadata, and the root file system as an archive in the packing of LXC.
    Archive {
        /// An archive of `metadata.yaml` and templates.
        metadata: BuildFile,
        /// The root file system.
        root: BuildFile,
    },
    /// Metadata, and the root file system as a squashfs.
    Squashfs {
        /// An archive of `metadata.yaml` and templates.
        metadata: BuildFile,
        /// The root file system.
        root: BuildFile,
    },
    /// The layers of an image of a registry, which its manifest names; the fingerprint is the manifest's digest.
    Layers {
        /// Bytes of all of them together, packed.
        bytes: u64,
    },
}

/// A file on an image server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildFile {
    /// Relative to the server.
    pub path: String,
    /// What it must be, in lower-case hexadecimal.
    pub sha256: String,
    /// Its length in bytes.
    pub size: u64,
}

impl Build {
    /// Whether it is a build of `distro`.
    #[must_use]
    pub fn is_of(&self, distro: &Distro) -> bool {
        self.server == distro.server && self.fits(distro)
    }

    /// Whether it would be a build of `distro` if that were on the same server.
    #[must_use]
    pub fn fits(&self, distro: &Distro) -> bool {
        self.distro == distro.name && self.arch == distro.name.split().1
    }

    /// The distribution that it is a build of.
    #[must_use]
    pub fn distro(&self) -> Distro {
        Distro { server: self.server.clone(), name: self.distro.clone() }
    }

    /// Bytes of all its files together.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.files {
            BuildFiles::Unified(file) => file.size,
            BuildFiles::Layers { bytes } => *bytes,
            BuildFiles::Archive { metadata, root } | BuildFiles::Squashfs { metadata, root } => {
                metadata.size.saturating_add(root.size)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_end_in_an_architecture() {
        let split = |text: &str| {
            let name: DistroName = text.parse().expect("a name");
            let (name, arch) = name.split();
            (name.to_owned(), arch.to_owned())
        };
        assert_eq!(split("Debian/12"), ("debian/12".to_owned(), native_architecture().to_owned()));
        let debian: DistroName = "debian/12".parse().expect("a name");
        let foreign = debian.for_architecture("s390x");
        assert_eq!((foreign.as_str(), foreign.named_architecture()), ("debian/12/s390x", Some("s390x")));
        assert_eq!((foreign.for_architecture(native_architecture()), debian.named_architecture()), (debian, None));
        assert_eq!(split("ubuntu/24.04/cloud/aarch64"), ("ubuntu/24.04/cloud".to_owned(), "arm64".to_owned()));
        for bad in ["", "/", "debian/", "../x", "de bian/12", "debian//12", "é"] {
            assert!(bad.parse::<DistroName>().is_err(), "{bad}");
        }
    }
}
