//! What processes of the host listen on (`/proc/net`, proc(5)).

use std::fs;
use std::net::Ipv4Addr;

use crate::model::{Listener, Protocol};

/// TCP: waiting for connections. UDP: not connected to anybody (`include/net/tcp_states.h`).
const STATES: [(&str, Protocol, &str); 4] = [
    ("/proc/net/tcp", Protocol::Tcp, "0A"),
    ("/proc/net/tcp6", Protocol::Tcp, "0A"),
    ("/proc/net/udp", Protocol::Udp, "07"),
    ("/proc/net/udp6", Protocol::Udp, "07"),
];

/// The ports that processes of the host listen on for IPv4.
#[must_use]
pub fn read_listeners() -> Vec<Listener> {
    let mut listeners = Vec::new();
    for (path, protocol, state) in STATES {
        // Without IPv6 there is no such file.
        let text = fs::read_to_string(path).unwrap_or_default();
        listeners.extend(text.lines().skip(1).filter_map(|line| listener(line, protocol, state)));
    }
    listeners
}

/// One line: number, own address and port in hexadecimal, the peer's, state.
fn listener(line: &str, protocol: Protocol, listening: &str) -> Option<Listener> {
    let mut fields = line.split_ascii_whitespace();
    let (address, port) = fields.nth(1)?.split_once(':')?;
    if fields.nth(1)? != listening {
        return None;
    }
    Some(Listener { protocol, address: ipv4(address)?, port: u16::from_str_radix(port, 16).ok()? })
}

/// The IPv4 address in words of the host's order; `Some(None)` for all of them. An IPv6 socket on all addresses takes
/// IPv4 as well, and one on `::ffff:a.b.c.d` nothing else.
#[expect(clippy::option_option, reason = "no IPv4 address, any, or one")]
fn ipv4(hexadecimal: &str) -> Option<Option<Ipv4Addr>> {
    let word = |text: &str| u32::from_str_radix(text, 16).ok().map(|word| Ipv4Addr::from(word.to_ne_bytes()));
    let address = match hexadecimal.len() {
        8 => word(hexadecimal)?,
        32 if hexadecimal.bytes().all(|digit| digit == b'0') => Ipv4Addr::UNSPECIFIED,
        32 if hexadecimal[..16].bytes().all(|digit| digit == b'0')
            && word(&hexadecimal[16..24])? == Ipv4Addr::new(0, 0, 255, 255) =>
        {
            word(&hexadecimal[24..])?
        }
        _ => return None,
    };
    Some((!address.is_unspecified()).then_some(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_proc_net_are_listeners() {
        let read = |address: &str, state| {
            let line = format!("   0: {address}:1F90 00000000:0000 {state} 00000000:00000000 00:00000000");
            listener(&line, Protocol::Tcp, "0A")
        };
        let at = |address| Some(Listener { protocol: Protocol::Tcp, address, port: 8080 });
        assert_eq!(read("00000000", "0A"), at(None));
        assert_eq!(read("0100007F", "0A"), at(Some(Ipv4Addr::LOCALHOST)));
        assert_eq!(read("0100007F", "01"), None);
        assert_eq!(read("00000000000000000000000000000000", "0A"), at(None));
        assert_eq!(read("0000000000000000FFFF00000100007F", "0A"), at(Some(Ipv4Addr::LOCALHOST)));
        assert_eq!(read("00000000000000000000000001000000", "0A"), None);
    }
}
