//! How an archive is packed, told by its first bytes, and the decoders.

use std::io::{self, BufRead, BufReader, Read};
use std::thread;

use liblzma::bufread::XzDecoder;
use liblzma::stream::MtStreamBuilder;

use super::entries::{BLOCK, has_header_checksum};

/// Bytes that are read and decoded at a time.
pub(super) const CHUNK: usize = 256 << 10;

/// Memory in bytes up to which xz blocks are decoded in parallel, and beyond which an archive is refused. The largest
/// preset of xz takes 65 MiB for each thread.
const XZ_THREADS_MEMORY: u64 = 512 << 20;
const XZ_MEMORY: u64 = 2 << 30;

/// How a tar archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Not at all.
    Plain,
    /// gzip, in one or more members.
    Gzip,
    /// xz, in one or more streams.
    Xz,
    /// Zstandard, in one or more frames.
    Zstd,
}

impl Format {
    /// What an archive that begins with `head` is; `None` if it is none. What is packed is not looked at.
    pub(super) fn detect(head: &[u8]) -> Option<Format> {
        match head {
            [0x1f, 0x8b, ..] => Some(Format::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Format::Xz),
            // An ordinary frame, and a skippable one as pzstd writes first.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Format::Zstd),
            _ => head.first_chunk::<BLOCK>().filter(|head| has_header_checksum(head)).map(|_| Format::Plain),
        }
    }

    /// What `packed` holds. Its end is reached only if all of `packed` is well-formed.
    pub(super) fn decode<'a>(self, packed: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
        let packed = BufReader::with_capacity(CHUNK, packed);
        Ok(match self {
            Format::Plain => Box::new(packed),
            Format::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
            Format::Xz => Box::new(XzStreams::new(packed)?),
            Format::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(packed)?),
        })
    }
}

fn xz_stream() -> io::Result<liblzma::stream::Stream> {
    let threads = thread::available_parallelism().map_or(1, |threads| u32::try_from(threads.get()).unwrap_or(1));
    MtStreamBuilder::new()
        .threads(threads)
        .memlimit_threading(XZ_THREADS_MEMORY)
        .memlimit_stop(XZ_MEMORY)
        .decoder()
        .map_err(io::Error::from)
}

/// The streams of an xz file one after the other: the parallel decoder ends with the first.
struct XzStreams<R> {
    /// Absent only after an error.
    current: Option<XzDecoder<R>>,
}

impl<R: BufRead> XzStreams<R> {
    fn new(packed: R) -> io::Result<XzStreams<R>> {
        Ok(XzStreams { current: Some(XzDecoder::new_stream(packed, xz_stream()?)) })
    }
}

impl<R: BufRead> Read for XzStreams<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let current = self.current.as_mut().ok_or(io::ErrorKind::InvalidData)?;
            let read = current.read(into)?;
            if read > 0 || into.is_empty() || !skip_nulls(current.get_mut())? {
                return Ok(read);
            }
            let packed = self.current.take().map(XzDecoder::into_inner).ok_or(io::ErrorKind::InvalidData)?;
            *self = XzStreams::new(packed)?;
        }
    }
}

/// Skips the padding that may stand between streams; returns whether anything follows.
fn skip_nulls(packed: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let rest = packed.fill_buf()?;
        let padding = rest.iter().take_while(|byte| **byte == 0).count();
        if padding == 0 {
            return Ok(!rest.is_empty());
        }
        packed.consume(padding);
    }
}
