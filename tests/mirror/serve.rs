//! A web server for the files of a directory. It knows ranges, as every real one does.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The end of an answer without content.
const NOTHING_MORE: &str = "Content-Length: 0\r\nConnection: close\r\n\r\n";

/// What the server does wrong with one path.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Closes the connection after so many bytes of the content.
    CutAfter(usize),
    /// The same, but says no length, as a server of HTTP/1.0 does.
    EndAfter(usize),
    /// Sends so many bytes and then nothing, until it is told otherwise.
    StallAfter(usize),
    /// Closes the connection without a word, once.
    HangUp,
    /// Leads elsewhere.
    Redirect(String),
    /// Knows no ranges: gives all each time.
    WithoutRanges,
    /// Refuses whoever does not send this header, and says what it wants.
    Wants { header: String, challenge: String },
}

/// A running server; it ends with its test.
pub(crate) struct Server {
    port: u16,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    dir: PathBuf,
    faults: Mutex<HashMap<String, Fault>>,
    /// `PATH` or `PATH RANGE`, as they came.
    requests: Mutex<Vec<String>>,
    agents: Mutex<Vec<String>>,
    authorizations: Mutex<Vec<String>>,
    ended: AtomicBool,
}

impl Server {
    /// Serves `dir`.
    pub(crate) fn new(dir: &Path) -> Server {
        Server::at(dir, 0)
    }

    /// Serves `dir` at the port of a server that was there before.
    pub(crate) fn at(dir: &Path, port: u16) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let state = Arc::new(State {
            dir: dir.to_owned(),
            faults: Mutex::default(),
            requests: Mutex::default(),
            agents: Mutex::default(),
            authorizations: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.ended.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    // A client that goes away is one of the things that are tested.
                    let _ = shared.answer(&stream);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        Server { port, state, thread: Some(thread) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn fault(&self, path: &str, fault: Fault) {
        self.state.faults.lock().expect("not poisoned").insert(path.to_owned(), fault);
    }

    pub(crate) fn mend(&self) {
        self.state.faults.lock().expect("not poisoned").clear();
    }

    /// What was asked for since the last call.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.requests.lock().expect("not poisoned"))
    }

    /// The headers `Authorization` since the last call.
    pub(crate) fn authorizations(&self) -> Vec<String> {
        std::mem::take(&mut self.state.authorizations.lock().expect("not poisoned"))
    }

    /// What the last client called itself.
    pub(crate) fn agent(&self) -> String {
        self.state.agents.lock().expect("not poisoned").last().cloned().unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.mend();
        self.state.ended.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl State {
    fn answer(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        let (mut start, mut authorization) = (None, String::new());
        for line in lines {
            let line = line?;
            let (name, value) = line.split_once(": ").unwrap_or((line.as_str(), ""));
            match name.to_ascii_lowercase().as_str() {
                "" => break,
                "range" => {
                    start = value.strip_prefix("bytes=").and_then(|range| range.trim_end_matches('-').parse().ok());
                }
                "authorization" => {
                    self.authorizations.lock().expect("not poisoned").push(value.to_owned());
                    value.clone_into(&mut authorization);
                }
                "user-agent" => self.agents.lock().expect("not poisoned").push(value.to_owned()),
                _ => {}
            }
        }
        let range = start.map(|start: usize| format!(" {start}-")).unwrap_or_default();
        self.requests.lock().expect("not poisoned").push(format!("{path}{range}"));
        let fault = self.faults.lock().expect("not poisoned").get(&path).cloned();
        if let Some(Fault::HangUp) = &fault {
            self.faults.lock().expect("not poisoned").remove(&path);
            return Ok(());
        }
        if let Some(Fault::Redirect(to)) = &fault {
            return write!(stream, "HTTP/1.1 302 Found\r\nLocation: {to}\r\n{NOTHING_MORE}");
        }
        if let Some(Fault::Wants { header, challenge }) = &fault
            && *header != authorization
        {
            let head = format!("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {challenge}");
            return write!(stream, "{head}\r\n{NOTHING_MORE}");
        }
        // The only sign of a serial that is encoded.
        let Ok(content) = fs::read(self.dir.join(path.replace("%3A", ":"))) else {
            return write!(stream, "HTTP/1.1 404 Not Found\r\n{NOTHING_MORE}");
        };
        let start = start.filter(|_| !matches!(fault, Some(Fault::WithoutRanges)));
        let mut head = String::from("HTTP/1.1 ");
        match start {
            Some(start) if start >= content.len() => {
                return write!(stream, "HTTP/1.1 416 Range Not Satisfiable\r\n{NOTHING_MORE}");
            }
            Some(start) => {
                let (last, all) = (content.len() - 1, content.len());
                let _ = write!(head, "206 Partial Content\r\nContent-Range: bytes {start}-{last}/{all}\r\n");
            }
            None => head.push_str("200 OK\r\n"),
        }
        let rest = &content[start.unwrap_or(0)..];
        if !matches!(fault, Some(Fault::EndAfter(_))) {
            let _ = write!(head, "Content-Length: {}\r\n", rest.len());
        }
        write!(stream, "{head}Connection: close\r\n\r\n")?;
        let upto = match fault {
            Some(Fault::CutAfter(bytes) | Fault::EndAfter(bytes) | Fault::StallAfter(bytes)) => bytes.min(rest.len()),
            Some(Fault::HangUp | Fault::Redirect(_) | Fault::WithoutRanges | Fault::Wants { .. }) | None => rest.len(),
        };
        stream.write_all(&rest[..upto])?;
        while matches!(self.faults.lock().expect("not poisoned").get(&path), Some(Fault::StallAfter(_))) {
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}
