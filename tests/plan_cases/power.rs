//! Starting and stopping containers as they are.

use fleet::model::{Fleet, Host, RunState};
use fleet::plan::{Power, power};

use super::{container, converged_host, drawn, make_foreign, name, planned, running, two};

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
