//! What holds for every fleet and every host.

mod sim;

use std::collections::{BTreeMap, BTreeSet};

use fleet::model::{
    Action, Chains, ContainerName, ContainerRecord, ContainerState, Fleet, Hook, Host, ID_RANGE_LENGTH, IdRange,
    IpFamily, LinkSpec, LinkState, NeighbourLimits, NetworkSpec, Ownership, Plan, RunState, StepId, host_table,
    hosts_digest,
};
use fleet::plan::{Power, drift, host_drift, plan, power, spread};
use proptest::prelude::*;

use sim::random::{Edit, edit, fleet, fleet_changed, host};
use sim::{World, build};

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_input_gives_the_same_plan(fleet in fleet(), host in host()) {
        prop_assert_eq!(plan(&fleet, &host), plan(&fleet.clone(), &host.clone()));
    }

    #[test]
    fn each_step_has_its_own_name_and_stands_behind_those_it_waits_for(fleet in fleet(), host in host()) {
        let mut seen = BTreeSet::new();
        for step in plan(&fleet, &host).steps {
            for other in &step.after {
                prop_assert!(seen.contains(other), "{} stands before {other}", step.id);
            }
            prop_assert!(seen.insert(step.id.clone()), "there are two {}", step.id);
        }
    }

    #[test]
    fn a_container_is_deleted_only_after_its_stop_and_before_its_creation(fleet in fleet(), host in host()) {
        let plan = plan(&fleet, &host);
        let waits = Waits::of(&plan);
        for name in host.containers.keys().chain(fleet.containers.iter().map(|spec| &spec.name)) {
            for [earlier, later] in [
                ["stop", "delete"],
                ["stop", "configure"],
                ["stop", "limits"],
                ["stop", "start"],
                ["delete", "create"],
                ["create", "start"],
                ["configure", "limits"],
                ["limits", "start"],
            ] {
                let [earlier, later] = [earlier, later].map(|verb| StepId(format!("{verb}:{name}")));
                if waits.has(&earlier) && waits.has(&later) {
                    prop_assert!(waits.for_each_other(&later, &earlier), "{later} does not wait for {earlier}");
                }
            }
        }
    }

    #[test]
    fn after_an_apply_all_is_as_asked_for_and_nothing_is_left_to_do(fleet in fleet(), host in host()) {
        let mut world = World::of(host);
        let plan_before = plan(&fleet, &world.host);
        prop_assume!(plan_before.conflicts.is_empty());
        let before = world.host.clone();
        let (outcome, _) = world.apply(&plan_before, None);
        prop_assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
        assert_as_asked_for(&fleet, &world);
        prop_assert_eq!(drift(&fleet, &world.host), BTreeMap::new());
        prop_assert_eq!(host_drift(&fleet, &world.host), Vec::<String>::new());
        prop_assert_eq!(plan(&fleet, &world.host).steps, vec![]);
        prop_assert_eq!(not_of(&fleet, &before), not_of(&fleet, &world.host));
    }

    #[test]
    fn a_plan_with_conflicts_is_not_run(fleet in fleet(), host in host()) {
        let plan = plan(&fleet, &host);
        prop_assume!(!plan.conflicts.is_empty());
        let before = World::of(host);
        let mut world = before.clone();
        let (outcome, _) = world.apply(&plan, None);
        prop_assert_eq!(outcome.skipped.len(), plan.steps.len());
        prop_assert_eq!(before, world);
    }

    #[test]
    fn destroy_leaves_nothing_of_the_fleet_and_touches_nothing_else(fleet in fleet(), host in host()) {
        let plan = plan(&fleet.emptied(), &host);
        prop_assert_eq!(&plan.conflicts, &vec![]);
        let before = host.clone();
        let mut world = World::of(host);
        let (outcome, _) = world.apply(&plan, None);
        prop_assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
        prop_assert_eq!(not_of(&fleet, &before), everything(&world.host));
        prop_assert_eq!(&world.host.volumes, &BTreeSet::new());
    }

    #[test]
    fn volumes_stay_whatever_becomes_of_the_containers(fleet in fleet(), host in host(), empty in any::<bool>()) {
        let fleet = if empty { Fleet { keeps_volumes: true, ..fleet.emptied() } } else { fleet };
        let plan = plan(&fleet, &host);
        let before = host.volumes.clone();
        let mut world = World::of(host);
        world.apply(&plan, None);
        prop_assert!(before.is_subset(&world.host.volumes), "{before:?}, {:?}", world.host.volumes);
    }

    #[test]
    fn id_ranges_never_overlap(fleet in fleet(), host in host()) {
        let mut ranges: Vec<IdRange> = Vec::new();
        let plan = plan(&fleet, &host);
        for container in host.containers.values() {
            let deleted = StepId(format!("delete:{}", container.name));
            if let (Ownership::Ours(record), false) = (&container.ownership, Waits::of(&plan).has(&deleted)) {
                ranges.push(record.ids);
            }
        }
        for step in &plan.steps {
            if let Action::Create(record) = &step.action {
                prop_assert!(!host.foreign_ids.iter().any(|ids| record.ids.overlaps(ids)), "{} is foreign", record.ids);
                ranges.push(record.ids);
            }
        }
        ranges.sort();
        prop_assert!(ranges.windows(2).all(|pair| pair[1].base - pair[0].base >= ID_RANGE_LENGTH), "{ranges:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_stops_for_a_change_of_links(fleet in fleet(), host in host(), changed in fleet_changed()) {
        let mut world = World::of(host);
        let first = plan(&fleet, &world.host);
        prop_assume!(first.conflicts.is_empty());
        world.apply(&first, None);
        let other = changed.of(&fleet);
        let change = plan(&other, &world.host);
        let goes = |action: &Action| match action {
            Action::Stop { .. } | Action::Start(_) | Action::Create(_) | Action::Delete(_) => false,
            // Whoever is being started again is better stopped for it.
            _ => true,
        };
        let is_restarting = |container: &ContainerState| matches!(container.run, RunState::Restarting(_));
        prop_assume!(!world.host.containers.values().any(is_restarting));
        prop_assert!(change.steps.iter().all(|step| goes(&step.action)), "{:?}", change.steps);
        let (outcome, _) = world.apply(&change, None);
        prop_assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
        assert_as_asked_for(&other, &world);
        prop_assert_eq!(plan(&other, &world.host).steps, vec![]);
    }

    #[test]
    fn a_start_cuts_nobody_off_whatever_the_file_says_by_now(fleet in fleet(), host in host(), edit in edit(), number in 0..6_usize) {
        let mut world = World::of(host);
        let first = plan(&fleet, &world.host);
        prop_assume!(first.conflicts.is_empty() && number < fleet.containers.len());
        world.apply(&first, None);
        let names = [fleet.containers[number].name.clone()];
        world.apply(&power(&fleet, &world.host, &names, Power::Stop), None);
        let before = world.clone();
        let edited = edit.of(&fleet);
        let start = power(&edited, &world.host, &names, Power::Start);
        if edit == Edit::Nothing {
            prop_assert_eq!(&start.conflicts, &vec![]);
        }
        let (outcome, _) = world.apply(&start, None);
        prop_assert!(outcome.failed.is_empty(), "{:?}", outcome.failed);
        if !start.conflicts.is_empty() {
            prop_assert_eq!(&before, &world);
            return Ok(());
        }
        prop_assert!(world.in_force.contains_key(&names[0]));
        for record in world.in_force.values().filter(|record| record.fleet == fleet.name) {
            prop_assert_eq!(world.check_ground(record), Ok(()), "{}", record.spec.name);
            for link in &record.spec.links {
                let parent = &world.host.links[&link.parent];
                prop_assert_eq!(parent.mtu, before.host.links[&link.parent].mtu);
                prop_assert_eq!(world.host.links[&link.host_name].port, link.port);
            }
        }
        let bridges = |world: &World| world.host.links.keys().filter(|name| !name.starts_with("fl-c")).cloned().collect::<Vec<_>>();
        prop_assert_eq!(bridges(&before), bridges(&world));
        if edit == Edit::Nothing {
            prop_assert_eq!(plan(&fleet, &world.host).steps, vec![]);
        }
    }

    #[test]
    fn killed_at_any_event_and_applied_again_ends_the_same(fleet in fleet(), host in host(), empty in any::<bool>()) {
        let fleet = if empty { fleet.emptied() } else { fleet };
        let start = World::of(host);
        let first = plan(&fleet, &start.host);
        prop_assume!(first.conflicts.is_empty());
        let mut whole = start.clone();
        let (_, events) = whole.apply(&first, None);
        for kill in 0..events {
            let mut world = start.clone();
            world.apply(&first, Some(kill));
            let again = plan(&fleet, &world.host);
            prop_assert_eq!(&again.conflicts, &vec![], "after event {}", kill);
            let (outcome, _) = world.apply(&again, None);
            prop_assert!(outcome.failed.is_empty(), "after event {kill}: {:?}", outcome.failed);
            prop_assert_eq!(drift(&fleet, &world.host), BTreeMap::new());
            let same = [&world, &whole].map(|world| without_choices(&fleet, world));
            prop_assert_eq!(&same[0], &same[1], "after event {}", kill);
        }
    }
}

/// What each step of a plan waits for, directly or not.
struct Waits(BTreeMap<StepId, BTreeSet<StepId>>);

impl Waits {
    fn of(plan: &Plan) -> Waits {
        let mut waits: BTreeMap<StepId, BTreeSet<StepId>> = BTreeMap::new();
        for step in &plan.steps {
            let further = step.after.iter().filter_map(|other| waits.get(other)).flatten();
            let all = further.chain(&step.after).cloned().collect();
            waits.insert(step.id.clone(), all);
        }
        Waits(waits)
    }

    fn has(&self, step: &StepId) -> bool {
        self.0.contains_key(step)
    }

    fn for_each_other(&self, later: &StepId, earlier: &StepId) -> bool {
        self.0[later].contains(earlier)
    }
}

/// Looks at what cannot be observed, too: what the guests' files say and what the running containers were started with.
fn assert_as_asked_for(fleet: &Fleet, world: &World) {
    let fleet = &*spread(fleet, &world.host);
    let members: Vec<_> = world.host.containers.values().filter(|container| is_of(fleet, container)).collect();
    assert_eq!(members.len(), fleet.containers.len());
    assert_eq!(chains_of(&world.host, |owner| owner == fleet.name.as_str()), fleet.chains());
    for family in IpFamily::ALL {
        assert!(world.host.forwarding.of(family).is_on || !fleet.needs_forwarding(family));
        let speak = |link: &&LinkSpec| family == IpFamily::Ipv4 || link.address6.is_some();
        let links = fleet.containers.iter().flat_map(|spec| &spec.links).filter(speak).count();
        let room = world.host.neighbours.of(family).limits;
        assert!(room.is_none_or(|room| room.most() >= NeighbourLimits::for_links(links).most()));
    }
    for network in fleet.networks_in_use() {
        let bridge = &world.host.links[&network.bridge];
        assert_eq!((&bridge.addresses, bridge.ipv6), (&network.host_addresses().collect(), network.ipv6()));
    }
    for network in fleet.networks_in_use() {
        for (name, whole) in fleet.segments_of(network).iter().flat_map(|segment| build::segment(network, segment)) {
            assert_eq!(world.host.links[&name], whole, "{name}");
        }
    }
    for spec in &fleet.containers {
        let container = &world.host.containers[&spec.name];
        assert!(matches!(container.run, RunState::Running(_) | RunState::Restarting(_)), "{container:?}");
        assert_eq!(
            world.files[&spec.name],
            (spec.guest.clone(), hosts_digest(&host_table(&fleet.members, &spec.network_names())))
        );
        let in_force = &world.in_force[&spec.name].spec;
        // What the bridge does with a port is looked at on the bridge.
        let are_given = in_force.links.iter().zip(&spec.links).all(|(given, link)| given.is_given_as(link));
        assert!(are_given && in_force.links.len() == spec.links.len(), "{:?}\n{:?}", in_force.links, spec.links);
        assert_eq!(in_force.init, spec.init);
        assert_eq!((&in_force.security, &in_force.mounts), (&spec.security, &spec.mounts));
        assert_eq!(in_force.devices, spec.devices);
        assert_eq!(in_force.guest.hostname, spec.guest.hostname);
    }
}

fn is_of(fleet: &Fleet, container: &ContainerState) -> bool {
    matches!(&container.ownership, Ownership::Ours(record) if record.fleet == fleet.name)
}

type Things = (BTreeMap<ContainerName, ContainerState>, BTreeMap<String, LinkState>, Chains);

fn everything(host: &Host) -> Things {
    (host.containers.clone(), host.links.clone(), host.firewall.chains.clone())
}

fn chains_of(host: &Host, owner: impl Fn(&str) -> bool) -> Chains {
    let chains = host.firewall.chains.iter().filter(|(name, _)| Hook::fleet_of(name).is_some_and(&owner));
    chains.map(|(name, chain)| (name.clone(), chain.clone())).collect()
}

/// The containers and links that are not the fleet's.
fn not_of(fleet: &Fleet, host: &Host) -> Things {
    let (mut containers, mut links, _) = everything(host);
    containers.retain(|_, container| !is_of(fleet, container));
    let members = host.containers.values().filter(|container| is_of(fleet, container));
    let records = members.filter_map(|container| match &container.ownership {
        Ownership::Ours(record) => Some(record),
        Ownership::Foreign => None,
    });
    let ends: BTreeSet<&String> = records.flat_map(|record| &record.spec.links).map(|link| &link.host_name).collect();
    let is_of =
        |name: &str, link: &LinkState| fleet.network_of(link).is_some() || fleet.segment_of(name, link).is_some();
    links.retain(|name, link| !is_of(name, link) && !ends.contains(name));
    (containers, links, chains_of(host, |owner| owner != fleet.name.as_str()))
}

/// The world but for the choice of id ranges and bridges: one whose range or place was taken when it was made first may find
/// it free when a kill between its deletion and its creation makes it a new one.
fn without_choices(fleet: &Fleet, world: &World) -> World {
    let mut world = world.clone();
    let own_bridge = |parent: &mut String| {
        let of = |network: &&NetworkSpec| network.segments().any(|segment| segment.bridge == *parent);
        if parent.starts_with("fs")
            && let Some(network) = fleet.networks.iter().find(of)
        {
            parent.clone_from(&network.bridge);
        }
    };
    let forget = |record: &mut ContainerRecord| {
        record.ids.base = 0;
        record.spec.links.iter_mut().for_each(|link| own_bridge(&mut link.parent));
    };
    for container in world.host.containers.values_mut() {
        if let Ownership::Ours(record) = &mut container.ownership {
            forget(record);
        }
        if let RunState::Running(running) = &mut container.run {
            let given = running.network.iter_mut().flat_map(|network| &mut network.given);
            given.for_each(|link| {
                own_bridge(&mut link.parent);
                // The bridge's business, whatever it was at the start.
                link.port.hairpin = false;
            });
        }
    }
    for record in world.in_force.values_mut() {
        forget(record);
        record.spec.links.iter_mut().for_each(|link| link.port.hairpin = false);
    }
    world.host.links.retain(|name, link| fleet.segment_of(name, link).is_none());
    let of_segments = ["members on the way to their network", "past their network"];
    for chain in world.host.firewall.chains.values_mut() {
        chain.rules.retain(|rule| !of_segments.contains(&rule.comment.as_str()));
    }
    world.host.firewall.chains.retain(|_, chain| !chain.rules.is_empty());
    world.host.links.values_mut().filter_map(|link| link.controller.as_mut()).for_each(own_bridge);
    world
}
