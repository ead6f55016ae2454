//! Where a fleet file says what no other fleet may have as well.

use std::collections::HashMap;

use super::container::Group;
use super::networks::Declared;
use super::node::Span;
use crate::model::{IpFamily, NetworkName, PerFamily};

/// The places in a fleet file.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// Of the fleet's name.
    pub(super) name: Span,
    networks: HashMap<NetworkName, NetworkPlaces>,
    /// Those of each container, in the order of the fleet's.
    pub(super) containers: Vec<ContainerPlaces>,
}

/// Those of what is written of a network.
#[derive(Debug, Clone, Copy)]
struct NetworkPlaces {
    bridge: Option<Span>,
    subnets: PerFamily<Option<Span>>,
}

/// Those of a container.
#[derive(Debug, Clone)]
pub(super) struct ContainerPlaces {
    /// Of its key, or that of the replicas that it is one of.
    pub(super) key: Span,
    /// Of each of its published ports.
    pub(super) ports: Vec<Span>,
}

impl Places {
    /// The places of the fleet whose name is at `name`.
    pub(super) fn of(name: Span, declared: &[Declared], groups: &[Group]) -> Places {
        let network = |declared: &Declared| {
            let keys = &declared.keys;
            let subnet = keys.subnet.given().map(|subnet| subnet.span);
            let subnets = PerFamily { ipv4: subnet, ipv6: keys.subnet6.given().map(|subnet| subnet.span) };
            (declared.name.clone(), NetworkPlaces { bridge: keys.bridge_place(), subnets })
        };
        let container = |group: &Group| {
            let ports = group.keys.ports.value().into_iter().flatten().map(|port| port.span);
            ContainerPlaces { key: group.key.span, ports: ports.collect() }
        };
        let containers = groups.iter().flat_map(|group| group.names.iter().map(move |_| container(group)));
        Places { name, networks: declared.iter().map(network).collect(), containers: containers.collect() }
    }

    /// Whether something is written of `network` that others may have.
    pub(super) fn has(&self, network: &NetworkName) -> bool {
        self.networks
            .get(network)
            .is_some_and(|places| places.bridge.or(places.subnets.ipv4).or(places.subnets.ipv6).is_some())
    }

    /// Where the bridge of `network` comes from: what is not written is derived from the fleet's name.
    pub(super) fn bridge(&self, network: &NetworkName) -> Span {
        self.networks.get(network).and_then(|places| places.bridge).unwrap_or(self.name)
    }

    /// Where its subnet of `family` comes from.
    pub(super) fn subnet(&self, network: &NetworkName, family: IpFamily) -> Span {
        self.networks.get(network).and_then(|places| *places.subnets.of(family)).unwrap_or(self.name)
    }
}
