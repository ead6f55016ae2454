//! What the host must have, found out before anything is touched.

use std::fs;
use std::path::Path;

use rustix::mount::{FsOpenFlags, fsopen};

use super::cgroup::Hierarchies;
use super::foreign::can_run;
use crate::model::{ContainerSpec, IoLimits, Limits, LinkWay, native_architecture};
use crate::network::knows_way;
use crate::store::Layout;

/// The oldest kernel on which overlayfs takes layers with mapped ids.
const OLDEST_KERNEL: (u32, u32) = (5, 19);

/// The user namespace that the host begins with, which has a number of its own (`PROC_USER_INIT_INO` of
/// `linux/proc_ns.h`).
const FIRST_USER_NAMESPACE: &str = "user:[4026531837]";

/// A controller, the key of the fleet file that needs it, and whether limits make use of that key.
type Controller = (&'static str, &'static str, fn(&Limits) -> bool);

/// The controllers that limits are set with.
const CONTROLLERS: [Controller; 9] = [
    ("memory", "memory", |limits| limits.memory.is_some()),
    ("memory", "memory_high", |limits| limits.memory_high.is_some()),
    ("memory", "swap", |limits| limits.swap.is_some()),
    ("cpu", "cpus", |limits| limits.cpus.is_some()),
    ("cpu", "cpu_weight", |limits| limits.cpu_weight.is_some()),
    ("cpuset", "cpuset", |limits| limits.cpuset.is_some()),
    ("pids", "pids", |limits| limits.pids.is_some()),
    ("io", "io", |limits| limits.io != IoLimits::default()),
    ("io", "io_weight", |limits| limits.io_weight.is_some()),
];

/// The kinds of links that not every kernel has.
type Way = (&'static str, fn(&LinkWay) -> bool);
const WAYS: [Way; 2] =
    [("macvlan", |way| matches!(way, LinkWay::Macvlan(_))), ("ipvlan", |way| matches!(way, LinkWay::Ipvlan(_)))];

/// Where the parameters of IPv6 are, if the kernel has it.
const IPV6: &str = "/proc/sys/net/ipv6/conf";

/// What is missing to run `containers`, each with its fix.
pub(super) fn lacks(layout: &Layout, hierarchies: &Hierarchies, containers: &[ContainerSpec]) -> Vec<(String, String)> {
    let mut lacks = Vec::new();
    let mut lack = |what: String, fix: &str| lacks.push((what, fix.to_owned()));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if parse_release(&release).is_some_and(|version| version < OLDEST_KERNEL) {
        let what = format!("the kernel {} is older than 5.19: its overlayfs takes no idmapped layers", release.trim());
        lack(what, "boot a newer kernel");
    }
    if fs::read_link("/proc/self/ns/user").is_ok_and(|namespace| namespace != Path::new(FIRST_USER_NAMESPACE)) {
        lack(
            "the root of this container is not the host's: the kernel lets it map no ids of files on a disk".to_owned(),
            "where fleet made the container, give it `privileged: true` and `nesting: true`",
        );
    }
    if !Path::new("/proc/self/ns/user").exists() || read_number("/proc/sys/user/max_user_namespaces") == Some(0) {
        lack("user namespaces are switched off".to_owned(), "set the sysctl `user.max_user_namespaces`");
    }
    if fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).is_err() {
        lack("the kernel has no overlay file system".to_owned(), "load it with `modprobe overlay`");
    }
    for (controller, key, is_used) in CONTROLLERS {
        if containers.iter().any(|spec| is_used(&spec.limits)) && !hierarchies.can_limit(controller) {
            let what = format!("no cgroup controller `{controller}` is mounted, so `{key}` would have no effect");
            lack(what, "mount it, or enable it at boot (cgroup_enable=, systemd.unified_cgroup_hierarchy=)");
        }
    }
    let mut foreign: Vec<&str> = containers.iter().map(|spec| spec.arch.as_str()).collect();
    foreign.sort_unstable();
    foreign.dedup();
    for arch in foreign.into_iter().filter(|arch| !can_run(arch)) {
        let fix = format!(
            "install qemu-user-static, or another handler of binfmt_misc with the flag F, or choose `arch: {}`",
            native_architecture()
        );
        lack(format!("the kernel runs no programs for {arch}"), &fix);
    }
    for lacking in hierarchies.lacking_files(containers.iter().map(|spec| &spec.limits)) {
        lack(lacking.0, lacking.1);
    }
    for (kind, is_of_kind) in WAYS {
        let mut ways = containers.iter().flat_map(|spec| &spec.links).map(|link| link.way);
        if ways.find(is_of_kind).is_some_and(|way| !knows_way(way)) {
            lack(format!("the kernel has no {kind} links"), "use `type: bridge`, or boot a kernel that has them");
        }
    }
    let mut links = containers.iter().flat_map(|spec| &spec.links);
    if links.any(|link| link.address6.is_some()) && !Path::new(IPV6).exists() {
        lack("the kernel has no IPv6".to_owned(), "boot it without `ipv6.disable=1`, or leave `subnet6` out");
    }
    if let Some(dir) = nearest_existing(layout.containers())
        && let Some(kind) = unmappable(dir)
    {
        let what = format!("`{}` is on {kind}, which has no idmapped mounts", dir.display());
        lack(what, "use --root with a directory on ext4, xfs, btrfs or tmpfs");
    }
    lacks
}

/// Major and minor number at the beginning of a kernel release.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn read_number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn nearest_existing(path: &Path) -> Option<&Path> {
    path.ancestors().find(|dir| dir.is_dir())
}

/// File systems without idmapped mounts, by their magic number (statfs(2)). Whether any other has them shows when a
/// container starts: trying it takes a user namespace.
const UNMAPPABLE: [(i64, &str); 4] =
    [(0x794c_7630, "overlayfs"), (0x6969, "NFS"), (0x6573_5546, "FUSE"), (0x0102_1997, "9p")];

fn unmappable(dir: &Path) -> Option<&'static str> {
    let magic = rustix::fs::statfs(dir).ok()?.f_type;
    UNMAPPABLE.iter().find(|(number, _)| *number == magic).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_release_begins_with_two_numbers() {
        assert_eq!(parse_release("6.1.0-38-amd64\n"), Some((6, 1)));
        assert_eq!(parse_release("unknown"), None);
    }
}
