//! Requests about addresses and routes, of both families alike.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol};
use rtnetlink::{AddressMessageBuilder, RouteMessageBuilder};

/// The link `index` has `address`, with its subnet's prefix length.
///
/// An IPv6 address can be used at once (`IFA_F_NODAD`): nobody but fleet gives out those of the subnet, and the kernel
/// would ask around for a second before it believes so.
pub(super) fn address_message(index: u32, address: IpNet) -> AddressMessage {
    match address {
        IpNet::V4(net) => {
            AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(net.addr(), net.prefix_len()).build()
        }
        IpNet::V6(net) => {
            let builder = AddressMessageBuilder::<Ipv6Addr>::new().index(index);
            let mut message = builder.address(net.addr(), net.prefix_len()).build();
            message.header.flags |= AddressHeaderFlags::Nodad;
            message
        }
    }
}

/// What is for nobody near goes by the link `index` to `gateway`.
///
/// The route is a static one to the kernel (`RTPROT_STATIC`), so that a guest whose own tools set the same one finds
/// it there instead of adding a second (ip-route(8)).
pub(super) fn default_route_message(index: u32, gateway: IpAddr) -> RouteMessage {
    let protocol = RouteProtocol::Static;
    match gateway {
        IpAddr::V4(gateway) => {
            let builder = RouteMessageBuilder::<Ipv4Addr>::new().output_interface(index);
            builder.protocol(protocol).gateway(gateway).build()
        }
        IpAddr::V6(gateway) => {
            let builder = RouteMessageBuilder::<Ipv6Addr>::new().output_interface(index);
            builder.protocol(protocol).gateway(gateway).build()
        }
    }
}
