//! What a container may use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Bytes, Cpus, SizeError};

/// Limits of one container; `None` is "no limit of its own".
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Memory, page cache included. What goes beyond it is killed, inside the container only.
    pub memory: Option<Bytes>,
    /// Memory from which on the container is slowed down and made to give some back. Cgroup v2 only.
    pub memory_high: Option<Bytes>,
    /// Swap space. Zero forbids swapping.
    pub swap: Option<Bytes>,
    /// Processor time.
    pub cpus: Option<Cpus>,
    /// Share of processor time when there is not enough for all; `None` is the default of 100.
    pub cpu_weight: Option<Weight>,
    /// The processors that it may run on.
    pub cpuset: Option<CpuSet>,
    /// Processes and threads at one time.
    pub pids: Option<u32>,
    /// Share of disk time when there is not enough for all; `None` is the default of 100.
    pub io_weight: Option<Weight>,
    /// Reading and writing of the disk that the container's files lie on.
    pub io: IoLimits,
}

/// Limits of reading and writing; `None` is "no limit of its own".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IoLimits {
    /// Bytes read in a second.
    pub read: Option<Bytes>,
    /// Bytes written in a second.
    pub write: Option<Bytes>,
    /// Read operations in a second.
    pub read_iops: Option<u32>,
    /// Write operations in a second.
    pub write_iops: Option<u32>,
}

/// A share relative to that of others, 1 to 10000 (Documentation/admin-guide/cgroup-v2.rst, "Weights").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(u16);

impl Weight {
    /// What everything has that nothing is said of.
    pub const DEFAULT: Weight = Weight(100);

    /// The share `weight`; `None` if it is not within 1 and 10000.
    #[must_use]
    pub fn new(weight: u64) -> Option<Weight> {
        u16::try_from(weight).ok().filter(|weight| (1..=10_000).contains(weight)).map(Weight)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of processors, written as the kernel writes it: `0-3,8` (cpuset(7), "List format"). Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CpuSet(Vec<(u16, u16)>);

impl CpuSet {
    /// The highest processor in it.
    #[must_use]
    pub fn highest(&self) -> u16 {
        self.0.last().map_or(0, |(_, last)| *last)
    }
}

impl FromStr for CpuSet {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<CpuSet, SizeError> {
        let mut ranges = Vec::new();
        for part in text.trim().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |digits: &str| digits.trim().parse::<u16>().ok();
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => ranges.push((first, last)),
                _ => return Err(SizeError::NoCpuSet(text.to_owned())),
            }
        }
        ranges.sort_unstable();
        let mut joined: Vec<(u16, u16)> = Vec::new();
        for (first, last) in ranges {
            match joined.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                Some(_) | None => joined.push((first, last)),
            }
        }
        Ok(CpuSet(joined))
    }
}

impl TryFrom<String> for CpuSet {
    type Error = SizeError;

    fn try_from(text: String) -> Result<CpuSet, SizeError> {
        text.parse()
    }
}

impl From<CpuSet> for String {
    fn from(set: CpuSet) -> String {
        set.to_string()
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |(first, last): &(u16, u16)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        f.pad(&self.0.iter().map(part).collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_processors_is_written_as_the_kernel_writes_it() {
        let set: CpuSet = "8, 2,0-1,5-6,3".parse().expect("a set");
        assert_eq!((set.to_string().as_str(), set.highest()), ("0-3,5-6,8", 8));
        for wrong in ["", "a", "3-1", "1-", "1,,2", "70000"] {
            assert!(wrong.parse::<CpuSet>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_weight_is_one_to_ten_thousand() {
        assert_eq!(Weight::new(10_000).map(Weight::get), Some(10_000));
        assert_eq!((Weight::new(0), Weight::new(10_001)), (None, None));
    }
}
