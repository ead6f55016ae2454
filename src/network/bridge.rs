//! The bridges of networks.

use std::collections::BTreeSet;

use ipnet::IpNet;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec};

use super::NetworkError;
use super::address::address_message;
use super::links::{connect, read_links};
use super::parameters::{ipv6_use, set_ipv6};
use crate::model::{
    BRIDGE_GROUP, FleetName, Ipv6Use, LinkKind, LinkState, MacAddress, NetworkSpec, NetworkState, bridge_mark,
};

/// Makes the bridge of the network `network` of `fleet`, or mends ours: up, with its mark and its addresses, in the group of
/// fleets' bridges.
pub async fn ensure(fleet: &FleetName, network: &NetworkSpec) -> Result<(), NetworkError> {
    let handle = connect()?;
    let bridge = &network.bridge;
    take_name(&handle, network).await?;
    if state_of(&handle, network).await? == NetworkState::Absent {
        let link = new_bridge(bridge, network.mac).append_extra_attribute(LinkAttribute::Group(BRIDGE_GROUP)).build();
        let failed = NetworkError::request(format!("cannot make the bridge `{bridge}`"));
        handle.link().add(link).execute().await.map_err(failed)?;
    }
    // Before it is up: a guest could call itself the host's router.
    set_ipv6(bridge, network.ipv6() == Ipv6Use::Static)
        .map_err(NetworkError::because(format!("cannot set IPv6 up on the bridge `{bridge}`")))?;
    let (index, link) = find(&handle, bridge).await?;
    let mark = bridge_mark(fleet, &network.name);
    let mtu = Some(network.bridge_mtu()).filter(|mtu| *mtu != link.mtu);
    if !link.up || link.group != BRIDGE_GROUP || link.alias.as_ref() != Some(&mark) || mtu.is_some() {
        let up = LinkMessageBuilder::<LinkUnspec>::default().index(index).up();
        let up = up.append_extra_attribute(LinkAttribute::Group(BRIDGE_GROUP));
        let mut up = up.append_extra_attribute(LinkAttribute::IfAlias(mark)).build();
        up.attributes.extend(mtu.map(LinkAttribute::Mtu));
        let failed = NetworkError::request(format!("cannot bring up the bridge `{bridge}`"));
        handle.link().set(up).execute().await.map_err(failed)?;
    }
    let wanted: Vec<IpNet> = network.host_addresses().collect();
    for address in link.addresses.iter().filter(|address| !wanted.contains(address)) {
        let failed = NetworkError::request(format!("cannot take the address {address} from `{bridge}`"));
        handle.address().del(address_message(index, *address)).execute().await.map_err(failed)?;
    }
    for address in wanted.into_iter().filter(|address| !link.addresses.contains(address)) {
        let failed = NetworkError::request(format!("cannot give `{bridge}` the address {address}"));
        let mut request = handle.address().add(index, address.addr(), address.prefix_len());
        *request.message_mut() = address_message(index, address);
        request.execute().await.map_err(failed)?;
    }
    match state_of(&handle, network).await? {
        NetworkState::Ready => Ok(()),
        state @ (NetworkState::Absent | NetworkState::Broken | NetworkState::Foreign) => Err(NetworkError::Request {
            operation: format!("cannot set up the bridge `{bridge}`"),
            source: format!("it is still {state:?} afterwards").to_lowercase().into(),
        }),
    }
}

/// A bridge that takes no note of who listens to what groups: with that, the kernel sets timers of all its ports anew for
/// each that comes or goes, which grows with the square of their number (`br_port_state_selection` in `net/bridge/br_stp.c`).
/// Nobody asks for groups there anyway, and what is sent to them goes to everybody without that, too.
pub(super) fn new_bridge(name: &str, mac: MacAddress) -> LinkMessageBuilder<LinkBridge> {
    LinkBridge::new(name).address(mac.0.to_vec()).mcast_snooping(false)
}

/// Gives the bridge its name, if it is there under another: it keeps its ports. Kernels before 6.2 take a name only of one
/// that is down.
async fn take_name(handle: &Handle, network: &NetworkSpec) -> Result<(), NetworkError> {
    let links = read_links(handle).await?;
    let is_ours = |link: &LinkState| link.kind == LinkKind::Bridge && link.mac == Some(network.mac);
    if links.values().any(|(name, _)| *name == network.bridge) {
        return Ok(());
    }
    let Some((index, (former, _))) = links.into_iter().find(|(_, (_, link))| is_ours(link)) else { return Ok(()) };
    let link = || LinkMessageBuilder::<LinkUnspec>::default().index(index);
    let named = || link().name(&network.bridge).build();
    if handle.link().set(named()).execute().await.is_ok() {
        return Ok(());
    }
    let failed = || NetworkError::request(format!("cannot rename the bridge `{former}` to `{}`", network.bridge));
    handle.link().set(link().down().build()).execute().await.map_err(failed())?;
    handle.link().set(named()).execute().await.map_err(failed())
}

/// Removes the bridge `bridge` if it is the one that is known by `mac`.
pub async fn delete(bridge: &str, mac: MacAddress) -> Result<(), NetworkError> {
    let handle = connect()?;
    let links = read_links(&handle).await?;
    let Some((index, (_, link))) = links.into_iter().find(|(_, (name, _))| name == bridge) else { return Ok(()) };
    if link.kind != LinkKind::Bridge || link.mac != Some(mac) {
        return Err(NetworkError::Foreign(bridge.to_owned()));
    }
    let failed = NetworkError::request(format!("cannot remove the bridge `{bridge}`"));
    handle.link().del(index).execute().await.map_err(failed)
}

async fn state_of(handle: &Handle, network: &NetworkSpec) -> Result<NetworkState, NetworkError> {
    let links = read_links(handle).await?;
    let Some((_, link)) = links.into_values().find(|(name, _)| *name == network.bridge) else {
        return Ok(NetworkState::Absent);
    };
    let ipv6 = ipv6_use(&network.bridge)
        .map_err(NetworkError::because(format!("cannot read the parameters of the bridge `{}`", network.bridge)))?;
    Ok(if link.kind != LinkKind::Bridge || link.mac != Some(network.mac) {
        NetworkState::Foreign
    } else if link.up
        && link.group == BRIDGE_GROUP
        && network.bridge_mtu() == link.mtu
        && network.host_addresses().collect::<BTreeSet<_>>() == link.addresses.iter().copied().collect()
        && ipv6 == network.ipv6()
    {
        NetworkState::Ready
    } else {
        NetworkState::Broken
    })
}

async fn find(handle: &Handle, name: &str) -> Result<(u32, LinkState), NetworkError> {
    let links = read_links(handle).await?;
    let found = links.into_iter().find(|(_, (link_name, _))| link_name == name);
    found.map(|(index, (_, link))| (index, link)).ok_or_else(|| NetworkError::Request {
        operation: format!("cannot find the bridge `{name}`"),
        source: "no link has that name".into(),
    })
}
