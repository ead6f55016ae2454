//! `users`: the users of a guest besides root.

use std::collections::HashMap;

use super::findings::Complaint;
use super::keys;
use super::node::{Entry, Node, Span};
use super::reader::{Reader, Setting, item_place};
use super::scalar;
use super::ssh_keys::ssh_keys;
use crate::model::UserSpec;

/// Reads the list of users that `entry` has.
pub(super) fn users(reader: &mut Reader, entry: &Entry) -> Option<Vec<UserSpec>> {
    let items = reader.list(entry)?;
    let mut users: Vec<UserSpec> = Vec::with_capacity(items.len());
    let mut names: HashMap<String, Span> = HashMap::new();
    let mut ids: HashMap<u32, Span> = HashMap::new();
    for node in items {
        let Some((user, name_at, uid_at)) = user(reader, item_place(entry.key.span, node), node) else { continue };
        if let Some(first) = names.insert(user.name.clone(), name_at) {
            let message = format!("the user `{}` is there twice: first in line {}", user.name, reader.line(first));
            reader.complain(name_at, message);
        }
        if let (Some(uid), Some(at)) = (user.uid, uid_at)
            && let Some(first) = ids.insert(uid, at)
        {
            reader.complain(at, format!("the uid {uid} is there twice: first in line {}", reader.line(first)));
        }
        users.push(user);
    }
    (users.len() == items.len()).then_some(users)
}

/// One user, with the places of its name and uid.
fn user(reader: &mut Reader, place: Span, node: &Node) -> Option<(UserSpec, Span, Option<Span>)> {
    let section = reader.section("a user", place, node, &keys::USER)?;
    let name = section.scalar(reader, "name", scalar::user_name);
    let uid = section.scalar(reader, "uid", scalar::uid);
    let shell = section.scalar(reader, "shell", scalar::shell);
    let sudo = section.scalar(reader, "sudo", scalar::truth);
    let ssh_keys = section.setting(reader, "ssh_keys", ssh_keys);
    let name = match name {
        Setting::Given(name) => name,
        Setting::Wrong => return None,
        Setting::Absent => {
            reader.complain(place, Complaint::new("a user needs a `name`").hint("write `{name: NAME}`"));
            return None;
        }
    };
    let user = UserSpec {
        name: name.value,
        uid: uid.value().copied(),
        shell: shell.value().cloned(),
        sudo: sudo.value().copied().unwrap_or(false),
        ssh_keys: ssh_keys.value().cloned().unwrap_or_default(),
    };
    Some((user, name.span, uid.given().map(|uid| uid.span)))
}
