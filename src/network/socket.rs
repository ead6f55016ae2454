//! A blocking rtnetlink socket, for processes with one thread and no runtime.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::nsid::{NsidAttribute, NsidMessage};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::namespace::within;

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

    /// Opens one of the network namespace `namespace`.
    pub(super) fn open_in(namespace: BorrowedFd<'_>) -> io::Result<RouteSocket> {
        within(namespace, RouteSocket::open)
    }

    /// Sends `message` with `flags` besides `NLM_F_REQUEST` and `NLM_F_ACK`, and waits for the kernel's answer.
    pub(super) fn request(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(message, NLM_F_ACK | flags)?;
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            if let Some(result) = self.answer_in(&answer)? {
                return result;
            }
        }
    }

    /// Everything that answers the question `message`.
    pub(super) fn dump(&mut self, message: RouteNetlinkMessage) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.send(message, NLM_F_DUMP)?;
        let mut shown = Vec::new();
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            for message in self.messages_in(&answer)? {
                match message.payload {
                    NetlinkPayload::InnerMessage(one) => shown.push(one),
                    NetlinkPayload::Done(_) => return Ok(shown),
                    NetlinkPayload::Error(answer) => return Err(answer.to_io()),
                    _ => {}
                }
            }
        }
    }

    /// The one thing that `message` asks for; `None` if there is none.
    pub(super) fn get(&mut self, message: RouteNetlinkMessage) -> io::Result<Option<RouteNetlinkMessage>> {
        self.send(message, 0)?;
        loop {
            let (answer, _) = self.socket.recv_from_full()?;
            for message in self.messages_in(&answer)? {
                match message.payload {
                    NetlinkPayload::InnerMessage(one) => return Ok(Some(one)),
                    NetlinkPayload::Error(answer) if answer.raw_code() == -libc::ENODEV => return Ok(None),
                    NetlinkPayload::Error(answer) => return Err(answer.to_io()),
                    _ => {}
                }
            }
        }
    }

    /// The number that the socket's network namespace has for `namespace`; `None` if it has given it none.
    pub(super) fn number_of(&mut self, namespace: BorrowedFd<'_>) -> io::Result<Option<i32>> {
        let fd = u32::try_from(namespace.as_raw_fd()).map_err(io::Error::other)?;
        let mut asked = NsidMessage::default();
        asked.attributes.push(NsidAttribute::Fd(fd));
        let Some(RouteNetlinkMessage::NewNsId(shown)) = self.get(RouteNetlinkMessage::GetNsId(asked))? else {
            return Ok(None);
        };
        Ok(shown.attributes.into_iter().find_map(|attribute| match attribute {
            NsidAttribute::Id(number) if number >= 0 => Some(number),
            _ => None,
        }))
    }

    fn send(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        let mut packet = NetlinkMessage::from(message);
        packet.header.flags = NLM_F_REQUEST | flags;
        packet.header.sequence_number = self.sequence;
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(drop)
    }

    /// The kernel's answer to the last request, if `bytes` has it.
    fn answer_in(&self, bytes: &[u8]) -> io::Result<Option<io::Result<()>>> {
        let answer = self.messages_in(bytes)?.into_iter().find_map(|message| match message.payload {
            NetlinkPayload::Error(answer) => Some(answer),
            _ => None,
        });
        Ok(answer.map(|answer| if answer.code.is_none() { Ok(()) } else { Err(answer.to_io()) }))
    }

    /// What of `bytes` is about the last request.
    fn messages_in(&self, bytes: &[u8]) -> io::Result<Vec<NetlinkMessage<RouteNetlinkMessage>>> {
        let (mut rest, mut messages) = (bytes, Vec::new());
        while !rest.is_empty() {
            let length = NetlinkBuffer::new_checked(rest).map_err(io::Error::other)?.length() as usize;
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
            if message.header.sequence_number == self.sequence {
                messages.push(message);
            }
            // Messages are padded to four bytes.
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(messages)
    }
}
