//! Starting and stopping containers as they are.

use std::collections::BTreeSet;

use super::container::{Found, find};
use super::steps::Draft;
use super::{Scene, conflict, image, network, rules};
use crate::model::{
    Action, Consequence, ContainerName, ContainerRecord, ContainerSpec, Fleet, Host, LinkSpec, LinkWay, NetworkName,
    NetworkSpec, OuterNetwork, Ownership, Plan, RunState,
};

/// What [`power`] makes of containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// They run.
    Start,
    /// They do not.
    Stop,
}

/// A container of the fleet, its record, and what it does.
type Ours<'a> = (&'a ContainerName, &'a ContainerRecord, &'a RunState);

/// The plan that starts or stops the containers `names` of `fleet` and changes nothing else but the networks and images that
/// a start needs. That a stop takes a container down is what was asked for, so it has no consequence besides.
#[must_use]
pub fn power(fleet: &Fleet, host: &Host, names: &[ContainerName], to: Power) -> Plan {
    let scene = Scene::new(fleet, host);
    let mut draft = Draft::default();
    let mut ours = Vec::new();
    let mut seen = BTreeSet::new();
    for name in names.iter().filter(|name| seen.insert(*name)) {
        match find(&scene, name) {
            Found::Nothing => draft.refuse(conflict::absent_container(name)),
            Found::Refused(conflict) => draft.refuse(conflict),
            Found::Ours(record, run) => ours.push((name, record, run)),
        }
    }
    match to {
        Power::Start => start(&scene, &ours, &mut draft),
        Power::Stop => stop(&ours, &mut draft),
    }
    conflict::refuse_what_host_lacks(host, &mut draft);
    draft.finish(fleet)
}

fn start(scene: &Scene, ours: &[Ours], draft: &mut Draft) {
    const STOPPING: &str = "it was being stopped";
    let mut stopped = Vec::new();
    for (name, record, run) in ours {
        match run {
            RunState::Running(running) if running.is_stopping => {
                let stop = Action::Stop { name: (*name).clone(), timeout_s: record.spec.stop_timeout_s };
                stopped.push((*name, *record, STOPPING, Some(draft.add(stop, STOPPING, Consequence::None))));
            }
            RunState::Running(_) | RunState::Restarting(_) => {}
            RunState::Incomplete(why) => draft.refuse(conflict::incomplete_container(name, why)),
            RunState::Stopped => stopped.push((*name, *record, "it is stopped", None)),
        }
    }
    if stopped.is_empty() {
        return;
    }
    let started: Vec<&ContainerSpec> = stopped.iter().map(|(_, record, ..)| &record.spec).collect();
    let fleet = as_made(scene, &started, draft);
    let scene = &Scene::new(&fleet, scene.host);
    let mut ground = network::ensure(scene, draft);
    rules::ensure(scene, &mut ground, draft);
    let has_image = |record: &&ContainerRecord| image::digest_of(scene.host, &record.spec.image) == Some(&record.image);
    let records = stopped.iter().map(|(_, record, ..)| *record).filter(has_image);
    let fetches = image::fetch(scene.host, records.map(|record| &record.spec.image), draft);
    for (name, record, reason, stop) in stopped {
        let start = draft.add(Action::Start(name.clone()), reason, Consequence::None);
        draft.wait(start, ground.needed_by(&record.spec));
        draft.wait(start, fetches.get(&record.image).copied());
        draft.wait(start, stop);
    }
    rules::check(scene, draft);
    network::check_parents(scene, draft);
}

/// The fleet as its containers were made, whatever its file says of them by now, with those of its networks that `started` are
/// on. A record does not say what a network is like, so that is the file's word, unless some container was made for another
/// one: to make that network what the file says would cut the container off, and is for an apply.
fn as_made(scene: &Scene, started: &[&ContainerSpec], draft: &mut Draft) -> Fleet {
    let Scene { fleet, .. } = scene;
    let mut containers = made(scene);
    let needed: BTreeSet<&NetworkName> =
        started.iter().flat_map(|spec| &spec.links).map(|link| &link.network).collect();
    let mut usable = BTreeSet::new();
    for name in needed {
        let own = fleet.network(name);
        let outer = fleet.outer.iter().find(|outer| outer.name == *name);
        let is_so = |link: &LinkSpec| {
            own.is_some_and(|network| fits(network, link)) || outer.is_some_and(|outer| fits_outer(outer, link))
        };
        let mut members = started.iter().copied().chain(&containers);
        match members.find(|spec| spec.link_to(name).is_some_and(|link| !is_so(link))) {
            None => drop(usable.insert(name)),
            Some(spec) => draft.refuse(conflict::other_network(&spec.name, name, own.is_some() || outer.is_some())),
        }
    }
    for spec in &mut containers {
        // Where they lead to is left as it is.
        if !fleet.published_link(spec).is_some_and(|link| usable.contains(&link.network)) {
            spec.ports.clear();
        }
    }
    let networks = fleet.networks.iter().filter(|network| usable.contains(&network.name)).cloned().collect();
    let outer = fleet.outer.iter().filter(|outer| usable.contains(&outer.name)).cloned().collect();
    Fleet { networks, outer, containers, ..(*fleet).clone() }
}

/// The containers of the fleet that the host has, as they are recorded: in the order of the file, which the rules have, and
/// then those beyond it.
fn made(scene: &Scene) -> Vec<ContainerSpec> {
    let of_file: BTreeSet<&ContainerName> = scene.fleet.containers.iter().map(|spec| &spec.name).collect();
    let beyond = scene.host.containers.keys().filter(|name| !of_file.contains(name));
    let names = scene.fleet.containers.iter().map(|spec| &spec.name).chain(beyond);
    let records = names.filter_map(|name| match &scene.host.containers.get(name)?.ownership {
        Ownership::Ours(record) if record.fleet == scene.fleet.name => Some(record.spec.clone()),
        Ownership::Ours(_) | Ownership::Foreign => None,
    });
    records.collect()
}

/// Whether a container with `link` reaches the host and the other members when the network is as `network` says.
fn fits(network: &NetworkSpec, link: &LinkSpec) -> bool {
    let leads_there =
        || link.parent == network.bridge || network.segments().any(|segment| segment.bridge == link.parent);
    link.way == LinkWay::Bridge
        && link.mtu == network.mtu
        && link.port.isolated == network.isolated
        && link.addresses().all(|address| network.subnets().any(|subnet| subnet == address.trunc()))
        && link.gateways().all(|gateway| network.host_addresses().any(|host| host.addr() == gateway))
        && leads_there()
}

fn fits_outer(outer: &OuterNetwork, link: &LinkSpec) -> bool {
    link.way == outer.way && link.parent == outer.parent
}

fn stop(ours: &[Ours], draft: &mut Draft) {
    for (name, record, run) in ours {
        let (reason, timeout_s) = match run {
            RunState::Stopped => continue,
            RunState::Running(_) => ("it runs", record.spec.stop_timeout_s),
            RunState::Restarting(_) => ("it is being restarted", record.spec.stop_timeout_s),
            RunState::Incomplete(why) => (why.as_str(), 0),
        };
        draft.add(Action::Stop { name: (*name).clone(), timeout_s }, reason, Consequence::None);
    }
}
