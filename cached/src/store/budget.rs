//! Bytes in use against a bound, shared by all shards.

use std::sync::atomic::{AtomicU64, Ordering};

/// The bound of a node or of a group, and what is in use of it.
///
/// A writer adds its bytes first and makes room afterwards, so that writers at
/// work at the same time see each other: together they pass the bound by at most
/// one entry each. Relaxed, because the number alone matters; entries themselves
/// are guarded by their shard's lock.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    limit: AtomicU64,
}

impl Budget {
    /// Nothing in use.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            used: AtomicU64::new(0),
            limit: AtomicU64::new(limit),
        }
    }

    /// Takes bytes into use, whether or not there is room.
    pub(crate) fn take(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes bytes into use if the bound then holds; nothing can always be taken.
    pub(crate) fn try_take(&self, bytes: u64) -> bool {
        let limit = self.limit();
        let within = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= limit);
        let relaxed = Ordering::Relaxed;
        bytes == 0 || self.used.fetch_update(relaxed, relaxed, within).is_ok()
    }

    /// Gives back bytes that were taken.
    pub(crate) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The bound; `u64::MAX` is none.
    pub(crate) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes the bound.
    pub(crate) fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }

    /// Whether room has to be made.
    pub(crate) fn is_over(&self) -> bool {
        self.used() > self.limit()
    }
}
