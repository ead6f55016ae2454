//! What every process of a guest gives up before its program is executed, its first one and those run from outside.

use std::io;

use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use super::seccomp;
use crate::model::{Seccomp, SecuritySpec};
use crate::sys::{join_new_session_keyring, set_resource_limit};

/// Capabilities that an ordinary container has not: the guest's user namespace could use them on nothing of its own,
/// and their presence makes guests try (systemd mounts debugfs if it has `CAP_SYS_RAWIO`, and then is `degraded`).
/// A privileged container could change the host with them.
const DROPPED: CapabilitySet = CapabilitySet::SYS_MODULE
    .union(CapabilitySet::SYS_RAWIO)
    .union(CapabilitySet::SYS_TIME)
    .union(CapabilitySet::MAC_OVERRIDE)
    .union(CapabilitySet::MAC_ADMIN);

/// Sets the resource limits of the process `pid`, 0 being the caller, which its children inherit.
pub(super) fn limit_resources(security: &SecuritySpec, pid: u32) -> io::Result<()> {
    for (resource, limit) in &security.rlimits {
        set_resource_limit(pid, resource.number(), limit.soft, limit.hard).map_err(|error| {
            let cause = match error.kind() {
                io::ErrorKind::PermissionDenied => "fleet itself was started with less, and may not raise it: \
                    give it a higher hard limit or CAP_SYS_RESOURCE, or the container a lower one"
                    .to_owned(),
                _ => error.to_string(),
            };
            io::Error::new(error.kind(), format!("rlimit `{resource}`: {cause}"))
        })?;
    }
    Ok(())
}

/// Takes from the calling process, which is root of the guest, what no process of the guest may have. The last thing
/// before its program is executed but for what [`close_on_exec_from`](crate::sys::close_on_exec_from) does: the calls
/// that are left must be allowed.
pub(super) fn confine(security: &SecuritySpec) -> io::Result<()> {
    for number in dropped(security).iter() {
        remove_capability_from_bounding_set(number)?;
    }
    match join_new_session_keyring() {
        // A kernel built without keyrings has none to hide.
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {}
        other => other?,
    }
    match security.seccomp {
        Seccomp::Default => seccomp::filter().install(),
        Seccomp::Unconfined => Ok(()),
    }
}

fn dropped(security: &SecuritySpec) -> CapabilitySet {
    let set = |numbers: &mut dyn Iterator<Item = u8>| numbers.fold(0, |bits, number| bits | (1_u64 << number));
    let add = set(&mut security.capabilities.add.iter().map(|capability| capability.number()));
    let drop = set(&mut security.capabilities.drop.iter().map(|capability| capability.number()));
    CapabilitySet::from_bits_retain((DROPPED.bits() | drop) & !add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_added_to_and_taken_from_the_ordinary_ones() {
        let mut security = SecuritySpec::default();
        assert_eq!(dropped(&security), DROPPED);
        security.capabilities.add = ["sys_time".parse().expect("one")].into();
        security.capabilities.drop = ["net_raw".parse().expect("one")].into();
        let expected = (DROPPED - CapabilitySet::SYS_TIME) | CapabilitySet::NET_RAW;
        assert_eq!(dropped(&security), expected);
    }
}
