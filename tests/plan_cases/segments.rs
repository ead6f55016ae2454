//! Networks with more members than one bridge takes.

use fleet::model::{Fleet, Host, Segment};

use super::{build, converged_host, planned};

/// Containers that are called by letters, two on a bridge.
fn fleet_of(names: &str) -> Fleet {
    let spec = |name: u8| build::spec(&char::from(name).to_string(), name);
    let mut fleet = build::fleet_of(names.bytes().map(spec).collect());
    fleet.networks[0].members_per_bridge = 2;
    fleet
}

fn segment(number: usize) -> Segment {
    build::network().segments().nth(number - 1).expect("there are more")
}

/// A host on which all of `fleet` runs, two on a bridge.
fn spread_host(fleet: &Fleet) -> Host {
    let mut fleet = fleet.clone();
    let mut links = Vec::new();
    for (number, specs) in fleet.containers.chunks_mut(2).enumerate().skip(1) {
        for spec in specs {
            spec.links[0].parent = segment(number).bridge;
        }
        links.extend(build::segment(&fleet.networks[0], &segment(number)));
    }
    let mut host = converged_host(&fleet);
    host.links.extend(links);
    host
}

/// The plan with names for the segments' links.
fn drawn(fleet: &Fleet, host: &Host) -> String {
    let name = |text: String, number: usize| {
        let Segment { bridge, inner, outer, .. } = segment(number);
        let named = [(bridge, "segment"), (inner.name, "inner"), (outer.name, "outer")];
        named.iter().fold(text, |text, (link, word)| text.replace(link, &format!("{word}-{number}")))
    };
    (1..=2).fold(planned(fleet, host), name)
}

#[test]
fn members_that_the_bridge_has_no_room_for_are_on_segments() {
    insta::assert_snapshot!(drawn(&fleet_of("abcde"), &build::bare_host()), @r"
    + network:fleet0  bridge is absent
    + segment:segment-1  bridge is absent: `fleet0` has no room for more members  after [network:fleet0]
    + segment:segment-2  bridge is absent: `fleet0` has no room for more members  after [network:fleet0]
    + rules:fleet0  packet rules are missing  after [network:fleet0]
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    + create:a  it does not exist
    + start:a  it is new  after [network:fleet0, rules:fleet0, forwarding:net.ipv4.ip_forward, create:a]
    + create:b  it does not exist
    + start:b  it is new  after [network:fleet0, rules:fleet0, forwarding:net.ipv4.ip_forward, create:b]
    + create:c  it does not exist
    + start:c  it is new  after [network:fleet0, segment:segment-1, rules:fleet0, forwarding:net.ipv4.ip_forward, create:c]
    + create:d  it does not exist
    + start:d  it is new  after [network:fleet0, segment:segment-1, rules:fleet0, forwarding:net.ipv4.ip_forward, create:d]
    + create:e  it does not exist
    + start:e  it is new  after [network:fleet0, segment:segment-2, rules:fleet0, forwarding:net.ipv4.ip_forward, create:e]
    ");
}

#[test]
fn a_fleet_that_runs_so_needs_nothing() {
    let fleet = fleet_of("abcde");
    insta::assert_snapshot!(drawn(&fleet, &spread_host(&fleet)), @"nothing to do");
}

#[test]
fn who_joins_moves_nobody() {
    insta::assert_snapshot!(drawn(&fleet_of("xabyc"), &spread_host(&fleet_of("abc"))), @r"
    + segment:segment-2  bridge is absent: `fleet0` has no room for more members
    + rules:fleet0  packet rules +members on the way to their network +past their network  (Live)
    + create:x  it does not exist
    + start:x  it is new  after [rules:fleet0, create:x]
    + configure:a  hosts: members changed  (Live)
    + configure:b  hosts: members changed  (Live)
    + create:y  it does not exist
    + start:y  it is new  after [segment:segment-2, rules:fleet0, create:y]
    + configure:c  hosts: members changed  (Live)
    ");
}

#[test]
fn who_leaves_moves_nobody() {
    insta::assert_snapshot!(drawn(&fleet_of("bcd"), &spread_host(&fleet_of("abcd"))), @r"
    + configure:b  hosts: members changed  (Live)
    + configure:c  hosts: members changed  (Live)
    + configure:d  hosts: members changed  (Live)
    + stop:a  not in the fleet file  (Destroy)
    + delete:a  not in the fleet file  (Destroy)  after [stop:a]
    ");
}

#[test]
fn who_comes_to_a_full_bridge_waits_for_one_who_goes() {
    let mut fleet = fleet_of("bxyzv");
    for (spec, place) in fleet.containers.iter_mut().zip(50..) {
        spec.links[0].address = format!("10.42.0.{place}/24").parse().ok();
    }
    let plan = drawn(&fleet, &spread_host(&fleet_of("abcd")));
    let starts: Vec<&str> = plan.lines().filter(|line| line.contains("start:")).collect();
    insta::assert_snapshot!(starts.join("\n"), @r"
    + start:v  it is new  after [segment:segment-2, rules:fleet0, create:v]
    + start:x  it is new  after [rules:fleet0, create:x, stop:a]
    + start:y  it is new  after [rules:fleet0, create:y, stop:c]
    + start:z  it is new  after [rules:fleet0, create:z, stop:d]
    ");
    // Who stops and starts again takes nobody's place, and nobody waits where there is room.
    let mut host = spread_host(&fleet_of("abc"));
    super::running(&mut host, "a").is_stopping = true;
    let plan = drawn(&fleet_of("abd"), &host);
    let starts: Vec<&str> = plan.lines().filter(|line| line.contains("start:")).collect();
    insta::assert_snapshot!(starts.join("\n"), @r"
    + start:a  hosts: members changed, it was being stopped  (Restart)  after [configure:a]
    + start:d  it is new  after [create:d]
    ");
}

#[test]
fn a_segment_goes_with_its_last_member() {
    insta::assert_snapshot!(drawn(&fleet_of("ab"), &spread_host(&fleet_of("abc"))), @r"
    + rules:fleet0  packet rules -members on the way to their network -past their network  (Live)
    + configure:a  hosts: members changed  (Live)
    + configure:b  hosts: members changed  (Live)
    + stop:c  not in the fleet file  (Destroy)
    + delete:c  not in the fleet file  (Destroy)  after [stop:c]
    + delete-segment:segment-1  `fleet0` has room for all members  after [stop:c, delete:c]
    ");
}

#[test]
fn segments_go_beside_the_last_containers() {
    let fleet = fleet_of("abc");
    insta::assert_snapshot!(drawn(&fleet.emptied(), &spread_host(&fleet)), @r"
    + stop:a  the fleet is destroyed  (Destroy)
    + delete:a  the fleet is destroyed  (Destroy)  after [stop:a]
    + stop:b  the fleet is destroyed  (Destroy)
    + delete:b  the fleet is destroyed  (Destroy)  after [stop:b]
    + stop:c  the fleet is destroyed  (Destroy)
    + delete:c  the fleet is destroyed  (Destroy)  after [stop:c]
    + delete-rules:fleet0  fleet `dev` has no containers  after [stop:a, delete:a, stop:b, delete:b, stop:c, delete:c]
    + restore-forwarding:net.ipv4.ip_forward  1 → 0: the last fleet goes  after [stop:a, delete:a, stop:b, delete:b, stop:c, delete:c, delete-rules:fleet0]
    + delete-network:fleet0  fleet `dev` has no containers
    + delete-segment:segment-1  fleet `dev` has no containers
    ");
}

#[test]
fn a_segment_that_was_taken_down_or_cut_off_is_mended_live() {
    let fleet = fleet_of("abcde");
    let mut host = spread_host(&fleet);
    host.links.get_mut(&segment(1).bridge).expect("it is there").up = false;
    host.links.remove(&segment(2).inner.name);
    host.links.remove(&segment(2).outer.name);
    insta::assert_snapshot!(drawn(&fleet, &host), @r"
    + segment:segment-1  bridge is down  (Live)
    + segment:segment-2  its link to `fleet0` is missing  (Live)
    ");
}

#[test]
fn a_segment_that_was_removed_is_made_again_and_its_members_with_it() {
    let fleet = fleet_of("abc");
    let mut host = spread_host(&fleet);
    host.links.remove(&segment(1).bridge);
    host.links.get_mut("fl-c").expect("its link").controller = None;
    insta::assert_snapshot!(drawn(&fleet, &host), @r"
    + segment:segment-1  bridge is absent: `fleet0` has no room for more members
    + links:c  link eth0 is no port of `segment-1`  (Live)  after [segment:segment-1]
    ");
}

#[test]
fn isolated_members_are_kept_from_segments_too() {
    let mut fleet = fleet_of("abc");
    let host = spread_host(&fleet);
    fleet.networks[0].isolated = true;
    fleet.containers.iter_mut().for_each(|spec| spec.links[0].port.isolated = true);
    insta::assert_snapshot!(drawn(&fleet, &host), @r"
    + rules:fleet0  packet rules +members are isolated -members reach each other, a, b, c, … are not kept from other members  (Live)
    + configure:a  isolated false → true  (Live)
    + configure:b  isolated false → true  (Live)
    + configure:c  isolated false → true  (Live)
    ");
}

#[test]
fn a_link_of_somebody_else_in_the_place_of_a_segments_is_a_conflict() {
    let fleet = fleet_of("abc");
    let mut host = build::bare_host();
    host.links.insert(segment(1).outer.name, build::card("192.0.2.1/24"));
    insta::assert_snapshot!(drawn(&fleet, &host), @r"
    + network:fleet0  bridge is absent
    + rules:fleet0  packet rules are missing  after [network:fleet0]
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    + create:a  it does not exist
    + start:a  it is new  after [network:fleet0, rules:fleet0, forwarding:net.ipv4.ip_forward, create:a]
    + create:b  it does not exist
    + start:b  it is new  after [network:fleet0, rules:fleet0, forwarding:net.ipv4.ip_forward, create:b]
    + create:c  it does not exist
    + start:c  it is new  after [network:fleet0, rules:fleet0, forwarding:net.ipv4.ip_forward, create:c]
    ! segment-1  a link `outer-1` exists that is not of a network of fleet `dev`
      hint: rename it with `ip link set outer-1 name …`
    ");
}

#[test]
fn segments_of_a_network_that_the_file_names_no_more_go() {
    let fleet = fleet_of("ab");
    let mut host = converged_host(&fleet);
    let storage = build::network_named("storage", "10.43.0.0/24");
    host.links.insert(storage.bridge.clone(), build::bridge(&storage));
    let segment = storage.segments().next().expect("there are some");
    host.links.extend(build::segment(&storage, &segment));
    let plan = planned(&fleet, &host).replace(&segment.bridge, "segment-1");
    insta::assert_snapshot!(plan, @r"
    + delete-network:fl-storage  no container uses the network `storage`
    + delete-segment:segment-1  no container uses the network `storage`
    ");
}
