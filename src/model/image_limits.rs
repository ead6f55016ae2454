//! How much one image may hold.

use std::fmt;

use super::Bytes;

/// How much one image may hold: what is beyond is taken for an archive that was made to fill the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageLimits {
    /// In all its files together, holes counted as if they were none.
    pub size: Bytes,
    /// Files, directories and links.
    pub entries: u64,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageLimit {
    /// Of the bytes in its files.
    Size(Bytes),
    /// Of the number of its files.
    Entries(u64),
}

impl Default for ImageLimits {
    /// Far more than a real image has, far less than a decompression bomb.
    fn default() -> ImageLimits {
        ImageLimits { size: Bytes(64 << 30), entries: 4_000_000 }
    }
}

impl fmt::Display for ImageLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImageLimit::Size(size) => write!(f, "{size}"),
            ImageLimit::Entries(entries) => write!(f, "{entries} files"),
        }
    }
}
