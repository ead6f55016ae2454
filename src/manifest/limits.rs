//! The keys of a container that say what it may use.

use super::findings::Complaint;
use super::keys;
use super::node::{Entry, Value};
use super::reader::{Reader, Section, Setting, item_place};
use super::scalar;
use crate::model::{Bytes, CpuSet, Cpus, IoLimits, Limits, Weight};

/// Undoes the limit of a lower layer, as it does for `rlimits`.
const UNLIMITED: &str = "unlimited";

/// What others write for it: cgroup files, systemd, docker.
const OTHER_WORDS: [&str; 5] = ["max", "none", "infinity", "inf", "-1"];

/// What is said of something that can be limited.
#[derive(Debug, Clone)]
enum Limit<T> {
    Unlimited,
    Of(T),
}

/// The keys of one layer.
#[derive(Debug, Clone, Default)]
pub(super) struct LimitKeys {
    memory: Setting<Limit<Bytes>>,
    memory_high: Setting<Limit<Bytes>>,
    swap: Setting<Limit<Bytes>>,
    cpus: Setting<Limit<Cpus>>,
    cpu_weight: Setting<Weight>,
    cpuset: Setting<Limit<CpuSet>>,
    pids: Setting<Limit<u32>>,
    io_weight: Setting<Weight>,
    io: Setting<IoLimits>,
}

impl LimitKeys {
    /// Reads them from the layer that `section` is.
    pub(super) fn read(reader: &mut Reader, section: &Section<'_>) -> LimitKeys {
        LimitKeys {
            memory: section.setting(reader, "memory", |reader, entry| limit(reader, entry, scalar::memory)),
            memory_high: section.setting(reader, "memory_high", |reader, entry| limit(reader, entry, scalar::memory)),
            swap: section.setting(reader, "swap", |reader, entry| limit(reader, entry, scalar::swap)),
            cpus: section.setting(reader, "cpus", |reader, entry| limit(reader, entry, scalar::cpus)),
            cpu_weight: section.scalar(reader, "cpu_weight", scalar::weight),
            cpuset: section.setting(reader, "cpuset", cpuset),
            pids: section.setting(reader, "pids", |reader, entry| limit(reader, entry, scalar::pids)),
            io_weight: section.scalar(reader, "io_weight", scalar::weight),
            io: section.setting(reader, "io", io),
        }
    }

    /// These keys on top of those `below`.
    pub(super) fn over(&self, below: &LimitKeys) -> LimitKeys {
        LimitKeys {
            memory: self.memory.or(&below.memory),
            memory_high: self.memory_high.or(&below.memory_high),
            swap: self.swap.or(&below.swap),
            cpus: self.cpus.or(&below.cpus),
            cpu_weight: self.cpu_weight.or(&below.cpu_weight),
            cpuset: self.cpuset.or(&below.cpuset),
            pids: self.pids.or(&below.pids),
            io_weight: self.io_weight.or(&below.io_weight),
            io: self.io.or(&below.io),
        }
    }

    /// What they ask for. A weight that everything has is none of the container's own; it can be given all the same,
    /// to undo that of a lower layer.
    pub(super) fn limits(&self) -> Limits {
        let own_weight = |weight: &Setting<Weight>| weight.value().copied().filter(|own| *own != Weight::DEFAULT);
        Limits {
            memory: own(&self.memory),
            memory_high: own(&self.memory_high),
            swap: own(&self.swap),
            cpus: own(&self.cpus),
            cpu_weight: own_weight(&self.cpu_weight),
            cpuset: own(&self.cpuset),
            pids: own(&self.pids),
            io_weight: own_weight(&self.io_weight),
            io: self.io.value().copied().unwrap_or_default(),
        }
    }
}

/// What `setting` limits to, if it does.
fn own<T: Clone>(setting: &Setting<Limit<T>>) -> Option<T> {
    match setting.value()? {
        Limit::Unlimited => None,
        Limit::Of(limit) => Some(limit.clone()),
    }
}

/// The limit that `parse` reads, or `unlimited`.
fn limit<T>(reader: &mut Reader, entry: &Entry, parse: impl FnOnce(&str) -> Result<T, Complaint>) -> Option<Limit<T>> {
    if matches!(entry.node.value, Value::Empty) {
        let complaint = Complaint::new(format!("`{}` has no value", entry.key.value));
        reader.complain(entry.place(), complaint.hint("write `unlimited` for no limit"));
        return None;
    }
    let text = reader.text(entry)?;
    let limit = if text == UNLIMITED {
        Ok(Limit::Unlimited)
    } else if OTHER_WORDS.iter().any(|word| word.eq_ignore_ascii_case(text)) || text.eq_ignore_ascii_case(UNLIMITED) {
        Err(Complaint::new(format!("`{text}` is not a limit")).hint("did you mean `unlimited`?"))
    } else {
        parse(text).map(Limit::Of)
    };
    reader.accept(entry.place(), limit)
}

/// `cpuset` as one text, or as a list of numbers and ranges.
fn cpuset(reader: &mut Reader, entry: &Entry) -> Option<Limit<CpuSet>> {
    let Value::List(items) = &entry.node.value else {
        return limit(reader, entry, scalar::cpuset);
    };
    let mut parts = Vec::with_capacity(items.len());
    for node in items {
        let text = reader.item("a processor", entry.key.span, node);
        let part = text.and_then(|text| reader.accept(item_place(entry.key.span, node), scalar::cpuset(text)));
        parts.extend(part.map(|part| part.to_string()));
    }
    if items.is_empty() {
        let complaint = Complaint::new("`cpuset` names no processor");
        reader.complain(entry.place(), complaint.hint("write `unlimited` for all of them, or leave the key out"));
    }
    if parts.len() < items.len() || items.is_empty() {
        return None;
    }
    reader.accept(entry.place(), scalar::cpuset(&parts.join(","))).map(Limit::Of)
}

fn io(reader: &mut Reader, entry: &Entry) -> Option<IoLimits> {
    let section = reader.section("`io`", entry.key.span, &entry.node, &keys::IO)?;
    Some(IoLimits {
        read: section.scalar(reader, "read", scalar::some_bytes).value().copied(),
        write: section.scalar(reader, "write", scalar::some_bytes).value().copied(),
        read_iops: section.scalar(reader, "read_iops", scalar::operations).value().copied(),
        write_iops: section.scalar(reader, "write_iops", scalar::operations).value().copied(),
    })
}
