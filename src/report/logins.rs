//! How containers are reached by SSH: as an `ssh_config(5)`, and as JSON.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::status_json::StateWord;
use crate::model::{ContainerName, FleetName, Login, UnquotablePath};

/// The containers of a fleet, with the logins to those that are there.
#[derive(Debug)]
pub(crate) struct FleetLogins {
    /// The fleet's name.
    pub(crate) fleet: FleetName,
    /// In the order of the file.
    pub(crate) containers: Vec<LoginState>,
    /// Which containers take each profile.
    pub(crate) profiles: BTreeMap<String, Vec<ContainerName>>,
}

/// One container.
#[derive(Debug)]
pub(crate) struct LoginState {
    /// Its name.
    pub(crate) name: ContainerName,
    /// What it does.
    pub(crate) state: StateWord,
    /// The way in, if the container is there.
    pub(crate) login: Option<Login>,
}

/// A `Host` block for each container that is there; a comment for each that is not.
pub(crate) fn ssh_config(fleets: &[FleetLogins]) -> Result<String, UnquotablePath> {
    let mut blocks = Vec::new();
    for container in fleets.iter().flat_map(|fleet| &fleet.containers) {
        blocks.push(match &container.login {
            Some(login) => block(login)?,
            None => format!("# {} is {}\n", container.name, container.state.as_str()),
        });
    }
    Ok(blocks.join("\n"))
}

fn block(login: &Login) -> Result<String, UnquotablePath> {
    let lines = login.options()?.into_iter().map(|(keyword, value)| format!("    {keyword} {value}\n"));
    Ok(format!("Host {}\n{}", login.names().join(" "), lines.collect::<String>()))
}

/// The document of `fleet ssh-config`.
#[derive(Debug, Serialize)]
pub(crate) struct LoginsJson<'a> {
    fleet: &'a str,
    containers: Vec<LoginJson<'a>>,
}

/// One container; of one that is not there only name and state are known.
#[derive(Debug, Serialize)]
struct LoginJson<'a> {
    name: &'a str,
    state: StateWord,
    names: Option<[String; 2]>,
    address: Option<String>,
    user: Option<&'a str>,
    known_hosts: Option<&'a Path>,
    identity_files: Vec<&'a Path>,
}

impl LoginsJson<'_> {
    /// The document for `fleet`.
    pub(crate) fn new(fleet: &FleetLogins) -> LoginsJson<'_> {
        let containers = fleet.containers.iter().map(|container| {
            let login = container.login.as_ref();
            LoginJson {
                name: container.name.as_str(),
                state: container.state,
                names: login.map(Login::names),
                address: login.map(|login| login.address.to_string()),
                user: login.map(|login| login.user.as_str()),
                known_hosts: login.map(|login| login.known_hosts.as_path()),
                identity_files: login.into_iter().flat_map(|login| &login.identities).map(AsRef::as_ref).collect(),
            }
        });
        LoginsJson { fleet: fleet.fleet.as_str(), containers: containers.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::logins;

    #[test]
    fn a_config_has_a_block_for_what_is_there_and_says_what_is_not() {
        insta::assert_snapshot!(ssh_config(&[logins()]).expect("plain paths"), @r#"
        Host agent-1 agent-1.dev
            HostName 10.42.0.11
            User dev
            UserKnownHostsFile "/var/lib/fleet/fleets/dev/known_hosts"
            GlobalKnownHostsFile /dev/null
            StrictHostKeyChecking yes
            UpdateHostKeys no
            HostKeyAlias agent-1
            IdentityFile "/home/dev/my keys/id"

        # agent-2 is absent
        "#);
    }

    #[test]
    fn the_document_has_what_the_config_has() {
        let document = serde_json::to_string_pretty(&LoginsJson::new(&logins())).expect("it serialises");
        insta::assert_snapshot!(document, @r#"
        {
          "fleet": "dev",
          "containers": [
            {
              "name": "agent-1",
              "state": "running",
              "names": [
                "agent-1",
                "agent-1.dev"
              ],
              "address": "10.42.0.11",
              "user": "dev",
              "known_hosts": "/var/lib/fleet/fleets/dev/known_hosts",
              "identity_files": [
                "/home/dev/my keys/id"
              ]
            },
            {
              "name": "agent-2",
              "state": "absent",
              "names": null,
              "address": null,
              "user": null,
              "known_hosts": null,
              "identity_files": []
            }
          ]
        }
        "#);
    }
}
