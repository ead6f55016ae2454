//! Trees that go, however deep they are and whatever is in them.
//!
//! A guest, or whoever made an image, chose what is in such a tree: the name of a directory may be too long a path, and
//! there may be more of them in one another than a process may have open or has stack for. So the tree is gone through
//! by open directories, few at one time, and what lies too deep is moved up to its top.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self as rfs, AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, SeekFrom};
use rustix::io::Errno;

/// So many directories of one tree are open at most, of the 1024 files that a process may usually have (getrlimit(2)):
/// several trees go at one time. Those of distributions are less deep.
const MOST_OPEN: usize = 32;

/// How much of a directory is read at one time, in bytes: what libraries read, and all of nearly every directory.
const BATCH: usize = 32 << 10;

/// No link is followed, and what is mounted in the tree is nothing of it.
const INSIDE: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_XDEV);

/// How directories are opened.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes the directory `dir` with all that is in it; one that is absent is removed already, and of a link nothing but
/// itself is. What cannot be removed does not keep the rest: of several failures the first one is told.
///
/// Nobody else changes the tree meanwhile.
pub fn remove_tree(dir: &Path) -> io::Result<()> {
    let top = match rfs::open(dir, DIRECTORY, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR) if dir.is_symlink() => return fs::remove_file(dir),
        opened => opened?,
    };
    let top = Level { opened: top, name: CString::default(), waiting: Vec::new() };
    let buffer = vec![MaybeUninit::uninit(); BATCH];
    let mut removal = Removal { levels: vec![top], buffer, moved: 0, is_getting_on: false, failure: None };
    loop {
        removal.go_through();
        match rfs::rmdir(dir) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            // By what was moved there, or by what a file system did not show while others went.
            Err(Errno::NOTEMPTY | Errno::EXIST) if removal.is_getting_on => removal.begin_again()?,
            Err(error) => return Err(removal.failure.unwrap_or_else(|| error.into())),
        }
    }
}

/// A directory that is being emptied.
struct Level {
    opened: OwnedFd,
    /// In the one above.
    name: CString,
    /// The directories among what was read last.
    waiting: Vec<CString>,
}

struct Removal {
    /// The top and the way down from it, never empty.
    levels: Vec<Level>,
    buffer: Vec<MaybeUninit<u8>>,
    /// How many directories were moved to the top, or could not be.
    moved: u64,
    /// Whether anything was removed or moved up since it began at the top.
    is_getting_on: bool,
    /// The first one since.
    failure: Option<io::Error>,
}

impl Removal {
    /// Removes what is in the top, as far as it can be and is not too deep.
    fn go_through(&mut self) {
        loop {
            let level = self.levels.last_mut().expect("the top stays");
            if let Some(name) = level.waiting.pop() {
                self.enter(name);
            } else if !self.read_on() {
                if self.levels.len() == 1 {
                    return;
                }
                self.leave();
            }
        }
    }

    fn begin_again(&mut self) -> io::Result<()> {
        (self.is_getting_on, self.failure) = (false, None);
        rfs::seek(&self.levels[0].opened, SeekFrom::Start(0))?;
        Ok(())
    }

    /// Removes the next files of the last level, and has its next directories wait; false if there is nothing more.
    fn read_on(&mut self) -> bool {
        let Removal { levels, buffer, is_getting_on, failure, .. } = self;
        let level = levels.last_mut().expect("the top stays");
        let mut entries = RawDir::new(&level.opened, buffer);
        let mut is_first = true;
        // Read only once: the buffer is needed for the directories among them.
        while is_first || !entries.is_buffer_empty() {
            is_first = false;
            let entry = match entries.next() {
                None => return false,
                Some(Err(error)) => {
                    failure.get_or_insert(error.into());
                    return false;
                }
                Some(Ok(entry)) => entry,
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            if entry.file_type() == FileType::Directory {
                level.waiting.push(name.to_owned());
                continue;
            }
            match rfs::unlinkat(&level.opened, name, AtFlags::empty()) {
                Ok(()) => *is_getting_on = true,
                // Not all file systems tell what an entry is.
                Err(Errno::ISDIR) => level.waiting.push(name.to_owned()),
                Err(Errno::NOENT) => {}
                Err(error) => {
                    failure.get_or_insert(error.into());
                }
            }
        }
        true
    }

    /// Goes down into the directory `name` of the last level, unless that is deep enough.
    fn enter(&mut self, name: CString) {
        let level = self.levels.last().expect("the top stays");
        if self.levels.len() == MOST_OPEN {
            match rfs::unlinkat(&level.opened, &name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => self.move_up(&name),
                removed => self.note(removed),
            }
            return;
        }
        match rfs::openat2(&level.opened, &name, DIRECTORY, Mode::empty(), INSIDE) {
            Ok(opened) => self.levels.push(Level { opened, name, waiting: Vec::new() }),
            Err(Errno::XDEV) => {
                self.failure.get_or_insert_with(|| io::Error::other("something is mounted in it"));
            }
            Err(error) => self.note(Err(error)),
        }
    }

    /// Goes up from the last level, which is not the top, and removes it.
    fn leave(&mut self) {
        let Some(Level { name, .. }) = self.levels.pop() else { return };
        let level = self.levels.last().expect("the top stays");
        match rfs::unlinkat(&level.opened, &name, AtFlags::REMOVEDIR) {
            // Why it is not empty is known.
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            removed => self.note(removed),
        }
    }

    /// Moves the directory `name` of the last level to the top.
    fn move_up(&mut self, name: &CStr) {
        let level = self.levels.last().expect("the top stays");
        loop {
            let free = format!(".deep-{}", self.moved);
            self.moved += 1;
            match rfs::renameat(&level.opened, name, &self.levels[0].opened, &free) {
                // There is such a name; a directory that is empty makes room by itself.
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                moved => return self.note(moved),
            }
        }
    }

    fn note(&mut self, done: rustix::io::Result<()>) {
        match done {
            Ok(()) => self.is_getting_on = true,
            Err(error) => {
                self.failure.get_or_insert(error.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::thread;

    use rustix::fs::{CWD, mkdirat, openat};

    use super::*;

    /// Makes `depth` directories of the name `name` in one another below `dir`; returns the last one.
    fn dig(dir: &Path, name: &str, depth: usize) -> OwnedFd {
        let mut last = openat(CWD, dir, DIRECTORY, Mode::empty()).expect("it is there");
        for _ in 0..depth {
            mkdirat(&last, name, Mode::RWXU).expect("made");
            last = openat(&last, name, DIRECTORY, Mode::empty()).expect("it was just made");
        }
        last
    }

    fn write(dir: &OwnedFd, name: &str) {
        openat(dir, name, OFlags::CREATE | OFlags::WRONLY, Mode::RWXU).expect("written");
    }

    #[test]
    fn a_tree_deeper_than_any_path_goes_with_few_open_files_and_a_small_stack() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).expect("made");
        // A second way down from the middle, and names that the remover would take itself.
        write(&dig(&tree, "d", 1500), "file");
        write(&dig(&tree.join(["d"; 40].join("/")), "e", 3000), "file");
        dig(&tree, ".deep-0", 2);
        fs::create_dir(tree.join(".deep-1")).expect("made");
        fs::write(tree.join(".deep-2"), "").expect("written");
        let small = thread::Builder::new().stack_size(64 << 10);
        let removed = small.spawn({
            let tree = tree.clone();
            move || remove_tree(&tree)
        });
        removed.expect("started").join().expect("no panic").expect("removed");
        assert!(!tree.exists());
    }

    #[test]
    fn a_wide_tree_goes_and_what_is_absent_has_gone() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let tree = dir.path().join("tree");
        for outer in 0..40 {
            for inner in 0..40 {
                fs::create_dir_all(tree.join(format!("{}{outer}/{inner}", "long".repeat(50)))).expect("made");
                fs::write(tree.join(format!("{}{outer}/file{inner}", "long".repeat(50))), "").expect("written");
            }
        }
        remove_tree(&tree).expect("removed");
        assert!(!tree.exists());
        remove_tree(&tree).expect("absent");
    }

    #[test]
    fn links_are_not_followed_and_the_tree_itself_may_be_one() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (kept, tree) = (dir.path().join("kept"), dir.path().join("tree"));
        for made in [&kept, &tree] {
            fs::create_dir(made).expect("made");
        }
        fs::write(kept.join("file"), "").expect("written");
        symlink(&kept, tree.join("link")).expect("linked");
        remove_tree(&tree).expect("removed");
        symlink(&kept, &tree).expect("linked");
        remove_tree(&tree).expect("removed");
        assert!(!tree.is_symlink() && kept.join("file").exists());
        remove_tree(&kept.join("file")).expect_err("it is no directory");
        assert!(kept.join("file").exists());
    }
}
