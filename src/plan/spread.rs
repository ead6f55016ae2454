//! Members of large networks, spread over the bridges of their segments.

use std::borrow::Cow;

use crate::model::{ContainerName, Fleet, Host, LinkSpec, NetworkSpec, Ownership, Segment};

/// `fleet` with the links of each container on the bridges that they are to be ports of. Whoever is on the host stays
/// where it is, whatever comes and goes beside it; others get the first places that are free, in the order of the file.
#[must_use]
pub fn spread<'f>(fleet: &'f Fleet, host: &Host) -> Cow<'f, Fleet> {
    let mut spread = Cow::Borrowed(fleet);
    for network in &fleet.networks {
        let places = Places { fleet, network, host };
        for (container, segment) in places.given() {
            let links = &mut spread.to_mut().containers[container].links;
            if let Some(link) = links.iter_mut().find(|link| link.network == network.name) {
                link.parent = segment.bridge;
            }
        }
    }
    spread
}

/// Who is where on a network.
#[derive(Clone, Copy)]
struct Places<'p> {
    fleet: &'p Fleet,
    network: &'p NetworkSpec,
    host: &'p Host,
}

impl<'p> Places<'p> {
    /// The containers that are not on the network's own bridge, by their numbers in the fleet, each with its segment.
    fn given(self) -> Vec<(usize, Segment)> {
        let members: Vec<(usize, Option<&LinkSpec>)> = self.members().collect();
        let capacity = self.network.members_per_bridge;
        if members.len() <= capacity as usize && !members.iter().any(|(_, link)| link.is_some_and(Segment::may_have)) {
            return Vec::new();
        }
        let segments: Vec<Segment> = self.network.segments().collect();
        // What is no segment's is the network's own bridge, by whatever name it had.
        let bridge_of = |link: &LinkSpec| {
            segments.iter().position(|segment| segment.bridge == link.parent).map_or(0, |place| place + 1)
        };
        // Of each bridge, the network's own first.
        let mut free = vec![capacity; segments.len() + 1];
        for link in members.iter().filter_map(|(_, link)| *link) {
            free[bridge_of(link)] = free[bridge_of(link)].saturating_sub(1);
        }
        let mut first_free = 0;
        let mut given = Vec::new();
        for (container, link) in members {
            let bridge = link.map_or_else(
                || {
                    while first_free < segments.len() && free[first_free] == 0 {
                        first_free += 1;
                    }
                    free[first_free] = free[first_free].saturating_sub(1);
                    first_free
                },
                bridge_of,
            );
            given.extend(bridge.checked_sub(1).map(|segment| (container, segments[segment].clone())));
        }
        given
    }

    /// The members by their numbers in the fleet, each with its link as it was made last.
    fn members(self) -> impl Iterator<Item = (usize, Option<&'p LinkSpec>)> {
        let members = self.fleet.containers.iter().enumerate();
        let members = members.filter(move |(_, spec)| spec.link_to(&self.network.name).is_some());
        members.map(move |(container, spec)| (container, self.recorded(&spec.name)))
    }

    fn recorded(self, name: &ContainerName) -> Option<&'p LinkSpec> {
        match &self.host.containers.get(name)?.ownership {
            Ownership::Ours(record) if record.fleet == self.fleet.name => record.spec.link_to(&self.network.name),
            Ownership::Ours(_) | Ownership::Foreign => None,
        }
    }
}
