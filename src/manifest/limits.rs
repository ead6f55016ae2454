//! The keys of a container that say what it may use.

use super::findings::Complaint;
use super::keys;
use super::node::{Entry, Value};
use super::reader::{Reader, Section, Setting, item_place};
use super::scalar;
use crate::model::{Bytes, CpuSet, Cpus, IoLimits, Limits, Weight};

/// The keys of one layer.
#[derive(Debug, Clone, Default)]
pub(super) struct LimitKeys {
    memory: Setting<Bytes>,
    memory_high: Setting<Bytes>,
    swap: Setting<Bytes>,
    cpus: Setting<Cpus>,
    cpu_weight: Setting<Weight>,
    cpuset: Setting<CpuSet>,
    pids: Setting<u32>,
    io_weight: Setting<Weight>,
    io: Setting<IoLimits>,
}

impl LimitKeys {
    /// Reads them from the layer that `section` is.
    pub(super) fn read(reader: &mut Reader, section: &Section<'_>) -> LimitKeys {
        LimitKeys {
            memory: section.scalar(reader, "memory", scalar::memory),
            memory_high: section.scalar(reader, "memory_high", scalar::memory),
            swap: section.scalar(reader, "swap", scalar::swap),
            cpus: section.scalar(reader, "cpus", scalar::cpus),
            cpu_weight: section.scalar(reader, "cpu_weight", scalar::weight),
            cpuset: section.setting(reader, "cpuset", cpuset),
            pids: section.scalar(reader, "pids", scalar::pids),
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
            memory: self.memory.value().copied(),
            memory_high: self.memory_high.value().copied(),
            swap: self.swap.value().copied(),
            cpus: self.cpus.value().copied(),
            cpu_weight: own_weight(&self.cpu_weight),
            cpuset: self.cpuset.value().cloned(),
            pids: self.pids.value().copied(),
            io_weight: own_weight(&self.io_weight),
            io: self.io.value().copied().unwrap_or_default(),
        }
    }
}

/// `cpuset` as one text, or as a list of numbers and ranges.
fn cpuset(reader: &mut Reader, entry: &Entry) -> Option<CpuSet> {
    let Value::List(items) = &entry.node.value else {
        let text = reader.text(entry)?;
        return reader.accept(entry.place(), scalar::cpuset(text));
    };
    let mut parts = Vec::with_capacity(items.len());
    for node in items {
        let text = reader.item("a processor", entry.key.span, node);
        let part = text.and_then(|text| reader.accept(item_place(entry.key.span, node), scalar::cpuset(text)));
        parts.extend(part.map(|part| part.to_string()));
    }
    if items.is_empty() {
        let complaint = Complaint::new("`cpuset` names no processor");
        reader.complain(entry.place(), complaint.hint("leave the key out for all of them"));
    }
    if parts.len() < items.len() || items.is_empty() {
        return None;
    }
    reader.accept(entry.place(), scalar::cpuset(&parts.join(",")))
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
