//! IPv6: on the bridge, in the rules, and what the host does with routers.

use fleet::model::{Barrier, Fleet, IpFamily, Ipv6Use, Refusal};

use super::{build, converged_host, one, planned};

fn six() -> Fleet {
    build::with_ipv6(one())
}

#[test]
fn a_new_fleet_has_the_host_pass_packets_of_both_families_on() {
    insta::assert_snapshot!(planned(&six(), &build::bare_host()), @"
    + network:fleet0  bridge is absent
    + rules:fleet0  packet rules are missing  after [network:fleet0]
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    + forwarding:net.ipv6.conf.all.forwarding  0 → 1: containers reach other hosts  after [rules:fleet0]
    + create:a  it does not exist
    + start:a  it is new  after [network:fleet0, rules:fleet0, forwarding:net.ipv4.ip_forward, forwarding:net.ipv6.conf.all.forwarding, create:a]
    ");
}

#[test]
fn a_fleet_that_gets_a_subnet_keeps_its_bridge() {
    insta::assert_snapshot!(planned(&six(), &converged_host(&one())), @r"
    + network:fleet0  address fd00:42::1/64 is missing, IPv6 is off  (Live)
    + rules:fleet0  packet rules +others' addresses +nat -no IPv6  (Live)  after [network:fleet0]
    + forwarding:net.ipv6.conf.all.forwarding  0 → 1: containers reach other hosts  after [rules:fleet0]
    + links:a  ip6 none → fd00:42::b/64, gateway6 none → fd00:42::1  (Live)  after [network:fleet0, rules:fleet0, forwarding:net.ipv6.conf.all.forwarding]
    + configure:a  ip6 none → fd00:42::b/64, gateway6 none → fd00:42::1, hosts: members changed  (Live)  after [links:a]
    ");
    insta::assert_snapshot!(planned(&one(), &converged_host(&six())), @r"
    + network:fleet0  address fd00:42::1/64 is not of the network, the host speaks IPv6 on it  (Live)
    + rules:fleet0  packet rules +no IPv6 -others' addresses -nat  (Live)  after [network:fleet0]
    + links:a  ip6 fd00:42::b/64 → none, gateway6 fd00:42::1 → none  (Live)  after [network:fleet0, rules:fleet0]
    + configure:a  ip6 fd00:42::b/64 → none, gateway6 fd00:42::1 → none, hosts: members changed  (Live)  after [links:a]
    ");
}

#[test]
fn what_was_changed_on_the_bridge_is_mended_live() {
    let mut host = converged_host(&six());
    host.links.get_mut("fleet0").expect("the bridge").ipv6 = Ipv6Use::Listening;
    insta::assert_snapshot!(planned(&six(), &host), @"+ network:fleet0  the host listens to routers on it  (Live)");
    let bridge = host.links.get_mut("fleet0").expect("the bridge");
    bridge.ipv6 = Ipv6Use::Off;
    bridge.addresses.retain(|address| address.addr().is_ipv4());
    insta::assert_snapshot!(planned(&six(), &host), @"+ network:fleet0  address fd00:42::1/64 is missing, IPv6 is off  (Live)");
    let mut host = converged_host(&six());
    let bridge = host.links.get_mut("fleet0").expect("the bridge");
    bridge.addresses.push("fd00:43::1/64".parse().expect("an address"));
    insta::assert_snapshot!(planned(&six(), &host), @"+ network:fleet0  address fd00:43::1/64 is not of the network  (Live)");
}

#[test]
fn a_host_goes_on_listening_to_its_router() {
    let mut host = build::bare_host();
    host.links.get_mut("eth0").expect("its card").follows_router = true;
    let words = planned(&six(), &host);
    insta::assert_snapshot!(words.lines().find(|line| line.contains("ipv6")).unwrap_or_default(), @"+ forwarding:net.ipv6.conf.all.forwarding  0 → 1: containers reach other hosts, accept_ra of eth0 1 → 2: it goes on listening to routers there  after [rules:fleet0]");
    // Of a fleet without IPv6 it notices nothing.
    assert!(!planned(&one(), &host).contains("accept_ra"));
    // Somebody has put back what fleet set.
    let mut host = converged_host(&six());
    host.links.get_mut("eth0").expect("its card").follows_router = true;
    insta::assert_snapshot!(planned(&six(), &host), @"+ forwarding:net.ipv6.conf.all.forwarding  accept_ra of eth0 1 → 2: it goes on listening to routers there");
    // A host that was a router before does as it did.
    host.forwarding.ipv6.is_recorded = false;
    insta::assert_snapshot!(planned(&six(), &host), @"nothing to do");
}

#[test]
fn the_last_fleet_puts_both_families_back() {
    insta::assert_snapshot!(planned(&six().emptied(), &converged_host(&six())), @"
    + stop:a  the fleet is destroyed  (Destroy)
    + delete:a  the fleet is destroyed  (Destroy)  after [stop:a]
    + delete-rules:fleet0  fleet `dev` has no containers  after [stop:a, delete:a]
    + restore-forwarding:net.ipv4.ip_forward  1 → 0: the last fleet goes  after [stop:a, delete:a, delete-rules:fleet0]
    + restore-forwarding:net.ipv6.conf.all.forwarding  1 → 0: the last fleet goes  after [stop:a, delete:a, delete-rules:fleet0]
    + delete-network:fleet0  fleet `dev` has no containers
    ");
}

#[test]
fn a_subnet_that_something_else_has_is_refused() {
    let conflicts = |text: &str| -> String {
        let begin = text.find('!').unwrap_or(text.len());
        text[begin..].to_owned()
    };
    let mut host = build::bare_host();
    host.links.insert("wg0".to_owned(), build::card("fd00:42::7/48"));
    insta::assert_snapshot!(conflicts(&planned(&six(), &host)), @"
    ! fleet0  `wg0` has the address fd00:42::7/48, which overlaps the subnet fd00:42::/64
      hint: choose another `network: subnet6:`
    ");
    let mut host = build::bare_host();
    host.routes.push(("fd00::/8".parse().expect("a net"), "vpn0".to_owned()));
    insta::assert_snapshot!(conflicts(&planned(&six(), &host)), @"
    ! fleet0  the host's route to fd00::/8 by `vpn0` overlaps the subnet fd00:42::/64
      hint: choose another `network: subnet6:`
    ");
    let mut host = build::bare_host();
    let mut other = build::record(&six(), &six().containers[0], 9);
    other.fleet = build::fleet_name("other");
    other.spec.name = build::container_name("x");
    other.spec.links[0].address = "10.43.0.7/24".parse().ok();
    host.containers.insert(other.spec.name.clone(), build::running_container(other));
    insta::assert_snapshot!(conflicts(&planned(&six(), &host)), @"
    ! fleet0  `x` of fleet `other` has the address fd00:42::b/64, which overlaps the subnet fd00:42::/64
      hint: choose another `network: subnet6:`
    ");
}

#[test]
fn a_chain_that_drops_ipv6_matters_where_there_is_some() {
    let mut host = build::bare_host();
    host.firewall.barriers.push(Barrier {
        name: "ip6 filter FORWARD".to_owned(),
        refusal: Refusal::Policy,
        family: Some(IpFamily::Ipv6),
        accepts_from: vec![],
        accepts_to: vec![],
    });
    assert!(!planned(&one(), &host).contains('!'));
    assert!(planned(&six(), &host).contains("ip6tables -I FORWARD -i fleet0 -j ACCEPT"));
}
