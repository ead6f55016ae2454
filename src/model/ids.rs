//! The user and group ids that a container's own ids are mapped to.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Ids in one container's range: 0 to 65535 as the guest sees them.
pub const ID_RANGE_LENGTH: u32 = 65_536;

/// The host ids that ranges are taken from: the part that systemd's table of ids leaves free
/// (<https://systemd.io/UIDS-GIDS/>), above Incus's default range and below 2³¹, where old programs stumble.
/// 4094 ranges fit.
pub const ID_POOL: Range<u32> = 1_879_048_192..2_147_352_576;

/// A container's own range of host ids; user and group ids alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdRange {
    /// The host id of the guest's root.
    pub base: u32,
}

impl IdRange {
    /// All ranges of the pool, in order.
    #[must_use]
    pub fn pool() -> impl ExactSizeIterator<Item = IdRange> {
        (0..(ID_POOL.end - ID_POOL.start) / ID_RANGE_LENGTH)
            .map(|slot| IdRange { base: ID_POOL.start + slot * ID_RANGE_LENGTH })
    }

    /// Whether all of `ids` are of the range.
    #[must_use]
    pub fn contains(self, ids: &Range<u32>) -> bool {
        self.base <= ids.start && ids.end <= self.base + ID_RANGE_LENGTH
    }

    /// Whether the range shares an id with `ids`.
    #[must_use]
    pub fn overlaps(self, ids: &Range<u32>) -> bool {
        self.base < ids.end && ids.start < self.base + ID_RANGE_LENGTH
    }
}

impl fmt::Display for IdRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.base, self.base + (ID_RANGE_LENGTH - 1))
    }
}
