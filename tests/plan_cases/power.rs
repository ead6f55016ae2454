//! Starting and stopping containers as they are.

use fleet::model::{Fleet, Host, ImageState, NetworkSpec, PortForward, Protocol, RunState};
use fleet::plan::{Power, power};

use super::{build, container, converged_host, drawn, make_foreign, name, planned, running, two};

fn powered(fleet: &Fleet, host: &Host, names: &[&str], to: Power) -> String {
    let names: Vec<_> = names.iter().map(|text| name(text)).collect();
    drawn(&power(fleet, host, &names, to))
}

#[test]
fn a_start_starts_what_is_stopped_and_changes_nothing_else() {
    let mut host = converged_host(&two());
    container(&mut host, "b").run = RunState::Stopped;
    let mut fleet = two();
    fleet.containers[1].limits.memory = None;
    insta::assert_snapshot!(powered(&fleet, &host, &["a", "b", "b"], Power::Start), @"+ start:b  it is stopped");
}

#[test]
fn a_start_makes_the_bridge_that_it_needs() {
    let mut host = converged_host(&two());
    host.links.remove("fleet0");
    container(&mut host, "a").run = RunState::Stopped;
    insta::assert_snapshot!(powered(&two(), &host, &["a"], Power::Start), @r"
    + network:fleet0  bridge is absent
    + start:a  it is stopped  after [network:fleet0]
    ");
}

#[test]
fn a_start_of_what_runs_leaves_the_bridge_alone() {
    let mut host = converged_host(&two());
    host.links.remove("fleet0");
    insta::assert_snapshot!(powered(&two(), &host, &["a"], Power::Start), @"nothing to do");
}

#[test]
fn what_was_being_stopped_is_stopped_and_started() {
    let mut host = converged_host(&two());
    running(&mut host, "b").is_stopping = true;
    insta::assert_snapshot!(powered(&two(), &host, &["a", "b"], Power::Start), @r"
    + stop:b  it was being stopped
    + start:b  it was being stopped  after [stop:b]
    ");
    insta::assert_snapshot!(planned(&two(), &host), @r"
    + stop:b  it was being stopped  (Restart)
    + start:b  it was being stopped  (Restart)  after [stop:b]
    ");
}

#[test]
fn a_stop_stops_what_runs() {
    let mut host = converged_host(&two());
    container(&mut host, "b").run = RunState::Stopped;
    insta::assert_snapshot!(powered(&two(), &host, &["a", "b"], Power::Stop), @"+ stop:a  it runs");
}

#[test]
fn what_is_absent_foreign_or_incomplete_is_refused() {
    let mut host = converged_host(&two());
    make_foreign(&mut host, "a");
    container(&mut host, "b").run = RunState::Incomplete("half deleted".to_owned());
    insta::assert_snapshot!(powered(&two(), &host, &["a", "b", "c"], Power::Start), @r"
    ! a  a container `a` exists that fleet did not make
      hint: choose another name, or set `prefix:` in the fleet file
    ! c  `c` does not exist
      hint: run `fleet apply`
    ! b  `b` is incomplete: half deleted
      hint: run `fleet apply`
    ");
}

#[test]
fn a_stop_ends_what_still_runs_of_an_incomplete_container() {
    let mut host = converged_host(&two());
    container(&mut host, "b").run = RunState::Incomplete("half deleted".to_owned());
    insta::assert_snapshot!(powered(&two(), &host, &["b"], Power::Stop), @"+ stop:b  half deleted");
}

#[test]
fn a_start_leaves_a_network_alone_that_somebody_was_not_made_for() {
    let mut host = converged_host(&two());
    container(&mut host, "b").run = RunState::Stopped;
    let edits: [fn(&mut NetworkSpec); 5] = [
        |network| *network = NetworkSpec { name: network.name.clone(), ..build::network_named("x", "10.43.0.0/24") },
        |network| "other0".clone_into(&mut network.bridge),
        |network| network.gateway = [10, 42, 0, 254].into(),
        |network| network.mtu = Some(1400),
        |network| network.isolated = true,
    ];
    for edit in edits {
        let mut fleet = two();
        edit(&mut fleet.networks[0]);
        let text = powered(&fleet, &host, &["b"], Power::Start);
        let refused =
            "! b  the network `default` of the file is not the one that `b` was made for\n  hint: run `fleet apply`\n";
        assert_eq!(text, format!("+ start:b  it is stopped\n{refused}"), "{:?}", fleet.networks[0]);
        assert_eq!(powered(&fleet, &host, &["a"], Power::Start), "nothing to do\n");
        assert_eq!(powered(&fleet, &host, &["a"], Power::Stop), "+ stop:a  it runs\n");
    }
}

#[test]
fn a_start_looks_at_the_networks_of_what_is_started_alone() {
    let mut fleet = two();
    fleet.networks.push(build::network_named("storage", "10.43.0.0/24"));
    fleet.containers[0].links.push(build::link_to(&fleet.networks[1], "eth1", "a", 11));
    let mut host = converged_host(&fleet);
    host.links.remove("fl-storage");
    container(&mut host, "a").run = RunState::Stopped;
    container(&mut host, "b").run = RunState::Stopped;
    fleet.networks[1].subnet = "10.44.0.0/24".parse().expect("a subnet");
    insta::assert_snapshot!(powered(&fleet, &host, &["b"], Power::Start), @"+ start:b  it is stopped");
    insta::assert_snapshot!(powered(&fleet, &host, &["a", "b"], Power::Start), @r"
    + start:a  it is stopped
    + start:b  it is stopped
    ! a  the network `storage` of the file is not the one that `a` was made for
      hint: run `fleet apply`
    ");
    fleet.networks.truncate(1);
    insta::assert_snapshot!(powered(&fleet, &host, &["a"], Power::Start), @r"
    + start:a  it is stopped
    ! a  the file has no network `storage`, which `a` is on
      hint: run `fleet apply`
    ");
}

#[test]
fn a_start_makes_the_rules_that_containers_were_made_for_and_not_those_of_the_file() {
    let mut host = converged_host(&two());
    container(&mut host, "b").run = RunState::Stopped;
    let mut fleet = two();
    fleet.containers.reverse();
    fleet.containers.push(build::spec("c", 13));
    for spec in &mut fleet.containers {
        spec.ports.push(PortForward { address: None, host: 8080, guest: 80, count: 1, protocol: Protocol::Tcp });
    }
    fleet.containers.remove(1);
    insta::assert_snapshot!(powered(&fleet, &host, &["b"], Power::Start), @"+ start:b  it is stopped");
}

#[test]
fn a_start_fetches_the_image_that_the_store_has_lost() {
    let mut host = converged_host(&two());
    host.images = [(build::file_image("/a.tar.gz"), ImageState::Available(build::digest('a')))].into();
    container(&mut host, "a").run = RunState::Stopped;
    insta::assert_snapshot!(powered(&two(), &host, &["a", "b"], Power::Start), @r"
    + image:aaaaaaaaaaaa  not in the image store
    + start:a  it is stopped  after [image:aaaaaaaaaaaa]
    ");
}
