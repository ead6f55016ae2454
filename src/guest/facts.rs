//! What templates can say of a container.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{Ipv4Net, Ipv6Net};
use serde::Serialize;

use super::host_table::HostTable;
use crate::model::{ContainerSpec, FleetName, HostEntry, LinkSpec};
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
    /// The first link's; of a template that is about one link, that link's.
    #[serde(flatten)]
    link: LinkFacts<'a>,
    /// All links.
    links: Vec<LinkFacts<'a>>,
    /// Name servers.
    pub(super) dns: Vec<IpAddr>,
    /// The fleet's host table, each line with `address` and `names`; the guest's own line names its `hostname` too.
    hosts: Vec<HostEntry>,
    /// All users besides root, in the fleet file's order.
    users: Vec<UserFacts<'a>>,
    /// The user that a template of one user is about.
    user: Option<UserFacts<'a>>,
}

/// What templates can say of a link. Without an address all that comes of it is null.
#[derive(Debug, Clone, Default, Serialize)]
struct LinkFacts<'a> {
    /// Its name in the guest: `eth0`.
    link: &'a str,
    /// Address: `10.42.0.5`.
    address: Option<Ipv4Addr>,
    /// Length of the subnet's prefix: `24`.
    prefix: Option<u8>,
    /// The same as a mask: `255.255.255.0`.
    netmask: Option<Ipv4Addr>,
    /// Address and prefix: `10.42.0.5/24`.
    cidr: Option<Ipv4Net>,
    /// The default route, if it leads there: `10.42.0.1`.
    gateway: Option<Ipv4Addr>,
    /// The same of IPv6: `fd00::5`, `64`, `fd00::5/64`, `fd00::1`.
    address6: Option<Ipv6Addr>,
    prefix6: Option<u8>,
    cidr6: Option<Ipv6Net>,
    gateway6: Option<Ipv6Addr>,
    /// Link-layer address: `02:…`.
    mac: String,
}

impl<'a> LinkFacts<'a> {
    fn new(link: &'a LinkSpec) -> LinkFacts<'a> {
        LinkFacts {
            link: &link.name,
            address: link.address.map(|address| address.addr()),
            prefix: link.address.map(|address| address.prefix_len()),
            netmask: link.address.map(|address| address.netmask()),
            cidr: link.address,
            gateway: link.gateway,
            address6: link.address6.map(|address| address.addr()),
            prefix6: link.address6.map(|address| address.prefix_len()),
            cidr6: link.address6,
            gateway6: link.gateway6,
            mac: link.mac.to_string(),
        }
    }
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
    spec: &'a ContainerSpec,
    hosts: Arc<HostTable>,
}

impl<'a> Renderer<'a> {
    /// Compiles what `spec`, a container of `fleet`, replaces and gathers the data.
    pub(super) fn new(
        fleet: &'a FleetName,
        spec: &'a ContainerSpec,
        hosts: Arc<HostTable>,
        dns: Vec<IpAddr>,
    ) -> Result<Renderer<'a>, TemplateError> {
        let guest = &spec.guest;
        let templates = Templates::builtin_with(&guest.templates)?;
        // No other built-in template looks at it, and it is long.
        let own_hosts = if shares_hosts(spec, &hosts) {
            Vec::new()
        } else {
            hosts.with_own_name(spec.addresses(), &guest.hostname)
        };
        let facts = facts(fleet, spec, own_hosts, dns);
        Ok(Renderer { templates, data: Data::new(&facts), users: facts.users, spec, hosts })
    }

    /// The text of `/etc/hosts`.
    pub(super) fn hosts(&self) -> Result<Cow<'_, str>, TemplateError> {
        if !shares_hosts(self.spec, &self.hosts) {
            return self.render(TemplateName::Hosts).map(Cow::Owned);
        }
        if let Some(text) = self.hosts.shared_text.get() {
            return Ok(Cow::Borrowed(text));
        }
        let text = self.templates.render(TemplateName::Hosts, &self.data.with("hosts", &self.hosts.entries()))?;
        Ok(Cow::Borrowed(self.hosts.shared_text.get_or_init(|| text)))
    }

    /// The text of template `name`.
    pub(super) fn render(&self, name: TemplateName) -> Result<String, TemplateError> {
        self.templates.render(name, &self.data)
    }

    /// The links of the guest.
    pub(super) fn links(&self) -> &'a [LinkSpec] {
        &self.spec.links
    }

    /// The texts of template `name`, which is about one link, each with the name of its link.
    pub(super) fn render_for_links(&self, name: TemplateName) -> Result<Vec<(&'a str, String)>, TemplateError> {
        let text = |link: &'a LinkSpec| {
            let data = self.data.with_all(&LinkFacts::new(link));
            Ok((link.name.as_str(), self.templates.render(name, &data)?))
        };
        self.links().iter().map(text).collect()
    }

    /// The text of template `name`, which is about the user `user`.
    pub(super) fn render_for(&self, name: TemplateName, user: &str) -> Result<String, TemplateError> {
        let user = self.users.iter().find(|known| known.name == user).copied();
        self.templates.render(name, &self.data.with("user", &user))
    }
}

/// Whether the guest's host table is that of all others: the built-in template says nothing of a single guest.
fn shares_hosts(spec: &ContainerSpec, hosts: &HostTable) -> bool {
    spec.guest.templates.is_empty() && hosts.names(&spec.guest.hostname)
}

fn facts<'a>(fleet: &'a FleetName, spec: &'a ContainerSpec, hosts: Vec<HostEntry>, dns: Vec<IpAddr>) -> Facts<'a> {
    let guest = &spec.guest;
    let links: Vec<LinkFacts<'_>> = spec.links.iter().map(LinkFacts::new).collect();
    Facts {
        fleet: fleet.as_str(),
        container: spec.name.as_str(),
        hostname: &guest.hostname,
        machine_id: &guest.machine_id.0,
        link: links.first().cloned().unwrap_or_default(),
        links,
        dns,
        hosts,
        users: guest.users.iter().map(|user| UserFacts { name: &user.name, sudo: user.sudo }).collect(),
        user: None,
    }
}
