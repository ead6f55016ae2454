//! The links of running containers, read back from their network namespaces.
//!
//! It is the kernel that answers, and a guest's root cannot: a socket that is connected to the kernel takes messages from
//! nobody else (`netlink_getsockbyportid`). But names and numbers are the guest's choice, so nothing here fails over them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::thread;

use ipnet::IpNet;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::attributes::{Reader, Writer};
use super::messages::{DONE, DUMP, DUMP_INTERRUPTED, ERROR, HEADER, Messages, REQUEST};
use super::namespace::enter;
use crate::model::{GuestLink, IpvlanMode, LinkWay, MacAddress, MacvlanMode};

/// Containers that one thread looks at: to make another takes about as long.
const ENOUGH: usize = 16;

/// The links in the network namespace of each of `containers`, which `open` opens; nothing of one that has none, or cannot be
/// read.
///
/// No two are open at one time on a thread: a host may have more containers than a process may have open files.
#[must_use]
pub fn read_guest_links<T: Sync>(
    containers: &[T],
    open: impl Fn(&T) -> Option<OwnedFd> + Sync,
) -> Vec<Option<Vec<GuestLink>>> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(containers.len().div_ceil(ENOUGH)).max(1);
    let share = containers.len().div_ceil(threads).max(1);
    let read = |part: &[T]| {
        let mut buffer = Vec::new();
        let mut read_one = |container| {
            enter(open(container)?.as_fd()).ok()?;
            GuestDump::open(&mut buffer).and_then(|mut dump| dump.links()).ok()
        };
        part.iter().map(&mut read_one).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        // Each thread goes through them and does not come back.
        let parts: Vec<_> = containers.chunks(share).map(|part| scope.spawn(|| read(part))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// The links in the network namespace `namespace`.
pub(super) fn read_one(namespace: BorrowedFd<'_>) -> io::Result<Vec<GuestLink>> {
    super::namespace::within(namespace, || GuestDump::open(&mut Vec::new())?.links())
}

/// How often a dump is begun anew when something changes meanwhile.
const MOST_TRIES: u32 = 20;
/// The kernel shows no more than that at once (`netlink_dump`).
const LARGEST: usize = 32 << 10;

// rtnetlink(7), with the lengths of the headers that the kernel's attributes follow.
const GET_LINK: u16 = 18;
const GET_ADDRESS: u16 = 22;
const GET_ROUTE: u16 = 26;
const LINK_HEADER: usize = 16;
const ADDRESS_HEADER: usize = 8;
const ROUTE_HEADER: usize = 12;

/// What is counted on links is most of what there is to tell of them: `IFLA_EXT_MASK` with `RTEXT_FILTER_SKIP_STATS`.
fn without_counters() -> Vec<u8> {
    let mut attribute = Writer::default();
    attribute.bytes(29, &8_u32.to_ne_bytes());
    attribute.0
}

/// A socket of the namespace that it was opened in, for questions about all of something.
struct GuestDump<'b> {
    socket: Socket,
    sequence: u32,
    buffer: &'b mut Vec<u8>,
}

impl GuestDump<'_> {
    fn open(buffer: &mut Vec<u8>) -> io::Result<GuestDump<'_>> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(GuestDump { socket, sequence: 0, buffer })
    }

    fn links(&mut self) -> io::Result<Vec<GuestLink>> {
        let mut links = Vec::new();
        self.each(GET_LINK, LINK_HEADER, &without_counters(), |header, attributes| {
            links.extend(link(header, attributes));
        })?;
        self.each(GET_ADDRESS, ADDRESS_HEADER, &[], |header, attributes| {
            let Some((index, address)) = address(header, attributes) else { return };
            let found = links.iter_mut().find(|link: &&mut GuestLink| link.index == index);
            if let Some(link) = found {
                link.addresses.push(address);
            }
        })?;
        self.each(GET_ROUTE, ROUTE_HEADER, &[], |header, attributes| {
            for (index, gateway) in default_routes(header, attributes) {
                let found = links.iter_mut().find(|link| link.index == index);
                if let Some(link) = found {
                    link.gateways.push(gateway);
                }
            }
        })?;
        Ok(links)
    }

    /// Calls `take` with header and attributes of each message that answers the question `kind`.
    fn each(
        &mut self,
        kind: u16,
        header: usize,
        asked: &[u8],
        mut take: impl FnMut(&[u8], Reader<'_>),
    ) -> io::Result<()> {
        for _ in 0..MOST_TRIES {
            let answer = self.dump(kind, header, asked)?;
            if let Some(messages) = answer {
                for message in messages {
                    if let Some((header, attributes)) = message.split_at_checked(header) {
                        take(header, Reader(attributes));
                    }
                }
                return Ok(());
            }
        }
        Err(io::Error::other("the links of a container change faster than they can be read"))
    }

    /// The payloads of all answers; `None` if something changed meanwhile.
    fn dump(&mut self, kind: u16, header: usize, asked: &[u8]) -> io::Result<Option<Vec<Vec<u8>>>> {
        self.sequence += 1;
        let mut request = Vec::with_capacity(HEADER + header + asked.len());
        let length = u32::try_from(HEADER + header + asked.len()).expect("a question is short");
        request.extend(length.to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend((REQUEST | DUMP).to_ne_bytes());
        request.extend(self.sequence.to_ne_bytes());
        // Of all families, links, tables: whatever comes next is 0.
        request.resize(HEADER + header, 0);
        request.extend(asked);
        self.socket.send(&request, 0)?;
        let (mut payloads, mut is_whole) = (Vec::new(), true);
        loop {
            self.buffer.clear();
            self.buffer.reserve(LARGEST);
            self.socket.recv(self.buffer, 0)?;
            for message in Messages(self.buffer).filter(|message| message.sequence == self.sequence) {
                is_whole &= message.flags & DUMP_INTERRUPTED == 0;
                match message.kind {
                    DONE => return Ok(is_whole.then_some(payloads)),
                    ERROR => message.error()?,
                    _ => payloads.push(message.payload.to_vec()),
                }
            }
        }
    }
}

fn number(bytes: &[u8], place: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(place..place + 4)?.try_into().ok()?))
}

/// `struct ifinfomsg` has the number at 4 and the flags at 8 (rtnetlink(7)).
fn link(header: &[u8], attributes: Reader<'_>) -> Option<GuestLink> {
    const MAC: u16 = 1;
    const NAME: u16 = 3;
    const MTU: u16 = 4;
    const BEYOND: u16 = 5;
    const INFO: u16 = 18;
    const UP: u32 = 1;
    let mac: Option<[u8; 6]> = attributes.bytes(MAC).and_then(|bytes| bytes.try_into().ok());
    Some(GuestLink {
        index: number(header, 4)?,
        name: attributes.text(NAME)?,
        way: attributes.nest(INFO).and_then(way),
        beyond: attributes.native(BEYOND),
        mac: mac.map(MacAddress),
        up: number(header, 8)? & UP != 0,
        mtu: attributes.native(MTU)?,
        addresses: Vec::new(),
        gateways: Vec::new(),
    })
}

/// How it leads out, if it is of a kind that fleet makes.
fn way(info: Reader<'_>) -> Option<LinkWay> {
    // `IFLA_INFO_KIND`, `IFLA_INFO_DATA`, and `IFLA_MACVLAN_MODE` or `IFLA_IPVLAN_MODE` in it.
    const KIND: u16 = 1;
    const DATA: u16 = 2;
    const MODE: u16 = 1;
    let mode = || info.nest(DATA)?.bytes(MODE);
    match info.text(KIND)?.as_str() {
        "veth" => Some(LinkWay::Bridge),
        "macvlan" => Some(LinkWay::Macvlan(match number(mode()?, 0)? {
            1 => MacvlanMode::Private,
            2 => MacvlanMode::Vepa,
            4 => MacvlanMode::Bridge,
            8 => MacvlanMode::Passthru,
            _ => return None,
        })),
        "ipvlan" => Some(LinkWay::Ipvlan(match u16::from_ne_bytes(mode()?.try_into().ok()?) {
            0 => IpvlanMode::L2,
            1 => IpvlanMode::L3,
            2 => IpvlanMode::L3s,
            _ => return None,
        })),
        _ => None,
    }
}

/// `struct ifaddrmsg` has the prefix length at 1 and the link's number at 4 (rtnetlink(7)).
fn address(header: &[u8], attributes: Reader<'_>) -> Option<(u32, IpNet)> {
    const ADDRESS: u16 = 1;
    const LOCAL: u16 = 2;
    // On a link with a peer `IFA_ADDRESS` is the peer's; of IPv6 there is nothing else elsewhere.
    let address = ip(attributes.bytes(LOCAL).or_else(|| attributes.bytes(ADDRESS))?)?;
    Some((number(header, 4)?, IpNet::new(address, *header.get(1)?).ok()?))
}

/// Link and gateway of a default route of the main table. `struct rtmsg` has the length of the destination's prefix at 1,
/// the table at 4 and the type at 7 (rtnetlink(7)).
fn default_routes(header: &[u8], attributes: Reader<'_>) -> Vec<(u32, IpAddr)> {
    const MAIN: u8 = 254;
    const UNICAST: u8 = 1;
    const OUT: u16 = 4;
    const GATEWAY: u16 = 5;
    const SEVERAL: u16 = 9;
    if (header.get(1), header.get(4), header.get(7)) != (Some(&0), Some(&MAIN), Some(&UNICAST)) {
        return Vec::new();
    }
    let gateway = |attributes: Reader<'_>| attributes.bytes(GATEWAY).and_then(ip);
    let mut routes: Vec<(u32, IpAddr)> = attributes.native(OUT).zip(gateway(attributes)).into_iter().collect();
    // `struct rtnexthop`: its length at 0, the link's number at 4, and attributes.
    let mut several = attributes.bytes(SEVERAL).unwrap_or_default();
    while let Some(length) = several.get(..2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes) {
        let Some(one) = several.get(..usize::from(length)).filter(|one| one.len() >= 8) else { break };
        routes.extend(number(one, 4).zip(gateway(Reader(&one[8..]))));
        several = several.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
    }
    routes
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}
