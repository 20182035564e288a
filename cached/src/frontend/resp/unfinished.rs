//! What all connections together hold of commands whose end has not come: bounded, so
//! that many who begin one and never end it cannot fill the node.

use std::sync::Arc;

use crate::counters::Counters;

/// What a connection may hold in any case: commands of everyday length are taken
/// whatever others do.
pub const FREE_BYTES: usize = 16 * 1024;

/// How much may be held; how much is stands among the counters.
#[derive(Debug)]
pub struct Unfinished {
    counters: Arc<Counters>,
    limit: u64,
}

impl Unfinished {
    /// So many bytes may be held.
    pub fn new(counters: Arc<Counters>, limit: u64) -> Arc<Self> {
        Arc::new(Self { counters, limit })
    }

    /// Most bytes that may be held.
    pub fn limit(&self) -> u64 {
        self.limit
    }
}

/// What one connection holds; given back when it drops.
#[derive(Debug)]
pub(super) struct Held {
    of: Arc<Unfinished>,
    bytes: u64,
}

impl Held {
    pub(super) fn nothing(of: Arc<Unfinished>) -> Self {
        Self { of, bytes: 0 }
    }

    /// Holds a buffer of so many bytes in place of the one before. False: all together
    /// hold too much for that, and the one before still counts.
    #[must_use]
    pub(super) fn set(&mut self, bytes: usize) -> bool {
        let bytes = if bytes <= FREE_BYTES { 0 } else { bytes as u64 };
        let all = &self.of.counters.unfinished_bytes;
        if bytes > self.bytes && !all.try_add(bytes - self.bytes, self.of.limit) {
            return false;
        }
        if bytes < self.bytes {
            all.subtract(self.bytes - bytes);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.counters.unfinished_bytes.subtract(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_keep_the_bound_and_small_ones_are_free() {
        let counters: Arc<Counters> = Arc::default();
        let all = Unfinished::new(counters.clone(), 100_000);
        let [mut one, mut other] = [(); 2].map(|()| Held::nothing(Arc::clone(&all)));
        assert!(one.set(60_000) && one.set(70_000));
        assert!(!other.set(30_001), "it would be too much");
        assert!(other.set(FREE_BYTES) && other.set(30_000));
        assert_eq!(counters.unfinished_bytes.get(), 100_000);
        assert!(one.set(FREE_BYTES));
        assert_eq!(counters.unfinished_bytes.get(), 30_000);
        drop(other);
        assert_eq!(counters.unfinished_bytes.get(), 0);
    }
}
