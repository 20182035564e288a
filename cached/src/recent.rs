//! What a node did in the last minute: some looks at its counters are kept, so that
//! whoever asks once is told how things are, and not how they were since the start.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::{Clock, Moment};
use crate::requests::{BUCKETS, Requests};
use crate::store::Store;
use crate::tasks::Stop;

/// Between two looks: the window is that much longer than a minute at most.
const EVERY: Duration = Duration::from_secs(10);

/// Looks that are kept: a minute lies between the first and the last.
const KEPT: usize = 7;

/// What was counted, since the start or in a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Reads, writes and removals that the store carried out.
    pub operations: u64,
    /// Reads that found an entry.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Entries removed for lack of room.
    pub evictions: u64,
    /// How many requests took how long.
    pub latency: [u64; BUCKETS],
}

impl Counted {
    /// Everything since the start.
    pub fn now(store: &Store, requests: &Requests) -> Self {
        let mut all = Self {
            latency: requests.latency(),
            ..Self::default()
        };
        for (_, _, group) in store.group_counters() {
            all.operations += group.hits + group.misses + group.sets + group.deletes;
            all.hits += group.hits;
            all.misses += group.misses;
            all.evictions += group.evictions;
        }
        all
    }

    fn since(&self, before: &Self) -> Self {
        let latency = self.latency.iter().zip(&before.latency);
        let mut latency = latency.map(|(now, before)| now.saturating_sub(*before));
        Self {
            operations: self.operations.saturating_sub(before.operations),
            hits: self.hits.saturating_sub(before.hits),
            misses: self.misses.saturating_sub(before.misses),
            evictions: self.evictions.saturating_sub(before.evictions),
            latency: std::array::from_fn(|_| latency.next().unwrap_or_default()),
        }
    }
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            operations: 0,
            hits: 0,
            misses: 0,
            evictions: 0,
            latency: [0; BUCKETS],
        }
    }
}

/// Looks of the last minute, oldest first; never empty.
#[derive(Debug)]
pub struct Recent {
    /// Held for a copy.
    looks: Mutex<VecDeque<(Moment, Counted)>>,
}

impl Recent {
    /// Nothing was counted before `started`.
    pub fn new(started: Moment) -> Self {
        let looks = VecDeque::from([(started, Counted::default())]);
        Self {
            looks: Mutex::new(looks),
        }
    }

    /// What was counted in the window that ends at `now` with `all`, and how long it is:
    /// about a minute, or since the start.
    pub fn until(&self, now: Moment, all: &Counted) -> (Duration, Counted) {
        let looks = self.looks.lock();
        match looks.front() {
            Some((at, before)) => (now.since(*at), all.since(before)),
            None => (Duration::ZERO, all.clone()),
        }
    }

    fn look(&self, now: Moment, all: Counted) {
        let mut looks = self.looks.lock();
        looks.push_back((now, all));
        while looks.len() > KEPT {
            looks.pop_front();
        }
    }
}

/// Looks until told to stop.
pub async fn run(
    recent: Arc<Recent>,
    store: Arc<Store>,
    requests: Arc<Requests>,
    clock: Clock,
    stop: Stop,
) {
    loop {
        tokio::select! {
            biased;
            () = stop.stopped() => return,
            () = clock.sleep(EVERY) => {}
        }
        recent.look(clock.now(), Counted::now(&store, &requests));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(operations: u64) -> Counted {
        let mut latency = [0; BUCKETS];
        latency[5] = operations;
        Counted {
            operations,
            latency,
            ..Counted::default()
        }
    }

    #[test]
    fn the_window_is_a_minute_or_since_the_start() {
        let start = Moment::default();
        let recent = Recent::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        let until = |seconds: u64| recent.until(at(seconds), &counted(seconds * 100));
        assert_eq!(until(3), (Duration::from_secs(3), counted(300)));
        for look in 1..=20 {
            recent.look(at(look * 10), counted(look * 1000));
        }
        let (window, counted) = until(205);
        assert_eq!(window, Duration::from_secs(65));
        assert_eq!((counted.operations, counted.latency[5]), (6500, 6500));
        assert_eq!(recent.looks.lock().len(), KEPT);
    }
}
