//! Who the guest is and whom it knows: host name, machine id, host table, name servers.

use super::GuestError;
use super::edit::{Attributes, Editor};
use super::facts::Renderer;
use crate::model::MachineId;
use crate::sys::FileKind;
use crate::template::TemplateName;

const PLAIN: Attributes = Attributes::root(0o644);

/// Writes the files that name the guest and its neighbours.
pub(super) fn ensure_names(
    editor: &Editor<'_>,
    renderer: &Renderer<'_>,
    machine_id: &MachineId,
) -> Result<(), GuestError> {
    editor.ensure_directory("/etc", Attributes::root(0o755))?;
    editor.ensure_file("/etc/hostname", renderer.render(TemplateName::Hostname)?, PLAIN)?;
    editor.ensure_file("/etc/hosts", renderer.hosts()?.as_ref(), PLAIN)?;
    // Often a link to a file of systemd-resolved or resolvconf: replaced, as what is behind it is lost at every boot.
    editor.ensure_file("/etc/resolv.conf", renderer.render(TemplateName::ResolvConf)?, PLAIN)?;
    ensure_machine_id(editor, machine_id)
}

/// Writes the machine id. An image's own would be shared by all its containers, and the word `uninitialized` makes
/// systemd turn units on and off by its presets (machine-id(5)).
fn ensure_machine_id(editor: &Editor<'_>, machine_id: &MachineId) -> Result<(), GuestError> {
    editor.ensure_file("/etc/machine-id", format!("{machine_id}\n"), Attributes::root(0o444))?;
    let copy = "/var/lib/dbus/machine-id";
    if editor.metadata(copy)?.is_some_and(|now| now.kind == FileKind::File) {
        editor.ensure_link("/etc/machine-id", copy)?;
    }
    Ok(())
}
