//! What a viewer of a console tells the monitor. The other way go the guest's bytes as they are.

use rustix::termios::Winsize;

/// The most bytes that are typed in one message.
pub(in crate::engine::native) const MOST_TYPED: usize = 1024;

/// The longest message, in bytes.
pub(in crate::engine::native) const LONGEST: usize = MOST_TYPED + 1;

/// One message of a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::native) enum FromViewer<'a> {
    /// These bytes were typed, at most [`MOST_TYPED`].
    Typed(&'a [u8]),
    /// The viewer's window has so many rows and columns.
    Window(u16, u16),
}

const TYPED: u8 = b'i';
const WINDOW: u8 = b'w';

impl<'a> FromViewer<'a> {
    /// The window of `size`.
    pub(in crate::engine::native) fn window(size: Winsize) -> FromViewer<'static> {
        FromViewer::Window(size.ws_row, size.ws_col)
    }

    pub(in crate::engine::native) fn encode(self) -> Vec<u8> {
        match self {
            FromViewer::Typed(bytes) => [&[TYPED], bytes].concat(),
            FromViewer::Window(rows, columns) => [&[WINDOW][..], &rows.to_be_bytes(), &columns.to_be_bytes()].concat(),
        }
    }

    /// `None` for what no viewer of ours says.
    pub(in crate::engine::native) fn decode(message: &'a [u8]) -> Option<FromViewer<'a>> {
        match *message {
            [TYPED, ref bytes @ ..] => Some(FromViewer::Typed(bytes)),
            [WINDOW, a, b, c, d] => Some(FromViewer::Window(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_viewer_says_arrives() {
        for said in [FromViewer::Typed(b"ls\n"), FromViewer::Window(24, 1000)] {
            assert_eq!(FromViewer::decode(&said.encode()), Some(said));
        }
        assert_eq!(FromViewer::decode(b""), None);
        assert_eq!(FromViewer::decode(b"w12"), None);
    }
}
