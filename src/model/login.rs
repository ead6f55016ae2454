//! How a container is reached by SSH from its host.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::{ContainerName, ContainerRecord, FleetName};

/// All that ssh(1) has to know to log in to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The container; its host key is known by this name.
    pub name: ContainerName,
    /// The fleet that it belongs to.
    pub fleet: FleetName,
    /// Its address: of IPv4 where it has one, for that is what every host speaks.
    pub address: IpAddr,
    /// The user of the guest.
    pub user: String,
    /// The file with the public host keys of the fleet.
    pub known_hosts: PathBuf,
    /// Private keys that this user's `authorized_keys` lets in.
    pub identities: Vec<PathBuf>,
}

/// A path that no quoting makes a value of `ssh_config(5)`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be written for ssh: its configuration has no way to quote {what}", path.display())]
pub struct UnquotablePath {
    path: PathBuf,
    what: &'static str,
}

impl Login {
    /// The login to the container that `record` describes, if it has an address: as `user`, or else as its only user, or as
    /// root if it has none or several. `private_keys` are those of [`super::Fleet`].
    #[must_use]
    pub fn new(
        record: &ContainerRecord,
        user: Option<&str>,
        known_hosts: PathBuf,
        private_keys: &BTreeMap<String, PathBuf>,
    ) -> Option<Login> {
        let guest = &record.spec.guest;
        let user = match (user, guest.users.as_slice()) {
            (Some(user), _) => user,
            (None, [only]) => &only.name,
            (None, _) => "root",
        };
        let of_root = guest.ssh_keys.iter().filter(|_| user == "root");
        let of_users = guest.users.iter().filter(|other| other.name == user).flat_map(|user| &user.ssh_keys);
        let mut identities: Vec<PathBuf> = Vec::new();
        for path in of_root.chain(of_users).filter_map(|line| private_keys.get(line)) {
            if !identities.contains(path) {
                identities.push(path.clone());
            }
        }
        Some(Login {
            name: record.spec.name.clone(),
            fleet: record.fleet.clone(),
            address: record.spec.addresses().next()?,
            user: user.to_owned(),
            known_hosts,
            identities,
        })
    }

    /// The names by which it is called on the host.
    #[must_use]
    pub fn names(&self) -> [String; 2] {
        [self.name.to_string(), format!("{}.{}", self.name, self.fleet)]
    }

    /// Keywords and values of `ssh_config(5)`, the values quoted where they need it.
    pub fn options(&self) -> Result<Vec<(&'static str, String)>, UnquotablePath> {
        let mut options = vec![("HostName", self.address.to_string()), ("User", self.user.clone())];
        options.extend(self.host_key_options()?);
        options.extend(self.quoted_identities()?.into_iter().map(|identity| ("IdentityFile", identity)));
        Ok(options)
    }

    /// The values of `IdentityFile`.
    pub fn quoted_identities(&self) -> Result<Vec<String>, UnquotablePath> {
        self.identities.iter().map(|path| quoted(path)).collect()
    }

    /// Those by which the host key is checked: nothing counts but what fleet says that it is, and the guest cannot add
    /// to that file (`UpdateHostKeys`).
    pub fn host_key_options(&self) -> Result<Vec<(&'static str, String)>, UnquotablePath> {
        Ok(vec![
            ("UserKnownHostsFile", quoted(&self.known_hosts)?),
            ("GlobalKnownHostsFile", "/dev/null".to_owned()),
            ("StrictHostKeyChecking", "yes".to_owned()),
            ("UpdateHostKeys", "no".to_owned()),
            ("HostKeyAlias", self.name.to_string()),
        ])
    }
}

/// `path` as a value of `ssh_config(5)`: in double quotes, with `%` doubled, which begins a token there. Escapes differ
/// between versions of OpenSSH, and `${` cannot be escaped at all.
fn quoted(path: &Path) -> Result<String, UnquotablePath> {
    let wrong = |what| UnquotablePath { path: path.to_owned(), what };
    let text = path.to_str().ok_or_else(|| wrong("what is not UTF-8"))?;
    for (bad, what) in [("\"", "`\"`"), ("\\", "`\\`"), ("${", "`${`")] {
        if text.contains(bad) {
            return Err(wrong(what));
        }
    }
    if text.contains(char::is_control) {
        return Err(wrong("control characters"));
    }
    Ok(format!("\"{}\"", text.replace('%', "%%")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_or_refused() {
        let quoted = |text: &str| quoted(Path::new(text)).map_err(|error| error.to_string());
        assert_eq!(quoted("/srv/my fleets/100%/#1"), Ok("\"/srv/my fleets/100%%/#1\"".into()));
        for (path, what) in [("/a\"b", "`\"`"), ("/a\\b", "`\\`"), ("/${HOME}", "`${`")] {
            let message = format!("`{path}` cannot be written for ssh: its configuration has no way to quote {what}");
            assert_eq!(quoted(path), Err(message));
        }
        assert!(quoted("/a\nb").is_err());
    }
}
