//! The engine and the images of one installation: the means to look at the host.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use super::error::CliError;
use super::global::Session;
use crate::engine::native::{Launcher, NativeEngine};
use crate::engine::{Engine, EngineError, Leftover};
use crate::image::Images;
use crate::model::{EngineKind, Fleet, Host, StepFailure};
use crate::observe::{Reach, observe};
use crate::report::{self, Console};
use crate::store::{HostLock, Layout};

/// The engines and the images of one installation.
pub(super) struct Installation {
    /// Where everything lies.
    pub(super) layout: Layout,
    /// The image store.
    pub(super) images: Images,
    /// What killed runs left, as far as it could not be cleared up.
    pub(super) leftovers: Vec<Leftover>,
    native: Arc<NativeEngine>,
}

impl Installation {
    /// For verbs that only look.
    pub(super) fn read_only(layout: &Layout) -> Result<Installation, CliError> {
        Installation::new(layout, None, None)
    }

    /// For verbs that change the host, under `lock`. Without a `launcher` nothing can be started. Clears up what
    /// killed runs left, and warns of what cannot be: it may be no affair of this command.
    pub(super) fn writable(
        session: &Session,
        launcher: Option<Launcher>,
        lock: Arc<HostLock>,
    ) -> Result<Installation, CliError> {
        if let Err(error) = session.layout.discard_drafts() {
            let chain = vec!["cannot remove what a killed command left".to_owned(), error.to_string()];
            warn(session.console, &StepFailure { chain, hint: None });
        }
        let mut installation = Installation::new(&session.layout, launcher, Some(lock))?;
        installation.images = installation.images.within(session.image_limits);
        installation.leftovers = installation.recover()?;
        for Leftover { error, .. } in &installation.leftovers {
            warn(session.console, &StepFailure::from_error(error, error.hint().map(ToOwned::to_owned)));
        }
        Ok(installation)
    }

    fn new(layout: &Layout, launcher: Option<Launcher>, lock: Option<Arc<HostLock>>) -> Result<Installation, CliError> {
        let native = NativeEngine::new(layout.clone(), launcher, lock).map_err(|error| engine_failed(&error))?;
        let (images, leftovers) = (Images::new(layout.clone()), Vec::new());
        Ok(Installation { layout: layout.clone(), images, leftovers, native: Arc::new(native) })
    }

    /// Clears up what killed runs left; returns what cannot be.
    pub(super) fn recover(&self) -> Result<Vec<Leftover>, CliError> {
        self.native.recover().map_err(|error| engine_failed(&error))
    }

    /// The engine of that kind.
    pub(super) fn engine(&self, kind: EngineKind) -> Arc<dyn Engine> {
        match kind {
            EngineKind::Native => Arc::<NativeEngine>::clone(&self.native),
        }
    }

    /// Looks at the host, as far as `fleet` is concerned, and as far as `reach` says.
    pub(super) fn observe(&self, runtime: &Runtime, fleet: &Fleet, reach: Reach) -> Result<Host, CliError> {
        let engine = self.engine(fleet.engine);
        let observed = observe(fleet, engine.as_ref(), &self.images, &self.layout, reach);
        let host = runtime.block_on(observed);
        host.map_err(|error| engine_failed(&error))
    }
}

fn warn(console: Console, failure: &StepFailure) {
    console.error(|palette| report::failure("warning", failure, palette));
}

/// `error`, with its own hint.
pub(super) fn engine_failed(error: &EngineError) -> CliError {
    CliError::because(error, error.hint().map(ToOwned::to_owned))
}

/// The runtime that a command works in. The process has threads from here on.
pub(super) fn runtime() -> Result<Runtime, CliError> {
    // What takes long blocks, and is done by threads of its own: one for the rest is enough.
    let built = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    built.map_err(|source| CliError::io("cannot start the runtime's threads", &source))
}
