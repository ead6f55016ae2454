//! Writing a tar stream.

use std::ffi::OsString;
use std::io::{Read as _, Write, repeat};
use std::path::PathBuf;

use tar::{Builder, EntryType, Header};

use super::entry::{Content, Entry, Sink, TransferError};

/// A tar stream.
pub(super) struct TarSink<'a> {
    archive: Builder<&'a mut dyn Write>,
    base: PathBuf,
    modes: u32,
}

impl<'a> TarSink<'a> {
    /// The stream `stream`, in which everything is below `base`. Files have of their permission bits those in `modes`.
    pub(super) fn new(stream: &'a mut dyn Write, base: OsString, modes: u32) -> TarSink<'a> {
        TarSink { archive: Builder::new(stream), base: base.into(), modes }
    }

    /// Ends the stream.
    pub(super) fn finish(mut self) -> Result<(), TransferError> {
        let ended = self.archive.finish().and_then(|()| self.archive.get_mut().flush());
        ended.map_err(|error| TransferError::Stream("write", error))
    }
}

impl Sink for TarSink<'_> {
    fn put(&mut self, entry: Entry<'_>) -> Result<(), TransferError> {
        let path = self.base.join(entry.path);
        if path.as_os_str().is_empty() {
            // Only what is in it is meant.
            return Ok(());
        }
        let mut header = Header::new_gnu();
        header.set_mode(entry.mode & self.modes);
        header.set_uid(entry.owner.0.into());
        header.set_gid(entry.owner.1.into());
        header.set_mtime(u64::try_from(entry.modified.0).unwrap_or(0));
        header.set_size(0);
        match entry.content {
            Content::Directory => {
                header.set_entry_type(EntryType::Directory);
                self.archive.append_data(&mut header, &path, std::io::empty())
            }
            Content::File(length, bytes) => {
                header.set_entry_type(EntryType::Regular);
                header.set_size(length);
                // The length is written first: what a file lost meanwhile is made up for.
                self.archive.append_data(&mut header, &path, bytes.chain(repeat(0)).take(length))
            }
            Content::Link(text) => {
                header.set_entry_type(EntryType::Symlink);
                self.archive.append_link(&mut header, &path, text)
            }
            Content::Name(existing) => {
                header.set_entry_type(EntryType::Link);
                self.archive.append_link(&mut header, &path, self.base.join(existing))
            }
        }
        .map_err(|error| TransferError::Stream("write", error))
    }
}
