//! Image servers that speak simplestreams, as those of the Linux Containers project and of Incus do.
//!
//! Start at [`resolve`]: the index names files of products (`document`), a product is chosen by its alias and
//! architecture (`choose`), its newest version becomes a [`Build`] (`version`). Nothing that a server says is taken on trust:
//! each file is checked against what is said here, and what is said here came over HTTPS, and with a `signature` where the
//! fleet file names a key.

mod choose;
mod document;
mod signature;
#[cfg(test)]
mod tests;
mod version;

use std::collections::BTreeMap;

pub(super) use self::signature::fingerprint;

use self::document::{Index, Product, Products};
use super::source::Unavailable;
use super::web::{Web, WebError};
use crate::model::{Build, Distro, SigningKey, SigningKeys, WebUrl};
use crate::sys::knows_squashfs;

/// The longest index and the longest file of products that are read: ten times what the largest server has.
const LONGEST: usize = 32 << 20;

/// The place of the index on every server.
const INDEX: &str = "streams/v1/index.json";

/// Why a server's products cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamsError {
    /// The server did not give it.
    #[error(transparent)]
    Web(#[from] WebError),
    /// It is not what simplestreams says.
    #[error("cannot understand `{url}`: {source}")]
    Malformed {
        /// What was read.
        url: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A path that leads somewhere else.
    #[error("cannot trust `{server}`: the path `{}` does not lead to a place below the server", path.escape_debug())]
    UnsafePath {
        /// The server.
        server: String,
        /// What it says.
        path: String,
    },
    /// A checksum that is none.
    #[error("cannot trust `{server}`: {what} of `{}` is not a SHA-256", path.escape_debug())]
    BadSha256 {
        /// The server.
        server: String,
        /// Which.
        what: &'static str,
        /// Of which file.
        path: String,
    },
    /// A key is named, and what came is not signed by it.
    #[error("cannot trust `{server}`: `{}`: {why}", path.escape_debug())]
    Unsigned {
        /// The server.
        server: String,
        /// What was read.
        path: String,
        /// What is wrong with its signature.
        why: String,
    },
    /// A length beyond all measure.
    #[error("cannot trust `{server}`: `{}` is said to have {size} bytes", path.escape_debug())]
    BadSize {
        /// The server.
        server: String,
        /// Of which file.
        path: String,
        /// What it says.
        size: u64,
    },
}

/// Why there is no build of a distribution.
#[derive(Debug)]
pub(super) enum NoBuild {
    /// Its server did not answer.
    Silent(Unavailable),
    /// It did, and does not have it, or cannot be trusted.
    Refused(Unavailable),
}

/// The newest builds of `distros` by distribution, each server being asked once. What the servers of `keys` say must be signed.
pub(super) fn resolve(distros: &[Distro], keys: &SigningKeys) -> BTreeMap<Distro, Result<Build, NoBuild>> {
    let mut by_server: BTreeMap<&WebUrl, Vec<&Distro>> = BTreeMap::new();
    for distro in distros {
        by_server.entry(&distro.server).or_default().push(distro);
    }
    let mut builds = BTreeMap::new();
    for (server, wanted) in by_server {
        let products = Web::new().map_err(StreamsError::from).and_then(|web| products(&web, server, keys.get(server)));
        for distro in wanted {
            let build = match &products {
                Ok(products) => choose::newest(products, distro, knows_squashfs())
                    .map(|build| Build { signed_by: keys.get(server).map(fingerprint), ..build })
                    .map_err(NoBuild::Refused),
                Err(error @ StreamsError::Web(WebError::Unreachable { .. })) => {
                    Err(NoBuild::Silent(unavailable(error)))
                }
                Err(error) => Err(NoBuild::Refused(unavailable(error))),
            };
            builds.insert(distro.clone(), build);
        }
    }
    builds
}

fn unavailable(error: &StreamsError) -> Unavailable {
    let hint = match error {
        StreamsError::Web(error @ (WebError::Unreachable { .. } | WebError::TooSlow { .. } | WebError::Client(_))) => {
            error.hint().map(str::to_owned)
        }
        StreamsError::Web(_) | StreamsError::Malformed { .. } => {
            Some("is it the address of an image server that has simplestreams?".to_owned())
        }
        StreamsError::Unsigned { why, .. } if why == signature::MISSING => Some("install the package gpgv".to_owned()),
        StreamsError::Unsigned { .. } => Some(
            "nothing of it was used: ask whoever runs the server for its key, and name that in `remotes`".to_owned(),
        ),
        StreamsError::UnsafePath { .. } | StreamsError::BadSha256 { .. } | StreamsError::BadSize { .. } => {
            Some("tell whoever runs the server, or use another one with `remotes`".to_owned())
        }
    };
    Unavailable { why: error.to_string(), hint }
}

/// All products of `server` by their keys.
fn products(web: &Web, server: &WebUrl, key: Option<&SigningKey>) -> Result<BTreeMap<String, Product>, StreamsError> {
    let index: Index = read(web, server, INDEX, key)?;
    let mut all = BTreeMap::new();
    for path in index.image_paths() {
        let products: Products = read(web, server, path, key)?;
        all.extend(products.products);
    }
    Ok(all)
}

fn read<T: serde::de::DeserializeOwned>(
    web: &Web,
    server: &WebUrl,
    path: &str,
    key: Option<&SigningKey>,
) -> Result<T, StreamsError> {
    let url = below(server, path)?;
    let text = match key {
        Some(key) => signature::read(web, server, path, key)?,
        None => web.read(&url, LONGEST)?,
    };
    serde_json::from_slice(&text).map_err(|source| StreamsError::Malformed { url: url.to_string(), source })
}

/// The place `path` below `server`.
pub(super) fn below(server: &WebUrl, path: &str) -> Result<WebUrl, StreamsError> {
    server.join(path).ok_or_else(|| StreamsError::UnsafePath { server: server.to_string(), path: path.to_owned() })
}
