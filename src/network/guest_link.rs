//! The links of a container, each born inside it: one end of a veth(4) pair, or a share of a link of the host's.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoVeth, IpVlanMode, LinkAttribute, LinkMessage,
    MacVlanMode,
};
use rtnetlink::{LinkIpVlan, LinkMacVlan, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::socket::RouteSocket;
use super::traffic::set_port_mode;
use crate::model::{IpvlanMode, LinkSpec, LinkWay, MacvlanMode, PortMode, USUAL_MTU};

/// Where a container's links are born.
#[derive(Debug, Clone, Copy)]
pub enum GuestPlace<'a> {
    /// In the network namespace of this process.
    Process(u32),
    /// In this one.
    Namespace(BorrowedFd<'a>),
}

impl GuestPlace<'_> {
    fn attribute(self) -> LinkAttribute {
        match self {
            GuestPlace::Process(pid) => LinkAttribute::NetNsPid(pid),
            GuestPlace::Namespace(namespace) => LinkAttribute::NetNsFd(namespace.as_raw_fd()),
        }
    }
}

/// Makes a link of a container, in one request.
pub fn connect_guest(link: &LinkSpec, place: GuestPlace<'_>) -> io::Result<()> {
    let parent = if_nametoindex(link.parent.as_str())?;
    match link.way {
        LinkWay::Bridge => make_port(link, parent, place),
        LinkWay::Macvlan(mode) => {
            let builder = LinkMacVlan::new(&link.host_name, parent, macvlan_mode(mode)).address(link.mac.0.to_vec());
            make_sublink(builder, link, place)
        }
        LinkWay::Ipvlan(mode) => {
            let builder = LinkIpVlan::new(&link.host_name, parent, ipvlan_mode(mode));
            make_sublink(builder, link, place)
        }
    }
}

/// It is born under the name that nothing else on the host has: the kernel looks for what has its name where the
/// request comes from, and not where the link goes.
fn make_sublink<T>(builder: LinkMessageBuilder<T>, link: &LinkSpec, place: GuestPlace<'_>) -> io::Result<()> {
    let builder = builder.append_extra_attribute(place.attribute());
    let builder = match link.mtu {
        Some(mtu) => builder.mtu(mtu),
        None => builder,
    };
    RouteSocket::open()?.request(RouteNetlinkMessage::NewLink(builder.build()), NLM_F_CREATE | NLM_F_EXCL)
}

fn macvlan_mode(mode: MacvlanMode) -> MacVlanMode {
    match mode {
        MacvlanMode::Bridge => MacVlanMode::Bridge,
        MacvlanMode::Private => MacVlanMode::Private,
        MacvlanMode::Vepa => MacVlanMode::Vepa,
        MacvlanMode::Passthru => MacVlanMode::Passthrough,
    }
}

fn ipvlan_mode(mode: IpvlanMode) -> IpVlanMode {
    match mode {
        IpvlanMode::L2 => IpVlanMode::L2,
        IpvlanMode::L3 => IpVlanMode::L3,
        IpvlanMode::L3s => IpVlanMode::L3S,
    }
}

/// Makes a pair: the host end, a port of the bridge and up, and the other end inside. A left-over of the same name is
/// replaced.
fn make_port(link: &LinkSpec, bridge: u32, place: GuestPlace<'_>) -> io::Result<()> {
    let mut inside = LinkMessage::default();
    inside.attributes =
        vec![LinkAttribute::IfName(link.name.clone()), LinkAttribute::Address(link.mac.0.to_vec()), place.attribute()];
    inside.attributes.extend(link.mtu.map(LinkAttribute::Mtu));
    let mut pair = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(&link.host_name)
        .address(link.host_mac().0.to_vec())
        .set_info_data(InfoData::Veth(InfoVeth::Peer(inside)))
        .build();
    // A bridge takes over the least of its ports', and one of the host's stays as it is: shorter packets are the guest's
    // business.
    pair.attributes.extend(link.mtu.filter(|mtu| *mtu > USUAL_MTU).map(LinkAttribute::Mtu));
    let mut socket = RouteSocket::open()?;
    make_pair(&mut socket, pair, &link.host_name)?;
    set_up_port(&mut socket, &link.host_name, bridge)?;
    if link.port == PortMode::default() { Ok(()) } else { set_port_mode(&link.host_name, link.port) }
}

/// Makes the host end `host_name` a port of `bridge`, and up. It gets no IPv6 address, by which the host would speak to the
/// guest past the bridge's rules, and whose routes the kernel walks through whenever one of many ends comes or goes.
/// That takes a request of its own: one that makes a link takes no notice of it.
fn set_up_port(socket: &mut RouteSocket, host_name: &str, bridge: u32) -> io::Result<()> {
    let port = || LinkMessageBuilder::<LinkUnspec>::default().name(host_name).controller(bridge).up();
    let no_address = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
    let silent = port().append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![no_address])).build();
    match socket.request(RouteNetlinkMessage::SetLink(silent), 0) {
        // A kernel without IPv6.
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            socket.request(RouteNetlinkMessage::SetLink(port().build()), 0)
        }
        other => other,
    }
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

/// How long the kernel may take to take network namespaces apart.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(5);

/// Returns when the link with the host end `host_name` is gone. It goes with the network namespace of its other end,
/// whose processes have ended: in the kernel's own time and many at once, which is much less work than to remove one by
/// one. One that is still there at last, because somebody holds its namespace, is removed.
pub fn await_removal(host_name: &str) -> io::Result<()> {
    let begun = Instant::now();
    while if_nametoindex(host_name).is_ok() {
        let waited = begun.elapsed();
        if waited > REMOVAL_DEADLINE {
            return remove_link(host_name);
        }
        // Of many that go at once each waits for the others: to look all the time would only hold them up.
        thread::sleep((waited / 8).clamp(Duration::from_millis(2), Duration::from_millis(50)));
    }
    Ok(())
}

/// Removes the host end `host_name`, and with it the whole pair. One that is absent is removed already.
pub(super) fn remove_link(host_name: &str) -> io::Result<()> {
    let Ok(index) = if_nametoindex(host_name) else { return Ok(()) };
    let message = LinkMessageBuilder::<LinkUnspec>::default().index(index).build();
    match RouteSocket::open()?.request(RouteNetlinkMessage::DelLink(message), 0) {
        // The namespace of its other end went at the same time and took the pair with it.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        other => other,
    }
}

/// Whether the kernel has links of that way. What is asked for lacks its parent, so that nothing is made: a kernel that
/// knows the kind misses that first, and looks for a module if it does not.
#[must_use]
pub fn knows_way(way: LinkWay) -> bool {
    let kind = match way {
        LinkWay::Bridge => return true,
        LinkWay::Macvlan(_) => InfoKind::MacVlan,
        LinkWay::Ipvlan(_) => InfoKind::IpVlan,
    };
    let message = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(kind).build();
    let asked = RouteSocket::open()
        .and_then(|mut socket| socket.request(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL));
    !matches!(asked, Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP))
}

/// Gives those of `links` that were born under other names in the calling process's namespace their own.
pub fn name_inside(links: &[LinkSpec]) -> io::Result<()> {
    for link in links.iter().filter(|link| link.way != LinkWay::Bridge) {
        let index = if_nametoindex(link.host_name.as_str())?;
        let named = LinkMessageBuilder::<LinkUnspec>::default().index(index).name(&link.name).build();
        RouteSocket::open()?.request(RouteNetlinkMessage::SetLink(named), 0)?;
    }
    Ok(())
}
