//! The name servers of the host, for guests that are given none.

use std::fs;
use std::net::IpAddr;

use crate::model::IpFamily;

/// How many servers resolv.conf(5) obeys.
const MOST_RESOLVERS: usize = 3;

/// The host's name servers that a guest can reach with addresses of `families`; empty if there are none.
#[must_use]
pub fn host_resolvers(families: &[IpFamily]) -> Vec<IpAddr> {
    // Where systemd-resolved runs, the first file names only its own loopback address, the second what it asks.
    for path in ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"] {
        let found = reachable_resolvers(&fs::read_to_string(path).unwrap_or_default(), families);
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// The servers in a resolv.conf(5) that are not the host's own loopback, nor on one of its links alone. Those of a family
/// that the guest has no address of are left out: they would cost every first query a timeout.
fn reachable_resolvers(text: &str, families: &[IpFamily]) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next()? == "nameserver").then_some(words.next()?.parse::<IpAddr>().ok()?)
    });
    let is_on_one_link = |server: IpAddr| matches!(server, IpAddr::V6(server) if server.is_unicast_link_local());
    servers
        .filter(|server| families.contains(&IpFamily::of(*server)))
        .filter(|server| !server.is_loopback() && !server.is_unspecified() && !is_on_one_link(*server))
        .take(MOST_RESOLVERS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_only_the_host_can_reach_are_left_out() {
        let text = "# nameserver 1.1.1.1\nsearch lan\nnameserver 127.0.0.53\nnameserver\t192.0.2.1 \n\
                    nameserver fe80::1%eth0\nnameserver 2001:db8::1\noptions edns0\nnameserver 192.0.2.2\n";
        let servers: Vec<IpAddr> = vec![[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        assert_eq!(reachable_resolvers(text, &[IpFamily::Ipv4]), servers);
        let of_both: Vec<String> = reachable_resolvers(text, &IpFamily::ALL).iter().map(ToString::to_string).collect();
        assert_eq!(of_both, ["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
    }
}
