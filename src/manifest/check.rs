//! What fleets that are applied together have in common and must not.

use std::collections::{HashMap, HashSet};

use super::findings::{Complaint, Findings, Lines};
use super::node::Span;
use super::subnet::subnet_key;
use super::{FleetFile, Rejected};
use crate::model::{ContainerName, IpFamily, NetworkName, NetworkSpec, PortForward, overlap};

/// One finding for each clash, in the later file.
pub(super) fn check_together(files: &[FleetFile]) -> Vec<Rejected> {
    let mut rejected = Vec::new();
    let mut owners = Owners::default();
    for (position, later) in files.iter().enumerate() {
        let mut findings = Findings::default();
        for earlier in &files[..position] {
            if let Some((place, complaint)) = clash(earlier, later) {
                findings.add(place, complaint);
            }
        }
        owners.enter(later, &mut findings);
        if !findings.is_empty() {
            rejected.push(findings.into_rejected(&later.fleet.file, &later.text, &Lines::of(&later.text)));
        }
    }
    rejected
}

/// What is wrong where `place` of `earlier` has it already.
fn taken(what: &str, earlier: &FleetFile, place: Span) -> Complaint {
    let line = Lines::of(&earlier.text).line(place.start);
    Complaint::new(format!("{what} is in `{}:{line}` already", earlier.fleet.file.display()))
}

/// The first that the two fleets themselves share, with its place in the later file: their names' clash brings the others
/// with it.
fn clash(earlier: &FleetFile, later: &FleetFile) -> Option<(Span, Complaint)> {
    if earlier.fleet.name == later.fleet.name {
        let complaint = taken(&format!("the fleet `{}`", later.fleet.name), earlier, earlier.places.name);
        let hint = "name one of them otherwise, or leave one of the files out: a fleet's name is its own on a host";
        return Some((later.places.name, complaint.hint(hint)));
    }
    let theirs = networks(earlier);
    let ours = networks(later).into_iter();
    let mut pairs = ours.flat_map(|ours| theirs.iter().map(move |theirs| (ours, *theirs)));
    pairs.find_map(|(ours, theirs)| network_clash(earlier, theirs, later, ours))
}

/// The networks of `file` that are made or written of: one that is all derived and that nobody is on is neither.
fn networks(file: &FleetFile) -> Vec<&NetworkSpec> {
    let used: HashSet<&NetworkName> = file.fleet.networks_in_use().map(|network| &network.name).collect();
    let counts = |network: &&NetworkSpec| used.contains(&network.name) || file.places.has(&network.name);
    file.fleet.networks.iter().filter(counts).collect()
}

/// What the networks `theirs` and `ours` share, and the fix.
fn network_clash(
    earlier: &FleetFile,
    theirs: &NetworkSpec,
    later: &FleetFile,
    ours: &NetworkSpec,
) -> Option<(Span, Complaint)> {
    if ours.bridge == theirs.bridge {
        let complaint = taken(&format!("the bridge `{}`", ours.bridge), earlier, earlier.places.bridge(&theirs.name));
        return Some((later.places.bridge(&ours.name), complaint.hint("each fleet has a bridge of its own")));
    }
    let (subnet, other) = ours.subnets().find_map(|subnet| {
        let other = theirs.subnets().find(|other| overlap(subnet, *other))?;
        Some((subnet, other))
    })?;
    let place = earlier.places.subnet(&theirs.name, IpFamily::of(other.addr()));
    let complaint = taken(&format!("a part of the subnet {subnet}"), earlier, place);
    let family = IpFamily::of(subnet.addr());
    let network = if ours.name.is_default() { "network".to_owned() } else { format!("networks.{}", ours.name) };
    let hint = format!("give one of them another subnet: `{network}.{}` here", subnet_key(family));
    Some((later.places.subnet(&ours.name, family), complaint.hint(hint)))
}

/// What the containers of the files so far have.
#[derive(Default)]
struct Owners<'f> {
    names: HashMap<&'f ContainerName, (&'f FleetFile, Span)>,
    ports: Vec<Published<'f>>,
}

/// A port that a container publishes.
struct Published<'f> {
    file: &'f FleetFile,
    name: &'f ContainerName,
    port: PortForward,
    place: Span,
}

impl<'f> Owners<'f> {
    /// Enters the containers of `later`; one finding for each that has a name or a port of another fleet's, of replicas for
    /// the first. Fleets of one name are one finding already: their containers add nothing to it.
    fn enter(&mut self, later: &'f FleetFile, findings: &mut Findings) {
        let mut complained = HashSet::new();
        let mut ports = Vec::new();
        for (container, places) in later.fleet.containers.iter().zip(&later.places.containers) {
            let owner = *self.names.entry(&container.name).or_insert((later, places.key));
            if owner.0.fleet.name != later.fleet.name && complained.insert(places.key) {
                let complaint = taken(&format!("the container `{}`", container.name), owner.0, owner.1);
                findings.add(places.key, complaint.hint("rename one, or give one of the fleets a `prefix`"));
            }
            let own = container.ports.iter().zip(&places.ports).map(|(port, place)| Published {
                file: later,
                name: &container.name,
                port: *port,
                place: *place,
            });
            let own: Vec<Published<'_>> = own.collect();
            if let Some((place, complaint)) = own.iter().find_map(|port| self.published(port)) {
                findings.add(place, complaint);
            }
            ports.extend(own);
        }
        self.ports.extend(ports);
    }

    /// What is wrong with `ours` if a container of another fleet publishes it.
    fn published(&self, ours: &Published<'_>) -> Option<(Span, Complaint)> {
        let (theirs, number) = self.ports.iter().find_map(|theirs| {
            let number = ours.port.clash(&theirs.port)?;
            (theirs.file.fleet.name != ours.file.fleet.name).then_some((theirs, number))
        })?;
        let line = Lines::of(&theirs.file.text).line(theirs.place.start);
        let message = format!(
            "port {number}/{} of the host, which `{}` publishes, is that of `{}` in `{}:{line}`",
            ours.port.protocol,
            ours.name,
            theirs.name,
            theirs.file.fleet.file.display()
        );
        Some((ours.place, Complaint::new(message).hint("choose another port of the host for one of them")))
    }
}
