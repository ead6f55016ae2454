//! A blocking rtnetlink socket, for processes with one thread and no runtime.

use std::io;

use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

/// A socket to the kernel's routing tables, of the network namespace that it was opened in.
pub(super) struct RouteSocket {
    socket: Socket,
    sequence: u32,
}

impl RouteSocket {
    /// Opens one.
    pub(super) fn open() -> io::Result<RouteSocket> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(RouteSocket { socket, sequence: 0 })
    }

    /// Sends `message` with `flags` besides `NLM_F_REQUEST` and `NLM_F_ACK`, and waits for the kernel's answer.
    pub(super) fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        let mut packet = NetlinkMessage::from(message);
        packet.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        packet.header.sequence_number = self.sequence;
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            if let Some(result) = self.answer_in(&answer)? {
                return result;
            }
        }
    }

    /// The kernel's answer to the last request, if `bytes` has it.
    fn answer_in(&self, bytes: &[u8]) -> io::Result<Option<io::Result<()>>> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let length = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?.length() as usize;
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
            if message.header.sequence_number == self.sequence
                && let NetlinkPayload::Error(answer) = message.payload
            {
                return Ok(Some(match answer.code {
                    None => Ok(()),
                    Some(_) => Err(answer.to_io()),
                }));
            }
            // Messages are padded to four bytes.
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(None)
    }
}
