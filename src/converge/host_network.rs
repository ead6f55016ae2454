//! What a fleet changes of the host's own network: its packet rules, and whether it passes packets on.

use std::fmt::Display;
use std::io;

use crate::model::{FleetName, NetworkName, StepFailure, Traffic};
use crate::network;
use crate::store::{HostChanges, Layout};

/// Changes them, and puts them back.
#[derive(Debug, Clone)]
pub(super) struct HostNetwork {
    scope: String,
    changes: HostChanges,
}

impl HostNetwork {
    pub(super) fn new(layout: &Layout) -> HostNetwork {
        HostNetwork { scope: layout.scope(), changes: layout.host_changes() }
    }

    pub(super) fn set_rules(&self, traffic: &Traffic) -> Result<(), StepFailure> {
        let failed = failed(format!("cannot set the packet rules of fleet `{}`", traffic.fleet));
        network::set_traffic(&self.scope, traffic).map_err(failed)
    }

    pub(super) fn delete_rules(
        &self,
        fleet: &FleetName,
        network: &NetworkName,
        bridge: &str,
    ) -> Result<(), StepFailure> {
        let failed = failed(format!("cannot remove the packet rules of fleet `{fleet}`"));
        network::remove_traffic(&self.scope, fleet.as_str(), network, bridge).map_err(failed)
    }

    /// What was there before is recorded first: a kill between the two leaves a record of what is still so.
    pub(super) fn set_forwarding(&self) -> Result<(), StepFailure> {
        let failed = failed("cannot have the host pass packets on");
        let set = || {
            if network::forwards() {
                return Ok(());
            }
            if self.changes.load()?.is_none() {
                self.changes.save(network::beside_forwarding()?)?;
            }
            network::set_forwarding(true, &Vec::new())
        };
        set().map_err(failed)
    }

    /// What somebody has turned off meanwhile stays as it is.
    pub(super) fn restore_forwarding(&self) -> Result<(), StepFailure> {
        let restore = || {
            if let Some(before) = self.changes.load()?
                && network::forwards()
            {
                network::set_forwarding(false, &before)?;
            }
            self.changes.remove()
        };
        restore().map_err(failed("cannot have the host no longer pass packets on"))
    }
}

fn failed(operation: impl Display) -> impl FnOnce(io::Error) -> StepFailure {
    move |error| StepFailure { chain: vec![operation.to_string(), error.to_string()], hint: None }
}
