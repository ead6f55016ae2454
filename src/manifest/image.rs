//! `distro` and `image`: where a container's root file system comes from.

use super::findings::Complaint;
use super::keys;
use super::node::{Entry, Value};
use super::reader::{Reader, Section, Setting};
use super::scalar;
use crate::model::{Bootstrap, DistroName, ImageDigest, ImageSource, InitChoice, ParseImageError, WebUrl, WebUrlError};

/// Reads the one of `distro` and `image` that `section` has.
pub(super) fn image(reader: &mut Reader, section: &Section<'_>) -> Setting<ImageSource> {
    if let (Some(distro), Some(image)) = (section.entry("distro"), section.entry("image")) {
        let later = distro.key.span.max(image.key.span);
        reader.complain(later, Complaint::new("`distro` and `image` exclude each other").hint("leave one of them out"));
        return Setting::Wrong;
    }
    let distro = section.setting(reader, "distro", distro);
    if distro.is_absent() { section.setting(reader, "image", source) } else { distro }
}

fn distro(reader: &mut Reader, entry: &Entry) -> Option<ImageSource> {
    let text = reader.text(entry)?;
    if text == "busybox" {
        return Some(ImageSource::Busybox);
    }
    let distro = reader.remotes.distro(text).map(ImageSource::Distro);
    reader.accept(entry.place(), distro)
}

/// `image` as one text, or as a mapping of `source` or `https`, and `sha256`, or of `bootstrap` and what goes with it.
fn source(reader: &mut Reader, entry: &Entry) -> Option<ImageSource> {
    if !matches!(entry.node.value, Value::Mapping(_)) {
        let text = reader.text(entry)?;
        let source = parsed(reader, text);
        return reader.accept(entry.place(), source);
    }
    let section = reader.section("`image`", entry.key.span, &entry.node, &keys::IMAGE)?;
    let sha256 = section.scalar(reader, "sha256", |text| {
        ImageDigest::parse_hex(text).map_err(|error| Complaint::new(error.to_string()))
    });
    if section.entry("bootstrap").is_some() {
        return bootstrap(reader, &section);
    }
    for key in ["packages", "init", "serial"] {
        if let Some(entry) = section.entry(key) {
            let complaint = Complaint::new(format!("`{key}` says what is made by `bootstrap`"));
            reader.complain(entry.key.span, complaint.hint("write `bootstrap: debian/12`, or leave it out"));
        }
    }
    match (section.entry("source"), section.entry("https")) {
        (Some(source), None) => {
            let text = reader.text(source)?;
            if text.starts_with("https:") || text.starts_with("http:") {
                return on_the_web(reader, source, text, sha256);
            }
            let image = parsed(reader, text);
            let image = reader.accept(source.place(), image)?;
            match sha256 {
                Setting::Absent => Some(image),
                Setting::Wrong => None,
                Setting::Given(sha256) => {
                    let image = with_sha256(image, sha256.value);
                    reader.accept(sha256.span, image)
                }
            }
        }
        (None, Some(https)) => {
            let text = reader.text(https)?;
            on_the_web(reader, https, text, sha256)
        }
        (Some(_), Some(https)) => {
            let complaint = Complaint::new("`source` and `https` exclude each other").hint("leave one of them out");
            reader.complain(https.key.span, complaint);
            None
        }
        (None, None) => {
            let complaint = Complaint::new("`image` has neither `source` nor `https` nor `bootstrap`");
            let hint = "write `source: file:PATH`, or `https: https://…` and `sha256`, or `bootstrap: debian/12`";
            reader.complain(entry.key.span, complaint.hint(hint));
            None
        }
    }
}

/// What `bootstrap` and the keys beside it ask for.
fn bootstrap(reader: &mut Reader, section: &Section<'_>) -> Option<ImageSource> {
    for key in ["source", "https", "sha256"] {
        if let Some(entry) = section.entry(key) {
            let complaint = Complaint::new(format!("`bootstrap` and `{key}` exclude each other"));
            reader.complain(entry.key.span, complaint.hint("leave one of them out"));
        }
    }
    let request = section.scalar(reader, "bootstrap", |text| {
        text.parse::<Bootstrap>().map_err(|error| Complaint::new(error.to_string()))
    });
    let init = section.scalar(reader, "init", |text| scalar::one_of("init", text, &InitChoice::ALL));
    let serial = section.scalar(reader, "serial", serial);
    let packages = section.setting(reader, "packages", |reader, entry| {
        let items = reader.list(entry)?;
        items.iter().map(|node| reader.item("a package", entry.key.span, node).map(str::to_owned)).collect()
    });
    let request = Bootstrap {
        init: init.value().copied().unwrap_or_default(),
        serial: serial.value().cloned(),
        ..request.value()?.clone()
    };
    let place = packages.given().map(|packages| packages.span).unwrap_or_default();
    let packages: Vec<String> = packages.value().cloned().unwrap_or_default();
    let request = request.with_packages(packages).map_err(|error| Complaint::new(error.to_string()));
    reader.accept(place, request).map(ImageSource::Bootstrap)
}

/// A word that tells one making from another.
fn serial(text: &str) -> Result<String, Complaint> {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(is_sign) {
        return Ok(text.to_owned());
    }
    Err(Complaint::new(format!("`{}` is no serial", text.escape_debug())).hint("write a word such as `2` or `2026-11`"))
}

/// The archive at `text`, the value of `entry`, with its checksum beside it or behind it.
fn on_the_web(reader: &mut Reader, entry: &Entry, text: &str, sha256: Setting<String>) -> Option<ImageSource> {
    let sha256 = match sha256 {
        Setting::Wrong => return None,
        Setting::Given(sha256) => Some(sha256.value),
        Setting::Absent => None,
    };
    let (url, behind) = match text.rsplit_once("@sha256:") {
        Some((url, behind)) => (url, Some(behind)),
        None => (text, None),
    };
    let image = match (sha256, behind) {
        (Some(_), Some(_)) => Err(Complaint::new("the sha256 is there twice").hint("leave one of them out")),
        (Some(sha256), None) => {
            let url: Result<WebUrl, _> = url.parse();
            let url = url.map_err(|error: WebUrlError| Complaint::new(error.to_string()));
            url.map(|url| ImageSource::Https { url, sha256 })
        }
        (None, _) => parsed(reader, text),
    };
    reader.accept(entry.place(), image)
}

fn parsed(reader: &Reader, text: &str) -> Result<ImageSource, Complaint> {
    let source: ImageSource = text.parse().map_err(|error: ParseImageError| {
        let complaint = Complaint::new(error.to_string());
        match error {
            ParseImageError::UnknownScheme(_) => complaint.or_hint(scheme_for(reader, text)),
            _ => complaint,
        }
    })?;
    match source {
        ImageSource::File { path, sha256 } => {
            let path = reader.files.path(&path.to_string_lossy())?;
            Ok(ImageSource::File { path, sha256 })
        }
        ImageSource::Busybox | ImageSource::Https { .. } | ImageSource::Distro(_) | ImageSource::Bootstrap(_) => {
            Ok(source)
        }
    }
}

/// The question after what `text`, which has no scheme, may have been meant for.
fn scheme_for(reader: &Reader, text: &str) -> Option<String> {
    if text.contains('/') && reader.files.existing(text).is_ok() {
        return Some(format!("did you mean `file:{text}`?"));
    }
    let is_distro = text.contains('/') && text.parse::<DistroName>().is_ok();
    is_distro.then(|| format!("did you mean `distro: {text}`?"))
}

fn with_sha256(image: ImageSource, sha256: String) -> Result<ImageSource, Complaint> {
    match image {
        ImageSource::Busybox => Err(Complaint::new("`busybox` has no sha256: it is assembled on the host")),
        ImageSource::File { sha256: Some(other), .. } if other != sha256 => {
            Err(Complaint::new("`source` has another sha256 than this").hint("leave one of them out"))
        }
        ImageSource::File { path, .. } => Ok(ImageSource::File { path, sha256: Some(sha256) }),
        ImageSource::Distro(image) => {
            let complaint = Complaint::new("an image of a registry has no sha256 beside it");
            Err(complaint.hint(format!("write the digest of its manifest behind it: `{image}@sha256:HEX`")))
        }
        ImageSource::Bootstrap(_) => Err(Complaint::new("`bootstrap` has no sha256: it is made on the host")),
        ImageSource::Https { .. } => Ok(image),
    }
}
