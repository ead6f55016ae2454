//! The users that the fleet file asks for, and the keys that let them and root in.

use super::accounts::{Account, Accounts};
use super::edit::Editor;
use super::facts::Renderer;
use super::mounted_home::Home;
use super::{GuestError, home, keys, sshd, sudo};
use crate::model::{ContainerRecord, UserSpec};

/// Makes the guest's users what `record` asks for. Users that it does not name are left alone, and none is removed.
/// Returns remarks for the user.
pub(super) fn ensure_users(
    editor: &Editor<'_>,
    renderer: &Renderer<'_>,
    record: &ContainerRecord,
) -> Result<Vec<String>, GuestError> {
    let guest = &record.spec.guest;
    let mut warnings = Vec::new();
    let mut accounts = Accounts::load(editor)?;
    let mut owners = Vec::new();
    let across = editor.root().across_mounts().map_err(editor.failed("open", "/"))?;
    let homes = Homes { in_root: editor, mounted: &Editor::new(&across), record };
    for user in &guest.users {
        owners.push((ensure_user(&homes, &mut accounts, user, &mut warnings)?, &user.ssh_keys));
    }
    if !guest.ssh_keys.is_empty() {
        accounts.allow_keys("root");
    }
    if !guest.users.is_empty() || !guest.ssh_keys.is_empty() {
        accounts.store(editor)?;
    }
    owners.push((accounts.find("root")?.unwrap_or_else(Account::root), &guest.ssh_keys));
    for (account, keys) in &owners {
        match homes.editor_for(account) {
            Ok(editor) => keys::ensure_keys(editor, account, keys)?,
            Err(remark) if !keys.is_empty() || account.name != "root" => warnings.push(remark),
            // Nothing was to be written.
            Err(_) => {}
        }
    }
    if owners.iter().any(|(_, keys)| !keys.is_empty()) && !sshd::has_server(editor)? {
        warnings.push("the image has no SSH server: ssh_keys have no effect until one is installed".to_owned());
    }
    sudo::ensure_sudo(editor, renderer, &guest.users, &mut warnings)?;
    Ok(warnings)
}

/// Who writes in which home.
struct Homes<'a> {
    /// Does not leave the root file system.
    in_root: &'a Editor<'a>,
    /// Enters what is mounted.
    mounted: &'a Editor<'a>,
    record: &'a ContainerRecord,
}

impl Homes<'_> {
    /// The one for that of `account`, or a remark on why nobody writes there.
    fn editor_for(&self, account: &Account) -> Result<&Editor<'_>, String> {
        match Home::of(account, self.record) {
            Home::InRoot => Ok(self.in_root),
            Home::InOwn | Home::InHosts => Ok(self.mounted),
            Home::Closed(remark) => Err(remark),
        }
    }
}

fn ensure_user(
    homes: &Homes<'_>,
    accounts: &mut Accounts,
    user: &UserSpec,
    warnings: &mut Vec<String>,
) -> Result<Account, GuestError> {
    if let Some(shell) = user.shell.as_deref().filter(|shell| !shell.is_empty())
        && !homes.in_root.has_file(&[shell])?
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
        None => add_user(homes, accounts, user)?,
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
fn add_user(homes: &Homes<'_>, accounts: &mut Accounts, user: &UserSpec) -> Result<Account, GuestError> {
    let best = if homes.in_root.has_file(&["/bin/bash"])? { "/bin/bash" } else { "/bin/sh" };
    let account = accounts.add(user, user.shell.as_deref().unwrap_or(best))?;
    // Why nobody writes in a home is remarked with its keys.
    if let Ok(editor) = homes.editor_for(&account) {
        home::ensure_home(editor, &account)?;
        home::copy_skeleton(editor, &account)?;
        if Home::of(&account, homes.record) != Home::InHosts {
            home::give_home(editor, &account)?;
        }
    }
    Ok(account)
}
