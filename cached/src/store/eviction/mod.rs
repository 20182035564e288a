//! Which entry goes first when room is short. A policy keeps its order in links
//! inside the entries, so that it allocates nothing.

mod lru;
mod order;

use lru::Lru;
pub(crate) use order::Order;

use crate::clock::WallMs;

/// In place of a neighbour: there is none.
const NONE: u32 = u32::MAX;

/// In place of a strand's number: the entry is in no list.
pub(crate) const UNLINKED: u16 = u16::MAX;

/// In place of a strand's number: the entry is in the main list.
const IN_MAIN: u16 = u16::MAX - 1;

/// An entry's neighbours in its order of eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    newer: u32,
    older: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            newer: NONE,
            older: NONE,
        }
    }
}

/// What a policy sees of the entries, by number.
pub(crate) trait Linked {
    /// The links of one entry.
    fn links(&mut self, index: u32) -> &mut Links;

    /// In which list it is.
    fn strand(&mut self, index: u32) -> &mut u16;

    /// When it was last used.
    fn stamp(&self, index: u32) -> u64;
}

/// Gives out stamps of use, by which entries of different orders are compared.
///
/// A stamp is the wall clock in milliseconds with a count in its low bits: it
/// always grows within a shard, so the order there is exact, also when the clock
/// stands still or goes backwards; between shards it is as good as the clock.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    last: u64,
}

impl Stamps {
    /// Bits for the count: 65,536 uses of a shard in one millisecond are more than
    /// a core can do, and 48 bits of milliseconds last until the year 10889.
    const COUNT_BITS: u32 = 16;

    /// The stamp of a use that happens now.
    pub(crate) fn next(&mut self, now: WallMs) -> u64 {
        let clock = now.0.min(u64::MAX >> Self::COUNT_BITS) << Self::COUNT_BITS;
        self.last = clock.max(self.last.saturating_add(1));
        self.last
    }

    /// About when a stamp's use happened: Unix time in milliseconds.
    pub(crate) fn wall_ms(stamp: u64) -> u64 {
        stamp >> Self::COUNT_BITS
    }

    /// Uses from now on are newer than this stamp of another shard.
    pub(crate) fn pass(&mut self, stamp: u64) {
        self.last = self.last.max(stamp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_grow_whatever_the_clock_does() {
        let mut stamps = Stamps::default();
        let mut last = 0;
        for now in [5, 5, 4, 6, 0, 1_000, u64::MAX] {
            let stamp = stamps.next(WallMs(now));
            assert!(stamp > last, "at {now}");
            last = stamp;
        }
        assert!(stamps.next(WallMs(u64::MAX)) >= last);
    }
}
