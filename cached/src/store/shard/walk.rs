//! Walks over a container's entries, by position: each is met once, however many come
//! and go between two steps, and whatever moves in memory.

use super::{Shard, hash_of};

/// What a visitor says of going on.
pub(super) enum Walk {
    On,
    /// Not beyond this entry.
    Enough,
}

impl Shard {
    /// Shows entries of a container from a position on, until the visitor has enough;
    /// answers the position at which to go on, or `None` after the last.
    pub(super) fn walk(
        &self,
        container: u32,
        from: u64,
        mut visit: impl FnMut(u32) -> Walk,
    ) -> Option<u64> {
        let row = &self.containers[container as usize].row;
        let mut begin = from;
        let mut ordered: Vec<(u64, u32)> = Vec::new();
        loop {
            let (entries, next) = self.tables.page(row, begin);
            let position = |index| {
                let hash = hash_of(&self.entries, self.config.hash_seed, index);
                (hash.reverse_bits(), index)
            };
            ordered.extend(entries.map(position).filter(|(at, _)| *at >= from));
            ordered.sort_unstable();
            let mut enough = None;
            for (at, index) in ordered.drain(..) {
                // Entries with one hash have one position: all of them, or none.
                if enough.is_some_and(|last| at > last) {
                    return Some(at);
                }
                if let Walk::Enough = visit(index) {
                    enough = Some(at);
                }
            }
            begin = next?;
            if enough.is_some() {
                return Some(begin);
            }
        }
    }

    /// Up to so many entries of a container from a position on, and the position at
    /// which to go on.
    pub(super) fn page(&self, container: u32, from: u64, count: usize) -> (Vec<u32>, Option<u64>) {
        let mut page = Vec::new();
        let next = self.walk(container, from, |index| {
            page.push(index);
            if page.len() < count {
                Walk::On
            } else {
                Walk::Enough
            }
        });
        (page, next)
    }
}
