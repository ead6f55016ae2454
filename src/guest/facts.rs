//! What templates can say of a container.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use serde::Serialize;

use crate::model::{ContainerRecord, HostEntry};
use crate::template::{Data, TemplateError, TemplateName, Templates};

/// The data of every template.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Facts<'a> {
    /// Name of the fleet.
    fleet: &'a str,
    /// Name of the container.
    container: &'a str,
    /// The guest's host name.
    hostname: &'a str,
    /// The content of `/etc/machine-id`.
    machine_id: &'a str,
    /// Address of `eth0`: `10.42.0.5`.
    address: Ipv4Addr,
    /// Length of the subnet's prefix: `24`.
    prefix: u8,
    /// The same as a mask: `255.255.255.0`.
    netmask: Ipv4Addr,
    /// Address and prefix: `10.42.0.5/24`.
    cidr: Ipv4Net,
    /// The default route: `10.42.0.1`.
    gateway: Ipv4Addr,
    /// Link-layer address of `eth0`: `02:…`.
    mac: String,
    /// Name servers.
    pub(super) dns: Vec<IpAddr>,
    /// The fleet's host table, each line with `address` and `names`; the guest's own line names its `hostname` too.
    hosts: Vec<HostEntry>,
    /// All users besides root, in the fleet file's order.
    users: Vec<UserFacts<'a>>,
    /// The user that a template of one user is about.
    user: Option<UserFacts<'a>>,
}

/// What templates can say of a user.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct UserFacts<'a> {
    /// Login name.
    name: &'a str,
    /// Whether the user may become root without a password.
    sudo: bool,
}

/// The templates of one guest with their data.
#[derive(Debug)]
pub(super) struct Renderer<'a> {
    templates: Templates,
    data: Data,
    users: Vec<UserFacts<'a>>,
}

impl<'a> Renderer<'a> {
    /// Compiles what `record` replaces and gathers the data.
    pub(super) fn new(
        record: &'a ContainerRecord,
        hosts: &[HostEntry],
        dns: Vec<IpAddr>,
    ) -> Result<Renderer<'a>, TemplateError> {
        let templates = Templates::builtin_with(&record.spec.guest.templates)?;
        let facts = facts(record, hosts, dns);
        Ok(Renderer { templates, data: Data::new(&facts), users: facts.users })
    }

    /// The text of template `name`.
    pub(super) fn render(&self, name: TemplateName) -> Result<String, TemplateError> {
        self.templates.render(name, &self.data)
    }

    /// The text of template `name`, which is about the user `user`.
    pub(super) fn render_for(&self, name: TemplateName, user: &str) -> Result<String, TemplateError> {
        let user = self.users.iter().find(|known| known.name == user).copied();
        self.templates.render(name, &self.data.with("user", &user))
    }
}

fn facts<'a>(record: &'a ContainerRecord, hosts: &[HostEntry], dns: Vec<IpAddr>) -> Facts<'a> {
    let (link, guest) = (&record.spec.link, &record.spec.guest);
    Facts {
        fleet: record.fleet.as_str(),
        container: record.spec.name.as_str(),
        hostname: &guest.hostname,
        machine_id: &guest.machine_id.0,
        address: link.address.addr(),
        prefix: link.address.prefix_len(),
        netmask: link.address.netmask(),
        cidr: link.address,
        gateway: link.gateway,
        mac: link.mac.to_string(),
        dns,
        hosts: hosts_with_own_name(hosts, link.address.addr(), &guest.hostname),
        users: guest.users.iter().map(|user| UserFacts { name: &user.name, sudo: user.sudo }).collect(),
        user: None,
    }
}

/// The table in which the guest finds its own host name, whatever that is: sudo(8) and many servers look it up.
fn hosts_with_own_name(hosts: &[HostEntry], address: Ipv4Addr, hostname: &str) -> Vec<HostEntry> {
    let mut hosts = hosts.to_vec();
    if hosts.iter().any(|entry| entry.names.iter().any(|name| name == hostname)) {
        return hosts;
    }
    match hosts.iter_mut().find(|entry| entry.address == address) {
        Some(own) => own.names.push(hostname.to_owned()),
        None => hosts.push(HostEntry { address, names: vec![hostname.to_owned()] }),
    }
    hosts
}
