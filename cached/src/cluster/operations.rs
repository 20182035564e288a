//! What operators change of the layout: plans, requests for them, and control of what
//! runs, each in one transaction.

use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::limits::LAYOUTS_KEPT;
use cached_proto::operations::{OperationRecord, OperationState};
use cached_proto::records::PlanRecord;
use cached_proto::registry_keys::RegistryKey;
use cached_proto::types::Invalid;

use super::draft::{Ask, draft};
use super::operator::{not_a_member, unread};
use super::shared::Shared;
use super::view::{ClusterView, OperationView};
use crate::registry::{Compare, Range, Record};

/// How long to wait for the planner's word on a request: it looks at it at once, unless
/// it is being elected.
const DECIDED_WITHIN: Duration = Duration::from_secs(4);

/// Tries to change a record that others change as well.
const TRIES: usize = 5;

/// Longest message of an operation, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 256;

/// How a planned operation shall be carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// Bytes per second over all senders; 0: as fast as it goes.
    pub max_rate: u64,
    /// It fails when it is not done within this time; `None`: never.
    pub deadline: Option<Duration>,
    /// What does not fit at a receiver may be dropped.
    pub shed: bool,
    /// Why, in the operator's words; at most [`MESSAGE_BYTES_MAX`].
    pub message: String,
    /// Who asks, as `user@host`.
    pub by: String,
}

/// What can be done to an operation that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Begin no further batch.
    Pause,
    /// Go on.
    Resume,
    /// End it; every slot stays where it is.
    Cancel,
    /// Bytes per second over all senders; 0: as fast as it goes.
    Rate(u64),
}

impl Shared {
    pub(super) async fn plan(&self, ask: Ask) -> Result<OperationRecord, Failure> {
        let now_ms = self.clock.wall().0;
        let drafted = draft(&self.view.load(), &ask, self.random(), now_ms)?;
        let record = drafted.record;
        let key = self.operation_key(&record.id);
        let compares = vec![Compare::CreateRevision(key.clone(), 0)];
        if !self.change(compares, self.put(key, &record)).await? {
            return Err(not_a_member());
        }
        self.seen(|view| view.operation(&record.id).is_some()).await;
        Ok(record)
    }

    pub(super) async fn apply(
        &self,
        id: &str,
        base_layout: u64,
        options: ApplyOptions,
    ) -> Result<OperationRecord, Failure> {
        if options.message.len() > MESSAGE_BYTES_MAX {
            let length = options.message.len();
            let problem = format!("has {length} bytes; the limit is {MESSAGE_BYTES_MAX}");
            return Err(Invalid::new("message", problem).into());
        }
        let (record, mod_revision) = self.operation(id).await?;
        match record.state {
            OperationState::Planned => {}
            // Asked for a second time, by one who did not hear the answer.
            OperationState::Requested => return Ok(self.decided(record).await),
            state if state.is_open() => return Ok(record),
            _ => return Err(not_open(&record)),
        }
        if self.view.load().layout < record.base_layout {
            // Planned on a node that knows more.
            self.seen(|view| view.layout >= record.base_layout).await;
        }
        let view = self.view.load_full();
        if let Some(open) = other_open(&view, &record)? {
            return Ok(open);
        }
        if base_layout != record.base_layout || record.base_layout != view.layout {
            let (base, layout) = (record.base_layout.min(base_layout), view.layout);
            let text = format!(
                "{id} was planned for layout {base}, and the layout is {layout} now: plan again"
            );
            return Err(Failure::new(FailureCode::Conflict, text));
        }
        let now_ms = self.clock.wall().0;
        let deadline = options.deadline.map(|deadline| deadline.as_millis());
        let deadline = deadline.map_or(0, |ms| now_ms.saturating_add(clamped(ms)));
        let record = OperationRecord {
            state: OperationState::Requested,
            requested_ms: now_ms,
            deadline_ms: deadline,
            max_rate: options.max_rate,
            shed: record.shed || options.shed,
            message: options.message,
            by: options.by,
            ..record
        };
        let key = self.operation_key(id);
        let compares = vec![Compare::ModRevision(key.clone(), mod_revision)];
        if !self.change(compares, self.put(key, &record)).await? {
            let text = format!("{id} was changed meanwhile; look again");
            return Err(Failure::new(FailureCode::Conflict, text));
        }
        Ok(self.decided(record).await)
    }

    /// A requested operation as the planner has decided, or as it was asked for if it has
    /// not in time.
    async fn decided(&self, record: OperationRecord) -> OperationRecord {
        let decided = |view: &ClusterView| {
            let operation = view.operation(&record.id)?;
            let waits = matches!(
                operation.record.state,
                OperationState::Planned | OperationState::Requested
            );
            (!waits).then(|| operation.record.clone())
        };
        self.view.ask_refresh();
        let wait = async {
            let mut view = self.view.load_full();
            loop {
                if let Some(record) = decided(&view) {
                    return record;
                }
                view = self.view.newer_than(view.number).await;
            }
        };
        tokio::select! { biased;
            decided = wait => decided,
            () = self.clock.sleep(DECIDED_WITHIN) => record.clone(),
        }
    }

    pub(super) async fn control(
        &self,
        id: &str,
        control: Control,
        by: &str,
    ) -> Result<OperationRecord, Failure> {
        for _ in 0..TRIES {
            let (mut record, mod_revision) = self.operation(id).await?;
            if !record.state.is_open() {
                return Err(not_open(&record));
            }
            let before = record.clone();
            match control {
                Control::Pause => record.state = OperationState::Paused,
                Control::Resume => record.state = OperationState::Running,
                Control::Rate(rate) => record.max_rate = rate,
                Control::Cancel if !record.cancel => {
                    record.cancel = true;
                    record.reason = format!("cancelled by {by}");
                }
                Control::Cancel => {}
            }
            if record == before {
                return Ok(record);
            }
            let key = self.operation_key(id);
            let compares = vec![Compare::ModRevision(key.clone(), mod_revision)];
            if self.change(compares, self.put(key, &record)).await? {
                tracing::info!("operation {id}: {control:?} by {by}");
                let newer = |view: &OperationView| view.mod_revision > mod_revision;
                self.seen(|view| view.operation(id).is_some_and(|op| newer(op)))
                    .await;
                return Ok(record);
            }
        }
        let text = format!("{id} changes too often, or this node is no member now; try again");
        Err(Failure::new(FailureCode::Conflict, text))
    }

    /// The plan of a layout, as long as it is kept.
    pub(super) async fn layout(&self, layout: u64) -> Result<PlanRecord, Failure> {
        let now = self.view.load().layout;
        let range = Range::Key(self.keys.key(&RegistryKey::Layout(layout)));
        let held = self.registry.read(range).await.map_err(unread)?;
        let record = held.records.first();
        let record = record.map(|it| serde_json::from_slice::<PlanRecord>(&it.value));
        let record = record.transpose().map_err(|error| {
            let text = format!("layout {layout} is unreadable: {error}");
            Failure::new(FailureCode::Internal, text)
        })?;
        record.filter(|it| it.layout == layout).ok_or_else(|| {
            let oldest = (now + 1).saturating_sub(LAYOUTS_KEPT).max(1);
            let text = format!(
                "layout {layout} is not kept: {now} is in force, and the last {LAYOUTS_KEPT} are kept ({oldest} to {now})"
            );
            Failure::new(FailureCode::NotFound, text)
        })
    }

    /// An operation as the registry holds it, with the revision of its last change.
    async fn operation(&self, id: &str) -> Result<(OperationRecord, i64), Failure> {
        let unknown = || {
            let text = format!("there is no operation {id}; plans are kept for 15 minutes");
            Failure::new(FailureCode::NotFound, text)
        };
        if !OperationRecord::is_id(id) {
            return Err(unknown());
        }
        let range = Range::Key(self.operation_key(id));
        let held = self.registry.read(range).await.map_err(unread)?;
        let held = held.records.first().ok_or_else(unknown)?;
        let Record {
            value,
            mod_revision,
            ..
        } = held;
        let record = serde_json::from_slice(value).map_err(|error| {
            let text = format!("operation {id} is unreadable: {error}");
            Failure::new(FailureCode::Internal, text)
        })?;
        Ok((record, *mod_revision))
    }

    fn operation_key(&self, id: &str) -> String {
        self.keys.key(&RegistryKey::Operation(id.to_owned()))
    }
}

/// Another operation that is open: the same change, to watch that one, or a reason to
/// refuse.
fn other_open(
    view: &ClusterView,
    record: &OperationRecord,
) -> Result<Option<OperationRecord>, Failure> {
    let Some(open) = view.open_operation().map(|open| &open.record) else {
        return Ok(None);
    };
    let same = open.kind == record.kind && open.nodes == record.nodes;
    if same && open.state == OperationState::Running && !open.cancel {
        return Ok(Some(open.clone()));
    }
    let (id, kind, state) = (&open.id, open.kind.name(), open.state.name());
    let nodes: Vec<&str> = open.nodes.iter().map(|name| name.as_str()).collect();
    let text = format!("operation {id} ({kind} {}) is {state}", nodes.join(", "));
    Err(Failure::new(FailureCode::Conflict, text))
}

fn clamped(ms: u128) -> u64 {
    u64::try_from(ms).unwrap_or(u64::MAX)
}

fn not_open(record: &OperationRecord) -> Failure {
    let (id, state) = (&record.id, record.state.name());
    let text = format!("operation {id} is {state}");
    Failure::new(FailureCode::Conflict, text)
}
