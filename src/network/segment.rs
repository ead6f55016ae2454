//! The segments of large networks: each a bridge, and a veth(4) pair that joins it to the network's own.

use std::collections::BTreeMap;

use nix::net::if_::if_nametoindex;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::NetworkError;
use super::bridge::new_bridge;
use super::links::{connect, read_links};
use super::parameters::set_ipv6;
use super::traffic::set_port_mode;
use crate::model::{FleetName, LinkState, NetworkSpec, PortMode, Segment};

/// Makes the segment `segment` of the network `network` of `fleet`, or mends ours. A pair that is not as it should be is
/// made anew, its other links stay.
pub async fn ensure_segment(fleet: &FleetName, network: &NetworkSpec, segment: &Segment) -> Result<(), NetworkError> {
    let handle = connect()?;
    let links = links_by_name(&handle).await?;
    refuse_foreign(segment, &links)?;
    let bridge = &segment.bridge;
    if !links.contains_key(bridge) {
        let link = new_bridge(bridge, segment.mac).build();
        let failed = NetworkError::request(format!("cannot make the bridge `{bridge}`"));
        handle.link().add(link).execute().await.map_err(failed)?;
    }
    // The host is reached by the network's own bridge alone, so it has no IPv6 address here, and does not answer here for
    // those that it has there, which Linux would do.
    silence(bridge)?;
    let up = LinkMessageBuilder::<LinkUnspec>::default().index(index_of(bridge)?).up();
    let mut up = up.append_extra_attribute(LinkAttribute::IfAlias(segment.mark(fleet, &network.name))).build();
    up.header.flags |= LinkFlags::Noarp;
    up.header.change_mask |= LinkFlags::Noarp;
    let failed = NetworkError::request(format!("cannot bring up the bridge `{bridge}`"));
    handle.link().set(up).execute().await.map_err(failed)?;
    let is_port = |name: &str, of: &str| {
        let is_so =
            |link: &LinkState| link.up && link.controller.as_deref() == Some(of) && link.mtu == network.pair_mtu();
        links.get(name).is_some_and(is_so)
    };
    if is_port(&segment.inner.name, bridge) && is_port(&segment.outer.name, &network.bridge) {
        return Ok(());
    }
    remove_pair(&handle, segment, &links).await?;
    make_pair(&handle, network, segment).await
}

/// Removes the segment `segment`, the pair first: what is left by a kill is known by its bridge.
pub async fn delete_segment(segment: &Segment) -> Result<(), NetworkError> {
    let handle = connect()?;
    let links = links_by_name(&handle).await?;
    refuse_foreign(segment, &links)?;
    remove_pair(&handle, segment, &links).await?;
    if !links.contains_key(&segment.bridge) {
        return Ok(());
    }
    let failed = NetworkError::request(format!("cannot remove the bridge `{}`", segment.bridge));
    handle.link().del(index_of(&segment.bridge)?).execute().await.map_err(failed)
}

async fn links_by_name(handle: &Handle) -> Result<BTreeMap<String, LinkState>, NetworkError> {
    Ok(read_links(handle).await?.into_values().collect())
}

fn refuse_foreign(segment: &Segment, links: &BTreeMap<String, LinkState>) -> Result<(), NetworkError> {
    let names = [&segment.bridge, &segment.inner.name, &segment.outer.name];
    match names.into_iter().find(|name| links.get(*name).is_some_and(|link| !segment.has(name, link))) {
        Some(name) => Err(NetworkError::Foreign(name.clone())),
        None => Ok(()),
    }
}

/// Either end takes the other along.
async fn remove_pair(
    handle: &Handle,
    segment: &Segment,
    links: &BTreeMap<String, LinkState>,
) -> Result<(), NetworkError> {
    let ends = [&segment.inner.name, &segment.outer.name];
    let Some(name) = ends.into_iter().find(|name| links.contains_key(*name)) else { return Ok(()) };
    let failed = NetworkError::request(format!("cannot remove the link `{name}`"));
    handle.link().del(index_of(name)?).execute().await.map_err(failed)
}

/// On the network's own bridge the segment is a port like a member: kept from the others if members are, which keeps the
/// members of different segments apart.
async fn make_pair(handle: &Handle, network: &NetworkSpec, segment: &Segment) -> Result<(), NetworkError> {
    let (inner, outer) = (&segment.inner, &segment.outer);
    let mtu = LinkAttribute::Mtu(network.pair_mtu());
    let mut other = LinkMessage::default();
    other.attributes =
        vec![LinkAttribute::IfName(inner.name.clone()), LinkAttribute::Address(inner.mac.0.to_vec()), mtu.clone()];
    let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(&outer.name)
        .address(outer.mac.0.to_vec())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(other)))
        .append_extra_attribute(mtu)
        .build();
    let failed = NetworkError::request(format!("cannot make the link `{}`", outer.name));
    handle.link().add(pair).execute().await.map_err(failed)?;
    for (end, bridge) in [(inner, &segment.bridge), (outer, &network.bridge)] {
        silence(&end.name)?;
        let port = LinkMessageBuilder::<LinkUnspec>::default().index(index_of(&end.name)?);
        let port = port.controller(index_of(bridge)?).up().build();
        let failed = NetworkError::request(format!("cannot make `{}` a port of `{bridge}`", end.name));
        handle.link().set(port).execute().await.map_err(failed)?;
    }
    let mode = network.port_of_segment();
    if mode != PortMode::default() {
        set_port_mode(&outer.name, mode)
            .map_err(NetworkError::because(format!("cannot set the port `{}` up", outer.name)))?;
    }
    Ok(())
}

/// Has the host speak no IPv6 there.
fn silence(link: &str) -> Result<(), NetworkError> {
    set_ipv6(link, false).map_err(NetworkError::because(format!("cannot turn off IPv6 on `{link}`")))
}

fn index_of(link: &str) -> Result<u32, NetworkError> {
    if_nametoindex(link).map_err(|error| NetworkError::because(format!("cannot find the link `{link}`"))(error.into()))
}
