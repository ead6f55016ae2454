//! `type`, `parent`, `mode` and `gateway` of a network: whether fleet makes it, and how else containers get there.

use std::net::Ipv4Addr;

use super::findings::Complaint;
use super::keys::{did_you_mean, listed};
use super::node::Span;
use super::reader::{Reader, Section, Setting};
use super::scalar;
use crate::model::{IpvlanMode, LinkWay, MacvlanMode};

/// The types of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Bridge,
    Macvlan,
    Ipvlan,
}

const TYPES: [(&str, Type); 3] = [("bridge", Type::Bridge), ("macvlan", Type::Macvlan), ("ipvlan", Type::Ipvlan)];

/// Those keys of a network.
#[derive(Debug, Default)]
pub(super) struct WayKeys {
    /// The way to the network that the host has without fleet, if it is such a one.
    way: Option<LinkWay>,
    parent: Setting<String>,
    pub(super) gateway: Setting<Ipv4Addr>,
}

impl WayKeys {
    /// Reads them from the mapping `network`, called `what`.
    pub(super) fn read(reader: &mut Reader, what: &str, network: &Section<'_>) -> WayKeys {
        let kind = network.scalar(reader, "type", |text| scalar::one_of("type of network", text, &TYPES));
        let parent = network.scalar(reader, "parent", scalar::bridge);
        let gateway = network.scalar(reader, "gateway", scalar::ip);
        let mode = network.scalar(reader, "mode", |text| Ok(text.to_owned()));
        let way = way(reader, what, kind.given().map_or(Type::Bridge, |kind| kind.value), &mode);
        if parent.is_absent() {
            let place = kind.given().filter(|kind| kind.value != Type::Bridge).map(|kind| kind.span);
            if let Some(place) = place {
                let complaint = Complaint::new(format!("{what} needs a `parent`: the link of the host that it shares"));
                reader.complain(place, complaint.hint("write `parent: eth0` or the like"));
            }
            if let Some(given) = gateway.given() {
                let complaint =
                    Complaint::new("the gateway of a network of fleet's own is the host: the subnet's first address");
                reader.complain(given.span, complaint.hint("leave `gateway` out"));
            }
        }
        let way = parent.given().and(way);
        WayKeys { way, parent, gateway }
    }

    /// The way and the link of the host's, if the network is one that the host has without fleet.
    pub(super) fn outer(&self) -> Option<(LinkWay, &str)> {
        Some((self.way?, self.parent.value()?))
    }

    /// Where the gateway is given, with it.
    pub(super) fn gateway_place(&self) -> Option<(Ipv4Addr, Span)> {
        self.gateway.given().map(|gateway| (gateway.value, gateway.span))
    }
}

fn way(reader: &mut Reader, what: &str, kind: Type, mode: &Setting<String>) -> Option<LinkWay> {
    let Some(word) = mode.given() else {
        return Some(match kind {
            Type::Bridge => LinkWay::Bridge,
            Type::Macvlan => LinkWay::Macvlan(MacvlanMode::default()),
            Type::Ipvlan => LinkWay::Ipvlan(IpvlanMode::default()),
        });
    };
    let parsed = match kind {
        Type::Bridge => Err(Complaint::new(format!("{what} is a bridge, which has no `mode`")).hint("leave it out")),
        Type::Macvlan => mode_of(&word.value, &MacvlanMode::ALL).map(LinkWay::Macvlan),
        Type::Ipvlan => mode_of(&word.value, &IpvlanMode::ALL).map(LinkWay::Ipvlan),
    };
    reader.accept(word.span, parsed)
}

fn mode_of<T: Copy>(text: &str, all: &[(&'static str, T)]) -> Result<T, Complaint> {
    let found = all.iter().find(|(word, _)| *word == text).map(|(_, mode)| *mode);
    found.ok_or_else(|| {
        let words = || all.iter().map(|(word, _)| *word);
        let hint = did_you_mean(text, words()).unwrap_or_else(|| format!("write one of {}", listed(words())));
        Complaint::new(format!("unknown mode `{text}`")).hint(hint)
    })
}
