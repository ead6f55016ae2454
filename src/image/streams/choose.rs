//! Which of a server's products is meant, and what to say if none is.

use std::collections::{BTreeMap, BTreeSet};

use super::super::source::Unavailable;
use super::document::Product;
use super::{unavailable, version};
use crate::model::{Build, Distro, architecture};

/// So many names are listed in a hint.
const MOST_LISTED: usize = 8;

/// The newest build of `distro` among `products`, those of its server, for a kernel that `mounts_squashfs` or does not.
pub(super) fn newest(
    products: &BTreeMap<String, Product>,
    distro: &Distro,
    mounts_squashfs: bool,
) -> Result<Build, Unavailable> {
    let (name, arch) = distro.name.split();
    let named = || products.iter().filter(|(key, product)| names(key, product).contains(name));
    let offered: Vec<&Product> =
        named().map(|(_, product)| product).filter(|product| arch_of(product) == arch).collect();
    if offered.is_empty() {
        return Err(match named().map(|(_, product)| arch_of(product)).collect::<BTreeSet<_>>() {
            archs if archs.is_empty() => unknown(products, distro),
            archs => other_architecture(distro, arch, &archs),
        });
    }
    let mut versions: Vec<_> = offered.iter().flat_map(|product| &product.versions).collect();
    versions.sort_by(|(one, _), (other, _)| other.cmp(one));
    for (serial, version) in versions.into_iter().filter(|(serial, _)| is_serial(serial)) {
        if let Some((fingerprint, files)) =
            version::files(&distro.server, version, mounts_squashfs).map_err(|error| unavailable(&error))?
        {
            return Ok(Build {
                distro: distro.name.clone(),
                server: distro.server.clone(),
                arch: arch.to_owned(),
                serial: serial.clone(),
                fingerprint,
                files,
                signed_by: None,
            });
        }
    }
    Err(Unavailable {
        why: format!("`{}` offers `{distro}` only for virtual machines, or in a form that is not known", distro.server),
        hint: Some("choose another variant".to_owned()),
    })
}

/// A serial begins with a date. It ends up in texts for people and in file names.
fn is_serial(serial: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    serial.len() <= 64
        && serial.bytes().all(is_sign)
        && serial.len() >= 8
        && serial.bytes().take(8).all(|byte| byte.is_ascii_digit())
}

fn arch_of(product: &Product) -> &str {
    architecture(&product.arch).unwrap_or(&product.arch)
}

/// What a product is called: its aliases, and its key `distro:release:arch:variant`.
fn names(key: &str, product: &Product) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = product.aliases().collect();
    if let [distro, release, _, variant] = *key.to_ascii_lowercase().split(':').collect::<Vec<_>>() {
        names.insert(format!("{distro}/{release}/{variant}"));
        if variant == "default" {
            names.insert(format!("{distro}/{release}"));
        }
    }
    names
}

fn other_architecture(distro: &Distro, arch: &str, archs: &BTreeSet<&str>) -> Unavailable {
    let archs: Vec<&str> = archs.iter().copied().collect();
    Unavailable {
        why: format!("`{}` does not offer `{distro}` for {arch}, only for {}", distro.server, archs.join(", ")),
        hint: Some("choose another distribution, or another server with `remotes`".to_owned()),
    }
}

fn unknown(products: &BTreeMap<String, Product>, distro: &Distro) -> Unavailable {
    let (name, arch) = distro.name.split();
    let offered: BTreeSet<String> = products
        .iter()
        .filter(|(_, product)| arch_of(product) == arch)
        .flat_map(|(key, product)| names(key, product))
        .collect();
    let hint = if offered.is_empty() {
        format!("it offers nothing for {arch}")
    } else if let Some(near) = nearest(name, &offered) {
        format!("did you mean `{near}`?")
    } else {
        // The releases of what was asked for, or else the distributions.
        let family = format!("{}/", name.split('/').next().unwrap_or(name));
        let releases: Vec<&String> = offered.iter().filter(|name| name.starts_with(&family)).collect();
        let firsts: BTreeSet<&str> = offered.iter().filter_map(|name| name.split('/').next()).collect();
        if releases.is_empty() {
            format!("it offers {}", listed(firsts.into_iter()))
        } else {
            format!("it offers {}", listed(releases.into_iter().map(String::as_str)))
        }
    };
    Unavailable { why: format!("`{}` does not know `{distro}`", distro.server), hint: Some(hint) }
}

/// The one of `offered` that is closest to `name`, unless all are far off. A release is not a misspelling of another.
fn nearest<'o>(name: &str, offered: &'o BTreeSet<String>) -> Option<&'o String> {
    let digits = |name: &str| name.chars().filter(char::is_ascii_digit).collect::<String>();
    let furthest = (name.chars().count() / 3).max(1);
    offered
        .iter()
        .filter(|candidate| digits(candidate) == digits(name))
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= furthest)
        .min()
        .map(|(_, candidate)| candidate)
}

fn listed<'o>(names: impl ExactSizeIterator<Item = &'o str>) -> String {
    let more = if names.len() > MOST_LISTED { ", …" } else { "" };
    let quoted: Vec<String> = names.take(MOST_LISTED).map(|name| format!("`{name}`")).collect();
    quoted.join(", ") + more
}
