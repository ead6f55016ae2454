//! Single frames on a link (`packet(7)`).

use std::io;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

/// Sends `payload` as a frame of the protocol `protocol` (`ETH_P_…`) to the link-layer address `destination`, by the link
/// `index` of the calling thread's network namespace.
pub fn send_frame(index: u32, protocol: u16, destination: [u8; 6], payload: &[u8]) -> io::Result<()> {
    // Of no protocol, it receives nothing.
    let socket = socket(AddressFamily::Packet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut address = [0; 8];
    address[..6].copy_from_slice(&destination);
    let to = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?,
        sll_protocol: protocol.to_be(),
        sll_ifindex: i32::try_from(index).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: address,
    };
    let length = libc::socklen_t::try_from(size_of_val(&to)).map_err(io::Error::other)?;
    // SAFETY: both pointers are to memory of the lengths that go with them, which lives until the call returns.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            payload.as_ptr().cast(),
            payload.len(),
            0,
            std::ptr::from_ref(&to).cast(),
            length,
        )
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
