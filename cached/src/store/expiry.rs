//! Which entries are due: finds them without looking at the others. Pure.

use std::collections::BTreeMap;

use super::eviction::{Linked, List};
use crate::clock::WallMs;

/// Milliseconds of deadlines that share a bucket: about a second, so that a day of
/// deadlines makes 84,000 buckets at most, and an expired entry that nobody reads
/// stays for a second at most beside the sweeper's own pause.
pub(crate) const BUCKET_MS: u64 = 1024;

/// Entries by the second in which they are due.
///
/// Each entry with a deadline stands in exactly one bucket, which is a list, so that it
/// leaves at once when it is changed or removed: nothing stale piles up, however often
/// deadlines change. The links stand in the entries.
#[derive(Debug, Default)]
pub(crate) struct DueQueue {
    buckets: BTreeMap<u64, List>,
}

impl DueQueue {
    /// Takes an entry in.
    pub(crate) fn insert(&mut self, entries: &mut impl Linked, deadline_ms: u64, entry: u32) {
        let bucket = self.buckets.entry(deadline_ms / BUCKET_MS).or_default();
        bucket.insert(entries, entry);
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, entries: &mut impl Linked, deadline_ms: u64, entry: u32) {
        let key = deadline_ms / BUCKET_MS;
        let Some(bucket) = self.buckets.get_mut(&key) else {
            return;
        };
        bucket.remove(entries, entry);
        if bucket.oldest().is_none() {
            self.buckets.remove(&key);
        }
    }

    /// An entry has another handle now, and its links there already.
    pub(crate) fn moved(
        &mut self,
        entries: &mut impl Linked,
        deadline_ms: u64,
        from: u32,
        to: u32,
    ) {
        if let Some(bucket) = self.buckets.get_mut(&(deadline_ms / BUCKET_MS)) {
            bucket.moved(entries, from, to);
        }
    }

    /// An entry whose bucket lies wholly in the past.
    pub(crate) fn first_due(&self, now: WallMs) -> Option<u32> {
        let (bucket, entries) = self.buckets.first_key_value()?;
        if *bucket < now.0 / BUCKET_MS {
            return entries.newest();
        }
        None
    }

    /// Bytes that it takes beside what stands in the entries: about this.
    pub(crate) fn bytes(&self) -> u64 {
        // A node of a tree is two thirds full.
        (self.buckets.len() * (size_of::<u64>() + size_of::<List>()) * 3 / 2) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::eviction::Links;

    fn entries(count: usize) -> Vec<Links> {
        let loose = Links { newer: 0, older: 0 };
        vec![loose; count]
    }

    #[test]
    fn due_entries_come_bucket_by_bucket() {
        let (mut queue, mut entries) = (DueQueue::default(), entries(3));
        assert_eq!(queue.first_due(WallMs(u64::MAX)), None);
        for (entry, deadline_ms) in [5_000, 1_000, 1_001].into_iter().enumerate() {
            queue.insert(&mut entries, deadline_ms, entry as u32);
        }
        assert_eq!(
            queue.first_due(WallMs(1_001)),
            None,
            "its bucket is not over"
        );
        for (due, deadline_ms) in [(2, 1_001), (1, 1_000)] {
            assert_eq!(queue.first_due(WallMs(1_024)), Some(due));
            queue.remove(&mut entries, deadline_ms, due);
        }
        assert_eq!(queue.first_due(WallMs(4_096)), None);
        assert_eq!(queue.first_due(WallMs(5_120)), Some(0));
    }

    #[test]
    fn nothing_stays_behind() {
        let (mut queue, mut entries) = (DueQueue::default(), entries(14));
        (10..13).for_each(|entry| queue.insert(&mut entries, 7, entry));
        entries[13] = entries[12];
        queue.moved(&mut entries, 7, 12, 13);
        assert_eq!(queue.first_due(WallMs(1_024)), Some(13));
        for entry in [11, 13, 10] {
            queue.remove(&mut entries, 7, entry);
        }
        assert!(queue.buckets.is_empty());
    }
}
