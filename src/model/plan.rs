//! The difference between a fleet and a host, as steps.

use std::fmt;

use serde::Serialize;

use super::{
    Build, ContainerName, ContainerRecord, FleetName, ImageDigest, ImageSource, IpFamily, MacAddress, NeighbourLimits,
    NetworkName, NetworkSpec, Segment, Traffic,
};

/// What it takes to make a host equal a fleet. Steps form a graph without cycles through [`Step::after`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The fleet it is for.
    pub fleet: FleetName,
    /// The steps, in an order in which each stands behind those it waits for.
    pub steps: Vec<Step>,
    /// What stands in the way. A plan with conflicts is shown, never run.
    pub conflicts: Vec<Conflict>,
    /// What the user should know of it. It keeps nothing from being done.
    pub notes: Vec<String>,
}

/// Names a step within its plan: `start:agent-1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct StepId(pub String);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing to do. It is so specific that doing it makes no choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Unique in the plan.
    pub id: StepId,
    /// What to do.
    pub action: Action,
    /// Why: a difference in words, such as `memory 256MiB → 512MiB`.
    pub reason: String,
    /// What it means for whoever uses the container.
    pub consequence: Consequence,
    /// Steps that must have succeeded before this one starts.
    pub after: Vec<StepId>,
}

/// The closed set of things a plan can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the bridge, or mend it when it is ours and broken.
    EnsureNetwork {
        /// The fleet.
        fleet: FleetName,
        /// Its network.
        network: Box<NetworkSpec>,
        /// Where the bridge is there under another name: what is asked of it until it has its rules, for both names.
        meanwhile: Option<Box<Traffic>>,
    },
    /// Remove the bridge.
    DeleteNetwork {
        /// Its name.
        bridge: String,
        /// What it is known by.
        mac: MacAddress,
    },
    /// Make a segment of a network, or mend it: its bridge, and the pair that joins it to the network's own.
    EnsureSegment {
        /// The fleet.
        fleet: FleetName,
        /// Its network.
        network: Box<NetworkSpec>,
        /// The segment.
        segment: Box<Segment>,
    },
    /// Remove a segment.
    DeleteSegment(Box<Segment>),
    /// Make the packet rules of a network those, and set up its bridge and its ports for them.
    SetRules(Box<Traffic>),
    /// Remove all packet rules of a network.
    DeleteRules {
        /// The fleet.
        fleet: FleetName,
        /// Its network.
        network: NetworkName,
        /// The network's bridge.
        bridge: String,
        /// Whether another network's has its name by then.
        has_heir: bool,
    },
    /// Have the host pass packets of a family on, having recorded what was there before.
    SetForwarding {
        /// The family.
        family: IpFamily,
        /// Links on which the host goes on listening to routers that advertise themselves.
        followed: Vec<String>,
    },
    /// Put back what was there before, if it is still as fleet set it.
    RestoreForwarding(IpFamily),
    /// Make room in the kernel's table of neighbours of a family, having recorded what was there before.
    SetNeighbours {
        /// The family.
        family: IpFamily,
        /// How many it is to take.
        limits: NeighbourLimits,
    },
    /// Put back what was there before, as far as it is still as fleet set it.
    RestoreNeighbours(IpFamily),
    /// Bring an image into the store and unpack it.
    FetchImage {
        /// From where.
        source: ImageSource,
        /// What it must turn out to be.
        digest: ImageDigest,
        /// The build that it is, if it is one of a distribution.
        build: Option<Box<Build>>,
    },
    /// Make the container's directory and root file system, and write the guest's files.
    Create(Box<ContainerRecord>),
    /// Write the guest's files anew, in a running container too, and record it.
    Configure(Box<ContainerRecord>),
    /// Set the limits of a container, in the kernel if it runs, and record it.
    SetLimits(Box<ContainerRecord>),
    /// Make, change and remove the links of a container, if it runs. What is recorded of them is for who configures it.
    SetLinks(Box<ContainerRecord>),
    /// Record the mounts of a container and, if it runs, mount and unmount what it takes.
    SetMounts(Box<ContainerRecord>),
    /// Start it; done when its init runs.
    Start(ContainerName),
    /// Give a running container whose monitor was killed another one.
    Adopt(ContainerName),
    /// Stop it: its init's own signal, and the kill when `timeout_s` seconds are over.
    Stop {
        /// Which.
        name: ContainerName,
        /// Seconds until the kill; 0 kills at once.
        timeout_s: u32,
    },
    /// Remove a stopped or incomplete container with all its data.
    Delete(ContainerName),
    /// Remove a volume of the fleet with all its data.
    DeleteVolume(String),
}

impl Action {
    /// The word for it: in step ids, in JSON, in progress lines.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Action::EnsureNetwork { .. } => "network",
            Action::DeleteNetwork { .. } => "delete-network",
            Action::EnsureSegment { .. } => "segment",
            Action::DeleteSegment(_) => "delete-segment",
            Action::SetRules(_) => "rules",
            Action::DeleteRules { .. } => "delete-rules",
            Action::SetForwarding { .. } => "forwarding",
            Action::RestoreForwarding(_) => "restore-forwarding",
            Action::SetNeighbours { .. } => "neighbours",
            Action::RestoreNeighbours(_) => "restore-neighbours",
            Action::FetchImage { .. } => "image",
            Action::Create(_) => "create",
            Action::Configure(_) => "configure",
            Action::SetLimits(_) => "limits",
            Action::SetLinks(_) => "links",
            Action::SetMounts(_) => "mounts",
            Action::Start(_) => "start",
            Action::Adopt(_) => "adopt",
            Action::Stop { .. } => "stop",
            Action::Delete(_) => "delete",
            Action::DeleteVolume(_) => "delete-volume",
        }
    }

    /// The thing it is done to: the name of a container, bridge, image, volume or parameter of the kernel.
    #[must_use]
    pub fn target(&self) -> String {
        match self {
            Action::EnsureNetwork { network, .. } => network.bridge.clone(),
            Action::EnsureSegment { segment, .. } | Action::DeleteSegment(segment) => segment.bridge.clone(),
            Action::SetRules(traffic) => traffic.bridge.clone(),
            Action::DeleteRules { bridge, .. } | Action::DeleteNetwork { bridge, .. } => bridge.clone(),
            Action::SetForwarding { family, .. } | Action::RestoreForwarding(family) => family.forwarding().to_owned(),
            Action::SetNeighbours { family, .. } | Action::RestoreNeighbours(family) => family.neighbours().to_owned(),
            Action::FetchImage { source, .. } => source.to_string(),
            Action::Create(record)
            | Action::Configure(record)
            | Action::SetLimits(record)
            | Action::SetLinks(record)
            | Action::SetMounts(record) => record.spec.name.to_string(),
            Action::Start(name) | Action::Adopt(name) | Action::Stop { name, .. } | Action::Delete(name) => {
                name.to_string()
            }
            Action::DeleteVolume(name) => name.clone(),
        }
    }
}

/// What a step means for whoever uses the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consequence {
    /// Nothing that runs or is stored is touched.
    None,
    /// A running container changes without a stop.
    Live,
    /// The container is down meanwhile.
    Restart,
    /// The root file system is replaced; what it held is lost, identity is kept.
    Rebuild,
    /// The container or volume goes for good with all its data.
    Destroy,
}

impl Consequence {
    /// Whether data is lost: such a step needs the user's yes.
    #[must_use]
    pub fn loses_data(&self) -> bool {
        match self {
            Consequence::None | Consequence::Live | Consequence::Restart => false,
            Consequence::Rebuild | Consequence::Destroy => true,
        }
    }
}

impl fmt::Display for Consequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Consequence::None => "",
            Consequence::Live => "live",
            Consequence::Restart => "restart: down meanwhile",
            Consequence::Rebuild => "rebuild: root filesystem replaced, identity kept",
            Consequence::Destroy => "destroy: all its data is lost",
        })
    }
}

/// Something on the host that the plan must not touch and cannot go round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The container, bridge or image it is about.
    pub target: String,
    /// What is in the way.
    pub message: String,
    /// What the user can do.
    pub hint: String,
}
