//! Archives that no program would write.

use tar::{EntryType, Header};

/// An archive written byte by byte: no library agrees to write these.
#[derive(Debug, Clone, Default)]
pub(super) struct Raw(pub(super) Vec<u8>);

impl Raw {
    pub(super) fn add(self, kind: EntryType, name: &str, link: &str, data: &[u8]) -> Raw {
        self.add_owned(kind, name, link, data, 0)
    }

    pub(super) fn add_owned(mut self, kind: EntryType, name: &str, link: &str, data: &[u8], uid: u64) -> Raw {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o4755 });
        header.set_uid(uid);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(data.len() as u64);
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn file(self, name: &str, data: &str) -> Raw {
        self.add(EntryType::Regular, name, "", data.as_bytes())
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Raw {
        self.add(EntryType::Symlink, name, target, b"")
    }

    pub(super) fn hard_link(self, name: &str, target: &str) -> Raw {
        self.add(EntryType::Link, name, target, b"")
    }

    pub(super) fn directory(self, name: &str) -> Raw {
        self.add(EntryType::Directory, name, "", b"")
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}
