//! The users that the fleet file asks for, and the keys that let them and root in.

use super::accounts::{Account, Accounts};
use super::edit::Editor;
use super::facts::Renderer;
use super::{GuestError, home, keys, sshd, sudo};
use crate::model::{GuestSpec, UserSpec};

/// Makes the guest's users what `guest` asks for. Users that it does not name are left alone, and none is removed.
/// Returns remarks for the user.
pub(super) fn ensure_users(
    editor: &Editor<'_>,
    renderer: &Renderer<'_>,
    guest: &GuestSpec,
) -> Result<Vec<String>, GuestError> {
    let mut warnings = Vec::new();
    let mut accounts = Accounts::load(editor)?;
    let mut owners = Vec::new();
    for user in &guest.users {
        owners.push((ensure_user(editor, &mut accounts, user, &mut warnings)?, &user.ssh_keys));
    }
    if !guest.ssh_keys.is_empty() {
        accounts.allow_keys("root");
    }
    if !guest.users.is_empty() || !guest.ssh_keys.is_empty() {
        accounts.store(editor)?;
    }
    owners.push((accounts.find("root")?.unwrap_or_else(Account::root), &guest.ssh_keys));
    for (account, keys) in &owners {
        keys::ensure_keys(editor, account, keys)?;
    }
    if owners.iter().any(|(_, keys)| !keys.is_empty()) && !sshd::has_server(editor)? {
        warnings.push("the image has no SSH server: ssh_keys have no effect until one is installed".to_owned());
    }
    sudo::ensure_sudo(editor, renderer, &guest.users, &mut warnings)?;
    Ok(warnings)
}

fn ensure_user(
    editor: &Editor<'_>,
    accounts: &mut Accounts,
    user: &UserSpec,
    warnings: &mut Vec<String>,
) -> Result<Account, GuestError> {
    if let Some(shell) = user.shell.as_deref().filter(|shell| !shell.is_empty())
        && !editor.has_file(&[shell])?
    {
        warnings.push(format!("`{}` cannot log in: the image has no `{shell}`", user.name));
    }
    let account = match accounts.find(&user.name)? {
        Some(account) => {
            if let Some(uid) = user.uid.filter(|uid| *uid != account.uid) {
                warnings.push(format!("`{}` keeps uid {} instead of {uid}: it exists already", user.name, account.uid));
            }
            if let Some(shell) = &user.shell {
                accounts.set_shell(&user.name, shell);
            }
            account
        }
        None => add_user(editor, accounts, user)?,
    };
    if !user.ssh_keys.is_empty() {
        accounts.allow_keys(&user.name);
    }
    if user.sudo {
        accounts.make_admin(&user.name);
    }
    Ok(account)
}

/// Adds a user and its home. The home comes first: a run that is killed in between finds the user missing, and copies
/// what is still missing of the home.
fn add_user(editor: &Editor<'_>, accounts: &mut Accounts, user: &UserSpec) -> Result<Account, GuestError> {
    let best = if editor.has_file(&["/bin/bash"])? { "/bin/bash" } else { "/bin/sh" };
    let account = accounts.add(user, user.shell.as_deref().unwrap_or(best))?;
    home::ensure_home(editor, &account)?;
    home::copy_skeleton(editor, &account)?;
    Ok(account)
}
