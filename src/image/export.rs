//! A stored image becomes a tar archive that any program reads, with owners, set-id bits, links and extended attributes.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use tar::{Builder, EntryType, Header};

use super::acl::{self, Acl};
use super::error::TreeError;
use super::walk::{Found, walk};
use super::xattrs::{self, Xattr, is_acl};

/// How extended attributes are called in the extended headers of GNU tar, libarchive and star.
const XATTR: &str = "SCHILY.xattr.";
/// The same of access control lists, which are text there.
const ACL: &str = "SCHILY.acl.";

/// Writes the tree below `top` to `out`; returns that when all is written.
pub(super) fn write<W: Write>(top: &Path, out: W) -> Result<W, TreeError> {
    let mut archive = Builder::new(out);
    let mut names: HashMap<(u64, u64), PathBuf> = HashMap::new();
    walk(top, &mut |found| {
        let stat = &found.stat;
        let path = if found.path.as_os_str().is_empty() { Path::new(".") } else { found.path };
        if stat.st_nlink > 1 && found.kind() != FileType::Directory {
            if let Some(first) = names.get(&(stat.st_dev, stat.st_ino)) {
                let mut header = header(found, EntryType::Link);
                return archive.append_link(&mut header, path, first).map_err(TreeError::write(path));
            }
            names.insert((stat.st_dev, stat.st_ino), path.to_owned());
        }
        append(&mut archive, top, found, path)
    })?;
    archive.into_inner().map_err(TreeError::write(top))
}

fn append<W: Write>(archive: &mut Builder<W>, top: &Path, found: &Found<'_>, path: &Path) -> Result<(), TreeError> {
    let unreadable = || TreeError::read(&top.join(found.path));
    let open = || -> Result<Option<(OwnedFd, Vec<Xattr>)>, TreeError> {
        let Some(opened) = found.open().map_err(|error| unreadable()(error.into()))? else { return Ok(None) };
        let attributes = xattrs::read(&opened).map_err(unreadable())?;
        Ok(Some((opened, attributes)))
    };
    let written = match found.kind() {
        FileType::RegularFile => {
            let Some((opened, attributes)) = open()? else { return Ok(()) };
            let mut header = header(found, EntryType::Regular);
            header.set_size(found.stat.st_size.cast_unsigned());
            append_attributes(archive, &attributes)
                .and_then(|()| archive.append_data(&mut header, path, File::from(opened)))
        }
        FileType::Directory => {
            let Some((_, attributes)) = open()? else { return Ok(()) };
            let mut header = header(found, EntryType::Directory);
            append_attributes(archive, &attributes).and_then(|()| archive.append_data(&mut header, path, io::empty()))
        }
        FileType::Symlink => {
            let target = found.link().map_err(|error| unreadable()(error.into()))?;
            let target = Path::new(std::ffi::OsStr::from_bytes(target.as_bytes()));
            archive.append_link(&mut header(found, EntryType::Symlink), path, target)
        }
        FileType::Fifo => archive.append_data(&mut header(found, EntryType::Fifo), path, io::empty()),
        FileType::Socket | FileType::CharacterDevice | FileType::BlockDevice | FileType::Unknown => Ok(()),
    };
    written.map_err(TreeError::write(path))
}

fn append_attributes<W: Write>(archive: &mut Builder<W>, attributes: &[Xattr]) -> io::Result<()> {
    let records: Vec<(String, Cow<'_, [u8]>)> = attributes.iter().map(record).collect();
    archive.append_pax_extensions(records.iter().map(|(name, value)| (name.as_str(), value.as_ref())))
}

/// What says that a file has the attribute. Access control lists have records of their own.
fn record((name, value): &Xattr) -> (String, Cow<'_, [u8]>) {
    let acl = Acl::from_binary(value).filter(|_| is_acl(name.as_bytes()));
    match (name.to_str(), acl) {
        (Some(acl::ACCESS), Some(acl)) => (format!("{ACL}access"), acl.to_text().into_bytes().into()),
        (Some(acl::DEFAULT), Some(acl)) => (format!("{ACL}default"), acl.to_text().into_bytes().into()),
        _ => (format!("{XATTR}{}", name.to_string_lossy()), value.into()),
    }
}

fn header(found: &Found<'_>, kind: EntryType) -> Header {
    let stat = &found.stat;
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    header
}
