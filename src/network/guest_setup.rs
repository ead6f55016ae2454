//! What a link in a guest has of its own, brought there: at the guest's start, when the link is new, and while it runs.
//!
//! All of this is done in the network namespace of the calling thread, whose the socket is, too.

use std::io;

use nix::net::if_::if_nametoindex;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::LinkMessage;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use super::address::{address_message, default_route_message};
use super::parameters::{set_ipv6, with_promotion};
use super::socket::RouteSocket;
use crate::model::{GuestLink, LOOPBACK, LinkSpec};

/// Sets up the network of the calling process's namespace: `lo` and `links`, which have just been made in it. No link takes
/// anything from who calls himself a router there, and one without an IPv6 address speaks no IPv6.
pub fn configure_inside(links: &[LinkSpec]) -> io::Result<()> {
    let mut socket = RouteSocket::open()?;
    bring_up(&mut socket, LOOPBACK)?;
    for spec in links {
        let made = GuestLink::just_made(spec, if_nametoindex(spec.name.as_str())?);
        set_up(&mut socket, spec, &made, &[])?;
        set_routes(&mut socket, spec, &made, &[])?;
    }
    Ok(())
}

/// Makes of `link` what `spec` says, but for its name and its routes. It was given `former`, of whose addresses none stays
/// that is not wanted.
pub(super) fn set_up(
    socket: &mut RouteSocket,
    spec: &LinkSpec,
    link: &GuestLink,
    former: &[LinkSpec],
) -> io::Result<()> {
    let mut wanted = LinkMessageBuilder::<LinkUnspec>::default().index(link.index);
    let mac = spec.own_mac().filter(|mac| link.mac != Some(*mac));
    if let Some(mac) = mac {
        wanted = wanted.address(mac.0.to_vec());
    }
    let mtu = spec.mtu.filter(|mtu| *mtu != link.mtu);
    if let Some(mtu) = mtu {
        wanted = wanted.mtu(mtu);
    }
    if mac.is_some() || mtu.is_some() {
        set(socket, wanted.build())?;
    }
    let missing: Vec<_> = spec.addresses().filter(|address| !link.addresses.contains(address)).collect();
    let speaks_ipv6 = spec.address6.is_some();
    let lacks_ipv6 = missing.iter().any(|address| address.addr().is_ipv6());
    let is_new = former.is_empty() || !link.up;
    if is_new || lacks_ipv6 || former.iter().any(|former| former.address6.is_some() != speaks_ipv6) {
        // Before it is up: then the kernel begins to ask for routers.
        set_ipv6(&spec.name, speaks_ipv6)?;
    }
    if !link.up {
        bring_up(socket, link.index)?;
    }
    for address in missing {
        let message = address_message(link.index, address);
        let added = socket.request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL);
        ignoring(added, &[libc::EEXIST])?;
    }
    let surplus = former.iter().flat_map(LinkSpec::addresses);
    let mut surplus = surplus
        .filter(|address| link.addresses.contains(address) && !spec.addresses().any(|own| own == *address))
        .peekable();
    if surplus.peek().is_none() {
        return Ok(());
    }
    // With the first address of a subnet go all others of it, the guest's own too, but for this.
    with_promotion(&spec.name, || {
        surplus.try_for_each(|address| {
            let message = address_message(link.index, address);
            ignoring(socket.request(RouteNetlinkMessage::DelAddress(message), 0), &[libc::EADDRNOTAVAIL])
        })
    })
}

/// Sets the default routes by `link`, which go with one that goes down and with an address that leads to their gateways;
/// of those that `former` had none stays that is not wanted.
pub(super) fn set_routes(
    socket: &mut RouteSocket,
    spec: &LinkSpec,
    link: &GuestLink,
    former: &[LinkSpec],
) -> io::Result<()> {
    for gateway in spec.gateways().filter(|gateway| !link.gateways.contains(gateway)) {
        let message = RouteNetlinkMessage::NewRoute(default_route_message(link.index, gateway));
        socket.request(message, NLM_F_CREATE | NLM_F_REPLACE)?;
    }
    let surplus = former.iter().flat_map(LinkSpec::gateways);
    let surplus = surplus.filter(|gateway| !spec.gateways().any(|own| own == *gateway));
    for gateway in surplus.filter(|gateway| link.gateways.contains(gateway)) {
        let message = RouteNetlinkMessage::DelRoute(default_route_message(link.index, gateway));
        ignoring(socket.request(message, 0), &[libc::ESRCH])?;
    }
    Ok(())
}

/// Brings up the link `index`.
pub(super) fn bring_up(socket: &mut RouteSocket, index: u32) -> io::Result<()> {
    set(socket, LinkMessageBuilder::<LinkUnspec>::default().index(index).up().build())
}

/// Changes the link that `message` is about.
pub(super) fn set(socket: &mut RouteSocket, message: LinkMessage) -> io::Result<()> {
    socket.request(RouteNetlinkMessage::SetLink(message), 0)
}

/// An error that says that there is nothing to do is none.
pub(super) fn ignoring(result: io::Result<()>, harmless: &[i32]) -> io::Result<()> {
    match result {
        Err(error) if error.raw_os_error().is_some_and(|code| harmless.contains(&code)) => Ok(()),
        other => other,
    }
}
