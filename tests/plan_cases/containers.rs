//! Containers that exist and are not as asked for.

use std::net::{IpAddr, Ipv4Addr};

use fleet::model::{
    Action, Bytes, ContainerSpec, Cpus, Fleet, ImageState, Init, InitKind, MacAddress, MonitorState, Restarting,
    RunState, UserSpec,
};
use fleet::plan::{drift, plan};

use super::{build, container, converged_host, name, one, planned, running, two};

/// The plan for a host that runs the fleet of one container, when its spec is changed by `change`.
fn changed(change: impl FnOnce(&mut ContainerSpec)) -> String {
    planned(&with(change), &converged_host(&one()))
}

/// The same when the container is stopped.
pub(super) fn changed_while_stopped(change: impl FnOnce(&mut ContainerSpec)) -> String {
    let mut host = converged_host(&one());
    container(&mut host, "a").run = RunState::Stopped;
    planned(&with(change), &host)
}

fn with(change: impl FnOnce(&mut ContainerSpec)) -> Fleet {
    let mut fleet = one();
    change(&mut fleet.containers[0]);
    fleet
}

fn user(name: &str, sudo: bool) -> UserSpec {
    UserSpec { name: name.to_owned(), uid: None, shell: None, sudo, ssh_keys: Vec::new() }
}

#[test]
fn a_host_that_is_as_asked_for_has_nothing_to_do() {
    insta::assert_snapshot!(planned(&two(), &converged_host(&two())), @"nothing to do");
}

#[test]
fn limits_change_live() {
    let text = changed(|spec| {
        spec.limits.memory = Some(Bytes(512 << 20));
        spec.limits.cpus = Some(Cpus { millis: 500 });
    });
    insta::assert_snapshot!(text, @"+ limits:a  memory 256MiB → 512MiB, cpus none → 0.5  (Live)");
}

#[test]
fn limits_of_a_stopped_container_are_recorded() {
    insta::assert_snapshot!(changed_while_stopped(|spec| spec.limits.memory = None), @r"
    + limits:a  memory 256MiB → none
    + start:a  it is stopped  after [limits:a]
    ");
}

#[test]
fn limits_that_were_changed_on_the_host_are_set_again() {
    let mut host = converged_host(&one());
    running(&mut host, "a").limits.memory = Some(Bytes(128 << 20));
    running(&mut host, "a").limits.pids = Some(7);
    insta::assert_snapshot!(planned(&one(), &host), @"+ limits:a  memory is 128MiB, not 256MiB (changed on the host), pids is 7, not none (changed on the host)  (Live)");
}

#[test]
fn a_limit_that_the_kernel_rounds_to_pages_is_no_drift() {
    let fleet = with(|spec| spec.limits.memory = Some(Bytes(1_000_000_000)));
    let mut host = converged_host(&fleet);
    running(&mut host, "a").limits.memory = Some(Bytes(999_997_440));
    insta::assert_snapshot!(planned(&fleet, &host), @"nothing to do");
}

#[test]
fn files_of_the_guest_change_live() {
    let text = changed(|spec| {
        spec.guest.ssh_keys = vec!["ssh-ed25519 AAAA me".to_owned()];
        spec.guest.dns = vec![IpAddr::V4(Ipv4Addr::new(1, 1, 1, 1))];
        spec.guest.templates.insert("hosts".to_owned(), "{{name}}".to_owned());
        spec.stop_timeout_s = 30;
    });
    insta::assert_snapshot!(text, @"+ configure:a  ssh_keys changed, dns of the host → 1.1.1.1, templates +hosts, stop_timeout 10s → 30s  (Live)");
}

#[test]
fn users_that_come_go_and_change_are_named() {
    let mut before = one();
    before.containers[0].guest.users = vec![user("old", false), user("bob", false)];
    let after = with(|spec| spec.guest.users = vec![user("bob", true), user("dev", false)]);
    insta::assert_snapshot!(planned(&after, &converged_host(&before)), @"+ configure:a  users +dev -old ~bob  (Live)");
}

#[test]
fn files_and_limits_are_two_steps_with_one_record() {
    let fleet = with(|spec| {
        spec.guest.ssh_keys = vec!["ssh-ed25519 AAAA me".to_owned()];
        spec.limits.pids = Some(100);
    });
    let plan = plan(&fleet, &converged_host(&one()));
    insta::assert_snapshot!(super::drawn(&plan), @r"
    + configure:a  ssh_keys changed  (Live)
    + limits:a  pids none → 100  (Live)  after [configure:a]
    ");
    let new = Box::new(build::record(&fleet, &fleet.containers[0], 0));
    let actions: Vec<_> = plan.steps.into_iter().map(|step| step.action).collect();
    assert_eq!(actions, [Action::Configure(new.clone()), Action::SetLimits(new)]);
}

#[test]
fn a_new_member_is_made_known_to_the_others() {
    insta::assert_snapshot!(planned(&two(), &converged_host(&one())), @r"
    + configure:a  hosts: members changed  (Live)
    + create:b  it does not exist
    + start:b  it is new  after [create:b]
    ");
}

#[test]
fn a_new_address_is_given_while_the_container_runs() {
    let text = changed(|spec| {
        spec.links[0].address = "10.42.0.99/24".parse().ok();
        spec.limits.memory = None;
    });
    insta::assert_snapshot!(text, @r"
    + links:a  ip 10.42.0.11 → 10.42.0.99  (Live)
    + configure:a  ip 10.42.0.11 → 10.42.0.99  (Live)  after [links:a]
    + limits:a  memory 256MiB → none  (Live)  after [configure:a]
    ");
}

#[test]
fn every_part_of_the_link_has_its_word() {
    let text = changed(|spec| {
        spec.links[0].address = "10.42.0.11/16".parse().ok();
        spec.links[0].gateway = Some(Ipv4Addr::new(10, 42, 0, 254));
        spec.links[0].mac = MacAddress([2, 0, 0, 0, 0, 1]);
        spec.links[0].parent = "fleet0".to_owned();
        spec.links[0].host_name = "fl-other".to_owned();
    });
    insta::assert_snapshot!(text, @r"
    + links:a  ip 10.42.0.11/24 → 10.42.0.11/16, gateway 10.42.0.1 → 10.42.0.254, mac 36:58:a6:3c:a0:12 → 02:00:00:00:00:01, link fl-a → fl-other  (Live)
    + configure:a  ip 10.42.0.11/24 → 10.42.0.11/16, gateway 10.42.0.1 → 10.42.0.254, mac 36:58:a6:3c:a0:12 → 02:00:00:00:00:01, link fl-a → fl-other  (Live)  after [links:a]
    ");
}

#[test]
fn init_and_host_name_need_a_restart() {
    let text = changed(|spec| {
        spec.init = Init::Kind(InitKind::Systemd);
        spec.guest.hostname = "alpha".to_owned();
    });
    insta::assert_snapshot!(text, @r"
    + stop:a  init auto → systemd, hostname a → alpha  (Restart)
    + configure:a  init auto → systemd, hostname a → alpha  (Restart)  after [stop:a]
    + start:a  init auto → systemd, hostname a → alpha  (Restart)  after [configure:a]
    ");
}

#[test]
fn a_stopped_container_is_changed_and_started() {
    let text = changed_while_stopped(|spec| {
        spec.init = Init::Path("/bin/app".into());
        spec.limits.memory = None;
    });
    insta::assert_snapshot!(text, @r"
    + configure:a  init auto → /bin/app
    + limits:a  memory 256MiB → none  after [configure:a]
    + start:a  it is stopped  after [limits:a]
    ");
}

#[test]
fn a_restart_grants_the_time_that_the_container_was_made_with() {
    let fleet = with(|spec| {
        spec.init = Init::Kind(InitKind::Runit);
        spec.stop_timeout_s = 99;
    });
    let plan = plan(&fleet, &converged_host(&one()));
    assert_eq!(plan.steps[0].action, Action::Stop { name: name("a"), timeout_s: 10 });
}

#[test]
fn a_stopped_container_is_started() {
    insta::assert_snapshot!(changed_while_stopped(|_| ()), @"+ start:a  it is stopped");
}

#[test]
fn a_container_without_monitor_gets_another_as_it_runs_and_one_without_link_gets_it() {
    let mut host = converged_host(&two());
    running(&mut host, "a").monitor = MonitorState::Dead;
    host.links.remove("fl-b");
    insta::assert_snapshot!(planned(&two(), &host), @r"
    + adopt:a  its monitor was killed  (Live)
    + links:b  link eth0 is missing  (Live)
    ");
}

#[test]
fn a_container_that_its_monitor_restarts_is_left_to_it() {
    let mut host = converged_host(&two());
    for name in ["a", "b"] {
        container(&mut host, name).run = RunState::Restarting(Restarting { monitor: 999, next_start_s: 0 });
    }
    assert_eq!(plan(&two(), &host).steps, vec![]);
    // A limit waits for its next start; files are not written under one that may be starting.
    let mut wanted = two();
    wanted.containers[0].limits.pids = Some(7);
    wanted.containers[1].stop_timeout_s = 20;
    insta::assert_snapshot!(planned(&wanted, &host), @"
    + limits:a  pids none → 7
    + stop:b  stop_timeout 10s → 20s  (Restart)
    + configure:b  stop_timeout 10s → 20s  (Restart)  after [stop:b]
    + start:b  stop_timeout 10s → 20s  (Restart)  after [configure:b]
    ");
}

#[test]
fn an_incomplete_container_is_made_anew_and_loses_nothing() {
    let mut host = converged_host(&one());
    container(&mut host, "a").run = RunState::Incomplete("its creation was interrupted".to_owned());
    insta::assert_snapshot!(planned(&one(), &host), @r"
    + stop:a  its creation was interrupted
    + delete:a  its creation was interrupted  after [stop:a]
    + create:a  its creation was interrupted  after [delete:a]
    + start:a  its creation was interrupted  after [create:a]
    ");
}

#[test]
fn containers_that_are_not_in_the_file_go() {
    let mut fleet = two();
    fleet.containers.extend([build::spec("c", 13), build::spec("d", 14)]);
    let mut host = converged_host(&fleet);
    container(&mut host, "c").run = RunState::Stopped;
    container(&mut host, "d").run = RunState::Incomplete("half deleted".to_owned());
    // The host table of `a` is kept as it was, so that the deletions stand alone.
    let mut wanted = one();
    wanted.members = fleet.members;
    insta::assert_snapshot!(planned(&wanted, &host), @r"
    + stop:b  not in the fleet file  (Destroy)
    + delete:b  not in the fleet file  (Destroy)  after [stop:b]
    + delete:c  not in the fleet file  (Destroy)
    + stop:d  not in the fleet file  (Destroy)
    + delete:d  not in the fleet file  (Destroy)  after [stop:d]
    ");
}

#[test]
fn whoever_takes_over_an_address_waits_until_it_is_free() {
    let fleet = build::fleet_of(vec![build::spec("new", 11)]);
    insta::assert_snapshot!(planned(&fleet, &converged_host(&one())), @r"
    + create:new  it does not exist
    + stop:a  not in the fleet file  (Destroy)
    + start:new  it is new  after [create:new, stop:a]
    + delete:a  not in the fleet file  (Destroy)  after [stop:a]
    ");
}

#[test]
fn two_containers_can_swap_their_addresses() {
    let mut fleet = build::fleet_of(vec![build::spec("a", 12), build::spec("b", 11)]);
    fleet.members = two().members;
    insta::assert_snapshot!(planned(&fleet, &converged_host(&two())), @r"
    + links:a  ip 10.42.0.11 → 10.42.0.12  (Live)
    + configure:a  ip 10.42.0.11 → 10.42.0.12  (Live)  after [links:a]
    + links:b  ip 10.42.0.12 → 10.42.0.11  (Live)
    + configure:b  ip 10.42.0.12 → 10.42.0.11  (Live)  after [links:b]
    ");
}

#[test]
fn drift_tells_the_same_words_for_each_container() {
    let mut before = two();
    before.containers.push(build::spec("c", 13));
    let mut host = converged_host(&before);
    running(&mut host, "a").monitor = MonitorState::Dead;
    running(&mut host, "a").limits.memory = None;
    let mut wanted = two();
    wanted.containers.push(build::spec("absent", 14));
    wanted.members = before.members;
    insta::assert_debug_snapshot!(drift(&wanted, &host), @r#"
    {
        ContainerName(
            "a",
        ): [
            "memory is none, not 256MiB (changed on the host)",
            "its monitor was killed",
        ],
        ContainerName(
            "c",
        ): [
            "not in the fleet file",
        ],
    }
    "#);
}

#[test]
fn an_image_that_the_store_has_lost_is_fetched_before_a_container_that_stands_on_it_is_opened() {
    let mut host = converged_host(&two());
    host.images = [(build::file_image("/a.tar.gz"), ImageState::Available(build::digest('a')))].into();
    insta::assert_snapshot!(planned(&two(), &host), @"nothing to do");
    container(&mut host, "a").run = RunState::Stopped;
    let mut fleet = two();
    fleet.containers[1].limits.memory = None;
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    + image:aaaaaaaaaaaa  not in the image store
    + start:a  it is stopped  after [image:aaaaaaaaaaaa]
    + limits:b  memory 256MiB → none  (Live)
    ");
    fleet.containers[0].stop_timeout_s = 20;
    fleet.containers[1].init = Init::Entrypoint;
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    + image:aaaaaaaaaaaa  not in the image store
    + configure:a  stop_timeout 10s → 20s  after [image:aaaaaaaaaaaa]
    + start:a  it is stopped  after [configure:a]
    + stop:b  memory 256MiB → none, init auto → entrypoint  (Restart)  after [image:aaaaaaaaaaaa]
    + configure:b  memory 256MiB → none, init auto → entrypoint  (Restart)  after [stop:b]
    + limits:b  memory 256MiB → none, init auto → entrypoint  (Restart)  after [configure:b]
    + start:b  memory 256MiB → none, init auto → entrypoint  (Restart)  after [limits:b]
    ");
    // What cannot be had now is no reason to leave it down.
    let state = ImageState::Unavailable { why: "no such file".to_owned(), hint: None };
    host.images = [(build::file_image("/a.tar.gz"), state)].into();
    insta::assert_snapshot!(planned(&two(), &host), @"+ start:a  it is stopped");
}
