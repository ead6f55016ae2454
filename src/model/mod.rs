//! The nouns: what a fleet file asks for, what a host has, and the plan between them.
//!
//! Start at [`Fleet`] (desired), [`Host`] (observed) and [`Plan`] (the difference). This room does no IO and
//! knows neither YAML nor an engine nor the kernel.

mod bootstrap;
mod command;
mod container;
mod distro;
mod ending;
mod entrypoint;
mod firewall;
mod fleet;
mod guest;
mod guest_link;
mod host;
mod identity;
mod ids;
mod image;
mod image_limits;
mod ip_family;
mod limits;
mod login;
mod mount;
mod name;
mod neighbours;
mod network;
mod outcome;
mod plan;
mod port;
mod registry;
mod rule;
mod security;
mod segment;
mod size;
mod traffic;
mod web_url;

pub use bootstrap::{Bootstrap, BootstrapError, Family, InitChoice};
pub use command::{GuestCommand, IdOrName, Program, TerminalUse, UserChoice, UserChoiceError};
pub use container::{
    ContainerRecord, ContainerSpec, ContainerState, Init, InitKind, MonitorState, Ownership, Restart, Restarting,
    RunState, Running,
};
pub use distro::{
    Build, BuildFile, BuildFiles, Distro, DistroName, DistroNameError, architecture, native_architecture,
};
pub use ending::{Ending, LastExit};
pub use entrypoint::{Entrypoint, StopSignal, StopSignalError};
pub use firewall::{Barrier, Chain, Chains, Firewall, Hook, Refusal, TableState};
pub use fleet::{EngineKind, Fleet, SigningKey, SigningKeys};
pub use guest::{GuestSpec, HostEntry, Member, UserSpec, host_table, hosts_digest};
pub use guest_link::{GuestLink, GuestNetwork, LOOPBACK, LinkFault};
pub use host::{Forwarding, Host, Ipv6Use, LinkKind, LinkState, overlap};
pub use identity::{MachineId, hex, stable_hash};
pub use ids::{ID_POOL, ID_RANGE_LENGTH, IdRange};
pub use image::{ImageDigest, ImageSource, ImageState, ParseImageError, Startable};
pub use image_limits::{ImageLimit, ImageLimits};
pub use ip_family::{IpFamily, PerFamily};
pub use limits::{CpuSet, IoLimits, Limits, Weight};
pub use login::{Login, UnquotablePath};
pub use mount::{DeviceSpec, MountFault, MountIds, MountSource, MountSpec, MountState};
pub use name::{ContainerName, FleetName, NameError, NetworkName};
pub use neighbours::{NeighbourLimits, NeighbourTable};
pub use network::{
    Destination, Egress, IpvlanMode, LinkSpec, LinkWay, MacAddress, MacvlanMode, NetworkSpec, NetworkState,
    OuterNetwork, PortMode, USUAL_MTU, bridge_mac, bridge_mark,
};
pub use outcome::{Event, ImageNews, Outcome, StepFailure, StepResult, Transfer};
pub use plan::{Action, Conflict, Consequence, Plan, Step, StepId};
pub use port::{Listener, PortForward};
pub use registry::RegistryNameError;
pub use rule::{BRIDGE_GROUP, Comparison, Connection, Expression, LONGEST_COMMENT, Meta, Payload, Protocol, Rule};
pub use security::{Capability, CapabilityChanges, Resource, ResourceLimit, Seccomp, SecuritySpec, UnknownWord};
pub use segment::{MEMBERS_PER_BRIDGE, MOST_SEGMENTS, PairEnd, Segment};
pub use size::{Bytes, Cpus, SizeError};
pub use traffic::{Traffic, port_comment};
pub use web_url::{WebUrl, WebUrlError, is_safe_to_fetch};
