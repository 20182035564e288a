//! Changes of the layout as operators see them: plans, operations, progress.

use std::collections::BTreeMap;
use std::time::Duration;

use cached_proto::operations::{
    MoveCounts, OperationKind, OperationRecord, OperationState, ProgressRecord,
};
use cached_proto::pb::cached::admin::v1 as pb;
use cached_proto::types::{Invalid, NodeName};
use serde::{Deserialize, Serialize};
use tonic::Streaming;

use super::Answered;
use crate::error::Error;
use crate::status::error_of;

/// A change of the layout to be planned; empty: only where shares are uneven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanAsk {
    /// Members that wait, or were drained: get their share.
    pub join: Vec<NodeName>,
    /// Own no slots, and stay members.
    pub drain: Vec<NodeName>,
    /// Are not drained any more.
    pub undrain: Vec<NodeName>,
    /// Own no slots, and end.
    pub remove: Vec<NodeName>,
    /// New weights.
    pub weights: BTreeMap<NodeName, u32>,
    /// What does not fit may be dropped, coldest first.
    pub shed: bool,
}

impl PlanAsk {
    pub(super) fn message(&self, by: &str) -> pb::PlanRequest {
        let names = |names: &[NodeName]| names.iter().map(ToString::to_string).collect();
        let weights = self.weights.iter();
        pb::PlanRequest {
            join: names(&self.join),
            drain: names(&self.drain),
            undrain: names(&self.undrain),
            remove: names(&self.remove),
            weights: weights
                .map(|(name, weight)| (name.to_string(), *weight))
                .collect(),
            shed: self.shed,
            by: by.to_owned(),
            id: String::new(),
        }
    }
}

/// What was planned, and whether it can be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Of the operation that it would be; empty when it could not be planned: the checks
    /// say why.
    pub id: String,
    /// The layout that it starts from.
    pub base_layout: u64,
    /// From whom to whom.
    pub moves: Vec<PlanMove>,
    /// What becomes of the receivers.
    pub receivers: Vec<PlanReceiver>,
    /// Whether it can be carried out.
    pub checks: Vec<PlanCheck>,
    /// What it would be.
    pub operation: Option<Operation>,
}

/// Slots that go from one member to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanMove {
    /// The owner until now.
    pub from: String,
    /// The owner by the plan.
    pub to: String,
    /// How many.
    pub slots: u32,
    /// Entries in them, about.
    pub keys: u64,
    /// Their bytes, about.
    pub bytes: u64,
    /// Runs of neighbouring slots.
    pub ranges: u32,
}

/// A receiver's memory before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanReceiver {
    /// Who.
    pub name: String,
    /// Its bound.
    pub memory_limit_bytes: u64,
    /// Now.
    pub memory_used_bytes: u64,
    /// About, when all has moved.
    pub memory_after_bytes: u64,
    /// Entries that it receives.
    pub keys: u64,
    /// Entries that will not fit, about.
    pub evictions: u64,
    /// Why it could not be asked; its memory is then 0.
    pub error: Option<String>,
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// Well.
    Ok,
    /// To be known, no obstacle.
    Warning,
    /// The plan must not be applied as it is.
    Refused,
}

/// One check of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanCheck {
    /// memory, registry, operation, members, nothing-to-do.
    pub name: String,
    /// What it came to.
    pub result: CheckResult,
    /// Why, for people.
    pub detail: String,
    /// Bytes that receivers lack.
    pub shortfall_bytes: u64,
}

impl TryFrom<pb::PlanResponse> for Plan {
    type Error = Invalid;

    fn try_from(plan: pb::PlanResponse) -> Result<Self, Invalid> {
        let operation = plan.operation.map(Operation::try_from).transpose()?;
        Ok(Self {
            id: plan.id,
            base_layout: plan.base_layout,
            moves: plan.moves.into_iter().map(PlanMove::from).collect(),
            receivers: plan.receivers.into_iter().map(PlanReceiver::from).collect(),
            checks: plan.checks.into_iter().map(PlanCheck::from).collect(),
            operation,
        })
    }
}

impl From<pb::PlanMove> for PlanMove {
    fn from(moved: pb::PlanMove) -> Self {
        Self {
            from: moved.from,
            to: moved.to,
            slots: moved.slots,
            keys: moved.keys,
            bytes: moved.bytes,
            ranges: moved.ranges,
        }
    }
}

impl From<pb::PlanReceiver> for PlanReceiver {
    fn from(receiver: pb::PlanReceiver) -> Self {
        Self {
            name: receiver.name,
            memory_limit_bytes: receiver.memory_limit_bytes,
            memory_used_bytes: receiver.memory_used_bytes,
            memory_after_bytes: receiver.memory_after_bytes,
            keys: receiver.keys,
            evictions: receiver.evictions,
            error: Some(receiver.error).filter(|error| !error.is_empty()),
        }
    }
}

impl From<pb::PlanCheck> for PlanCheck {
    fn from(check: pb::PlanCheck) -> Self {
        let result = match check.result() {
            pb::CheckResult::Ok => CheckResult::Ok,
            pb::CheckResult::Refused => CheckResult::Refused,
            // A newer node's word that this client does not know is no permission.
            pb::CheckResult::Warning | pb::CheckResult::Unspecified => CheckResult::Warning,
        };
        Self {
            name: check.name,
            result,
            detail: check.detail,
            shortfall_bytes: check.shortfall_bytes,
        }
    }
}

/// How a plan is carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Bytes per second over all senders; 0: as fast as it goes.
    pub max_rate_bytes: u64,
    /// It fails when it is not done by then, from now; `None`: never.
    pub deadline: Option<Duration>,
    /// What does not fit may be dropped, coldest first.
    pub shed: bool,
    /// Why, for the others.
    pub message: String,
}

impl ApplyOptions {
    pub(super) fn message(&self, id: &str, base_layout: u64, by: &str) -> pb::ApplyPlanRequest {
        let deadline = self.deadline.map_or(0, |deadline| deadline.as_millis());
        pb::ApplyPlanRequest {
            id: id.to_owned(),
            base_layout,
            max_rate_bytes: self.max_rate_bytes,
            deadline_ms: u64::try_from(deadline).unwrap_or(u64::MAX),
            shed: self.shed,
            message: self.message.clone(),
            by: by.to_owned(),
        }
    }
}

/// What is done to an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// No further batch is begun.
    Pause,
    /// They are begun again.
    Resume,
    /// It ends; what has moved stays where it is.
    Cancel,
    /// Bytes per second over all senders; 0: as fast as it goes.
    Rate(u64),
}

impl Control {
    pub(super) fn message(self, id: &str, by: &str) -> pb::ControlOperationRequest {
        let (control, rate_bytes) = match self {
            Self::Pause => (pb::OperationControl::Pause, 0),
            Self::Resume => (pb::OperationControl::Resume, 0),
            Self::Cancel => (pb::OperationControl::Cancel, 0),
            Self::Rate(rate) => (pb::OperationControl::Rate, rate),
        };
        pb::ControlOperationRequest {
            id: id.to_owned(),
            control: control.into(),
            rate_bytes,
            by: by.to_owned(),
        }
    }
}

/// A change of the layout: what it is, where it stands, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// `op-` and eight hexadecimal digits.
    pub id: String,
    /// What kind.
    pub kind: OperationKind,
    /// Where it stands.
    pub state: OperationState,
    /// The members that it is about.
    pub nodes: Vec<String>,
    /// The layout that it started from.
    pub base_layout: u64,
    /// The layout that carries it out; 0 before it runs.
    pub layout: u64,
    /// Who asked; `auto`: the cluster itself.
    pub by: String,
    /// Why.
    pub message: String,
    /// Unix milliseconds; 0: not yet.
    pub requested_at_ms: u64,
    /// Unix milliseconds; 0: not yet.
    pub started_at_ms: u64,
    /// Unix milliseconds; 0: not yet.
    pub finished_at_ms: u64,
    /// Unix milliseconds; 0: none.
    pub deadline_at_ms: u64,
    /// Bytes per second; 0: as fast as it goes.
    pub max_rate_bytes: u64,
    /// What does not fit may be dropped.
    pub shed: bool,
    /// It is being cancelled.
    pub cancelling: bool,
    /// Why it was refused or failed, and what is left.
    pub reason: String,
    /// What was merged into it.
    pub merged: Vec<String>,
    /// What was moved, by the registry.
    pub moved: MoveCounts,
    /// Slots still to move.
    pub slots_left: u32,
    /// Entries in them, about.
    pub keys_left: u64,
    /// Their bytes, about.
    pub bytes_left: u64,
    /// Over the last seconds.
    pub bytes_per_second: u64,
    /// Until it is done; `None`: unknown.
    pub eta: Option<Duration>,
    /// By sender and receiver.
    pub pairs: Vec<PairProgress>,
    /// Senders that could not be asked.
    pub unanswered: Vec<String>,
}

/// One sender and one receiver of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PairProgress {
    /// The sender.
    pub from: String,
    /// The receiver.
    pub to: String,
    /// What was moved, by the registry.
    pub moved: MoveCounts,
    /// Slots still to move.
    pub slots_left: u32,
    /// Entries in them, about.
    pub keys_left: u64,
    /// Their bytes, about.
    pub bytes_left: u64,
    /// Over the last seconds.
    pub bytes_per_second: u64,
    /// Under way now.
    pub batches: Vec<BatchProgress>,
    /// Tries in a row that came to nothing.
    pub tries: u32,
    /// What it waits for; empty: nothing.
    pub blocked: String,
    /// How long.
    pub blocked_for: Duration,
    /// What the last try ended with.
    pub last_error: String,
    /// When the next one begins.
    pub next_try_in: Duration,
    /// Writers wait, so that it comes to an end.
    pub throttled: bool,
}

/// Slots of one page on their way together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchProgress {
    /// The page.
    pub page: u32,
    /// Number of the try.
    pub attempt: u64,
    /// The slots.
    pub slots: Vec<u32>,
    /// offering, copying, sealed, committing, in-doubt.
    pub state: String,
    /// Entries so far.
    pub keys_sent: u64,
    /// Bytes so far.
    pub bytes_sent: u64,
    /// Entries at its beginning.
    pub keys_total: u64,
    /// Bytes at its beginning.
    pub bytes_total: u64,
}

impl Operation {
    /// One that an answer must hold.
    pub(super) fn read(operation: Option<pb::OperationRecord>) -> Result<Self, Invalid> {
        operation
            .ok_or_else(|| Invalid::new("operation", "is missing"))?
            .try_into()
    }
}

impl Operation {
    /// What the registry holds of one, with what each of its senders has moved. What is
    /// left is not known.
    pub(crate) fn of_record(
        record: OperationRecord,
        progress: &BTreeMap<(String, NodeName), ProgressRecord>,
    ) -> Self {
        let own = progress.iter().filter(|((id, _), _)| *id == record.id);
        let pairs: Vec<PairProgress> = own
            .flat_map(|((_, from), progress)| {
                progress.to.iter().map(|(to, moved)| PairProgress {
                    from: from.to_string(),
                    to: to.to_string(),
                    moved: *moved,
                    ..PairProgress::default()
                })
            })
            .collect();
        let mut moved = MoveCounts::default();
        pairs.iter().for_each(|pair| moved.add(&pair.moved));
        Self {
            id: record.id,
            kind: record.kind,
            state: record.state,
            nodes: record.nodes.iter().map(ToString::to_string).collect(),
            base_layout: record.base_layout,
            layout: record.layout,
            by: record.by,
            message: record.message,
            requested_at_ms: record.requested_ms,
            started_at_ms: record.started_ms,
            finished_at_ms: record.finished_ms,
            deadline_at_ms: record.deadline_ms,
            max_rate_bytes: record.max_rate,
            shed: record.shed,
            cancelling: record.cancel && !record.state.is_final(),
            reason: record.reason,
            merged: record.merged,
            moved,
            slots_left: 0,
            keys_left: 0,
            bytes_left: 0,
            bytes_per_second: 0,
            eta: None,
            pairs,
            unanswered: Vec::new(),
        }
    }
}

impl TryFrom<pb::OperationRecord> for Operation {
    type Error = Invalid;

    fn try_from(record: pb::OperationRecord) -> Result<Self, Invalid> {
        let eta = Some(record.eta_ms).filter(|ms| *ms > 0);
        Ok(Self {
            kind: record.kind.parse()?,
            state: record.state.parse()?,
            id: record.id,
            nodes: record.nodes,
            base_layout: record.base_layout,
            layout: record.layout,
            by: record.by,
            message: record.message,
            requested_at_ms: record.requested_at_ms,
            started_at_ms: record.started_at_ms,
            finished_at_ms: record.finished_at_ms,
            deadline_at_ms: record.deadline_at_ms,
            max_rate_bytes: record.max_rate_bytes,
            shed: record.shed,
            cancelling: record.cancelling,
            reason: record.reason,
            merged: record.merged,
            moved: counts(record.moved),
            slots_left: record.slots_left,
            keys_left: record.keys_left,
            bytes_left: record.bytes_left,
            bytes_per_second: record.bytes_per_second,
            eta: eta.map(Duration::from_millis),
            pairs: record.pairs.into_iter().map(PairProgress::from).collect(),
            unanswered: record.unanswered,
        })
    }
}

impl From<pb::PairProgress> for PairProgress {
    fn from(pair: pb::PairProgress) -> Self {
        Self {
            from: pair.from,
            to: pair.to,
            moved: counts(pair.moved),
            slots_left: pair.slots_left,
            keys_left: pair.keys_left,
            bytes_left: pair.bytes_left,
            bytes_per_second: pair.bytes_per_second,
            batches: pair.batches.into_iter().map(BatchProgress::from).collect(),
            tries: pair.tries,
            blocked: pair.blocked,
            blocked_for: Duration::from_millis(pair.blocked_for_ms),
            last_error: pair.last_error,
            next_try_in: Duration::from_millis(pair.next_try_in_ms),
            throttled: pair.throttled,
        }
    }
}

impl From<pb::BatchProgress> for BatchProgress {
    fn from(batch: pb::BatchProgress) -> Self {
        Self {
            page: batch.page,
            attempt: batch.attempt,
            slots: batch.slots,
            state: batch.state,
            keys_sent: batch.keys_sent,
            bytes_sent: batch.bytes_sent,
            keys_total: batch.keys_total,
            bytes_total: batch.bytes_total,
        }
    }
}

fn counts(counts: Option<pb::MoveCounts>) -> MoveCounts {
    let counts = counts.unwrap_or_default();
    MoveCounts {
        slots: counts.slots,
        keys: counts.keys,
        bytes: counts.bytes,
        sent: counts.sent,
        acknowledged: counts.acknowledged,
        skipped: counts.skipped,
        failed: counts.failed,
        failures: counts.failures,
        shed: counts.shed,
    }
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationChange {
    /// Where to go on after it.
    pub sequence: u64,
    /// As it is now.
    pub operation: Operation,
}

/// A node's stream of changes.
#[derive(Debug)]
pub(super) struct OperationFeed {
    pub(super) address: String,
    pub(super) stream: Streaming<pb::WatchOperationsResponse>,
}

impl OperationFeed {
    /// The next change; an error ends the feed.
    pub(super) async fn next(&mut self) -> Result<Answered<OperationChange>, Error> {
        match self.stream.message().await {
            Ok(Some(told)) => {
                let change = OperationChange {
                    sequence: told.sequence,
                    operation: Operation::read(told.operation)?,
                };
                Ok(Answered {
                    endpoint: self.address.clone(),
                    value: change,
                })
            }
            Ok(None) => Err(Error::Unreachable(format!(
                "{}: ended its stream",
                self.address
            ))),
            Err(status) => Err(error_of(&self.address, &status)),
        }
    }
}
