//! The kernel's tables of neighbours, which the link-layer addresses of those nearby are kept in (arp(7)).
//!
//! There is one for each family, for the host and all containers together: a container that is spoken with takes an
//! entry of the host's and has one itself, and one for each other that it speaks with. Where all entries are in use the
//! next who is spoken to gets no answer.

use std::fmt::Write as _;

/// So many neighbours of each link of a container there is room for. A link has one at least, its gateway, which has it
/// as one in turn; hosts of many containers are usually given eight and more (LXD's production setup: 8192 for a
/// thousand).
const NEIGHBOURS_EACH: u32 = 32;

/// How many neighbours a table takes: above the first number, what is not used any more is dropped now and then; above
/// the second, at once; the third is the most there can be (`gc_thresh1` to `gc_thresh3`, ip-sysctl.rst).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeighbourLimits(pub [u32; 3]);

impl NeighbourLimits {
    /// Their names among the kernel's parameters.
    pub const NAMES: [&'static str; 3] = ["gc_thresh1", "gc_thresh2", "gc_thresh3"];

    /// What the kernel begins with.
    pub const USUAL: NeighbourLimits = NeighbourLimits([128, 512, 1024]);

    /// Those that there is room with for the neighbours of `links` links, in the kernel's own proportions. A power of two,
    /// so that most containers that come and go change nothing.
    #[must_use]
    pub fn for_links(links: usize) -> NeighbourLimits {
        let links = u32::try_from(links).unwrap_or(u32::MAX);
        // The kernel's parameters are signed.
        let most = links.saturating_mul(NEIGHBOURS_EACH).min(1 << 30).next_power_of_two();
        NeighbourLimits([most / 8, most / 2, most])
    }

    /// The most entries there can be.
    #[must_use]
    pub fn most(self) -> u32 {
        self.0[2]
    }

    /// Whether any number is less than that of `other`.
    #[must_use]
    pub fn is_below(self, other: NeighbourLimits) -> bool {
        self.0.iter().zip(other.0).any(|(own, other)| *own < other)
    }

    /// The greater of each number.
    #[must_use]
    pub fn raised_to(self, other: NeighbourLimits) -> NeighbourLimits {
        let [first, second, third] = [0, 1, 2].map(|place| self.0[place].max(other.0[place]));
        NeighbourLimits([first, second, third])
    }

    /// In what `after` differs, in words: `gc_thresh3 1024 → 4096`.
    #[must_use]
    pub fn difference(self, after: NeighbourLimits) -> String {
        let mut words = String::new();
        for ((name, before), after) in NeighbourLimits::NAMES.iter().zip(self.0).zip(after.0) {
            if before != after {
                let comma = if words.is_empty() { "" } else { ", " };
                let _ = write!(words, "{comma}{name} {before} → {after}");
            }
        }
        words
    }
}

/// A table, as observed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NeighbourTable {
    /// How many it takes. Nothing where that cannot be seen or set: the kernel has the parameters in its first network
    /// namespace alone.
    pub limits: Option<NeighbourLimits>,
    /// How many it will take when what fleet has changed of it is put back, if fleet has.
    pub restored: Option<NeighbourLimits>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_a_few_dozen_neighbours_each_in_steps_of_powers_of_two() {
        assert_eq!(NeighbourLimits::for_links(32), NeighbourLimits::USUAL);
        assert_eq!(NeighbourLimits::for_links(33), NeighbourLimits([256, 1024, 2048]));
        assert_eq!(NeighbourLimits::for_links(600), NeighbourLimits::for_links(1000));
        assert_eq!(NeighbourLimits::for_links(1100).most(), 65_536);
        assert_eq!(NeighbourLimits::for_links(usize::MAX).most(), 1 << 30);
    }

    #[test]
    fn a_difference_names_what_differs() {
        let (usual, other) = (NeighbourLimits::USUAL, NeighbourLimits([128, 1000, 2048]));
        assert_eq!(usual.difference(other), "gc_thresh2 512 → 1000, gc_thresh3 1024 → 2048");
        assert_eq!(usual.difference(usual), "");
        assert_eq!(NeighbourLimits([0, 8, 4]).raised_to(NeighbourLimits([1, 2, 4])), NeighbourLimits([1, 8, 4]));
    }
}
