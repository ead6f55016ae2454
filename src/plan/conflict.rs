//! The words for what stands in the way.

use ipnet::Ipv4Net;

use super::steps::Draft;
use crate::model::{
    Action, Conflict, ContainerName, FleetName, Host, ID_RANGE_LENGTH, ImageSource, ImageState, NetworkSpec,
};

const OTHER_NAME: &str = "choose another name, or set `prefix:` in the fleet file";
const OTHER_SUBNET: &str = "choose another `network: subnet:`";

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
        Some(ImageState::Stored(_) | ImageState::Available(_)) | None => {
            (format!("nothing is known of the image `{source}`"), String::new())
        }
    };
    Conflict { target: source.to_string(), message, hint }
}

/// A link that is not the fleet's has the bridge's name.
pub(super) fn foreign_bridge(network: &NetworkSpec, fleet: &FleetName) -> Conflict {
    Conflict {
        target: network.bridge.clone(),
        message: format!("a link `{}` exists that is not the bridge of fleet `{fleet}`", network.bridge),
        hint: "choose another name with `network: bridge:`".to_owned(),
    }
}

/// The link `link` has the address `address` in the fleet's subnet.
pub(super) fn subnet_of_link(network: &NetworkSpec, link: &str, address: Ipv4Net) -> Conflict {
    Conflict {
        target: network.bridge.clone(),
        message: format!("`{link}` has the address {address}, which overlaps the subnet {}", network.subnet),
        hint: OTHER_SUBNET.to_owned(),
    }
}

/// The container `name` of the fleet `other` has an address in the fleet's subnet.
pub(super) fn subnet_of_fleet(
    network: &NetworkSpec,
    other: &FleetName,
    name: &ContainerName,
    address: Ipv4Net,
) -> Conflict {
    Conflict {
        target: network.bridge.clone(),
        message: format!(
            "`{name}` of fleet `{other}` has the address {address}, which overlaps the subnet {}",
            network.subnet
        ),
        hint: OTHER_SUBNET.to_owned(),
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
