//! Compares what is written into a guest with what is asked for.

use std::net::IpAddr;

use super::compare::{Differences, Remedy};
use crate::model::GuestSpec;

pub(super) fn compare(found: &mut Differences, old: &GuestSpec, new: &GuestSpec) {
    let GuestSpec { hostname, machine_id, users, ssh_keys, dns, templates } = new;
    // The kernel has the host name of a running guest; its file is read at the start.
    found.compare(Remedy::ConfigureAndRestart, "hostname", &old.hostname, hostname);
    found.compare(Remedy::Configure, "machine_id", &old.machine_id, machine_id);
    let before: Vec<_> = old.users.iter().map(|user| (user.name.clone(), user)).collect();
    let after: Vec<_> = users.iter().map(|user| (user.name.clone(), user)).collect();
    found.compare_named(Remedy::Configure, "users", &before, &after);
    if old.ssh_keys != *ssh_keys {
        found.note(Remedy::Configure, "ssh_keys changed");
    }
    found.compare(Remedy::Configure, "dns", &addresses(&old.dns), &addresses(dns));
    let before: Vec<_> = old.templates.iter().map(|(name, text)| (name.clone(), text)).collect();
    let after: Vec<_> = templates.iter().map(|(name, text)| (name.clone(), text)).collect();
    found.compare_named(Remedy::Configure, "templates", &before, &after);
}

fn addresses(list: &[IpAddr]) -> String {
    let words: Vec<String> = list.iter().map(ToString::to_string).collect();
    if words.is_empty() { "of the host".to_owned() } else { words.join(" ") }
}
