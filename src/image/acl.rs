//! POSIX access control lists: as tar archives write them (acl(5), "long text form"), and as the kernel takes them
//! (`linux/posix_acl_xattr.h`).
//!
//! GNU tar writes an entry a line, with names or, if asked, with numbers; libarchive and star put commas between them, and a
//! number behind each name: `user:lisa:rwx:502`.

use std::str;

/// The attributes that the kernel takes them in.
pub(super) const ACCESS: &str = "system.posix_acl_access";
pub(super) const DEFAULT: &str = "system.posix_acl_default";

/// `POSIX_ACL_XATTR_VERSION`, which stands first, and the length of each entry behind it.
const VERSION: u32 = 2;
const ENTRY: usize = 8;

/// More entries than an attribute has room for (`XATTR_SIZE_MAX`), and longer names than users have (`LOGIN_NAME_MAX`).
const MOST_ENTRIES: usize = (65_536 - 4) / ENTRY;
const LONGEST_NAME: usize = 256;

/// What stands for the id of whoever needs none (`ACL_UNDEFINED_ID`).
const NO_ID: u32 = u32::MAX;

/// Whom an entry is for. In the order that the kernel wants, with its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tag {
    Owner = 0x01,
    User = 0x02,
    OwningGroup = 0x04,
    Group = 0x08,
    Mask = 0x10,
    Others = 0x20,
}

impl Tag {
    const ALL: [Tag; 6] = [Tag::Owner, Tag::User, Tag::OwningGroup, Tag::Group, Tag::Mask, Tag::Others];

    /// Whether its entries are of users or groups that they name.
    fn is_named(self) -> bool {
        matches!(self, Tag::User | Tag::Group)
    }
}

/// Who is meant by an entry for a user or group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Number(u32),
    /// As the tree's own `/etc/passwd` or `/etc/group` says.
    Name(String),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    tag: Tag,
    who: Option<Who>,
    /// Read 4, write 2, execute 1.
    permissions: u8,
}

/// An access control list that is complete and says nothing twice, though it may have names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Acl(Vec<Entry>);

/// Names that nothing is known of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// A user.
    User(String),
    /// A group.
    Group(String),
}

/// A user or group that a list names by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// A user.
    User(u32),
    /// A group.
    Group(u32),
}

impl Acl {
    /// Reads what an archive says; `None` if it is malformed.
    pub(super) fn parse(text: &[u8]) -> Option<Acl> {
        let text = str::from_utf8(text).ok()?;
        let mut entries = Vec::new();
        for line in text.split('\n') {
            let line = line.split('#').next().unwrap_or_default();
            for entry in line.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
                entries.push(Entry::parse(entry)?);
            }
        }
        Acl::new(entries)
    }

    /// Reads what the kernel gives; `None` if it is malformed.
    pub(super) fn from_binary(value: &[u8]) -> Option<Acl> {
        let (version, rest) = value.split_first_chunk()?;
        if u32::from_le_bytes(*version) != VERSION || rest.len() % ENTRY != 0 {
            return None;
        }
        Acl::new(rest.chunks_exact(ENTRY).map(Entry::from_binary).collect::<Option<_>>()?)
    }

    fn new(mut entries: Vec<Entry>) -> Option<Acl> {
        entries.sort();
        if entries.len() > MOST_ENTRIES {
            return None;
        }
        let count = |tag| entries.iter().filter(|entry| entry.tag == tag).count();
        let has_all = [Tag::Owner, Tag::OwningGroup, Tag::Others].iter().all(|tag| count(*tag) == 1);
        // Whoever is named has at most what the mask says.
        let has_mask = count(Tag::Mask) == 1 || (count(Tag::Mask) + count(Tag::User) + count(Tag::Group)) == 0;
        let is_repeated = |pair: &[Entry]| (pair[0].tag, &pair[0].who) == (pair[1].tag, &pair[1].who);
        (has_all && has_mask && !entries.windows(2).any(is_repeated)).then_some(Acl(entries))
    }

    /// The same with numbers alone: `user` and `group` know those of names.
    pub(super) fn resolve(
        self,
        user: impl Fn(&str) -> Option<u32>,
        group: impl Fn(&str) -> Option<u32>,
    ) -> Result<Acl, Unknown> {
        let mut entries = Vec::with_capacity(self.0.len());
        for entry in self.0 {
            let who = match (entry.tag, entry.who) {
                (Tag::User, Some(Who::Name(name))) => Some(user(&name).ok_or(Unknown::User(name))?),
                (_, Some(Who::Name(name))) => Some(group(&name).ok_or(Unknown::Group(name))?),
                (_, Some(Who::Number(number))) => Some(number),
                (_, None) => None,
            };
            entries.push(Entry { who: who.map(Who::Number), ..entry });
        }
        // Two names of one user are one entry, the first.
        entries.sort();
        entries.dedup_by(|later, first| (later.tag, &later.who) == (first.tag, &first.who));
        Ok(Acl(entries))
    }

    /// As the kernel takes it; `None` if it has names.
    pub(super) fn to_binary(&self) -> Option<Vec<u8>> {
        let mut value = VERSION.to_le_bytes().to_vec();
        for entry in &self.0 {
            let id = match entry.who {
                Some(Who::Number(number)) => number,
                Some(Who::Name(_)) => return None,
                None => NO_ID,
            };
            value.extend((entry.tag as u16).to_le_bytes());
            value.extend(u16::from(entry.permissions).to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        Some(value)
    }

    /// As archives write it, with numbers; those that it has.
    pub(super) fn to_text(&self) -> String {
        self.0.iter().map(Entry::to_text).collect::<Vec<_>>().join(",")
    }

    /// How many entries it has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whom it names by number.
    pub(super) fn named(&self) -> impl Iterator<Item = Named> {
        self.0.iter().filter_map(|entry| match (entry.tag, &entry.who) {
            (Tag::User, Some(Who::Number(number))) => Some(Named::User(*number)),
            (Tag::Group, Some(Who::Number(number))) => Some(Named::Group(*number)),
            _ => None,
        })
    }
}

impl Entry {
    fn parse(text: &str) -> Option<Entry> {
        let fields: Vec<&str> = text.split(':').map(str::trim).collect();
        let (tag, who, permissions, number) = match fields[..] {
            // Solaris leaves out the field that is empty in any case.
            [tag @ ("mask" | "m" | "other" | "o"), permissions] => (tag, "", permissions, None),
            [tag, who, permissions] => (tag, who, permissions, None),
            [tag, who, permissions, number] => (tag, who, permissions, Some(number)),
            _ => return None,
        };
        let tag = match (tag, who.is_empty()) {
            ("user" | "u", true) => Tag::Owner,
            ("user" | "u", false) => Tag::User,
            ("group" | "g", true) => Tag::OwningGroup,
            ("group" | "g", false) => Tag::Group,
            ("mask" | "m", true) => Tag::Mask,
            ("other" | "o", true) => Tag::Others,
            _ => return None,
        };
        let who = match number.or(Some(who).filter(|who| is_number(who))) {
            None if tag.is_named() => Some(Who::Name(Some(who).filter(|who| who.len() <= LONGEST_NAME)?.to_owned())),
            Some(number) if tag.is_named() => Some(Who::Number(number.parse().ok().filter(|id| *id != NO_ID)?)),
            None => None,
            Some(_) => return None,
        };
        Some(Entry { tag, who, permissions: permissions_of(permissions)? })
    }

    fn from_binary(entry: &[u8]) -> Option<Entry> {
        let (tag, rest) = entry.split_first_chunk()?;
        let (permissions, rest) = rest.split_first_chunk()?;
        let (tag, id) = (u16::from_le_bytes(*tag), u32::from_le_bytes(*rest.first_chunk()?));
        let permissions = u8::try_from(u16::from_le_bytes(*permissions)).ok().filter(|bits| *bits <= 7)?;
        let tag = Tag::ALL.into_iter().find(|known| *known as u16 == tag)?;
        if tag.is_named() && id == NO_ID {
            return None;
        }
        Some(Entry { tag, who: tag.is_named().then_some(Who::Number(id)), permissions })
    }

    fn to_text(&self) -> String {
        let tag = match self.tag {
            Tag::Owner | Tag::User => "user",
            Tag::OwningGroup | Tag::Group => "group",
            Tag::Mask => "mask",
            Tag::Others => "other",
        };
        let who = match &self.who {
            None => String::new(),
            Some(Who::Number(number)) => number.to_string(),
            Some(Who::Name(name)) => name.clone(),
        };
        let letter = |bit, letter| if self.permissions & bit == 0 { '-' } else { letter };
        format!("{tag}:{who}:{}{}{}", letter(4, 'r'), letter(2, 'w'), letter(1, 'x'))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn permissions_of(text: &str) -> Option<u8> {
    let mut bits = 0;
    for letter in text.bytes() {
        let bit = match letter {
            b'r' => 4,
            b'w' => 2,
            b'x' => 1,
            b'-' => 0,
            _ => return None,
        };
        if bit != 0 && bits & bit != 0 {
            return None;
        }
        bits |= bit;
    }
    (1..=3).contains(&text.len()).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_it_means_the_same() {
        let numbers = "user::rw-,user:7:r--,group::r--,group:8:rwx,mask::rwx,other::---";
        let parsed = Acl::parse(numbers.as_bytes()).expect("well formed");
        for same in [
            "user::rw-\nuser:7:r--\t#effective:r--\ngroup::r--\ngroup:8:rwx\nmask::rwx\nother::---\n",
            "o:---,m:rwx,g:8:rwx,g::r--,u:7:r,u::rw",
            "user::rw-,user:lisa:r--:7,group::r--,group:staff:rwx:8,mask::rwx,other::---",
        ] {
            assert_eq!(Acl::parse(same.as_bytes()).as_ref(), Some(&parsed), "{same}");
        }
        assert_eq!(parsed.to_text(), numbers);
        let binary = parsed.to_binary().expect("it has no names");
        assert_eq!(binary.len(), 4 + 6 * ENTRY);
        assert_eq!(&binary[..20], [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 7, 0, 0, 0]);
        assert_eq!(Acl::from_binary(&binary), Some(parsed));
    }

    #[test]
    fn names_are_looked_up() {
        let text = b"user::rwx,user:lisa:r--,group::r--,group:staff:r--,mask::r--,other::---";
        let acl = Acl::parse(text).expect("well formed");
        assert_eq!(acl.to_binary(), None);
        let resolved = acl.clone().resolve(|name| (name == "lisa").then_some(7), |_| Some(8)).expect("known");
        assert_eq!(resolved.to_text(), "user::rwx,user:7:r--,group::r--,group:8:r--,mask::r--,other::---");
        assert_eq!(acl.clone().resolve(|_| None, |_| Some(8)), Err(Unknown::User("lisa".to_owned())));
        assert_eq!(acl.resolve(|_| Some(7), |_| None), Err(Unknown::Group("staff".to_owned())));
    }

    #[test]
    fn what_is_malformed_is_none() {
        for text in [
            "",
            "user::rw-",
            "user::rw-,group::r--",
            "user::rw-,user::rw-,group::r--,other::r--",
            "user::rw-,user:7:r--,group::r--,other::r--",
            "user::rw-,user:7:r--,user:7:rwx,group::r--,mask::r--,other::r--",
            "user::rwz,group::r--,other::r--",
            "user::rrr,group::r--,other::r--",
            "user::,group::r--,other::r--",
            "user::rwx-,group::r--,other::r--",
            "user:4294967295:r--,user::rw-,group::r--,mask::r--,other::r--",
            "user:99999999999:r--,user::rw-,group::r--,mask::r--,other::r--",
            "user:lisa:r--:many,user::rw-,group::r--,mask::r--,other::r--",
            "user::rw-:7,group::r--,other::r--",
            "default:user::rw-:7:8,group::r--,other::r--",
            "mask:7:rw-,user::rw-,group::r--,other::r--",
        ] {
            assert_eq!(Acl::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Acl::parse(b"\xff"), None);
        let good = Acl::parse(b"user::rw-,group::r--,other::r--").and_then(|acl| acl.to_binary()).expect("well formed");
        assert!(Acl::from_binary(&good).is_some());
        for (place, byte) in [(0, 3), (4, 3), (6, 9)] {
            let mut bad = good.clone();
            bad[place] = byte;
            assert_eq!(Acl::from_binary(&bad), None);
        }
        assert_eq!(Acl::from_binary(&good[..good.len() - 1]), None);
        assert_eq!(Acl::from_binary(&good[..20]), None);
        assert_eq!(Acl::from_binary(&[]), None);
    }
}
