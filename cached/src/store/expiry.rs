//! Which entries are due: finds them without looking at the others. Pure.

use std::collections::BTreeMap;

use crate::clock::WallMs;

/// Milliseconds of deadlines that share a bucket: about a second, so that a day of
/// deadlines makes 84,000 buckets at most, and an expired entry that nobody reads
/// stays for a second at most beside the sweeper's own pause.
pub(crate) const BUCKET_MS: u64 = 1024;

/// Entries by the second in which they are due.
///
/// Each entry with a deadline stands in exactly one bucket and knows its place
/// there, so that it leaves at once when it is changed or removed: nothing stale
/// piles up, however often deadlines change.
#[derive(Debug, Default)]
pub(crate) struct DueQueue {
    buckets: BTreeMap<u64, Vec<u32>>,
}

impl DueQueue {
    /// Takes an entry in; answers its place.
    pub(crate) fn insert(&mut self, deadline_ms: u64, index: u32) -> u32 {
        let bucket = self.buckets.entry(deadline_ms / BUCKET_MS).or_default();
        let place = bucket.len() as u32;
        bucket.push(index);
        place
    }

    /// Takes out the entry at a place; answers which entry stands there now.
    pub(crate) fn remove(&mut self, deadline_ms: u64, place: u32) -> Option<u32> {
        let key = deadline_ms / BUCKET_MS;
        let bucket = self.buckets.get_mut(&key)?;
        bucket.swap_remove(place as usize);
        if bucket.is_empty() {
            self.buckets.remove(&key);
        }
        self.buckets.get(&key)?.get(place as usize).copied()
    }

    /// An entry whose bucket lies wholly in the past.
    pub(crate) fn first_due(&self, now: WallMs) -> Option<u32> {
        let (bucket, entries) = self.buckets.first_key_value()?;
        if *bucket < now.0 / BUCKET_MS {
            return entries.last().copied();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_entries_come_bucket_by_bucket() {
        let mut queue = DueQueue::default();
        assert_eq!(queue.first_due(WallMs(u64::MAX)), None);
        for (index, deadline_ms) in [5_000, 1_000, 1_001].into_iter().enumerate() {
            queue.insert(deadline_ms, index as u32);
        }
        assert_eq!(
            queue.first_due(WallMs(1_001)),
            None,
            "its bucket is not over"
        );
        assert_eq!(queue.first_due(WallMs(1_024)), Some(2));
        assert_eq!(queue.remove(1_001, 1), None);
        assert_eq!(queue.first_due(WallMs(1_024)), Some(1));
        assert_eq!(queue.remove(1_000, 0), None);
        assert_eq!(queue.first_due(WallMs(4_096)), None);
        assert_eq!(queue.first_due(WallMs(5_120)), Some(0));
    }

    #[test]
    fn a_hole_is_filled_and_nothing_stays_behind() {
        let mut queue = DueQueue::default();
        let places: Vec<u32> = (10..13).map(|index| queue.insert(7, index)).collect();
        assert_eq!(places, [0, 1, 2]);
        assert_eq!(
            queue.remove(7, 0),
            Some(12),
            "the last one moved into the hole"
        );
        assert_eq!(queue.remove(7, 1), None);
        assert_eq!(queue.remove(7, 0), None);
        assert!(queue.buckets.is_empty());
    }
}
