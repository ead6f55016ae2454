//! Images, id ranges, names, and what the host lacks.

use std::path::PathBuf;

use fleet::model::{Action, ID_POOL, ImageSource, ImageState, Init, Plan, RunState, Startable};
use fleet::plan::plan;

use super::{build, container, converged_host, make_foreign, name, one, planned, set_traffic, two};

fn unavailable() -> ImageState {
    ImageState::Unavailable { why: "`/a.tar.gz` does not exist".to_owned(), hint: Some("check the path".to_owned()) }
}

#[test]
fn an_image_is_fetched_once_for_all_that_stand_on_it() {
    let mut fleet = two();
    fleet.containers.push(build::spec("c", 13));
    fleet.containers[2].image = build::file_image("/copy-of-a.tar.gz");
    let mut host = build::bare_host();
    host.images = [
        (build::file_image("/a.tar.gz"), ImageState::Available(build::digest('a'))),
        (build::file_image("/copy-of-a.tar.gz"), ImageState::Available(build::digest('a'))),
    ]
    .into();
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    + network:fleet0  bridge is absent
    + rules:fleet0  packet rules are missing  after [network:fleet0]
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    + image:aaaaaaaaaaaa  not in the image store
    + create:a  it does not exist  after [image:aaaaaaaaaaaa]
    + start:a  it is new  after [network:fleet0, rules:fleet0, forwarding:net.ipv4.ip_forward, create:a]
    + create:b  it does not exist  after [image:aaaaaaaaaaaa]
    + start:b  it is new  after [network:fleet0, rules:fleet0, forwarding:net.ipv4.ip_forward, create:b]
    + create:c  it does not exist  after [image:aaaaaaaaaaaa]
    + start:c  it is new  after [network:fleet0, rules:fleet0, forwarding:net.ipv4.ip_forward, create:c]
    ");
}

#[test]
fn an_image_that_cannot_be_had_is_refused_when_it_is_needed() {
    let mut host = build::bare_host();
    host.images.insert(build::file_image("/a.tar.gz"), unavailable());
    insta::assert_snapshot!(planned(&two(), &host), @r"
    + network:fleet0  bridge is absent
    + rules:fleet0  packet rules are missing  after [network:fleet0]
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    ! file:/a.tar.gz  `/a.tar.gz` does not exist
      hint: check the path
    ");
}

#[test]
fn an_image_that_cannot_be_had_is_no_matter_to_containers_that_exist() {
    let mut host = converged_host(&one());
    host.images.insert(build::file_image("/a.tar.gz"), unavailable());
    container(&mut host, "a").run = RunState::Stopped;
    insta::assert_snapshot!(planned(&one(), &host), @"+ start:a  it is stopped");
}

#[test]
fn new_content_of_an_image_rebuilds_and_nothing_stops_before_it_is_there() {
    let mut host = converged_host(&one());
    host.images.insert(build::file_image("/a.tar.gz"), ImageState::Available(build::digest('b')));
    insta::assert_snapshot!(planned(&one(), &host), @r"
    + image:bbbbbbbbbbbb  not in the image store
    + stop:a  image content aaaaaaaaaaaa → bbbbbbbbbbbb  (Rebuild)  after [image:bbbbbbbbbbbb]
    + delete:a  image content aaaaaaaaaaaa → bbbbbbbbbbbb  (Rebuild)  after [stop:a]
    + create:a  image content aaaaaaaaaaaa → bbbbbbbbbbbb  (Rebuild)  after [image:bbbbbbbbbbbb, delete:a]
    + start:a  image content aaaaaaaaaaaa → bbbbbbbbbbbb  (Rebuild)  after [create:a]
    ");
}

#[test]
fn another_image_rebuilds_with_all_that_changed_as_the_reason() {
    let mut host = converged_host(&one());
    host.images.insert(build::file_image("/b.tar.gz"), ImageState::Stored(build::digest('b')));
    let mut spec = build::spec("a", 11);
    spec.image = build::file_image("/b.tar.gz");
    spec.limits.memory = None;
    insta::assert_snapshot!(planned(&build::fleet_of(vec![spec]), &host), @r"
    + stop:a  image file:/a.tar.gz → file:/b.tar.gz, memory 256MiB → none  (Rebuild)
    + delete:a  image file:/a.tar.gz → file:/b.tar.gz, memory 256MiB → none  (Rebuild)  after [stop:a]
    + create:a  image file:/a.tar.gz → file:/b.tar.gz, memory 256MiB → none  (Rebuild)  after [delete:a]
    + start:a  image file:/a.tar.gz → file:/b.tar.gz, memory 256MiB → none  (Rebuild)  after [create:a]
    ");
}

#[test]
fn a_rebuild_of_a_stopped_container_has_nothing_to_stop() {
    let mut host = converged_host(&one());
    host.images.insert(build::file_image("/a.tar.gz"), ImageState::Stored(build::digest('b')));
    container(&mut host, "a").run = RunState::Stopped;
    insta::assert_snapshot!(planned(&one(), &host), @r"
    + delete:a  image content aaaaaaaaaaaa → bbbbbbbbbbbb  (Rebuild)
    + create:a  image content aaaaaaaaaaaa → bbbbbbbbbbbb  (Rebuild)  after [delete:a]
    + start:a  image content aaaaaaaaaaaa → bbbbbbbbbbbb  (Rebuild)  after [create:a]
    ");
}

#[test]
fn the_same_content_from_another_place_is_only_recorded() {
    let mut host = converged_host(&one());
    host.images.insert(build::file_image("/moved.tar.gz"), ImageState::Stored(build::digest('a')));
    let mut spec = build::spec("a", 11);
    spec.image = build::file_image("/moved.tar.gz");
    insta::assert_snapshot!(planned(&build::fleet_of(vec![spec]), &host), @"+ configure:a  image file:/a.tar.gz → file:/moved.tar.gz (same content)  (Live)");
}

#[test]
fn a_checksum_that_is_added_and_right_is_only_recorded() {
    let mut host = converged_host(&one());
    let checked = ImageSource::File { path: PathBuf::from("/a.tar.gz"), sha256: Some(build::digest('a').0) };
    host.images.insert(checked.clone(), ImageState::Stored(build::digest('a')));
    let mut spec = build::spec("a", 11);
    spec.image = checked;
    insta::assert_snapshot!(planned(&build::fleet_of(vec![spec]), &host), @"+ configure:a  image file:/a.tar.gz: checksum changed  (Live)");
}

#[test]
fn a_rebuild_keeps_the_id_range() {
    let mut host = converged_host(&one());
    host.images.insert(build::file_image("/a.tar.gz"), ImageState::Stored(build::digest('b')));
    let created = records_of(&plan(&one(), &host));
    assert_eq!(created, [("a".to_owned(), build::ids(0).base)]);
}

#[test]
fn a_new_container_passes_over_ranges_of_any_fleet() {
    let first = records_of(&plan(&one(), &build::bare_host()))[0].1;
    let mut host = build::bare_host();
    let mut other = build::record(&one(), &build::spec("x", 77), 0);
    other.ids.base = first;
    other.fleet = build::fleet_name("other");
    other.spec.links[0].address = "10.99.0.7/24".parse().ok();
    host.containers.insert(name("x"), build::running_container(other));
    assert_eq!(records_of(&plan(&one(), &host)), [("a".to_owned(), first + 65_536)]);
}

#[test]
fn an_exhausted_pool_of_ids_is_refused() {
    let mut host = build::bare_host();
    host.foreign_ids = vec![ID_POOL];
    insta::assert_snapshot!(planned(&one(), &host), @r"
    + network:fleet0  bridge is absent
    + rules:fleet0  packet rules are missing  after [network:fleet0]
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    ! a  no range of 65536 host ids is free for `a`
      hint: destroy containers that are no longer needed, or free ids in `/etc/subuid` and `/etc/subgid`
    ");
}

#[test]
fn a_name_of_a_container_that_fleet_did_not_make_is_refused() {
    let mut host = converged_host(&two());
    make_foreign(&mut host, "a");
    insta::assert_snapshot!(planned(&two(), &host), @r"
    ! a  a container `a` exists that fleet did not make
      hint: choose another name, or set `prefix:` in the fleet file
    ");
}

#[test]
fn an_incomplete_container_that_fleet_did_not_make_stays() {
    let mut host = converged_host(&one());
    make_foreign(&mut host, "a");
    container(&mut host, "a").run = RunState::Incomplete("it has no config".to_owned());
    insta::assert_snapshot!(planned(&one(), &host), @r"
    ! a  a container `a` exists that fleet did not make
      hint: choose another name, or set `prefix:` in the fleet file
    ");
}

#[test]
fn a_name_of_another_fleet_is_refused_with_the_name_of_that_fleet() {
    let mut host = converged_host(&one());
    let mut other = build::record(&one(), &build::spec("a", 11), 0);
    other.fleet = build::fleet_name("other");
    host.containers.insert(name("a"), build::running_container(other));
    insta::assert_snapshot!(planned(&one(), &host), @r"
    ! a  a container `a` of fleet `other` exists
      hint: choose another name, or set `prefix:` in the fleet file
    ");
}

#[test]
fn what_the_host_lacks_is_refused_when_something_is_to_start() {
    let mut host = converged_host(&one());
    host.lacks = vec![("the kernel has no overlayfs".to_owned(), "run `modprobe overlay`".to_owned())];
    let idle = planned(&one(), &host);
    container(&mut host, "a").run = RunState::Stopped;
    let destroyed = planned(&one().emptied(), &host);
    insta::assert_snapshot!([idle, destroyed, planned(&one(), &host)].join("---\n"), @r"
    nothing to do
    ---
    + delete:a  the fleet is destroyed  (Destroy)
    + delete-rules:fleet0  fleet `dev` has no containers  after [delete:a]
    + restore-forwarding:net.ipv4.ip_forward  1 → 0: the last fleet goes  after [delete:a, delete-rules:fleet0]
    + delete-network:fleet0  fleet `dev` has no containers
    ---
    + start:a  it is stopped
    ! host  the kernel has no overlayfs
      hint: run `modprobe overlay`
    ");
}

/// The containers that a plan creates, with the first id of each.
fn records_of(plan: &Plan) -> Vec<(String, u32)> {
    let created = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Create(record) => Some((record.spec.name.to_string(), record.ids.base)),
        Action::EnsureNetwork { .. }
        | Action::DeleteNetwork { .. }
        | Action::EnsureSegment { .. }
        | Action::DeleteSegment(_)
        | Action::SetRules(_)
        | Action::DeleteRules { .. }
        | Action::SetForwarding { .. }
        | Action::RestoreForwarding(_)
        | Action::SetNeighbours { .. }
        | Action::RestoreNeighbours(_)
        | Action::FetchImage { .. }
        | Action::Configure(_)
        | Action::SetLimits(_)
        | Action::SetLinks(_)
        | Action::SetMounts(_)
        | Action::Start(_)
        | Action::Adopt(_)
        | Action::Stop { .. }
        | Action::Delete(_)
        | Action::DeleteVolume(_) => None,
    });
    created.collect()
}

#[test]
fn an_image_in_which_nothing_can_be_started_is_refused_before_a_container_is_made_or_replaced() {
    let mut fleet = one();
    let mut host = build::bare_host();
    set_traffic(&mut host, &fleet);
    let mut startable = |init, entrypoint| {
        host.startable.insert(build::digest('a'), Startable { init, entrypoint });
        planned(&fleet, &host)
    };
    assert!(startable(None, false).contains("+ start:a"), "it is not known");
    insta::assert_snapshot!(startable(Some(false), true), @r"
    ! a  its image has no `/sbin/init`
      hint: run the program that the image is made for with `init: entrypoint`, or another one with `init: /path`
    ");
    insta::assert_snapshot!(startable(Some(false), false), @r"
    ! a  its image has no `/sbin/init`, and names no program that it is made for
      hint: use an image with an init system, or name the program with `init: /path`
    ");
    fleet.containers[0].init = Init::Entrypoint;
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    ! a  its image names no program that it is made for
      hint: name the program with `init: /path`
    ");
}

#[test]
fn what_stands_in_for_a_silent_servers_image_is_told() {
    let (fleet, mut host) = (one(), build::bare_host());
    set_traffic(&mut host, &fleet);
    let request = Box::new("debian/12".parse().expect("one that can be made"));
    let stand_in = ImageState::StandIn { digest: build::digest('d'), request, why: "cannot reach `h`".to_owned() };
    host.images.insert(build::file_image("/a.tar.gz"), stand_in);
    insta::assert_snapshot!(planned(&fleet, &host), @r"
    + image:dddddddddddd  in place of file:/a.tar.gz (cannot reach `h`): made here by mmdebstrap, with systemd
    + create:a  it does not exist  after [image:dddddddddddd]
    + start:a  it is new  after [create:a]
    ");
}
