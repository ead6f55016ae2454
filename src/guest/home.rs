//! Home directories.

use std::path::Path;

use super::GuestError;
use super::accounts::Account;
use super::edit::{Attributes, Editor};
use crate::sys::FileKind;

const SKELETON: &str = "/etc/skel";
/// Limits of what is copied: the skeleton of a running guest may be of hostile size. Distributions have about five
/// files in it.
const DEEPEST: usize = 8;
const MOST_ENTRIES: usize = 1_000;

/// Makes the user's home directory, if it is not there.
pub(super) fn ensure_home(editor: &Editor<'_>, account: &Account) -> Result<(), GuestError> {
    if let Some(parent) = account.home.parent() {
        editor.ensure_directory(parent, Attributes::root(0o755))?;
    }
    editor.ensure_directory(&account.home, Attributes { mode: 0o700, uid: account.uid, gid: account.gid })
}

/// Copies what the guest has for new homes into the user's, leaving alone what is there.
pub(super) fn copy_skeleton(editor: &Editor<'_>, account: &Account) -> Result<(), GuestError> {
    copy_directory(editor, account, Path::new(SKELETON), &account.home, DEEPEST, &mut { MOST_ENTRIES })
}

/// Gives a new user a home that belongs to root: it was made for something to be mounted on, or is a new volume.
pub(super) fn give_home(editor: &Editor<'_>, account: &Account) -> Result<(), GuestError> {
    let Account { home, uid, gid, .. } = account;
    if editor.metadata(home)?.is_some_and(|now| now.kind == FileKind::Directory && now.uid == 0) && *uid != 0 {
        let opened = editor.root().subtree(home).map_err(editor.failed("open", home))?;
        opened.map_or(Ok(()), |dir| dir.own_top(0o700, *uid, *gid)).map_err(editor.failed("change", home))?;
    }
    Ok(())
}

fn copy_directory(
    editor: &Editor<'_>,
    account: &Account,
    from: &Path,
    to: &Path,
    depth: usize,
    entries: &mut usize,
) -> Result<(), GuestError> {
    for name in editor.list_some(from)? {
        if depth == 0 || *entries == 0 {
            return Ok(());
        }
        *entries -= 1;
        let (from, to) = (from.join(&name), to.join(&name));
        let Some(original) = editor.metadata(&from)? else { continue };
        let attributes = Attributes { mode: original.mode & 0o777, uid: account.uid, gid: account.gid };
        if original.kind == FileKind::Directory {
            editor.ensure_directory(&to, attributes)?;
            copy_directory(editor, account, &from, &to, depth - 1, entries)?;
        } else if editor.metadata(&to)?.is_none() {
            copy_entry(editor, original.kind, &from, &to, attributes)?;
        }
    }
    Ok(())
}

fn copy_entry(
    editor: &Editor<'_>,
    kind: FileKind,
    from: &Path,
    to: &Path,
    attributes: Attributes,
) -> Result<(), GuestError> {
    match kind {
        FileKind::File => {
            // The skeleton's place may be where the guest has put files of the host's that are closed to it.
            let Some(bytes) = editor.read_own(from)? else { return Ok(()) };
            editor.ensure_file(to, bytes, attributes)
        }
        FileKind::Symlink => {
            let target = editor.root().read_link(from).map_err(editor.failed("read link", from))?;
            editor.ensure_link(target, to)
        }
        FileKind::Directory | FileKind::Special => Ok(()),
    }
}
