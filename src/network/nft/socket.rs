//! A blocking socket to the kernel's packet filter: one question, or one transaction.

use std::io;

use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use crate::network::attributes::Writer;
use crate::network::messages::{DONE, DUMP, DUMP_INTERRUPTED, ERROR, HEADER, Messages, REQUEST};

/// `struct nfgenmsg`: family, version, resource.
const GENERAL: usize = 4;
const ACK: u16 = 0x4;

const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const UNSPECIFIED: u8 = 0;
/// `NFPROTO_INET`: the family of tables that see IPv4 and IPv6.
pub(super) const INET: u8 = 1;

/// How often a dump is begun anew when something changes meanwhile.
const MOST_TRIES: u32 = 20;

/// A request's flags besides the general ones.
pub(super) const CREATE: u16 = 0x400;
pub(super) const APPEND: u16 = 0x800;

/// The messages of `nf_tables` that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Kind {
    NewTable = 0,
    GetTable = 1,
    DeleteTable = 2,
    NewChain = 3,
    GetChain = 4,
    DeleteChain = 5,
    NewRule = 6,
    GetRule = 7,
    DeleteRule = 8,
}

/// A message of a dump: the family, and the attributes.
pub(super) struct Shown {
    pub(super) family: u8,
    pub(super) attributes: Vec<u8>,
}

pub(super) struct FilterSocket {
    socket: Socket,
    sequence: u32,
}

impl FilterSocket {
    pub(super) fn open() -> io::Result<FilterSocket> {
        let socket = Socket::new(NETLINK_NETFILTER)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(FilterSocket { socket, sequence: 0 })
    }

    /// Asks for all objects that `kind` gets, of `family` or of all, as `attributes` narrow it down. What they are
    /// part of being absent is none of them.
    pub(super) fn dump(&mut self, kind: Kind, family: Option<u8>, attributes: &Writer) -> io::Result<Vec<Shown>> {
        for _ in 0..MOST_TRIES {
            self.sequence += 1;
            let mut bytes = Vec::new();
            let family = family.unwrap_or(UNSPECIFIED);
            push(&mut bytes, nf_tables(kind), REQUEST | DUMP, self.sequence, [family, 0, 0, 0], &attributes.0);
            self.socket.send(&bytes, 0)?;
            match self.shown() {
                Ok(Some(shown)) => return Ok(shown),
                Ok(None) => {}
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("the packet filter's rules change faster than they can be read"))
    }

    /// The messages of a dump; `None` if it was interrupted.
    fn shown(&mut self) -> io::Result<Option<Vec<Shown>>> {
        let (mut shown, mut is_whole) = (Vec::new(), true);
        loop {
            let (received, _) = self.socket.recv_from_full()?;
            for message in Messages(&received) {
                if message.sequence != self.sequence {
                    continue;
                }
                is_whole &= message.flags & DUMP_INTERRUPTED == 0;
                match message.kind {
                    DONE => return Ok(is_whole.then_some(shown)),
                    ERROR => message.error()?,
                    _ => shown.push(Shown {
                        family: message.payload.first().copied().unwrap_or(UNSPECIFIED),
                        attributes: message.payload.get(GENERAL..).unwrap_or_default().to_vec(),
                    }),
                }
            }
        }
    }

    /// Does all of `batch`, or nothing of it.
    pub(super) fn commit(&mut self, batch: Batch) -> io::Result<()> {
        let Batch { requests } = batch;
        if requests.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let general = |family: u8, resource: u16| {
            let [high, low] = resource.to_be_bytes();
            [family, 0, high, low]
        };
        let first = self.sequence + 1;
        push(&mut bytes, BATCH_BEGIN, REQUEST, first, general(UNSPECIFIED, SUBSYSTEM), &[]);
        let mut last = first;
        let count = requests.len();
        for (place, (kind, flags, attributes)) in requests.into_iter().enumerate() {
            last += 1;
            let ack = if place + 1 == count { ACK } else { 0 };
            push(&mut bytes, nf_tables(kind), REQUEST | flags | ack, last, general(INET, 0), &attributes.0);
        }
        self.sequence = last + 1;
        push(&mut bytes, BATCH_END, REQUEST, self.sequence, general(UNSPECIFIED, SUBSYSTEM), &[]);
        // A transaction is one message to the socket, whose buffer must have room for it (netlink_sendmsg).
        setsockopt(&self.socket, sockopt::SndBufForce, &(bytes.len() * 2).max(1 << 18))?;
        setsockopt(&self.socket, sockopt::RcvBufForce, &(1 << 20))?;
        self.socket.send(&bytes, 0)?;
        // Errors come in the order of the requests; that of the whole transaction has the number of its beginning.
        loop {
            let (received, _) = self.socket.recv_from_full()?;
            for message in Messages(&received) {
                if message.kind == ERROR && (first..=last).contains(&message.sequence) {
                    message.error()?;
                    return Ok(());
                }
            }
        }
    }
}

/// Requests that are done together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    requests: Vec<(Kind, u16, Writer)>,
}

impl Batch {
    pub(super) fn add(&mut self, kind: Kind, flags: u16, write: impl FnOnce(&mut Writer)) {
        let mut attributes = Writer::default();
        write(&mut attributes);
        self.requests.push((kind, flags, attributes));
    }
}

fn nf_tables(kind: Kind) -> u16 {
    (SUBSYSTEM << 8) | kind as u16
}

fn push(bytes: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32, general: [u8; GENERAL], attributes: &[u8]) {
    let length = u32::try_from(HEADER + GENERAL + attributes.len()).expect("a message of ours is small");
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(general);
    bytes.extend(attributes);
}
