//! Network namespaces as a test needs them: a guest's, the host's, and one that plays a host outside.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};

use crate::world::World;

/// How long a connection that must not come about is tried for. What comes about takes a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(700);

/// A network namespace. It is held, and what serves in it goes on, as long as this lives.
pub(crate) struct Net(File, Arc<()>);

/// One that goes with its link.
pub(crate) struct Outside(Net);

impl std::ops::Deref for Outside {
    type Target = Net;

    fn deref(&self) -> &Net {
        &self.0
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "del", "fleettest0"]).output();
    }
}

/// That of container `name`.
pub(crate) fn guest(world: &World, name: &str) -> Net {
    Net::of(world.pid(name))
}

impl Net {
    /// That of process `pid`.
    pub(crate) fn of(pid: u64) -> Net {
        Net(File::open(format!("/proc/{pid}/ns/net")).expect("the process runs"), Arc::default())
    }

    pub(crate) fn of_host() -> Net {
        Net::of(std::process::id().into())
    }

    /// A host outside, `198.18.90.2` and `2001:db8:90::2`, on a link of its own to this one, which is `198.18.90.1` and
    /// `2001:db8:90::1`. It has no route beyond.
    pub(crate) fn outside() -> Outside {
        let made = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("root");
            File::open("/proc/thread-self/ns/net").expect("it has one")
        });
        let net = Net(made.join().expect("made"), Arc::default());
        let host = std::process::id();
        net.ip(&format!("link add out0 type veth peer name fleettest0 netns {host}"));
        net.ip("addr add 198.18.90.2/24 dev out0");
        net.ip("link set lo up");
        net.ip("link set out0 up");
        net.ip("addr add 2001:db8:90::2/64 dev out0 nodad");
        Net::of_host().ip("addr add 198.18.90.1/24 dev fleettest0");
        Net::of_host().ip("link set fleettest0 up");
        Net::of_host().ip("addr add 2001:db8:90::1/64 dev fleettest0 nodad");
        Outside(net)
    }

    /// Runs `work` on a thread in it.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&self.0, CloneFlags::CLONE_NEWNET).expect("root");
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `ip` with `arguments` in it.
    pub(crate) fn ip(&self, arguments: &str) {
        match arguments.split(' ').collect::<Vec<_>>()[..] {
            ["link", "set", from, "name", to] => self.rename(from, to),
            _ => drop(self.shown(arguments)),
        }
    }

    /// Kernels before 6.2 rename a link only while it is down, which takes its default routes from it.
    fn rename(&self, from: &str, to: &str) {
        let words = ["link", "set", from, "name", to];
        if self.run(|| Command::new("ip").args(words).output().expect("ip runs")).status.success() {
            return;
        }
        let routes = self.shown(&format!("route show default dev {from}"));
        for change in [format!("{from} down"), format!("{from} name {to}"), format!("{to} up")] {
            self.shown(&format!("link set {change}"));
        }
        for route in routes.lines() {
            self.shown(&format!("route add {} dev {to}", route.trim()));
        }
    }

    /// What `ip` with `arguments` shows of it.
    pub(crate) fn shown(&self, arguments: &str) -> String {
        let output = self.run(|| Command::new("ip").args(arguments.split(' ')).output().expect("ip runs"));
        assert!(output.status.success(), "ip {arguments}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Listens on TCP `address` in it, as long as this lives: says its `name` to whoever comes, and gives their
    /// addresses.
    pub(crate) fn serve(&self, name: &'static str, address: &str) -> mpsc::Receiver<IpAddr> {
        let address: SocketAddr = address.parse().expect("an address");
        let listener = self.run(|| TcpListener::bind(address)).expect("it is free");
        let (peers, seen) = mpsc::channel();
        let net = Arc::downgrade(&self.1);
        listener.set_nonblocking(true).expect("a socket");
        std::thread::spawn(move || {
            while net.strong_count() > 0 {
                let Ok((mut stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                let Ok(peer) = stream.peer_addr() else { return };
                let _ = stream.write_all(name.as_bytes());
                // Nobody may care.
                let _ = peers.send(peer.ip().to_canonical());
            }
        });
        seen
    }

    /// Answers every datagram to UDP `address` in it with `name`.
    pub(crate) fn serve_udp(&self, name: &'static str, address: &str) {
        let address: SocketAddr = address.parse().expect("an address");
        let socket = self.run(|| UdpSocket::bind(address)).expect("it is free");
        let net = Arc::downgrade(&self.1);
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        std::thread::spawn(move || {
            let mut bytes = [0; 64];
            while net.strong_count() > 0 {
                if let Ok((_, peer)) = socket.recv_from(&mut bytes) {
                    let _ = socket.send_to(name.as_bytes(), peer);
                }
            }
        });
    }

    /// Who answers at TCP `address`, seen from it; nobody is empty.
    pub(crate) fn ask(&self, address: &str) -> String {
        let address: SocketAddr = address.parse().expect("an address");
        self.run(|| {
            let mut answer = String::new();
            if let Ok(mut stream) = TcpStream::connect_timeout(&address, PATIENCE) {
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                let _ = stream.read_to_string(&mut answer);
            }
            answer
        })
    }

    /// Who answers at UDP `address`, seen from it.
    pub(crate) fn ask_udp(&self, address: &str) -> String {
        let address: SocketAddr = address.parse().expect("an address");
        self.run(|| {
            let own = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(own).expect("a socket");
            socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut bytes = [0; 64];
            let asked = socket.connect(address).and_then(|()| socket.send(b"?"));
            let length = asked.and_then(|_| socket.recv(&mut bytes)).unwrap_or(0);
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        })
    }

    /// Whether `address` answers a ping from it.
    pub(crate) fn pings(&self, address: &str) -> bool {
        let ping = || Command::new("ping").args(["-c1", "-W1", address]).output().expect("ping runs");
        self.run(ping).status.success()
    }
}

/// Links of the host's that a test brings along: the bridge `fleettestlan0`, and `fleettestwire0`, one end of a wire
/// whose other end is `fleettestwire1`, a port of that bridge.
pub(crate) struct Outer;

impl Outer {
    /// With the host's `address` on the bridge, and its prefix length.
    pub(crate) fn new(address: &str) -> Outer {
        let host = Net::of_host();
        host.ip("link add fleettestlan0 type bridge");
        host.ip(&format!("address add {address} dev fleettestlan0"));
        host.ip("link add fleettestwire0 type veth peer name fleettestwire1");
        // A port with an address of its own, which is the bridge's, too.
        host.ip("link set fleettestwire1 address 02:00:00:00:64:01 master fleettestlan0");
        for link in ["fleettestlan0", "fleettestwire0", "fleettestwire1"] {
            host.ip(&format!("link set {link} up"));
        }
        Outer
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        for link in ["fleettestlan0", "fleettestwire0"] {
            let _ = Command::new("ip").args(["link", "del", link]).output();
        }
    }
}
