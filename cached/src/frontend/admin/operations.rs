//! Changes of the layout as messages: read, passed on, told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::Failure;
use cached_proto::limits::MEMBERS_MAX;
use cached_proto::pb::cached::admin::v1 as pb;
use cached_proto::types::{Invalid, NodeName};

use super::Follow;
use crate::frontend::FrontendParts;
use crate::frontend::auth::{Pass, Role};
use crate::operator::{ApplyOptions, Ask, Control, OperationWatch, Operator};

/// Plans what is asked, or checks once more what was planned.
pub(super) async fn plan(
    operator: &Operator,
    request: pb::PlanRequest,
) -> Result<pb::PlanResponse, Failure> {
    if request.id.is_empty() {
        return operator.plan(read_ask(request)?).await;
    }
    operator.planned(&request.id, request.shed).await
}

fn read_ask(request: pb::PlanRequest) -> Result<Ask, Invalid> {
    let weights = request.weights.into_iter();
    let weights = weights
        .map(|(name, weight)| Ok((name_of("weights", &name)?, weight)))
        .collect::<Result<_, Invalid>>()?;
    Ok(Ask {
        join: names("join", &request.join)?,
        drain: names("drain", &request.drain)?,
        undrain: names("undrain", &request.undrain)?,
        remove: names("remove", &request.remove)?,
        weights,
        shed: request.shed,
        by: request.by,
    })
}

fn names(field: &'static str, names: &[String]) -> Result<BTreeSet<NodeName>, Invalid> {
    if names.len() > MEMBERS_MAX {
        let problem = format!("names {} members; the limit is {MEMBERS_MAX}", names.len());
        return Err(Invalid::new(field, problem));
    }
    names.iter().map(|name| name_of(field, name)).collect()
}

fn name_of(field: &'static str, name: &str) -> Result<NodeName, Invalid> {
    NodeName::new(name).map_err(|bad| Invalid::new(field, bad.problem))
}

/// Asks for what was planned.
pub(super) async fn apply(
    operator: &Operator,
    request: pb::ApplyPlanRequest,
) -> Result<pb::ApplyPlanResponse, Failure> {
    let deadline = Some(request.deadline_ms).filter(|ms| *ms > 0);
    let options = ApplyOptions {
        max_rate: request.max_rate_bytes,
        deadline: deadline.map(Duration::from_millis),
        shed: request.shed,
        message: request.message,
        by: request.by,
    };
    let applied = operator
        .apply_plan(&request.id, request.base_layout, options)
        .await?;
    Ok(pb::ApplyPlanResponse {
        operation: Some(applied),
    })
}

/// Changes how an operation goes on.
pub(super) async fn control(
    operator: &Operator,
    request: pb::ControlOperationRequest,
) -> Result<pb::ControlOperationResponse, Failure> {
    let control = match request.control() {
        pb::OperationControl::Pause => Control::Pause,
        pb::OperationControl::Resume => Control::Resume,
        pb::OperationControl::Cancel => Control::Cancel,
        pb::OperationControl::Rate => Control::Rate(request.rate_bytes),
        pb::OperationControl::Unspecified => {
            let problem = "is missing or not known; say pause, resume, cancel or rate";
            return Err(Invalid::new("control", problem).into());
        }
    };
    let controlled = operator
        .control_operation(&request.id, control, &request.by)
        .await?;
    Ok(pb::ControlOperationResponse {
        operation: Some(controlled),
    })
}

/// A caller that follows operations.
pub(super) struct OperationFollower {
    parts: Arc<FrontendParts>,
    pass: Pass,
    watch: OperationWatch,
}

impl OperationFollower {
    pub(super) fn new(
        parts: Arc<FrontendParts>,
        pass: Pass,
        request: pb::WatchOperationsRequest,
    ) -> Self {
        Self {
            parts,
            pass,
            watch: OperationWatch::new(request.id, request.from_sequence),
        }
    }
}

#[tonic::async_trait]
impl Follow for OperationFollower {
    type Told = pb::WatchOperationsResponse;

    /// The next that there is to tell; `None` when the process ends. Who has lost the
    /// right to read is told so in its place.
    async fn next(&mut self) -> Option<Result<pb::WatchOperationsResponse, Failure>> {
        let operator = &self.parts.operator;
        let told = tokio::select! {
            biased;
            () = operator.stopped() => return None,
            told = operator.next_operation(&mut self.watch) => told,
        };
        Some(self.pass.check(Role::Read).and(told))
    }
}
