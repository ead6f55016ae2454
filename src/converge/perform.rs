//! Does the steps of a plan on the host.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::sync::{Arc, Mutex};

use crate::converge::host_network::HostNetwork;
use crate::converge::{Gate, Perform, forget};
use crate::engine::{Engine, EngineError};
use crate::guest::{HostKey, HostTables, Occasion, provision};
use crate::image::Images;
use crate::model::{Action, ContainerName, ContainerRecord, ContainerSpec, Fleet, FleetName, Plan, Step, StepFailure};
use crate::network;
use crate::store::{Layout, Volumes, write_atomic, write_volatile};

/// Does the steps of a plan with an engine, the image store, the network and the guest's files.
#[derive(Clone)]
pub struct HostPerformer {
    engine: Arc<dyn Engine>,
    images: Images,
    fleet: Arc<Fleet>,
    hosts: Arc<HostTables>,
    secret: Arc<[u8]>,
    host_keys: Arc<Mutex<BTreeMap<ContainerName, HostKey>>>,
    layout: Layout,
    volumes: Volumes,
    host: HostNetwork,
}

impl HostPerformer {
    /// A performer of plans for `fleet`. Makes the host's secret if there is none yet.
    pub fn new(
        layout: &Layout,
        engine: Arc<dyn Engine>,
        images: Images,
        fleet: &Fleet,
    ) -> Result<HostPerformer, StepFailure> {
        let secret = host_secret(layout).map_err(|error| StepFailure {
            chain: vec![format!("cannot read the host's secret `{}`", layout.secret().display()), error.to_string()],
            hint: None,
        })?;
        let (volumes, host) = (layout.volumes(&fleet.name), HostNetwork::new(layout));
        let (fleet, secret) = (Arc::new(fleet.clone()), secret.into());
        let hosts = Arc::new(HostTables::new(fleet.members.clone()));
        let host_keys = Arc::default();
        Ok(HostPerformer { engine, images, fleet, hosts, secret, host_keys, layout: layout.clone(), volumes, host })
    }

    /// What comes before all steps of `plan`: whatever they leave behind when they are killed can be logged in to. Nothing is
    /// written for those that only stop and delete, which a full disk must not keep from making room.
    pub fn begin(&self, plan: &Plan) -> Result<(), StepFailure> {
        if plan.steps.iter().any(|step| opens_image(&step.action)) {
            self.images.make_usable().map_err(|error| StepFailure::from_error(&error, error.hint()))?;
        }
        if plan.steps.iter().any(|step| makes_known(&step.action)) { self.publish_known_hosts() } else { Ok(()) }
    }

    /// What is left to do when all steps of `plan` have ended: returns when what they did would outlive a power cut.
    pub fn settle(&self, plan: &Plan) -> Result<(), StepFailure> {
        if self.fleet.containers.is_empty() {
            forget(&self.layout, &self.fleet.name)?;
        } else if plan.steps.iter().any(|step| matches!(step.action, Action::Delete(_))) {
            self.publish_known_hosts()?;
        }
        self.engine.settle().map_err(|error| engine_failure(&error))
    }

    /// Writes the public host keys of the fleet's containers to its `known_hosts` (sshd(8)), so that ssh need not
    /// trust the first answer.
    fn publish_known_hosts(&self) -> Result<(), StepFailure> {
        let lines: String = self.fleet.containers.iter().map(|spec| self.known_host(spec)).collect();
        let path = self.layout.known_hosts(&self.fleet.name);
        if fs::read(&path).is_ok_and(|found| found == lines.as_bytes()) {
            return Ok(());
        }
        let made = fs::DirBuilder::new().recursive(true).mode(0o755).create(self.layout.fleet(&self.fleet.name));
        made.and_then(|()| write_volatile(&path, lines.as_bytes(), 0o644)).map_err(|error| StepFailure {
            chain: vec![format!("cannot write `{}`", path.display()), error.to_string()],
            hint: None,
        })
    }

    fn known_host(&self, spec: &ContainerSpec) -> String {
        let key = self.host_key(&self.fleet.name, &spec.name);
        let key: Vec<&str> = key.public.split_ascii_whitespace().take(2).collect();
        let addresses = spec.addresses().map(|address| address.to_string());
        let names: Vec<String> =
            [spec.name.to_string(), spec.guest.hostname.clone()].into_iter().chain(addresses).collect();
        format!("{} {}\n", names.join(","), key.join(" "))
    }

    /// Makes the container and sets its guest up; it appears when all of it is there.
    fn create(&self, record: &ContainerRecord) -> Result<Vec<String>, StepFailure> {
        // What the plan could not know of an image that was not there.
        let lacks = self.images.startable(&record.image).and_then(|startable| startable.lacks(&record.spec.init));
        if let Some((lack, fix)) = lacks {
            let name = &record.spec.name;
            return Err(StepFailure {
                chain: vec![format!("cannot start anything in `{name}`: {lack}")],
                hint: Some(fix),
            });
        }
        self.engine.create(record).map_err(|error| engine_failure(&error))?;
        let warnings = self.provision(record, Occasion::FirstStart)?;
        self.engine.record(record).map_err(|error| engine_failure(&error))?;
        Ok(warnings)
    }

    fn configure(&self, record: &ContainerRecord) -> Result<Vec<String>, StepFailure> {
        let warnings = self.provision(record, Occasion::Change)?;
        self.engine.tell_links(record).map_err(|error| engine_failure(&error))?;
        self.engine.record(record).map_err(|error| engine_failure(&error))?;
        Ok(warnings)
    }

    fn provision(&self, record: &ContainerRecord, occasion: Occasion) -> Result<Vec<String>, StepFailure> {
        let key = self.host_key(&record.fleet, &record.spec.name);
        let (mut warnings, mut hint) = (Vec::new(), None);
        let done = self.engine.with_root(record, &mut |root| {
            let provisioned = provision(root, record, &self.hosts, &key, occasion);
            warnings = provisioned.inspect_err(|error| hint = error.hint())?;
            Ok(())
        });
        match done.map_err(|error| engine_failure(&error)) {
            Ok(()) => Ok(warnings),
            Err(failure) => Err(StepFailure { hint: failure.hint.or(hint), ..failure }),
        }
    }

    /// The host key of container `name`. Both its guest and the fleet's `known_hosts` ask for it.
    fn host_key(&self, fleet: &FleetName, name: &ContainerName) -> HostKey {
        let known = |keys: &Mutex<BTreeMap<_, HostKey>>| keys.lock().ok()?.get(name).cloned();
        known(&self.host_keys).unwrap_or_else(|| {
            let key = HostKey::derive(&self.secret, fleet.as_str(), name.as_str());
            let _ = self.host_keys.lock().map(|mut keys| keys.insert(name.clone(), key.clone()));
            key
        })
    }

    /// What blocks: files, mounts, processes.
    fn perform_blocking(&self, action: &Action) -> Result<Vec<String>, StepFailure> {
        let done =
            |result: Result<(), EngineError>| result.map(|()| Vec::new()).map_err(|error| engine_failure(&error));
        match action {
            Action::EnsureNetwork { .. }
            | Action::DeleteNetwork { .. }
            | Action::EnsureSegment { .. }
            | Action::DeleteSegment(_)
            | Action::Start(_)
            | Action::Adopt(_) => Ok(Vec::new()),
            Action::SetRules(traffic) => self.host.set_rules(traffic).map(|()| Vec::new()),
            Action::DeleteRules { fleet, network, bridge, has_heir } => {
                let bridge = Some(bridge.as_str()).filter(|_| !has_heir);
                self.host.delete_rules(fleet, network, bridge).map(|()| Vec::new())
            }
            Action::SetForwarding { family, followed } => {
                self.host.set_forwarding(*family, followed).map(|()| Vec::new())
            }
            Action::RestoreForwarding(family) => self.host.restore_forwarding(*family).map(|()| Vec::new()),
            Action::SetNeighbours { family, limits } => self.host.set_neighbours(*family, *limits).map(|()| Vec::new()),
            Action::RestoreNeighbours(family) => self.host.restore_neighbours(*family).map(|()| Vec::new()),
            Action::FetchImage { source, digest, build } => match self.images.fetch(source, digest, build.as_deref()) {
                Ok(()) => Ok(Vec::new()),
                Err(error) => Err(StepFailure::from_error(&error, error.hint())),
            },
            Action::Create(record) => self.create(record),
            Action::Configure(record) => self.configure(record),
            Action::SetLimits(record) => done(self.engine.set_limits(record).and_then(|()| self.engine.record(record))),
            Action::SetLinks(record) => done(self.engine.set_links(record)),
            // Recorded first: a mount that is asked for and not there is seen on the host.
            Action::SetMounts(record) => done(self.engine.record(record).and_then(|()| self.engine.set_mounts(record))),
            Action::Stop { name, timeout_s } => done(self.engine.stop(name, *timeout_s)),
            Action::Delete(name) => done(self.engine.delete(name)),
            Action::DeleteVolume(name) => self.volumes.delete(name).map(|()| Vec::new()).map_err(|error| StepFailure {
                chain: vec![
                    format!("cannot delete the volume `{name}` in `{}`", self.volumes.dir().display()),
                    error.to_string(),
                ],
                hint: None,
            }),
        }
    }
}

impl Perform for HostPerformer {
    async fn perform(&self, step: &Step, gate: Gate) -> Result<Vec<String>, StepFailure> {
        let failed = |error: network::NetworkError| StepFailure::from_error(&error, None);
        match &step.action {
            Action::EnsureNetwork { fleet, network, meanwhile } => {
                if let Some(traffic) = meanwhile.clone() {
                    let host = self.host.clone();
                    blocking(move || host.set_rules(&traffic)).await?;
                }
                network::ensure(fleet, network).await.map(|()| Vec::new()).map_err(failed)
            }
            Action::DeleteNetwork { bridge, mac } => {
                network::delete(bridge, *mac).await.map(|()| Vec::new()).map_err(failed)
            }
            Action::EnsureSegment { fleet, network, segment } => {
                network::ensure_segment(fleet, network, segment).await.map(|()| Vec::new()).map_err(failed)
            }
            Action::DeleteSegment(segment) => {
                network::delete_segment(segment).await.map(|()| Vec::new()).map_err(failed)
            }
            Action::Start(name) | Action::Adopt(name) => {
                let (performer, name) = (self.clone(), name.clone());
                let prepared =
                    blocking(move || performer.engine.prepare(&name).map_err(|error| engine_failure(&error)));
                let prepared = prepared.await?;
                gate.pass().await;
                blocking(move || prepared.start().map_err(|error| engine_failure(&error))).await.map(|()| Vec::new())
            }
            Action::SetRules(_)
            | Action::DeleteRules { .. }
            | Action::SetForwarding { .. }
            | Action::RestoreForwarding(_)
            | Action::SetNeighbours { .. }
            | Action::RestoreNeighbours(_)
            | Action::FetchImage { .. }
            | Action::Create(_)
            | Action::Configure(_)
            | Action::SetLimits(_)
            | Action::SetLinks(_)
            | Action::SetMounts(_)
            | Action::Stop { .. }
            | Action::Delete(_)
            | Action::DeleteVolume(_) => {
                let (performer, action) = (self.clone(), step.action.clone());
                blocking(move || performer.perform_blocking(&action)).await
            }
        }
    }
}

/// Whether `action` mounts what a container's root file system stands on. What a container stands on that is adopted is
/// mounted, and was usable on this kernel for that.
fn opens_image(action: &Action) -> bool {
    matches!(action, Action::Create(_) | Action::Configure(_) | Action::Start(_))
}

/// Whether by `action` a container is to be reached that was not, or by another name or address.
fn makes_known(action: &Action) -> bool {
    opens_image(action) || matches!(action, Action::SetLinks(_))
}

/// Does `work`, which blocks, beside the runtime's own threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepFailure> + Send + 'static,
) -> Result<T, StepFailure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(StepFailure { chain: vec!["the step panicked".to_owned(), error.to_string()], hint: None })
    })
}

fn engine_failure(error: &EngineError) -> StepFailure {
    StepFailure::from_error(error as &(dyn Error + 'static), error.hint().map(str::to_owned))
}

/// The host's secret: 32 random bytes, made once, readable by root alone.
fn host_secret(layout: &Layout) -> io::Result<Vec<u8>> {
    let path = layout.secret();
    match fs::read(&path) {
        Ok(secret) if secret.len() == 32 => return Ok(secret),
        Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "it does not have 32 bytes")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    fs::DirBuilder::new().recursive(true).mode(0o711).create(layout.state())?;
    let mut secret = [0; 32];
    let mut random = fs::OpenOptions::new().read(true).custom_flags(libc::O_CLOEXEC).open("/dev/urandom")?;
    io::Read::read_exact(&mut random, &mut secret)?;
    write_atomic(&path, &secret, 0o600)?;
    Ok(secret.to_vec())
}
