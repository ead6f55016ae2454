//! Limits as the kernel's files spell them.
//!
//! v1: Documentation/admin-guide/cgroup-v1/{memory,pids,cpusets}.rst, Documentation/scheduler/sched-bwc.rst;
//! v2: Documentation/admin-guide/cgroup-v2.rst. Reading and writing of disks is in `io`.

use std::fs;
use std::io;
use std::path::PathBuf;

use super::io::{Disk, IoFiles};
use crate::model::{Bytes, CpuSet, Cpus, IoLimits, Limits, Weight};

/// The period that processor time is dealt out in, in microseconds: the kernel's default.
const PERIOD_US: u64 = 100_000;

/// The limit of memory from which on version 1 means "none", in bytes: `LONG_MAX` rounded down to pages.
const V1_UNLIMITED: u64 = 0x7fff_ffff_f000;

/// The share of processor time that version 1 gives to what nothing is said of.
const V1_DEFAULT_SHARES: u64 = 1024;

/// Where the limits of one container are, for each controller: a version 1 or a version 2 directory.
#[derive(Debug, Clone)]
pub(super) struct LimitFiles {
    pub(super) memory: Option<ControllerDir>,
    pub(super) cpu: Option<ControllerDir>,
    pub(super) cpuset: Option<ControllerDir>,
    pub(super) pids: Option<ControllerDir>,
    pub(super) io: Option<ControllerDir>,
    pub(super) disk: Option<Disk>,
}

/// A directory in which one controller is at work.
#[derive(Debug, Clone)]
pub(super) enum ControllerDir {
    V1(PathBuf),
    V2(PathBuf),
}

impl ControllerDir {
    /// The file of that name in this version; `None` if this version has none.
    pub(super) fn file(&self, v1: &str, v2: &str) -> Option<PathBuf> {
        let (dir, name) = match self {
            ControllerDir::V1(dir) => (dir, v1),
            ControllerDir::V2(dir) => (dir, v2),
        };
        (!name.is_empty()).then(|| dir.join(name))
    }
}

impl LimitFiles {
    /// Sets all limits, those that are `None` to none. A missing controller matters only if a limit needs it.
    pub(super) fn set(&self, limits: &Limits) -> io::Result<()> {
        self.set_memory(limits)?;
        self.set_processors(limits)?;
        self.set_pids(limits)?;
        self.set_io(limits)
    }

    /// Sets the limits of a group that was just made, and so has none: the files of those that are `None` are left
    /// alone. There are a dozen of them, and each would be read before it is written.
    pub(super) fn set_first(&self, limits: &Limits) -> io::Result<()> {
        let Limits { memory, memory_high, swap, cpus, cpu_weight, cpuset, pids, io_weight, io } = limits;
        if memory.is_some() || memory_high.is_some() || swap.is_some() {
            self.set_memory(limits)?;
        }
        if cpus.is_some() || cpu_weight.is_some() || cpuset.is_some() {
            self.set_processors(limits)?;
        }
        if pids.is_some() {
            self.set_pids(limits)?;
        }
        if io_weight.is_some() || *io != IoLimits::default() {
            self.set_io(limits)?;
        }
        Ok(())
    }

    fn set_memory(&self, limits: &Limits) -> io::Result<()> {
        let dir = self.memory.as_ref();
        let text = |bytes: Option<Bytes>| bytes.map(|bytes| bytes.0.to_string());
        let Some(ControllerDir::V1(_)) = dir else {
            write_limit(dir, "memory", ("", "memory.max"), text(limits.memory).as_deref(), "max")?;
            write_limit(dir, "memory", ("", "memory.high"), text(limits.memory_high).as_deref(), "max")?;
            return write_limit(dir, "memory", ("", "memory.swap.max"), text(limits.swap).as_deref(), "max");
        };
        if limits.memory_high.is_some() {
            return Err(io::Error::other("`memory_high` needs the memory controller of cgroup version 2"));
        }
        // Version 1 counts memory and swap together, and the sum may never be below memory alone.
        let sum = limits.swap.and_then(|swap| Some(Bytes(limits.memory?.0.saturating_add(swap.0))));
        let memory = ("memory.limit_in_bytes", text(limits.memory));
        let memory_and_swap = ("memory.memsw.limit_in_bytes", text(sum));
        let now = read_number(dir, memory_and_swap.0, "").unwrap_or(u64::MAX);
        let grows = limits.memory.map_or(u64::MAX, |memory| memory.0) > now;
        let order = if grows { [memory_and_swap, memory] } else { [memory, memory_and_swap] };
        for (file, text) in order {
            write_limit(dir, "memory", (file, ""), text.as_deref(), "-1")?;
        }
        Ok(())
    }

    fn set_processors(&self, limits: &Limits) -> io::Result<()> {
        let quota = limits.cpus.map(|cpus| u64::from(cpus.millis) * PERIOD_US / 1000);
        let weight = limits.cpu_weight.map(|weight| u64::from(weight.get()));
        let dir = self.cpu.as_ref();
        if let Some(ControllerDir::V1(_)) = dir {
            let (text, shares) = (quota.map(|quota| quota.to_string()), weight.map(shares_of));
            write_limit(dir, "cpu", ("cpu.cfs_quota_us", ""), text.as_deref(), "-1")?;
            let shares = shares.map(|shares| shares.to_string());
            write_limit(dir, "cpu", ("cpu.shares", ""), shares.as_deref(), &V1_DEFAULT_SHARES.to_string())?;
        } else {
            let text = quota.map(|quota| format!("{quota} {PERIOD_US}"));
            write_limit(dir, "cpu", ("", "cpu.max"), text.as_deref(), &format!("max {PERIOD_US}"))?;
            let weight = weight.map(|weight| weight.to_string());
            write_limit(dir, "cpu", ("", "cpu.weight"), weight.as_deref(), &Weight::DEFAULT.to_string())?;
        }
        self.set_cpuset(limits.cpuset.as_ref())
    }

    fn set_pids(&self, limits: &Limits) -> io::Result<()> {
        let pids = limits.pids.map(|pids| pids.to_string());
        write_limit(self.pids.as_ref(), "pids", ("pids.max", "pids.max"), pids.as_deref(), "max")
    }

    fn set_io(&self, limits: &Limits) -> io::Result<()> {
        IoFiles { dir: self.io.as_ref(), disk: self.disk }.set(limits)
    }

    fn set_cpuset(&self, cpuset: Option<&CpuSet>) -> io::Result<()> {
        let dir = self.cpuset.as_ref();
        let Some(cpuset) = cpuset else {
            // Old kernels do not let go of a set while there are processes: then it is that of all processors.
            let all = dir.and_then(ControllerDir::parent_cpus).filter(|_| !self.has_no_cpuset());
            return all.map_or(Ok(()), |all| write_limit(dir, "cpuset", ("cpuset.cpus", "cpuset.cpus"), None, &all));
        };
        write_limit(dir, "cpuset", ("cpuset.cpus", "cpuset.cpus"), Some(&cpuset.to_string()), "")
    }

    /// Whether the group has never been given a set of processors, which only version 2 knows.
    fn has_no_cpuset(&self) -> bool {
        let file = self.cpuset.as_ref().and_then(|dir| dir.file("cpuset.cpus", "cpuset.cpus"));
        file.is_some_and(|file| fs::read_to_string(file).is_ok_and(|text| text.trim().is_empty()))
    }

    /// The limits in force, of a container that `asked` was asked for.
    pub(super) fn read(&self, asked: &Limits) -> Limits {
        let memory_dir = self.memory.as_ref();
        let bytes = |v1: &str, v2: &str| read_number(memory_dir, v1, v2).filter(|bytes| *bytes < V1_UNLIMITED);
        let memory = bytes("memory.limit_in_bytes", "memory.max");
        let swap = match memory_dir {
            Some(ControllerDir::V1(_)) => {
                bytes("memory.memsw.limit_in_bytes", "").and_then(|sum| sum.checked_sub(memory?))
            }
            Some(ControllerDir::V2(_)) | None => bytes("", "memory.swap.max"),
        };
        let quota = read_number(self.cpu.as_ref(), "cpu.cfs_quota_us", "cpu.max");
        let weight = read_number(self.cpu.as_ref(), "cpu.shares", "cpu.weight");
        let weight = match &self.cpu {
            Some(ControllerDir::V1(_)) => weight.map(weight_of),
            Some(ControllerDir::V2(_)) | None => weight,
        };
        let pids = read_number(self.pids.as_ref(), "pids.max", "pids.max");
        let (io_weight, io) = IoFiles { dir: self.io.as_ref(), disk: self.disk }.read();
        Limits {
            memory: memory.map(Bytes),
            memory_high: bytes("", "memory.high").map(Bytes),
            swap: swap.map(Bytes),
            cpus: quota.and_then(|quota| u32::try_from(quota * 1000 / PERIOD_US).ok()).map(|millis| Cpus { millis }),
            cpu_weight: weight.and_then(Weight::new).filter(|weight| *weight != Weight::DEFAULT),
            cpuset: self.read_cpuset(asked.cpuset.is_some()),
            pids: pids.and_then(|pids| u32::try_from(pids).ok()),
            io_weight,
            io,
        }
    }

    /// The set of processors. That of the parent is none of the group's own, unless it was asked for.
    fn read_cpuset(&self, is_asked: bool) -> Option<CpuSet> {
        let dir = self.cpuset.as_ref()?;
        let text = fs::read_to_string(dir.file("cpuset.cpus", "cpuset.cpus")?).ok()?;
        let is_inherited = !is_asked && dir.parent_cpus().is_some_and(|all| all == text.trim());
        if is_inherited { None } else { text.parse().ok() }
    }

    /// Memory in use.
    pub(super) fn memory_used(&self) -> Option<Bytes> {
        read_number(self.memory.as_ref(), "memory.usage_in_bytes", "memory.current").map(Bytes)
    }
}

impl ControllerDir {
    /// The processors of the group above.
    fn parent_cpus(&self) -> Option<String> {
        let file = match self {
            ControllerDir::V1(dir) => dir.parent()?.join("cpuset.cpus"),
            ControllerDir::V2(dir) => dir.parent()?.join("cpuset.cpus.effective"),
        };
        fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
    }
}

/// Version 1 calls the default 1024 where version 2 calls it 100.
fn shares_of(weight: u64) -> u64 {
    (weight * V1_DEFAULT_SHARES + 50) / 100
}

fn weight_of(shares: u64) -> u64 {
    (shares * 100 + V1_DEFAULT_SHARES / 2) / V1_DEFAULT_SHARES
}

/// Writes `limit`, or the word for `none`, to the file that this version has for it; what stands there already is not
/// written again. A file that is not there matters only if there is a limit.
pub(super) fn write_limit(
    dir: Option<&ControllerDir>,
    controller: &str,
    (v1, v2): (&str, &str),
    limit: Option<&str>,
    none: &str,
) -> io::Result<()> {
    let file = dir.and_then(|dir| dir.file(v1, v2)).filter(|file| limit.is_some() || file.exists());
    let Some(file) = file else {
        return match limit {
            Some(_) => Err(io::Error::other(format!("this host has no `{controller}` cgroup controller for it"))),
            None => Ok(()),
        };
    };
    let text = limit.unwrap_or(none);
    if fs::read_to_string(&file).is_ok_and(|now| now.trim_end() == text) {
        return Ok(());
    }
    fs::write(&file, text).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot write `{text}` to `{}`: {error}", file.display()))
    })
}

/// The first word of the file that this version has, if it is a number that is not negative: `max` and `-1` are not.
fn read_number(dir: Option<&ControllerDir>, v1: &str, v2: &str) -> Option<u64> {
    fs::read_to_string(dir?.file(v1, v2)?).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_comes_back_from_the_shares_that_it_became() {
        assert_eq!(shares_of(100), V1_DEFAULT_SHARES);
        assert!((1..=10_000).all(|weight| weight_of(shares_of(weight)) == weight));
    }
}
