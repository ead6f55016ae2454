//! An address, or a place on a bridge, that one container gives up and another one gets in the same plan.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Scene;
use super::room::Room;
use super::steps::{Draft, Place};
use crate::model::{ContainerName, ContainerSpec, LinkSpec};

/// The addresses that change hands, and the places on bridges.
#[derive(Debug, Default)]
pub(super) struct Handover {
    /// By containers that stop.
    given_up: BTreeMap<IpAddr, Vec<(ContainerName, Place)>>,
    /// By containers that run on.
    exchanged: BTreeMap<IpAddr, Vec<(ContainerName, Place)>>,
    /// By containers that start.
    wanted: Vec<(IpAddr, ContainerName, Place)>,
    /// By containers that run on.
    wanted_live: Vec<(IpAddr, ContainerName, Place)>,
    room: Room,
}

impl Handover {
    /// The container `name`, which was made as `spec`, stops in the step `stop`.
    pub(super) fn stops(&mut self, name: &ContainerName, spec: &ContainerSpec, stop: Place) {
        for address in addresses(spec) {
            self.given_up.entry(address).or_default().push((name.clone(), stop));
        }
        self.room.stops(name, spec, stop);
    }

    /// The container that is to be as `spec` starts in the step `start`.
    pub(super) fn starts(&mut self, spec: &ContainerSpec, start: Place) {
        self.wanted.extend(addresses(spec).map(|address| (address, spec.name.clone(), start)));
        self.room.starts(spec, start);
    }

    /// The container that was as `before` becomes `after` in the step `change`, and runs on.
    pub(super) fn changes(&mut self, before: &ContainerSpec, after: &ContainerSpec, change: Place) {
        let (old, new): (Vec<IpAddr>, Vec<IpAddr>) = (addresses(before).collect(), addresses(after).collect());
        for address in old.iter().filter(|address| !new.contains(address)) {
            self.exchanged.entry(*address).or_default().push((before.name.clone(), change));
        }
        let wanted = new.iter().filter(|address| !old.contains(address));
        self.wanted_live.extend(wanted.map(|address| (*address, after.name.clone(), change)));
        self.room.changes(before, after, change);
    }

    /// Makes each start wait until nobody else has its addresses, and each change for stops alone: running containers may
    /// trade theirs, and each says where its own are when it has them. No cycle can come of it: no stop waits for a change
    /// or a start, and no change for a start.
    pub(super) fn settle(self, scene: &Scene, draft: &mut Draft) {
        let stops = |address: &IpAddr| self.given_up.get(address).into_iter().flatten();
        let changes = |address: &IpAddr| self.exchanged.get(address).into_iter().flatten();
        for (address, name, start) in &self.wanted {
            let former = stops(address).chain(changes(address)).filter(|(other, _)| other != name);
            draft.wait(*start, former.map(|(_, step)| *step));
        }
        for (address, name, change) in &self.wanted_live {
            let former = stops(address).filter(|(other, _)| other != name);
            draft.wait(*change, former.map(|(_, step)| *step));
        }
        self.room.settle(scene, draft);
    }
}

fn addresses(spec: &ContainerSpec) -> impl Iterator<Item = IpAddr> {
    spec.links.iter().flat_map(LinkSpec::addresses).map(|address| address.addr())
}
