//! A fleet, as its file asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{
    Build, ContainerName, ContainerSpec, Distro, FleetName, ImageSource, LinkKind, LinkSpec, LinkState, Member,
    NetworkName, NetworkSpec, OuterNetwork, WebUrl, bridge_mac, bridge_mark,
};

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

/// Keys of image servers. What one of these servers says must be signed by its key, or nothing of it is used.
pub type SigningKeys = BTreeMap<WebUrl, SigningKey>;

/// The public keys of an image server, as `OpenPGP` has them: the whole key is what is trusted, and no name in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// The file that they were read from.
    pub file: PathBuf,
    /// Its content, in the binary form.
    pub keyring: Vec<u8>,
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
    /// Stands for the root that it is under ([`crate::store::Layout::scope`]).
    pub scope: String,
    /// Its networks, the default one first.
    pub networks: Vec<NetworkSpec>,
    /// The networks of its file that the host has without it.
    pub outer: Vec<OuterNetwork>,
    /// Its containers, in the order of the file, replicas in ascending order.
    pub containers: Vec<ContainerSpec>,
    /// Whether its volumes stay even if no container needs them: what a fleet file asks for always does.
    pub keeps_volumes: bool,
    /// What its containers are to each other, in the order of `containers`.
    pub members: Vec<Member>,
    /// The builds that its distributions are pinned to.
    pub pins: Vec<Build>,
    /// The keys by which image servers sign what they say, where that is asked for.
    pub signing_keys: SigningKeys,
    /// Which containers take each profile, in the order of `containers`.
    pub profiles: BTreeMap<String, Vec<ContainerName>>,
    /// Private keys of the host that let somebody in, by the line of `authorized_keys` that they answer.
    pub private_keys: BTreeMap<String, PathBuf>,
}

impl Fleet {
    /// The network `name`.
    #[must_use]
    pub fn network(&self, name: &NetworkName) -> Option<&NetworkSpec> {
        self.networks.iter().find(|network| network.name == *name)
    }

    /// The network whose bridge `link` is, if it is one of the fleet's: also one that the file names no more.
    #[must_use]
    pub fn network_of(&self, link: &LinkState) -> Option<NetworkName> {
        if link.kind != LinkKind::Bridge {
            return None;
        }
        if let Some(known) = self.networks.iter().find(|network| link.mac == Some(network.mac)) {
            return Some(known.name.clone());
        }
        let (_, name) = link.alias.as_ref()?.rsplit_once('/')?;
        let name: NetworkName = name.parse().ok()?;
        let is_marked = link.alias == Some(bridge_mark(&self.name, &name));
        (is_marked && link.mac == Some(bridge_mac(&self.scope, &self.name, &name))).then_some(name)
    }

    /// The link that the published ports of `spec` lead to: the first with an address on a network of the fleet's own.
    #[must_use]
    pub fn published_link<'s>(&self, spec: &'s ContainerSpec) -> Option<&'s LinkSpec> {
        spec.links.iter().find(|link| link.addresses().next().is_some() && self.network(&link.network).is_some())
    }

    /// The networks that some container has a link to.
    pub fn networks_in_use(&self) -> impl Iterator<Item = &NetworkSpec> {
        let used: BTreeSet<&NetworkName> =
            self.containers.iter().flat_map(|spec| &spec.links).map(|link| &link.network).collect();
        self.networks.iter().filter(move |network| used.contains(&network.name))
    }

    /// The distributions that its containers stand on, sorted.
    #[must_use]
    pub fn distros(&self) -> Vec<&Distro> {
        let distros = self.containers.iter().filter_map(|spec| match &spec.image {
            ImageSource::Distro(distro) => Some(distro),
            ImageSource::Busybox | ImageSource::File { .. } | ImageSource::Https { .. } | ImageSource::Bootstrap(_) => {
                None
            }
        });
        distros.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The build that `distro`, one of its own, is pinned to. A server is where a build comes from and not what it is: a pin
    /// holds when the file names another server, unless both are in use.
    #[must_use]
    pub fn pin(&self, distro: &Distro) -> Option<Build> {
        let exact = self.pins.iter().find(|build| build.is_of(distro));
        let moved = || self.pins.iter().find(|build| self.is_moved(&build.distro(), distro) && build.fits(distro));
        let build = exact.or_else(moved)?;
        Some(Build { server: distro.server.clone(), ..build.clone() })
    }

    /// Whether `old`, on another server, has become `new` of the fleet.
    #[must_use]
    pub fn is_moved(&self, old: &Distro, new: &Distro) -> bool {
        old.name == new.name && !self.distros().contains(&old)
    }

    /// The empty fleet of that name and those networks: what `destroy` converges to.
    #[must_use]
    pub fn emptied(&self) -> Fleet {
        Fleet {
            containers: Vec::new(),
            members: Vec::new(),
            profiles: BTreeMap::new(),
            keeps_volumes: false,
            ..self.clone()
        }
    }
}
