//! Templates tried before there is a guest.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::HostTables;
use super::facts::Renderer;
use crate::model::{ContainerSpec, FleetName};
use crate::template::{TemplateError, TemplateName};

/// What is wrong with those of the built-in templates that `spec`, a container of `fleet`, replaces: each as it is used
/// there, the host table being that of a fleet of nobody else.
#[must_use]
pub fn wrong_templates(fleet: &FleetName, spec: &ContainerSpec) -> Vec<TemplateError> {
    let replaced = spec.guest.templates.iter();
    replaced.filter_map(|(name, text)| tried(fleet, spec, name, text).err()).collect()
}

fn tried(fleet: &FleetName, spec: &ContainerSpec, name: &str, text: &str) -> Result<(), TemplateError> {
    let template: TemplateName = name.parse()?;
    let mut alone = spec.clone();
    alone.guest.templates = BTreeMap::from([(name.to_owned(), text.to_owned())]);
    let hosts = HostTables::new(Vec::new()).of(Vec::new());
    // Which name servers the host has does not matter to a template.
    let dns = if spec.guest.dns.is_empty() { vec![IpAddr::from(Ipv4Addr::LOCALHOST)] } else { spec.guest.dns.clone() };
    let renderer = Renderer::new(fleet, &alone, hosts, dns)?;
    let mut admins = spec.guest.users.iter().filter(|user| user.sudo);
    match template {
        TemplateName::Hosts | TemplateName::Hostname | TemplateName::ResolvConf | TemplateName::Interfaces => {
            renderer.render(template).map(drop)
        }
        TemplateName::Networkd => renderer.render_for_links(template).map(drop),
        TemplateName::Sudoers => admins.try_for_each(|user| renderer.render_for(template, &user.name).map(drop)),
        // Without anybody it is not written.
        TemplateName::Doas if admins.next().is_none() => Ok(()),
        TemplateName::Doas => renderer.render(template).map(drop),
    }
}
