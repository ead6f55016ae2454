//! The SSH server's host keys.

use super::edit::{Attributes, Editor};
use super::{GuestError, HostKey, Occasion};

const DIRECTORY: &str = "/etc/ssh";
const PRIVATE: &str = "ssh_host_ed25519_key";
const PUBLIC: &str = "ssh_host_ed25519_key.pub";

/// Where the SSH servers are that are known: OpenSSH's, and dropbear.
const SERVERS: [&str; 4] = ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/sbin/dropbear", "/usr/bin/dropbear"];

/// Writes the host key of a guest that has OpenSSH. Before the first start the image's own host keys go: every
/// container made from the image would have them, and so would whoever has the image.
pub(super) fn ensure_host_key(editor: &Editor<'_>, key: &HostKey, occasion: Occasion) -> Result<(), GuestError> {
    if !editor.has_directory(DIRECTORY)? {
        return Ok(());
    }
    match occasion {
        Occasion::FirstStart => remove_other_keys(editor)?,
        Occasion::Change => {}
    }
    editor.ensure_file(format!("{DIRECTORY}/{PRIVATE}"), &key.private, Attributes::root(0o600))?;
    editor.ensure_file(format!("{DIRECTORY}/{PUBLIC}"), format!("{}\n", key.public), Attributes::root(0o644))
}

fn remove_other_keys(editor: &Editor<'_>) -> Result<(), GuestError> {
    for name in editor.list(DIRECTORY)? {
        let Some(text) = name.to_str() else { continue };
        let stem = text.strip_suffix(".pub").unwrap_or(text);
        let is_host_key = stem.starts_with("ssh_host_") && stem.ends_with("_key");
        if is_host_key && text != PRIVATE && text != PUBLIC {
            editor.ensure_absent(format!("{DIRECTORY}/{text}"))?;
        }
    }
    Ok(())
}

/// Whether the image has an SSH server that keys can be used with.
pub(super) fn has_server(editor: &Editor<'_>) -> Result<bool, GuestError> {
    editor.has_file(&SERVERS)
}
