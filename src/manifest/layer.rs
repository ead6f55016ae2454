//! The keys of a container, as `defaults`, a profile or the container itself gives them, and how these lie on each
//! other: `defaults` lowest, then the profiles in the order listed, then the container's own keys.
//!
//! A key of a higher layer replaces that of a lower one whole. Lists and mappings too: what a container has is what its
//! nearest `users:`, `mounts:` or `io:` says, and nothing is joined behind the reader's back.

use std::net::IpAddr;

use super::devices::devices;
use super::image::image;
use super::keys;
use super::limits::LimitKeys;
use super::links::{Networks, ips, networks};
use super::mounts::mounts;
use super::node::{Entry, Node, Placed, Span};
use super::ports::ports;
use super::reader::{Reader, Setting, item_place};
use super::scalar;
use super::security::SecurityKeys;
use super::ssh_keys::ssh_keys;
use super::users::users;
use crate::model::{DeviceSpec, ImageSource, Init, MacAddress, MountSpec, PerFamily, PortForward, Restart, UserSpec};

/// The keys of one layer. An image counts as one key, whether by `distro` or by `image`.
#[derive(Debug, Clone, Default)]
pub(super) struct Layer {
    pub(super) replicas: Setting<u32>,
    pub(super) profiles: Setting<Vec<Placed<String>>>,
    pub(super) image: Setting<ImageSource>,
    pub(super) arch: Setting<&'static str>,
    pub(super) init: Setting<Init>,
    pub(super) limits: LimitKeys,
    pub(super) ips: PerFamily<Setting<IpAddr>>,
    pub(super) mac: Setting<MacAddress>,
    pub(super) hostname: Setting<String>,
    pub(super) users: Setting<Vec<UserSpec>>,
    pub(super) ssh_keys: Setting<Vec<String>>,
    pub(super) mounts: Setting<Vec<MountSpec>>,
    pub(super) devices: Setting<Vec<DeviceSpec>>,
    pub(super) security: SecurityKeys,
    pub(super) restart: Setting<Restart>,
    pub(super) stop_timeout: Setting<u32>,
    pub(super) ports: Setting<Vec<Placed<PortForward>>>,
    pub(super) networks: Setting<Networks>,
}

impl Layer {
    /// Reads the layer that `node`, called `what`, is.
    pub(super) fn read(reader: &mut Reader, what: &str, place: Span, node: &Node) -> Layer {
        let Some(section) = reader.section(what, place, node, &keys::CONTAINER) else {
            // Nobody knows what it would have said: no finding may rest on a key that it lacks.
            return Layer { image: Setting::Wrong, ..Layer::default() };
        };
        Layer {
            replicas: section.scalar(reader, "replicas", scalar::replicas),
            profiles: section.setting(reader, "profiles", profile_names),
            image: image(reader, &section),
            arch: section.scalar(reader, "arch", scalar::arch),
            init: section.scalar(reader, "init", scalar::init),
            limits: LimitKeys::read(reader, &section),
            ips: ips(reader, &section),
            mac: section.scalar(reader, "mac", scalar::mac),
            hostname: section.scalar(reader, "hostname", scalar::hostname),
            users: section.setting(reader, "users", users),
            ssh_keys: section.setting(reader, "ssh_keys", ssh_keys),
            mounts: section.setting(reader, "mounts", mounts),
            devices: section.setting(reader, "devices", devices),
            security: SecurityKeys::read(reader, &section),
            restart: section.scalar(reader, "restart", scalar::restart),
            stop_timeout: section.scalar(reader, "stop_timeout", scalar::stop_timeout),
            ports: section.setting(reader, "ports", ports),
            networks: section.setting(reader, "networks", networks),
        }
    }

    /// This layer on top of `below`.
    pub(super) fn over(&self, below: &Layer) -> Layer {
        Layer {
            replicas: self.replicas.or(&below.replicas),
            profiles: self.profiles.or(&below.profiles),
            image: self.image.or(&below.image),
            arch: self.arch.or(&below.arch),
            init: self.init.or(&below.init),
            limits: self.limits.over(&below.limits),
            ips: PerFamily::each(|family| self.ips.of(family).or(below.ips.of(family))),
            mac: self.mac.or(&below.mac),
            hostname: self.hostname.or(&below.hostname),
            users: self.users.or(&below.users),
            ssh_keys: self.ssh_keys.or(&below.ssh_keys),
            mounts: self.mounts.or(&below.mounts),
            devices: self.devices.or(&below.devices),
            security: self.security.over(&below.security),
            restart: self.restart.or(&below.restart),
            stop_timeout: self.stop_timeout.or(&below.stop_timeout),
            ports: self.ports.or(&below.ports),
            networks: self.networks.or(&below.networks),
        }
    }
}

fn profile_names(reader: &mut Reader, entry: &Entry) -> Option<Vec<Placed<String>>> {
    let mut names = Vec::new();
    for node in reader.list(entry)? {
        if let Some(name) = reader.item("a profile's name", entry.key.span, node) {
            names.push(Placed { value: name.to_owned(), span: item_place(entry.key.span, node) });
        }
    }
    Some(names)
}
