//! What a load came to, phase by phase: counts, latencies, a table, JSON.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::memory::Verdict;

/// Faults that are kept in words; all are counted.
const SAMPLES_MAX: usize = 10;
/// Longest time that is told apart from longer ones.
const MICROS_MAX: u64 = 600_000_000;
/// Lost keys that are named; all are counted.
const NAMED_MAX: usize = 1_000_000;

/// One phase.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub took: Duration,
    /// Operations that were answered, failures included.
    pub operations: u64,
    /// Sets and deletes among them.
    pub writes: u64,
    /// Gets that were answered.
    pub gets: u64,
    /// Those that found something.
    pub hits: u64,
    /// Operations that failed.
    pub errors: u64,
    /// Acknowledged entries that were not there.
    pub lost: u64,
    /// Older values than the acknowledged ones.
    pub stale: u64,
    /// Deleted values that were there.
    pub resurrected: u64,
    /// Values that nobody wrote, or under a lower version than before.
    pub wrong: u64,
    /// The first faults, for people.
    pub samples: Vec<String>,
    /// The keys that were lost.
    pub lost_keys: Vec<String>,
    /// Microseconds from when an operation was due to its answer, one value for each
    /// operation: what a caller feels who does not wait for the answers before.
    pub latency: Histogram<u64>,
    /// Longest time from the sending of a request to its answer.
    pub longest: Duration,
}

impl Phase {
    /// One that just began.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            took: Duration::ZERO,
            operations: 0,
            writes: 0,
            gets: 0,
            hits: 0,
            errors: 0,
            lost: 0,
            stale: 0,
            resurrected: 0,
            wrong: 0,
            samples: Vec::new(),
            lost_keys: Vec::new(),
            latency: Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("these are bounds"),
            longest: Duration::ZERO,
        }
    }

    /// Counts what an answer said about a key.
    pub fn judge(&mut self, key: &str, verdict: Verdict) {
        match verdict {
            Verdict::Right => return,
            Verdict::Lost => {
                self.lost += 1;
                if self.lost_keys.len() < NAMED_MAX {
                    self.lost_keys.push(key.to_owned());
                }
            }
            Verdict::Stale => self.stale += 1,
            Verdict::Resurrected => self.resurrected += 1,
            Verdict::Wrong | Verdict::Disordered => self.wrong += 1,
        }
        self.sample(format!("{key}: {verdict:?}"));
    }

    /// Counts a failure.
    pub fn failed(&mut self, key: &str, error: &str) {
        self.errors += 1;
        self.sample(format!("{key}: {error}"));
    }

    fn sample(&mut self, text: String) {
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(text);
        }
    }

    /// Counts so many operations that were due, sent and answered together.
    pub fn answered(&mut self, operations: usize, since_due: Duration, since_sent: Duration) {
        self.operations += operations as u64;
        let micros = since_due.as_micros() as u64;
        self.latency.saturating_record_n(micros, operations as u64);
        self.longest = self.longest.max(since_sent);
    }

    /// Adds what another worker saw in the same phase.
    pub fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.writes += other.writes;
        self.gets += other.gets;
        self.hits += other.hits;
        self.errors += other.errors;
        self.lost += other.lost;
        self.stale += other.stale;
        self.resurrected += other.resurrected;
        self.wrong += other.wrong;
        self.samples.extend(other.samples);
        self.samples.truncate(SAMPLES_MAX);
        self.lost_keys.extend(other.lost_keys);
        self.latency
            .add(&other.latency)
            .expect("both have the same bounds");
        self.longest = self.longest.max(other.longest);
    }

    /// Writes in a second.
    pub fn writes_per_second(&self) -> f64 {
        self.writes as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// Milliseconds at a quantile.
    pub fn millis(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// Entries lost, stale, resurrected, wrong.
    pub fn faults(&self) -> u64 {
        self.lost + self.stale + self.resurrected + self.wrong
    }

    fn json(&self) -> Value {
        json!({
            "phase": self.name,
            "seconds": self.took.as_secs_f64(),
            "operations": self.operations,
            "writes": self.writes,
            "writesPerSecond": self.writes_per_second(),
            "gets": self.gets,
            "hits": self.hits,
            "errors": self.errors,
            "lost": self.lost,
            "stale": self.stale,
            "resurrected": self.resurrected,
            "wrong": self.wrong,
            "millis": {
                "p50": self.millis(0.5),
                "p99": self.millis(0.99),
                "p999": self.millis(0.999),
                "max": self.latency.max() as f64 / 1000.0,
                "longestRequest": self.longest.as_secs_f64() * 1000.0,
            },
            "samples": self.samples,
        })
    }
}

/// All phases, in their order.
#[derive(Clone, Debug)]
pub struct Report {
    /// The phases.
    pub phases: Vec<Phase>,
}

impl Report {
    /// The phase of a name.
    pub fn phase(&self, name: &str) -> &Phase {
        let found = self.phases.iter().find(|phase| phase.name == name);
        found.unwrap_or_else(|| panic!("no phase {name}"))
    }

    /// Every key that was lost, over all phases.
    pub fn lost_keys(&self) -> impl Iterator<Item = &String> {
        self.phases.iter().flat_map(|phase| &phase.lost_keys)
    }

    /// Failed operations, over all phases.
    pub fn errors(&self) -> u64 {
        self.phases.iter().map(|phase| phase.errors).sum()
    }

    /// Entries stale, resurrected or wrong, over all phases: what no fault excuses.
    pub fn untrue(&self) -> u64 {
        let untrue = |phase: &Phase| phase.faults() - phase.lost;
        self.phases.iter().map(untrue).sum()
    }

    /// Panics when anything failed, was lost or was untrue.
    pub fn assert_clean(&self) {
        let clean = self
            .phases
            .iter()
            .all(|phase| phase.errors == 0 && phase.faults() == 0);
        assert!(clean, "{}\n{:?}", self.table(), self.samples());
    }

    /// The first faults of every phase.
    pub fn samples(&self) -> Vec<(&str, &[String])> {
        let told = self.phases.iter().filter(|phase| !phase.samples.is_empty());
        told.map(|phase| (phase.name.as_str(), phase.samples.as_slice()))
            .collect()
    }

    /// For machines.
    pub fn json(&self) -> Value {
        Value::Array(self.phases.iter().map(Phase::json).collect())
    }

    /// For people, and for docs/benchmarks.md.
    pub fn table(&self) -> String {
        let mut lines = vec![
            "| phase | s | ops/s | writes/s | hit % | errors | lost | stale | resurrected | wrong | p50 ms | p99 ms | p99.9 ms | max ms | longest request ms |".to_owned(),
            format!("|{}", " --- |".repeat(15)),
        ];
        for phase in &self.phases {
            let seconds = phase.took.as_secs_f64().max(1e-9);
            lines.push(format!(
                "| {} | {seconds:.1} | {:.0} | {:.0} | {:.2} | {} | {} | {} | {} | {} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
                phase.name,
                phase.operations as f64 / seconds,
                phase.writes_per_second(),
                100.0 * phase.hits as f64 / phase.gets.max(1) as f64,
                phase.errors,
                phase.lost,
                phase.stale,
                phase.resurrected,
                phase.wrong,
                phase.millis(0.5),
                phase.millis(0.99),
                phase.millis(0.999),
                phase.latency.max() as f64 / 1000.0,
                phase.longest.as_secs_f64() * 1000.0,
            ));
        }
        lines.join("\n")
    }
}
