//! What images in the packing of LXC leave to whoever makes the container: the word `LXC_NAME` in place of its name.
//!
//! `/etc/hostname` and `/etc/hosts` have it too; fleet writes those whole. The files here are those that the image server's
//! own definitions name in `templates` (lxc-ci, `generators: hostname, hosts, …`).

use super::GuestError;
use super::edit::{Attributes, Editor};
use super::facts::Renderer;
use crate::template::TemplateName;

const FILES: [&str; 4] =
    ["/etc/HOSTNAME", "/etc/conf.d/hostname", "/etc/sysconfig/network", "/etc/sysconfig/network-scripts/ifcfg-eth0"];

const NAME: &str = "LXC_NAME";

/// Fills in the guest's host name.
pub(super) fn fill_in(editor: &Editor<'_>, renderer: &Renderer<'_>) -> Result<(), GuestError> {
    for path in FILES {
        // One that cannot be read as text is none that the definitions make.
        let Some(text) = editor.read(path)?.and_then(|bytes| String::from_utf8(bytes).ok()) else { continue };
        if text.contains(NAME) {
            let hostname = renderer.render(TemplateName::Hostname)?;
            editor.ensure_content(path, text.replace(NAME, hostname.trim()), Attributes::root(0o644))?;
        }
    }
    Ok(())
}
