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
pub(super) const PROTOCOLS: [(Protocol, &str); 4] = [
    (Protocol::Rest, "rest"),
    (Protocol::Grpc, "grpc"),
    (Protocol::Resp, "resp"),
    (Protocol::Peer, "peer"),
];

/// All kinds with their label.
pub(super) const KINDS: [(Kind, &str); 6] = [
    (Kind::Get, "get"),
    (Kind::Set, "set"),
    (Kind::Delete, "delete"),
    (Kind::Touch, "touch"),
    (Kind::Update, "update"),
    (Kind::SetMany, "set_many"),
];

/// All endings with their label.
pub(super) const ENDINGS: [(Ending, &str); 4] = [
    (Ending::Done, "done"),
    (Ending::Not, "not"),
    (Ending::Failed, "failed"),
    (Ending::Unknown, "unknown"),
];

/// Upper bounds of the duration buckets in microseconds: from a read of the own
/// memory over a hop to a neighbour to the default timeout, three to a decade.
pub(super) const BUCKETS_MICROS: [u64; 14] = [
    20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 200_000, 1_000_000, 3_000_000,
    10_000_000,
];

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
    /// One more than the bounds: what took longer than the last.
    buckets: [AtomicU64; BUCKETS_MICROS.len() + 1],
    micros: AtomicU64,
}

/// Counts and durations of all requests.
#[derive(Debug, Default)]
pub struct Requests {
    cells: [[Cell; KINDS.len()]; PROTOCOLS.len()],
}

/// Durations as a histogram shows them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Durations {
    /// Sum in seconds.
    pub(super) sum: f64,
    /// How many.
    pub(super) count: u64,
    /// Upper bounds in seconds (the last is infinite), each with how many fell in
    /// between it and the one before.
    pub(super) buckets: Vec<(f64, u64)>,
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
        let bucket = BUCKETS_MICROS.partition_point(|bound| *bound < micros);
        cell.endings[ending as usize].fetch_add(times, Ordering::Relaxed);
        cell.buckets[bucket].fetch_add(times, Ordering::Relaxed);
        let micros = micros.saturating_mul(times);
        cell.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many requests of a kind came to an ending.
    pub fn count(&self, protocol: Protocol, kind: Kind, ending: Ending) -> u64 {
        let cell = &self.cells[protocol as usize][kind as usize];
        cell.endings[ending as usize].load(Ordering::Relaxed)
    }

    /// How long requests of a kind took.
    pub(super) fn durations(&self, protocol: Protocol, kind: Kind) -> Durations {
        let cell = &self.cells[protocol as usize][kind as usize];
        let bounds = BUCKETS_MICROS.iter().map(|micros| *micros as f64 / 1e6);
        let counts = cell
            .buckets
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        Durations {
            sum: cell.micros.load(Ordering::Relaxed) as f64 / 1e6,
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
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
}
