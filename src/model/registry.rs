//! Images of OCI registries, as fleet files name them: `oci:HOST[:PORT]/REPOSITORY[:TAG][@sha256:HEX][/ARCH]`.
//!
//! A tag is to a repository what a release is to a distribution: a name under which a server offers one build after the
//! other. So both are a [`Distro`], and are pinned, held and updated by the same rules.

use super::{Distro, DistroName, ImageDigest, architecture};

/// The registry that people call `docker.io`, and where it is.
const DOCKER_HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// Why a text does not name an image of a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryNameError {
    /// No registry.
    #[error("`oci:{0}` has no registry: write `oci:HOST/REPOSITORY:TAG`, such as `oci:docker.io/library/debian:12`")]
    NoHost(String),
    /// A registry that is none.
    #[error("`{0}` is not the address of a registry: write `HOST` or `HOST:PORT`")]
    BadHost(String),
    /// A repository or tag that no registry has.
    #[error(
        "`{0}` is not an image of a registry: a repository is made of `a-z`, `0-9`, `.`, `_`, `-` and `/`, a tag also of `A-Z`"
    )]
    BadName(String),
    /// A digest that is none.
    #[error("`{0}` is not a digest: write `@sha256:` and 64 hexadecimal digits")]
    BadDigest(String),
}

impl Distro {
    /// What `oci:` and `text` mean. Without tag and digest it is the tag `latest`; beside a digest a tag says nothing.
    ///
    /// A registry is asked over HTTPS; one of this host itself, that is `localhost`, `127.0.0.1` or `[::1]`, over plain HTTP.
    pub fn of_registry(text: &str) -> Result<Distro, RegistryNameError> {
        let (host, rest) = text.split_once('/').ok_or_else(|| RegistryNameError::NoHost(text.to_owned()))?;
        if !(host.contains(['.', ':']) || host == "localhost") {
            return Err(RegistryNameError::NoHost(text.to_owned()));
        }
        let bad_host = || RegistryNameError::BadHost(host.to_owned());
        let is_local = ["localhost", "127.0.0.1", "[::1]"]
            .iter()
            .any(|local| host.strip_prefix(local).is_some_and(|port| port.is_empty() || port.starts_with(':')));
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        if !host.bytes().all(is_host) {
            return Err(bad_host());
        }
        let place = if host == DOCKER_HUB.0 { DOCKER_HUB.1 } else { host };
        let scheme = if is_local { "http" } else { "https" };
        let server = format!("{scheme}://{place}").parse().map_err(|_| bad_host())?;
        // As docker has it: what has no owner there belongs to the library.
        let library = if host == DOCKER_HUB.0 && !rest.contains('/') { "library/" } else { "" };
        Ok(Distro { server, name: reference(&format!("{library}{rest}"))? })
    }
}

impl DistroName {
    /// The repository and the tag or digest, if it is a name of a registry.
    #[must_use]
    pub fn repository(&self) -> Option<(&str, &str)> {
        let name = if self.as_str().contains(':') { self.split().0 } else { self.as_str() };
        name.split_once('@').or_else(|| name.rsplit_once(':'))
    }
}

/// The registry of `host` as people write it.
pub(super) fn registry_name(host: &str) -> &str {
    if host == DOCKER_HUB.1 { DOCKER_HUB.0 } else { host }
}

/// `text` as `REPOSITORY:TAG` or `REPOSITORY@sha256:HEX` (OCI distribution specification, "pulling manifests").
pub(super) fn reference(text: &str) -> Result<DistroName, RegistryNameError> {
    let bad = || RegistryNameError::BadName(text.to_owned());
    // Behind a tag or digest only: without them it is a part of the repository.
    let (whole, arch) = match text.rsplit_once('/') {
        Some((whole, last)) if whole.contains(':') => (whole, Some(architecture(last).ok_or_else(bad)?)),
        Some(_) | None => (text, None),
    };
    let arch = arch.map(|arch| format!("/{arch}")).unwrap_or_default();
    let (name, digest) = match whole.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (whole, None),
    };
    let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
    let is_part = |part: &str| {
        let is_edge = |byte: Option<u8>| byte.is_some_and(|it| it.is_ascii_lowercase() || it.is_ascii_digit());
        is_edge(part.bytes().next())
            && is_edge(part.bytes().last())
            && part.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || b"._-".contains(&it))
    };
    let is_tag = (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-".contains(&it));
    if repository.len() > 255 || !repository.split('/').all(is_part) || !is_tag {
        return Err(bad());
    }
    match digest {
        None => Ok(DistroName::unchecked(format!("{repository}:{tag}{arch}"))),
        Some(digest) => {
            let hex = digest.strip_prefix("sha256:").and_then(|hex| ImageDigest::parse_hex(hex).ok());
            let hex = hex.ok_or_else(|| RegistryNameError::BadDigest(digest.to_owned()))?;
            Ok(DistroName::unchecked(format!("{repository}@sha256:{hex}{arch}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_its_repository_and_tag_are_told_apart() {
        let hex = "a".repeat(64);
        let digest = format!("localhost/a/b:x@sha256:{hex}");
        let pinned = format!("a/b@sha256:{hex}");
        for (text, server, name, shown) in [
            (
                "docker.io/debian",
                "https://registry-1.docker.io",
                "library/debian:latest",
                "oci:docker.io/library/debian:latest",
            ),
            ("quay.io/fedora/fedora:41", "https://quay.io", "fedora/fedora:41", "oci:quay.io/fedora/fedora:41"),
            ("reg.example:5000/x:V1", "https://reg.example:5000", "x:V1", "oci:reg.example:5000/x:V1"),
            ("127.0.0.1:5000/x", "http://127.0.0.1:5000", "x:latest", "oci:127.0.0.1:5000/x:latest"),
            ("127.0.0.1/x:1/arm64", "http://127.0.0.1", "x:1/arm64", "oci:127.0.0.1/x:1/arm64"),
            (&digest, "http://localhost", &pinned, &format!("oci:localhost/{pinned}")),
        ] {
            let image = Distro::of_registry(text).expect(text);
            assert_eq!((image.server.as_str(), image.name.as_str()), (server, name));
            assert_eq!(image.to_string(), shown);
            assert_eq!(Distro::of_registry(&shown[4..]).expect(shown), image);
            let again: DistroName = serde_json::from_value(serde_json::json!(name)).expect("a pin");
            assert_eq!(again, image.name);
        }
        assert_eq!(reference(&pinned).expect("a digest").repository(), Some(("a/b", &pinned[4..])));
        let foreign = reference(&format!("{pinned}/aarch64")).expect("an architecture");
        assert_eq!((foreign.repository(), foreign.split().1), (Some(("a/b", &pinned[4..])), "arm64"));
        assert_eq!(reference("a/arm64:1").expect("a tag").split().0, "a/arm64:1");
    }

    #[test]
    fn what_no_registry_has_is_refused() {
        let why = |text: &str| Distro::of_registry(text).expect_err(text).to_string();
        for bad in [
            "reg.example/",
            "reg.example/A",
            "reg.example/../x",
            "reg.example/a//b",
            "reg.example/a:",
            "reg.example/a:b:c",
            "reg.example/a:b/c",
            "reg.example/a?x=1",
            "reg.example/-a",
        ] {
            assert!(why(bad).contains("is not an image of a registry"), "{bad}");
        }
        for bad in ["me@reg.example/a", "reg.example:x/a", "reg.example%2f/a"] {
            assert!(why(bad).contains("is not the address of a registry"), "{bad}: {}", why(bad));
        }
        insta::assert_snapshot!(why("debian:12"), @"`oci:debian:12` has no registry: write `oci:HOST/REPOSITORY:TAG`, such as `oci:docker.io/library/debian:12`");
        insta::assert_snapshot!(why("reg.example/a@sha256:12"), @"`sha256:12` is not a digest: write `@sha256:` and 64 hexadecimal digits");
    }
}
