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
    configured: AtomicU64,
    /// What else takes memory within the bound.
    overhead: AtomicU64,
}

impl Budget {
    /// Nothing in use.
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            used: AtomicU64::new(0),
            configured: AtomicU64::new(limit),
            overhead: AtomicU64::new(0),
        }
    }

    /// Takes bytes into use, whether or not there is room.
    pub(crate) fn take(&self, bytes: u64) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What took so many bytes takes so many now.
    pub(crate) fn change(&self, before: u64, after: u64) {
        if after > before {
            self.take(after - before);
        } else if after < before {
            self.give(before - after);
        }
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

    /// The bound on what is taken into use; `u64::MAX` is none. Half of what was configured
    /// is left, whatever else takes memory.
    pub(crate) fn limit(&self) -> u64 {
        let configured = self.configured();
        configured - self.overhead().min(configured / 2)
    }

    /// The bound on everything.
    pub(crate) fn configured(&self) -> u64 {
        self.configured.load(Ordering::Relaxed)
    }

    /// Changes the bound on everything.
    pub(crate) fn set_limit(&self, limit: u64) {
        self.configured.store(limit, Ordering::Relaxed);
    }

    /// What else takes memory within the bound.
    pub(crate) fn overhead(&self) -> u64 {
        self.overhead.load(Ordering::Relaxed)
    }

    /// Changes what else takes memory.
    pub(crate) fn set_overhead(&self, bytes: u64) {
        self.overhead.store(bytes, Ordering::Relaxed);
    }

    /// Whether room has to be made.
    pub(crate) fn is_over(&self) -> bool {
        self.used() > self.limit()
    }
}
