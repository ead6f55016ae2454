//! What is mounted in a mount namespace, as the kernel tells it (`proc_pid_mountinfo(5)`).
//!
//! A guest's paths are in it: anything may stand there but NUL, and what would break a line is escaped.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// How much of it is read, in bytes. A guest may mount 100 000 times (`fs.mount-max`); what lies behind this is as if
/// it were not mounted.
const LONGEST: u64 = 16 << 20;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Unique among those that are mounted; another may get it later.
    pub(super) id: u64,
    /// That of the mount which it is mounted on.
    pub(super) parent: u64,
    /// `MAJOR:MINOR` of the file system.
    pub(super) device: String,
    /// Where it is, as the process that was asked about sees it.
    pub(super) place: PathBuf,
    /// What may be done in it: `rw,nodev,relatime`.
    pub(super) options: String,
    /// The options of its file system, which all of its mounts share.
    pub(super) shared_options: String,
}

/// The mounts of one mount namespace.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    /// Each behind the one it is mounted on, later ones behind earlier ones.
    all: Vec<Mount>,
    /// Where in `all` those are that are mounted on the one with that id. A guest may have mounted on each other as many
    /// as there can be: to look through all of them for each would take minutes.
    on: HashMap<u64, Vec<usize>>,
    /// Where in `all` the one is that is mounted on none of them.
    top: Option<usize>,
}

/// The mounts that process `pid` sees.
pub(super) fn read(pid: u32) -> io::Result<Mounts> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/mountinfo"))?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(Mounts::parse(&bytes))
}

impl Mounts {
    /// Parses the content of a mountinfo file. Lines of another form are left out.
    pub(super) fn parse(bytes: &[u8]) -> Mounts {
        let all: Vec<Mount> = bytes.split(|byte| *byte == b'\n').filter_map(parse_line).collect();
        let mut on: HashMap<u64, Vec<usize>> = HashMap::new();
        for (number, mount) in all.iter().enumerate() {
            on.entry(mount.parent).or_default().push(number);
        }
        let ids: HashSet<u64> = all.iter().map(|mount| mount.id).collect();
        let is_top = |mount: &Mount| mount.place == Path::new("/") && !ids.contains(&mount.parent);
        let top = all.iter().position(is_top);
        Mounts { all, on, top }
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Mount] {
        &self.all
    }

    /// Those that are mounted on the one with that id.
    fn on(&self, id: u64) -> impl Iterator<Item = &Mount> {
        self.on.get(&id).into_iter().flatten().map(|number| &self.all[*number])
    }

    /// The mount that a look-up of `place` ends in, with no links on the way.
    pub(super) fn seen_at(&self, place: &Path) -> Option<&Mount> {
        let mut found = &self.all[self.top?];
        // Each step goes deeper; the bound is for a file that no kernel wrote.
        for _ in 0..self.all.len() {
            let here = self.on(found.id).filter(|mount| mount.id != found.id);
            // A look-up begins in the root itself, not in what was mounted over it.
            let here = here.filter(|mount| mount.place != Path::new("/") && place.starts_with(&mount.place));
            match here.min_by_key(|mount| mount.place.as_os_str().as_bytes().len()) {
                Some(next) => found = next,
                None => break,
            }
        }
        Some(found)
    }

    /// How many mounts of the same place are on top of `mount`.
    pub(super) fn count_above(&self, mount: &Mount) -> usize {
        let (mut top, mut count) = (mount.id, 0);
        let next = |below: u64| self.on(below).find(|one| one.place == mount.place);
        while let Some(above) = next(top).filter(|_| count < self.all.len()) {
            (top, count) = (above.id, count + 1);
        }
        count
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`.
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut next = || fields.next();
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let (id, parent, device, _) = (number(next()?)?, number(next()?)?, text(next()?), next()?);
    let (place, options) = (unescape(next()?), text(next()?));
    fields.find(|field| *field == b"-")?;
    let shared_options = text(fields.nth(2)?);
    Some(Mount { id, parent, device, place: OsString::from_vec(place).into(), options, shared_options })
}

/// Undoes what the kernel does to spaces and the like: `\\040`, three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        let escaped = (*first == b'\\').then(|| behind.first_chunk().copied().and_then(octal)).flatten();
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &behind[3..] } else { behind };
    }
    bytes
}

fn octal(digits: [u8; 3]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(&digits).ok().filter(|text| !text.starts_with('+'))?, 8).ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// `ID PARENT PLACE` lines as mounts.
    fn mounts(lines: &[(u64, u64, &str)]) -> Mounts {
        let line = |(id, parent, place): &(u64, u64, &str)| format!("{id} {parent} 0:7 / {place} rw - tmpfs none rw");
        let text = lines.iter().map(line).collect::<Vec<_>>().join("\n");
        Mounts::parse(text.as_bytes())
    }

    fn seen(lines: &[(u64, u64, &str)], place: &str) -> Option<u64> {
        mounts(lines).seen_at(Path::new(place)).map(|mount| mount.id)
    }

    #[test]
    fn a_line_is_taken_apart_and_names_are_unescaped() {
        let line = b"36 35 98:0 /a /srv/a\\040b\\012c\\134d\xff ro,nodev,idmapped shared:1 master:2 - ext4 /dev/x rw,a\nrubbish\n";
        let place = OsString::from_vec(b"/srv/a b\nc\\d\xff".to_vec()).into();
        let mount = Mount {
            id: 36,
            parent: 35,
            device: "98:0".to_owned(),
            place,
            options: "ro,nodev,idmapped".to_owned(),
            shared_options: "rw,a".to_owned(),
        };
        assert_eq!(Mounts::parse(line).all(), [mount]);
        assert_eq!(unescape(b"\\04\\777\\+10\\"), b"\\04\\777\\+10\\");
    }

    #[test]
    fn what_is_seen_at_a_place_is_what_is_mounted_last_on_the_way_to_it() {
        let plain = [(1, 0, "/"), (2, 1, "/srv"), (3, 2, "/srv/data")];
        assert_eq!(seen(&plain, "/srv/data/x"), Some(3));
        assert_eq!(seen(&plain, "/srv/database"), Some(2));
        assert_eq!(seen(&plain, "/tmp"), Some(1));
        let stacked = [(1, 0, "/"), (2, 1, "/srv/data"), (3, 2, "/srv/data")];
        assert_eq!(seen(&stacked, "/srv/data"), Some(3));
        let covered = [(1, 0, "/"), (2, 1, "/srv/data"), (3, 1, "/srv")];
        assert_eq!(seen(&covered, "/srv/data"), Some(3));
        let root_covered = [(1, 0, "/"), (2, 1, "/srv"), (3, 1, "/")];
        assert_eq!(seen(&root_covered, "/srv"), Some(2));
    }

    #[test]
    fn as_many_mounts_as_a_guest_can_have_on_each_other_are_gone_through_at_once() {
        const MOST: u64 = 100_000;
        let stacked: Vec<_> = (1..=MOST).map(|id| (id, id - 1, if id == 1 { "/" } else { "/srv" })).collect();
        let (mounts, began) = (mounts(&stacked), Instant::now());
        assert_eq!(mounts.seen_at(Path::new("/srv/x")).map(|mount| mount.id), Some(MOST));
        assert_eq!(mounts.count_above(&mounts.all()[1]), 99_998);
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }

    #[test]
    fn a_circle_of_mounts_that_no_kernel_tells_of_ends() {
        assert_eq!(seen(&[(1, 0, "/"), (2, 3, "/a"), (3, 2, "/a")], "/a"), Some(1));
        assert_eq!(seen(&[(1, 1, "/")], "/a"), None);
    }
}
