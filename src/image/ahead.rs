//! Reading ahead: what a reader gives is made in a thread of its own while what it gave before is used.
//!
//! An archive is hashed and decoded there while its entries are written, as by two programs with a pipe between them.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

use super::format::CHUNK;

/// So many pieces of [`CHUNK`] bytes are made at most before one is used.
const MOST_AHEAD: usize = 16;

/// Calls `used` with what `reader` gives. Nobody reads from `reader` any more when this returns.
pub(super) fn read_ahead<T>(reader: impl Read + Send, used: impl FnOnce(Ahead) -> T) -> T {
    let (full, pieces) = mpsc::sync_channel(MOST_AHEAD);
    let (spent, empty) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || produce(reader, &full, &empty));
        used(Ahead { pieces, spent, piece: Vec::new(), used: 0, is_broken: false })
    })
}

/// What a reader gives, from the thread that reads it.
#[derive(Debug)]
pub(super) struct Ahead {
    pieces: Receiver<io::Result<Vec<u8>>>,
    /// Takes pieces back, to be filled anew.
    spent: Sender<Vec<u8>>,
    piece: Vec<u8>,
    used: usize,
    /// Whether the reader has failed: what was said once is not the end of it.
    is_broken: bool,
}

impl BufRead for Ahead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.is_broken {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self.used == self.piece.len()
            && let Ok(next) = self.pieces.recv()
        {
            self.is_broken = next.is_err();
            // Without anybody to fill it, it is not needed any more.
            let _ = self.spent.send(std::mem::replace(&mut self.piece, next?));
            self.used = 0;
        }
        Ok(&self.piece[self.used..])
    }

    fn consume(&mut self, amount: usize) {
        self.used += amount;
    }
}

impl Read for Ahead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

/// Hands on what `reader` gives until it ends or fails, or nobody listens.
fn produce(mut reader: impl Read, full: &SyncSender<io::Result<Vec<u8>>>, empty: &Receiver<Vec<u8>>) {
    loop {
        let mut piece = empty.try_recv().unwrap_or_default();
        piece.resize(CHUNK, 0);
        let (length, result) = fill(&mut reader, &mut piece);
        piece.truncate(length);
        if length > 0 && full.send(Ok(piece)).is_err() {
            return;
        }
        match result {
            Ok(()) if length == CHUNK => {}
            Ok(()) => return,
            Err(error) => {
                let _ = full.send(Err(error));
                return;
            }
        }
    }
}

/// Reads until `piece` is full or `reader` ends; returns how much that was.
fn fill(reader: &mut impl Read, piece: &mut [u8]) -> (usize, io::Result<()>) {
    let mut length = 0;
    while length < piece.len() {
        match reader.read(&mut piece[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (length, Err(error)),
        }
    }
    (length, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_in_order() {
        let all: Vec<u8> = (0_u32..3_000_000).flat_map(u32::to_le_bytes).collect();
        let mut read = Vec::new();
        read_ahead(all.as_slice(), |mut ahead| ahead.read_to_end(&mut read)).expect("read");
        assert_eq!(read.len(), all.len());
        assert!(read == all);
    }

    #[test]
    fn a_reader_that_fails_never_seems_to_end() {
        let broken = io::repeat(7).take(1_000_000).chain(Broken);
        read_ahead(broken, |mut ahead| {
            let mut read = Vec::new();
            assert_eq!(ahead.read_to_end(&mut read).expect_err("it fails").to_string(), "broken");
            assert_eq!(read.len(), 1_000_000);
            assert!(ahead.read(&mut [0]).is_err());
        });
    }

    #[test]
    fn whoever_stops_reading_does_not_wait_for_the_end() {
        let first = read_ahead(io::repeat(7), |mut ahead| ahead.fill_buf().map(<[u8]>::len));
        assert_eq!(first.expect("read"), CHUNK);
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
}
