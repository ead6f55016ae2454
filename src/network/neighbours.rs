//! How many neighbours the kernel's tables take (`Documentation/networking/ip-sysctl.rst`).

use std::fs;
use std::io;

use super::Parameters;
use super::parameters::{path, read, write};
use crate::model::{IpFamily, NeighbourLimits};

/// The parameters of the table of `family` that stand for `limits`.
#[must_use]
pub fn neighbour_parameters(family: IpFamily, limits: NeighbourLimits) -> Parameters {
    let dir = family.neighbours().replace('.', "/");
    let of_one = |(name, value): (&str, u32)| (format!("{dir}/{name}"), value.to_string());
    NeighbourLimits::NAMES.into_iter().zip(limits.0).map(of_one).collect()
}

/// How many neighbours of `family` there can be. `None` where that cannot be seen or set, as in all network namespaces
/// but the kernel's first one.
pub fn read_neighbour_limits(family: IpFamily) -> io::Result<Option<NeighbourLimits>> {
    let mut found = [0; 3];
    for (found, (parameter, _)) in found.iter_mut().zip(neighbour_parameters(family, NeighbourLimits::USUAL)) {
        // To open it changes nothing, and fails where /proc/sys is mounted read-only.
        let opened = fs::OpenOptions::new().write(true).open(path(&parameter));
        match opened.and_then(|_| read(&parameter)) {
            Err(error) if is_kept_away(error.kind()) => return Ok(None),
            value => *found = value?.parse().map_err(io::Error::other)?,
        }
    }
    Ok(Some(NeighbourLimits(found)))
}

/// Whether an error of that kind tells of a parameter that is not there, or not for us.
fn is_kept_away(error: io::ErrorKind) -> bool {
    matches!(error, io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// Makes the table of `family` take as many as `limits` say.
pub fn set_neighbour_limits(family: IpFamily, limits: NeighbourLimits) -> io::Result<()> {
    neighbour_parameters(family, limits).iter().try_for_each(|(parameter, value)| write(parameter, value))
}

/// What `now` becomes when what was `set` of it, each value of a parameter, is again what was there `before`.
#[must_use]
pub fn restored_neighbour_limits(
    family: IpFamily,
    now: NeighbourLimits,
    before: &Parameters,
    set: &Parameters,
) -> NeighbourLimits {
    let mut restored = now;
    for (limit, parameter) in restored.0.iter_mut().zip(neighbour_parameters(family, now)) {
        let former = before.iter().find(|(name, _)| *name == parameter.0).and_then(|(_, value)| value.parse().ok());
        if let (Some(former), true) = (former, set.contains(&parameter)) {
            *limit = former;
        }
    }
    restored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_has_set_meanwhile_is_not_put_back() {
        let family = IpFamily::Ipv6;
        let before = neighbour_parameters(family, NeighbourLimits::USUAL);
        let set = [NeighbourLimits([256, 1024, 2048]), NeighbourLimits([512, 2048, 4096])];
        let set: Parameters = set.into_iter().flat_map(|limits| neighbour_parameters(family, limits)).collect();
        assert_eq!(set[0].0, "net/ipv6/neigh/default/gc_thresh1");
        let restored = |now| restored_neighbour_limits(family, NeighbourLimits(now), &before, &set).0;
        assert_eq!(restored([512, 2048, 4096]), NeighbourLimits::USUAL.0);
        // Killed between two of them.
        assert_eq!(restored([512, 1024, 2048]), NeighbourLimits::USUAL.0);
        assert_eq!(restored([0, 2048, 9999]), [0, 512, 9999]);
    }
}
