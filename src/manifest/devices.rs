//! `devices`: the host's devices that a container may use.

use std::path::{Path, PathBuf};

use super::findings::Complaint;
use super::keys;
use super::node::{Entry, Node, Placed, Span, Value};
use super::reader::{Reader, Setting, item_place};
use super::scalar;
use crate::model::DeviceSpec;

/// Devices with a name of their own.
const SHORT: [(&str, &str); 3] = [("fuse", "/dev/fuse"), ("tun", "/dev/net/tun"), ("kvm", "/dev/kvm")];

/// What the `/dev` of every container has already.
const TAKEN: [&str; 16] = [
    "console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout",
    "tty", "urandom", "zero",
];

/// The permissions of a device when nothing is said.
const MODE: u32 = 0o666;

/// Reads the list of devices that `entry` has.
pub(super) fn devices(reader: &mut Reader, entry: &Entry) -> Option<Vec<DeviceSpec>> {
    let items = reader.list(entry)?;
    let mut devices: Vec<Placed<DeviceSpec>> = Vec::with_capacity(items.len());
    for node in items {
        let span = item_place(entry.key.span, node);
        let device = match &node.value {
            Value::Mapping(_) => long(reader, span, node),
            Value::Empty | Value::Scalar(_) | Value::List(_) | Value::Broken => {
                let text = reader.item("a device", entry.key.span, node);
                text.and_then(|text| reader.accept(span, short(text)))
            }
        };
        let Some(value) = device else { continue };
        if let Some(other) = devices.iter().find(|other| overlap(&other.value.target, &value.target)) {
            let line = reader.line(other.span);
            reader.complain(span, format!("`{}` is there twice: first in line {line}", value.target.display()));
        }
        devices.push(Placed { value, span });
    }
    (devices.len() == items.len()).then(|| devices.into_iter().map(|device| device.value).collect())
}

/// Whether two devices cannot both be there: `/dev/a` and `/dev/a/b` cannot.
fn overlap(one: &Path, other: &Path) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// A short name, or `SOURCE[:TARGET]`.
fn short(text: &str) -> Result<DeviceSpec, Complaint> {
    if let Some((_, path)) = SHORT.iter().find(|(name, _)| *name == text) {
        return Ok(DeviceSpec { source: path.into(), target: path.into(), mode: MODE });
    }
    if !text.starts_with('/') {
        let words = || SHORT.iter().map(|(name, _)| *name);
        let hint = keys::did_you_mean(text, words())
            .unwrap_or_else(|| format!("write a path below `/dev`, or one of {}", keys::listed(words())));
        return Err(Complaint::new(format!("unknown device `{text}`")).hint(hint));
    }
    let (source, target) = text.split_once(':').unwrap_or((text, text));
    Ok(DeviceSpec { source: device_path(source)?, target: device_target(target)?, mode: MODE })
}

/// One device as a mapping.
fn long(reader: &mut Reader, place: Span, node: &Node) -> Option<DeviceSpec> {
    let section = reader.section("a device", place, node, &keys::DEVICE)?;
    let source = section.scalar(reader, "source", device_path);
    let target = section.scalar(reader, "target", device_target);
    let mode = section.scalar(reader, "mode", |text| scalar::mode(text, 0o777));
    if source.is_absent() {
        let complaint = Complaint::new("a device needs a `source`");
        reader.complain(place, complaint.hint("write `{source: /dev/NAME}`"));
    }
    let target = match (&source, target) {
        (Setting::Given(source), Setting::Absent) => {
            reader.accept(source.span, device_target(&source.value.to_string_lossy()))?
        }
        (_, target) => target.value()?.clone(),
    };
    Some(DeviceSpec { source: source.value()?.clone(), target, mode: mode.value().copied().unwrap_or(MODE) })
}

fn device_path(text: &str) -> Result<PathBuf, Complaint> {
    scalar::guest_path(text)
        .map_err(|_| Complaint::new(format!("`{text}` is not a device's path")).hint("write `/dev/NAME`"))
}

fn device_target(text: &str) -> Result<PathBuf, Complaint> {
    let target = device_path(text)?;
    let Some(name) = target.strip_prefix("/dev").ok().filter(|name| *name != Path::new("")) else {
        let complaint = Complaint::new(format!("a device cannot be at `{}` in the guest", target.display()));
        return Err(complaint.hint("give it a target below `/dev`"));
    };
    let first = name.iter().next().unwrap_or_default();
    if TAKEN.iter().any(|taken| first == *taken) {
        return Err(Complaint::new(format!("every container has its own `/dev/{}`", first.display())));
    }
    Ok(target)
}
