//! Counters of the process that are nobody else's: requests, forwards, loads.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows, or a gauge; relaxed, because nothing hangs on its order.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Takes one off: for gauges.
    pub fn decrement(&self) {
        self.subtract(1);
    }

    /// Adds `n` to a gauge, if it then is at most `limit`; false: it did not.
    #[must_use]
    pub fn try_add(&self, n: u64, limit: u64) -> bool {
        let within = |now: u64| now.checked_add(n).filter(|sum| *sum <= limit);
        let relaxed = Ordering::Relaxed;
        self.0.fetch_update(relaxed, relaxed, within).is_ok()
    }

    /// Takes `n` off a gauge.
    pub fn subtract(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Where requests came from and what became of them.
#[derive(Debug, Default)]
pub struct Counters {
    /// Operations asked for over REST.
    pub rest: Counter,
    /// … over gRPC.
    pub grpc: Counter,
    /// … over RESP.
    pub resp: Counter,
    /// … by other nodes.
    pub peer: Counter,
    /// Operations passed on to their owner.
    pub forwarded: Counter,
    /// Attempts after the first.
    pub retries: Counter,
    /// Operations that ended in a failure.
    pub failures: Counter,
    /// Open connections.
    pub connections: Counter,
    /// Bytes that connections hold of commands whose end has not come.
    pub unfinished_bytes: Counter,
    /// Connections turned away because too many were open.
    pub connections_refused: Counter,
    /// Loads from the origin.
    pub loads: Counter,
    /// Loads that failed.
    pub load_failures: Counter,
    /// Loads that found nothing.
    pub loads_not_there: Counter,
    /// Requests that waited for a load already running.
    pub loads_joined: Counter,
    /// Values loaded and handed out without being stored.
    pub loads_uncached: Counter,
    /// Slots that this node took over empty.
    pub slots_lost: Counter,
    /// Entries dropped because a receiver of moving slots had no room for them.
    pub keys_shed: Counter,
}

impl Counters {
    /// Operations asked for, however they came.
    pub fn asked(&self) -> u64 {
        let fronts = [&self.rest, &self.grpc, &self.resp, &self.peer];
        fronts.into_iter().map(Counter::get).sum()
    }
}
