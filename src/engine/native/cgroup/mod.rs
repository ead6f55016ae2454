//! Cgroups of v1, of v2, and of hosts with both (cgroups(7)).
//!
//! Start at [`Hierarchies::detect`], then [`Group`]. One container has one directory in *every* hierarchy of the
//! host, even where it has no limit: in a hierarchy without an own directory a guest would see the host's root group.
//!
//! ```text
//! v1: <hierarchy>/fleet/NAME      limits; owned by root, so out of the guest's reach
//!     <hierarchy>/fleet/.monitors
//! v2: <hierarchy>/fleet/NAME      limits; owned by root
//!     …/NAME/guest                the root that the guest sees; delegated to it
//!     …/NAME/guest/fleet.exec     commands run in the guest from outside: a group with controllers enabled for its
//!                                 children, as a guest's may be, takes no processes itself. Inside the guest's
//!                                 root, because only there may the guest move them on: logind does at every login
//!     …/NAME/exec                 the same, should the guest have made that unusable
//!     <hierarchy>/fleet/.monitors
//! ```
//!
//! `fleet` is at the top of the hierarchy also where systemd is the host's init, as LXC's groups are: systemd neither
//! enters nor removes groups that it did not make (<https://systemd.io/CGROUP_DELEGATION>), and the kernel refuses to
//! take a controller from the top while a group below has it enabled for its children.

mod freezer;
mod group;
mod hierarchies;
mod io;
mod limits;
mod monitors;
mod tree;

pub(super) use group::{Group, groups_of};
pub(super) use hierarchies::{Hierarchies, to_keep_open};
