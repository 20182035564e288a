//! What answers came to: counts and latencies by node and kind of operation, errors by
//! their kind. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::mix::Kind;

/// Digits that count in a latency: an error of at most 0.1 %.
const DIGITS: u8 = 3;
/// Longest latency told apart, in µs: one hour. Longer ones count as this.
const LATENCY_US_MAX: u64 = 3_600_000_000;
/// Most kinds of errors told apart: what servers make up must not fill the memory.
const ERROR_KINDS_MAX: usize = 64;

/// An operation that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// A word for it: two failures of one kind have one word.
    pub kind: String,
    /// What was said about it.
    pub message: String,
}

impl Failed {
    /// A failure of this kind.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            message: message.into(),
        }
    }
}

/// Latencies in µs.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        Self(empty())
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new(DIGITS).expect("1 to 5 digits")
}

impl Latency {
    /// One more.
    pub fn add(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_US_MAX);
        // Grows by itself up to the bound, so this cannot fail.
        let _ = self.0.record(us.min(LATENCY_US_MAX));
    }

    /// All of another one too.
    pub fn merge(&mut self, other: &Self) {
        let _ = self.0.add(&other.0);
    }

    /// How many.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency in µs that the share `quantile` (0 to 1) of all does not exceed.
    pub fn us(&self, quantile: f64) -> u64 {
        self.0.value_at_quantile(quantile).min(self.0.max())
    }

    /// Their mean in µs.
    pub fn mean_us(&self) -> f64 {
        self.0.mean()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.reset();
    }
}

/// Operations of one kind, on one node or all.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// That failed.
    pub failed: u64,
    /// Reads and deletes that found their key.
    pub hits: u64,
    /// Reads and deletes that did not.
    pub misses: u64,
    /// Of those that succeeded.
    pub latency: Latency,
}

impl Tally {
    /// Operations that succeeded.
    pub fn answered(&self) -> u64 {
        self.latency.count()
    }

    /// All of another one too.
    pub fn merge(&mut self, other: &Self) {
        self.failed += other.failed;
        self.hits += other.hits;
        self.misses += other.misses;
        self.latency.merge(&other.latency);
    }
}

/// Everything that was heard.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// By number of the node and kind.
    tallies: BTreeMap<(usize, Kind), Tally>,
    /// By kind: how many, and what the first one said.
    errors: BTreeMap<String, (u64, String)>,
    /// Of all that succeeded since the progress was told last.
    recent: Latency,
}

impl Record {
    /// An operation was answered. `found`: whether its key was there, where that is told.
    pub fn answered(&mut self, node: usize, kind: Kind, latency: Duration, found: Option<bool>) {
        let tally = self.tallies.entry((node, kind)).or_default();
        tally.latency.add(latency);
        match found {
            Some(true) => tally.hits += 1,
            Some(false) => tally.misses += 1,
            None => {}
        }
        self.recent.add(latency);
    }

    /// An operation failed.
    pub fn failed(&mut self, node: usize, kind: Kind, error: Failed) {
        self.tallies.entry((node, kind)).or_default().failed += 1;
        let full = self.errors.len() >= ERROR_KINDS_MAX && !self.errors.contains_key(&error.kind);
        let word = if full { "other".to_owned() } else { error.kind };
        let entry = self.errors.entry(word);
        entry.or_insert_with(|| (0, error.message)).0 += 1;
    }

    /// One kind of operation on all nodes; `None`: there was none.
    pub fn of_kind(&self, kind: Kind) -> Option<Tally> {
        self.merged(|key| key.1 == kind)
    }

    /// Every kind on one node; `None`: it was not asked.
    pub fn of_node(&self, node: usize) -> Option<Tally> {
        self.merged(|key| key.0 == node)
    }

    /// Everything.
    pub fn total(&self) -> Tally {
        self.merged(|_| true).unwrap_or_default()
    }

    fn merged(&self, wanted: impl Fn(&(usize, Kind)) -> bool) -> Option<Tally> {
        let wanted = self.tallies.iter().filter(|(key, _)| wanted(key));
        wanted.fold(None, |sum, (_, tally)| {
            let mut sum: Tally = sum.unwrap_or_default();
            sum.merge(tally);
            Some(sum)
        })
    }

    /// Operations that were answered, and that failed.
    pub fn counts(&self) -> (u64, u64) {
        self.tallies
            .values()
            .fold((0, 0), |(answered, failed), it| {
                (answered + it.answered(), failed + it.failed)
            })
    }

    /// Errors by kind: how many, and what the first one said.
    pub fn errors(&self) -> impl Iterator<Item = (&str, u64, &str)> {
        let errors = self.errors.iter();
        errors.map(|(kind, (count, sample))| (kind.as_str(), *count, sample.as_str()))
    }

    /// Latencies since this was asked last.
    pub fn take_recent(&mut self) -> Latency {
        let recent = self.recent.clone();
        self.recent.clear();
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn histograms_merge_by_node_and_by_kind() {
        let mut record = Record::default();
        for ms in 1..=100 {
            record.answered(0, Kind::Get, MS * ms, Some(ms % 2 == 0));
            record.answered(1, Kind::Get, MS * (ms + 100), Some(true));
        }
        record.answered(1, Kind::Set, MS * 1000, None);
        record.failed(1, Kind::Set, Failed::new("busy", "too many"));
        let gets = record.of_kind(Kind::Get).unwrap();
        assert_eq!((gets.answered(), gets.hits, gets.misses), (200, 150, 50));
        assert!(gets.latency.us(0.5).abs_diff(100_000) <= 100);
        assert!(gets.latency.us(1.0).abs_diff(200_000) <= 200);
        let second = record.of_node(1).unwrap();
        assert_eq!((second.answered(), second.failed), (101, 1));
        assert_eq!(record.counts(), (201, 1));
        assert_eq!(record.total().answered(), 201);
        assert!(record.of_kind(Kind::Delete).is_none() && record.of_node(2).is_none());
    }

    #[test]
    fn errors_are_counted_by_kind_and_bounded() {
        let mut record = Record::default();
        for number in 0..1000 {
            let kind = format!("E{number:04}");
            record.failed(0, Kind::Get, Failed::new(kind, "first"));
        }
        record.failed(0, Kind::Get, Failed::new("E0000", "second"));
        assert_eq!(record.errors().count(), ERROR_KINDS_MAX + 1);
        assert_eq!(record.errors().next(), Some(("E0000", 2, "first")));
        let all: u64 = record.errors().map(|(_, count, _)| count).sum();
        assert_eq!(all, 1001);
    }

    #[test]
    fn what_is_recent_is_taken_once() {
        let mut record = Record::default();
        record.answered(0, Kind::Get, MS, None);
        assert_eq!(record.take_recent().count(), 1);
        assert_eq!(record.take_recent().count(), 0);
        record.answered(0, Kind::Get, Duration::MAX, None);
        assert!(record.total().latency.us(1.0) > 3_500_000_000);
    }
}
