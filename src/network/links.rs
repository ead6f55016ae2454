//! The host's links and routes as found.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::panic::resume_unwind;

use futures_util::TryStreamExt as _;
use ipnet::Ipv4Net;
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{
    InfoBridgePort, InfoKind, InfoPortData, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::NetworkError;
use super::parameters::{speaks_ipv6, takes_loopback};
use crate::model::{LinkKind, LinkState, MacAddress};

/// Links by name, and routes with the links that they lead to.
type LinksAndRoutes = (BTreeMap<String, LinkState>, Vec<(Ipv4Net, String)>);

/// Reads back all links of the host with their addresses, and its routes.
pub async fn observe() -> Result<LinksAndRoutes, NetworkError> {
    // Beside the connection's own task: else each of many messages would wake up another thread.
    let reading = tokio::spawn(read());
    reading.await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

async fn read() -> Result<LinksAndRoutes, NetworkError> {
    let handle = connect()?;
    let mut links = read_links(&handle).await?;
    let name = |index| links.get(&index).map(|(name, _): &(String, LinkState)| name.clone());
    let routes = read_routes(&handle, name).await?;
    for (name, link) in links.values_mut().filter(|(_, link)| link.kind == LinkKind::Bridge) {
        link.loopback = takes_loopback(name);
        link.ipv6 = speaks_ipv6(name);
    }
    Ok((links.into_values().collect(), routes))
}

pub(super) fn connect() -> Result<Handle, NetworkError> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|source| NetworkError::Request {
        operation: "cannot open a netlink socket".to_owned(),
        source: source.into(),
    })?;
    tokio::spawn(connection);
    Ok(handle)
}

/// All links by index, each with its name.
pub(super) async fn read_links(handle: &Handle) -> Result<BTreeMap<u32, (String, LinkState)>, NetworkError> {
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
        group: 0,
        isolated: false,
        ipv6: false,
        loopback: false,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Address(bytes) => link.mac = bytes.as_slice().try_into().ok().map(MacAddress),
            LinkAttribute::Controller(index) => link.controller = names.get(index).cloned(),
            LinkAttribute::Group(group) => link.group = *group,
            LinkAttribute::LinkInfo(infos) => infos.iter().for_each(|info| read_info(&mut link, info)),
            _ => {}
        }
    }
    link
}

fn read_info(link: &mut LinkState, info: &LinkInfo) {
    match info {
        LinkInfo::Kind(InfoKind::Bridge) => link.kind = LinkKind::Bridge,
        LinkInfo::Kind(InfoKind::Veth) => link.kind = LinkKind::Veth,
        LinkInfo::PortData(InfoPortData::BridgePort(port)) => {
            link.isolated = port.contains(&InfoBridgePort::Isolated(true));
        }
        _ => {}
    }
}

/// The IPv4 routes of the main table, each with its link. Default routes overlap everything and are left out.
pub(super) async fn read_routes(
    handle: &Handle,
    names: impl Fn(u32) -> Option<String>,
) -> Result<Vec<(Ipv4Net, String)>, NetworkError> {
    let ipv4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let failed = NetworkError::request("cannot read the host's routes");
    let messages: Vec<RouteMessage> = handle.route().get(ipv4).execute().try_collect().await.map_err(failed)?;
    let route = |message: RouteMessage| {
        let header = message.header;
        // `RT_TABLE_MAIN` (rtnetlink(7)).
        if header.table != 254 || header.kind != RouteType::Unicast || header.destination_prefix_length == 0 {
            return None;
        }
        let (mut net, mut link) = (None, None);
        for attribute in message.attributes {
            match attribute {
                RouteAttribute::Destination(RouteAddress::Inet(address)) => {
                    net = Ipv4Net::new(address, header.destination_prefix_length).ok();
                }
                RouteAttribute::Oif(index) => link = names(index),
                _ => {}
            }
        }
        Some((net?, link?))
    };
    Ok(messages.into_iter().filter_map(route).collect())
}
