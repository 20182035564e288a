//! S3-FIFO (Yang et al., SOSP 2023): new entries are on probation in a small queue, and
//! come into the main queue if they were used twice by its end; the main queue gives every
//! entry one more round for each use. Who failed probation is remembered by name, and
//! comes into the main queue at once if it comes back.
//!
//! The published small queue has a tenth of the bytes. Here that is the least: it grows
//! with everybody who comes back after probation, which was too short for him, and shrinks
//! with everybody who comes back after the main queue, as the lists of ARC do (Megiddo and
//! Modha, FAST 2003). Where a cache is much smaller than what is in use, that is a tenth
//! fewer misses; `docs/benchmarks.md` has the figures.
//!
//! The uses (up to three) stand in the lowest bits of an entry's stamp, and beside them
//! whether it is in the main queue. So they go with it to another node, where it begins
//! its queue anew, as entries arrive there from many nodes and no order holds over them.

use super::ghost::Ghost;
use super::{List, NONE, Ordered};

/// The lists by number.
const SMALL: u8 = 1;
const MAIN: u8 = 2;

/// Bits of a stamp: the uses, and whether the entry is in the main queue.
const USES: u64 = 0b11;
const IN_MAIN: u64 = 0b100;
const BITS: u64 = USES | IN_MAIN;

/// Uses on probation that lead to the main queue.
const USES_TO_STAY: u64 = 2;

/// The small queue's least and largest part of the bytes.
const SMALL_PART: std::ops::RangeInclusive<f64> = 0.1..=0.9;

/// Of the entries that there are, the small queue's part changes by so many with everybody
/// who comes back; by more if there are fewer names of that kind than of the other, which
/// then come back more seldom. Of 0.1 to 0.4 all are about as good with the recorded
/// traces.
const STEP: f64 = 0.2;

/// As many names of those that left the main queue are remembered, of the entries that
/// there are.
const LEFT_PART: f64 = 0.3;

/// Entries that are passed over in search of one to evict: some hundred microseconds
/// under the shard's lock. Then one goes although it was used.
const PASSED_MAX: usize = 1024;

/// The queues.
#[derive(Debug)]
pub(crate) struct S3Fifo {
    small: List,
    main: List,
    small_bytes: u64,
    main_bytes: u64,
    /// The part of the bytes that the small queue may have.
    small_part: f64,
    /// Entries in both.
    len: usize,
    /// Who failed probation, and who left the main queue.
    failed: Ghost,
    left: Ghost,
}

impl Default for S3Fifo {
    fn default() -> Self {
        Self {
            small: List::default(),
            main: List::default(),
            small_bytes: 0,
            main_bytes: 0,
            small_part: *SMALL_PART.start(),
            len: 0,
            failed: Ghost::default(),
            left: Ghost::default(),
        }
    }
}

impl S3Fifo {
    /// The entry that goes first but `keep`, with [`S3Fifo::age`].
    pub(crate) fn oldest(
        &mut self,
        entries: &mut impl Ordered,
        keep: Option<u32>,
    ) -> Option<(u64, u32)> {
        let mut passed = 0;
        loop {
            let (list, entry) = self.next(entries, keep)?;
            let stamp = entries.stamp(entry);
            let (uses, is_over) = (stamp & USES, passed >= PASSED_MAX);
            let stays = match list {
                SMALL => uses >= USES_TO_STAY,
                _ => uses > 0 || Some(entry) == keep,
            };
            if !stays || is_over && Some(entry) != keep {
                return Some((self.age(entries).unwrap_or(stamp), entry));
            }
            if is_over {
                return None;
            }
            let uses = match list {
                SMALL => 0,
                _ => uses.saturating_sub(1),
            };
            self.unlink(entries, entry);
            entries.set_stamp(entry, stamp & !BITS | IN_MAIN | uses);
            self.link(entries, entry, MAIN);
            passed += 1;
        }
    }

    /// A stamp to compare it by with other orders: the mean of both queues' oldest, by their
    /// bytes. What fails probation alone is young, and would make every other order look
    /// older; and some entry of the main queue may have been there for ever, as long as
    /// only the small one has to give.
    fn age(&self, entries: &impl Ordered) -> Option<u64> {
        let stamp = |list: &List| list.oldest().map(|entry| entries.stamp(entry));
        let (small, main) = (stamp(&self.small), stamp(&self.main));
        let (Some(small), Some(main)) = (small, main) else {
            return small.or(main);
        };
        let (older, newer) = (small.min(main), small.max(main));
        let part = if newer == small {
            self.small_bytes
        } else {
            self.main_bytes
        };
        let all = u128::from(self.small_bytes) + u128::from(self.main_bytes);
        let above = u128::from(newer - older) * u128::from(part) / all.max(1);
        Some(older + above as u64)
    }

    /// The end of the queue that has to give; the small one does if it has its part of
    /// the bytes, and not its only entry as long as there are others.
    fn next(&self, entries: &impl Ordered, keep: Option<u32>) -> Option<(u8, u32)> {
        let kept = keep.map_or((0, 0), |keep| match entries.list(keep) {
            SMALL => (entries.charge(keep), 0),
            MAIN => (0, entries.charge(keep)),
            _ => (0, 0),
        });
        let small_bytes = self.small_bytes - kept.0;
        let bytes = small_bytes + self.main_bytes - kept.1;
        let small = self.small.oldest().and_then(|oldest| {
            if Some(oldest) != keep {
                return Some(oldest);
            }
            let newer = entries.links(oldest).newer;
            (newer != NONE).then_some(newer)
        });
        let main = self.main.oldest();
        // Who just wrote it may be about to make room for it, and not know.
        let is_only = keep.is_none() && small == self.small.newest();
        match (small, main) {
            (Some(small), None) => Some((SMALL, small)),
            (Some(small), Some(_))
                if !is_only && small_bytes as f64 >= bytes as f64 * self.small_part =>
            {
                Some((SMALL, small))
            }
            // Alone in its queue and not to go.
            (small, Some(main)) if Some(main) == keep && self.main.newest() == keep => {
                small.map(|small| (SMALL, small))
            }
            (_, main) => main.map(|main| (MAIN, main)),
        }
    }

    /// Some entry.
    pub(crate) fn any(&self) -> Option<u32> {
        self.small.oldest().or_else(|| self.main.oldest())
    }

    /// Notes a use; an entry that is in no queue is taken in, as the newest.
    pub(crate) fn touch(
        &mut self,
        entries: &mut impl Ordered,
        entry: u32,
        stamp: u64,
        key_hash: u64,
    ) {
        let before = entries.stamp(entry);
        let more = ((before & USES) + 1).min(USES);
        if entries.is_linked(entry) {
            return entries.set_stamp(entry, stamp & !BITS | before & IN_MAIN | more);
        }
        // A new entry has no stamp yet, and is not used by being stored.
        let uses = if before == 0 { 0 } else { more };
        let is_main = self.comes_back(key_hash) || before & IN_MAIN != 0;
        let (list, bit) = if is_main { (MAIN, IN_MAIN) } else { (SMALL, 0) };
        entries.set_stamp(entry, stamp & !BITS | bit | uses);
        self.link(entries, entry, list);
    }

    /// Takes an entry out of its queue, if it is in one.
    pub(crate) fn remove(&mut self, entries: &mut impl Ordered, entry: u32, evicted: Option<u64>) {
        if let Some(key_hash) = evicted {
            match entries.list(entry) {
                // As many names as the main queue may have entries.
                SMALL => self.failed.add(key_hash, self.names(1.0 - self.small_part)),
                MAIN => self.left.add(key_hash, self.names(LEFT_PART)),
                _ => {}
            }
        }
        if entries.is_linked(entry) {
            self.unlink(entries, entry);
            entries.set_list(entry, 0);
        }
    }

    /// Takes in entries from elsewhere, each into the queue that it was in there.
    pub(crate) fn arrive(&mut self, entries: &mut impl Ordered, run: &[u32]) {
        for entry in run {
            let is_main = entries.stamp(*entry) & IN_MAIN != 0;
            self.link(entries, *entry, if is_main { MAIN } else { SMALL });
        }
    }

    /// An entry has another handle now, and stands there already.
    pub(crate) fn moved(&mut self, entries: &mut impl Ordered, from: u32, to: u32) {
        match entries.list(to) {
            SMALL => self.small.moved(entries, from, to),
            MAIN => self.main.moved(entries, from, to),
            _ => {}
        }
    }

    /// An entry costs something else now than `before`.
    pub(crate) fn resized(&mut self, entries: &impl Ordered, entry: u32, before: u64) {
        let bytes = match entries.list(entry) {
            SMALL => &mut self.small_bytes,
            MAIN => &mut self.main_bytes,
            _ => return,
        };
        *bytes = *bytes + entries.charge(entry) - before;
    }

    /// Bytes of the names.
    pub(crate) fn bytes(&self) -> u64 {
        self.failed.bytes() + self.left.bytes()
    }

    /// Whether a new entry failed probation before, so that this time it stays; and what
    /// there is to be learned from it.
    fn comes_back(&mut self, key_hash: u64) -> bool {
        let (failed, left) = (self.failed.len() as f64, self.left.len() as f64);
        let step = STEP / self.len.max(1) as f64;
        let has_failed = self.failed.take(key_hash);
        if has_failed {
            self.small_part += step * (left / failed).max(1.0);
        } else if self.left.take(key_hash) {
            self.small_part -= step * (failed / left).max(1.0);
        }
        self.small_part = self
            .small_part
            .clamp(*SMALL_PART.start(), *SMALL_PART.end());
        has_failed
    }

    /// So many names, as a part of the entries that there are.
    fn names(&self, part: f64) -> usize {
        (self.len as f64 * part) as usize
    }

    fn link(&mut self, entries: &mut impl Ordered, entry: u32, list: u8) {
        entries.set_list(entry, list);
        let bytes = entries.charge(entry);
        if list == SMALL {
            self.small.insert(entries, entry);
            self.small_bytes += bytes;
        } else {
            self.main.insert(entries, entry);
            self.main_bytes += bytes;
        }
        self.len += 1;
    }

    fn unlink(&mut self, entries: &mut impl Ordered, entry: u32) {
        let bytes = entries.charge(entry);
        if entries.list(entry) == SMALL {
            self.small.remove(entries, entry);
            self.small_bytes -= bytes;
        } else {
            self.main.remove(entries, entry);
            self.main_bytes -= bytes;
        }
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests;
