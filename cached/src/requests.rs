//! Counts requests: what was asked over which protocol, what became of it, and how
//! long it took. Plain atomics in arrays, because every request passes here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cached_proto::failure::Applied;
use cached_proto::operation::{Operation, Outcome, Reply};

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP with plain bodies and JSON.
    Rest,
    /// gRPC from clients.
    Grpc,
    /// The Redis protocol.
    Resp,
    /// gRPC from other nodes.
    Peer,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A read.
    Get,
    /// A write.
    Set,
    /// A removal.
    Delete,
    /// A new time to live.
    Touch,
    /// A change that depends on what is there.
    Update,
    /// A write of several keys at once.
    SetMany,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Done: found, stored, deleted.
    Done,
    /// Answered with "not there", or "the condition does not hold".
    Not,
    /// Failed, and certainly not applied.
    Failed,
    /// Failed, and perhaps applied.
    Unknown,
}

/// All protocols with their label.
pub const PROTOCOLS: [(Protocol, &str); 4] = [
    (Protocol::Rest, "rest"),
    (Protocol::Grpc, "grpc"),
    (Protocol::Resp, "resp"),
    (Protocol::Peer, "peer"),
];

/// All kinds with their label.
pub const KINDS: [(Kind, &str); 6] = [
    (Kind::Get, "get"),
    (Kind::Set, "set"),
    (Kind::Delete, "delete"),
    (Kind::Touch, "touch"),
    (Kind::Update, "update"),
    (Kind::SetMany, "set_many"),
];

/// All endings with their label.
pub const ENDINGS: [(Ending, &str); 4] = [
    (Ending::Done, "done"),
    (Ending::Not, "not"),
    (Ending::Failed, "failed"),
    (Ending::Unknown, "unknown"),
];

/// Buckets of durations.
pub const BUCKETS: usize = 78;

/// Upper bounds of the buckets in microseconds: ten to a decade, so that a percentile is
/// known to a third at worst; the last one holds whatever took longer, too.
pub const BOUNDS_MICROS: [u64; BUCKETS] = bounds();

/// Upper bounds that `/metrics` tells, in microseconds, each one of [`BOUNDS_MICROS`]:
/// from a read of the own memory over a hop to a neighbour to the default timeout, three
/// to a decade.
const TOLD_MICROS: [u64; 14] = [
    20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 200_000, 1_000_000, 3_000_000,
    10_000_000,
];

/// 1, 2, 3, 4, 5, 6, 8, 10, 12, 15, … 80 s, 100 s.
const fn bounds() -> [u64; BUCKETS] {
    const STEPS: [u64; 10] = [10, 12, 15, 20, 25, 30, 40, 50, 60, 80];
    let mut bounds = [0; BUCKETS];
    let (mut filled, mut decade) = (0, 1);
    while filled < BUCKETS {
        let mut step = 0;
        while step < STEPS.len() && filled < BUCKETS {
            // Below ten microseconds some steps are no whole number.
            if (STEPS[step] * decade).is_multiple_of(10) {
                bounds[filled] = STEPS[step] * decade / 10;
                filled += 1;
            }
            step += 1;
        }
        decade *= 10;
    }
    bounds
}

impl Kind {
    /// What an operation is.
    pub fn of(operation: &Operation) -> Self {
        match operation {
            Operation::Get { .. } => Self::Get,
            Operation::Set { .. } => Self::Set,
            Operation::Delete { .. } => Self::Delete,
            Operation::Touch { .. } => Self::Touch,
            Operation::Update { .. } => Self::Update,
            Operation::SetMany { .. } => Self::SetMany,
        }
    }
}

impl Ending {
    /// What became of an operation.
    pub fn of(outcome: &Outcome) -> Self {
        let done = match outcome {
            Err(failure) => {
                return match failure.applied {
                    Applied::No => Self::Failed,
                    Applied::Unknown => Self::Unknown,
                };
            }
            Ok(answer) => match &answer.reply {
                Reply::Get(entry) => entry.is_some(),
                Reply::Set { stored, .. } => *stored,
                Reply::Delete { deleted, .. } => *deleted,
                Reply::Touch { found } => *found,
                Reply::Update(updated) => updated.applied,
                Reply::SetMany { stored } => *stored,
            },
        };
        if done { Self::Done } else { Self::Not }
    }
}

/// Counts and durations of one kind of request over one protocol.
#[derive(Debug, Default)]
struct Cell {
    endings: [AtomicU64; ENDINGS.len()],
    buckets: Buckets,
    micros: AtomicU64,
}

/// How many took how long, by [`BOUNDS_MICROS`].
#[derive(Debug)]
struct Buckets([AtomicU64; BUCKETS]);

impl Default for Buckets {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; BUCKETS])
    }
}

impl Buckets {
    fn add(&self, micros: u64, times: u64) {
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.0[bucket.min(BUCKETS - 1)].fetch_add(times, Ordering::Relaxed);
    }

    fn counts(&self) -> [u64; BUCKETS] {
        std::array::from_fn(|bucket| self.0[bucket].load(Ordering::Relaxed))
    }
}

/// Counts and durations of all requests.
#[derive(Debug, Default)]
pub struct Requests {
    cells: [[Cell; KINDS.len()]; PROTOCOLS.len()],
}

/// Durations as a histogram shows them.
#[derive(Clone, Debug, PartialEq)]
pub struct Durations {
    /// Sum in seconds.
    pub sum: f64,
    /// How many.
    pub count: u64,
    /// Upper bounds in seconds (the last is infinite), each with how many fell in
    /// between it and the one before.
    pub buckets: Vec<(f64, u64)>,
}

impl Requests {
    /// Counts one request.
    pub fn record(&self, protocol: Protocol, kind: Kind, outcome: &Outcome, took: Duration) {
        self.record_many(protocol, kind, Ending::of(outcome), took, 1);
    }

    /// Counts some requests that came to the same ending in the same time.
    pub fn record_many(
        &self,
        protocol: Protocol,
        kind: Kind,
        ending: Ending,
        took: Duration,
        times: u64,
    ) {
        let cell = &self.cells[protocol as usize][kind as usize];
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        cell.endings[ending as usize].fetch_add(times, Ordering::Relaxed);
        cell.buckets.add(micros, times);
        let micros = micros.saturating_mul(times);
        cell.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many requests of a kind came to an ending.
    pub fn count(&self, protocol: Protocol, kind: Kind, ending: Ending) -> u64 {
        let cell = &self.cells[protocol as usize][kind as usize];
        cell.endings[ending as usize].load(Ordering::Relaxed)
    }

    /// How long requests of a kind took.
    pub fn durations(&self, protocol: Protocol, kind: Kind) -> Durations {
        let cell = &self.cells[protocol as usize][kind as usize];
        let counts = cell.buckets.counts();
        let mut buckets = Vec::with_capacity(TOLD_MICROS.len() + 1);
        let mut next = 0;
        for told in TOLD_MICROS {
            let end = BOUNDS_MICROS.partition_point(|bound| *bound <= told);
            let within = counts.get(next..end).unwrap_or_default().iter().sum();
            buckets.push((told as f64 / 1e6, within));
            next = end;
        }
        let rest = counts.get(next..).unwrap_or_default().iter().sum();
        buckets.push((f64::INFINITY, rest));
        Durations {
            sum: cell.micros.load(Ordering::Relaxed) as f64 / 1e6,
            count: counts.iter().sum(),
            buckets,
        }
    }

    /// How many requests took how long, by [`BOUNDS_MICROS`], whatever they were.
    pub fn latency(&self) -> [u64; BUCKETS] {
        let mut sum = [0_u64; BUCKETS];
        for cell in self.cells.iter().flatten() {
            for (sum, count) in sum.iter_mut().zip(cell.buckets.counts()) {
                *sum += count;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use cached_proto::failure::{Failure, FailureCode};
    use cached_proto::operation::Answer;

    use super::*;

    #[test]
    fn labels_stand_where_their_index_points() {
        assert!(
            PROTOCOLS
                .iter()
                .enumerate()
                .all(|(i, (protocol, _))| *protocol as usize == i)
        );
        assert!(
            KINDS
                .iter()
                .enumerate()
                .all(|(i, (kind, _))| *kind as usize == i)
        );
        assert!(
            ENDINGS
                .iter()
                .enumerate()
                .all(|(i, (ending, _))| *ending as usize == i)
        );
    }

    #[test]
    fn requests_are_counted_by_what_became_of_them() {
        let requests = Requests::default();
        let failure = Failure::new(FailureCode::Busy, "busy");
        let outcomes: [(Outcome, Ending); 4] = [
            (
                Ok(Answer {
                    reply: Reply::Touch { found: true },
                    degraded: false,
                }),
                Ending::Done,
            ),
            (
                Ok(Answer {
                    reply: Reply::Get(None),
                    degraded: false,
                }),
                Ending::Not,
            ),
            (Err(failure.clone()), Ending::Failed),
            (Err(failure.maybe_applied()), Ending::Unknown),
        ];
        for (outcome, ending) in &outcomes {
            assert_eq!(requests.count(Protocol::Rest, Kind::Get, *ending), 0);
            requests.record(
                Protocol::Rest,
                Kind::Get,
                outcome,
                Duration::from_micros(20),
            );
            assert_eq!(requests.count(Protocol::Rest, Kind::Get, *ending), 1);
        }
        assert_eq!(requests.count(Protocol::Grpc, Kind::Get, Ending::Done), 0);
    }

    #[test]
    fn durations_fall_into_the_bucket_that_holds_them() {
        let requests = Requests::default();
        let outcome = Ok(Answer {
            reply: Reply::Get(None),
            degraded: false,
        });
        for micros in [0, 20, 21, 10_000_000, 10_000_001] {
            let took = Duration::from_micros(micros);
            requests.record(Protocol::Grpc, Kind::Set, &outcome, took);
        }
        let durations = requests.durations(Protocol::Grpc, Kind::Set);
        assert_eq!(durations.count, 5);
        assert_eq!(durations.buckets[0], (20e-6, 2));
        assert_eq!(durations.buckets[1], (50e-6, 1));
        assert_eq!(durations.buckets[13], (10.0, 1));
        assert_eq!(durations.buckets[14], (f64::INFINITY, 1));
        assert!((durations.sum - 20.000042).abs() < 1e-9);
    }
    #[test]
    fn bounds_ascend_and_those_of_metrics_are_among_them() {
        assert!(BOUNDS_MICROS.is_sorted_by(|one, next| one < next));
        assert_eq!(BOUNDS_MICROS[..8], [1, 2, 3, 4, 5, 6, 8, 10]);
        assert_eq!(BOUNDS_MICROS[BUCKETS - 1], 100_000_000);
        let wide = BOUNDS_MICROS.windows(2).skip(7);
        assert!(wide.clone().all(|pair| pair[1] * 3 <= pair[0] * 4));
        assert!(TOLD_MICROS.iter().all(|told| BOUNDS_MICROS.contains(told)));
    }

    #[test]
    fn latency_is_of_all_kinds_and_the_slowest_are_in_it() {
        let requests = Requests::default();
        let took = [Duration::from_micros(7), Duration::from_secs(500)];
        for (protocol, took) in [Protocol::Rest, Protocol::Peer].into_iter().zip(took) {
            requests.record_many(protocol, Kind::Get, Ending::Done, took, 3);
        }
        let latency = requests.latency();
        assert_eq!((latency[6], latency[BUCKETS - 1]), (3, 3));
        assert_eq!(latency.iter().sum::<u64>(), 6);
    }
}
