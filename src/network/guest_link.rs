//! The links of a container: each a veth(4) pair whose one end is born inside the container.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::address::{address_message, default_route_message};
use super::parameters::set_ipv6;
use super::socket::RouteSocket;
use super::traffic::isolate;
use crate::model::LinkSpec;

/// Makes a link of a container, in one request: the host end, a port of the bridge and up, and the other end in the
/// network namespace of process `pid`. A left-over of the same name is replaced. Isolation takes a second request.
///
/// The inner end cannot be brought up in the same request: the kernel answers `ENOTCONN`.
pub fn connect_guest(link: &LinkSpec, pid: u32) -> io::Result<()> {
    let bridge = if_nametoindex(link.bridge.as_str())?;
    let mut inside = LinkMessage::default();
    inside.attributes = vec![
        LinkAttribute::IfName(link.name.clone()),
        LinkAttribute::Address(link.mac.0.to_vec()),
        LinkAttribute::NetNsPid(pid),
    ];
    let pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(&link.host_name)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(inside)))
        .controller(bridge)
        .up()
        .build();
    let mut socket = RouteSocket::open()?;
    let made = make_pair(&mut socket, pair, &link.host_name);
    if link.isolated { made.and_then(|()| isolate(&link.host_name, true)) } else { made }
}

fn make_pair(socket: &mut RouteSocket, pair: LinkMessage, host_name: &str) -> io::Result<()> {
    let made = socket.request(RouteNetlinkMessage::NewLink(pair.clone()), NLM_F_CREATE | NLM_F_EXCL);
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            remove_link(host_name)?;
            socket.request(RouteNetlinkMessage::NewLink(pair), NLM_F_CREATE | NLM_F_EXCL)
        }
        other => other,
    }
}

/// `lo` is the first link of every network namespace (`LOOPBACK_IFINDEX` of the kernel).
const LOOPBACK: u32 = 1;

/// How long the kernel may take to take network namespaces apart.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(5);

/// Returns when the link with the host end `host_name` is gone. It goes with the network namespace of its other end,
/// whose processes have ended: in the kernel's own time and many at once, which is much less work than to remove one by
/// one. One that is still there at last, because somebody holds its namespace, is removed.
pub fn await_removal(host_name: &str) -> io::Result<()> {
    let deadline = Instant::now() + REMOVAL_DEADLINE;
    while if_nametoindex(host_name).is_ok() {
        if Instant::now() > deadline {
            return remove_link(host_name);
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Removes the host end `host_name`, and with it the whole pair. One that is absent is removed already.
fn remove_link(host_name: &str) -> io::Result<()> {
    let Ok(index) = if_nametoindex(host_name) else { return Ok(()) };
    let message = LinkMessageBuilder::<LinkUnspec>::default().index(index).build();
    match RouteSocket::open()?.request(RouteNetlinkMessage::DelLink(message), 0) {
        // The namespace of its other end went at the same time and took the pair with it.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        other => other,
    }
}

/// Sets up the network of the calling process's namespace: `lo` and `links` up, their addresses, the default routes. No
/// link takes anything from who calls himself a router there, and one without an IPv6 address speaks no IPv6.
pub fn configure_inside(links: &[LinkSpec]) -> io::Result<()> {
    let mut socket = RouteSocket::open()?;
    bring_up(&mut socket, LOOPBACK)?;
    for link in links {
        let inside = if_nametoindex(link.name.as_str())?;
        // Before it is up: then the kernel begins to ask for routers.
        set_ipv6(&link.name, link.address6.is_some())?;
        bring_up(&mut socket, inside)?;
        for address in link.addresses() {
            let address = address_message(inside, address);
            socket.request(RouteNetlinkMessage::NewAddress(address), NLM_F_CREATE | NLM_F_EXCL)?;
        }
        for gateway in link.gateways() {
            let route = default_route_message(inside, gateway);
            socket.request(RouteNetlinkMessage::NewRoute(route), NLM_F_CREATE | NLM_F_EXCL)?;
        }
    }
    Ok(())
}

fn bring_up(socket: &mut RouteSocket, index: u32) -> io::Result<()> {
    let up = LinkMessageBuilder::<LinkUnspec>::default().index(index).up().build();
    socket.request(RouteNetlinkMessage::SetLink(up), 0)
}
