//! Messages with descriptors between related processes (unix(7), `SOCK_SEQPACKET`).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recv, recvmsg, sendmsg, socketpair,
};

/// The longest message in bytes.
const LONGEST: usize = 16 << 10;

/// One end of a pair of connected sockets that keep the bounds of messages.
#[derive(Debug)]
pub struct MessageSocket(OwnedFd);

/// A message, as received.
#[derive(Debug)]
pub struct Received {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its descriptors, close-on-exec.
    pub fds: Vec<OwnedFd>,
}

impl MessageSocket {
    /// A connected pair.
    pub fn pair() -> io::Result<(MessageSocket, MessageSocket)> {
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((MessageSocket(a), MessageSocket(b)))
    }

    /// Sends `bytes` (not empty, at most 16 KiB) with `fds` (at most 4).
    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Waits for a message; `None` when the other end is closed.
    pub fn receive(&self) -> io::Result<Option<Received>> {
        // No more memory than it needs: a process that waits here, and is forked, pays for every page that it touches.
        let mut bytes = vec![0; self.length_of_next()?.min(LONGEST)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let length = loop {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.0, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Ok(received) => break received.bytes,
                Err(error) if is_passing(error) => {}
                Err(error) => return Err(error.into()),
            }
        };
        if length == 0 {
            return Ok(None);
        }
        bytes.truncate(length);
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                fds.extend(received);
            }
        }
        Ok(Some(Received { bytes, fds }))
    }
}

impl MessageSocket {
    /// Waits for a message and leaves it; 0 when the other end is closed.
    fn length_of_next(&self) -> io::Result<usize> {
        loop {
            match recv(&self.0, &mut [0; 0], RecvFlags::PEEK | RecvFlags::TRUNC) {
                Ok((_, length)) => return Ok(length),
                Err(error) if is_passing(error) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Whether a call is to be repeated. That the other end was closed with something unread is told once, before what it had
/// sent; its last words are still to be had.
fn is_passing(error: Errno) -> bool {
    matches!(error, Errno::INTR | Errno::CONNRESET)
}

impl std::os::fd::AsFd for MessageSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for MessageSocket {
    fn from(fd: OwnedFd) -> MessageSocket {
        MessageSocket(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;

    #[test]
    fn messages_keep_their_bounds_and_carry_descriptors() {
        let (a, b) = MessageSocket::pair().expect("a pair");
        let file = std::fs::File::open("/dev/null").expect("it is there");
        a.send(b"one", &[file.as_fd()]).expect("sent");
        a.send(b"two", &[]).expect("sent");
        drop(a);
        let one = b.receive().expect("received").expect("a message");
        assert_eq!((one.bytes.as_slice(), one.fds.len()), (b"one".as_slice(), 1));
        let two = b.receive().expect("received").expect("a message");
        assert_eq!((two.bytes.as_slice(), two.fds.len()), (b"two".as_slice(), 0));
        assert!(b.receive().expect("received").is_none());
    }

    #[test]
    fn the_last_words_of_one_that_did_not_listen_are_heard() {
        let (a, b) = MessageSocket::pair().expect("a pair");
        b.send(b"unheard", &[]).expect("sent");
        a.send(b"last words", &[]).expect("sent");
        drop(a);
        let last = b.receive().expect("received").expect("a message");
        assert_eq!(last.bytes, b"last words");
        assert!(b.receive().expect("received").is_none());
    }
}
