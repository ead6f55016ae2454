//! The words for what stands in the way.

use ipnet::IpNet;

use super::steps::Draft;
use crate::model::{
    Action, Barrier, Conflict, ContainerName, ContainerRecord, FleetName, Host, ID_RANGE_LENGTH, ImageSource,
    ImageState, Listener, NetworkName, NetworkSpec, OuterNetwork, PortForward, Refusal, Segment, TableState,
};

const OTHER_NAME: &str = "choose another name, or set `prefix:` in the fleet file";
const OTHER_PORT: &str = "choose another port of the host in `ports:`";

/// A container that fleet did not make has the name.
pub(super) fn foreign_container(name: &ContainerName) -> Conflict {
    Conflict {
        target: name.to_string(),
        message: format!("a container `{name}` exists that fleet did not make"),
        hint: OTHER_NAME.to_owned(),
    }
}

/// A container of the fleet `other` has the name.
pub(super) fn container_of_other_fleet(name: &ContainerName, other: &FleetName) -> Conflict {
    Conflict {
        target: name.to_string(),
        message: format!("a container `{name}` of fleet `{other}` exists"),
        hint: OTHER_NAME.to_owned(),
    }
}

/// A container that was asked to start or stop is not there.
pub(super) fn absent_container(name: &ContainerName) -> Conflict {
    Conflict {
        target: name.to_string(),
        message: format!("`{name}` does not exist"),
        hint: "run `fleet apply`".to_owned(),
    }
}

/// A container that was asked to start is half made or half deleted.
pub(super) fn incomplete_container(name: &ContainerName, why: &str) -> Conflict {
    Conflict {
        target: name.to_string(),
        message: format!("`{name}` is incomplete: {why}"),
        hint: "run `fleet apply`".to_owned(),
    }
}

/// The container `name` was made for another network `network` than the file has by now, if that is in it at all.
pub(super) fn other_network(name: &ContainerName, network: &NetworkName, is_in_file: bool) -> Conflict {
    let message = if is_in_file {
        format!("the network `{network}` of the file is not the one that `{name}` was made for")
    } else {
        format!("the file has no network `{network}`, which `{name}` is on")
    };
    Conflict { target: name.to_string(), message, hint: "run `fleet apply`".to_owned() }
}

/// No range of host ids is left for a container.
pub(super) fn no_ids(name: &ContainerName) -> Conflict {
    Conflict {
        target: name.to_string(),
        message: format!("no range of {ID_RANGE_LENGTH} host ids is free for `{name}`"),
        hint: "destroy containers that are no longer needed, or free ids in `/etc/subuid` and `/etc/subgid`".to_owned(),
    }
}

/// An image that is needed cannot be had.
pub(super) fn image_unavailable(source: &ImageSource, state: Option<&ImageState>) -> Conflict {
    let (message, hint) = match state {
        Some(ImageState::Unavailable { why, hint }) => (why.clone(), hint.clone().unwrap_or_default()),
        Some(
            ImageState::Stored(_) | ImageState::Available(_) | ImageState::Offered(_) | ImageState::StandIn { .. },
        )
        | None => (format!("nothing is known of the image `{source}`"), String::new()),
    };
    Conflict { target: source.to_string(), message, hint }
}

/// Nothing can be started in the image of a container.
pub(super) fn nothing_to_start(name: &ContainerName, message: String, hint: String) -> Conflict {
    Conflict { target: name.to_string(), message, hint }
}

/// A link that is not the fleet's has the bridge's name.
pub(super) fn foreign_bridge(network: &NetworkSpec, fleet: &FleetName) -> Conflict {
    Conflict {
        target: network.bridge.clone(),
        message: format!("a link `{}` exists that is not the bridge of fleet `{fleet}`", network.bridge),
        hint: "choose another name with `network: bridge:`".to_owned(),
    }
}

/// The bridge of the fleet's network `other`, which is in use, has the bridge's name.
pub(super) fn bridge_of_network(network: &NetworkSpec, other: &NetworkName) -> Conflict {
    Conflict {
        target: network.bridge.clone(),
        message: format!("`{}` is still the bridge of the network `{other}`", network.bridge),
        hint: format!("first apply with a `bridge:` for `{}` that no other network has had", network.name),
    }
}

/// The link `name`, which is not the fleet's, has a name of a segment's.
pub(super) fn foreign_segment(segment: &Segment, name: &str, fleet: &FleetName) -> Conflict {
    Conflict {
        target: segment.bridge.clone(),
        message: format!("a link `{name}` exists that is not of a network of fleet `{fleet}`"),
        hint: format!("rename it with `ip link set {name} name …`"),
    }
}

/// The link `link` has the address `address` in the fleet's subnet.
pub(super) fn subnet_of_link(network: &NetworkSpec, subnet: IpNet, link: &str, address: IpNet) -> Conflict {
    Conflict {
        target: network.bridge.clone(),
        message: format!("`{link}` has the address {address}, which overlaps the subnet {subnet}"),
        hint: other_subnet(subnet),
    }
}

/// The host has a route by `link` to `taken` in the fleet's subnet.
pub(super) fn subnet_of_route(network: &NetworkSpec, subnet: IpNet, link: &str, taken: IpNet) -> Conflict {
    Conflict {
        target: network.bridge.clone(),
        message: format!("the host's route to {taken} by `{link}` overlaps the subnet {subnet}"),
        hint: other_subnet(subnet),
    }
}

/// What keeps fleet from having packet rules.
pub(super) fn table(table: &TableState) -> Option<Conflict> {
    let (message, hint) = match table {
        TableState::Absent | TableState::Ours => return None,
        TableState::Foreign(name) => (
            format!("a table `{name}` of the packet filter exists that fleet did not make"),
            format!("rename it, or delete it with `nft delete table {name}`"),
        ),
        TableState::Unavailable(why) => {
            (format!("the kernel has no packet filter `nf_tables`: {why}"), "run `modprobe nf_tables`".to_owned())
        }
    };
    Some(Conflict { target: "host".to_owned(), message, hint })
}

/// The chain `barrier` of somebody else refuses what goes through the host.
pub(super) fn barrier(bridge: &str, barrier: &Barrier) -> Conflict {
    let Barrier { name: barrier, refusal, .. } = barrier;
    let words = match refusal {
        Refusal::Policy => "drops what containers send and get: its policy is drop",
        Refusal::LastRule => "refuses what containers send and get: its last rule lets nothing else through",
    };
    let open = match barrier.as_str() {
        // Docker keeps this chain for others and leads to it first.
        "ip filter FORWARD" => format!(
            "run `iptables -I FORWARD -i {bridge} -j ACCEPT` and `iptables -I FORWARD -o {bridge} -j ACCEPT` \
             (with Docker `DOCKER-USER` instead of `FORWARD`)"
        ),
        "ip6 filter FORWARD" => format!(
            "run `ip6tables -I FORWARD -i {bridge} -j ACCEPT` and `ip6tables -I FORWARD -o {bridge} -j ACCEPT` \
             (with Docker `DOCKER-USER` instead of `FORWARD`)"
        ),
        // What is not in its own words goes when it loads its rules anew.
        firewalld if firewalld.starts_with("inet firewalld ") => format!(
            "run `firewall-cmd --zone=trusted --add-interface={bridge}`, and for the next start of firewalld \
             `firewall-cmd --permanent --zone=trusted --add-interface={bridge}`"
        ),
        _ => format!(
            "run `nft insert rule {barrier} iifname {bridge} accept` and `nft insert rule {barrier} oifname {bridge} accept`"
        ),
    };
    Conflict {
        target: bridge.to_owned(),
        message: format!("the host's chain `{barrier}` {words}"),
        hint: format!("{open}, or keep them inside with `network: {{egress: none}}` and no `ports`"),
    }
}

/// Another container publishes the host's port `number`.
pub(super) fn port_of_container(name: &ContainerName, port: &PortForward, number: u16, other: &str) -> Conflict {
    Conflict {
        target: name.to_string(),
        message: format!("port {number}/{} of the host is published by {other} already", port.protocol),
        hint: OTHER_PORT.to_owned(),
    }
}

/// A process of the host listens there.
pub(super) fn port_of_process(name: &ContainerName, port: &PortForward, listener: Listener) -> Conflict {
    let Listener { protocol, address, port: number } = listener;
    let address = address.filter(|address| !address.is_unspecified());
    let address = address.map_or("all addresses".to_owned(), |address| address.to_string());
    Conflict {
        target: name.to_string(),
        message: format!(
            "cannot publish `{port}`: a process of the host listens on port {number}/{protocol} of {address}"
        ),
        hint: format!("{OTHER_PORT}; `ss -lnp sport = {number}` shows the process"),
    }
}

/// A container of another fleet, with `record`, has an address in the fleet's subnet.
pub(super) fn subnet_of_fleet(
    network: &NetworkSpec,
    subnet: IpNet,
    record: &ContainerRecord,
    address: IpNet,
) -> Conflict {
    let (name, other) = (&record.spec.name, &record.fleet);
    Conflict {
        target: network.bridge.clone(),
        message: format!("`{name}` of fleet `{other}` has the address {address}, which overlaps the subnet {subnet}"),
        hint: other_subnet(subnet),
    }
}

fn other_subnet(subnet: IpNet) -> String {
    let key = match subnet {
        IpNet::V4(_) => "subnet",
        IpNet::V6(_) => "subnet6",
    };
    format!("choose another `network: {key}:`")
}

/// The host has no link of the name that an outer network's containers hang on.
pub(super) fn no_parent(outer: &OuterNetwork) -> Conflict {
    Conflict {
        target: outer.parent.clone(),
        message: format!("the host has no link `{}`, which the network `{}` is reached by", outer.parent, outer.name),
        hint: "make it, or name another with `parent:`; `ip link` lists those that there are".to_owned(),
    }
}

/// The link that an outer network's containers were to be ports of has no ports.
pub(super) fn no_bridge(outer: &OuterNetwork) -> Conflict {
    Conflict {
        target: outer.parent.clone(),
        message: format!("`{}`, which the network `{}` is reached by, is no bridge", outer.parent, outer.name),
        hint: "write `type: macvlan` or `type: ipvlan` to share it".to_owned(),
    }
}

/// Notes what the host cannot do, if anything is to be made or started: stopping and deleting must always work.
pub(super) fn refuse_what_host_lacks(host: &Host, draft: &mut Draft) {
    if draft.places(|action| matches!(action, Action::Create(_) | Action::Start(_))).is_empty() {
        return;
    }
    for (lack, fix) in &host.lacks {
        draft.refuse(Conflict { target: "host".to_owned(), message: lack.clone(), hint: fix.clone() });
    }
}
