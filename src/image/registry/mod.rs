//! OCI registries: which build a tag stands for, and its layers (OCI distribution and image specifications, version 1.1).
//!
//! Start at [`resolve`] and [`fetch`]. Everything is named by its digest but a tag, and is checked against it; of a tag the
//! registry is believed, as an image server is.

mod document;
mod login;

use sha2::{Digest as _, Sha256};

use self::document::{Config, Descriptor, Manifest, Pulled, RegistryError};
pub(super) use self::login::{Login, Wants, bearer};
use super::digest::hex;
use super::download::{Wanted, load};
use super::error::ImageError;
use super::layer_store::Stack;
use super::remote::{Tell, gone};
use super::source::Unavailable;
use super::tree::Limits;
use super::web::{Web, WebError};
use crate::model::{Build, BuildFiles, Distro, Entrypoint, ImageDigest, WebUrl};
use crate::store::Layout;

/// The longest manifest, which the specification wants accepted, and configuration that are read.
const LONGEST_MANIFEST: usize = 4 << 20;
const LONGEST_CONFIG: usize = 16 << 20;

/// The build that `image`, of a registry, stands for now.
pub(super) fn resolve(image: &Distro) -> Result<Build, Unavailable> {
    let found = Repository::new(image).and_then(|repository| repository.newest());
    found.map_err(|error| Unavailable { why: error.to_string(), hint: hint(&error, image) })
}

/// Brings the layers of `build` into the store. They stay there as long as what is returned lives. With them comes the program
/// that the image is made for, if it names one.
pub(super) fn fetch<'l>(
    layout: &'l Layout,
    build: &Build,
    limits: Limits,
    tell: Tell<'_>,
) -> Result<(Stack<'l>, Option<Entrypoint>), ImageError> {
    let image = build.distro();
    let unavailable = |error: RegistryError| match error {
        RegistryError::Web(error @ WebError::Refused { status: 404, .. }) => gone(error.into(), build),
        error => {
            let (why, hint) = (error.to_string(), hint(&error, &image));
            ImageError::Unavailable { image: image.to_string(), why, hint }
        }
    };
    let repository = Repository::new(&image).map_err(unavailable)?;
    let pulled = repository.pull(&build.fingerprint).map_err(unavailable)?;
    let mut stack = Stack::new(layout, limits)?;
    let total = pulled.bytes();
    let mut before = 0;
    for (layer, diff_id) in pulled.layers.iter().zip(&pulled.contents) {
        if !stack.push_stored(diff_id)? {
            let url = repository.url("blobs", &format!("sha256:{}", layer.sha256)).map_err(unavailable)?;
            let wanted = Wanted { url, sha256: &layer.sha256, size: Some(layer.size), longest: limits };
            let tell = |done: u64, _| tell(before + done, Some(total));
            let loaded = load(&repository.web, &wanted, &layout.downloads(), Sha256::new(), &tell)
                .map_err(|error| gone(error, build))?;
            stack.push(&loaded.file, &loaded.path, diff_id)?;
            loaded.discard();
        }
        before += layer.size;
    }
    Ok((stack, pulled.entrypoint))
}

/// One repository of a registry.
struct Repository<'i> {
    image: &'i Distro,
    name: &'i str,
    /// A tag or digest.
    reference: &'i str,
    /// By Debian's name.
    arch: &'i str,
    web: Web,
}

impl<'i> Repository<'i> {
    fn new(image: &'i Distro) -> Result<Repository<'i>, RegistryError> {
        let Some((name, reference)) = image.name.repository() else {
            return Err(RegistryError::NoRepository(image.name.to_string()));
        };
        let web = Web::new()?.with_login(Login::new(&image.server, name));
        Ok(Repository { image, name, reference, arch: image.name.split().1, web })
    }

    fn newest(&self) -> Result<Build, RegistryError> {
        let asked = self.reference.strip_prefix("sha256:").map(|hex| ImageDigest(hex.to_owned()));
        let (digest, text) = self.manifest(self.reference, asked.as_ref())?;
        let manifest = Manifest::parse(&text)?;
        let (digest, pulled) = match manifest.of_architecture(self.arch)? {
            Some(chosen) => {
                let digest = ImageDigest(chosen.sha256()?);
                let pulled = self.pull(&digest)?;
                (digest, pulled)
            }
            None => (digest, self.pulled(&manifest)?),
        };
        Ok(Build {
            distro: self.image.name.clone(),
            server: self.image.server.clone(),
            arch: self.arch.to_owned(),
            serial: pulled.serial.clone(),
            fingerprint: digest,
            files: BuildFiles::Layers { bytes: pulled.bytes() },
            signed_by: None,
        })
    }

    /// The image whose manifest is `digest`.
    fn pull(&self, digest: &ImageDigest) -> Result<Pulled, RegistryError> {
        let (_, text) = self.manifest(&format!("sha256:{digest}"), Some(digest))?;
        let manifest = Manifest::parse(&text)?;
        match manifest.of_architecture(self.arch)? {
            Some(_) => Err(RegistryError::Nested),
            None => self.pulled(&manifest),
        }
    }

    fn pulled(&self, manifest: &Manifest) -> Result<Pulled, RegistryError> {
        let descriptor = manifest.config()?;
        let digest = descriptor.sha256()?;
        let text = self.read("blobs", &format!("sha256:{digest}"), LONGEST_CONFIG)?;
        self.check(&format!("sha256:{digest}"), &text, &digest)?;
        Pulled::new(&Config::parse(&text)?, manifest.layers()?.as_slice(), self.arch)
    }

    /// The manifest `reference` and its digest, which must be `expected` if that is given.
    fn manifest(
        &self,
        reference: &str,
        expected: Option<&ImageDigest>,
    ) -> Result<(ImageDigest, Vec<u8>), RegistryError> {
        let text = self.read("manifests", reference, LONGEST_MANIFEST)?;
        if let Some(expected) = expected {
            self.check(reference, &text, &expected.0)?;
        }
        Ok((ImageDigest(hex(Sha256::new_with_prefix(&text))), text))
    }

    fn check(&self, what: &str, content: &[u8], expected: &str) -> Result<(), RegistryError> {
        let found = hex(Sha256::new_with_prefix(content));
        if found == expected {
            return Ok(());
        }
        Err(RegistryError::Mismatch { server: self.image.server.to_string(), what: what.to_owned(), found })
    }

    fn read(&self, kind: &str, reference: &str, limit: usize) -> Result<Vec<u8>, RegistryError> {
        Ok(self.web.read(&self.url(kind, reference)?, limit)?)
    }

    /// A name has no letter that would have to be encoded, and registries do not all decode a digest's colon.
    fn url(&self, kind: &str, reference: &str) -> Result<WebUrl, RegistryError> {
        let Repository { image, name, .. } = self;
        let url = format!("{}/v2/{name}/{kind}/{reference}", image.server);
        url.parse().map_err(|_| RegistryError::NoRepository(image.name.to_string()))
    }
}

fn hint(error: &RegistryError, image: &Distro) -> Option<String> {
    match error {
        RegistryError::Web(WebError::Refused { status: 401 | 403, .. }) => Some(format!(
            "is it spelt right? What is not public wants a login: `skopeo login {}`, as the user who runs fleet",
            image.server.host()
        )),
        RegistryError::Web(WebError::Refused { status: 404, .. }) => {
            Some(format!("`skopeo list-tags docker://{}/…` shows what there is", image.server.host()))
        }
        RegistryError::Web(error) => error.hint().map(str::to_owned),
        RegistryError::Mismatch { .. } => Some("nothing of it was used: tell whoever runs the registry".to_owned()),
        RegistryError::NotForHere { .. } => Some("choose another tag or image".to_owned()),
        RegistryError::NotAnImage(_) => Some("choose an image of a root file system".to_owned()),
        RegistryError::NoRepository(_)
        | RegistryError::Malformed { .. }
        | RegistryError::Nested
        | RegistryError::Untrusted(_) => None,
    }
}

impl Descriptor {
    /// Its digest without the algorithm's name; another algorithm than SHA-256 is not known.
    fn sha256(&self) -> Result<String, RegistryError> {
        document::sha256(&self.digest)
    }
}
