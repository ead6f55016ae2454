//! How long a server is waited for. Silence ends a wait by itself (`web`); here is the end of what drips.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::web::WebError;
use crate::model::WebUrl;

/// What a server must keep to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// So many bytes must come in so much time that is spent waiting for them.
    pub(super) least: u64,
    pub(super) window: Duration,
    /// How long a whole answer may take that is not loaded to the disk: an index, a manifest, a token; and of one that is
    /// loaded, its beginning.
    pub(super) document: Duration,
}

impl Patience {
    /// 1 KiB in a second, which nobody waits for who has an image to load; the index of the largest server has 4 MiB.
    pub(super) const ORDINARY: Patience =
        Patience { least: 60 << 10, window: Duration::from_mins(1), document: Duration::from_mins(5) };

    /// What `answer` gives, of which `url` was asked, if it comes in the time that a document has.
    pub(super) async fn in_time<T>(
        self,
        url: &WebUrl,
        answer: impl Future<Output = Result<T, WebError>>,
    ) -> Result<T, WebError> {
        let late = |_| WebError::TooSlow {
            url: url.to_string(),
            why: format!("it has not come in {} s", self.document.as_secs()),
        };
        timeout(self.document, answer).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }
}

/// How fast an answer comes.
#[derive(Debug)]
pub(super) struct Pace {
    patience: Patience,
    /// What came since a window began, and what of that is left: the time that it took to write down what came is none of the
    /// server's.
    came: u64,
    left: Duration,
}

impl Pace {
    pub(super) fn new(patience: Patience) -> Pace {
        Pace { patience, came: 0, left: patience.window }
    }

    /// What `piece` gives, the next one of `url`, unless too little has come for too long.
    pub(super) async fn keep<T>(
        &mut self,
        url: &WebUrl,
        piece: impl Future<Output = Result<T, WebError>>,
    ) -> Result<T, WebError> {
        let begin = Instant::now();
        let Patience { least, window, .. } = self.patience;
        let late = |_| WebError::TooSlow {
            url: url.to_string(),
            why: format!("less than {least} bytes came in {} s", window.as_secs()),
        };
        let piece = timeout(self.left, piece).await.unwrap_or_else(|elapsed| Err(late(elapsed)));
        self.left = self.left.saturating_sub(begin.elapsed());
        piece
    }

    /// Counts `length` bytes that came.
    pub(super) fn count(&mut self, length: usize) {
        self.came += length as u64;
        if self.came >= self.patience.least {
            (self.came, self.left) = (0, self.patience.window);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::image::digest::hex;
    use crate::image::download::{Wanted, load};
    use crate::image::error::ImageError;
    use crate::image::tree::Limits;
    use crate::image::web::Web;

    /// Bytes of what the servers here have.
    const SIZE: usize = 20_000;

    /// The address of a server that sends `piece` bytes every five milliseconds to each of `clients`, one after the other.
    fn server(clients: usize, piece: usize) -> WebUrl {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it has one");
        thread::spawn(move || {
            for stream in listener.incoming().take(clients) {
                let mut stream = stream.expect("a client");
                let _ = stream.read(&mut [0; 4096]).expect("it asks");
                let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {SIZE}\r\n\r\n");
                let mut sent = stream.write_all(head.as_bytes());
                for piece in vec![0_u8; SIZE].chunks(piece) {
                    thread::sleep(Duration::from_millis(5));
                    sent = sent.and_then(|()| stream.write_all(piece));
                    if sent.is_err() {
                        break;
                    }
                }
            }
        });
        format!("http://{address}/file").parse().expect("an address")
    }

    fn web(patience: Patience) -> Web {
        Web::new().expect("a client").with_patience(patience)
    }

    const SOON: Patience =
        Patience { least: 1000, window: Duration::from_millis(300), document: Duration::from_mins(1) };

    fn loaded(url: &WebUrl) -> Result<(), ImageError> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let sha256 = hex(Sha256::new_with_prefix(vec![0_u8; SIZE]));
        let wanted = Wanted { url: url.clone(), sha256: &sha256, size: Some(SIZE as u64), longest: Limits::NONE };
        load(&web(SOON), &wanted, dir.path(), Sha256::new(), &|_, _| ()).map(drop)
    }

    #[test]
    fn a_server_that_drips_is_given_up_after_as_many_attempts_as_one_that_is_silent() {
        loaded(&server(1, 500)).expect("it is fast enough");
        let url = server(3, 1);
        let error = loaded(&url).expect_err("it would take minutes").to_string();
        assert_eq!(error, format!("cannot read `{url}` to its end: less than 1000 bytes came in 0 s"));
    }

    #[test]
    fn a_document_must_come_in_its_time_however_it_comes() {
        let patience = Patience { document: Duration::from_millis(300), ..SOON };
        web(patience).read(&server(1, SIZE), SIZE).expect("it is fast enough");
        let url = server(1, 100);
        let error = web(patience).read(&url, SIZE).map(drop).expect_err("it would take a second").to_string();
        assert_eq!(error, format!("cannot read `{url}` to its end: it has not come in 0 s"));
    }
}
