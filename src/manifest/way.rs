//! `type`, `parent`, `mode`, `gateway` and `gateway6` of a network: whether fleet makes it, and how else containers get there.

use std::net::IpAddr;

use super::findings::Complaint;
use super::keys::{did_you_mean, listed};
use super::node::Span;
use super::reader::{Reader, Section, Setting};
use super::scalar;
use crate::model::{IpFamily, IpvlanMode, LinkWay, MacvlanMode, PerFamily};

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
    gateways: PerFamily<Setting<IpAddr>>,
}

impl WayKeys {
    /// Reads them from the mapping `network`, called `what`.
    pub(super) fn read(reader: &mut Reader, what: &str, network: &Section<'_>) -> WayKeys {
        let kind = network.scalar(reader, "type", |text| scalar::one_of("type of network", text, &TYPES));
        let parent = network.scalar(reader, "parent", scalar::bridge);
        let gateways =
            PerFamily::each(|family| network.scalar(reader, gateway_key(family), |text| scalar::ip(family, text)));
        let mode = network.scalar(reader, "mode", |text| Ok(text.to_owned()));
        let way = way(reader, what, kind.given().map_or(Type::Bridge, |kind| kind.value), &mode);
        if parent.is_absent() {
            let place = kind.given().filter(|kind| kind.value != Type::Bridge).map(|kind| kind.span);
            if let Some(place) = place {
                let complaint = Complaint::new(format!("{what} needs a `parent`: the link of the host that it shares"));
                reader.complain(place, complaint.hint("write `parent: eth0` or the like"));
            }
            for family in IpFamily::ALL {
                let Some(given) = gateways.of(family).given() else { continue };
                let complaint =
                    Complaint::new("the gateway of a network of fleet's own is the host: the subnet's first address");
                reader.complain(given.span, complaint.hint(format!("leave `{}` out", gateway_key(family))));
            }
        }
        let way = parent.given().and(way);
        WayKeys { way, parent, gateways }
    }

    /// The way and the link of the host's, if the network is one that the host has without fleet.
    pub(super) fn outer(&self) -> Option<(LinkWay, &str)> {
        Some((self.way?, self.parent.value()?))
    }

    /// The gateway of `family` that is given, with its place.
    pub(super) fn gateway(&self, family: IpFamily) -> Option<(IpAddr, Span)> {
        self.gateways.of(family).given().map(|gateway| (gateway.value, gateway.span))
    }
}

/// The key of a network's gateway of `family`.
fn gateway_key(family: IpFamily) -> &'static str {
    match family {
        IpFamily::Ipv4 => "gateway",
        IpFamily::Ipv6 => "gateway6",
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
