//! Tells whoever is near where a link is now: else they look for it, and for its addresses, where these were.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::thread;
use std::time::{Duration, Instant};

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage, State};

use super::namespace::within;
use super::socket::RouteSocket;
use crate::model::{GuestLink, LinkSpec, LinkWay, MacAddress};
use crate::sys::send_frame;

/// Protocols of frames (`ETH_P_ARP`, `ETH_P_IPV6`), and to whom they go there: to all, and to all that speak IPv6 (RFC 2464).
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
const EVERYBODY: [u8; 6] = [0xff; 6];
const ALL_NODES: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// How long the kernel may take to take note of a link that has come up.
const OPERATION_DEADLINE: Duration = Duration::from_millis(500);

/// Sockets of the host and of the guest whose network namespace is `namespace`.
pub(super) struct Sockets<'s> {
    pub(super) namespace: BorrowedFd<'s>,
    pub(super) host: &'s mut RouteSocket,
    pub(super) guest: &'s mut RouteSocket,
}

/// Announces that all addresses of the guest's link `link`, made as `spec`, are at its link-layer address.
pub(super) fn announce(sockets: Sockets<'_>, spec: &LinkSpec, link: &GuestLink) -> io::Result<()> {
    let Some(mac) = link.mac else { return Ok(()) };
    let Sockets { namespace, host, guest } = sockets;
    await_operation(host, guest, link.index, spec);
    within(namespace, || {
        link.addresses.iter().try_for_each(|address| match address.addr() {
            IpAddr::V4(address) => send_frame(link.index, ARP, EVERYBODY, &arp_announcement(mac, address)),
            IpAddr::V6(address) => send_frame(link.index, IPV6, ALL_NODES, &unsolicited_advertisement(mac, address)),
        })
    })
}

/// The request that asks for `address` itself (RFC 5227, section 3).
fn arp_announcement(mac: MacAddress, address: Ipv4Addr) -> Vec<u8> {
    // Ethernet and IPv4, with the lengths of their addresses; a request.
    let head = [0, 1, 0x08, 0, 6, 4, 0, 1];
    [&head[..], &mac.0, &address.octets(), &[0; 6], &address.octets()].concat()
}

/// The neighbour advertisement that nobody has asked for, with its IPv6 header (RFC 4861, sections 4.4 and 7.2.6).
fn unsolicited_advertisement(mac: MacAddress, address: Ipv6Addr) -> Vec<u8> {
    const TYPE: u8 = 136;
    const OVERRIDE: u8 = 0x20;
    const TARGET_LINK_LAYER_ADDRESS: u8 = 2;
    const ICMPV6: u8 = 58;
    let to = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let head = [TYPE, 0, 0, 0, OVERRIDE, 0, 0, 0];
    let mut message = [&head[..], &address.octets(), &[TARGET_LINK_LAYER_ADDRESS, 1], &mac.0].concat();
    let length = [0, 32];
    debug_assert_eq!(message.len(), usize::from(length[1]));
    let ends = [address.octets(), to.octets()].concat();
    let sum = checksum(&[&ends[..], &[0, 0], &length, &[0, 0, 0, ICMPV6], &message].concat());
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let header = [0x60, 0, 0, 0, length[0], length[1], ICMPV6, 255];
    [&header[..], &ends, &message].concat()
}

/// The Internet checksum of an even number of bytes (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    !words.fold(0_u16, |sum, word| {
        let (sum, is_carried) = sum.overflowing_add(word);
        sum + u16::from(is_carried)
    })
}

/// What is sent by a link that has just come up is lost until the kernel has taken note of that on both ends. One that
/// leads nowhere never gets so far, and has nobody to tell.
fn await_operation(host: &mut RouteSocket, guest: &mut RouteSocket, index: u32, spec: &LinkSpec) {
    let mut inside = LinkMessage::default();
    inside.header.index = index;
    let mut outside = LinkMessage::default();
    outside.attributes.push(LinkAttribute::IfName(spec.host_name.clone()));
    let begun = Instant::now();
    while begun.elapsed() < OPERATION_DEADLINE {
        let is_ready =
            is_operational(guest, &inside) && (spec.way != LinkWay::Bridge || is_operational(host, &outside));
        if is_ready {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn is_operational(socket: &mut RouteSocket, asked: &LinkMessage) -> bool {
    let shown = socket.get(RouteNetlinkMessage::GetLink(asked.clone()));
    matches!(shown, Ok(Some(RouteNetlinkMessage::NewLink(link)))
        if link.attributes.contains(&LinkAttribute::OperState(State::Up)))
}
