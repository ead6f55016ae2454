//! The bridge.

use fleet::model::{Action, Fleet, LinkKind, MacAddress, NetworkSpec, Ownership};
use fleet::plan::plan;

use super::{build, container, converged_host, one, planned};

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
    insta::assert_snapshot!(planned(&fleet, &host), @"+ network:fleet0  bridge is down  (Live)");
}

#[test]
fn a_bridge_without_its_address_is_mended_live() {
    let (fleet, mut host) = (one(), converged_host(&one()));
    host.links.get_mut("fleet0").expect("the bridge").addresses.clear();
    insta::assert_snapshot!(planned(&fleet, &host), @"+ network:fleet0  address 10.42.0.1/24 is missing  (Live)");
}

#[test]
fn a_bridge_with_another_mac_is_not_ours() {
    let (fleet, mut host) = (one(), build::bare_host());
    let mut bridge = build::bridge(&fleet.networks[0]);
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
    let mut link = build::bridge(&fleet.networks[0]);
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
    insta::assert_snapshot!(planned(&fleet, &host), @"nothing to do");
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
fn the_bridge_goes_beside_the_last_container() {
    let fleet = one();
    insta::assert_snapshot!(planned(&fleet.emptied(), &converged_host(&fleet)), @r"
    + stop:a  the fleet is destroyed  (Destroy)
    + delete:a  the fleet is destroyed  (Destroy)  after [stop:a]
    + delete-rules:fleet0  fleet `dev` has no containers  after [stop:a, delete:a]
    + restore-forwarding:net.ipv4.ip_forward  1 → 0: the last fleet goes  after [stop:a, delete:a, delete-rules:fleet0]
    + delete-network:fleet0  fleet `dev` has no containers
    ");
}

#[test]
fn a_foreign_bridge_is_no_concern_of_an_empty_fleet() {
    let (fleet, mut host) = (one(), build::bare_host());
    host.links.insert("fleet0".to_owned(), build::card("10.42.0.1/24"));
    insta::assert_snapshot!(planned(&fleet.emptied(), &host), @"nothing to do");
}

#[test]
fn a_bridge_with_another_name_is_renamed_with_its_ports() {
    let host = converged_host(&one());
    let mut spec = build::spec("a", 11);
    spec.links[0].parent = "br9".to_owned();
    let mut fleet = build::fleet_of(vec![spec]);
    fleet.networks[0].bridge = "br9".to_owned();
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    + network:br9  bridge fleet0 → br9  (Live)
    + rules:br9  packet rules +members reach each other +replies +errors and 19 more  (Live)  after [network:br9]
    + links:a  bridge fleet0 → br9  (Live)  after [network:br9, rules:br9]
    + configure:a  bridge fleet0 → br9  (Live)  after [links:a]
    ");
}

#[test]
fn a_bridge_that_gets_another_name_has_rules_under_both_before() {
    let (host, mut fleet) = (converged_host(&one()), one());
    "br9".clone_into(&mut fleet.networks[0].bridge);
    let steps = plan(&fleet, &host).steps;
    let Action::EnsureNetwork { meanwhile: Some(traffic), .. } = &steps[0].action else { panic!("{:?}", steps[0]) };
    let chains = |fleet: &Fleet| fleet.chains();
    for (name, chain) in &traffic.chains {
        let both = [one(), fleet.clone()].map(|fleet| chains(&fleet)[name].rules.clone()).concat();
        assert_eq!(chain.rules, both, "{name}");
    }
    assert_eq!((traffic.chains.len(), traffic.bridge.as_str()), (chains(&fleet).len(), "fleet0"));
}

/// The fleet of one container that is on the network `name` alone, whose bridge is `fl-shared`.
fn on_network(name: &str) -> Fleet {
    let network = NetworkSpec { bridge: "fl-shared".to_owned(), ..build::network_named(name, "10.43.0.0/24") };
    let mut spec = build::spec("a", 11);
    spec.links = vec![build::link_to(&network, "eth0", "a", 11)];
    let mut fleet = build::fleet_of(vec![spec]);
    fleet.networks.push(network);
    fleet
}

#[test]
fn a_network_with_another_name_takes_over_the_bridges() {
    let host = converged_host(&on_network("former"));
    let renamed = on_network("latter");
    insta::assert_snapshot!(planned(&renamed, &host), @r"
    + delete-network:fl-shared  no container uses the network `former`
    + network:fl-shared  bridge was that of the network `former`  after [delete-network:fl-shared]
    + rules:fl-shared  packet rules are missing  (Live)  after [network:fl-shared]
    + links:a  networks +latter -former  (Live)  after [network:fl-shared, rules:fl-shared]
    + configure:a  networks +latter -former  (Live)  after [links:a]
    + delete-rules:fl-shared  no container uses the network `former`  after [links:a]
    ");
    // Another subnet makes no difference.
    let mut moved = on_network("latter");
    moved.networks[1] =
        NetworkSpec { bridge: "fl-shared".to_owned(), ..build::network_named("latter", "10.44.0.0/24") };
    assert!(plan(&moved, &host).conflicts.is_empty());
    let heirs = plan(&renamed, &host).steps.into_iter().filter_map(|step| match step.action {
        Action::DeleteRules { has_heir, .. } => Some(has_heir),
        _ => None,
    });
    assert_eq!(heirs.collect::<Vec<_>>(), [true]);
}

#[test]
fn networks_that_trade_the_names_of_their_bridges_are_told_how() {
    let host = converged_host(&on_two_networks());
    let mut fleet = on_two_networks();
    let [first, second] = &mut fleet.networks[..] else { panic!("there are two") };
    std::mem::swap(&mut first.bridge, &mut second.bridge);
    let text = planned(&fleet, &host);
    let conflicts: Vec<&str> = text.lines().skip_while(|line| !line.starts_with('!')).collect();
    insta::assert_snapshot!(conflicts.join("\n"), @r"
    ! fl-storage  `fl-storage` is still the bridge of the network `storage`
      hint: first apply with a `bridge:` for `default` that no other network has had
    ! fleet0  `fleet0` is still the bridge of the network `default`
      hint: first apply with a `bridge:` for `storage` that no other network has had
    ");
}

#[test]
fn what_the_first_version_recorded_of_a_link_is_still_what_is_asked_for() {
    let mut host = converged_host(&one());
    let Ownership::Ours(record) = &container(&mut host, "a").ownership else { panic!("it is ours") };
    let mut text = serde_json::to_value(record).expect("it serialises");
    let spec = text["spec"].as_object_mut().expect("a mapping");
    let mut link = spec.remove("links").expect("its links")[0].take();
    let fields = link.as_object_mut().expect("a mapping");
    assert!(fields.remove("network").is_some() && fields.remove("name").is_some());
    spec.insert("link".to_owned(), link);
    container(&mut host, "a").ownership = Ownership::Ours(serde_json::from_value(text).expect("a record"));
    insta::assert_snapshot!(planned(&one(), &host), @"nothing to do");
}

/// The fleet of one container, with a second network that it has a link to.
fn on_two_networks() -> Fleet {
    let storage = build::network_named("storage", "10.43.0.0/24");
    let mut spec = build::spec("a", 11);
    spec.links.push(build::link_to(&storage, "eth1", "a", 11));
    let mut fleet = build::fleet_of(vec![spec]);
    fleet.networks.push(storage);
    fleet
}

#[test]
fn each_network_has_its_bridge_and_its_rules() {
    insta::assert_snapshot!(planned(&on_two_networks(), &build::bare_host()), @r"
    + network:fleet0  bridge is absent
    + network:fl-storage  bridge is absent
    + rules:fleet0  packet rules are missing  after [network:fleet0]
    + rules:fl-storage  packet rules are missing  after [network:fl-storage]
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0, rules:fl-storage]
    + create:a  it does not exist
    + start:a  it is new  after [network:fleet0, network:fl-storage, rules:fleet0, rules:fl-storage, forwarding:net.ipv4.ip_forward, create:a]
    ");
}

#[test]
fn a_network_comes_and_goes_with_its_members() {
    insta::assert_snapshot!(planned(&on_two_networks(), &converged_host(&one())), @r"
    + network:fl-storage  bridge is absent
    + rules:fl-storage  packet rules are missing  (Live)  after [network:fl-storage]
    + links:a  networks +storage  (Live)  after [network:fl-storage, rules:fl-storage]
    + configure:a  networks +storage  (Live)  after [links:a]
    ");
    let mut fleet = one();
    fleet.networks = on_two_networks().networks;
    insta::assert_snapshot!(planned(&fleet, &converged_host(&on_two_networks())), @r"
    + links:a  networks -storage  (Live)
    + configure:a  networks -storage  (Live)  after [links:a]
    + delete-rules:fl-storage  no container uses the network `storage`  after [links:a]
    + delete-network:fl-storage  no container uses the network `storage`  after [links:a, delete-rules:fl-storage]
    ");
}

#[test]
fn two_networks_go_with_their_fleet() {
    let fleet = on_two_networks();
    insta::assert_snapshot!(planned(&fleet.emptied(), &converged_host(&fleet)), @r"
    + stop:a  the fleet is destroyed  (Destroy)
    + delete:a  the fleet is destroyed  (Destroy)  after [stop:a]
    + delete-rules:fleet0  fleet `dev` has no containers  after [stop:a, delete:a]
    + delete-rules:fl-storage  fleet `dev` has no containers  after [stop:a, delete:a]
    + restore-forwarding:net.ipv4.ip_forward  1 → 0: the last fleet goes  after [stop:a, delete:a, delete-rules:fleet0, delete-rules:fl-storage]
    + delete-network:fl-storage  fleet `dev` has no containers
    + delete-network:fleet0  fleet `dev` has no containers
    ");
}
