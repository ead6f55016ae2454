//! A network's packet rules with what they need of its bridge.

use std::io;

use nix::net::if_::if_nametoindex;
use rtnetlink::LinkBridgePort;
use rtnetlink::packet_route::RouteNetlinkMessage;

use super::nft::write_chains;
use super::parameters::{set_loopback, takes_loopback};
use super::socket::RouteSocket;
use crate::model::{Chains, NetworkName, PortMode, Traffic};

/// Makes the host's rules for the network those of `traffic`; `scope` is the root's.
///
/// The bridge takes packets of the host's loopback addresses only as long as there are rules that keep the guests'
/// away.
pub fn set_traffic(scope: &str, traffic: &Traffic) -> io::Result<()> {
    let bridge = &traffic.bridge;
    if !traffic.loopback && takes_loopback(bridge)? {
        set_loopback(bridge, false)?;
    }
    write_chains(scope, traffic.fleet.as_str(), &traffic.network, &traffic.chains)?;
    if traffic.loopback {
        set_loopback(bridge, true)?;
    }
    for (port, mode) in &traffic.ports {
        match set_port_mode(port, *mode) {
            // Its container ended meanwhile; what starts it again knows better.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
            other => other?,
        }
    }
    Ok(())
}

/// Removes all rules of the network `network` of the fleet `fleet`, whose bridge is `bridge` unless it is another's by now.
pub fn remove_traffic(scope: &str, fleet: &str, network: &NetworkName, bridge: Option<&str>) -> io::Result<()> {
    if let Some(bridge) = bridge
        && takes_loopback(bridge)?
    {
        set_loopback(bridge, false)?;
    }
    write_chains(scope, fleet, network, &Chains::new())
}

/// Has a bridge do with its port `link` what `mode` says.
pub(super) fn set_port_mode(link: &str, mode: PortMode) -> io::Result<()> {
    let port = LinkBridgePort::new(if_nametoindex(link)?);
    let message = port.isolated(mode.isolated).hairpin(mode.hairpin).build();
    // Of requests about a link that is there only this one looks at what it is as a port (`rtnl_newlink`).
    RouteSocket::open()?.request(RouteNetlinkMessage::NewLink(message), 0)
}
