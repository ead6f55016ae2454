//! Homes that lie in what is mounted in the container, where not everything can be written.

use std::path::Path;

use super::accounts::Account;
use crate::model::{ContainerRecord, MountIds, MountSource, MountSpec};

/// Where a home lies.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// In the root file system.
    InRoot,
    /// In a volume or in an overlay of the container's.
    InOwn,
    /// In a directory of the host's.
    InHosts,
    /// In a mount where fleet writes nothing: a remark for the user.
    Closed(String),
}

impl Home {
    /// Where that of `account` lies in the container with `record`.
    pub(super) fn of(account: &Account, record: &ContainerRecord) -> Home {
        let is_around = |mount: &&MountSpec| account.home.starts_with(&mount.target);
        let innermost = record.spec.mounts.iter().filter(is_around).max_by_key(|mount| depth(&mount.target));
        let Some(mount) = innermost else { return Home::InRoot };
        match obstacle(mount, record.spec.security.privileged) {
            None if matches!(mount.source, MountSource::Bind { .. }) => Home::InHosts,
            None => Home::InOwn,
            Some(why) => {
                let name = &account.name;
                Home::Closed(format!("the home of `{name}` is in the mount `{mount}`, {why}: nothing is written there"))
            }
        }
    }
}

fn depth(path: &Path) -> usize {
    path.components().count()
}

/// What keeps files from being written that shall be the guest's, and stay.
fn obstacle(mount: &MountSpec, is_privileged: bool) -> Option<&'static str> {
    if mount.read_only {
        return Some("which is read-only");
    }
    match &mount.source {
        MountSource::Bind { ids: MountIds::Guest, .. } | MountSource::Volume { .. } | MountSource::Overlay { .. } => {
            None
        }
        MountSource::Bind { ids: MountIds::Host, .. } if is_privileged => None,
        MountSource::Bind { ids: MountIds::Host, .. } => {
            Some("whose files belong to the host's users (not `idmap=guest`)")
        }
        MountSource::Bind { ids: MountIds::Owner, .. } => Some("whose files have one owner (not `idmap=guest`)"),
        MountSource::Tmpfs { .. } => Some("which is empty at each start"),
    }
}
