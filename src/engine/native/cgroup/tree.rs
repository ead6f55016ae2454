//! What is below a group: the groups that a guest made in its part, as many and as deep as it liked.
//!
//! Their names may be longer together than any path, and there may be more of them in one another than files may be
//! open. So they are gone through with one directory open at a time: the kernel moves no group into another.

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use super::group::EMPTY_DEADLINE;

/// How a group is opened.
const GROUP: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes the group `dir` with those below it, the deepest first. A dying process keeps its group busy for a moment.
pub(super) fn remove_tree(dir: &Path) -> io::Result<()> {
    let started = Instant::now();
    loop {
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if started.elapsed() > EMPTY_DEADLINE => return Err(error),
            Err(_) => {}
        }
        let mut removed = 0;
        let remove = &mut |parent: &OwnedFd, name: &CStr| {
            let is_gone = matches!(unlinkat(parent, name, AtFlags::REMOVEDIR), Ok(()) | Err(Errno::NOENT));
            removed += u32::from(is_gone);
            is_gone
        };
        go_through(dir, &mut |_| {}, remove)?;
        if removed == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The processes in the group `dir` and below it, as far as they can be read.
pub(super) fn pids_below(dir: &Path) -> Vec<i32> {
    let mut pids = Vec::new();
    let _ = go_through(dir, &mut |group| pids.extend(pids_of(group)), &mut |_, _| false);
    pids
}

fn pids_of(group: &OwnedFd) -> Vec<i32> {
    let mut text = String::new();
    let opened = openat(group, "cgroup.procs", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    if let Ok(file) = opened {
        let _ = File::from(file).read_to_string(&mut text);
    }
    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect()
}

/// Calls `enter` for the group `dir` and all below it, parents first, and `is_done` for each below it, with its parent and
/// its name: before what is in it, which is left alone if that says so, and after.
fn go_through(
    dir: &Path,
    enter: &mut dyn FnMut(&OwnedFd),
    is_done: &mut dyn FnMut(&OwnedFd, &CStr) -> bool,
) -> io::Result<()> {
    let mut here = match openat(CWD, dir, GROUP, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    enter(&here);
    let mut waiting = vec![children(&here)?];
    let mut way: Vec<CString> = Vec::new();
    while let Some(names) = waiting.last_mut() {
        if let Some(name) = names.pop() {
            if is_done(&here, &name) {
                continue;
            }
            here = match openat(&here, &name, GROUP, Mode::empty()) {
                Err(Errno::NOENT) => continue,
                opened => opened?,
            };
            enter(&here);
            waiting.push(children(&here)?);
            way.push(name);
            continue;
        }
        waiting.pop();
        if let Some(name) = way.pop() {
            here = openat(&here, "..", GROUP, Mode::empty())?;
            is_done(&here, &name);
        }
    }
    Ok(())
}

/// The names of the groups in `group`.
fn children(group: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(group)? {
        let entry = match entry {
            // It has gone meanwhile.
            Err(Errno::NOENT) => break,
            entry => entry?,
        };
        let name = entry.file_name();
        if entry.file_type() == FileType::Directory && name != c"." && name != c".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}
