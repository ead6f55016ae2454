//! Limits of reading and writing, which are those of one disk.
//!
//! v1: Documentation/admin-guide/cgroup-v1/blkio-controller.rst, whose limits leave buffered writes alone; v2:
//! Documentation/admin-guide/cgroup-v2.rst, "IO Interface Files".

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::limits::{ControllerDir, write_limit};
use crate::model::{Bytes, IoLimits, Limits, Weight};

/// A whole disk, by its device number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Disk {
    major: u32,
    minor: u32,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl Disk {
    /// The disk that `path`, or the nearest directory above it that is there, lies on. `None` if that is no disk of
    /// this host, or several.
    pub(super) fn under(path: &Path) -> Option<Disk> {
        let device = path.ancestors().find_map(|dir| fs::metadata(dir).ok())?.dev();
        let entry = format!("/sys/dev/block/{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
        let entry = fs::canonicalize(entry).ok()?;
        // Limits are a disk's, not a partition's; a partition's directory lies in that of its disk.
        let is_partition = entry.join("partition").exists();
        let disk = if is_partition { entry.parent()? } else { &entry };
        let number = fs::read_to_string(disk.join("dev")).ok()?;
        let (major, minor) = number.trim().split_once(':')?;
        Some(Disk { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }

    /// Whether its scheduler is bfq, the only one of version 1 that knows shares
    /// (Documentation/block/bfq-iosched.rst).
    pub(super) fn has_shares(self) -> bool {
        let file = format!("/sys/dev/block/{self}/queue/scheduler");
        fs::read_to_string(file).is_ok_and(|schedulers| schedulers.contains("[bfq]"))
    }
}

/// Where a container's limits of reading and writing are.
pub(super) struct IoFiles<'a> {
    pub(super) dir: Option<&'a ControllerDir>,
    pub(super) disk: Option<Disk>,
}

/// The four limits: the file of version 1, and the key in the one file of version 2.
const KEYS: [(&str, &str); 4] = [
    ("blkio.throttle.read_bps_device", "rbps"),
    ("blkio.throttle.write_bps_device", "wbps"),
    ("blkio.throttle.read_iops_device", "riops"),
    ("blkio.throttle.write_iops_device", "wiops"),
];

/// The file of shares in version 2, and in version 1, where only this scheduler has them.
const WEIGHT: (&str, &str) = ("blkio.bfq.weight", "io.weight");

impl IoFiles<'_> {
    /// Sets the limits and the share.
    pub(super) fn set(&self, limits: &Limits) -> io::Result<()> {
        let (_, now) = self.read();
        if now != limits.io {
            self.set_limits(&limits.io)?;
        }
        let weight = limits.io_weight.map(|weight| weight.to_string());
        let (text, none) = match self.dir {
            Some(ControllerDir::V2(_)) => (weight.map(|weight| format!("default {weight}")), "default 100"),
            Some(ControllerDir::V1(_)) | None => (weight, "100"),
        };
        write_limit(self.dir, "io", WEIGHT, text.as_deref(), none)
    }

    fn set_limits(&self, limits: &IoLimits) -> io::Result<()> {
        let disk =
            self.disk.ok_or_else(|| io::Error::other("its files are on no single disk that could be limited"))?;
        let dir = self.dir.ok_or_else(|| io::Error::other("this host has no `io` cgroup controller"))?;
        let values = values_of(limits);
        for ((v1, v2), value) in KEYS.into_iter().zip(values) {
            let Some(file) = dir.file(v1, "io.max") else { continue };
            let text = match dir {
                // Zero removes the rule.
                ControllerDir::V1(_) => format!("{disk} {}", value.unwrap_or(0)),
                ControllerDir::V2(_) => {
                    format!("{disk} {v2}={}", value.map_or_else(|| "max".to_owned(), |value| value.to_string()))
                }
            };
            fs::write(&file, &text).map_err(|error| {
                io::Error::new(error.kind(), format!("cannot write `{text}` to `{}`: {error}", file.display()))
            })?;
        }
        Ok(())
    }

    /// The share and the limits in force.
    pub(super) fn read(&self) -> (Option<Weight>, IoLimits) {
        let Some(dir) = self.dir else { return (None, IoLimits::default()) };
        let read = |v1: &str, v2: &str| dir.file(v1, v2).and_then(|file| fs::read_to_string(file).ok());
        let weight = read(WEIGHT.0, WEIGHT.1)
            .and_then(|text| text.lines().next()?.trim_start_matches("default").trim().parse().ok())
            .and_then(Weight::new)
            .filter(|weight| *weight != Weight::DEFAULT);
        let Some(disk) = self.disk else { return (weight, IoLimits::default()) };
        let values = match dir {
            ControllerDir::V1(_) => KEYS.map(|(file, _)| value_in(&read(file, "")?, disk, None)),
            ControllerDir::V2(_) => {
                let text = read("", "io.max").unwrap_or_default();
                KEYS.map(|(_, key)| value_in(&text, disk, Some(key)))
            }
        };
        (weight, limits_of(values))
    }
}

/// The number that `text` has for `disk`: behind the device, or behind `KEY=`.
fn value_in(text: &str, disk: Disk, key: Option<&str>) -> Option<u64> {
    let device = disk.to_string();
    let rest = text.lines().find_map(|line| line.split_once(' ').filter(|(first, _)| *first == device))?.1;
    let word = match key {
        Some(key) => rest.split(' ').find_map(|word| word.split_once('=').filter(|(first, _)| *first == key))?.1,
        None => rest,
    };
    word.trim().parse().ok()
}

fn values_of(limits: &IoLimits) -> [Option<u64>; 4] {
    let IoLimits { read, write, read_iops, write_iops } = *limits;
    [read.map(|bytes| bytes.0), write.map(|bytes| bytes.0), read_iops.map(u64::from), write_iops.map(u64::from)]
}

fn limits_of([read, write, read_iops, write_iops]: [Option<u64>; 4]) -> IoLimits {
    let operations = |value: Option<u64>| value.and_then(|value| u32::try_from(value).ok());
    IoLimits {
        read: read.map(Bytes),
        write: write.map(Bytes),
        read_iops: operations(read_iops),
        write_iops: operations(write_iops),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disks_limits_are_found_among_those_of_others() {
        let disk = Disk { major: 254, minor: 0 };
        let v2 = "8:0 rbps=5 wbps=max riops=max wiops=max\n254:0 rbps=max wbps=1048576 riops=max wiops=120\n";
        assert_eq!(value_in(v2, disk, Some("wbps")), Some(1 << 20));
        assert_eq!(value_in(v2, disk, Some("rbps")), None);
        assert_eq!(value_in("8:0 7\n254:0 9\n", disk, None), Some(9));
        assert_eq!(value_in("254:01 9\n", disk, None), None);
    }
}
