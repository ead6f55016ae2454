//! What processes of the host listen on (`/proc/net`, proc(5)).

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::{Listener, Protocol};

/// TCP: waiting for connections. UDP: not connected to anybody (`include/net/tcp_states.h`).
const STATES: [(&str, Protocol, &str); 4] = [
    ("/proc/net/tcp", Protocol::Tcp, "0A"),
    ("/proc/net/tcp6", Protocol::Tcp, "0A"),
    ("/proc/net/udp", Protocol::Udp, "07"),
    ("/proc/net/udp6", Protocol::Udp, "07"),
];

/// The ports that processes of the host listen on.
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
    Some(Listener { protocol, address: listened_on(address)?, port: u16::from_str_radix(port, 16).ok()? })
}

/// The address in words of the host's order; `Some(None)` for all of both families: an IPv6 socket on all addresses
/// takes IPv4 as well, and one on `::ffff:a.b.c.d` nothing else.
#[expect(clippy::option_option, reason = "no address, any, or one")]
fn listened_on(hexadecimal: &str) -> Option<Option<IpAddr>> {
    let word = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::to_ne_bytes);
    if hexadecimal.len() == 8 {
        return Some(Some(Ipv4Addr::from(word(hexadecimal)?).into()));
    }
    let mut bytes = [0; 16];
    for (place, chunk) in bytes.chunks_exact_mut(4).enumerate() {
        chunk.copy_from_slice(&word(hexadecimal.get(place * 8..place * 8 + 8)?)?);
    }
    let address = Ipv6Addr::from(bytes);
    Some(match address.to_ipv4_mapped() {
        Some(mapped) => Some(mapped.into()),
        None => (!address.is_unspecified()).then_some(address.into()),
    })
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
        assert_eq!(read("00000000", "0A"), at(Some(Ipv4Addr::UNSPECIFIED.into())));
        assert_eq!(read("0100007F", "0A"), at(Some(Ipv4Addr::LOCALHOST.into())));
        assert_eq!(read("0100007F", "01"), None);
        assert_eq!(read("00000000000000000000000000000000", "0A"), at(None));
        assert_eq!(read("0000000000000000FFFF00000100007F", "0A"), at(Some(Ipv4Addr::LOCALHOST.into())));
        assert_eq!(read("00000000000000000000000001000000", "0A"), at(Some(Ipv6Addr::LOCALHOST.into())));
        assert_eq!(read("B80D0120000000000000000001000000", "0A"), at("2001:db8::1".parse().ok()));
    }
}
