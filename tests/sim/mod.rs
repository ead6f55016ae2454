//! A simulated host: what the real one does, in memory, step by step, with a kill wherever a test wants one.
//!
//! It is suspicious: whatever a real host would refuse, or a user would regret, is a failed step.

pub(crate) mod build;
pub(crate) mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use fleet::converge::{Gate, Perform, converge};
use fleet::model::{
    Action, Chains, ContainerName, ContainerRecord, ContainerState, Expression, FleetName, GuestNetwork, GuestSpec,
    Hook, Host, ID_RANGE_LENGTH, ImageDigest, ImageState, IpFamily, Limits, LinkKind, LinkSpec, LinkState, MacAddress,
    MonitorState, MountSource, MountSpec, NeighbourLimits, NetworkName, NetworkSpec, Outcome, Ownership, Plan, Rule,
    RunState, Running, Segment, Step, StepFailure, TableState, Traffic,
};
use tokio::sync::{mpsc, watch};

/// Why a lock can be had.
const UNPOISONED: &str = "nothing panics while it holds the lock";

/// A host in memory, which does steps until it is killed: from then on nothing happens any more.
struct SimHost {
    world: Mutex<World>,
    /// Events until the kill.
    left: Mutex<usize>,
}

/// What a host is, beyond what can be observed of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct World {
    pub(crate) host: Host,
    /// What stands in each guest's files: the guest's part and the digest of the host table.
    pub(crate) files: BTreeMap<ContainerName, (GuestSpec, String)>,
    /// What each running container was started with.
    pub(crate) in_force: BTreeMap<ContainerName, ContainerRecord>,
    /// Containers that go for good in the plan that is being carried out: they need nothing any more.
    doomed: BTreeSet<ContainerName>,
}

/// One change of the host, which happens wholly or not at all.
type Event = Box<dyn FnOnce(&mut World) + Send>;

impl World {
    /// The world of `host`, whose containers are what their records say.
    pub(crate) fn of(host: Host) -> World {
        let mut world = World { host, files: BTreeMap::new(), in_force: BTreeMap::new(), doomed: BTreeSet::new() };
        for (name, container) in &world.host.containers {
            let Ownership::Ours(record) = &container.ownership else { continue };
            world.files.insert(name.clone(), (record.spec.guest.clone(), record.hosts.clone()));
            if matches!(container.run, RunState::Running(_) | RunState::Restarting(_)) {
                world.in_force.insert(name.clone(), (**record).clone());
            }
        }
        world
    }

    /// Runs `plan` in this world until `events` events have happened, if that is given. Returns the number of events
    /// that did.
    pub(crate) fn apply(&mut self, plan: &Plan, events: Option<usize>) -> (Outcome, usize) {
        let budget = events.unwrap_or(usize::MAX);
        self.doomed = doomed(plan);
        let sim = Arc::new(SimHost { world: Mutex::new(self.clone()), left: Mutex::new(budget) });
        let (events, _) = mpsc::unbounded_channel();
        let (_never, stop) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let outcome = runtime.block_on(converge(plan, Arc::clone(&sim), 3, events, stop));
        *self = World { doomed: BTreeSet::new(), ..sim.world().clone() };
        let left = *sim.left.lock().expect(UNPOISONED);
        (outcome, budget - left)
    }

    fn run_of(&self, name: &ContainerName) -> Option<&RunState> {
        self.host.containers.get(name).map(|container| &container.run)
    }

    fn set_run(&mut self, name: &ContainerName, run: RunState) {
        self.host.containers.get_mut(name).expect("it was looked up before").run = run;
    }

    fn record_of(&self, name: &ContainerName) -> Result<&ContainerRecord, String> {
        match self.host.containers.get(name).map(|container| &container.ownership) {
            Some(Ownership::Ours(record)) => Ok(record),
            Some(Ownership::Foreign) => Err(format!("`{name}` is not ours")),
            None => Err(format!("`{name}` does not exist")),
        }
    }

    fn set_record(&mut self, record: ContainerRecord) {
        let container = self.host.containers.get_mut(&record.spec.name).expect("it was looked up before");
        container.ownership = Ownership::Ours(Box::new(record));
    }

    fn has_image(&self, digest: &ImageDigest) -> bool {
        self.host.images.values().any(|state| *state == ImageState::Stored(digest.clone()))
    }

    /// Whether the store has lost what a container with `record` stands on, which could be had again.
    fn check_image(&self, record: &ContainerRecord) -> Result<(), String> {
        let is_known = match self.host.images.get(&record.spec.image) {
            Some(ImageState::Available(digest) | ImageState::StandIn { digest, .. }) => *digest == record.image,
            Some(ImageState::Offered(build)) => build.fingerprint == record.image,
            Some(ImageState::Stored(_) | ImageState::Unavailable { .. }) | None => false,
        };
        let is_lost = is_known && !self.has_image(&record.image);
        if is_lost { Err(format!("there is no image {}", record.image.short())) } else { Ok(()) }
    }

    /// The events that make up `action`, or why it is impossible now.
    fn events_of(&self, action: &Action) -> Result<Vec<Event>, String> {
        match action {
            Action::EnsureNetwork { network, meanwhile, .. } => self.ensure_network(network, meanwhile.as_deref()),
            Action::DeleteNetwork { bridge, mac } => self.delete_network(bridge.clone(), *mac),
            Action::EnsureSegment { network, segment, .. } => self.ensure_segment(network, segment),
            Action::DeleteSegment(segment) => self.delete_segment((**segment).clone()),
            Action::SetRules(traffic) => self.set_rules((**traffic).clone()),
            Action::DeleteRules { fleet, network, .. } => Ok(delete_rules(fleet.clone(), network.clone())),
            Action::SetForwarding { family, followed } => Ok(set_forwarding(*family, followed.clone())),
            Action::RestoreForwarding(family) => Ok(restore_forwarding(*family)),
            Action::SetNeighbours { family, limits } => self.set_neighbours(*family, *limits),
            Action::RestoreNeighbours(family) => Ok(restore_neighbours(*family)),
            Action::FetchImage { digest, .. } => Ok(fetch(digest.clone())),
            Action::Create(record) => self.create((**record).clone()),
            Action::Configure(record) => self.configure((**record).clone()),
            Action::SetLimits(record) => self.set_limits((**record).clone()),
            Action::SetLinks(record) => self.set_links((**record).clone()),
            Action::SetMounts(record) => self.set_mounts((**record).clone()),
            Action::Start(name) => self.start(name.clone()),
            Action::Adopt(name) => self.adopt(name.clone()),
            Action::Stop { name, .. } => self.stop(name.clone()),
            Action::Delete(name) => self.delete(name.clone()),
            Action::DeleteVolume(name) => self.delete_volume(name.clone()),
        }
    }

    fn ensure_network(&self, network: &NetworkSpec, meanwhile: Option<&Traffic>) -> Result<Vec<Event>, String> {
        let name = network.bridge.clone();
        if self.host.links.get(&name).is_some_and(|link| link.mac != Some(network.mac)) {
            return Err(format!("`{name}` is not ours"));
        }
        let former =
            self.host.links.iter().find(|(_, link)| link.mac == Some(network.mac)).map(|(name, _)| name.clone());
        if let Some(former) = former.filter(|former| *former != name) {
            let (new, whole) = (name.clone(), build::bridge(network));
            let in_force = meanwhile.map_or(&self.host.firewall.chains, |traffic| &traffic.chains);
            let needed = [Some(&name), meanwhile.map(|_| &former)];
            if !needed.into_iter().flatten().all(|name| is_named(in_force, name)) {
                return Err(format!("`{former}` would be without packet rules before it is `{name}`, or after"));
            }
            let rules = meanwhile.map_or(Ok(Vec::new()), |traffic| self.set_rules(traffic.clone()))?;
            let renamed: [Event; 2] = [
                Box::new(move |world| {
                    let link = world.host.links.remove(&former).expect("it was there");
                    world.host.links.insert(name.clone(), link);
                    for port in world.host.links.values_mut().filter(|port| port.controller.as_ref() == Some(&former)) {
                        port.controller = Some(name.clone());
                    }
                }),
                Box::new(move |world| {
                    let loopback = world.host.links[&new].loopback;
                    world.host.links.insert(new, LinkState { loopback, ..whole });
                }),
            ];
            return Ok(rules.into_iter().chain(renamed).collect());
        }
        if let Some((other, _)) = network.subnets().find_map(|subnet| self.host.link_overlapping(subnet, &name)) {
            return Err(format!("`{other}` has an address of the subnet"));
        }
        let whole = build::bridge(network);
        let bare = LinkState { up: false, addresses: Vec::new(), ..whole.clone() };
        let other_name = name.clone();
        Ok(vec![
            Box::new(move |world| {
                world.host.links.entry(name).or_insert(bare);
            }),
            Box::new(move |world| drop(world.host.links.insert(other_name, whole))),
        ])
    }

    fn set_neighbours(&self, family: IpFamily, limits: NeighbourLimits) -> Result<Vec<Event>, String> {
        let now = self.host.neighbours.of(family).limits.ok_or("the table cannot be set here")?;
        if limits.is_below(now) {
            return Err("somebody else would miss what is there".to_owned());
        }
        Ok(vec![
            Box::new(move |world| {
                let table = world.host.neighbours.of_mut(family);
                table.restored = table.restored.or(table.limits);
            }),
            Box::new(move |world| world.host.neighbours.of_mut(family).limits = Some(limits)),
        ])
    }

    fn set_rules(&self, traffic: Traffic) -> Result<Vec<Event>, String> {
        if !self.host.links.contains_key(&traffic.bridge) {
            return Err(format!("`{}` is not there", traffic.bridge));
        }
        let (bridge, loopback, ports) = (traffic.bridge.clone(), traffic.loopback, traffic.ports.clone());
        Ok(vec![
            Box::new(move |world| {
                world.host.firewall.table = TableState::Ours;
                let owner = Some((traffic.fleet.as_str(), traffic.network.clone()));
                world.host.firewall.chains.retain(|name, _| Hook::owner_of(name) != owner);
                world.host.firewall.chains.extend(traffic.chains);
                if let (false, Some(bridge)) = (traffic.loopback, world.host.links.get_mut(&traffic.bridge)) {
                    bridge.loopback = false;
                }
            }),
            Box::new(move |world| {
                world.host.links.get_mut(&bridge).expect("it was there").loopback = loopback;
                for (port, mode) in ports {
                    if let Some(link) = world.host.links.get_mut(&port) {
                        link.port = mode;
                    }
                }
            }),
        ])
    }

    fn delete_network(&self, bridge: String, mac: MacAddress) -> Result<Vec<Event>, String> {
        let Some(link) = self.host.links.get(&bridge) else { return Ok(Vec::new()) };
        if link.mac != Some(mac) || link.kind != LinkKind::Bridge {
            return Err(format!("`{bridge}` is not ours"));
        }
        let mut staying = self.in_force.values().filter(|record| !self.doomed.contains(&record.spec.name));
        if staying.any(|record| record.spec.links.iter().any(|link| link.parent == bridge)) {
            return Err(format!("`{bridge}` has ports"));
        }
        Ok(vec![Box::new(move |world| drop(world.host.links.remove(&bridge)))])
    }

    fn ensure_segment(&self, network: &NetworkSpec, segment: &Segment) -> Result<Vec<Event>, String> {
        if self.host.links.get(&network.bridge).is_none_or(|link| link.mac != Some(network.mac)) {
            return Err(format!("`{}` is not there", network.bridge));
        }
        let whole = build::segment(network, segment);
        if let Some((name, _)) = whole.iter().find(|(name, link)| self.is_another(name, link)) {
            return Err(format!("`{name}` is not ours"));
        }
        let bridge = segment.bridge.clone();
        let bare = LinkState { up: false, ..whole[&bridge].clone() };
        Ok(vec![
            Box::new(move |world| {
                world.host.links.entry(bridge).or_insert(bare);
            }),
            Box::new(move |world| world.host.links.extend(whole)),
        ])
    }

    fn is_another(&self, name: &str, link: &LinkState) -> bool {
        self.host.links.get(name).is_some_and(|found| (found.kind, found.mac) != (link.kind, link.mac))
    }

    fn delete_segment(&self, segment: Segment) -> Result<Vec<Event>, String> {
        let mut staying = self.in_force.values().filter(|record| !self.doomed.contains(&record.spec.name));
        if staying.any(|record| record.spec.links.iter().any(|link| link.parent == segment.bridge)) {
            return Err(format!("`{}` has ports", segment.bridge));
        }
        let Segment { bridge, inner, outer, .. } = segment;
        Ok(vec![
            Box::new(move |world| world.host.links.retain(|name, _| *name != inner.name && *name != outer.name)),
            Box::new(move |world| drop(world.host.links.remove(&bridge))),
        ])
    }

    fn create(&self, record: ContainerRecord) -> Result<Vec<Event>, String> {
        let name = record.spec.name.clone();
        if self.host.containers.contains_key(&name) {
            return Err(format!("`{name}` exists"));
        }
        if !self.has_image(&record.image) {
            return Err(format!("there is no image {}", record.image.short()));
        }
        let taken = self.host.containers.keys().filter_map(|other| self.record_of(other).ok());
        if taken.into_iter().any(|other| other.ids.base.abs_diff(record.ids.base) < ID_RANGE_LENGTH) {
            return Err(format!("the ids of `{name}` are taken"));
        }
        let written = (record.spec.guest.clone(), record.hosts.clone());
        let (first, second, third) = (name.clone(), name.clone(), name);
        Ok(vec![
            Box::new(move |world| {
                let run = RunState::Incomplete("its creation was interrupted".to_owned());
                let ownership = Ownership::Ours(Box::new(record));
                world
                    .host
                    .containers
                    .insert(first.clone(), ContainerState { name: first, ownership, run, last_exit: None });
            }),
            Box::new(move |world| drop(world.files.insert(second, written))),
            Box::new(move |world| world.set_run(&third, RunState::Stopped)),
        ])
    }

    fn configure(&self, record: ContainerRecord) -> Result<Vec<Event>, String> {
        let name = record.spec.name.clone();
        let before = self.record_of(&name)?;
        if (before.ids, &before.image) != (record.ids, &record.image) {
            return Err(format!("`{name}` cannot change its ids or its image in place"));
        }
        // The files of one that runs are reached by way of its own root.
        if self.run_of(&name) == Some(&RunState::Stopped) {
            self.check_image(&record)?;
        }
        let written = (record.spec.guest.clone(), record.hosts.clone());
        Ok(vec![
            Box::new(move |world| drop(world.files.insert(name, written))),
            Box::new(move |world| world.set_record(record)),
        ])
    }

    fn set_limits(&self, record: ContainerRecord) -> Result<Vec<Event>, String> {
        let name = record.spec.name.clone();
        self.record_of(&name)?;
        let set = move |world: &mut World, limits: Limits| {
            if let Some(RunState::Running(running)) = world.host.containers.get_mut(&name).map(|found| &mut found.run) {
                running.limits = limits;
            }
        };
        let limits = record.spec.limits.clone();
        Ok(vec![Box::new(move |world| set(world, limits)), Box::new(move |world| world.set_record(record))])
    }

    fn set_mounts(&self, record: ContainerRecord) -> Result<Vec<Event>, String> {
        let name = record.spec.name.clone();
        self.record_of(&name)?;
        let spec = record.spec.clone();
        let set = move |world: &mut World| {
            // One that is being started again gets them with its start.
            let Some(in_force) = world.in_force.get_mut(&name) else { return };
            in_force.spec.mounts.clone_from(&spec.mounts);
            world.host.volumes.extend(spec.mounts.iter().filter_map(volume_of).map(str::to_owned));
            if let Some(RunState::Running(running)) = world.host.containers.get_mut(&name).map(|found| &mut found.run) {
                running.mounts = build::mounts_in_place(&spec);
            }
        };
        Ok(vec![Box::new(move |world| world.set_record(record)), Box::new(set)])
    }

    fn set_links(&self, record: ContainerRecord) -> Result<Vec<Event>, String> {
        let name = record.spec.name.clone();
        let Some(RunState::Running(_)) = self.run_of(&name) else { return Err(format!("`{name}` does not run")) };
        self.check_ground(&record)?;
        let (spec, other) = (record.spec.clone(), record.spec);
        let note = move |world: &mut World| {
            if let Some(network) = world.network_of(&spec.name) {
                network.given.extend(spec.links);
            }
        };
        // The links one at a time, as they come.
        let set = move |world: &mut World| {
            let name = other.name.clone();
            let former = world.in_force.get(&name).map(|record| record.spec.links.clone()).unwrap_or_default();
            for link in former {
                world.host.links.remove(&link.host_name);
            }
            let ends = other.links.iter().map(|link| (link.host_name.clone(), build::host_end(link)));
            world.host.links.extend(ends);
            if let Some(in_force) = world.in_force.get_mut(&name) {
                in_force.spec.links.clone_from(&other.links);
            }
            if let Some(network) = world.network_of(&name) {
                let given = std::mem::take(&mut network.given);
                *network = build::network_in_place(&other).expect("it has one of its own");
                network.given = given;
            }
        };
        let links = record_links(&name);
        Ok(vec![Box::new(note), Box::new(set), links])
    }

    fn network_of(&mut self, name: &ContainerName) -> Option<&mut GuestNetwork> {
        match &mut self.host.containers.get_mut(name)?.run {
            RunState::Running(running) => running.network.as_mut(),
            RunState::Stopped | RunState::Restarting(_) | RunState::Incomplete(_) => None,
        }
    }

    /// Whether all is there that the links of `record` need.
    pub(crate) fn check_ground(&self, record: &ContainerRecord) -> Result<(), String> {
        let name = &record.spec.name;
        for link in &record.spec.links {
            if !self.host.links.get(&link.parent).is_some_and(|bridge| bridge.up) {
                return Err(format!("`{}` is not up", link.parent));
            }
            let owner = Some((record.fleet.as_str(), link.network.clone()));
            if !self.host.firewall.chains.keys().any(|chain| Hook::owner_of(chain) == owner) {
                return Err(format!("`{name}` would run without packet rules"));
            }
            let Some(bridge) = self.own_bridge(&link.parent) else {
                return Err(format!("`{}` leads nowhere", link.parent));
            };
            if link.gateways().any(|gateway| !bridge.addresses.iter().any(|address| address.addr() == gateway)) {
                return Err(format!("a gateway of `{name}` is not there"));
            }
        }
        Ok(())
    }

    fn start(&self, name: ContainerName) -> Result<Vec<Event>, String> {
        if self.run_of(&name) != Some(&RunState::Stopped) {
            return Err(format!("`{name}` is not whole and stopped"));
        }
        let record = self.record_of(&name)?.clone();
        self.check_image(&record)?;
        self.check_ground(&record)?;
        for link in &record.spec.links {
            let used = self.in_force.values().flat_map(|other| &other.spec.links);
            let mut used = used.flat_map(LinkSpec::addresses).map(|address| address.addr());
            if used.any(|used| link.addresses().any(|address| address.addr() == used)) {
                return Err(format!("an address of `{name}` is in use"));
            }
        }
        let volumes: Vec<String> = record.spec.mounts.iter().filter_map(volume_of).map(str::to_owned).collect();
        Ok(vec![Box::new(move |world| {
            world.host.volumes.extend(volumes);
            let ends = record.spec.links.iter().map(|link| (link.host_name.clone(), build::host_end(link)));
            world.host.links.extend(ends);
            world.set_run(&name, RunState::Running(Box::new(build::running(&record.spec))));
            world.in_force.insert(name, record);
        })])
    }

    /// The network's own bridge that `bridge` leads to, or it itself: the names of a pair's ends differ in their second
    /// letter.
    fn own_bridge(&self, bridge: &str) -> Option<&LinkState> {
        let is_port = |(_, link): &(&String, &LinkState)| link.controller.as_deref() == Some(bridge);
        let inner = self.host.links.iter().filter(is_port).find(|(name, _)| name.starts_with("fi"));
        let Some((inner, _)) = inner else { return self.host.links.get(bridge) };
        self.host.links.get(self.host.links.get(&inner.replacen("fi", "fo", 1))?.controller.as_ref()?)
    }

    fn adopt(&self, name: ContainerName) -> Result<Vec<Event>, String> {
        let Some(RunState::Running(running)) = self.run_of(&name) else { return Err(format!("`{name}` does not run")) };
        if running.monitor != MonitorState::Dead {
            return Err(format!("`{name}` has a monitor"));
        }
        let adopted = Running { monitor: MonitorState::Alive(999), ..(**running).clone() };
        Ok(vec![Box::new(move |world| world.set_run(&name, RunState::Running(Box::new(adopted))))])
    }

    fn delete_volume(&self, name: String) -> Result<Vec<Event>, String> {
        // Volumes of other fleets have the same names and are others.
        let members = self.in_force.values().filter(|record| record.fleet == build::fleet_name("dev"));
        if members.flat_map(|record| &record.spec.mounts).any(|mount| volume_of(mount) == Some(&name)) {
            return Err(format!("the volume `{name}` is in use"));
        }
        Ok(vec![Box::new(move |world| {
            world.host.volumes.remove(&name);
        })])
    }

    fn stop(&self, name: ContainerName) -> Result<Vec<Event>, String> {
        self.record_of(&name)?;
        Ok(vec![Box::new(move |world| {
            for link in world.in_force.remove(&name).into_iter().flat_map(|record| record.spec.links) {
                world.host.links.remove(&link.host_name);
            }
            if let Some(RunState::Running(_) | RunState::Restarting(_)) = world.run_of(&name) {
                world.set_run(&name, RunState::Stopped);
            }
        })])
    }

    fn delete(&self, name: ContainerName) -> Result<Vec<Event>, String> {
        self.record_of(&name)?;
        if let Some(RunState::Running(_) | RunState::Restarting(_)) = self.run_of(&name) {
            return Err(format!("`{name}` runs"));
        }
        let other_name = name.clone();
        Ok(vec![
            Box::new(move |world| world.set_run(&name, RunState::Incomplete("half deleted".to_owned()))),
            Box::new(move |world| {
                world.host.containers.remove(&other_name);
                world.files.remove(&other_name);
            }),
        ])
    }
}

/// Whether rules of `chains` drop some of what comes from the bridge `name`.
fn is_named(chains: &Chains, name: &str) -> bool {
    let begins = Rule::new("").from_link(name).expressions;
    let mut rules = chains.values().flat_map(|chain| &chain.rules);
    rules.any(|rule| rule.expressions.last() == Some(&Expression::Drop) && rule.expressions.starts_with(&begins))
}

/// What the running container `name` has is what it was given.
fn record_links(name: &ContainerName) -> Event {
    let name = name.clone();
    Box::new(move |world| {
        let links = world.in_force.get(&name).map(|record| record.spec.links.clone()).unwrap_or_default();
        if let Some(network) = world.network_of(&name) {
            network.given = links;
        }
    })
}

/// A link that is no longer only followed as long as nothing is passed on is followed anyway.
fn set_forwarding(family: IpFamily, followed: Vec<String>) -> Vec<Event> {
    vec![
        Box::new(move |world| world.host.forwarding.of_mut(family).is_recorded = true),
        Box::new(move |world| {
            for (_, link) in world.host.links.iter_mut().filter(|(name, _)| followed.contains(name)) {
                link.follows_router = false;
            }
        }),
        Box::new(move |world| world.host.forwarding.of_mut(family).is_on = true),
    ]
}

fn restore_forwarding(family: IpFamily) -> Vec<Event> {
    vec![
        Box::new(move |world| world.host.forwarding.of_mut(family).is_on = false),
        Box::new(move |world| world.host.forwarding.of_mut(family).is_recorded = false),
    ]
}

/// A kill in the middle leaves a record of what is still so.
fn restore_neighbours(family: IpFamily) -> Vec<Event> {
    vec![
        Box::new(move |world| {
            let table = world.host.neighbours.of_mut(family);
            table.limits = table.restored.or(table.limits);
        }),
        Box::new(move |world| world.host.neighbours.of_mut(family).restored = None),
    ]
}

fn delete_rules(fleet: FleetName, network: NetworkName) -> Vec<Event> {
    vec![Box::new(move |world| {
        let owner = Some((fleet.as_str(), network));
        world.host.firewall.chains.retain(|name, _| Hook::owner_of(name) != owner);
        if world.host.firewall.chains.is_empty() {
            world.host.firewall.table = TableState::Absent;
        }
    })]
}

fn fetch(digest: ImageDigest) -> Vec<Event> {
    vec![Box::new(move |world| {
        for state in world.host.images.values_mut() {
            let is_it = match state {
                ImageState::Available(known) | ImageState::StandIn { digest: known, .. } => *known == digest,
                ImageState::Stored(_) | ImageState::Offered(_) | ImageState::Unavailable { .. } => false,
            };
            if is_it {
                *state = ImageState::Stored(digest.clone());
            }
        }
    })]
}

impl SimHost {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect(UNPOISONED)
    }

    /// Counts an event down; false once the kill has come.
    fn is_alive(&self) -> bool {
        let mut left = self.left.lock().expect(UNPOISONED);
        let alive = *left > 0;
        *left = left.saturating_sub(1);
        alive
    }
}

/// The containers that `plan` deletes and does not make again.
fn doomed(plan: &Plan) -> BTreeSet<ContainerName> {
    let mut doomed = BTreeSet::new();
    for step in &plan.steps {
        match &step.action {
            Action::Delete(name) => drop(doomed.insert(name.clone())),
            Action::Create(record) => drop(doomed.remove(&record.spec.name)),
            _ => {}
        }
    }
    doomed
}

/// The name of the volume that `mount` mounts, if it does.
fn volume_of(mount: &MountSpec) -> Option<&str> {
    match &mount.source {
        MountSource::Volume { name } => Some(name),
        MountSource::Bind { .. } | MountSource::Overlay { .. } | MountSource::Tmpfs { .. } => None,
    }
}

impl Perform for SimHost {
    async fn perform(&self, step: &Step, gate: Gate) -> Result<Vec<String>, StepFailure> {
        let failure = |why: String| StepFailure { chain: vec![format!("cannot {}", step.id), why], hint: None };
        let events = self.world().events_of(&step.action).map_err(failure)?;
        if let Action::Start(_) = step.action {
            gate.pass().await;
        }
        for event in events {
            // Other steps get between any two events, as on a real host.
            tokio::task::yield_now().await;
            if !self.is_alive() {
                return Err(failure("killed".to_owned()));
            }
            event(&mut self.world());
        }
        Ok(Vec::new())
    }
}
