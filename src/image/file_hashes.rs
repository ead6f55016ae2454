//! The hashes of files that are being written: a thread of its own reads each again as soon as it is there, out of the
//! kernel's memory, while the next ones are written. It also has large ones go to the disk from then on.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use super::digest::Hasher;
use crate::sys::begin_writeback;

/// Files are handed over so many or so many bytes at a time: to wake a thread takes as long as to write a small file.
const MOST_FILES: usize = 16;
const MOST_BYTES: u64 = 256 << 10;

/// So many times that wait for their turn at most.
const MOST_WAITING: usize = 4;

/// Files from so many bytes on begin to go to the disk at once; smaller ones take the disk more time one by one than
/// together at the end.
const WORTH_WRITING: u64 = 64 << 10;

/// The BLAKE3 of files in hexadecimal, or of a squashfs the SHA-256, by the inodes that have them.
#[derive(Debug, Default)]
pub(super) struct FileHashes(HashMap<u64, String>);

impl FileHashes {
    /// That the squashfs `file` has the hash `sha256`.
    pub(super) fn of(file: &File, sha256: &str) -> io::Result<FileHashes> {
        Ok(FileHashes([(file.metadata()?.ino(), sha256.to_owned())].into()))
    }

    /// The hash of the file `inode`, if it was written meanwhile.
    pub(super) fn get(&self, inode: u64) -> Option<&str> {
        self.0.get(&inode).map(String::as_str)
    }
}

/// Takes the files of one tree.
#[derive(Debug)]
pub(super) struct FileHasher {
    queue: SyncSender<Vec<File>>,
    thread: JoinHandle<FileHashes>,
    next: Vec<File>,
    next_bytes: u64,
}

impl FileHasher {
    /// Begins without any.
    pub(super) fn start() -> FileHasher {
        let (queue, waiting) = mpsc::sync_channel(MOST_WAITING);
        FileHasher { queue, thread: thread::spawn(move || hash_all(&waiting)), next: Vec::new(), next_bytes: 0 }
    }

    /// Has `file` of `size` bytes hashed, which nobody writes to any more.
    pub(super) fn add(&mut self, file: File, size: u64) {
        self.next.push(file);
        self.next_bytes = self.next_bytes.saturating_add(size);
        if self.next.len() >= MOST_FILES || self.next_bytes >= MOST_BYTES {
            self.next_bytes = 0;
            // Were the thread gone, the files would be read when their hashes are wanted.
            let _ = self.queue.send(std::mem::take(&mut self.next));
        }
    }

    /// Waits until all are hashed.
    pub(super) fn finish(self) -> FileHashes {
        let _ = self.queue.send(self.next);
        drop(self.queue);
        self.thread.join().unwrap_or_default()
    }
}

fn hash_all(waiting: &Receiver<Vec<File>>) -> FileHashes {
    let mut hashes = FileHashes::default();
    let mut digester = Hasher::new();
    for file in waiting.iter().flatten() {
        // What cannot be read now is read later, where there is somebody to tell.
        if let Ok((inode, hash)) = hash(&file, &mut digester) {
            // It may have been another file's, which has been removed.
            hashes.0.insert(inode, hash);
        }
    }
    hashes
}

fn hash(mut file: &File, digester: &mut Hasher) -> io::Result<(u64, String)> {
    let metadata = file.metadata()?;
    if metadata.len() >= WORTH_WRITING {
        // A help and no more: the image is synced as a whole before it is published.
        let _ = begin_writeback(&file);
    }
    file.rewind()?;
    Ok((metadata.ino(), digester.blake3(file)?))
}
