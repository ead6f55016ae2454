//! What fleets that are applied together have in common and must not.

use std::collections::HashMap;

use super::Finding;
use super::subnet::subnet_key;
use crate::model::{ContainerName, Fleet, IpFamily, NetworkSpec, PortForward, overlap};

/// One finding for each clash, in the later file.
pub(super) fn check_together(fleets: &[Fleet]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut owners: HashMap<&ContainerName, &Fleet> = HashMap::new();
    for (position, later) in fleets.iter().enumerate() {
        let earlier = &fleets[..position];
        findings.extend(earlier.iter().filter_map(|earlier| clash(earlier, later)).map(|clash| clash.finding(later)));
        findings
            .extend(earlier.iter().filter_map(|earlier| port_clash(earlier, later)).map(|clash| clash.finding(later)));
        for container in &later.containers {
            match owners.get(&container.name) {
                // Fleets of one name are one finding already; their containers add nothing to it.
                Some(owner) if owner.name == later.name => {}
                Some(owner) => {
                    let what = format!("the container `{}`", container.name);
                    let hint = Some("rename one, or give one of the fleets a `prefix`".to_owned());
                    findings.push(Clash { what, owner, hint }.finding(later));
                }
                None => {
                    owners.insert(&container.name, later);
                }
            }
        }
    }
    findings
}

struct Clash<'f> {
    what: String,
    owner: &'f Fleet,
    hint: Option<String>,
}

impl Clash<'_> {
    fn finding(self, later: &Fleet) -> Finding {
        let message = format!("{} is in `{}` already", self.what, self.owner.file.display());
        Finding { file: later.file.clone(), line: 1, column: 1, span: (0, 0), message, hint: self.hint }
    }
}

/// The first that the two fleets themselves share: their names' clash brings the others with it.
fn clash<'f>(earlier: &'f Fleet, later: &Fleet) -> Option<Clash<'f>> {
    if earlier.name == later.name {
        return Some(Clash { what: format!("the fleet `{}`", later.name), owner: earlier, hint: None });
    }
    let pairs = later.networks.iter().flat_map(|ours| earlier.networks.iter().map(move |theirs| (ours, theirs)));
    let (what, hint) = pairs.into_iter().find_map(|(ours, theirs)| network_clash(ours, theirs))?;
    Some(Clash { what, owner: earlier, hint: Some(hint) })
}

/// What two networks of different fleets share, and the fix.
fn network_clash(ours: &NetworkSpec, theirs: &NetworkSpec) -> Option<(String, String)> {
    if ours.bridge == theirs.bridge {
        return Some((format!("the bridge `{}`", ours.bridge), "each fleet has a bridge of its own".to_owned()));
    }
    let subnet = ours.subnets().find(|subnet| theirs.subnets().any(|other| overlap(*subnet, other)))?;
    let key = subnet_key(IpFamily::of(subnet.addr()));
    Some((format!("a part of the subnet {subnet}"), format!("give one of them another `network.{key}`")))
}

/// The first port of the host that both publish.
fn port_clash<'f>(earlier: &'f Fleet, later: &Fleet) -> Option<Clash<'f>> {
    let ports =
        |fleet: &Fleet| -> Vec<PortForward> { fleet.containers.iter().flat_map(|spec| spec.ports.clone()).collect() };
    let (theirs, ours) = (ports(earlier), ports(later));
    let number = ours.iter().find_map(|port| {
        theirs.iter().find_map(|other| port.clash(other)).map(|number| format!("{number}/{}", port.protocol))
    })?;
    if earlier.name == later.name {
        return None;
    }
    let hint = Some("choose another port of the host for one of them".to_owned());
    Some(Clash { what: format!("port {number} of the host"), owner: earlier, hint })
}
