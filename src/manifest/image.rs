//! `distro` and `image`: where a container's root file system comes from.

use super::findings::Complaint;
use super::keys;
use super::node::{Entry, Value};
use super::reader::{Reader, Section, Setting};
use crate::model::{ImageDigest, ImageSource};

/// Reads the one of `distro` and `image` that `section` has.
pub(super) fn image(reader: &mut Reader, section: &Section<'_>) -> Setting<ImageSource> {
    if let (Some(distro), Some(image)) = (section.entry("distro"), section.entry("image")) {
        let later = distro.key.span.max(image.key.span);
        reader.complain(later, Complaint::new("`distro` and `image` exclude each other").hint("leave one of them out"));
        return Setting::Wrong;
    }
    let distro = section.scalar(reader, "distro", distro);
    if distro.is_absent() { section.setting(reader, "image", source) } else { distro }
}

fn distro(text: &str) -> Result<ImageSource, Complaint> {
    match text {
        "busybox" => Ok(ImageSource::Busybox),
        _ => Err(Complaint::new(format!(
            "the distro `{text}` is not available in this version of fleet: it does not fetch from image servers"
        ))
        .hint("write `distro: busybox`, or `image: file:PATH` for a root file system of your own")),
    }
}

/// `image` as one text, or as a mapping of `source` and `sha256`.
fn source(reader: &mut Reader, entry: &Entry) -> Option<ImageSource> {
    if !matches!(entry.node.value, Value::Mapping(_)) {
        let text = reader.text(entry)?;
        let source = parsed(reader, text);
        return reader.accept(entry.place(), source);
    }
    let section = reader.section("`image`", entry.key.span, &entry.node, &keys::IMAGE)?;
    let Some(source) = section.entry("source") else {
        reader.complain(entry.key.span, Complaint::new("`image` has no `source`").hint("write `source: file:PATH`"));
        return None;
    };
    let text = reader.text(source)?;
    let image = parsed(reader, text);
    let image = reader.accept(source.place(), image)?;
    let sha256 = section.scalar(reader, "sha256", |text| {
        ImageDigest::parse_hex(text).map_err(|error| Complaint::new(error.to_string()))
    });
    match sha256 {
        Setting::Absent => Some(image),
        Setting::Wrong => None,
        Setting::Given(sha256) => {
            let image = with_sha256(image, sha256.value);
            reader.accept(sha256.span, image)
        }
    }
}

fn parsed(reader: &Reader, text: &str) -> Result<ImageSource, Complaint> {
    match text.parse().map_err(|error: crate::model::ParseImageError| Complaint::new(error.to_string()))? {
        ImageSource::Busybox => Ok(ImageSource::Busybox),
        ImageSource::File { path, sha256 } => {
            let path = reader.files.path(&path.to_string_lossy())?;
            Ok(ImageSource::File { path, sha256 })
        }
    }
}

fn with_sha256(image: ImageSource, sha256: String) -> Result<ImageSource, Complaint> {
    match image {
        ImageSource::Busybox => Err(Complaint::new("`busybox` has no sha256: it is assembled on the host")),
        ImageSource::File { sha256: Some(other), .. } if other != sha256 => {
            Err(Complaint::new("`source` has another sha256 than this").hint("leave one of them out"))
        }
        ImageSource::File { path, .. } => Ok(ImageSource::File { path, sha256: Some(sha256) }),
    }
}
