//! `networks` of a container: which networks it has links to, and what is said of each.

use std::net::IpAddr;

use super::findings::Complaint;
use super::keys;
use super::layer::Layer;
use super::node::{Entry, Node, Placed, Span, Value};
use super::reader::{Reader, Section, Setting, item_place};
use super::scalar;
use crate::model::{IpFamily, MacAddress, NetworkName, PerFamily};

/// A link that a container asks for.
#[derive(Debug, Clone)]
pub(super) struct LinkKeys {
    /// The network that it leads to.
    pub(super) network: Placed<String>,
    /// The addresses, of replicas those of the first.
    pub(super) ips: PerFamily<Setting<IpAddr>>,
    pub(super) mac: Setting<MacAddress>,
    /// Its name in the guest.
    pub(super) name: Setting<String>,
}

/// What a container is connected to.
#[derive(Debug, Clone)]
pub(super) enum Networks {
    /// The networks that it has links to; none is nothing.
    Links(Vec<LinkKeys>),
    /// Whatever the host is connected to, in its own network namespace.
    OfHost,
}

/// What to write in place of nothing.
const NO_NETWORKS: &str = "write `networks: none`, or leave it out for the default one";

/// The key of a link's address of `family`.
pub(super) fn ip_key(family: IpFamily) -> &'static str {
    match family {
        IpFamily::Ipv4 => "ip",
        IpFamily::Ipv6 => "ip6",
    }
}

/// Reads the addresses of a container or a link.
pub(super) fn ips(reader: &mut Reader, section: &Section<'_>) -> PerFamily<Setting<IpAddr>> {
    PerFamily::each(|family| section.scalar(reader, ip_key(family), |text| scalar::ip(family, text)))
}

/// Reads `networks` of a container: `none`, `host`, a list of names or mappings, or a mapping of names to mappings as docker compose
/// has it.
pub(super) fn networks(reader: &mut Reader, entry: &Entry) -> Option<Networks> {
    match &entry.node.value {
        Value::Scalar(text) if text == "none" => return Some(Networks::Links(Vec::new())),
        Value::Scalar(text) if text == "host" => return Some(Networks::OfHost),
        Value::Scalar(text) => {
            let complaint = Complaint::new(format!("`{text}` is neither `none` nor `host`"));
            reader.complain(entry.place(), complaint.hint(format!("write `networks: [{text}]` for a network")));
            return None;
        }
        Value::Empty => {
            let complaint = Complaint::new("`networks` has no value");
            reader.complain(entry.place(), complaint.hint(NO_NETWORKS));
            return None;
        }
        Value::List(_) | Value::Mapping(_) | Value::Broken => {}
    }
    links(reader, entry).map(Networks::Links)
}

fn links(reader: &mut Reader, entry: &Entry) -> Option<Vec<LinkKeys>> {
    if let Value::Mapping(_) = entry.node.value {
        let entries = reader.entries("`networks`", entry.key.span, &entry.node)?;
        return entries.into_iter().map(|link| keyed(reader, link)).collect();
    }
    let mut links = Vec::new();
    for node in reader.list(entry)? {
        links.extend(item(reader, item_place(entry.key.span, node), node));
    }
    if let Value::List(items) = &entry.node.value
        && items.is_empty()
    {
        reader.complain(entry.place(), Complaint::new("`networks` names none").hint(NO_NETWORKS));
    }
    check_twice(reader, &links);
    (!links.is_empty()).then_some(links)
}

/// `NAME: {…}`.
fn keyed(reader: &mut Reader, entry: &Entry) -> Option<LinkKeys> {
    let what = format!("the link to `{}`", entry.key.value);
    let section = reader.section(&what, entry.key.span, &entry.node, &keys::KEYED_LINK)?;
    Some(LinkKeys {
        network: entry.key.clone(),
        ips: ips(reader, &section),
        mac: section.scalar(reader, "mac", scalar::mac),
        name: section.scalar(reader, "name", link_name),
    })
}

/// `NAME`, or `{network: NAME, …}`.
fn item(reader: &mut Reader, place: Span, node: &Node) -> Option<LinkKeys> {
    let Value::Mapping(_) = node.value else {
        let network = reader.item("a network", place, node)?.to_owned();
        return Some(LinkKeys::plain(Placed { value: network, span: place }));
    };
    let section = reader.section("a link", place, node, &keys::LINK)?;
    let ips = ips(reader, &section);
    let mac = section.scalar(reader, "mac", scalar::mac);
    let name = section.scalar(reader, "name", link_name);
    match section.scalar(reader, "network", |text| Ok(text.to_owned())) {
        Setting::Given(network) => Some(LinkKeys { network, ips, mac, name }),
        Setting::Wrong => None,
        Setting::Absent => {
            reader.complain(place, Complaint::new("a link needs a `network`").hint("write `{network: NAME}`"));
            None
        }
    }
}

fn check_twice(reader: &mut Reader, links: &[LinkKeys]) {
    for (position, link) in links.iter().enumerate() {
        if let Some(first) = links[..position].iter().find(|other| other.network.value == link.network.value) {
            let line = reader.line(first.network.span);
            let message = format!("the network `{}` is there twice: first in line {line}", link.network.value);
            reader.complain(link.network.span, message);
        }
    }
}

/// The name of a link in the guest: `lo` is there already.
fn link_name(text: &str) -> Result<String, Complaint> {
    if text == "lo" {
        return Err(Complaint::new("`lo` is the guest's own loopback").hint("write `eth1` or the like"));
    }
    scalar::bridge(text)
}

impl LinkKeys {
    /// A link of which nothing is said but its network.
    fn plain(network: Placed<String>) -> LinkKeys {
        LinkKeys { network, ips: PerFamily::default(), mac: Setting::Absent, name: Setting::Absent }
    }

    /// The links of a container that is asked for as `layer` at `place`. Its own `ip`, `ip6` and `mac` are those of the first.
    pub(super) fn of(reader: &mut Reader, layer: &Layer, place: Span) -> Vec<LinkKeys> {
        let mut links = match &layer.networks {
            Setting::Given(Placed { value: Networks::Links(links), .. }) => links.clone(),
            Setting::Absent => {
                vec![LinkKeys::plain(Placed { value: NetworkName::default().to_string(), span: place })]
            }
            Setting::Given(Placed { value: Networks::OfHost, .. }) | Setting::Wrong => Vec::new(),
        };
        if links.is_empty() && !matches!(layer.networks, Setting::Wrong) {
            let ips = IpFamily::ALL.map(|family| (ip_key(family), layer.ips.of(family).given().map(|ip| ip.span)));
            for (key, place) in ips.into_iter().chain([("mac", layer.mac.given().map(|mac| mac.span))]) {
                if let Some(place) = place {
                    let complaint = Complaint::new(format!("`{key}` is that of a link, and there is none"));
                    reader.complain(place, complaint.hint("leave it out, or name a network in `networks`"));
                }
            }
        }
        if let Some(first) = links.first_mut() {
            first.ips =
                PerFamily::each(|family| one_of(reader, ip_key(family), layer.ips.of(family), first.ips.of(family)));
            first.mac = one_of(reader, "mac", &layer.mac, &first.mac);
        }
        check_names(reader, &links);
        links
    }

    /// Its name in the guest, as the link at `position`.
    pub(super) fn name_at(&self, position: usize) -> String {
        self.name.value().cloned().unwrap_or_else(|| format!("eth{position}"))
    }
}

/// What the container says and what its first link says, if only one of them says something.
fn one_of<T: Clone>(reader: &mut Reader, key: &str, container: &Setting<T>, link: &Setting<T>) -> Setting<T> {
    if let (Some(first), Some(second)) = (container.given(), link.given()) {
        let earlier = reader.line(first.span);
        let complaint = Complaint::new(format!("`{key}` of the first link is there twice: first in line {earlier}"));
        reader.complain(second.span, complaint.hint("leave one of them out"));
        return Setting::Wrong;
    }
    container.or(link)
}

/// Finds two links with one name.
fn check_names(reader: &mut Reader, links: &[LinkKeys]) {
    let names: Vec<String> = links.iter().enumerate().map(|(position, link)| link.name_at(position)).collect();
    for (position, name) in names.iter().enumerate() {
        if let Some(first) = names[..position].iter().position(|other| other == name) {
            let both = [position, first].map(|position| links[position].name.given().map(|name| name.span));
            let place = both.into_iter().flatten().next().unwrap_or(links[position].network.span);
            reader.complain(place, format!("two links of a container are called `{name}`"));
        }
    }
}
