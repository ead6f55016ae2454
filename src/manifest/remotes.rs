//! `remotes`: the image servers that distributions come from.

use std::collections::BTreeMap;

use super::armor;
use super::findings::Complaint;
use super::interpolate::Environment;
use super::keys::{self, did_you_mean, listed};
use super::node::{Entry, Value};
use super::reader::{Reader, Section};
use crate::model::{Distro, DistroName, DistroNameError, SigningKey, SigningKeys, WebUrl};

/// The server of distributions that name none, and the name that `remotes` replaces it by.
const DEFAULT: &str = "https://images.linuxcontainers.org";
const DEFAULT_NAME: &str = "images";

/// The variable that names another one.
const VARIABLE: &str = "FLEET_IMAGE_SERVER";

/// The image servers that a fleet file can name.
#[derive(Debug)]
pub(super) struct Remotes {
    named: BTreeMap<String, WebUrl>,
    /// The keys of those that have one.
    pub(super) keys: SigningKeys,
    /// The environment's own default, or what is wrong with it.
    default: Result<WebUrl, Complaint>,
}

impl Remotes {
    /// Those that there are before the fleet file is read.
    pub(super) fn new(environment: &Environment<'_>) -> Remotes {
        let set = environment(VARIABLE).filter(|value| !value.is_empty());
        let default = server(set.as_deref().unwrap_or(DEFAULT)).map_err(|complaint| Complaint {
            message: format!("the environment's {VARIABLE} is wrong: {}", complaint.message),
            hint: complaint.hint,
        });
        Remotes { named: BTreeMap::new(), keys: BTreeMap::new(), default }
    }

    /// Reads `remotes` of the fleet file's own `section`.
    pub(super) fn read(reader: &mut Reader, section: &Section<'_>) {
        let Some(entry) = section.entry("remotes") else { return };
        for remote in reader.entries("`remotes`", entry.key.span, &entry.node).unwrap_or_default() {
            let name = &remote.key.value;
            let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty()
                || !name.bytes().all(is_name)
                || matches!(name.as_str(), "file" | "http" | "https" | "oci" | "bootstrap")
            {
                let complaint = Complaint::new(format!("`{name}` cannot be the name of an image server"));
                reader.complain(remote.key.span, complaint.hint("a name is made of `a-z`, `0-9` and `-`"));
                continue;
            }
            if let Some((url, key)) = remote_of(reader, remote) {
                reader.remotes.keys.extend(key.map(|key| (url.clone(), key)));
                reader.remotes.named.insert(name.clone(), url);
            }
        }
    }

    /// The distribution that `text`, `[REMOTE:]NAME`, stands for.
    pub(super) fn distro(&self, text: &str) -> Result<Distro, Complaint> {
        let (remote, name) = text.split_once(':').unwrap_or((DEFAULT_NAME, text));
        let server = match self.named.get(remote) {
            Some(server) => server.clone(),
            None if remote == DEFAULT_NAME => self.default.clone()?,
            None => return Err(self.unknown(remote, name)),
        };
        let name = name.parse().map_err(|error: DistroNameError| Complaint::new(error.to_string()))?;
        Ok(Distro { server, name })
    }

    /// What is wrong with `REMOTE:NAME`.
    fn unknown(&self, remote: &str, name: &str) -> Complaint {
        if matches!(remote, "oci" | "file" | "http" | "https" | "bootstrap") {
            let complaint = Complaint::new(format!("`{remote}:` is not written with `distro`"));
            return complaint.hint(format!("write it with `image`: `image: {remote}:…`"));
        }
        let known = || self.named.keys().map(String::as_str).chain([DEFAULT_NAME]);
        // As docker writes it: no name of a server's has one part alone.
        let slashed = format!("{remote}/{name}");
        let is_tag = !name.contains('/') && slashed.parse::<DistroName>().is_ok();
        let hint = did_you_mean(remote, known()).unwrap_or_else(|| {
            if is_tag {
                return format!("did you mean `{slashed}`?");
            }
            format!("`remotes: {{{remote}: https://…}}` would make it known; there are {}", listed(known()))
        });
        Complaint::new(format!("there is no image server `{remote}`")).hint(hint)
    }
}

/// The server that `entry` names, as one text, or as a mapping of `url` and `key`.
fn remote_of(reader: &mut Reader, entry: &Entry) -> Option<(WebUrl, Option<SigningKey>)> {
    if !matches!(entry.node.value, Value::Mapping(_)) {
        let text = reader.text(entry)?;
        return reader.accept(entry.place(), server(text)).map(|url| (url, None));
    }
    let what = format!("the image server `{}`", entry.key.value);
    let section = reader.section(&what, entry.key.span, &entry.node, &keys::REMOTE)?;
    let url = section.scalar(reader, "url", server);
    let key = section.setting(reader, "key", |reader, entry| {
        let path = reader.text(entry)?;
        let key = signing_key(reader, path);
        reader.accept(entry.place(), key)
    });
    if url.is_absent() {
        let complaint = Complaint::new(format!("{what} has no `url`"));
        reader.complain(entry.key.span, complaint.hint("write `url: https://…`"));
    }
    // A key that cannot be read is a finding, and never the same as none.
    Some((url.value()?.clone(), key.value().cloned()))
}

/// The keys in the file that `path` stands for, in either form of `OpenPGP`.
fn signing_key(reader: &Reader, path: &str) -> Result<SigningKey, Complaint> {
    let (file, content) = (reader.files.path(path)?, reader.files.read_bytes(path)?);
    let no_key = || {
        let complaint = Complaint::new(format!("`{}` is no public key of OpenPGP", file.display()));
        complaint.hint("write it with `gpg --export FINGERPRINT`")
    };
    let keyring =
        if content.starts_with(armor::BEGIN) { armor::decoded(&content).ok_or_else(no_key)? } else { content };
    // The first packet is a public key, in the old or the new form of its tag (RFC 4880, 4.2 and 5.5.1.1).
    match keyring.first() {
        Some(0x98..=0x9b | 0xc6) => Ok(SigningKey { file, keyring }),
        Some(_) | None => Err(no_key()),
    }
}

fn server(text: &str) -> Result<WebUrl, Complaint> {
    let url: WebUrl = text.parse().map_err(|error: crate::model::WebUrlError| Complaint::new(error.to_string()))?;
    if url.as_str().contains('?') {
        return Err(Complaint::new(format!("`{text}` has a query, which the address of an image server has not")));
    }
    Ok(url)
}
