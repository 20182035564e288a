//! Which entry goes first when room is short. A policy keeps its order in links
//! inside the entries, so that it allocates nothing for each of them. What the store asks
//! of one is what [`Order`] answers: touch, remove, oldest, arrivals, and that an entry
//! has another handle or size.

mod ghost;
mod list;
mod lru;
mod order;
mod s3fifo;
#[cfg(test)]
mod testing;

pub(crate) use list::List;
pub(crate) use order::Order;

use super::arena::NONE;
use super::entry::STAMP_MAX;
use crate::clock::WallMs;

/// An entry's neighbours in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Links {
    pub(crate) newer: u32,
    pub(crate) older: u32,
}

/// Entries, by handle, as a list sees them.
pub(crate) trait Linked {
    /// The neighbours of one entry; what they are while it is in no list does not matter.
    fn links(&self, entry: u32) -> Links;

    /// Changes one neighbour.
    fn set_newer(&mut self, entry: u32, newer: u32);

    /// Changes the other.
    fn set_older(&mut self, entry: u32, older: u32);
}

/// Entries as an order sees them.
pub(crate) trait Ordered: Linked {
    /// In which list of its order it is, as the policy numbers them: 1 or 2; 0: in none.
    fn list(&self, entry: u32) -> u8;

    /// Notes in which it is.
    fn set_list(&mut self, entry: u32, list: u8);

    /// When it was last used. [`s3fifo`] keeps more in the lowest bits.
    fn stamp(&self, entry: u32) -> u64;

    /// Notes a use.
    fn set_stamp(&mut self, entry: u32, stamp: u64);

    /// What it costs, in bytes.
    fn charge(&self, entry: u32) -> u64;

    /// Whether it is in an order.
    fn is_linked(&self, entry: u32) -> bool {
        self.list(entry) != 0
    }

    /// Notes whether it is, where an order has one list only.
    fn set_linked(&mut self, entry: u32, is_linked: bool) {
        self.set_list(entry, u8::from(is_linked));
    }
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
    /// Bits for the count: 16,384 uses of a shard in one millisecond are more than
    /// a core can do, and 42 bits of milliseconds last until the year 2109. A stamp has
    /// 56 bits, because entries are many.
    const COUNT_BITS: u32 = 14;

    /// The stamp of a use that happens now.
    pub(crate) fn next(&mut self, now: WallMs) -> u64 {
        let clock = now.0.min(STAMP_MAX >> Self::COUNT_BITS) << Self::COUNT_BITS;
        self.last = clock.max(self.last + 1).min(STAMP_MAX);
        self.last
    }

    /// About when a stamp's use happened: Unix time in milliseconds.
    pub(crate) fn wall_ms(stamp: u64) -> u64 {
        stamp >> Self::COUNT_BITS
    }

    /// Uses from now on are newer than this stamp of another shard.
    pub(crate) fn pass(&mut self, stamp: u64) {
        self.last = self.last.max(stamp.min(STAMP_MAX));
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
        stamps.pass(u64::MAX);
        assert_eq!(stamps.next(WallMs(u64::MAX)), STAMP_MAX);
    }
}
