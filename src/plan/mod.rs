//! What it takes to make a host equal a fleet. Pure: no file, net, clock or chance, and it never fails.
//!
//! Start at [`plan`]: `container` judges each container of the fleet, `compare` finds the words for what differs,
//! `change` turns a judgement into steps, and `steps` puts them in order; before all, `spread` gives the members of large
//! networks their bridges. What must not be touched becomes a conflict, never a step.

mod change;
mod compare;
mod compare_access;
mod compare_guest;
mod compare_limits;
mod compare_links;
mod compare_mounts;
mod conflict;
mod container;
mod drift;
mod handover;
mod ids;
mod image;
mod neighbours;
mod network;
mod power;
mod room;
mod rules;
mod segments;
mod spread;
mod steps;
mod surplus;

pub use drift::{drift, host_drift};
pub use power::{Power, power};
pub use spread::spread;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{ContainerSpec, Fleet, Host, NetworkName, Plan, host_table, hosts_digest};

/// The plan that makes `host` equal `fleet`; empty when it does already. Same input, same plan.
///
/// A plan with conflicts is there to be shown: its steps leave out whatever the conflicts concern.
#[must_use]
pub fn plan(fleet: &Fleet, host: &Host) -> Plan {
    let fleet = &*spread::spread(fleet, host);
    let scene = Scene::new(fleet, host);
    let mut draft = steps::Draft::default();
    let judged: Vec<_> = fleet.containers.iter().map(|spec| (spec, container::judge(&scene, spec))).collect();
    let mut ground = network::ensure(&scene, &mut draft);
    rules::ensure(&scene, &mut ground, &mut draft);
    neighbours::ensure(&scene, &mut ground, &mut draft);
    let needed = judged.iter().filter(|(spec, verdict)| verdict.needs_image(&scene, spec)).map(|(spec, _)| &spec.image);
    let fetches = image::fetch(host, needed, &mut draft);
    let mut changes = change::Changes::new(&scene, draft, &ground, fetches);
    for (spec, verdict) in judged {
        changes.make(spec, verdict);
    }
    let mut draft = changes.finish();
    surplus::delete_volumes(&scene, &mut draft);
    rules::delete(&scene, &mut draft);
    neighbours::restore(&scene, &mut draft);
    network::delete(&scene, &ground, &mut draft);
    rules::check(&scene, &mut draft);
    network::check_parents(&scene, &mut draft);
    conflict::refuse_what_host_lacks(host, &mut draft);
    draft.finish(fleet)
}

/// What a plan is made from.
struct Scene<'a> {
    fleet: &'a Fleet,
    host: &'a Host,
    /// The digest of the host table of the containers that are on these networks.
    hosts: BTreeMap<Vec<NetworkName>, String>,
}

impl<'a> Scene<'a> {
    fn new(fleet: &'a Fleet, host: &'a Host) -> Scene<'a> {
        let kinds: BTreeSet<Vec<NetworkName>> = fleet.containers.iter().map(ContainerSpec::network_names).collect();
        let digest = |networks: &[NetworkName]| hosts_digest(&host_table(&fleet.members, networks));
        let hosts = kinds.into_iter().map(|networks| (networks.clone(), digest(&networks))).collect();
        Scene { fleet, host, hosts }
    }

    /// The digest of the host table of a container that is as `spec`.
    fn hosts_of(&self, spec: &ContainerSpec) -> String {
        self.hosts.get(&spec.network_names()).cloned().unwrap_or_default()
    }
}
