//! Where everything of fleet lies on a host.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{HostChanges, Volumes, discard_draft};
use crate::model::{ContainerName, FleetName, ImageDigest, IpFamily};

/// The paths of one installation: the host's own, or one under `--root DIR` that shares nothing with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: Option<PathBuf>,
    containers: PathBuf,
    state: PathBuf,
    run: PathBuf,
}

impl Layout {
    /// The layout under `root`; without one, that of the host: `/var/lib/lxc`, `/var/lib/fleet`, `/run/fleet`.
    #[must_use]
    pub fn new(root: Option<&Path>) -> Layout {
        match root {
            None => Layout {
                root: None,
                containers: "/var/lib/lxc".into(),
                state: "/var/lib/fleet".into(),
                run: "/run/fleet".into(),
            },
            Some(root) => Layout {
                root: Some(root.to_owned()),
                containers: root.join("lxc"),
                state: root.join("fleet"),
                run: root.join("run"),
            },
        }
    }

    /// The text that keeps names derived for this layout apart from those of another on the same host: empty for
    /// the host's own.
    #[must_use]
    pub fn scope(&self) -> String {
        self.root.as_ref().map(|root| root.display().to_string()).unwrap_or_default()
    }

    /// The directory that `--root` named.
    #[must_use]
    pub fn root(&self) -> Option<&Path> {
        self.root.as_deref()
    }

    /// The LXC path: one directory for each container.
    #[must_use]
    pub fn containers(&self) -> &Path {
        &self.containers
    }

    /// The directory of one container.
    #[must_use]
    pub fn container(&self, name: &ContainerName) -> PathBuf {
        self.containers.join(name.as_str())
    }

    /// What outlives a boot: images, the host's secret.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The image store.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.state.join("images")
    }

    /// One image of the store.
    #[must_use]
    pub fn image(&self, digest: &ImageDigest) -> PathBuf {
        self.images().join(&digest.0)
    }

    /// The layers of images that consist of several, one directory for each.
    #[must_use]
    pub fn layers(&self) -> PathBuf {
        self.state.join("layers")
    }

    /// The program that one image of the store is made for, if it names one.
    #[must_use]
    pub fn entrypoint(&self, digest: &ImageDigest) -> PathBuf {
        self.image(digest).join("entrypoint.json")
    }

    /// What is loaded from servers, until it is in the image store.
    #[must_use]
    pub fn downloads(&self) -> PathBuf {
        self.state.join("downloads")
    }

    /// What is kept for a fleet besides its containers, such as the host keys of its members.
    #[must_use]
    pub fn fleet(&self, name: &FleetName) -> PathBuf {
        self.state.join("fleets").join(name.as_str())
    }

    /// The public host keys of a fleet's containers (sshd(8), its file format).
    #[must_use]
    pub fn known_hosts(&self, fleet: &FleetName) -> PathBuf {
        self.fleet(fleet).join("known_hosts")
    }

    /// The volumes of a fleet.
    #[must_use]
    pub fn volumes(&self, fleet: &FleetName) -> Volumes {
        Volumes::new(self.state.join("volumes").join(fleet.as_str()))
    }

    /// What the host was like before it was made to pass packets of `family` on.
    #[must_use]
    pub fn host_changes(&self, family: IpFamily) -> HostChanges {
        HostChanges::new(self.state.join(match family {
            IpFamily::Ipv4 => "forwarding.json",
            IpFamily::Ipv6 => "forwarding6.json",
        }))
    }

    /// What the kernel's table of neighbours of `family` was like before it was given more room.
    #[must_use]
    pub fn neighbour_changes(&self, family: IpFamily) -> HostChanges {
        HostChanges::new(self.state.join(match family {
            IpFamily::Ipv4 => "neighbours.json",
            IpFamily::Ipv6 => "neighbours6.json",
        }))
    }

    /// Removes what killed writers left of all files but those of containers and images. One that cannot be removed does
    /// not keep the others; the first one's error is told. The caller holds the host's lock.
    pub fn discard_drafts(&self) -> io::Result<()> {
        let changes = IpFamily::ALL.map(|family| [self.host_changes(family), self.neighbour_changes(family)]);
        let mut outcome = discard_draft(&self.secret());
        for changes in changes.as_flattened() {
            outcome = outcome.and(discard_draft(changes.path()));
        }
        let fleets = match fs::read_dir(self.state.join("fleets")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return outcome,
            fleets => fleets?,
        };
        for fleet in fleets {
            if let Ok(name) = fleet?.file_name().to_string_lossy().parse() {
                outcome = outcome.and(discard_draft(&self.known_hosts(&name)));
            }
        }
        outcome
    }

    /// The secret that SSH host keys are derived from.
    #[must_use]
    pub fn secret(&self) -> PathBuf {
        self.state.join("secret")
    }

    /// What lives only while containers run.
    #[must_use]
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The lock that whoever changes the host holds.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.run.join("lock")
    }
}
