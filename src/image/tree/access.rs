//! Access control lists of entries: whom they may name, and what names in them mean in this tree.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::str;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::super::acl::{self, Acl, Named, Unknown};
use super::super::below::Below;
use super::super::error::TreeError;
use super::super::pax::damaged;
use super::super::xattrs::{self, Xattr, is_acl};
use super::{NamedAcl, Tree, id};

/// So many entries of lists with names are kept at most while a tree is made: they take memory.
const MOST_NAMED_ENTRIES: usize = 200_000;

/// Longer lists of users or groups than any system has are not read; as much as of a tree's other files.
const LONGEST_DATABASE: u64 = 16 << 20;

/// That the lists among `xattrs` of the entry `path` are well-formed and name nobody whom no container has.
pub(super) fn check(path: &Path, xattrs: &[Xattr]) -> Result<(), TreeError> {
    for (_, value) in xattrs.iter().filter(|(name, _)| is_acl(name.as_bytes())) {
        let acl = Acl::from_binary(value);
        check_ids(path, &acl.ok_or_else(|| TreeError::Damaged(damaged("an access control list is malformed")))?)?;
    }
    Ok(())
}

fn check_ids(path: &Path, acl: &Acl) -> Result<(), TreeError> {
    for named in acl.named() {
        match named {
            Named::User(user) => id(path, "access list's user", user.into())?,
            Named::Group(group) => id(path, "access list's group", group.into())?,
        };
    }
    Ok(())
}

impl Tree {
    /// Keeps the lists with names of what was made as `place`, in place of those of what was there before.
    pub(super) fn remember_named(&mut self, place: &Path, named: &[NamedAcl]) -> Result<(), TreeError> {
        if self.named.is_empty() && named.is_empty() {
            return Ok(());
        }
        for name in [acl::ACCESS, acl::DEFAULT] {
            self.named.remove(&(place.to_owned(), name));
        }
        for (name, acl) in named {
            self.named_entries += acl.len();
            self.named.insert((place.to_owned(), *name), acl.clone());
        }
        if self.named_entries > MOST_NAMED_ENTRIES {
            let what = "with it, too many access lists have names in place of numbers";
            return Err(TreeError::Unsupported { entry: place.display().to_string(), what });
        }
        Ok(())
    }

    /// Writes the lists with names: as numbers, of the users and groups that the tree has now.
    pub(super) fn write_named(&mut self) -> Result<(), TreeError> {
        let named = std::mem::take(&mut self.named);
        if named.is_empty() {
            return Ok(());
        }
        let (users, groups) = (self.database("etc/passwd")?, self.database("etc/group")?);
        let (users, groups) = (numbers(&users), numbers(&groups));
        for ((place, name), acl) in named {
            let unknown = |what, name| TreeError::UnknownName { entry: place.display().to_string(), what, name };
            let resolved =
                acl.resolve(|user| users.get(user.as_bytes()).copied(), |group| groups.get(group.as_bytes()).copied());
            let acl = resolved.map_err(|who| match who {
                Unknown::User(name) => unknown("user", name),
                Unknown::Group(name) => unknown("group", name),
            })?;
            check_ids(&place, &acl)?;
            let value = acl.to_binary().expect("names have become numbers");
            match self.root.open_at(&place, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK) {
                Ok(opened) => {
                    xattrs::write(&opened, &[(name.into(), value)]).map_err(TreeError::write(&place))?;
                }
                // A later entry took its place.
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(TreeError::write(&place)(error)),
            }
        }
        Ok(())
    }

    /// The file `path` of the tree, or of what is below it; empty if there is none.
    fn database(&self, path: &str) -> Result<Vec<u8>, TreeError> {
        let path = Path::new(path);
        let read = || {
            if let Some(content) = self.root.read(path)? {
                return Ok(content);
            }
            let mut content = Vec::new();
            if let Some(Below::File(found)) = self.lower(path)? {
                found.open()?.take(LONGEST_DATABASE).read_to_end(&mut content)?;
            }
            Ok(content)
        };
        read().map_err(TreeError::read(path))
    }
}

/// The numbers that the lines `NAME:…:NUMBER:…` of `database` give names (passwd(5), group(5)).
fn numbers(database: &[u8]) -> HashMap<&[u8], u32> {
    let number = |line: &'_ [u8]| {
        let mut fields = line.split(|byte| *byte == b':');
        let name_length = fields.next()?.len();
        Some((name_length, str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?))
    };
    let mut numbers = HashMap::new();
    for line in database.split(|byte| *byte == b'\n') {
        if let Some((name_length, number)) = number(line) {
            // The first line counts.
            numbers.entry(&line[..name_length]).or_insert(number);
        }
    }
    numbers
}

fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO))
}
