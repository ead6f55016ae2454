//! What runs containers, behind one small trait.
//!
//! Start at [`Engine`], then [`native`]. An engine never chooses names, addresses or ids, and knows neither the plan
//! nor another engine.

pub mod native;

use crate::model::{ContainerName, ContainerRecord, ContainerSpec, ContainerState, FleetName, ImageDigest};
use crate::sys::RootDir;

/// An operation of an engine that failed: what, on what, and why.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl EngineError {
    /// A failure of its own, `message` being operation and object in lower case.
    pub fn new(message: impl Into<String>) -> EngineError {
        EngineError { message: message.into(), hint: None, source: None }
    }

    /// A failure caused by `source`.
    pub fn because(
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> EngineError {
        EngineError { message: message.into(), hint: None, source: Some(source.into()) }
    }

    /// The same failure, with what the user can do.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<String>) -> EngineError {
        EngineError { hint: Some(hint.into()), ..self }
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

/// Something that a killed run left of a container and that cannot be cleared up.
#[derive(Debug)]
pub struct Leftover {
    /// The container.
    pub name: String,
    /// Its fleet, if its record still tells.
    pub fleet: Option<FleetName>,
    /// Why it cannot.
    pub error: EngineError,
}

/// Work on a container's root file system.
pub type WithRoot<'a> = dyn FnMut(&RootDir) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send + 'a;

/// A container that lacks nothing but that its init is executed. Dropped, it is taken down again.
pub trait Prepared: Send {
    /// Has the init executed; returns when it has been.
    fn start(self: Box<Self>) -> Result<(), EngineError>;
}

/// The verbs of a container. All block; all are idempotent: making what is there, stopping what stands and deleting
/// what is absent succeed. Calls for different containers may run at the same time.
pub trait Engine: Send + Sync {
    /// Reads back every container in fleet's directory, foreign ones too. Changes nothing.
    fn inspect(&self) -> Result<Vec<ContainerState>, EngineError>;

    /// The images that containers stand on, those too that another version of fleet recorded.
    fn images_in_use(&self) -> Result<Vec<ImageDigest>, EngineError>;

    /// What this host lacks to run `containers`: what is missing, and the fix. Empty on a capable host.
    fn lacks(&self, containers: &[ContainerSpec]) -> Vec<(String, String)>;

    /// Clears up what killed runs left and nobody owns, as far as it can be; returns what cannot. Called with the host's
    /// lock held, before observing.
    fn recover(&self) -> Result<Vec<Leftover>, EngineError>;

    /// Makes the container's directory with an empty writable layer over its image, which is in the store. It is no
    /// container, and nobody sees it, until [`Engine::record`] has been called.
    fn create(&self, record: &ContainerRecord) -> Result<(), EngineError>;

    /// Opens the container's root file system, of a stopped or a running container, and calls `work` on it once.
    fn with_root(&self, record: &ContainerRecord, work: &mut WithRoot<'_>) -> Result<(), EngineError>;

    /// Publishes `record` as what the container is; with it a created container appears.
    fn record(&self, record: &ContainerRecord) -> Result<(), EngineError>;

    /// Ends a series of calls: returns when what was created and recorded would outlive a power cut, and nothing is
    /// left of what was stopped.
    fn settle(&self) -> Result<(), EngineError>;

    /// Sets the limits of a running container; of a stopped one nothing.
    fn set_limits(&self, record: &ContainerRecord) -> Result<(), EngineError>;

    /// Mounts in a running container what its record, which is published, asks for, and unmounts what it does not; of
    /// a stopped one nothing.
    fn set_mounts(&self, record: &ContainerRecord) -> Result<(), EngineError>;

    /// Gives a running container the links that `record` asks for, and takes those away that were given before and are not
    /// among them; of a stopped one nothing. What is published still says what there was before.
    fn set_links(&self, record: &ContainerRecord) -> Result<(), EngineError>;

    /// Has the network manager of a running guest, if it has one, read anew what is written of its links, if those of
    /// `record` are others than those that are published.
    fn tell_links(&self, record: &ContainerRecord) -> Result<(), EngineError>;

    /// Prepares the start of a complete container: everything but the execution of its init. One that runs and has
    /// lost the process that looks after it gets another with the start.
    fn prepare(&self, name: &ContainerName) -> Result<Box<dyn Prepared>, EngineError>;

    /// Stops it: its init's own signal, and the kill after `timeout_s` seconds. Returns when nothing of it runs and
    /// its links, mounts and cgroups are gone.
    fn stop(&self, name: &ContainerName, timeout_s: u32) -> Result<(), EngineError>;

    /// Stops every process of a running container where it is; returns when all stand still. It counts as running.
    fn freeze(&self, name: &ContainerName) -> Result<(), EngineError>;

    /// Lets the processes of a running container go on.
    fn thaw(&self, name: &ContainerName) -> Result<(), EngineError>;

    /// Removes a container that is not running with all its data.
    fn delete(&self, name: &ContainerName) -> Result<(), EngineError>;
}
