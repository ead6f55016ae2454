//! Compares a container with what is asked for, field by field, in words.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::container::Activity;
use super::{Scene, compare_access, compare_guest, compare_limits, compare_links, compare_mounts, image};
use crate::model::{
    Bootstrap, ContainerRecord, ContainerSpec, ImageSource, Init, InitKind, MonitorState, PortForward, Restart,
};

/// One thing in which a container is not as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// Such as `memory 256MiB → 512MiB`.
    pub(super) words: String,
    pub(super) remedy: Remedy,
}

/// What mends a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// A new root file system.
    Rebuild,
    /// New files in the guest that are obeyed when it starts.
    ConfigureAndRestart,
    /// New files in the guest, or a new record; nothing has to stop.
    Configure,
    /// New values in the kernel.
    SetLimits,
    /// Links to be made, changed or removed.
    SetLinks,
    /// The same, and new files in the guest and a new record that tell of it.
    SetLinksAndConfigure,
    /// Something to be mounted or unmounted.
    SetMounts,
    /// A stop and a start.
    Restart,
    /// A start.
    Start,
    /// A monitor for the running init.
    Adopt,
}

impl Remedy {
    /// Whether a running container is stopped for it and started again.
    pub(super) fn restarts(self) -> bool {
        match self {
            Remedy::ConfigureAndRestart | Remedy::Restart => true,
            Remedy::Rebuild
            | Remedy::Configure
            | Remedy::SetLimits
            | Remedy::SetLinks
            | Remedy::SetLinksAndConfigure
            | Remedy::SetMounts
            | Remedy::Start
            | Remedy::Adopt => false,
        }
    }
}

/// Everything in which the container with `record`, which does `activity`, is not what `spec` asks for.
pub(super) fn differences(
    scene: &Scene,
    spec: &ContainerSpec,
    record: &ContainerRecord,
    activity: Activity<'_>,
) -> Vec<Difference> {
    // Taken apart by name, so that a field that is added cannot be forgotten here.
    let ContainerSpec {
        name: _,
        image,
        arch,
        init,
        limits,
        links: _,
        is_on_host_network: _,
        guest,
        stop_timeout_s,
        restart,
        security,
        mounts,
        devices,
        ports,
    } = spec;
    let old = &record.spec;
    let mut found = Differences::default();
    compare_image(&mut found, scene, record, image);
    compare_limits::compare(&mut found, &old.limits, limits, activity.limits());
    found.compare(Remedy::ConfigureAndRestart, "arch", &old.arch, arch);
    found.compare(Remedy::ConfigureAndRestart, "init", &init_word(&old.init), &init_word(init));
    compare_links::compare(&mut found, old, spec);
    compare_links::compare_found(&mut found, scene.host, old, spec, activity.network());
    compare_access::security(&mut found, &old.security, security);
    compare_mounts::compare(&mut found, &old.mounts, mounts, activity.mounts());
    compare_access::devices(&mut found, &old.devices, devices);
    let named =
        |ports: &[PortForward]| -> Vec<(String, ())> { ports.iter().map(|port| (port.to_string(), ())).collect() };
    // The rules are the fleet's; what the container has of them is its record.
    found.compare_named(Remedy::Configure, "ports", &named(&old.ports), &named(ports));
    compare_guest::compare(&mut found, &old.guest, guest);
    if record.hosts != scene.hosts_of(spec) {
        found.note(Remedy::Configure, "hosts: members changed");
    }
    let seconds = |timeout: u32| format!("{timeout}s");
    found.compare(Remedy::Configure, "stop_timeout", &seconds(old.stop_timeout_s), &seconds(*stop_timeout_s));
    // The monitor looks it up when the init has ended.
    found.compare(Remedy::Configure, "restart", &restart_word(old.restart), &restart_word(*restart));
    compare_run(&mut found, activity);
    found.0
}

/// Differences, in the order they were found.
#[derive(Default)]
pub(super) struct Differences(Vec<Difference>);

impl Differences {
    pub(super) fn note(&mut self, remedy: Remedy, words: impl Into<String>) {
        self.0.push(Difference { words: words.into(), remedy });
    }

    /// Notes `FIELD OLD → NEW` if they are not equal.
    pub(super) fn compare<T: PartialEq + Display>(&mut self, remedy: Remedy, field: &str, old: &T, new: &T) {
        if old != new {
            self.note(remedy, format!("{field} {old} → {new}"));
        }
    }

    /// Notes `FIELD +NEW -OLD ~CHANGED` if the lists of named things are not equal.
    pub(super) fn compare_named<T: PartialEq>(
        &mut self,
        remedy: Remedy,
        field: &str,
        old: &[(String, T)],
        new: &[(String, T)],
    ) {
        if old == new {
            return;
        }
        let has = |list: &[(String, T)], name: &str| list.iter().any(|(other, _)| *other == name);
        let mut words = vec![field.to_owned()];
        words.extend(new.iter().filter(|(name, _)| !has(old, name)).map(|(name, _)| format!("+{name}")));
        words.extend(old.iter().filter(|(name, _)| !has(new, name)).map(|(name, _)| format!("-{name}")));
        let kept = new.iter().filter(|(name, _)| has(old, name));
        words.extend(kept.filter(|named| !old.contains(named)).map(|(name, _)| format!("~{name}")));
        if words.len() == 1 {
            // The order matters where ids are given out in turn, or one mount lies in another.
            words.push("in another order".to_owned());
        }
        self.note(remedy, words.join(" "));
    }

    /// The same for lists of things whose names are their own words.
    pub(super) fn compare_list<T: PartialEq + Display>(&mut self, remedy: Remedy, field: &str, old: &[T], new: &[T]) {
        fn named<T: Display>(list: &[T]) -> Vec<(String, &T)> {
            list.iter().map(|thing| (thing.to_string(), thing)).collect()
        }
        self.compare_named(remedy, field, &named(old), &named(new));
    }
}

/// Content decides: the same content from another place is no reason to lose what the guest has written, and an image
/// that cannot be had now is no reason to touch a container that has it.
fn compare_image(found: &mut Differences, scene: &Scene, record: &ContainerRecord, new: &ImageSource) {
    let old = &record.spec.image;
    let same_name = old.to_string() == new.to_string();
    match image::digest_of(scene.host, new) {
        Some(digest) if *digest == record.image => {
            if !same_name {
                found.note(Remedy::Configure, format!("image {old} → {new} (same content)"));
            } else if let (ImageSource::Distro(old), ImageSource::Distro(new)) = (old, new) {
                found.compare(Remedy::Configure, "image server", &old.server, &new.server);
            } else if old != new {
                found.note(Remedy::Configure, format!("image {new}: checksum changed"));
            }
        }
        Some(_) if same_name && let (ImageSource::Bootstrap(old), ImageSource::Bootstrap(new)) = (old, new) => {
            compare_bootstrap(found, old, new);
        }
        Some(digest) if same_name => {
            found.note(Remedy::Rebuild, format!("image content {} → {}", record.image.short(), digest.short()));
        }
        // Where it comes from is recorded when that is known to have it.
        None if same_name && matches!(new, ImageSource::Distro(_)) => {}
        None if same_name && old != new => found.note(Remedy::Rebuild, format!("image {new}: checksum changed")),
        Some(_) | None => found.compare(Remedy::Rebuild, "image", &old.to_string(), &new.to_string()),
    }
}

/// Two requests of one name are two images.
fn compare_bootstrap(found: &mut Differences, old: &Bootstrap, new: &Bootstrap) {
    let Bootstrap { family: _, release: _, arch: _, init, packages, serial } = new;
    let named = |packages: &BTreeSet<String>| -> Vec<(String, ())> {
        packages.iter().map(|package| (package.clone(), ())).collect()
    };
    let word = |serial: &Option<String>| serial.clone().unwrap_or_else(|| "none".to_owned());
    found.compare(Remedy::Rebuild, "image init", &old.init.word(), &init.word());
    found.compare_named(Remedy::Rebuild, "image packages", &named(&old.packages), &named(packages));
    found.compare(Remedy::Rebuild, "image serial", &word(&old.serial), &word(serial));
    if old == new {
        // Another fleet has another way to make it.
        found.note(Remedy::Rebuild, format!("image {new}: made in another way"));
    }
}

fn compare_run(found: &mut Differences, activity: Activity<'_>) {
    match activity {
        Activity::Stopped => found.note(Remedy::Start, "it is stopped"),
        // Its monitor is at it, with pauses that keep a container which ends at once from wearing out the host.
        Activity::Restarting => {}
        Activity::Running(running) => {
            match running.monitor {
                MonitorState::Alive(_) => {}
                MonitorState::Dead => found.note(Remedy::Adopt, "its monitor was killed"),
            }
            if running.is_stopping {
                found.note(Remedy::Restart, "it was being stopped");
            }
        }
    }
}

/// The word for it in a fleet file.
fn init_word(init: &Init) -> String {
    match init {
        Init::Auto => "auto".to_owned(),
        Init::Entrypoint => "entrypoint".to_owned(),
        Init::Kind(kind) => {
            let word = InitKind::ALL.iter().find(|(_, other)| other == kind).map(|(word, _)| *word);
            word.expect("ALL has all of them").to_owned()
        }
        Init::Path(path) => path.display().to_string(),
    }
}

/// The word for it in a fleet file.
fn restart_word(restart: Restart) -> &'static str {
    let word = Restart::ALL.iter().find(|(_, other)| *other == restart).map(|(word, _)| *word);
    word.expect("ALL has all of them")
}
