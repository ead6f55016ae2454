//! The way along a path in a tree that a guest mounts file systems in: none of them is asked for a name before it is
//! known to be one that stores files.
//!
//! A whole path given to openat2(2) would be looked up to its end first, also in what answers what it likes, or never,
//! as a program behind FUSE does. So one name is looked up at a time. To open what is mounted there with `O_PATH`, and
//! to ask for its kind, is answered by the kernel: it lets nobody from outside of a guest's user namespace ask a FUSE
//! of the guest's anything (fuse.rst, `allow_other`).

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self as rfs, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::rootdir::WITHOUT_LINKS;
use super::xattrs::path_of;

/// File systems that store what they are given and nothing else, by their magic numbers (statfs(2)): overlayfs, tmpfs,
/// ext4, xfs, btrfs, zfs, f2fs. The others may be doors to the kernel (proc, sysfs) or to a program (FUSE).
const ORDINARY: [i64; 7] = [0x794c_7630, 0x0102_1994, 0xef53, 0x5846_5342, 0x9123_683e, 0x2fc1_2fc1, 0xf2f5_2010];

/// How many links are followed on one way: as many as the kernel does (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// Refuses what is not on a file system that stores files.
pub(super) fn check_ordinary(fd: impl AsFd) -> io::Result<()> {
    if ORDINARY.contains(&rfs::fstatfs(fd)?.f_type) {
        return Ok(());
    }
    Err(io::Error::other("it is on a file system that does not store files"))
}

/// Opens `path` below `top`, whose file system was checked, with `flags`; links lead inside of it.
pub(super) fn open_by_steps(top: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    let mut way: Vec<OwnedFd> = Vec::new();
    let mut ahead = steps(path);
    let mut links = 0;
    while let Some(step) = ahead.pop() {
        let name = match step {
            Step::Top => {
                way.clear();
                continue;
            }
            Step::Up => {
                way.pop();
                continue;
            }
            Step::Into(name) => name,
        };
        let here = way.last().map_or(top, AsFd::as_fd);
        let step_flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = rfs::openat2(here, name, step_flags, Mode::empty(), WITHOUT_LINKS)?;
        check_ordinary(&next)?;
        let kind = kind_of(&next)?;
        if !ahead.is_empty() && !matches!(kind, FileType::Directory | FileType::Symlink) {
            return Err(Errno::NOTDIR.into());
        }
        let is_kept = ahead.is_empty() && flags.contains(OFlags::NOFOLLOW);
        if kind != FileType::Symlink || is_kept {
            way.push(next);
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(Errno::LOOP.into());
        }
        let text = rfs::readlinkat(&next, "", Vec::new())?;
        ahead.extend(steps(&PathBuf::from(OsString::from_vec(text.into_bytes()))));
    }
    match way.pop() {
        Some(found) => open_anew(found, flags),
        None => open_anew(top.try_clone_to_owned()?, flags),
    }
}

/// One step on a way.
enum Step {
    Top,
    Up,
    Into(OsString),
}

/// The steps of `path`, the last one first.
fn steps(path: &Path) -> Vec<Step> {
    let step = |component: Component<'_>| match component {
        Component::RootDir => Some(Step::Top),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Into(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(step).collect()
}

/// What was found, which is open with `O_PATH`, opened with `flags`.
fn open_anew(found: OwnedFd, flags: OFlags) -> io::Result<OwnedFd> {
    let kind = kind_of(&found)?;
    if flags.contains(OFlags::DIRECTORY) && kind != FileType::Directory {
        return Err(Errno::NOTDIR.into());
    }
    if flags.contains(OFlags::PATH) {
        return Ok(found);
    }
    match kind {
        FileType::Symlink => Err(Errno::LOOP.into()),
        FileType::Directory | FileType::RegularFile => {
            Ok(rfs::open(path_of(&found), flags.difference(OFlags::NOFOLLOW) | OFlags::CLOEXEC, Mode::empty())?)
        }
        _ => Err(io::Error::other("not a regular file")),
    }
}

fn kind_of(fd: &OwnedFd) -> io::Result<FileType> {
    Ok(FileType::from_raw_mode(rfs::fstat(fd)?.st_mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::sys::RootDir;

    fn open(path: &Path) -> OwnedFd {
        rfs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).expect("it is there")
    }

    #[test]
    fn every_link_leads_where_it_does_for_the_kernel() {
        use rustix::fs::{ResolveFlags, openat2};
        let dir = tempfile::tempdir().expect("a temporary directory");
        let top = dir.path().join("top");
        std::fs::create_dir_all(top.join("a/b")).expect("made");
        std::fs::write(top.join("a/file"), "").expect("written");
        for (text, name) in [
            ("/a/b", "absolute"),
            ("../../..", "a/b/up"),
            ("file", "a/link"),
            ("loop", "loop"),
            ("../absolute/../link/", "a/b/long"),
            ("gone", "broken"),
        ] {
            symlink(text, top.join(name)).expect("a link");
        }
        let paths = "/ . .. a /a/b/ absolute absolute/.. absolute/up/a a/b/up/../../a/file a/link a/b/long loop loop/x \
                     broken broken/x a/file/x a/file/.. a/gone a//b/./up ../../a/b";
        for path in paths.split(' ') {
            for flags in [OFlags::PATH, OFlags::PATH | OFlags::NOFOLLOW, OFlags::PATH | OFlags::DIRECTORY] {
                let seen = |fd: OwnedFd| rfs::fstat(&fd).map(|found| found.st_ino);
                let kernels = openat2(open(&top), path, flags, Mode::empty(), ResolveFlags::IN_ROOT).and_then(seen);
                let ours = open_by_steps(open(&top).as_fd(), Path::new(path), flags)
                    .map_err(|error| Errno::from_io_error(&error).expect("an error of the kernel's"))
                    .and_then(seen);
                assert!(ours == kernels || path.ends_with('/'), "{path}: {ours:?}, not {kernels:?}");
            }
        }
    }

    #[test]
    fn nothing_is_looked_up_in_what_does_not_store_files() {
        let dir = tempfile::tempdir_in("/tmp").expect("a temporary directory");
        let name = dir.path().strip_prefix("/").expect("it is absolute").display().to_string();
        let root = RootDir::open(Path::new("/")).and_then(|root| root.across_mounts()).expect("it stores files");
        assert!(root.metadata(Path::new(&name)).expect("found").is_some());
        // The kernel would find the directory beyond it.
        for path in [format!("/proc/../{name}"), format!("/proc/gone/../{name}"), "/sys".to_owned()] {
            let refused = root.metadata(Path::new(&path)).expect_err(&path);
            assert_eq!(refused.to_string(), "it is on a file system that does not store files", "{path}");
        }
    }
}
