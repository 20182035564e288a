//! How long operations took, as a histogram. Pure.

use std::time::Duration;

use cached_proto::pb::cached::admin::v1 as pb;
use serde::{Deserialize, Serialize};

/// How many operations took how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Latency {
    /// Upper bounds in microseconds, ascending, each with how many took longer than the
    /// bound before, and not longer than it.
    buckets: Vec<(u64, u64)>,
}

impl Latency {
    /// A histogram of upper bounds in microseconds and counts, in any order.
    pub fn new(buckets: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut latency = Self::default();
        for (bound, count) in buckets {
            latency.count_in(bound, count);
        }
        latency
    }

    /// Operations in it.
    pub fn count(&self) -> u64 {
        let counts = self.buckets.iter().map(|(_, count)| *count);
        counts.fold(0, u64::saturating_add)
    }

    /// The time that this part of the operations (0.99: all but a hundredth) did not
    /// exceed, to the bound of its bucket; `None`: there were no operations.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let wanted = (self.count() as f64 * part).ceil().max(1.0);
        let mut seen = 0_u64;
        let bucket = self.buckets.iter().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen as f64 >= wanted
        });
        bucket.map(|(bound, _)| Duration::from_micros(*bound))
    }

    /// What was added since an earlier look at the same process.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let left = self.buckets.iter().map(|(bound, count)| {
            let old = before.buckets.iter().find(|(old, _)| old == bound);
            let old = old.map_or(0, |(_, old)| *old);
            (*bound, count.saturating_sub(old))
        });
        Self::new(left)
    }

    /// Adds those of another process.
    pub fn add(&mut self, other: &Self) {
        for (bound, count) in &other.buckets {
            self.count_in(*bound, *count);
        }
    }

    fn count_in(&mut self, bound: u64, count: u64) {
        if count == 0 {
            return;
        }
        match self.buckets.binary_search_by_key(&bound, |(at, _)| *at) {
            Ok(index) => self.buckets[index].1 = self.buckets[index].1.saturating_add(count),
            Err(index) => self.buckets.insert(index, (bound, count)),
        }
    }
}

impl From<Vec<pb::LatencyBucket>> for Latency {
    fn from(buckets: Vec<pb::LatencyBucket>) -> Self {
        Self::new(buckets.iter().map(|it| (it.up_to_micros, it.count)))
    }
}

/// What a node did in a window that ends when it answers: a minute, or since its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecentStats {
    /// How long the window is.
    pub window: Duration,
    /// Reads, writes and removals that it carried out itself.
    pub operations: u64,
    /// Reads that found an entry.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Entries removed for lack of room.
    pub evictions: u64,
    /// Of all that it answered, passed on or not.
    pub latency: Latency,
}

impl RecentStats {
    /// So many in the window are this many a second.
    pub fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.window.as_secs_f64().max(0.001)
    }
}

impl From<pb::RecentStats> for RecentStats {
    fn from(stats: pb::RecentStats) -> Self {
        Self {
            window: Duration::from_millis(stats.window_ms),
            operations: stats.operations,
            hits: stats.hits,
            misses: stats.misses,
            evictions: stats.evictions,
            latency: stats.latency.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_the_bound_of_their_bucket() {
        let micros = |latency: &Latency, part| latency.quantile(part).map(|it| it.as_micros());
        assert_eq!(micros(&Latency::default(), 0.99), None);
        let one = Latency::new([(50, 1)]);
        assert_eq!(micros(&one, 0.0), Some(50));
        assert_eq!(micros(&one, 1.0), Some(50));
        let many = Latency::new([(10_000, 1), (20, 90), (100, 9)]);
        for (part, bound) in [
            (0.5, 20),
            (0.9, 20),
            (0.91, 100),
            (0.99, 100),
            (0.999, 10_000),
        ] {
            assert_eq!(micros(&many, part), Some(bound), "{part}");
        }
    }

    #[test]
    fn histograms_are_added_and_taken_apart() {
        let before = Latency::new([(20, 5)]);
        let mut after = Latency::new([(20, 7), (50, 3)]);
        assert_eq!(after.since(&before), Latency::new([(20, 2), (50, 3)]));
        assert_eq!(
            before.since(&after),
            Latency::default(),
            "never below nothing"
        );
        after.add(&Latency::new([(30, 1), (50, 1)]));
        assert_eq!(after, Latency::new([(20, 7), (30, 1), (50, 4)]));
        assert_eq!(after.count(), 12);
    }

    #[test]
    fn what_was_counted_in_a_window_is_a_rate() {
        let recent = RecentStats {
            window: Duration::from_secs(60),
            ..RecentStats::default()
        };
        assert_eq!(recent.per_second(90), 1.5);
        assert!(RecentStats::default().per_second(1).is_finite());
    }
}
