//! An address that one container gives up and another one gets in the same plan.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::steps::{Draft, Place};
use crate::model::{ContainerName, ContainerSpec, LinkSpec};

/// The addresses that change hands.
#[derive(Debug, Default)]
pub(super) struct Handover {
    given_up: BTreeMap<IpAddr, Vec<(ContainerName, Place)>>,
    wanted: Vec<(IpAddr, ContainerName, Place)>,
}

impl Handover {
    /// The container `name`, which was made as `spec`, stops in the step `stop`.
    pub(super) fn stops(&mut self, name: &ContainerName, spec: &ContainerSpec, stop: Place) {
        for address in addresses(spec) {
            self.given_up.entry(address).or_default().push((name.clone(), stop));
        }
    }

    /// The container that is to be as `spec` starts in the step `start`.
    pub(super) fn starts(&mut self, spec: &ContainerSpec, start: Place) {
        self.wanted.extend(addresses(spec).map(|address| (address, spec.name.clone(), start)));
    }

    /// Makes each start wait until nobody else has its addresses. No cycle can come of it: no stop waits for a start.
    pub(super) fn settle(self, draft: &mut Draft) {
        for (address, name, start) in self.wanted {
            let stops = self.given_up.get(&address).into_iter().flatten();
            draft.wait(start, stops.filter(|(other, _)| *other != name).map(|(_, stop)| *stop));
        }
    }
}

fn addresses(spec: &ContainerSpec) -> impl Iterator<Item = IpAddr> {
    spec.links.iter().flat_map(LinkSpec::addresses).map(|address| address.addr())
}
