//! Changes of the layout: planned, checked, asked for, followed.
//!
//! Reading order: `mod` (what is asked), `pairs` (pure: who sends how much to whom),
//! `preflight` (pure: whether a plan can be carried out), `describe` (pure: an
//! operation as it is told), `live` (what senders say now), `watch`.

mod describe;
mod live;
mod pairs;
mod preflight;
mod watch;

pub use watch::OperationWatch;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operations::{OperationRecord, OperationState};
use cached_proto::pb::cached::admin::v1 as pb;
use cached_proto::types::NodeName;

use super::{Operator, check_note};
use crate::cluster::draft::Ask;
use crate::cluster::operations::{ApplyOptions, Control};
use crate::journal::{Note, Severity};

impl Operator {
    /// Plans a change of the layout, keeps the plan, and checks whether it can be
    /// carried out. What cannot be planned at all has no id, and a check that says why.
    pub async fn plan(&self, ask: Ask) -> Result<pb::PlanResponse, Failure> {
        check_note("by", &ask.by)?;
        let view = self.parts.view.load_full();
        let impossible = preflight::impossible(&view, &ask);
        if !impossible.is_empty() {
            return Ok(pb::PlanResponse {
                base_layout: view.layout,
                checks: impossible,
                ..pb::PlanResponse::default()
            });
        }
        let shed = ask.shed;
        let record = self.parts.cluster.plan(ask).await?;
        tracing::info!(operation = %record.id, by = record.by, kind = %record.kind, "planned");
        self.preflight(record, shed).await
    }

    /// Checks once more whether what was planned under an id can be carried out.
    pub async fn planned(&self, id: &str, shed: bool) -> Result<pb::PlanResponse, Failure> {
        let view = self.parts.view.load_full();
        let record = &view.operation(id).ok_or_else(|| unknown(id))?.record;
        if record.state != OperationState::Planned {
            let message = format!("{id} is no plan any more: it is {}", record.state);
            return Err(Failure::new(FailureCode::Conflict, message));
        }
        self.preflight(record.clone(), shed || record.shed).await
    }

    async fn preflight(
        &self,
        record: OperationRecord,
        shed: bool,
    ) -> Result<pb::PlanResponse, Failure> {
        let stats = self.stats(false).await.nodes;
        let view = self.parts.view.load_full();
        preflight::preflight(&preflight::Known {
            view: &view,
            stats: &stats,
            registry: &self.parts.cluster.registry_status(),
            record: &record,
            shed,
        })
    }

    /// Asks for what was planned, as it was shown.
    pub async fn apply_plan(
        &self,
        id: &str,
        base_layout: u64,
        options: ApplyOptions,
    ) -> Result<pb::OperationRecord, Failure> {
        check_note("by", &options.by)?;
        check_note("message", &options.message)?;
        let by = options.by.clone();
        let record = self.parts.cluster.apply(id, base_layout, options).await?;
        tracing::info!(operation = id, by, state = %record.state, "asked for");
        Ok(self.tell_operation(&record).await)
    }

    /// Pauses, resumes, cancels an operation, or changes its rate.
    pub async fn control_operation(
        &self,
        id: &str,
        control: Control,
        by: &str,
    ) -> Result<pb::OperationRecord, Failure> {
        check_note("by", by)?;
        let record = self.parts.cluster.control(id, control, by).await?;
        tracing::info!(operation = id, by, ?control, state = %record.state, "controlled");
        let (code, what) = match control {
            Control::Pause => ("operation-paused", "paused".to_owned()),
            Control::Resume => ("operation-resumed", "resumed".to_owned()),
            Control::Cancel => ("operation-cancelling", "asked to cancel".to_owned()),
            Control::Rate(0) => ("operation-rate", "took the limit off".to_owned()),
            Control::Rate(rate) => ("operation-rate", format!("limited to {rate} B/s")),
        };
        let text = format!("{what} {id}");
        self.note(Note::new(Severity::Info, code, id, text).by(by));
        Ok(self.tell_operation(&record).await)
    }

    /// All operations that the registry remembers, oldest first; what is only planned
    /// on demand.
    pub async fn operations(&self, planned_too: bool) -> Vec<pb::OperationRecord> {
        let view = self.parts.view.load_full();
        let live = match view.open_operation() {
            Some(_) => self.live(&view).await,
            None => live::Live::default(),
        };
        let shown = view
            .operations
            .iter()
            .filter(|known| planned_too || known.record.state != OperationState::Planned);
        let now = self.parts.clock.now();
        shown
            .map(|known| describe::operation(&view, known, &live, now))
            .collect()
    }

    /// A record that was written a moment ago, with what has been moved for it.
    async fn tell_operation(&self, record: &OperationRecord) -> pb::OperationRecord {
        let view = self.parts.view.load_full();
        // Before the change is seen here, the record alone is right.
        let seen = view.operation(&record.id);
        match seen.filter(|known| known.record == *record) {
            Some(known) => {
                let live = self.live(&view).await;
                describe::operation(&view, known, &live, self.parts.clock.now())
            }
            None => describe::record(record),
        }
    }
}

fn unknown(id: &str) -> Failure {
    let message = format!("no operation has the id {id:?}; `migrations list` names them");
    Failure::new(FailureCode::NotFound, message)
}

/// Members in a list, for people.
fn names<'a>(names: impl IntoIterator<Item = &'a NodeName>) -> String {
    let names: Vec<&str> = names.into_iter().map(NodeName::as_str).collect();
    names.join(", ")
}
