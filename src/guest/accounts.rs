//! The guest's users and groups.

use std::path::PathBuf;

use super::GuestError;
use super::edit::{Attributes, Editor};
use super::table::Table;
use crate::model::{ID_RANGE_LENGTH, UserSpec};

/// Ids that are given to people: login.defs(5) of all distributions.
const USER_IDS: std::ops::Range<u32> = 1_000..60_000;
/// Groups whose members administer the system: Debian's, and everybody else's.
const ADMIN_GROUPS: [&str; 2] = ["sudo", "wheel"];

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
const SHADOW: &str = "/etc/shadow";
const GSHADOW: &str = "/etc/gshadow";

/// Fields by their place in a line.
mod field {
    pub(super) const PASSWORD: usize = 1;
    pub(super) const UID: usize = 2;
    pub(super) const GID: usize = 3;
    pub(super) const HOME: usize = 5;
    pub(super) const SHELL: usize = 6;
    pub(super) const GROUP_GID: usize = 2;
    /// In group(5) and gshadow(5) alike.
    pub(super) const MEMBERS: usize = 3;
}

/// A user of the guest, as its files have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) home: PathBuf,
}

impl Account {
    /// Root of a guest that has no `/etc/passwd`.
    pub(super) fn root() -> Account {
        Account { name: "root".to_owned(), uid: 0, gid: 0, home: PathBuf::from("/root") }
    }
}

/// The files that list users and groups. The shadow files are optional, and not made where there are none.
#[derive(Debug)]
pub(super) struct Accounts {
    passwd: Table,
    group: Table,
    shadow: Option<Table>,
    gshadow: Option<Table>,
}

impl Accounts {
    /// Reads the guest's files.
    pub(super) fn load(editor: &Editor<'_>) -> Result<Accounts, GuestError> {
        let passwd = editor.read(PASSWD)?.unwrap_or_else(|| b"root:x:0:0:root:/root:/bin/sh\n".to_vec());
        let group = editor.read(GROUP)?.unwrap_or_else(|| b"root:x:0:\n".to_vec());
        Ok(Accounts {
            passwd: Table::parse(&passwd, 7),
            group: Table::parse(&group, 4),
            shadow: editor.read(SHADOW)?.map(|bytes| Table::parse(&bytes, 2)),
            gshadow: editor.read(GSHADOW)?.map(|bytes| Table::parse(&bytes, 4)),
        })
    }

    /// Writes the files that differ, the one that makes users exist last.
    pub(super) fn store(&self, editor: &Editor<'_>) -> Result<(), GuestError> {
        editor.ensure_content(GROUP, self.group.to_bytes(), Attributes::root(0o644))?;
        for (path, table) in [(GSHADOW, &self.gshadow), (SHADOW, &self.shadow)] {
            if let Some(table) = table {
                editor.ensure_content(path, table.to_bytes(), Attributes::root(0o600))?;
            }
        }
        editor.ensure_content(PASSWD, self.passwd.to_bytes(), Attributes::root(0o644))
    }

    /// The user `name`, if there is one.
    pub(super) fn find(&self, name: &str) -> Result<Option<Account>, GuestError> {
        let Some(line) = self.passwd.find(name) else { return Ok(None) };
        let home = PathBuf::from(&line[field::HOME]);
        if !home.is_absolute() {
            return Err(GuestError::NoHome { user: name.to_owned(), home });
        }
        let uid = id_of(name, &line[field::UID])?;
        let gid = id_of(name, &line[field::GID])?;
        Ok(Some(Account { name: name.to_owned(), uid, gid, home }))
    }

    /// Adds `user`, whose name is not taken, with a group of its own.
    pub(super) fn add(&mut self, user: &UserSpec, shell: &str) -> Result<Account, GuestError> {
        let name = user.name.as_str();
        let uid = match user.uid {
            Some(uid) => self.check_uid(name, uid)?,
            None => self.free_id(name)?,
        };
        let gid = match self.group.find(name) {
            Some(line) => id_of(name, &line[field::GROUP_GID])?,
            None => self.add_group(name, uid)?,
        };
        let home = format!("/home/{name}");
        // `*` is a password that nothing matches. `!` means locked: sshd without PAM then refuses keys too.
        let password = if self.shadow.is_some() { "x" } else { "*" };
        self.passwd.append(format!("{name}:{password}:{uid}:{gid}::{home}:{shell}"));
        if let Some(shadow) = self.shadow.as_mut().filter(|shadow| shadow.find(name).is_none()) {
            // No date of the last change: passwords do not age, and the same guest gets the same file on any day.
            shadow.append(format!("{name}:*::0:99999:7:::"));
        }
        Ok(Account { name: name.to_owned(), uid, gid, home: PathBuf::from(home) })
    }

    /// Sets the login shell of an existing user.
    pub(super) fn set_shell(&mut self, name: &str, shell: &str) {
        self.passwd.set(name, field::SHELL, shell);
    }

    /// Replaces a lock on the user's password, which some SSH servers take for a lock on the account, by a password
    /// that nothing matches.
    pub(super) fn allow_keys(&mut self, name: &str) {
        let Some(shadow) = &mut self.shadow else { return };
        if shadow.find(name).is_some_and(|line| line[field::PASSWORD].starts_with('!')) {
            shadow.set(name, field::PASSWORD, "*");
        }
    }

    /// Makes the user a member of the guest's group of administrators, if it has one.
    pub(super) fn make_admin(&mut self, name: &str) {
        let Some(group) = ADMIN_GROUPS.into_iter().find(|group| self.group.find(group).is_some()) else { return };
        for table in [Some(&mut self.group), self.gshadow.as_mut()].into_iter().flatten() {
            add_member(table, group, name);
        }
    }

    fn check_uid(&self, user: &str, uid: u32) -> Result<u32, GuestError> {
        match self.passwd.owner_of(uid, field::UID) {
            Some(owner) => Err(GuestError::UidTaken { user: user.to_owned(), uid, owner }),
            None => check_range(user, uid),
        }
    }

    /// The first id that neither a user nor a group has.
    fn free_id(&self, user: &str) -> Result<u32, GuestError> {
        let (uids, gids) = (self.passwd.numbers(field::UID), self.group.numbers(field::GROUP_GID));
        let mut free = USER_IDS.filter(|id| !uids.contains(id) && !gids.contains(id));
        free.next().ok_or_else(|| GuestError::NoFreeId { user: user.to_owned() })
    }

    /// Adds the group `name`, with the id `preferred` if that is free.
    fn add_group(&mut self, name: &str, preferred: u32) -> Result<u32, GuestError> {
        let gid = match self.group.owner_of(preferred, field::GROUP_GID) {
            Some(_) => self.free_id(name)?,
            None => preferred,
        };
        self.group.append(format!("{name}:x:{gid}:"));
        if let Some(gshadow) = self.gshadow.as_mut().filter(|gshadow| gshadow.find(name).is_none()) {
            gshadow.append(format!("{name}:!::"));
        }
        Ok(gid)
    }
}

fn add_member(table: &mut Table, group: &str, name: &str) {
    let Some(line) = table.find(group) else { return };
    let members = &line[field::MEMBERS];
    if members.split(',').any(|member| member == name) {
        return;
    }
    let members = if members.is_empty() { name.to_owned() } else { format!("{members},{name}") };
    table.set(group, field::MEMBERS, &members);
}

/// An id as the guest's files have it. What is not a number is no id of the container either.
fn id_of(user: &str, text: &str) -> Result<u32, GuestError> {
    check_range(user, text.parse().unwrap_or(u32::MAX))
}

fn check_range(user: &str, id: u32) -> Result<u32, GuestError> {
    if id < ID_RANGE_LENGTH { Ok(id) } else { Err(GuestError::IdOutOfRange { user: user.to_owned(), id }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts(passwd: &str, group: &str) -> Accounts {
        Accounts {
            passwd: Table::parse(passwd.as_bytes(), 7),
            group: Table::parse(group.as_bytes(), 4),
            shadow: None,
            gshadow: None,
        }
    }

    fn user(name: &str, uid: Option<u32>) -> UserSpec {
        UserSpec { name: name.to_owned(), uid, shell: None, sudo: false, ssh_keys: Vec::new() }
    }

    #[test]
    fn the_first_id_is_taken_that_is_free_for_user_and_group() {
        let mut accounts = accounts("a:x:1000:1000::/home/a:/bin/sh\n", "a:x:1000:\nb:x:1001:\n");
        let added = accounts.add(&user("dev", None), "/bin/sh").expect("there is room");
        assert_eq!((added.uid, added.gid), (1002, 1002));
        let added = accounts.add(&user("ops", Some(1001)), "/bin/sh").expect("the uid is free");
        assert_eq!((added.uid, added.gid), (1001, 1003));
        let added = accounts.add(&user("b", None), "/bin/sh").expect("the group is there");
        assert_eq!((added.uid, added.gid), (1004, 1001));
        assert_eq!(accounts.passwd.find("dev").expect("added").join(":"), "dev:*:1002:1002::/home/dev:/bin/sh");
    }

    #[test]
    fn ids_outside_the_container_are_refused_wherever_they_come_from() {
        let mut accounts = accounts("dev:x:70000:1000::/home/dev:/bin/sh\nops:x:-1:0::/:/bin/sh\n", "web:x:65536:\n");
        let refused = |result: Result<_, GuestError>| result.err().map(|error| error.to_string());
        let of_dev = "cannot set up user `dev`: id 70000 is outside the container's 0 to 65535";
        assert_eq!(refused(accounts.find("dev").map(drop)).as_deref(), Some(of_dev));
        assert!(accounts.find("ops").is_err());
        assert!(accounts.add(&user("new", Some(65_536)), "/bin/sh").is_err());
        assert!(accounts.add(&user("web", None), "/bin/sh").is_err());
    }

    #[test]
    fn a_uid_of_somebody_else_is_refused() {
        let mut accounts = accounts("ubuntu:x:1000:1000::/home/ubuntu:/bin/sh\n", "");
        let error = accounts.add(&user("dev", Some(1000)), "/bin/sh").expect_err("it is taken");
        insta::assert_snapshot!(error, @"cannot add user `dev`: uid 1000 belongs to `ubuntu`");
    }
}
