//! Extended headers of pax archives (POSIX.1-2017, `pax`): records of the form `LENGTH KEY=VALUE\n`.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::str;

use rustix::fs::Timespec;

use super::acl::{self, Acl};
use super::xattrs::Xattr;

/// What an extended header says about the entry behind it.
#[derive(Debug, Default)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Timespec>,
    pub(super) xattrs: Vec<Xattr>,
    /// Access control lists, by the attribute that the kernel takes each in.
    pub(super) acls: Vec<(&'static str, Acl)>,
    pub(super) sparse: Sparse,
}

/// GNU's records for a file with holes, in their three versions.
#[derive(Debug, Default)]
pub(super) struct Sparse {
    /// The file's own name: that of the entry is made up.
    pub(super) name: Option<Vec<u8>>,
    /// Length with holes. A file without it has no holes.
    pub(super) size: Option<u64>,
    /// Offsets and lengths by turns (versions 0.0 and 0.1).
    pub(super) map: Vec<u64>,
    /// Whether the map stands at the head of the data (version 1.0).
    pub(super) map_in_data: bool,
}

impl Extended {
    /// Reads the records of one header.
    pub(super) fn parse(mut records: &[u8]) -> io::Result<Extended> {
        let mut extended = Extended::default();
        while !records.is_empty() {
            let (key, value, rest) = record(records).ok_or_else(|| damaged("an extended header is malformed"))?;
            extended.take(key, value)?;
            records = rest;
        }
        Ok(extended)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number(value)?),
            b"uid" => self.uid = Some(number(value)?),
            b"gid" => self.gid = Some(number(value)?),
            b"mtime" => self.mtime = Some(time(value)?),
            b"GNU.sparse.name" => self.sparse.name = Some(value.to_vec()),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.size = Some(number(value)?),
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.map.push(number(value)?),
            b"GNU.sparse.map" => {
                self.sparse.map = value.split(|byte| *byte == b',').map(number).collect::<io::Result<_>>()?;
            }
            b"SCHILY.acl.access" => self.take_acl(acl::ACCESS, value)?,
            b"SCHILY.acl.default" => self.take_acl(acl::DEFAULT, value)?,
            b"GNU.sparse.major" => self.sparse.map_in_data = number(value)? == 1,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.push((OsString::from_vec(name.to_vec()), value.to_vec()));
                }
            }
        }
        Ok(())
    }

    fn take_acl(&mut self, name: &'static str, value: &[u8]) -> io::Result<()> {
        self.acls.retain(|(known, _)| *known != name);
        // Without a value a record says that there is none.
        if !value.is_empty() {
            let acl = Acl::parse(value).ok_or_else(|| damaged("an access control list is malformed"))?;
            self.acls.push((name, acl));
        }
        Ok(())
    }
}

/// Splits the first record off: its key, its value and what follows.
fn record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let length: usize = str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    let (record, rest) = records.split_at_checked(length)?;
    let record = record.strip_suffix(b"\n")?.get(space + 1..)?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], rest))
}

fn number(text: &[u8]) -> io::Result<u64> {
    let text = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    text.ok_or_else(|| damaged("an extended header holds something else than a number"))
}

/// Seconds since 1970 with a decimal fraction, possibly negative. Digits beyond nanoseconds are cut off.
fn time(text: &[u8]) -> io::Result<Timespec> {
    let parse = || {
        let text = str::from_utf8(text).ok()?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let seconds: i64 = whole.parse().ok()?;
        let nanoseconds: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        // The kernel's fraction counts forwards, the text's away from zero.
        Some(if text.starts_with('-') && nanoseconds > 0 {
            Timespec { tv_sec: seconds.checked_sub(1)?, tv_nsec: 1_000_000_000 - nanoseconds }
        } else {
            Timespec { tv_sec: seconds, tv_nsec: nanoseconds }
        })
    };
    parse().filter(|time| (0..1_000_000_000).contains(&time.tv_nsec)).ok_or_else(|| damaged("a time is malformed"))
}

/// The error for an archive whose bytes cannot be.
pub(super) fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_line_ends_and_null_bytes() {
        let extended = Extended::parse(b"34 SCHILY.xattr.user.x=a\n12 b=c\0\n\n14 path=other\n").expect("well formed");
        assert_eq!(extended.xattrs, [("user.x".into(), b"a\n12 b=c\0\n".to_vec())]);
        assert_eq!(extended.path.as_deref(), Some(&b"other"[..]));
    }

    #[test]
    fn a_record_with_a_wrong_length_is_an_error() {
        for records in [&b"12 path=other\n"[..], b"99 path=other\n", b"x", b"0 a=b\n", b"2 a=b\n", b"14 pathxother\n"] {
            assert_eq!(Extended::parse(records).expect_err("refused").to_string(), "an extended header is malformed");
        }
    }

    #[test]
    fn times_have_nanoseconds_on_both_sides_of_1970() {
        let at = |text: &[u8]| time(text).map(|time| (time.tv_sec, time.tv_nsec)).ok();
        assert_eq!(at(b"12"), Some((12, 0)));
        assert_eq!(at(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(at(b"12.1234567891"), Some((12, 123_456_789)));
        assert_eq!(at(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(at(b"-0.5"), Some((-1, 500_000_000)));
        assert_eq!(at(b"soon"), None);
        assert_eq!(at(b"1.-5"), None);
    }
}
