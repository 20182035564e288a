//! What of a batch is still to be sent, and how it is cut into messages. Pure.

use std::time::Duration;

use cached_proto::convert::operation_to_pb;
use cached_proto::failure::FailureCode;
use cached_proto::limits::{BATCH_OPERATIONS_MAX, MESSAGE_OVERHEAD_BYTES};
use cached_proto::operation::{Answer, Operation};
use cached_proto::pb::cached::cache::v1::PipelineRequest;
use cached_proto::types::GroupName;

use crate::call::size;
use crate::error::Error;
use crate::route::{Attempts, Target};

/// How much smaller chunks become when an answer did not fit into a message: in four
/// steps from a full batch to single operations.
const SHRINK_BY: usize = 8;

/// What an operation costs in a message beside key and value: route, condition,
/// lengths, and the group's name.
const OPERATION_OVERHEAD_BYTES: usize = 160;

/// What one operation came to.
pub(super) type Outcome = Result<Answer, Error>;

/// An operation that has no result yet.
#[derive(Debug)]
pub(super) struct Pending {
    /// Its place in the batch.
    pub(super) index: usize,
    pub(super) operation: Operation,
    pub(super) attempts: Attempts,
}

/// An operation on its way to a node.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) pending: Pending,
    pub(super) target: Target,
}

/// Most operations and bytes of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    operations: usize,
    bytes: usize,
}

impl Chunk {
    /// As much as a message may hold.
    pub(super) fn largest(message_bytes_max: usize) -> Self {
        let bytes = message_bytes_max.saturating_sub(MESSAGE_OVERHEAD_BYTES);
        Self {
            operations: BATCH_OPERATIONS_MAX,
            bytes,
        }
    }

    /// Cuts operations into messages, in order; each message holds at least one.
    pub(super) fn requests(self, group: &GroupName, sent: &[Sent]) -> Vec<PipelineRequest> {
        let mut requests: Vec<PipelineRequest> = Vec::new();
        let (mut room, mut bytes_left) = (0, 0);
        for Sent { pending, target } in sent {
            let bytes = size(&pending.operation) + OPERATION_OVERHEAD_BYTES;
            let alone = pending.operation.travels_alone();
            if room == 0 || bytes > bytes_left || alone {
                requests.push(PipelineRequest::default());
                (room, bytes_left) = (self.operations, self.bytes);
            }
            room = if alone { 0 } else { room - 1 };
            bytes_left = bytes_left.saturating_sub(bytes);
            let operation = operation_to_pb(group, pending.operation.clone(), target.route);
            if let Some(request) = requests.last_mut() {
                request.operations.push(operation);
            }
        }
        requests
    }
}

/// What is sent next.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) pending: Vec<Pending>,
    /// How long to wait before.
    pub(super) pause: Duration,
    pub(super) chunk: Chunk,
    /// Chunk of the round before.
    before: Chunk,
}

impl Round {
    pub(super) fn new(chunk: Chunk) -> Self {
        Self {
            pending: Vec::new(),
            pause: Duration::ZERO,
            chunk,
            before: chunk,
        }
    }

    /// Sends an operation again, not earlier than after `pause`.
    pub(super) fn keep(&mut self, pending: Pending, pause: Duration) {
        self.pause = self.pause.max(pause);
        self.pending.push(pending);
    }

    /// Makes chunks smaller when `error` says that the answer did not fit; false when
    /// it does not say so, or they cannot get smaller.
    pub(super) fn shrink_for(&mut self, error: &Error) -> bool {
        let too_large =
            matches!(error, Error::Failed(failure) if failure.code == FailureCode::TooLarge);
        if !too_large || self.before.operations == 1 {
            return false;
        }
        self.chunk.operations = self.before.operations.div_ceil(SHRINK_BY);
        true
    }
}

#[cfg(test)]
mod tests {
    use cached_proto::failure::Failure;
    use cached_proto::operation::{Condition, Route};
    use cached_proto::types::Key;
    use cached_proto::update::{Change, Returns, Update};

    use super::*;
    use crate::backoff::Backoff;

    fn sent(value_bytes: usize) -> Sent {
        let operation = Operation::Set {
            key: Key::new("k").unwrap(),
            value: vec![0; value_bytes].into(),
            ttl: None,
            condition: Condition::Always,
        };
        let attempts = Attempts::new(Backoff::call(0));
        let target = Target {
            address: "n:1".to_owned(),
            route: Route::Forward,
        };
        Sent {
            pending: Pending {
                index: 0,
                operation,
                attempts,
            },
            target,
        }
    }

    #[test]
    fn chunks_hold_so_many_operations_and_bytes() {
        let group = GroupName::new("g").unwrap();
        let chunk = Chunk {
            operations: 3,
            bytes: 1000,
        };
        for (sizes, expected) in [
            (vec![], vec![]),
            (vec![1, 1, 1, 1, 1, 1, 1], vec![3, 3, 1]),
            (vec![300, 300, 300, 300], vec![2, 2]),
            (vec![1, 5000, 1], vec![1, 1, 1]),
        ] {
            let sent: Vec<Sent> = sizes.iter().copied().map(sent).collect();
            let requests = chunk.requests(&group, &sent);
            let lengths: Vec<usize> = requests.iter().map(|it| it.operations.len()).collect();
            assert_eq!(lengths, expected, "{sizes:?}");
        }
    }

    #[test]
    fn an_update_that_answers_a_value_travels_alone() {
        let mut all: Vec<Sent> = [1, 1, 1, 1].map(sent).into();
        let update = Update {
            change: Change::Remove,
            returns: Returns::Previous,
            ..Update::default()
        };
        let key = Key::new("k").unwrap();
        all[1].pending.operation = Operation::Update { key, update };
        let requests = Chunk::largest(usize::MAX).requests(&GroupName::new("g").unwrap(), &all);
        let lengths: Vec<usize> = requests.iter().map(|it| it.operations.len()).collect();
        assert_eq!(lengths, [1, 1, 2]);
    }

    #[test]
    fn chunks_shrink_to_single_operations_and_no_further() {
        let too_large = Failure::new(FailureCode::TooLarge, "").into();
        let mut chunk = Chunk::largest(usize::MAX);
        for expected in [128, 16, 2, 1] {
            let mut round = Round::new(chunk);
            assert!(round.shrink_for(&too_large) && round.shrink_for(&too_large));
            assert_eq!(round.chunk.operations, expected);
            chunk = round.chunk;
        }
        assert!(!Round::new(chunk).shrink_for(&too_large));
        let busy = Failure::new(FailureCode::Busy, "").into();
        assert!(!Round::new(Chunk::largest(usize::MAX)).shrink_for(&busy));
    }
}
