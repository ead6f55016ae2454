//! The bridge.

use fleet::model::{LinkKind, MacAddress};

use super::{build, converged_host, one, planned};

#[test]
fn an_absent_bridge_is_made_before_anything_starts() {
    let fleet = one();
    insta::assert_snapshot!(planned(&fleet, &build::bare_host()), @r"
    + network:fleet0  bridge is absent
    + rules:fleet0  packet rules are missing  after [network:fleet0]
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    + create:a  it does not exist
    + start:a  it is new  after [network:fleet0, rules:fleet0, forwarding:net.ipv4.ip_forward, create:a]
    ");
}

#[test]
fn a_bridge_that_is_down_is_mended_live() {
    let (fleet, mut host) = (one(), converged_host(&one()));
    host.links.get_mut("fleet0").expect("the bridge").up = false;
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    + network:fleet0  bridge is down  (Live)
    ");
}

#[test]
fn a_bridge_without_its_address_is_mended_live() {
    let (fleet, mut host) = (one(), converged_host(&one()));
    host.links.get_mut("fleet0").expect("the bridge").addresses.clear();
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    + network:fleet0  address 10.42.0.1/24 is missing  (Live)
    ");
}

#[test]
fn a_bridge_with_another_mac_is_not_ours() {
    let (fleet, mut host) = (one(), build::bare_host());
    let mut bridge = build::bridge(&fleet.network);
    bridge.mac = Some(MacAddress([2, 0, 0, 0, 0, 1]));
    host.links.insert("fleet0".to_owned(), bridge);
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    + rules:fleet0  packet rules are missing
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    + create:a  it does not exist
    + start:a  it is new  after [rules:fleet0, forwarding:net.ipv4.ip_forward, create:a]
    ! fleet0  a link `fleet0` exists that is not the bridge of fleet `dev`
      hint: choose another name with `network: bridge:`
    ");
}

#[test]
fn a_link_of_another_kind_is_not_ours() {
    let (fleet, mut host) = (one(), build::bare_host());
    let mut link = build::bridge(&fleet.network);
    link.kind = LinkKind::Veth;
    host.links.insert("fleet0".to_owned(), link);
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    + rules:fleet0  packet rules are missing
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    + create:a  it does not exist
    + start:a  it is new  after [rules:fleet0, forwarding:net.ipv4.ip_forward, create:a]
    ! fleet0  a link `fleet0` exists that is not the bridge of fleet `dev`
      hint: choose another name with `network: bridge:`
    ");
}

#[test]
fn a_subnet_that_a_link_of_the_host_uses_is_refused() {
    let (fleet, mut host) = (one(), build::bare_host());
    host.links.insert("wg0".to_owned(), build::card("10.42.7.1/16"));
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    + rules:fleet0  packet rules are missing
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    + create:a  it does not exist
    + start:a  it is new  after [rules:fleet0, forwarding:net.ipv4.ip_forward, create:a]
    ! fleet0  `wg0` has the address 10.42.7.1/16, which overlaps the subnet 10.42.0.0/24
      hint: choose another `network: subnet:`
    ");
}

#[test]
fn an_overlap_that_came_later_does_not_stop_a_fleet_whose_bridge_is_ready() {
    let (fleet, mut host) = (one(), converged_host(&one()));
    host.links.insert("wg0".to_owned(), build::card("10.42.7.1/16"));
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    nothing to do
    ");
}

#[test]
fn a_subnet_of_another_fleet_is_refused_even_while_its_bridge_is_not_there() {
    let (fleet, mut host) = (one(), build::bare_host());
    let mut other = build::record(&fleet, &build::spec("x", 77), 9);
    other.fleet = build::fleet_name("other");
    host.containers.insert(other.spec.name.clone(), build::running_container(other));
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    + rules:fleet0  packet rules are missing
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    + create:a  it does not exist
    + start:a  it is new  after [rules:fleet0, forwarding:net.ipv4.ip_forward, create:a]
    ! fleet0  `x` of fleet `other` has the address 10.42.0.77/24, which overlaps the subnet 10.42.0.0/24
      hint: choose another `network: subnet:`
    ");
}

#[test]
fn the_bridge_goes_after_the_last_container() {
    let fleet = one();
    insta::assert_snapshot!(planned(&fleet.emptied(), &converged_host(&fleet)), @r"
    + stop:a  the fleet is destroyed  (Destroy)
    + delete:a  the fleet is destroyed  (Destroy)  after [stop:a]
    + delete-rules:fleet0  fleet `dev` has no containers  after [stop:a, delete:a]
    + restore-forwarding:net.ipv4.ip_forward  1 → 0: the last fleet goes  after [stop:a, delete:a, delete-rules:fleet0]
    + delete-network:fleet0  fleet `dev` has no containers  after [stop:a, delete:a, delete-rules:fleet0]
    ");
}

#[test]
fn a_foreign_bridge_is_no_concern_of_an_empty_fleet() {
    let (fleet, mut host) = (one(), build::bare_host());
    host.links.insert("fleet0".to_owned(), build::card("10.42.0.1/24"));
    insta::assert_snapshot!(planned(&fleet.emptied(), &host), @r"
    nothing to do
    ");
}

#[test]
fn a_renamed_bridge_replaces_the_former_one() {
    let host = converged_host(&one());
    let mut spec = build::spec("a", 11);
    spec.link.bridge = "br9".to_owned();
    let mut fleet = build::fleet_of(vec![spec]);
    fleet.network.bridge = "br9".to_owned();
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    + stop:a  bridge fleet0 → br9  (Restart)
    + configure:a  bridge fleet0 → br9  (Restart)  after [stop:a]
    + delete-network:fleet0  bridge is now `br9`  after [stop:a]
    + network:br9  bridge is absent  after [delete-network:fleet0]
    + rules:br9  packet rules +members reach each other +replies +errors and 19 more  (Live)  after [network:br9]
    + start:a  bridge fleet0 → br9  (Restart)  after [network:br9, rules:br9, configure:a]
    ");
}
