//! What a netlink socket receives, taken apart (netlink(7)).

use std::io;

/// Netlink's own message types.
pub(super) const ERROR: u16 = 2;
pub(super) const DONE: u16 = 3;
/// The length of a message's header.
pub(super) const HEADER: usize = 16;
/// Flags of requests.
pub(super) const REQUEST: u16 = 0x1;
pub(super) const DUMP: u16 = 0x300;
/// What was shown is not from one moment: something changed meanwhile.
pub(super) const DUMP_INTERRUPTED: u16 = 0x10;

/// The messages in what was received.
pub(super) struct Messages<'a>(pub(super) &'a [u8]);

/// One of them.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) payload: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let bytes = self.0;
        let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
        let short = |place: usize| Some(u16::from_ne_bytes(bytes.get(place..place + 2)?.try_into().ok()?));
        let message = Message {
            kind: short(4)?,
            flags: short(6)?,
            sequence: u32::from_ne_bytes(bytes.get(8..12)?.try_into().ok()?),
            payload: bytes.get(HEADER..length)?,
        };
        self.0 = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    }
}

impl Message<'_> {
    /// What an answer says: a negative number of errno(3), or 0.
    pub(super) fn error(&self) -> io::Result<()> {
        let code = self.payload.get(..4).and_then(|bytes| bytes.try_into().ok()).map_or(0, i32::from_ne_bytes);
        if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) }
    }
}
