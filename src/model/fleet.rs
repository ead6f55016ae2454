//! A fleet, as its file asks for it.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ContainerSpec, FleetName, HostEntry, NetworkSpec};

/// What runs the containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// Built in.
    #[default]
    Native,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineKind::Native => f.pad("native"),
        }
    }
}

/// A fleet: everything its file says, checked and resolved. Nothing in it is invalid, and nothing is left to choose
/// but the id ranges, which depend on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// Its name.
    pub name: FleetName,
    /// The file it was read from.
    pub file: PathBuf,
    /// What runs it.
    pub engine: EngineKind,
    /// Its network.
    pub network: NetworkSpec,
    /// Its containers, in the order of the file, replicas in ascending order.
    pub containers: Vec<ContainerSpec>,
    /// Whether its volumes stay even if no container needs them: what a fleet file asks for always does.
    pub keeps_volumes: bool,
    /// The host table that all members get, in the order of `containers`.
    pub hosts: Vec<HostEntry>,
}

impl Fleet {
    /// The empty fleet of that name and network: what `destroy` converges to.
    #[must_use]
    pub fn emptied(&self) -> Fleet {
        Fleet { containers: Vec::new(), hosts: Vec::new(), keeps_volumes: false, ..self.clone() }
    }
}
