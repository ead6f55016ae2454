//! Engines, network and store, read into one [`Host`]. Changes nothing.
//!
//! Start at [`observe`].

mod distros;
mod ids;

pub use distros::Reach;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::io;

use crate::engine::{Engine, EngineError};
use crate::image::Images;
use crate::model::{
    ContainerState, Fleet, Forwarding, Host, IdRange, ImageSource, ImageState, IpFamily, Listener, NeighbourTable,
    Ownership, PerFamily,
};
use crate::network;
use crate::store::{Changed, HostChanges, Layout};

/// Reads the host, as far as `fleet`, which is under `layout`, is concerned. Only `reach` says whether anything but the host
/// is asked.
pub async fn observe(
    fleet: &Fleet,
    engine: &dyn Engine,
    images: &Images,
    layout: &Layout,
    reach: Reach,
) -> Result<Host, EngineError> {
    let containers = engine.inspect()?;
    // Of a container that has just been seen to run the links are there.
    let (links, routes) =
        network::observe().await.map_err(|error| EngineError::because("cannot read the host's network", error))?;
    let firewall = network::read_firewall(&layout.scope())
        .map_err(|error| EngineError::because("cannot read the host's packet rules", error))?;
    let volumes = layout.volumes(&fleet.name);
    let volumes = volumes.names().map_err(|error| {
        EngineError::because(format!("cannot list the volumes in `{}`", volumes.dir().display()), error)
    })?;
    let mut observed: BTreeMap<ImageSource, ImageState> =
        local_sources(fleet).into_iter().map(|source| (source.clone(), images.observe(source))).collect();
    observed.extend(distros::observe(fleet, &containers, images, reach).await);
    let stored = observed.values().filter_map(|state| match state {
        ImageState::Stored(digest) => Some((digest.clone(), images.startable(digest)?)),
        ImageState::Available(_)
        | ImageState::Offered(_)
        | ImageState::StandIn { .. }
        | ImageState::Unavailable { .. } => None,
    });
    let startable = stored.collect();
    // Nobody else needs to know: who is there has its ids.
    let makes_some = fleet.containers.iter().any(|spec| !containers.iter().any(|found| found.name == spec.name));
    let foreign_ids = if makes_some { ids::foreign_ids(&own_ids(&containers)) } else { Vec::new() };
    Ok(Host {
        startable,
        containers: containers.into_iter().map(|state: ContainerState| (state.name.clone(), state)).collect(),
        links,
        routes,
        firewall,
        forwarding: PerFamily {
            ipv4: observe_forwarding(layout, IpFamily::Ipv4)?,
            ipv6: observe_forwarding(layout, IpFamily::Ipv6)?,
        },
        neighbours: PerFamily {
            ipv4: observe_neighbours(layout, IpFamily::Ipv4)?,
            ipv6: observe_neighbours(layout, IpFamily::Ipv6)?,
        },
        listeners: observe_listeners(fleet),
        images: observed,
        volumes,
        foreign_ids,
        lacks: engine.lacks(&fleet.containers),
    })
}

fn observe_forwarding(layout: &Layout, family: IpFamily) -> Result<Forwarding, EngineError> {
    let changed = changed(&layout.host_changes(family))?;
    let is_on = network::forwards(family).map_err(unreadable(family.forwarding()))?;
    Ok(Forwarding { is_on, is_recorded: changed.is_some() })
}

fn observe_neighbours(layout: &Layout, family: IpFamily) -> Result<NeighbourTable, EngineError> {
    let limits = network::read_neighbour_limits(family).map_err(unreadable(family.neighbours()))?;
    let changed = changed(&layout.neighbour_changes(family))?;
    let restored = limits
        .zip(changed)
        .map(|(now, Changed { before, set })| network::restored_neighbour_limits(family, now, &before, &set));
    Ok(NeighbourTable { limits, restored })
}

fn changed(changes: &HostChanges) -> Result<Option<Changed>, EngineError> {
    changes.load_all().map_err(unreadable(changes.path().display()))
}

fn unreadable(what: impl Display) -> impl FnOnce(io::Error) -> EngineError {
    move |error| EngineError::because(format!("cannot read `{what}`"), error)
}

fn observe_listeners(fleet: &Fleet) -> Vec<Listener> {
    let publishes = fleet.containers.iter().any(|spec| !spec.ports.is_empty());
    if publishes { network::read_listeners() } else { Vec::new() }
}

/// The sources whose content is known without any server.
fn local_sources(fleet: &Fleet) -> BTreeSet<&ImageSource> {
    let sources = fleet.containers.iter().map(|spec| &spec.image);
    sources.filter(|source| !matches!(source, ImageSource::Distro(_))).collect()
}

fn own_ids(containers: &[ContainerState]) -> Vec<IdRange> {
    let records = containers.iter().filter_map(|container| match &container.ownership {
        Ownership::Ours(record) => Some(record.ids),
        Ownership::Foreign => None,
    });
    records.collect()
}
