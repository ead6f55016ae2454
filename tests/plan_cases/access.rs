//! What containers may use, may do and see of the host is not as asked for.

use fleet::model::{
    Bytes, CapabilityChanges, ContainerSpec, Fleet, IoLimits, MountFault, MountIds, MountSource, MountSpec,
    ResourceLimit, Restart, Seccomp, Weight,
};

use super::containers::changed_while_stopped;
use super::{build, converged_host, one, planned, running};

/// The plan for a host that runs a container as made by `before`, when it is to be as made by `after`.
fn changed(before: impl FnOnce(&mut ContainerSpec), after: impl FnOnce(&mut ContainerSpec)) -> String {
    let (mut old, mut new) = (one(), one());
    before(&mut old.containers[0]);
    after(&mut new.containers[0]);
    planned(&new, &converged_host(&old))
}

fn data(ids: MountIds) -> MountSpec {
    let source = MountSource::Bind { path: "/host/data".into(), ids, recursive: false };
    MountSpec { source, target: "/srv/data".into(), read_only: false }
}

fn capabilities(add: &[&str], drop: &[&str]) -> CapabilityChanges {
    let set = |names: &[&str]| names.iter().map(|name| name.parse().expect("a capability")).collect();
    CapabilityChanges { add: set(add), drop: set(drop) }
}

#[test]
fn every_limit_changes_live() {
    let text = changed(
        |spec| spec.limits.io.write = Some(Bytes(1 << 20)),
        |spec| {
            spec.limits.memory_high = Some(Bytes(128 << 20));
            spec.limits.swap = Some(Bytes(0));
            spec.limits.cpu_weight = Weight::new(50);
            spec.limits.cpuset = "0-3,8".parse().ok();
            spec.limits.io_weight = Weight::new(200);
            spec.limits.io = IoLimits { read: Some(Bytes(50 << 20)), write_iops: Some(500), ..IoLimits::default() };
        },
    );
    insta::assert_snapshot!(text, @"+ limits:a  memory_high none → 128MiB, swap none → 0B, cpu_weight none → 50, cpuset none → 0-3,8, io_weight none → 200, io read none → 50MiB, io write 1MiB → none, io write_iops none → 500  (Live)");
}

#[test]
fn every_limit_that_was_changed_on_the_host_is_set_again() {
    let mut host = converged_host(&one());
    let limits = &mut running(&mut host, "a").limits;
    limits.swap = Some(Bytes(1 << 20));
    limits.cpu_weight = Weight::new(10);
    limits.cpuset = "1".parse().ok();
    limits.io.read_iops = Some(7);
    insta::assert_snapshot!(planned(&one(), &host), @"+ limits:a  swap is 1MiB, not none (changed on the host), cpu_weight is 10, not none (changed on the host), cpuset is 1, not none (changed on the host), io read_iops is 7, not none (changed on the host)  (Live)");
}

#[test]
fn when_to_start_again_is_only_written_down() {
    insta::assert_snapshot!(changed(|_| (), |spec| spec.restart = Restart::OnFailure), @"+ configure:a  restart no → on-failure  (Live)");
}

#[test]
fn opt_ins_need_a_restart() {
    let text = changed(
        |spec| spec.security.rlimits = [("core".parse().expect("one"), ResourceLimit::default())].into(),
        |spec| {
            spec.security.privileged = true;
            spec.security.nesting = true;
            spec.security.seccomp = Seccomp::Unconfined;
            spec.security.sysctls = [("net.ipv4.ip_forward".to_owned(), "1".to_owned())].into();
        },
    );
    insta::assert_snapshot!(text, @"
    + stop:a  privileged no → yes, nesting no → yes, seccomp default → unconfined, sysctls +net.ipv4.ip_forward, rlimits -core  (Restart)
    + configure:a  privileged no → yes, nesting no → yes, seccomp default → unconfined, sysctls +net.ipv4.ip_forward, rlimits -core  (Restart)  after [stop:a]
    + start:a  privileged no → yes, nesting no → yes, seccomp default → unconfined, sysctls +net.ipv4.ip_forward, rlimits -core  (Restart)  after [configure:a]
    ");
}

#[test]
fn capabilities_are_gained_and_lost_whichever_list_they_were_in() {
    let text = changed(
        |spec| spec.security.capabilities = capabilities(&["sys_time", "syslog"], &["kill", "chown"]),
        |spec| spec.security.capabilities = capabilities(&["sys_nice", "chown"], &["mknod", "syslog"]),
    );
    insta::assert_snapshot!(text, @"
    + stop:a  capabilities +chown +kill +sys_nice -sys_time -mknod -syslog  (Restart)
    + configure:a  capabilities +chown +kill +sys_nice -sys_time -mknod -syslog  (Restart)  after [stop:a]
    + start:a  capabilities +chown +kill +sys_nice -sys_time -mknod -syslog  (Restart)  after [configure:a]
    ");
}

#[test]
fn mounts_and_devices_are_named_as_in_the_file() {
    let text = changed(
        |spec| {
            spec.mounts = vec![data(MountIds::Host), build::volume("old", "/old")];
            spec.devices = vec![build::device("/dev/kvm")];
        },
        |spec| {
            spec.mounts = vec![data(MountIds::Owner), build::volume("cache", "/var/cache")];
            spec.devices = vec![build::device("/dev/fuse")];
        },
    );
    insta::assert_snapshot!(text, @"
    + stop:a  mounts +cache:/var/cache -old:/old ~/host/data:/srv/data, devices +/dev/fuse -/dev/kvm  (Restart)
    + configure:a  mounts +cache:/var/cache -old:/old ~/host/data:/srv/data, devices +/dev/fuse -/dev/kvm  (Restart)  after [stop:a]
    + mounts:a  mounts +cache:/var/cache -old:/old ~/host/data:/srv/data, devices +/dev/fuse -/dev/kvm  (Restart)  after [configure:a]
    + start:a  mounts +cache:/var/cache -old:/old ~/host/data:/srv/data, devices +/dev/fuse -/dev/kvm  (Restart)  after [mounts:a]
    ");
}

#[test]
fn mounts_change_live_in_another_order_too() {
    let volumes = |names: [&str; 2]| names.map(|name| build::volume(name, &format!("/{name}"))).to_vec();
    let text = changed(|spec| spec.mounts = volumes(["a", "b"]), |spec| spec.mounts = volumes(["b", "a"]));
    insta::assert_snapshot!(text, @"+ mounts:a  mounts in another order  (Live)");
    let text = changed(|_| (), |spec| spec.mounts = volumes(["a", "b"]));
    insta::assert_snapshot!(text, @"+ mounts:a  mounts +a:/a +b:/b  (Live)");
    let text = changed_while_stopped(|spec| spec.mounts = volumes(["a", "b"]));
    insta::assert_snapshot!(text, @"
    + mounts:a  mounts +a:/a +b:/b
    + start:a  it is stopped  after [mounts:a]
    ");
}

#[test]
fn mounts_that_were_changed_by_hand_are_mended() {
    let mut fleet = one();
    fleet.containers[0].mounts =
        ["a", "b", "c", "d", "e"].map(|name| build::volume(name, &format!("/{name}"))).to_vec();
    let mut host = converged_host(&fleet);
    let mounts = &mut running(&mut host, "a").mounts;
    let now = "ro,relatime".to_owned();
    for (mount, fault) in mounts.iter_mut().zip([
        MountFault::Absent,
        MountFault::Covered,
        MountFault::Altered { now },
        MountFault::Replaced,
    ]) {
        mount.fault = Some(fault);
    }
    mounts[4].spec = build::volume("former", "/former");
    insta::assert_snapshot!(planned(&fleet, &host), @"+ mounts:a  mount a:/a is not mounted, mount b:/b is covered by another mount, mount c:/c is mounted as `ro,relatime`, mount d:/d was replaced on the host, mount e:/e is missing, mount former:/former is left over  (Live)");
}

#[test]
fn a_creation_says_what_weakens_isolation() {
    let mut fleet = one();
    let spec = &mut fleet.containers[0];
    spec.security.privileged = true;
    spec.security.nesting = true;
    spec.security.seccomp = Seccomp::Unconfined;
    spec.security.capabilities = capabilities(&["sys_time"], &["kill"]);
    spec.devices = vec![build::device("/dev/kvm")];
    insta::assert_snapshot!(planned(&fleet, &build::bare_host()), @r"
    + network:fleet0  bridge is absent
    + rules:fleet0  packet rules are missing  after [network:fleet0]
    + forwarding:net.ipv4.ip_forward  0 → 1: containers reach other hosts  after [rules:fleet0]
    + create:a  it does not exist, privileged: its root is the host's, nesting: more of the kernel is within its reach, capability sys_time, seccomp: no system call is refused, device /dev/kvm
    + start:a  it is new  after [network:fleet0, rules:fleet0, forwarding:net.ipv4.ip_forward, create:a]
    ");
}

#[test]
fn volumes_go_with_the_fleet_after_all_that_used_them() {
    let mut fleet = one();
    fleet.containers[0].mounts = vec![build::volume("db", "/srv")];
    let mut host = converged_host(&fleet);
    host.volumes = ["db".to_owned(), "former".to_owned()].into();
    insta::assert_snapshot!(planned(&fleet, &host), @"nothing to do");
    insta::assert_snapshot!(planned(&fleet.emptied(), &host), @r"
    + stop:a  the fleet is destroyed  (Destroy)
    + delete:a  the fleet is destroyed  (Destroy)  after [stop:a]
    + delete-volume:db  the fleet is destroyed  (Destroy)  after [stop:a, delete:a]
    + delete-volume:former  the fleet is destroyed  (Destroy)  after [stop:a, delete:a]
    + delete-rules:fleet0  fleet `dev` has no containers  after [stop:a, delete:a]
    + restore-forwarding:net.ipv4.ip_forward  1 → 0: the last fleet goes  after [stop:a, delete:a, delete-rules:fleet0]
    + delete-network:fleet0  fleet `dev` has no containers
    ");
    let kept = Fleet { keeps_volumes: true, ..fleet.emptied() };
    insta::assert_snapshot!(planned(&kept, &host), @r"
    + stop:a  the fleet is destroyed  (Destroy)
    + delete:a  the fleet is destroyed  (Destroy)  after [stop:a]
    + delete-rules:fleet0  fleet `dev` has no containers  after [stop:a, delete:a]
    + restore-forwarding:net.ipv4.ip_forward  1 → 0: the last fleet goes  after [stop:a, delete:a, delete-rules:fleet0]
    + delete-network:fleet0  fleet `dev` has no containers
    ");
}
