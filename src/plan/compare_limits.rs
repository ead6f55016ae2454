//! Compares what a container may use with what is asked for.

use std::fmt::Display;

use super::compare::{Differences, Remedy};
use crate::model::{Bytes, Cpus, IoLimits, Limits, Weight};

/// What the kernel may take off a memory limit: it keeps whole pages, of 64 KiB on some arm64 kernels.
const LARGEST_PAGE: u64 = 64 << 10;

/// Compares the limits `old` that were asked for with the `new` ones, and with those in force if the container runs.
pub(super) fn compare(found: &mut Differences, old: &Limits, new: &Limits, running: Option<&Limits>) {
    // Taken apart by name, so that a limit that is added cannot be forgotten here.
    let Limits { memory, memory_high, swap, cpus, cpu_weight, cpuset, pids, io_weight, io } = new;
    let IoLimits { read, write, read_iops, write_iops } = *io;
    // Of a container that does not run nothing is in force that could be wrong.
    let now = running.unwrap_or(new);
    let about_the_same = |a: &Bytes, b: &Bytes| a.0.abs_diff(b.0) < LARGEST_PAGE;
    compare_limit(found, "memory", (old.memory, *memory, now.memory), about_the_same);
    compare_limit(found, "memory_high", (old.memory_high, *memory_high, now.memory_high), about_the_same);
    compare_limit(found, "swap", (old.swap, *swap, now.swap), about_the_same);
    compare_limit(found, "cpus", (old.cpus, *cpus, now.cpus), Cpus::eq);
    compare_limit(found, "cpu_weight", (old.cpu_weight, *cpu_weight, now.cpu_weight), Weight::eq);
    compare_limit(found, "cpuset", (old.cpuset.as_ref(), cpuset.as_ref(), now.cpuset.as_ref()), PartialEq::eq);
    compare_limit(found, "pids", (old.pids, *pids, now.pids), u32::eq);
    compare_limit(found, "io_weight", (old.io_weight, *io_weight, now.io_weight), Weight::eq);
    compare_limit(found, "io read", (old.io.read, read, now.io.read), Bytes::eq);
    compare_limit(found, "io write", (old.io.write, write, now.io.write), Bytes::eq);
    compare_limit(found, "io read_iops", (old.io.read_iops, read_iops, now.io.read_iops), u32::eq);
    compare_limit(found, "io write_iops", (old.io.write_iops, write_iops, now.io.write_iops), u32::eq);
}

/// Compares the limit that was asked for, the one that is, and the one in force.
fn compare_limit<T: PartialEq + Display>(
    found: &mut Differences,
    field: &str,
    (old, new, in_force): (Option<T>, Option<T>, Option<T>),
    same: impl Fn(&T, &T) -> bool,
) {
    let is_kept = match (&in_force, &new) {
        (None, None) => true,
        (Some(in_force), Some(new)) => same(in_force, new),
        (Some(_), None) | (None, Some(_)) => false,
    };
    let word = |limit: Option<T>| limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
    if old != new {
        found.note(Remedy::SetLimits, format!("{field} {} → {}", word(old), word(new)));
    } else if !is_kept {
        found
            .note(Remedy::SetLimits, format!("{field} is {}, not {} (changed on the host)", word(in_force), word(new)));
    }
}
