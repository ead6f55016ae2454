//! The host's links as found, and the bridge of a fleet.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt as _;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec};

use super::NetworkError;
use crate::model::{LinkKind, LinkState, MacAddress, NetworkSpec, NetworkState};

/// Reads back all links of the host with their addresses.
pub async fn observe() -> Result<BTreeMap<String, LinkState>, NetworkError> {
    let handle = connect()?;
    Ok(read_links(&handle).await?.into_values().collect())
}

/// Makes the bridge of `network`, or mends ours: up, with its address.
pub async fn ensure(network: &NetworkSpec) -> Result<(), NetworkError> {
    let handle = connect()?;
    let bridge = &network.bridge;
    if state_of(&handle, network).await? == NetworkState::Absent {
        let link = LinkBridge::new(bridge).address(network.mac.0.to_vec()).build();
        let failed = NetworkError::request(format!("cannot make the bridge `{bridge}`"));
        handle.link().add(link).execute().await.map_err(failed)?;
    }
    let (index, link) = find(&handle, bridge).await?;
    if !link.up {
        let up = LinkMessageBuilder::<LinkUnspec>::default().index(index).up().build();
        let failed = NetworkError::request(format!("cannot bring up the bridge `{bridge}`"));
        handle.link().set(up).execute().await.map_err(failed)?;
    }
    if !link.addresses.contains(&gateway(network)) {
        let failed = NetworkError::request(format!("cannot give `{bridge}` the address {}", gateway(network)));
        let address = IpAddr::V4(network.gateway);
        handle.address().add(index, address, network.subnet.prefix_len()).execute().await.map_err(failed)?;
    }
    match state_of(&handle, network).await? {
        NetworkState::Ready => Ok(()),
        state @ (NetworkState::Absent | NetworkState::Broken | NetworkState::Foreign) => Err(NetworkError::Request {
            operation: format!("cannot set up the bridge `{bridge}`"),
            source: format!("it is still {state:?} afterwards").to_lowercase().into(),
        }),
    }
}

/// Removes the bridge of `network` if it is ours.
pub async fn delete(network: &NetworkSpec) -> Result<(), NetworkError> {
    let handle = connect()?;
    match state_of(&handle, network).await? {
        NetworkState::Absent => Ok(()),
        NetworkState::Foreign => Err(NetworkError::Foreign(network.bridge.clone())),
        NetworkState::Ready | NetworkState::Broken => {
            let (index, _) = find(&handle, &network.bridge).await?;
            let failed = NetworkError::request(format!("cannot remove the bridge `{}`", network.bridge));
            handle.link().del(index).execute().await.map_err(failed)
        }
    }
}

/// The address that the bridge must have.
fn gateway(network: &NetworkSpec) -> Ipv4Net {
    Ipv4Net::new(network.gateway, network.subnet.prefix_len()).unwrap_or(network.subnet)
}

fn connect() -> Result<Handle, NetworkError> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|source| NetworkError::Request {
        operation: "cannot open a netlink socket".to_owned(),
        source: source.into(),
    })?;
    tokio::spawn(connection);
    Ok(handle)
}

async fn state_of(handle: &Handle, network: &NetworkSpec) -> Result<NetworkState, NetworkError> {
    let links = read_links(handle).await?;
    let Some((_, link)) = links.into_values().find(|(name, _)| *name == network.bridge) else {
        return Ok(NetworkState::Absent);
    };
    Ok(if link.kind != LinkKind::Bridge || link.mac != Some(network.mac) {
        NetworkState::Foreign
    } else if link.up && link.addresses.contains(&gateway(network)) {
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

/// All links by index, each with its name.
async fn read_links(handle: &Handle) -> Result<BTreeMap<u32, (String, LinkState)>, NetworkError> {
    let failed = || NetworkError::request("cannot read the host's links");
    let messages: Vec<LinkMessage> = handle.link().get().execute().try_collect().await.map_err(failed())?;
    let names: BTreeMap<u32, String> =
        messages.iter().filter_map(|message| Some((message.header.index, name_of(message)?))).collect();
    let mut links: BTreeMap<u32, (String, LinkState)> = messages
        .iter()
        .filter_map(|message| {
            let index = message.header.index;
            Some((index, (names.get(&index)?.clone(), link_state(message, &names))))
        })
        .collect();
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await.map_err(failed())? {
        let Some((_, link)) = links.get_mut(&message.header.index) else { continue };
        let address = message.attributes.iter().find_map(|attribute| match attribute {
            // On a link with a peer, IFA_ADDRESS is the peer's and IFA_LOCAL ours (rtnetlink(7)).
            AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
            _ => None,
        });
        link.addresses
            .extend(address.and_then(|address: Ipv4Addr| Ipv4Net::new(address, message.header.prefix_len).ok()));
    }
    Ok(links)
}

fn name_of(message: &LinkMessage) -> Option<String> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
}

fn link_state(message: &LinkMessage, names: &BTreeMap<u32, String>) -> LinkState {
    let mut link = LinkState {
        kind: LinkKind::Other,
        mac: None,
        up: message.header.flags.contains(LinkFlags::Up),
        addresses: Vec::new(),
        controller: None,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Address(bytes) => link.mac = bytes.as_slice().try_into().ok().map(MacAddress),
            LinkAttribute::Controller(index) => link.controller = names.get(index).cloned(),
            LinkAttribute::LinkInfo(infos) => {
                if infos.contains(&LinkInfo::Kind(InfoKind::Bridge)) {
                    link.kind = LinkKind::Bridge;
                } else if infos.contains(&LinkInfo::Kind(InfoKind::Veth)) {
                    link.kind = LinkKind::Veth;
                }
            }
            _ => {}
        }
    }
    link
}
