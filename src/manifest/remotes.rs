//! `remotes`: the image servers that distributions come from.

use std::collections::BTreeMap;

use super::findings::Complaint;
use super::interpolate::Environment;
use super::keys::{did_you_mean, listed};
use super::reader::{Reader, Section};
use crate::model::{Distro, WebUrl};

/// The server of distributions that name none, and the name that `remotes` replaces it by.
const DEFAULT: &str = "https://images.linuxcontainers.org";
const DEFAULT_NAME: &str = "images";

/// The variable that names another one.
const VARIABLE: &str = "FLEET_IMAGE_SERVER";

/// The image servers that a fleet file can name.
#[derive(Debug)]
pub(super) struct Remotes {
    named: BTreeMap<String, WebUrl>,
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
        Remotes { named: BTreeMap::new(), default }
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
            let Some(text) = reader.text(remote) else { continue };
            if let Some(url) = reader.accept(remote.place(), server(text)) {
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
            None => return Err(self.unknown(remote)),
        };
        let name = name.parse().map_err(|error: crate::model::DistroNameError| Complaint::new(error.to_string()))?;
        Ok(Distro { server, name })
    }

    fn unknown(&self, remote: &str) -> Complaint {
        if matches!(remote, "oci" | "file" | "http" | "https" | "bootstrap") {
            let complaint = Complaint::new(format!("`{remote}:` is not written with `distro`"));
            return complaint.hint(format!("write it with `image`: `image: {remote}:…`"));
        }
        let known = || self.named.keys().map(String::as_str).chain([DEFAULT_NAME]);
        let hint = did_you_mean(remote, known()).unwrap_or_else(|| {
            format!("`remotes: {{{remote}: https://…}}` would make it known; there are {}", listed(known()))
        });
        Complaint::new(format!("there is no image server `{remote}`")).hint(hint)
    }
}

fn server(text: &str) -> Result<WebUrl, Complaint> {
    let url: WebUrl = text.parse().map_err(|error: crate::model::WebUrlError| Complaint::new(error.to_string()))?;
    if url.as_str().contains('?') {
        return Err(Complaint::new(format!("`{text}` has a query, which the address of an image server has not")));
    }
    Ok(url)
}
