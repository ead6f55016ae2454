//! The guest's own network configuration.
//!
//! The engine gives the links their addresses and routes before PID 1 starts, for every guest. What is written here makes each
//! network manager of the image agree with that, so that none flushes it, asks for another address or fails. A
//! manager that is installed but not enabled gets its file too: it may be enabled later, and unread it does nothing.

use std::path::Path;

use super::GuestError;
use super::edit::{Attributes, Editor};
use super::facts::Renderer;
use crate::model::LinkSpec;
use crate::template::TemplateName;

const PLAIN: Attributes = Attributes::root(0o644);
const DIRECTORY: Attributes = Attributes::root(0o755);

/// Where programs of systemd are, before and after the merge of `/usr`.
const NETWORKD: [&str; 2] = ["/usr/lib/systemd/systemd-networkd", "/lib/systemd/systemd-networkd"];
/// Where an administrator's files for it are.
const NETWORKD_FILES: &str = "/etc/systemd/network";
const IFUPDOWN: [&str; 5] =
    ["/sbin/ifup", "/usr/sbin/ifup", "/etc/init.d/networking", "/lib/systemd/system/networking.service", "/bin/ifup"];
const NETWORK_MANAGER: [&str; 2] = ["/usr/sbin/NetworkManager", "/usr/bin/NetworkManager"];

/// `NetworkManager` keeps off the links that have their addresses from fleet: NetworkManager.conf(5).
fn unmanaged(links: &[LinkSpec]) -> String {
    let ours = links.iter().filter(|link| link.addresses().next().is_some());
    let names: Vec<&str> = ours.map(|link| link.name.as_str()).collect();
    let devices: Vec<String> = names.iter().map(|name| format!("interface-name:{name}")).collect();
    let verb = if names.len() == 1 { "is" } else { "are" };
    format!(
        "# Written by fleet: {} {verb} set up from outside. Changes made here are lost.\n\
         [keyfile]\nunmanaged-devices={}\n",
        names.join(", "),
        devices.join(";")
    )
}

/// Removes what was written of links that are there no more, or have another name.
fn remove_former(editor: &Editor<'_>, written: &[String]) -> Result<(), GuestError> {
    for file_name in editor.list_some(NETWORKD_FILES)? {
        let Some(name) = file_name.to_str() else { continue };
        if !name.starts_with("05-fleet-") || written.iter().any(|own| own == name) {
            continue;
        }
        let path = Path::new(NETWORKD_FILES).join(name);
        if editor.has_our_file(&path)? {
            editor.ensure_absent(&path)?;
        }
    }
    Ok(())
}

/// Writes the configuration of every network manager that the image has.
pub(super) fn ensure_network(editor: &Editor<'_>, renderer: &Renderer<'_>) -> Result<(), GuestError> {
    if editor.has_file(&NETWORKD)? {
        editor.ensure_directory(NETWORKD_FILES, DIRECTORY)?;
        // The first match in the order of names wins: systemd.network(5). Images ship `eth0.network` and the like.
        let mut written = Vec::new();
        for (name, text) in renderer.render_for_links(TemplateName::Networkd)? {
            let file_name = format!("05-fleet-{name}.network");
            editor.ensure_file(Path::new(NETWORKD_FILES).join(&file_name), text, PLAIN)?;
            written.push(file_name);
        }
        remove_former(editor, &written)?;
    }
    if editor.has_directory("/etc/network")? || editor.has_file(&IFUPDOWN)? {
        let text = renderer.render(TemplateName::Interfaces)?;
        editor.ensure_directory("/etc/network", DIRECTORY)?;
        editor.ensure_file("/etc/network/interfaces", text, PLAIN)?;
    }
    if editor.has_file(&NETWORK_MANAGER)? {
        editor.ensure_directory("/etc/NetworkManager/conf.d", DIRECTORY)?;
        // Late in the order of names: a list in a later file replaces one in an earlier file.
        editor.ensure_file("/etc/NetworkManager/conf.d/90-fleet.conf", unmanaged(renderer.links()), PLAIN)?;
    }
    Ok(())
}
