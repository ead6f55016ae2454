//! Who a command is run as, by the guest's own passwd(5) and group(5): never by the host's.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use crate::model::{ID_RANGE_LENGTH, IdOrName, UserChoice};
use crate::sys::RootDir;

/// The shell where a user has none.
pub(super) const PLAIN_SHELL: &str = "/bin/sh";

/// A user of the guest, with all that a command run as it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Supplementary groups.
    pub(super) groups: Vec<u32>,
    /// `None` for a bare number.
    pub(super) name: Option<OsString>,
    pub(super) home: OsString,
    pub(super) shell: OsString,
}

impl Login {
    fn root() -> Login {
        Login {
            uid: 0,
            gid: 0,
            groups: Vec::new(),
            name: Some("root".into()),
            home: "/root".into(),
            shell: PLAIN_SHELL.into(),
        }
    }

    /// Finds out who `choice` is. The caller is inside: the guest's root is its root.
    pub(super) fn look_up(choice: Option<&UserChoice>) -> Result<Login, String> {
        let read = |path: &str| -> Result<Vec<u8>, String> {
            // A guest may have made them pipes, links into /proc, or endless.
            let bytes = RootDir::open(Path::new("/")).and_then(|root| root.read(Path::new(path)));
            Ok(bytes.map_err(|error| format!("cannot read the container's `{path}`: {error}"))?.unwrap_or_default())
        };
        if let Some(choice) = choice {
            return resolve(choice, &read("/etc/passwd")?, &read("/etc/group")?);
        }
        // Root must get in to mend what is broken.
        let root = UserChoice { user: IdOrName::Id(0), group: None };
        let found = read("/etc/passwd").and_then(|passwd| resolve(&root, &passwd, &read("/etc/group")?));
        Ok(found.ok().filter(|login| login.name.is_some()).unwrap_or_else(Login::root))
    }
}

/// Who `choice` is in the files with the content `passwd` and `group`, as docker-exec(1) has it: a number needs no
/// line, and then has group 0; with a group of its own choosing, a user is in no other.
pub(super) fn resolve(choice: &UserChoice, passwd: &[u8], group: &[u8]) -> Result<Login, String> {
    let user = lines(passwd, 6).find(|fields| is(&choice.user, fields));
    let mut login = match (user, &choice.user) {
        (Some(fields), _) => from_line(&fields)?,
        (None, IdOrName::Id(uid)) => Login { uid: *uid, name: None, home: "/".into(), ..Login::root() },
        (None, IdOrName::Name(name)) => return Err(format!("the container has no user `{name}`")),
    };
    match &choice.group {
        Some(group_choice) => login.gid = group_id(group_choice, group)?,
        None => login.groups = groups_of(&login, group),
    }
    Ok(login)
}

fn from_line(fields: &[&[u8]]) -> Result<Login, String> {
    let text = |field: usize| OsString::from_vec(fields.get(field).copied().unwrap_or_default().to_vec());
    let name = text(0);
    let id = |field: usize| {
        number(fields[field]).ok_or_else(|| format!("the container's user `{}` has no usable id", name.display()))
    };
    let or = |text: OsString, default: &str| if text.is_empty() { default.into() } else { text };
    Ok(Login {
        uid: id(2)?,
        gid: id(3)?,
        groups: Vec::new(),
        home: or(text(5), "/"),
        shell: or(text(6), PLAIN_SHELL),
        name: Some(name),
    })
}

fn group_id(choice: &IdOrName, group: &[u8]) -> Result<u32, String> {
    let name = match choice {
        IdOrName::Id(gid) => return Ok(*gid),
        IdOrName::Name(name) => name,
    };
    let fields = lines(group, 3).find(|fields| is(choice, fields));
    let fields = fields.ok_or_else(|| format!("the container has no group `{name}`"))?;
    number(fields[2]).ok_or_else(|| format!("the container's group `{name}` has no usable id"))
}

/// The groups that list the user as a member, and its own.
fn groups_of(login: &Login, group: &[u8]) -> Vec<u32> {
    let Some(name) = &login.name else { return Vec::new() };
    let lists_it = |fields: &Vec<&[u8]>| {
        fields.get(3).is_some_and(|members| members.split(|byte| *byte == b',').any(|one| one == name.as_bytes()))
    };
    let mut groups: Vec<u32> = lines(group, 3).filter(lists_it).filter_map(|fields| number(fields[2])).collect();
    groups.push(login.gid);
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// The fields of each line that has at least `least` of them. A line with a NUL could become no variable.
fn lines(text: &[u8], least: usize) -> impl Iterator<Item = Vec<&[u8]>> {
    text.split(|byte| *byte == b'\n')
        .filter(|line| !line.contains(&0))
        .map(|line| line.split(|byte| *byte == b':').collect::<Vec<_>>())
        .filter(move |fields| fields.len() >= least)
}

fn is(choice: &IdOrName, fields: &[&[u8]]) -> bool {
    match choice {
        IdOrName::Id(id) => number(fields[2]) == Some(*id),
        IdOrName::Name(name) => fields[0] == name.as_bytes(),
    }
}

/// An id that a container can have.
fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok().filter(|id| *id < ID_RANGE_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/ash\n\
        # dev:x:1:1::/:\n\
        dev:x:1000:1000:Dev,,,:/home/dev:/bin/bash\n\
        bare:x:1001:100::\n\
        far:x:70000:100::/:/bin/sh\n";
    const GROUP: &[u8] = b"root:x:0:root\nwheel:x:10:root,dev\ndevs:x:1000:\nfar:x:99999:dev\nusers:x:100:devs,other\n";

    fn found(text: &str) -> Result<Login, String> {
        resolve(&text.parse().expect("a user"), PASSWD, GROUP)
    }

    #[test]
    fn a_user_has_its_groups_home_and_shell() {
        let dev = Login {
            uid: 1000,
            gid: 1000,
            groups: vec![10, 1000],
            name: Some("dev".into()),
            home: "/home/dev".into(),
            shell: "/bin/bash".into(),
        };
        assert_eq!(found("dev"), Ok(dev.clone()));
        assert_eq!(found("1000"), Ok(dev.clone()));
        assert_eq!(found("dev:users"), Ok(Login { gid: 100, groups: vec![], ..dev }));
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let bare = found("bare").expect("it is listed");
        assert_eq!((bare.home, bare.shell, bare.groups), ("/".into(), "/bin/sh".into(), vec![100]));
        let unlisted = found("1234").expect("a number needs no line");
        assert_eq!((unlisted.uid, unlisted.gid, unlisted.name, unlisted.home), (1234, 0, None, "/".into()));
    }

    #[test]
    fn who_is_not_listed_or_out_of_range_is_refused() {
        assert_eq!(found("nobody"), Err("the container has no user `nobody`".into()));
        assert_eq!(found("dev:nobody"), Err("the container has no group `nobody`".into()));
        assert_eq!(found("far"), Err("the container's user `far` has no usable id".into()));
        assert_eq!(found("dev:far"), Err("the container's group `far` has no usable id".into()));
    }
}
