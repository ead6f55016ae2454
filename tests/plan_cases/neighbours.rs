//! Room in the kernel's tables of neighbours.

use fleet::model::{Fleet, Host, NeighbourLimits, NeighbourTable, PerFamily};

use super::{build, converged_host, one, planned};

const ROOMY: NeighbourLimits = NeighbourLimits([1024, 4096, 8192]);
const USUAL: NeighbourLimits = NeighbourLimits::USUAL;

/// As many containers as a usual table has no room for.
fn many() -> Fleet {
    let spec = |number: u8| build::spec(&format!("c{number}"), number);
    build::fleet_of((11..=50).map(spec).collect())
}

fn with_room(host: Host, limits: Option<NeighbourLimits>, restored: Option<NeighbourLimits>) -> Host {
    Host { neighbours: PerFamily { ipv4: NeighbourTable { limits, restored }, ..PerFamily::default() }, ..host }
}

/// What the plan says of neighbours.
fn about(fleet: &Fleet, host: &Host) -> String {
    let plan = planned(fleet, host);
    let lines: Vec<&str> = plan.lines().filter(|line| line.contains("+ neigh") || line.contains("restore-n")).collect();
    lines.join("\n")
}

#[test]
fn room_is_made_before_there_is_too_little() {
    let host = with_room(converged_host(&many()), Some(USUAL), None);
    insta::assert_snapshot!(planned(&many(), &host), @"+ neighbours:net.ipv4.neigh.default  gc_thresh1 128 → 256, gc_thresh2 512 → 1024, gc_thresh3 1024 → 2048: room for the neighbours of 40 links");
    // One thing that starts waits for it.
    let host = with_room(converged_host(&build::fleet_of(many().containers[1..].to_vec())), Some(USUAL), None);
    let plan = planned(&many(), &host);
    assert!(plan.contains("+ start:c11  it is new  after [neighbours:net.ipv4.neigh.default, create:c11]"), "{plan}");
    insta::assert_snapshot!(planned(&one(), &with_room(converged_host(&one()), Some(USUAL), None)), @"nothing to do");
}

#[test]
fn what_the_host_has_is_never_made_less() {
    let host = |limits| with_room(converged_host(&many()), Some(NeighbourLimits(limits)), None);
    insta::assert_snapshot!(about(&many(), &host([600, 512, 1024])), @"+ neighbours:net.ipv4.neigh.default  gc_thresh2 512 → 1024, gc_thresh3 1024 → 2048: room for the neighbours of 40 links");
    // What is enough is the host's own affair, however it is set otherwise.
    insta::assert_snapshot!(about(&many(), &host([0, 9, 4096])), @"");
}

#[test]
fn members_of_other_fleets_count() {
    let (fleet, mut host) = (one(), converged_host(&one()));
    for spec in many().containers {
        let mut other = build::record(&fleet, &spec, 9);
        other.fleet = build::fleet_name("other");
        host.containers.insert(other.spec.name.clone(), build::running_container(other));
    }
    insta::assert_snapshot!(about(&fleet, &with_room(host.clone(), Some(USUAL), None)), @"+ neighbours:net.ipv4.neigh.default  gc_thresh1 128 → 256, gc_thresh2 512 → 1024, gc_thresh3 1024 → 2048: room for the neighbours of 41 links");
    // Nobody takes from others what they need.
    let raised = NeighbourLimits::for_links(40);
    assert_eq!(about(&fleet.emptied(), &with_room(host, Some(raised), Some(USUAL))), "");
}

#[test]
fn what_was_lowered_by_hand_is_mended_once_fleet_has_made_room() {
    let host =
        |limits| with_room(converged_host(&many()), Some(NeighbourLimits(limits)), Some(NeighbourLimits([0, 9, 1024])));
    insta::assert_snapshot!(about(&many(), &host([256, 9, 2048])), @"+ neighbours:net.ipv4.neigh.default  gc_thresh2 9 → 1024: room for the neighbours of 40 links");
    insta::assert_snapshot!(about(&many(), &host([256, 1024, 2048])), @"");
}

#[test]
fn room_goes_when_nobody_needs_it_any_more() {
    let (fleet, raised) = (many(), NeighbourLimits::for_links(40));
    let host = with_room(converged_host(&fleet), Some(raised), Some(USUAL));
    let plan = about(&fleet.emptied(), &host);
    assert!(plan.contains("after [stop:c11, delete:c11, stop:c12"), "{plan}");
    // Also when some stay, but only if they can do without.
    let few = build::fleet_of(fleet.containers[..32].to_vec());
    assert!(about(&few, &host).starts_with("+ restore-neighbours:net.ipv4.neigh.default  gc_thresh1 256 → 128, "));
    let most = build::fleet_of(fleet.containers[..33].to_vec());
    assert_eq!(about(&most, &host), "");
    // Other roots may need it.
    let mut shared = host.clone();
    shared.firewall.is_shared = true;
    assert_eq!(about(&fleet.emptied(), &shared), "");
    // What somebody else has set stays.
    let host = with_room(converged_host(&one()), Some(ROOMY), Some(ROOMY));
    insta::assert_snapshot!(about(&one(), &host), @"+ restore-neighbours:net.ipv4.neigh.default  somebody has set them meanwhile: no more is needed");
}

#[test]
fn where_the_table_cannot_be_seen_the_plan_says_so_when_it_matters() {
    insta::assert_snapshot!(planned(&many(), &converged_host(&many())), @"note: `net.ipv4.neigh.default.gc_thresh3` can only be seen and set in the kernel's first network namespace: if it is not 2048 there, containers that speak with many may get no answer");
    insta::assert_snapshot!(planned(&one(), &converged_host(&one())), @"nothing to do");
}
