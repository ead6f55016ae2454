//! The right to become root without a password: sudoers(5), doas.conf(5).

use super::GuestError;
use super::edit::{Attributes, Editor, is_ours};
use super::facts::Renderer;
use crate::model::UserSpec;
use crate::template::TemplateName;

const SUDO: [&str; 1] = ["/usr/bin/sudo"];
const DOAS: [&str; 2] = ["/usr/bin/doas", "/bin/doas"];

const SUDOERS: &str = "/etc/sudoers.d";
/// Begins the name of each of our files; sudo skips names with a dot, which no user name has.
const PREFIX: &str = "90-fleet-";

/// Gives the right to those of `users` that have `sudo`, and takes it from all to whom an earlier run gave it.
pub(super) fn ensure_sudo(
    editor: &Editor<'_>,
    renderer: &Renderer<'_>,
    users: &[UserSpec],
    warnings: &mut Vec<String>,
) -> Result<(), GuestError> {
    let admins: Vec<&str> = users.iter().filter(|user| user.sudo).map(|user| user.name.as_str()).collect();
    remove_others(editor, &admins)?;
    let has_sudo = editor.has_file(&SUDO)?;
    if has_sudo && !admins.is_empty() {
        editor.ensure_directory(SUDOERS, Attributes::root(0o750))?;
        for name in &admins {
            let text = renderer.render_for(TemplateName::Sudoers, name)?;
            editor.ensure_file(format!("{SUDOERS}/{PREFIX}{name}"), text, Attributes::root(0o440))?;
        }
    }
    let has_doas = editor.has_file(&DOAS)?;
    let doas_works = has_doas && ensure_doas(editor, renderer, !admins.is_empty())?;
    if !has_sudo && !doas_works {
        let why = if has_doas { "`/etc/doas.conf` is the image's own" } else { "the image has neither sudo nor doas" };
        warnings.extend(admins.iter().map(|name| format!("`{name}` gets no sudo: {why}")));
    }
    Ok(())
}

fn remove_others(editor: &Editor<'_>, admins: &[&str]) -> Result<(), GuestError> {
    for name in editor.list(SUDOERS)? {
        let Some(text) = name.to_str() else { continue };
        if text.strip_prefix(PREFIX).is_some_and(|user| !admins.contains(&user)) {
            editor.ensure_absent(format!("{SUDOERS}/{text}"))?;
        }
    }
    Ok(())
}

/// Writes the rules of doas; false if the only place for them is somebody else's.
fn ensure_doas(editor: &Editor<'_>, renderer: &Renderer<'_>, is_wanted: bool) -> Result<bool, GuestError> {
    // Alpine's doas reads a directory, the others' know one file.
    let path = if editor.has_directory("/etc/doas.d")? { "/etc/doas.d/fleet.conf" } else { "/etc/doas.conf" };
    let now = editor.read(path)?;
    if now.is_none() && !is_wanted {
        return Ok(true);
    }
    let text = renderer.render(TemplateName::Doas)?;
    let may_write = path != "/etc/doas.conf" || now.is_none_or(|now| is_ours(&now) || now == text.as_bytes());
    if may_write {
        editor.ensure_file(path, text, Attributes::root(0o600))?;
    }
    Ok(may_write)
}
