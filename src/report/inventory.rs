//! The containers of fleets as an inventory of Ansible: as a file (its plugin `yaml`) and as the answer of a script
//! (its plugin `script`).

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::FleetLogins;
use super::status_json::StateWord;
use crate::model::{FleetName, Login, UnquotablePath};

/// An inventory.
#[derive(Debug)]
pub(crate) struct Inventory {
    hosts: InOrder<HostVariables>,
    groups: BTreeMap<String, Vec<String>>,
}

/// What Ansible is told of one container.
#[derive(Debug, Serialize)]
pub(crate) struct HostVariables {
    ansible_host: String,
    ansible_user: String,
    ansible_ssh_common_args: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ansible_ssh_private_key_file: Option<String>,
    fleet: String,
    fleet_state: StateWord,
}

/// The form of an inventory file.
#[derive(Debug, Serialize)]
pub(crate) struct FileForm<'a> {
    all: FileAll<'a>,
}

#[derive(Debug, Serialize)]
struct FileAll<'a> {
    hosts: &'a InOrder<HostVariables>,
    children: BTreeMap<&'a str, FileGroup>,
}

#[derive(Debug, Serialize)]
struct FileGroup {
    hosts: InOrder<NoVariables>,
}

#[derive(Debug, Serialize)]
struct NoVariables {}

/// The form of a script's answer to `--list`.
#[derive(Debug, Serialize)]
pub(crate) struct ScriptForm<'a> {
    /// Saves Ansible from asking for each host by itself.
    #[serde(rename = "_meta")]
    meta: ScriptMeta<'a>,
    all: ScriptAll<'a>,
    #[serde(flatten)]
    groups: BTreeMap<&'a str, ScriptGroup<'a>>,
}

#[derive(Debug, Serialize)]
struct ScriptMeta<'a> {
    hostvars: &'a InOrder<HostVariables>,
}

#[derive(Debug, Serialize)]
struct ScriptAll<'a> {
    children: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct ScriptGroup<'a> {
    hosts: &'a [String],
}

/// A mapping in the order of the fleet file, where `agent-2` comes before `agent-10`.
#[derive(Debug)]
struct InOrder<T>(Vec<(String, T)>);

impl<T: Serialize> Serialize for InOrder<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Inventory {
    /// The inventory of all containers of `fleets` that are there.
    pub(crate) fn new(fleets: &[FleetLogins]) -> Result<Inventory, UnquotablePath> {
        let mut inventory = Inventory { hosts: InOrder(Vec::new()), groups: BTreeMap::new() };
        for fleet in fleets {
            for container in &fleet.containers {
                let Some(login) = &container.login else { continue };
                let name = container.name.to_string();
                inventory.enter(group("fleet", fleet.fleet.as_str()), &name);
                let profiles = fleet.profiles.iter().filter(|(_, members)| members.contains(&container.name));
                for (profile, _) in profiles {
                    inventory.enter(group("profile", profile), &name);
                }
                inventory.hosts.0.push((name, HostVariables::new(&fleet.fleet, container.state, login)?));
            }
        }
        Ok(inventory)
    }

    /// Two profiles whose names Ansible cannot tell apart are one group.
    fn enter(&mut self, group: String, name: &str) {
        let members = self.groups.entry(group).or_default();
        if members.last().is_none_or(|last| last != name) {
            members.push(name.to_owned());
        }
    }

    /// The variables of container `name`, if it is there.
    pub(crate) fn host(&self, name: &str) -> Option<&HostVariables> {
        self.hosts.0.iter().find(|(host, _)| host == name).map(|(_, variables)| variables)
    }

    /// As a script answers.
    pub(crate) fn script_form(&self) -> ScriptForm<'_> {
        ScriptForm {
            meta: ScriptMeta { hostvars: &self.hosts },
            all: ScriptAll { children: self.groups.keys().map(String::as_str).collect() },
            groups: self.groups.iter().map(|(group, hosts)| (group.as_str(), ScriptGroup { hosts })).collect(),
        }
    }

    /// As a file says it.
    pub(crate) fn file_form(&self) -> FileForm<'_> {
        let members = |names: &[String]| InOrder(names.iter().map(|name| (name.clone(), NoVariables {})).collect());
        let children = self.groups.iter().map(|(group, names)| (group.as_str(), FileGroup { hosts: members(names) }));
        FileForm { all: FileAll { hosts: &self.hosts, children: children.collect() } }
    }

    /// The same in YAML.
    pub(crate) fn yaml(&self) -> String {
        // Folded lines would be the same text, but nobody could copy it from there.
        let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
        serde_saphyr::to_string_with_options(&self.file_form(), options)
            .expect("string keys and plain values always serialise")
    }
}

impl HostVariables {
    fn new(fleet: &FleetName, state: StateWord, login: &Login) -> Result<HostVariables, UnquotablePath> {
        let arguments = login.host_key_options()?.into_iter().map(|(keyword, value)| match value.as_str() {
            // Ansible takes the text apart as a shell does, and ssh the rest of the quotes.
            quoted if quoted.contains(['"', '\'']) => format!("-o {}", shell_word(&format!("{keyword}={quoted}"))),
            plain => format!("-o {keyword}={plain}"),
        });
        Ok(HostVariables {
            ansible_host: login.address.to_string(),
            ansible_user: login.user.clone(),
            ansible_ssh_common_args: arguments.collect::<Vec<_>>().join(" "),
            // Ansible quotes it itself, and has room for one.
            ansible_ssh_private_key_file: login
                .quoted_identities()?
                .first()
                .map(|path| path.trim_matches('"').to_owned()),
            fleet: fleet.to_string(),
            fleet_state: state,
        })
    }
}

/// A group's name: letters, digits and `_` are all that Ansible takes without a warning.
fn group(kind: &str, name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{kind}_{plain}")
}

/// `text` as one word of a shell.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::example::logins;

    fn inventory() -> Inventory {
        Inventory::new(&[logins()]).expect("plain paths")
    }

    #[test]
    fn a_file_has_the_hosts_that_are_there_and_their_groups() {
        insta::assert_snapshot!(inventory().yaml(), @r#"
        all:
          hosts:
            agent-1:
              ansible_host: "10.42.0.11"
              ansible_user: dev
              ansible_ssh_common_args: -o 'UserKnownHostsFile="/var/lib/fleet/fleets/dev/known_hosts"' -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes -o UpdateHostKeys=no -o HostKeyAlias=agent-1
              ansible_ssh_private_key_file: /home/dev/my keys/id
              fleet: dev
              fleet_state: running
          children:
            fleet_dev:
              hosts:
                agent-1: {}
            profile_big_one:
              hosts:
                agent-1: {}
        "#);
    }

    #[test]
    fn a_script_answers_with_groups_and_all_variables_at_once() {
        let answer = serde_json::to_string_pretty(&inventory().script_form()).expect("it serialises");
        insta::assert_snapshot!(answer, @r#"
        {
          "_meta": {
            "hostvars": {
              "agent-1": {
                "ansible_host": "10.42.0.11",
                "ansible_user": "dev",
                "ansible_ssh_common_args": "-o 'UserKnownHostsFile=\"/var/lib/fleet/fleets/dev/known_hosts\"' -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes -o UpdateHostKeys=no -o HostKeyAlias=agent-1",
                "ansible_ssh_private_key_file": "/home/dev/my keys/id",
                "fleet": "dev",
                "fleet_state": "running"
              }
            }
          },
          "all": {
            "children": [
              "fleet_dev",
              "profile_big_one"
            ]
          },
          "fleet_dev": {
            "hosts": [
              "agent-1"
            ]
          },
          "profile_big_one": {
            "hosts": [
              "agent-1"
            ]
          }
        }
        "#);
        assert!(inventory().host("agent-1").is_some());
        assert!(inventory().host("agent-2").is_none());
    }

    #[test]
    fn a_word_of_a_shell_may_have_quotes() {
        assert_eq!(shell_word("a \"b\" it's"), "'a \"b\" it'\\''s'");
    }
}
