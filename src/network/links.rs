//! The host's links and routes as found.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::panic::resume_unwind;

use futures_util::TryStreamExt as _;
use ipnet::IpNet;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::{
    InfoBridgePort, InfoKind, InfoPortData, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteType};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::NetworkError;
use super::parameters::{follows_routers, ipv6_use, takes_loopback};
use super::socket::RouteSocket;
use crate::model::{Ipv6Use, LinkKind, LinkState, MacAddress, PortMode};

/// Links by name, and routes with the links that they lead to.
type LinksAndRoutes = (BTreeMap<String, LinkState>, Vec<(IpNet, String)>);

/// Reads back all links of the host with their addresses, and its routes.
pub async fn observe() -> Result<LinksAndRoutes, NetworkError> {
    // Beside the connection's own task: else each of many messages would wake up another thread.
    let reading = tokio::spawn(read());
    reading.await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

async fn read() -> Result<LinksAndRoutes, NetworkError> {
    let handle = connect()?;
    let mut links = read_links(&handle).await?;
    let messages = read_routes(&handle).await?;
    let failed = |name: &str| NetworkError::because(format!("cannot read the parameters of the link `{name}`"));
    let name = |index| links.get(&index).map(|(name, _): &(String, LinkState)| name.clone());
    let routes = messages.iter().filter_map(|message| route(message, name)).collect();
    let advertised: BTreeSet<u32> =
        messages.iter().filter(|message| is_from_router(message)).filter_map(out_of).collect();
    for (index, (name, link)) in &mut links {
        if link.kind == LinkKind::Bridge {
            link.loopback = takes_loopback(name).map_err(failed(name))?;
            link.ipv6 = ipv6_use(name).map_err(failed(name))?;
        }
        let is_advertised = link.follows_router || advertised.contains(index);
        link.follows_router = is_advertised && follows_routers(name).map_err(failed(name))?;
    }
    Ok((links.into_values().collect(), routes))
}

pub(super) fn connect() -> Result<Handle, NetworkError> {
    let (connection, handle, _) =
        rtnetlink::new_connection().map_err(NetworkError::because("cannot open a netlink socket"))?;
    tokio::spawn(connection);
    Ok(handle)
}

/// All links by index, each with its name.
pub(super) async fn read_links(handle: &Handle) -> Result<BTreeMap<u32, (String, LinkState)>, NetworkError> {
    let failed = || NetworkError::request("cannot read the host's links");
    let messages: Vec<LinkMessage> = handle.link().get().execute().try_collect().await.map_err(failed())?;
    let mut links = states_of(&messages);
    let mut addresses = handle.address().get().execute();
    while let Some(message) = addresses.try_next().await.map_err(failed())? {
        let Some((_, link)) = links.get_mut(&message.header.index) else { continue };
        link.addresses.extend(address_of(&message));
        link.follows_router |= is_from_advertisement(&message);
    }
    Ok(links)
}

/// All links by index, each with its name, without their addresses; for who cannot wait otherwise.
pub(super) fn read_links_without_addresses(socket: &mut RouteSocket) -> io::Result<BTreeMap<u32, (String, LinkState)>> {
    let messages = socket.dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let links = messages.into_iter().filter_map(|message| match message {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    });
    Ok(states_of(&links.collect::<Vec<_>>()))
}

/// Those of the host's links that have one of `names`, without their addresses.
pub(super) fn read_links_named<'n>(
    socket: &mut RouteSocket,
    names: impl Iterator<Item = &'n str>,
) -> io::Result<BTreeMap<String, LinkState>> {
    let mut messages = Vec::new();
    for name in names.collect::<BTreeSet<_>>() {
        let mut asked = LinkMessage::default();
        asked.attributes.push(LinkAttribute::IfName(name.to_owned()));
        if let Some(RouteNetlinkMessage::NewLink(link)) = socket.get(RouteNetlinkMessage::GetLink(asked))? {
            messages.push(link);
        }
    }
    Ok(states_of(&messages).into_values().collect())
}

fn states_of(messages: &[LinkMessage]) -> BTreeMap<u32, (String, LinkState)> {
    let names: BTreeMap<u32, String> =
        messages.iter().filter_map(|message| Some((message.header.index, name_of(message)?))).collect();
    let state = |message: &LinkMessage| {
        let index = message.header.index;
        Some((index, (names.get(&index)?.clone(), link_state(message, &names))))
    };
    messages.iter().filter_map(state).collect()
}

fn address_of(message: &AddressMessage) -> Option<IpNet> {
    let (mut own, mut given) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => own = Some(*address),
            AddressAttribute::Address(address) => given = Some(*address),
            _ => {}
        }
    }
    // On a link with a peer, IFA_ADDRESS is the peer's and IFA_LOCAL ours (rtnetlink(7)); of IPv6 there is only the former
    // elsewhere.
    let address = own.or(given).filter(|address| !is_link_local(*address))?;
    IpNet::new(address, message.header.prefix_len).ok()
}

/// Every link that speaks IPv6 has such addresses, and no fleet's subnet has.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Whether the address is one that ends unless a router goes on advertising its subnet.
fn is_from_advertisement(message: &AddressMessage) -> bool {
    let header = &message.header;
    let is_ipv6 = address_of(message).is_some_and(|address| address.addr().is_ipv6());
    is_ipv6 && header.scope == AddressScope::Universe && !header.flags.contains(AddressHeaderFlags::Permanent)
}

fn name_of(message: &LinkMessage) -> Option<String> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    })
}

fn link_state(message: &LinkMessage, names: &BTreeMap<u32, String>) -> LinkState {
    let mut link = LinkState {
        index: message.header.index,
        beyond: None,
        namespace_beyond: None,
        kind: LinkKind::Other,
        mac: None,
        up: message.header.flags.contains(LinkFlags::Up),
        speaks_arp: !message.header.flags.contains(LinkFlags::Noarp),
        addresses: Vec::new(),
        controller: None,
        alias: None,
        mtu: 0,
        group: 0,
        port: PortMode::default(),
        ipv6: Ipv6Use::Off,
        follows_router: false,
        loopback: false,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Address(bytes) => link.mac = bytes.as_slice().try_into().ok().map(MacAddress),
            LinkAttribute::Controller(index) => link.controller = names.get(index).cloned(),
            LinkAttribute::Link(index) => link.beyond = Some(*index),
            // Negative if the kernel could give it none.
            LinkAttribute::LinkNetNsId(number) => link.namespace_beyond = Some(*number).filter(|number| *number >= 0),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Group(group) => link.group = *group,
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
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
            let has = |setting| port.contains(&setting);
            let (isolated, hairpin) = (has(InfoBridgePort::Isolated(true)), has(InfoBridgePort::HairpinMode(true)));
            link.port = PortMode { isolated, hairpin };
        }
        _ => {}
    }
}

/// The routes of both families to single hosts and subnets, in all tables.
async fn read_routes(handle: &Handle) -> Result<Vec<RouteMessage>, NetworkError> {
    let families = [RouteMessageBuilder::<Ipv4Addr>::new().build(), RouteMessageBuilder::<Ipv6Addr>::new().build()];
    let mut routes = Vec::new();
    for family in families {
        let failed = NetworkError::request("cannot read the host's routes");
        let messages: Vec<RouteMessage> = handle.route().get(family).execute().try_collect().await.map_err(failed)?;
        routes.extend(messages.into_iter().filter(|message| message.header.kind == RouteType::Unicast));
    }
    Ok(routes)
}

/// Whether a router made itself the host's by advertising itself (`RTPROT_RA`).
fn is_from_router(message: &RouteMessage) -> bool {
    message.header.protocol == RouteProtocol::Ra
}

/// The link that it leads to.
fn out_of(message: &RouteMessage) -> Option<u32> {
    message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}

/// Where a route of the main table leads and by which link. Default routes overlap everything and are left out.
fn route(message: &RouteMessage, names: impl Fn(u32) -> Option<String>) -> Option<(IpNet, String)> {
    let header = &message.header;
    // `RT_TABLE_MAIN` (rtnetlink(7)).
    if header.table != 254 || header.destination_prefix_length == 0 {
        return None;
    }
    let destination = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::from(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::from(*address)),
        _ => None,
    });
    let destination = destination.filter(|address| !is_link_local(*address))?;
    Some((IpNet::new(destination, header.destination_prefix_length).ok()?, names(out_of(message)?)?))
}
