//! Host ids that belong to somebody else.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::model::{ID_POOL, IdRange};

/// The ids of others: those that users of the host may map (subuid(5), subgid(5)), and those that user namespaces have that
/// are none of ours, such as containers of another root or of another program. `own` are the ranges of our containers.
pub(super) fn foreign_ids(own: &[IdRange]) -> Vec<Range<u32>> {
    let mapped = mapped_ids().into_iter().map(|(first, last)| first..last);
    let is_ours = |ids: &Range<u32>| own.iter().any(|range| range.contains(ids));
    subordinate_ids().into_iter().chain(mapped.filter(|ids| !is_ours(ids))).collect()
}

fn subordinate_ids() -> Vec<Range<u32>> {
    ["/etc/subuid", "/etc/subgid"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|text| text.lines().filter_map(parse_subordinate).collect::<Vec<_>>())
        .collect()
}

/// One line: `name:first:count`.
fn parse_subordinate(line: &str) -> Option<Range<u32>> {
    let mut fields = line.trim().split(':').skip(1);
    let first: u32 = fields.next()?.parse().ok()?;
    let count: u32 = fields.next()?.parse().ok()?;
    Some(first..first.saturating_add(count))
}

/// What the maps of all user namespaces with a process say, each range once, as far as it is of the pool: first id, and the
/// one behind the last.
fn mapped_ids() -> BTreeSet<(u32, u32)> {
    let namespace_of = |process: &Path| fs::read_link(process.join("ns/user"));
    let Ok(processes) = fs::read_dir("/proc") else { return BTreeSet::new() };
    let processes = processes.flatten().map(|entry| entry.path());
    let processes =
        processes.filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit()));
    // The maps of fleet's own, which most processes have, are about the host.
    let mut known: HashSet<PathBuf> = namespace_of(Path::new("/proc/self")).into_iter().collect();
    processes
        // A process may have ended meanwhile.
        .filter(|process| namespace_of(process).is_ok_and(|namespace| known.insert(namespace)))
        .flat_map(|process| ["uid_map", "gid_map"].map(|map| process.join(map)))
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|text| text.lines().filter_map(parse_map).collect::<Vec<_>>())
        .filter(|(first, last)| *first < ID_POOL.end && ID_POOL.start < *last)
        .collect()
}

/// One line: the first id inside, the first outside, and how many (`user_namespaces(7)`). That of the host maps all ids to
/// themselves, and belongs to nobody.
fn parse_map(line: &str) -> Option<(u32, u32)> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let first: u32 = fields.next()?.parse().ok()?;
    let count: u32 = fields.next()?.parse().ok()?;
    (first > 0).then(|| (first, first.saturating_add(count)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_subuid_is_a_range() {
        assert_eq!(parse_subordinate("root:1000000:65536"), Some(1_000_000..1_065_536));
        assert_eq!(parse_subordinate("# none"), None);
    }

    #[test]
    fn a_line_of_a_map_is_a_range_unless_it_is_the_hosts() {
        assert_eq!(parse_map("         0 1879048192      65536"), Some((1_879_048_192, 1_879_113_728)));
        assert_eq!(parse_map("         0          0 4294967295"), None);
    }
}
