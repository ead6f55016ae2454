//! `mounts`: what of the host's files, or of the fleet's own, a container sees.

use std::path::{Path, PathBuf};

use super::files::Files;
use super::findings::Complaint;
use super::keys;
use super::node::{Entry, Node, Placed, Span, Value};
use super::reader::{Reader, Section, Setting, item_place};
use super::scalar;
use crate::model::{MountIds, MountSource, MountSpec};

/// Mount points that every container has for itself.
const TAKEN: [&str; 4] = ["/", "/proc", "/sys", "/dev"];

/// Where nothing at all can be mounted: the kernel makes what is below.
const CLOSED: [&str; 2] = ["/proc", "/sys"];

/// The longest name of a volume.
const LONGEST_VOLUME: usize = 64;

/// What is mounted, before its own keys are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bind,
    Overlay,
    Volume,
    Tmpfs,
}

impl Kind {
    const ALL: [(&'static str, Kind); 4] =
        [("bind", Kind::Bind), ("overlay", Kind::Overlay), ("volume", Kind::Volume), ("tmpfs", Kind::Tmpfs)];

    fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, kind)| *kind == self).map_or("", |(word, _)| word)
    }

    /// The keys that mean something besides `type`, `target` and `read_only`.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Kind::Bind => &["source", "ids", "recursive"],
            Kind::Overlay | Kind::Volume => &["source"],
            Kind::Tmpfs => &["size", "mode"],
        }
    }
}

/// Reads the list of mounts that `entry` has.
pub(super) fn mounts(reader: &mut Reader, entry: &Entry) -> Option<Vec<MountSpec>> {
    let items = reader.list(entry)?;
    let mut mounts: Vec<Placed<MountSpec>> = Vec::with_capacity(items.len());
    for node in items {
        let span = item_place(entry.key.span, node);
        let mount = match &node.value {
            Value::Mapping(_) => long(reader, span, node),
            Value::Empty | Value::Scalar(_) | Value::List(_) | Value::Broken => {
                let text = reader.item("a mount", entry.key.span, node);
                let mount = text.map(|text| short(&reader.files, text));
                mount.and_then(|mount| reader.accept(span, mount))
            }
        };
        let Some(value) = mount else { continue };
        let mount = Placed { value, span };
        check_beside(reader, &mounts, &mount);
        mounts.push(mount);
    }
    (mounts.len() == items.len()).then(|| mounts.into_iter().map(|mount| mount.value).collect())
}

/// Finds a mount that takes the place of an earlier one, or covers it.
fn check_beside(reader: &mut Reader, earlier: &[Placed<MountSpec>], mount: &Placed<MountSpec>) {
    let target = &mount.value.target;
    let Some(other) = earlier.iter().find(|other| other.value.target.starts_with(target)) else { return };
    let (there, line) = (other.value.target.display(), reader.line(other.span));
    let complaint = if other.value.target == *target {
        Complaint::new(format!("`{there}` is mounted twice: first in line {line}"))
    } else {
        Complaint::new(format!("a mount at `{}` would cover the one at `{there}` in line {line}", target.display()))
            .hint("list the outer one first")
    };
    reader.complain(mount.span, complaint);
}

/// What stands behind the second colon.
#[derive(Debug, Default)]
struct Options {
    read_only: bool,
    recursive: bool,
    overlay: bool,
    ids: MountIds,
}

/// `SOURCE:TARGET[:OPTIONS]`, as users of docker compose write it.
fn short(files: &Files, text: &str) -> Result<MountSpec, Complaint> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [source, target] => (*source, *target, ""),
        // No option begins like a path.
        [source, target, options] if !options.starts_with('/') => (*source, *target, *options),
        [_] => return Err(Complaint::new(format!("`{text}` has no target")).hint("write `SOURCE:TARGET`")),
        _ => {
            let hint = "paths with colons need the long form: `{type: bind, source: …, target: …}`";
            return Err(Complaint::new(format!("`{text}` has too many colons")).hint(hint));
        }
    };
    let Options { read_only, recursive, overlay, ids } = self::options(options)?;
    let target = mount_target(target)?;
    let is_plain = !recursive && ids == MountIds::Host;
    let source = match (is_path(source), overlay) {
        (true, false) => MountSource::Bind { path: files.existing(source)?, ids, recursive },
        (true, true) if is_plain => MountSource::Overlay { path: overlay_path(files, source)? },
        (true, true) => return Err(Complaint::new("`overlay` goes with no other option but `ro` and `rw`")),
        (false, false) if is_plain => MountSource::Volume { name: volume_name(source)? },
        (false, _) => {
            return Err(Complaint::new(format!("the volume `{source}` takes no option but `ro` and `rw`"))
                .hint("a path begins with `/`, `./`, `../` or `~/`"));
        }
    };
    Ok(MountSpec { source, target, read_only })
}

fn options(text: &str) -> Result<Options, Complaint> {
    /// Each word is one key of the long form.
    const WORDS: [&str; 7] = ["ro", "rw", "rbind", "overlay", "idmap=host", "idmap=guest", "idmap=owner"];
    let mut options = Options::default();
    let mut access = None;
    let mut ids = None;
    for word in text.split(',').filter(|_| !text.is_empty()) {
        match word {
            "ro" | "rw" if access.is_none_or(|other| other == word) => access = Some(word),
            "ro" | "rw" => return Err(Complaint::new("`ro` and `rw` exclude each other")),
            "rbind" => options.recursive = true,
            "overlay" => options.overlay = true,
            _ => match word.strip_prefix("idmap=") {
                Some(_) if ids.is_some() => return Err(Complaint::new("a mount has one `idmap`")),
                Some(whom) => ids = Some(scalar::one_of("kind of `idmap`", whom, &MountIds::ALL)?),
                None => {
                    let hint = keys::did_you_mean(word, WORDS.into_iter());
                    let hint = hint.unwrap_or_else(|| format!("the options are {}", keys::listed(WORDS.into_iter())));
                    return Err(Complaint::new(format!("unknown option `{word}`")).hint(hint));
                }
            },
        }
    }
    Ok(Options { read_only: access == Some("ro"), ids: ids.unwrap_or_default(), ..options })
}

/// Whether a source is a path of the host and not the name of a volume.
fn is_path(source: &str) -> bool {
    ["/", "./", "../", "~/"].iter().any(|start| source.starts_with(start)) || matches!(source, "." | ".." | "~")
}

/// One mount as a mapping.
fn long(reader: &mut Reader, place: Span, node: &Node) -> Option<MountSpec> {
    let section = reader.section("a mount", place, node, &keys::MOUNT)?;
    let target = section.scalar(reader, "target", mount_target);
    let read_only = section.scalar(reader, "read_only", scalar::truth);
    let kind = section.scalar(reader, "type", |text| scalar::one_of("type of mount", text, &Kind::ALL));
    for (key, is_absent) in [("type", kind.is_absent()), ("target", target.is_absent())] {
        if is_absent {
            let complaint = Complaint::new(format!("a mount needs a `{key}`"));
            reader.complain(place, complaint.hint("write `{type: bind, source: PATH, target: PATH}`"));
        }
    }
    let kind = *kind.value()?;
    check_keys(reader, &section, kind);
    let source = source(reader, place, &section, kind)?;
    Some(MountSpec {
        source,
        target: target.value()?.clone(),
        read_only: read_only.value().copied().unwrap_or_default(),
    })
}

/// Finds keys that say nothing of this kind of mount.
fn check_keys(reader: &mut Reader, section: &Section<'_>, kind: Kind) {
    for key in ["source", "ids", "recursive", "size", "mode"] {
        if let (Some(entry), false) = (section.entry(key), kind.keys().contains(&key)) {
            let message = format!("`{key}` says nothing of a mount of type `{}`", kind.word());
            reader.complain(entry.key.span, message);
        }
    }
}

fn source(reader: &mut Reader, place: Span, section: &Section<'_>, kind: Kind) -> Option<MountSource> {
    match kind {
        Kind::Bind => {
            let ids = section.scalar(reader, "ids", |text| scalar::one_of("kind of `ids`", text, &MountIds::ALL));
            let recursive = section.scalar(reader, "recursive", scalar::truth);
            let path = named(reader, place, section, kind, Files::existing)?;
            Some(MountSource::Bind { path, ids: value_or_default(&ids), recursive: value_or_default(&recursive) })
        }
        Kind::Overlay => Some(MountSource::Overlay { path: named(reader, place, section, kind, overlay_path)? }),
        Kind::Volume => {
            Some(MountSource::Volume { name: named(reader, place, section, kind, |_, text| volume_name(text))? })
        }
        Kind::Tmpfs => {
            let size = section.scalar(reader, "size", scalar::some_bytes);
            let mode = section.scalar(reader, "mode", |text| scalar::mode(text, 0o1777));
            Some(MountSource::Tmpfs { size: size.value().copied(), mode: mode.value().copied() })
        }
    }
}

/// What `source` names, which must be there.
fn named<T>(
    reader: &mut Reader,
    place: Span,
    section: &Section<'_>,
    kind: Kind,
    read: impl FnOnce(&Files, &str) -> Result<T, Complaint>,
) -> Option<T> {
    let Some(entry) = section.entry("source") else {
        reader.complain(place, format!("a mount of type `{}` needs a `source`", kind.word()));
        return None;
    };
    let text = reader.text(entry)?;
    let source = read(&reader.files, text);
    reader.accept(entry.place(), source)
}

fn value_or_default<T: Copy + Default>(setting: &Setting<T>) -> T {
    setting.value().copied().unwrap_or_default()
}

fn overlay_path(files: &Files, text: &str) -> Result<PathBuf, Complaint> {
    let path = files.existing(text)?;
    if path.is_file() {
        return Err(Complaint::new(format!("`{}` is a file: only a directory can be overlaid", path.display())));
    }
    Ok(path)
}

fn mount_target(text: &str) -> Result<PathBuf, Complaint> {
    let target = scalar::guest_path(text)?;
    let is_below = |closed: &&str| target.starts_with(closed);
    if TAKEN.iter().any(|taken| target == Path::new(taken)) || CLOSED.iter().any(is_below) {
        return Err(Complaint::new(format!("nothing can be mounted at `{}`", target.display()))
            .hint("a container has its own file systems there"));
    }
    Ok(target)
}

/// The name of a volume, which is that of a directory too.
fn volume_name(text: &str) -> Result<String, Complaint> {
    let good = text.len() <= LONGEST_VOLUME
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if good {
        return Ok(text.to_owned());
    }
    let complaint = Complaint::new(format!("`{text}` is neither a path nor the name of a volume"));
    Err(if text.contains('/') {
        complaint.hint(format!("did you mean `./{text}`?"))
    } else {
        complaint.hint("a volume's name is made of letters, digits, `.`, `_` and `-`, a letter or digit first")
    })
}
