//! What a fleet changes of the host's own network: its packet rules, whether it passes packets on, and how many neighbours
//! it can have.

use std::fmt::Display;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::{FleetName, IpFamily, NeighbourLimits, NetworkName, PerFamily, StepFailure, Traffic};
use crate::network;
use crate::store::{Changed, HostChanges, Layout};

/// Changes them, and puts them back.
#[derive(Debug, Clone)]
pub(super) struct HostNetwork {
    scope: String,
    /// Who replaces chains looks first at what others have: the last takes the table along.
    table: Arc<Mutex<()>>,
    changes: PerFamily<HostChanges>,
    neighbour_changes: PerFamily<HostChanges>,
}

impl HostNetwork {
    pub(super) fn new(layout: &Layout) -> HostNetwork {
        let changes = PerFamily::each(|family| layout.host_changes(family));
        let neighbour_changes = PerFamily::each(|family| layout.neighbour_changes(family));
        HostNetwork { scope: layout.scope(), table: Arc::default(), changes, neighbour_changes }
    }

    pub(super) fn set_rules(&self, traffic: &Traffic) -> Result<(), StepFailure> {
        let failed = failed(format!("cannot set the packet rules of fleet `{}`", traffic.fleet));
        let _turn = self.turn();
        network::set_traffic(&self.scope, traffic).map_err(failed)
    }

    pub(super) fn delete_rules(
        &self,
        fleet: &FleetName,
        network: &NetworkName,
        bridge: Option<&str>,
    ) -> Result<(), StepFailure> {
        let failed = failed(format!("cannot remove the packet rules of fleet `{fleet}`"));
        let _turn = self.turn();
        network::remove_traffic(&self.scope, fleet.as_str(), network, bridge).map_err(failed)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was there before is recorded first: a kill between the two leaves a record of what is still so. With packets
    /// passed on the kernel forgets at once what it has from routers but for the links that are `followed`, so these come
    /// before.
    pub(super) fn set_forwarding(&self, family: IpFamily, followed: &[String]) -> Result<(), StepFailure> {
        let changes = self.changes.of(family);
        let set = || {
            let mut before = match changes.load()? {
                Some(before) => before,
                None if network::forwards(family)? => return Ok(()),
                None => network::beside_forwarding(family)?,
            };
            for (parameter, value) in network::followed_routers(followed)? {
                if !before.iter().any(|(other, _)| *other == parameter) {
                    before.push((parameter, value));
                }
            }
            changes.save(before)?;
            network::go_on_following_routers(followed)?;
            network::set_forwarding(family, true, &Vec::new())
        };
        set().map_err(failed(format!("cannot have the host pass {family} packets on")))
    }

    /// What somebody has turned off meanwhile stays as it is.
    pub(super) fn restore_forwarding(&self, family: IpFamily) -> Result<(), StepFailure> {
        let changes = self.changes.of(family);
        let restore = || {
            if let Some(before) = changes.load()? {
                if network::forwards(family)? {
                    network::set_forwarding(family, false, &before)?;
                } else {
                    network::stop_following_routers(&before)?;
                }
            }
            changes.remove()
        };
        restore().map_err(failed(format!("cannot have the host no longer pass {family} packets on")))
    }

    /// As with forwarding, what was there before is recorded first, and with it what is about to be there.
    pub(super) fn set_neighbours(&self, family: IpFamily, limits: NeighbourLimits) -> Result<(), StepFailure> {
        let records = self.neighbour_changes.of(family);
        let set = || {
            let now = network::read_neighbour_limits(family)?.ok_or(io::ErrorKind::NotFound)?;
            let mut changed = records.load_all()?.unwrap_or_default();
            if changed.before.is_empty() {
                changed.before = network::neighbour_parameters(family, now);
            }
            for set in network::neighbour_parameters(family, limits) {
                if !changed.set.contains(&set) {
                    changed.set.push(set);
                }
            }
            records.save_all(changed)?;
            network::set_neighbour_limits(family, limits)
        };
        set().map_err(failed(format!("cannot make room for the host's {family} neighbours")))
    }

    /// What somebody has set meanwhile stays as it is.
    pub(super) fn restore_neighbours(&self, family: IpFamily) -> Result<(), StepFailure> {
        let changes = self.neighbour_changes.of(family);
        let restore = || {
            if let Some((Changed { before, set }, now)) =
                changes.load_all()?.zip(network::read_neighbour_limits(family)?)
            {
                let restored = network::restored_neighbour_limits(family, now, &before, &set);
                network::set_neighbour_limits(family, restored)?;
            }
            changes.remove()
        };
        restore().map_err(failed(format!("cannot give back the room for the host's {family} neighbours")))
    }
}

fn failed(operation: impl Display) -> impl FnOnce(io::Error) -> StepFailure {
    move |error| StepFailure { chain: vec![operation.to_string(), error.to_string()], hint: None }
}
