//! Packet rules, published ports, and what the host does with packets.

use std::net::{IpAddr, Ipv4Addr};

use fleet::model::{
    Barrier, Chain, Egress, Fleet, Host, IpFamily, Listener, PortForward, Protocol, Refusal, Rule, TableState,
};

use super::{build, converged_host, one, planned};

fn port(host: u16) -> PortForward {
    PortForward { address: None, host, guest: 80, count: 1, protocol: Protocol::Tcp }
}

/// The fleet of one container that publishes the host's port 8080.
fn publishing() -> Fleet {
    let mut fleet = one();
    fleet.containers[0].ports.push(port(8080));
    fleet
}

fn forward_chain(host: &mut Host) -> &mut Chain {
    host.firewall.chains.get_mut("forward-dev").expect("the fleet has it")
}

#[test]
fn a_port_that_is_new_is_published_live() {
    insta::assert_snapshot!(planned(&publishing(), &converged_host(&one())), @r"
    + rules:fleet0  packet rules +the host's loopback is its own +port 8080/tcp to a:80 +published ports, from a member and 1 more  (Live)
    + configure:a  ports +8080:80/tcp  (Live)
    ");
    insta::assert_snapshot!(planned(&one(), &converged_host(&publishing())), @r"
    + rules:fleet0  packet rules -the host's loopback is its own -port 8080/tcp to a:80 -published ports, from a member and 1 more  (Live)
    + configure:a  ports -8080:80/tcp  (Live)
    ");
}

#[test]
fn rules_that_were_flushed_or_changed_are_mended() {
    let mut host = converged_host(&one());
    host.firewall.chains.values_mut().for_each(|chain| chain.rules.clear());
    insta::assert_snapshot!(planned(&one(), &host), @"+ rules:fleet0  packet rules are missing  (Live)");
    let mut host = converged_host(&one());
    forward_chain(&mut host).rules.insert(0, Rule::new("").accept());
    insta::assert_snapshot!(planned(&one(), &host), @"+ rules:fleet0  packet rules -a rule of somebody else's  (Live)");
    let mut host = converged_host(&one());
    forward_chain(&mut host).rules.swap(0, 1);
    insta::assert_snapshot!(planned(&one(), &host), @"+ rules:fleet0  packet rules are not as they were set  (Live)");
    let mut host = converged_host(&one());
    forward_chain(&mut host).hook = None;
    insta::assert_snapshot!(planned(&one(), &host), @"+ rules:fleet0  packet rules are not as they were set  (Live)");
}

#[test]
fn a_fleet_that_stays_inside_needs_nothing_passed_on() {
    let mut fleet = one();
    fleet.networks[0].egress = Egress::None;
    insta::assert_snapshot!(planned(&fleet, &build::bare_host()), @r"
    + network:fleet0  bridge is absent
    + rules:fleet0  packet rules are missing  after [network:fleet0]
    + create:a  it does not exist
    + start:a  it is new  after [network:fleet0, rules:fleet0, create:a]
    ");
}

#[test]
fn what_the_host_passed_on_before_stays_when_the_fleet_goes() {
    let fleet = one();
    let mut host = converged_host(&fleet);
    host.forwarding.ipv4.is_recorded = false;
    insta::assert_snapshot!(planned(&fleet.emptied(), &host), @r"
    + stop:a  the fleet is destroyed  (Destroy)
    + delete:a  the fleet is destroyed  (Destroy)  after [stop:a]
    + delete-rules:fleet0  fleet `dev` has no containers  after [stop:a, delete:a]
    + delete-network:fleet0  fleet `dev` has no containers
    ");
}

#[test]
fn the_host_goes_on_passing_packets_on_for_other_fleets() {
    let (fleet, mut host) = (one(), converged_host(&one()));
    let mut other = build::record(&fleet, &build::spec("x", 77), 9);
    other.fleet = build::fleet_name("other");
    host.containers.insert(other.spec.name.clone(), build::running_container(other));
    insta::assert_snapshot!(planned(&fleet.emptied(), &host), @r"
    + stop:a  the fleet is destroyed  (Destroy)
    + delete:a  the fleet is destroyed  (Destroy)  after [stop:a]
    + delete-rules:fleet0  fleet `dev` has no containers  after [stop:a, delete:a]
    + delete-network:fleet0  fleet `dev` has no containers
    ");
    let mut host = converged_host(&fleet);
    host.firewall.is_shared = true;
    insta::assert_snapshot!(planned(&fleet.emptied(), &host), @r"
    + stop:a  the fleet is destroyed  (Destroy)
    + delete:a  the fleet is destroyed  (Destroy)  after [stop:a]
    + delete-rules:fleet0  fleet `dev` has no containers  after [stop:a, delete:a]
    + delete-network:fleet0  fleet `dev` has no containers
    ");
}

#[test]
fn a_port_that_something_else_has_is_refused() {
    let mut host = build::bare_host();
    let listener = |address: Option<IpAddr>| Listener { protocol: Protocol::Tcp, address, port: 8080 };
    host.listeners = vec![listener(Some(Ipv4Addr::LOCALHOST.into()))];
    let mut other = build::record(&one(), &build::spec("x", 77), 9);
    other.fleet = build::fleet_name("other");
    other.spec.links[0].address = "10.43.0.7/24".parse().ok();
    other.spec.ports.push(port(8080));
    host.containers.insert(other.spec.name.clone(), build::running_container(other));
    insta::assert_snapshot!(planned(&publishing(), &host), @r"
    + network:fleet0  bridge is absent
    + rules:fleet0  packet rules are missing  after [network:fleet0]
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    + create:a  it does not exist
    + start:a  it is new  after [network:fleet0, rules:fleet0, forwarding:net.ipv4.ip_forward, create:a]
    ! a  port 8080/tcp of the host is published by `x` of fleet `other` already
      hint: choose another port of the host in `ports:`
    ! a  cannot publish `8080:80/tcp`: a process of the host listens on port 8080/tcp of 127.0.0.1
      hint: choose another port of the host in `ports:`; `ss -lnp sport = 8080` shows the process
    ");
    // Who listens there since is not in the way.
    let mut host = converged_host(&publishing());
    host.listeners = vec![listener(None)];
    insta::assert_snapshot!(planned(&publishing(), &host), @"nothing to do");
}

#[test]
fn a_chain_that_drops_what_goes_through_is_refused_where_it_matters() {
    let barrier = Barrier {
        name: "ip filter FORWARD".to_owned(),
        refusal: Refusal::Policy,
        family: Some(IpFamily::Ipv4),
        accepts_from: vec![],
        accepts_to: vec![],
    };
    let mut host = build::bare_host();
    host.firewall.barriers.push(barrier.clone());
    insta::assert_snapshot!(planned(&one(), &host), @r"
    + network:fleet0  bridge is absent
    + rules:fleet0  packet rules are missing  after [network:fleet0]
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    + create:a  it does not exist
    + start:a  it is new  after [network:fleet0, rules:fleet0, forwarding:net.ipv4.ip_forward, create:a]
    ! fleet0  the host's chain `ip filter FORWARD` drops what containers send and get: its policy is drop
      hint: run `iptables -I FORWARD -i fleet0 -j ACCEPT` and `iptables -I FORWARD -o fleet0 -j ACCEPT` (with Docker `DOCKER-USER` instead of `FORWARD`), or keep them inside with `network: {egress: none}` and no `ports`
    ");
    let zones =
        Barrier { name: "inet firewalld filter_FORWARD".to_owned(), refusal: Refusal::LastRule, ..barrier.clone() };
    host.firewall.barriers = vec![zones];
    let text = planned(&one(), &host);
    insta::assert_snapshot!(text.split_once('!').map_or("", |(_, conflict)| conflict), @r"
    fleet0  the host's chain `inet firewalld filter_FORWARD` refuses what containers send and get: its last rule lets nothing else through
     hint: run `firewall-cmd --zone=trusted --add-interface=fleet0`, and for the next start of firewalld `firewall-cmd --permanent --zone=trusted --add-interface=fleet0`, or keep them inside with `network: {egress: none}` and no `ports`
    ");
    let everything = Barrier { accepts_from: vec!["fleet0".to_owned()], accepts_to: vec!["fl*".to_owned()], ..barrier };
    host.firewall.barriers = vec![everything];
    assert!(!planned(&one(), &host).contains('!'));
}

#[test]
fn a_table_of_somebody_elses_is_refused() {
    let mut host = build::bare_host();
    host.firewall.table = TableState::Foreign("inet fleet".to_owned());
    insta::assert_snapshot!(planned(&one(), &host), @r"
    + network:fleet0  bridge is absent
    + create:a  it does not exist
    + start:a  it is new  after [network:fleet0, create:a]
    ! host  a table `inet fleet` of the packet filter exists that fleet did not make
      hint: rename it, or delete it with `nft delete table inet fleet`
    ");
    host.firewall.table = TableState::Unavailable("Invalid argument (os error 22)".to_owned());
    insta::assert_snapshot!(planned(&one(), &host), @r"
    + network:fleet0  bridge is absent
    + create:a  it does not exist
    + start:a  it is new  after [network:fleet0, create:a]
    ! host  the kernel has no packet filter `nf_tables`: Invalid argument (os error 22)
      hint: run `modprobe nf_tables`
    ");
}

#[test]
fn members_become_isolated_live() {
    let mut fleet = one();
    let host = converged_host(&fleet);
    fleet.networks[0].isolated = true;
    fleet.containers[0].links[0].port.isolated = true;
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    + rules:fleet0  packet rules +members are isolated -members reach each other, a is not kept from other members  (Live)
    + configure:a  isolated false → true  (Live)
    ");
}

#[test]
fn who_publishes_hears_himself_by_his_bridge() {
    let mut fleet = one();
    let before = converged_host(&fleet);
    fleet.containers[0].ports = vec![port(8080)];
    fleet.containers[0].links[0].port.hairpin = true;
    insta::assert_snapshot!(planned(&fleet, &before), @r"
    + rules:fleet0  packet rules +the host's loopback is its own +port 8080/tcp to a:80 +published ports, from a member and 1 more  (Live)
    + configure:a  hairpin false → true, ports +8080:80/tcp  (Live)
    ");
    let mut host = converged_host(&fleet);
    host.links.get_mut("fl-a").expect("its end").port.hairpin = false;
    insta::assert_snapshot!(planned(&fleet, &host), @"+ rules:fleet0  ports of the bridge are not as they were set  (Live)");
    // One that has left its bridge becomes a port as it should be.
    host.links.get_mut("fl-a").expect("its end").controller = None;
    insta::assert_snapshot!(planned(&fleet, &host), @"+ links:a  link eth0 is no port of `fleet0`  (Live)");
}

#[test]
fn a_route_of_the_hosts_is_no_subnet() {
    let mut host = build::bare_host();
    host.routes.push(("10.0.0.0/8".parse().expect("a net"), "vpn0".to_owned()));
    insta::assert_snapshot!(planned(&one(), &host), @r"
    + rules:fleet0  packet rules are missing
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    + create:a  it does not exist
    + start:a  it is new  after [rules:fleet0, forwarding:net.ipv4.ip_forward, create:a]
    ! fleet0  the host's route to 10.0.0.0/8 by `vpn0` overlaps the subnet 10.42.0.0/24
      hint: choose another `network: subnet:`
    ");
}
