//! Root file systems of Debian and its kin that are made on this host, by mmdebstrap(1) from the packages of an archive.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Distro, InitKind, architecture, native_architecture};

/// A root file system as it is asked for. Two requests that are equal are one image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Bootstrap {
    /// Whose packages.
    pub family: Family,
    /// The release, by its number if it has one: `12`, `24.04`, `sid`.
    pub release: String,
    /// The architecture, by Debian's name.
    pub arch: String,
    /// What becomes its `/sbin/init`.
    pub init: InitChoice,
    /// Packages beside those that every root file system has, by name.
    pub packages: BTreeSet<String>,
    /// Any word: with another one it is made anew, of the packages that there are then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
}

/// The distributions whose packages mmdebstrap installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// <https://www.debian.org>
    Debian,
    /// <https://ubuntu.com>
    Ubuntu,
    /// <https://www.devuan.org>
    Devuan,
}

/// The inits that such a root file system can have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InitChoice {
    /// systemd(1).
    #[default]
    Systemd,
    /// init(8) of sysvinit.
    Sysvinit,
    /// `OpenRC` below init(8) of sysvinit, as Debian has it.
    Openrc,
    /// runit(8).
    Runit,
}

/// Why a text is not a root file system that can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapError {
    /// Not one of the families.
    #[error(
        "`{0}` cannot be made on this host: write `debian/12`, `ubuntu/24.04` or `devuan/5`, or a code name as in `debian/sid`"
    )]
    UnknownFamily(String),
    /// A number that stands for no release that is known.
    #[error("`{0}` is no release that fleet knows: write its code name, as in `debian/sid`")]
    UnknownRelease(String),
    /// What no package is called.
    #[error("`{0}` is not the name of a package")]
    BadPackage(String),
}

/// Releases by number and code name, which is what an archive calls them.
const RELEASES: [(Family, &str, &str); 16] = [
    (Family::Debian, "10", "buster"),
    (Family::Debian, "11", "bullseye"),
    (Family::Debian, "12", "bookworm"),
    (Family::Debian, "13", "trixie"),
    (Family::Debian, "14", "forky"),
    (Family::Ubuntu, "18.04", "bionic"),
    (Family::Ubuntu, "20.04", "focal"),
    (Family::Ubuntu, "22.04", "jammy"),
    (Family::Ubuntu, "24.04", "noble"),
    (Family::Ubuntu, "25.04", "plucky"),
    (Family::Ubuntu, "25.10", "questing"),
    (Family::Ubuntu, "26.04", "resolute"),
    (Family::Devuan, "3", "beowulf"),
    (Family::Devuan, "4", "chimaera"),
    (Family::Devuan, "5", "daedalus"),
    (Family::Devuan, "6", "excalibur"),
];

impl Family {
    /// All of them, with the word that names each.
    pub const ALL: [(&'static str, Family); 3] =
        [("debian", Family::Debian), ("ubuntu", Family::Ubuntu), ("devuan", Family::Devuan)];

    /// The word that names it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Family::Debian => "debian",
            Family::Ubuntu => "ubuntu",
            Family::Devuan => "devuan",
        }
    }

    /// Whether `suite` is a release of it that is known, by its code name.
    #[must_use]
    pub fn has_suite(self, suite: &str) -> bool {
        RELEASES.iter().any(|(family, _, code_name)| *family == self && *code_name == suite)
    }
}

impl InitChoice {
    /// All of them, with the word that names each in a fleet file.
    pub const ALL: [(&'static str, InitChoice); 4] = [
        ("systemd", InitChoice::Systemd),
        ("sysvinit", InitChoice::Sysvinit),
        ("openrc", InitChoice::Openrc),
        ("runit", InitChoice::Runit),
    ];

    /// The word that names it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            InitChoice::Systemd => "systemd",
            InitChoice::Sysvinit => "sysvinit",
            InitChoice::Openrc => "openrc",
            InitChoice::Runit => "runit",
        }
    }

    /// What `/sbin/init` then is.
    #[must_use]
    pub fn kind(self) -> InitKind {
        match self {
            InitChoice::Systemd => InitKind::Systemd,
            InitChoice::Sysvinit | InitChoice::Openrc => InitKind::Sysvinit,
            InitChoice::Runit => InitKind::Runit,
        }
    }
}

impl Bootstrap {
    /// The smallest root file system of `distro`, if it is one of these families in its usual variant.
    #[must_use]
    pub fn of_distro(distro: &Distro) -> Option<Bootstrap> {
        let (name, arch) = distro.name.split();
        let bootstrap: Bootstrap = name.strip_suffix("/default").unwrap_or(name).parse().ok()?;
        Some(Bootstrap { arch: arch.to_owned(), ..bootstrap })
    }

    /// The release as an archive calls it: `bookworm`.
    #[must_use]
    pub fn suite(&self) -> &str {
        let known = RELEASES.iter().find(|(family, number, _)| *family == self.family && *number == self.release);
        known.map_or(&self.release, |(_, _, code_name)| code_name)
    }

    /// The same with these packages.
    pub fn with_packages(self, packages: impl IntoIterator<Item = String>) -> Result<Bootstrap, BootstrapError> {
        let packages: BTreeSet<String> = packages.into_iter().collect();
        match packages.iter().find(|package| !is_package(package)) {
            Some(bad) => Err(BootstrapError::BadPackage(bad.clone())),
            None => Ok(Bootstrap { packages, ..self }),
        }
    }
}

/// Debian policy, "Source", 5.6.1. An architecture may be behind it.
fn is_package(text: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.:".contains(&byte);
    text.len() >= 2
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && text.bytes().all(is_sign)
}

impl FromStr for Bootstrap {
    type Err = BootstrapError;

    /// `FAMILY/RELEASE[/ARCH]`, the release by number or code name.
    fn from_str(text: &str) -> Result<Bootstrap, BootstrapError> {
        let unknown = || BootstrapError::UnknownFamily(text.to_owned());
        let parts: Vec<&str> = text.split('/').collect();
        let (family, release, arch) = match parts.as_slice() {
            [family, release] => (*family, *release, native_architecture()),
            [family, release, arch] => (*family, *release, architecture(arch).ok_or_else(unknown)?),
            _ => return Err(unknown()),
        };
        let family = Family::ALL.iter().find(|(word, _)| *word == family).ok_or_else(unknown)?.1;
        let known = RELEASES.iter().find(|(of, number, name)| *of == family && [number, name].contains(&&release));
        let is_code_name = !release.is_empty() && release.bytes().all(|byte| byte.is_ascii_lowercase());
        let release = match known {
            Some((_, number, _)) => (*number).to_owned(),
            None if is_code_name => release.to_owned(),
            None => return Err(BootstrapError::UnknownRelease(text.to_owned())),
        };
        Ok(Bootstrap {
            family,
            release,
            arch: arch.to_owned(),
            init: InitChoice::default(),
            packages: BTreeSet::new(),
            serial: None,
        })
    }
}

impl fmt::Display for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let arch = if self.arch == native_architecture() { String::new() } else { format!("/{}", self.arch) };
        f.pad(&format!("bootstrap:{}/{}{arch}", self.family.word(), self.release))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_known_by_number_and_by_code_name() {
        let parsed = |text: &str| text.parse::<Bootstrap>().map(|it| (it.to_string(), it.suite().to_owned()));
        let bookworm = Ok(("bootstrap:debian/12".to_owned(), "bookworm".to_owned()));
        assert_eq!(parsed("debian/12"), bookworm);
        assert_eq!(parsed("debian/bookworm"), bookworm);
        assert_eq!(parsed("debian/sid"), Ok(("bootstrap:debian/sid".to_owned(), "sid".to_owned())));
        assert_eq!(parsed("ubuntu/24.04").map(|it| it.1), Ok("noble".to_owned()));
        for bad in ["debian", "fedora/42", "debian/12/default", "debian/99", "debian/../x", "debian/", ""] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_usual_variant_of_a_distribution_can_be_made() {
        let of = |name: &str| {
            let server = "https://images.example".parse().expect("an address");
            Bootstrap::of_distro(&Distro { server, name: name.parse().expect("a name") })
        };
        assert_eq!(of("debian/12/default"), "debian/12".parse().ok());
        assert_eq!(of("debian/12/s390x").map(|it| it.arch), Some("s390x".to_owned()));
        assert_eq!((of("debian/12/cloud"), of("alpine/3.20")), (None, None));
    }

    #[test]
    fn what_no_package_is_called_is_refused() {
        let with = |package: &str| {
            let debian: Bootstrap = "debian/12".parse().expect("it is one");
            debian.with_packages([package.to_owned()]).is_ok()
        };
        assert!(with("libstdc++6") && with("python3.11"));
        for bad in ["", "x", "--hook", "a b", "a,b", "Sudo", "../x"] {
            assert!(!with(bad), "{bad}");
        }
    }
}
