//! Changes the links of a running container, to those that it is to have, and mends what somebody has changed by hand.
//!
//! A link that is there stays, whatever is changed of it, and so do the connections over it. Addresses, routes and links
//! that fleet has not given are the guest's own and left alone. Started anew after a kill it finds what is left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::BorrowedFd;

use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::{LinkMessageBuilder, LinkUnspec};

use super::NetworkError;
use super::announce::{Sockets, announce};
use super::guest_link::{GuestPlace, connect_guest, remove_link};
use super::guest_links::read_one;
use super::guest_setup::{self, bring_up, ignoring, set};
use super::links::{read_links_named, read_links_without_addresses};
use super::namespace::within;
use super::parameters::write;
use super::socket::RouteSocket;
use crate::model::{GuestLink, GuestNetwork, LOOPBACK, LinkFault, LinkSpec, LinkState, LinkWay, PortMode, USUAL_MTU};

/// Gives the container whose network namespace is `namespace` the links `wanted`, and these those of the kernel parameters
/// `sysctls` that are about them. It was given `given`, of which nothing stays that is not wanted.
pub fn set_guest_links(
    namespace: BorrowedFd<'_>,
    given: &[LinkSpec],
    wanted: &[LinkSpec],
    sysctls: &BTreeMap<String, String>,
) -> Result<(), NetworkError> {
    let opened = RouteSocket::open().and_then(|host| Ok((host, RouteSocket::open_in(namespace)?)));
    let (host, guest) = opened.map_err(NetworkError::because("cannot open netlink sockets"))?;
    let (ends, seen) = (BTreeMap::new(), GuestNetwork { number: None, given: Vec::new(), links: Vec::new() });
    let mut change = Change { namespace, given, wanted, sysctls, host, guest, ends, seen, announced: BTreeSet::new() };
    change.look()?;
    change.remove()?;
    change.name()?;
    change.make()?;
    change.attach()?;
    change.set_up()?;
    change.set_routes()?;
    change.set_parameters()?;
    change.announce()
}

struct Change<'a> {
    namespace: BorrowedFd<'a>,
    given: &'a [LinkSpec],
    wanted: &'a [LinkSpec],
    sysctls: &'a BTreeMap<String, String>,
    host: RouteSocket,
    guest: RouteSocket,
    /// Links of the host, as far as they matter here.
    ends: BTreeMap<String, LinkState>,
    seen: GuestNetwork,
    /// The numbers of links that others are to be told of.
    announced: BTreeSet<u32>,
}

type Changed = Result<(), NetworkError>;

impl Change<'_> {
    /// Reads what is there by now.
    fn look(&mut self) -> Changed {
        self.seen.given = self.given.iter().chain(self.wanted).cloned().collect();
        self.seen.links =
            read_one(self.namespace).map_err(NetworkError::because("cannot read the links of the container"))?;
        let names = self.seen.given.iter().flat_map(|link| [&link.host_name, &link.parent]);
        let read = read_links_named(&mut self.host, names.map(String::as_str));
        self.ends = read.map_err(NetworkError::because("cannot read the host's links"))?;
        let is_known = |link: &&LinkSpec| link.way != LinkWay::Bridge || self.ends.contains_key(&link.host_name);
        // One may have another name by now. There may be very many, and some are other containers'.
        if !self.wanted.iter().all(|link| is_known(&link)) {
            let read = read_links_without_addresses(&mut self.host)
                .map_err(NetworkError::because("cannot read the host's links"))?;
            self.ends = read.into_values().collect();
            // Now that all of them have been looked at, it has one if any leads there.
            let number = self.host.number_of(self.namespace);
            self.seen.number =
                number.map_err(NetworkError::because("cannot read the number of the container's network namespace"))?;
        }
        Ok(())
    }

    fn find(&self, spec: &LinkSpec) -> Option<&GuestLink> {
        self.seen.find(spec, &self.ends)
    }

    /// Those that are wanted and there, each with what is there.
    fn found(&self) -> Vec<(LinkSpec, GuestLink)> {
        self.wanted.iter().filter_map(|spec| Some((spec.clone(), self.find(spec)?.clone()))).collect()
    }

    /// What was given of the link that is to be as `spec`.
    fn former(&self, spec: &LinkSpec) -> impl Iterator<Item = &LinkSpec> {
        self.given.iter().filter(|former| former.is_same_link(spec))
    }

    /// Removes those that cannot become any that is wanted.
    fn remove(&mut self) -> Changed {
        let unwanted = self.given.iter().filter(|former| !self.wanted.iter().any(|link| link.is_same_link(former)));
        let other = |link: &&LinkSpec| self.seen.faults(link, &self.ends).contains(&LinkFault::OtherWay);
        let gone: Vec<LinkSpec> = unwanted.chain(self.wanted.iter().filter(other)).cloned().collect();
        for spec in &gone {
            let Some(index) = self.find(spec).map(|link| link.index) else { continue };
            let message = LinkMessageBuilder::<LinkUnspec>::default().index(index).build();
            let removed = self.guest.request(RouteNetlinkMessage::DelLink(message), 0);
            ignoring(removed, &[libc::ENODEV])
                .map_err(NetworkError::because(format!("cannot remove the link `{}`", spec.name)))?;
        }
        if gone.is_empty() { Ok(()) } else { self.look() }
    }

    /// Gives those that are there their names. Those that trade names go by others meanwhile.
    fn name(&mut self) -> Changed {
        let found = self.found();
        let moved: Vec<_> = found.iter().filter(|(spec, link)| spec.name != link.name).collect();
        for (spec, link) in &moved {
            if let Some(own) = self.seen.links.iter().find(|other| other.name == spec.name)
                && !found.iter().any(|(_, ours)| ours.index == own.index)
            {
                return Err(taken(&spec.name));
            }
            if found.iter().any(|(_, other)| other.index != link.index && other.name == spec.name) {
                rename(&mut self.guest, link.index, &spec.host_name)?;
            }
        }
        for (spec, link) in &moved {
            rename(&mut self.guest, link.index, &spec.name)?;
        }
        if moved.is_empty() { Ok(()) } else { self.look() }
    }

    /// Makes those that are missing.
    fn make(&mut self) -> Changed {
        let missing: Vec<LinkSpec> = self.wanted.iter().filter(|spec| self.find(spec).is_none()).cloned().collect();
        for spec in &missing {
            // One end of a pair that has lost the other to a third namespace is nothing any more.
            if let Some(own) = self.seen.links.iter().find(|link| link.name == spec.name) {
                return Err(taken(&own.name));
            }
            if spec.way == LinkWay::Bridge {
                remove_link(&spec.host_name)
                    .map_err(NetworkError::because(format!("cannot remove `{}`", spec.host_name)))?;
            }
            connect_guest(spec, GuestPlace::Namespace(self.namespace))
                .map_err(NetworkError::because(format!("cannot make the link `{}` to `{}`", spec.name, spec.parent)))?;
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.look()?;
        self.name()
    }

    /// Sets the host's ends up: name, address, bridge.
    fn attach(&mut self) -> Changed {
        let mut has_changed = false;
        for (spec, link) in self.found() {
            let Some((name, end)) = self.seen.host_end(&link, &self.ends).filter(|_| spec.way == LinkWay::Bridge)
            else {
                continue;
            };
            let (name, end) = (name.clone(), end.clone());
            if name != spec.host_name {
                rename(&mut self.host, end.index, &spec.host_name)?;
                has_changed = true;
            }
            let operation = || format!("cannot make `{}` a port of `{}`", spec.host_name, spec.parent);
            let mut wanted = LinkMessageBuilder::<LinkUnspec>::default().index(end.index).up();
            let mac = spec.host_mac();
            let mtu = spec.mtu.filter(|mtu| *mtu > USUAL_MTU).unwrap_or(USUAL_MTU);
            let is_moved = end.controller.as_ref() != Some(&spec.parent);
            let has_mtu = spec.mtu.is_some() || self.former(&spec).any(|former| former.mtu.is_some());
            if is_moved {
                let parent = self.ends.get(&spec.parent).map(|parent| parent.index);
                let parent =
                    parent.ok_or(io::ErrorKind::NotFound.into()).map_err(NetworkError::because(operation()))?;
                wanted = wanted.controller(parent);
            }
            if end.mac != Some(mac) {
                wanted = wanted.address(mac.0.to_vec());
            }
            if has_mtu && end.mtu != mtu {
                wanted = wanted.mtu(mtu);
            }
            if !end.up || is_moved || end.mac != Some(mac) || has_mtu && end.mtu != mtu {
                set(&mut self.host, wanted.build()).map_err(NetworkError::because(operation()))?;
                has_changed = true;
            }
            if is_moved && spec.port != PortMode::default() {
                super::traffic::set_port_mode(&spec.host_name, spec.port)
                    .map_err(NetworkError::because(operation()))?;
            }
        }
        if has_changed { self.look() } else { Ok(()) }
    }

    /// Sets the guest's ends up, and what they have of addresses.
    fn set_up(&mut self) -> Changed {
        if !self.seen.has_loopback() {
            bring_up(&mut self.guest, LOOPBACK).map_err(NetworkError::because("cannot bring up the loopback"))?;
        }
        for (spec, link) in self.found() {
            let former: Vec<LinkSpec> = self.former(&spec).cloned().collect();
            let asked = LinkSpec { mtu: spec.mtu.or_else(|| self.former_mtu(&spec, &former)), ..spec.clone() };
            let guest = &mut self.guest;
            within(self.namespace, || guest_setup::set_up(guest, &asked, &link, &former))
                .map_err(NetworkError::because(format!("cannot set up the link `{}`", spec.name)))?;
            let has_moved = spec.own_mac().is_some_and(|mac| link.mac != Some(mac));
            if has_moved || spec.addresses().any(|address| !link.addresses.contains(&address)) {
                self.announced.insert(link.index);
            }
        }
        Ok(())
    }

    /// What is usual, for a link of which nothing is said any more.
    fn former_mtu(&self, spec: &LinkSpec, former: &[LinkSpec]) -> Option<u32> {
        former.iter().find(|former| former.mtu.is_some())?;
        match spec.way {
            LinkWay::Bridge => Some(USUAL_MTU),
            LinkWay::Macvlan(_) | LinkWay::Ipvlan(_) => self.ends.get(&spec.parent).map(|parent| parent.mtu),
        }
    }

    fn set_routes(&mut self) -> Changed {
        self.look()?;
        for (spec, link) in self.found() {
            let former: Vec<LinkSpec> = self.former(&spec).cloned().collect();
            guest_setup::set_routes(&mut self.guest, &spec, &link, &former)
                .map_err(NetworkError::because(format!("cannot set the default routes of `{}`", spec.name)))?;
        }
        Ok(())
    }

    /// Sets the parameters of links, which go with their link: one that has just been made has the kernel's own.
    fn set_parameters(&self) -> Changed {
        let is_about_ours = |name: &str| self.wanted.iter().any(|link| is_about(name, &link.name));
        for (name, value) in self.sysctls.iter().filter(|(name, _)| is_about_ours(name)) {
            let path = name.replace('.', "/");
            within(self.namespace, || write(&path, value))
                .map_err(NetworkError::because(format!("cannot set the kernel parameter `{name}` to `{value}`")))?;
        }
        Ok(())
    }

    fn announce(&mut self) -> Changed {
        for (spec, link) in self.found().into_iter().filter(|(_, link)| self.announced.contains(&link.index)) {
            let sockets = Sockets { namespace: self.namespace, host: &mut self.host, guest: &mut self.guest };
            announce(sockets, &spec, &link)
                .map_err(NetworkError::because(format!("cannot announce the link `{}`", spec.name)))?;
        }
        Ok(())
    }
}

/// Whether the kernel parameter `name` is about the link `link`, such as `net.ipv4.conf.eth0.rp_filter`.
fn is_about(name: &str, link: &str) -> bool {
    let words: Vec<&str> = name.split('.').collect();
    matches!(words[..], ["net", _, "conf" | "neigh", of, _, ..] if of == link)
}

fn taken(name: &str) -> NetworkError {
    NetworkError::because(format!("cannot call a link `{name}`"))(io::Error::new(
        io::ErrorKind::AlreadyExists,
        "the guest has one of its own of that name",
    ))
}

/// Renames the link `index`. Kernels before 6.2 take it only of one that is down: it is up again then, without its routes.
fn rename(socket: &mut RouteSocket, index: u32, name: &str) -> Changed {
    let link = || LinkMessageBuilder::<LinkUnspec>::default().index(index);
    let mut renamed = set(socket, link().name(name).build());
    if matches!(&renamed, Err(error) if error.raw_os_error() == Some(libc::EBUSY)) {
        renamed = set(socket, link().down().build()).and_then(|()| set(socket, link().name(name).up().build()));
    }
    renamed.map_err(NetworkError::because(format!("cannot rename a link to `{name}`")))
}
