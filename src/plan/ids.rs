//! Id ranges for new containers: the same choice each time, as far as the host allows.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::model::{ContainerName, FleetName, Host, ID_RANGE_LENGTH, IdRange, Ownership, stable_hash};

/// The ranges that a plan may still give away.
pub(super) struct Pool {
    /// First ids of the ranges that containers have, of whatever fleet.
    taken: BTreeSet<u32>,
    foreign: Vec<Range<u32>>,
}

impl Pool {
    pub(super) fn new(host: &Host) -> Pool {
        let taken = host.containers.values().filter_map(|container| match &container.ownership {
            Ownership::Ours(record) => Some(record.ids.base),
            Ownership::Foreign => None,
        });
        Pool { taken: taken.collect(), foreign: host.foreign_ids.clone() }
    }

    /// Takes a range for a new container: the first free one from a slot derived from its name and root on, so that it is
    /// the same again after it was deleted, and another than that of its namesake under another root, who may be stopped
    /// and show nothing of his. `None` when none is left.
    pub(super) fn take(&mut self, scope: &str, fleet: &FleetName, container: &ContainerName) -> Option<IdRange> {
        let slots = IdRange::pool().len();
        let root = (!scope.is_empty()).then_some(scope);
        let parts: Vec<&str> = ["ids", fleet.as_str(), container.as_str()].into_iter().chain(root).collect();
        let hash = stable_hash(&parts);
        let (head, _) = hash.split_first_chunk().expect("a hash has 32 bytes");
        let first = usize::try_from(u64::from_le_bytes(*head) % slots as u64).expect("less than the slots");
        let range =
            IdRange::pool().skip(first).chain(IdRange::pool().take(first)).find(|range| self.is_free(*range))?;
        self.taken.insert(range.base);
        Some(range)
    }

    fn is_free(&self, range: IdRange) -> bool {
        // Ranges that a record has from elsewhere need not stand on a slot of the pool.
        let touching = range.base - (ID_RANGE_LENGTH - 1)..range.base + ID_RANGE_LENGTH;
        self.taken.range(touching).next().is_none() && !self.foreign.iter().any(|ids| range.overlaps(ids))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ID_POOL;

    fn take(pool: &mut Pool, container: &str) -> Option<u32> {
        let fleet = "dev".parse().expect("a name");
        pool.take("", &fleet, &container.parse().expect("a name")).map(|range| range.base)
    }

    #[test]
    fn a_container_gets_the_same_range_again() {
        let first = take(&mut Pool::new(&Host::default()), "a");
        assert_eq!(first, take(&mut Pool::new(&Host::default()), "a"));
        assert_ne!(first, take(&mut Pool::new(&Host::default()), "b"));
        let (fleet, container) = ("dev".parse().expect("a name"), "a".parse().expect("a name"));
        let under_root = Pool::new(&Host::default()).take("/srv/root", &fleet, &container).map(|range| range.base);
        assert_ne!(first, under_root);
    }

    #[test]
    fn a_range_that_is_taken_or_foreign_is_passed_over() {
        let mut pool = Pool::new(&Host::default());
        let first = take(&mut pool, "a").expect("the pool is free");
        assert_eq!(take(&mut pool, "a"), Some(first + ID_RANGE_LENGTH));

        let foreign = first + ID_RANGE_LENGTH - 1..first + ID_RANGE_LENGTH + 1;
        let mut pool = Pool::new(&Host { foreign_ids: vec![foreign], ..Host::default() });
        assert_eq!(take(&mut pool, "a"), Some(first + 2 * ID_RANGE_LENGTH));
    }

    #[test]
    fn probing_goes_round_to_the_one_that_is_left_and_then_ends() {
        let last = ID_POOL.start..ID_POOL.end - ID_RANGE_LENGTH;
        let mut pool = Pool::new(&Host { foreign_ids: vec![last], ..Host::default() });
        assert_eq!(take(&mut pool, "a"), Some(ID_POOL.end - ID_RANGE_LENGTH));
        assert_eq!(take(&mut pool, "b"), None);
    }
}
