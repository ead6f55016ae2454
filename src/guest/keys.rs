//! The keys that may log in as a user: `~/.ssh/authorized_keys`, sshd(8).

use super::GuestError;
use super::accounts::Account;
use super::edit::{Attributes, Editor, MARK};
use super::home::ensure_home;
use crate::sys::FileKind;

const FILE: &str = "authorized_keys";

/// Makes `keys` the user's authorized keys, and the only ones. Without keys, only a list that fleet wrote is emptied:
/// the image's own stays.
pub(super) fn ensure_keys(editor: &Editor<'_>, account: &Account, keys: &[String]) -> Result<(), GuestError> {
    let directory = account.home.join(".ssh");
    let kind = editor.metadata(&directory)?.map(|now| now.kind);
    if keys.is_empty() && !has_our_keys(editor, account, kind)? {
        return Ok(());
    }
    // Links are not followed here: the user could point one at another user's keys, which root would not notice.
    if kind == Some(FileKind::Symlink) {
        editor.ensure_absent(&directory)?;
    }
    let Account { uid, gid, .. } = *account;
    ensure_home(editor, account)?;
    editor.ensure_directory(&directory, Attributes { mode: 0o700, uid, gid })?;
    // From here on by descriptor: it does not matter what the user puts in the directory's place meanwhile.
    let opened = editor.root().subtree(&directory).map_err(editor.failed("open", &directory))?;
    let not_there = || std::io::Error::from(std::io::ErrorKind::NotADirectory);
    let opened = opened.ok_or_else(not_there).map_err(editor.failed("open", &directory))?;
    opened.own_top(0o700, uid, gid).map_err(editor.failed("change", &directory))?;
    let list = Editor::of_subtree(&opened, &directory);
    list.ensure_file(FILE, content(keys), Attributes { mode: 0o600, uid, gid })
}

fn has_our_keys(editor: &Editor<'_>, account: &Account, kind: Option<FileKind>) -> Result<bool, GuestError> {
    if kind != Some(FileKind::Directory) {
        return Ok(false);
    }
    let path = account.home.join(".ssh").join(FILE);
    let is_file = editor.metadata(&path)?.is_some_and(|now| now.kind == FileKind::File);
    Ok(is_file && editor.has_our_file(&path)?)
}

fn content(keys: &[String]) -> String {
    let lines = keys.iter().map(|key| format!("{}\n", key.trim()));
    std::iter::once(format!("{MARK}. Changes made here are lost.\n")).chain(lines).collect()
}
