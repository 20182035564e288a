//! What operators see of changes of the layout, asked of a cluster under test.

use std::collections::BTreeMap;
use std::time::Duration;

use cached_proto::pb::cached::admin::v1::admin_client::AdminClient;
use cached_proto::pb::cached::admin::v1::{
    ApplyPlanRequest, ControlOperationRequest, ListOperationsRequest, OperationControl,
    OperationRecord, PlanRequest, PlanResponse, StatsRequest, StatusRequest, StatusResponse,
};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::wait;

/// Bound of one call.
const CALL_MAX: Duration = Duration::from_secs(10);

/// Calls one node or gateway.
#[derive(Clone, Debug)]
pub struct Operator {
    admin: AdminClient<Channel>,
}

impl Operator {
    /// Of the process at `http://HOST:PORT`.
    pub fn new(url: &str) -> Self {
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("a test's URL is one");
        let endpoint = endpoint.timeout(CALL_MAX);
        Self {
            admin: AdminClient::new(endpoint.connect_lazy()),
        }
    }

    /// How the cluster is.
    pub async fn status(&self) -> Result<StatusResponse, Status> {
        let answer = self.admin.clone().status(StatusRequest {}).await?;
        Ok(answer.into_inner())
    }

    /// Every operation that is remembered, oldest first.
    pub async fn list(&self) -> Result<Vec<OperationRecord>, Status> {
        let request = ListOperationsRequest { planned_too: true };
        let answer = self.admin.clone().list_operations(request).await?;
        Ok(answer.into_inner().operations)
    }

    /// One of them.
    pub async fn find(&self, id: &str) -> Result<OperationRecord, String> {
        let all = self.list().await.map_err(|status| status.to_string())?;
        let found = all.iter().find(|operation| operation.id == id);
        found
            .cloned()
            .ok_or_else(|| format!("no {id} among {all:?}"))
    }

    /// Plans without doing anything.
    pub async fn plan(&self, request: PlanRequest) -> Result<PlanResponse, Status> {
        let answer = self.admin.clone().plan(request).await?;
        Ok(answer.into_inner())
    }

    /// Plans and applies; answers the id.
    pub async fn start(&self, request: PlanRequest) -> Result<String, Status> {
        self.start_with(request, 0).await
    }

    /// The same, at most so many bytes in a second; 0: as fast as it goes.
    pub async fn start_with(&self, request: PlanRequest, rate: u64) -> Result<String, Status> {
        let plan = self.plan(request.clone()).await?;
        let apply = ApplyPlanRequest {
            id: plan.id.clone(),
            base_layout: plan.base_layout,
            max_rate_bytes: rate,
            shed: request.shed,
            by: "test".to_owned(),
            ..ApplyPlanRequest::default()
        };
        self.admin.clone().apply_plan(apply).await?;
        Ok(plan.id)
    }

    /// Drains members.
    pub async fn drain(&self, nodes: &[&str]) -> Result<String, Status> {
        self.start(drain(nodes)).await
    }

    /// Pauses, resumes, cancels, or sets the rate in bytes per second.
    pub async fn control(
        &self,
        id: &str,
        control: OperationControl,
        rate_bytes: u64,
    ) -> Result<(), Status> {
        let request = ControlOperationRequest {
            id: id.to_owned(),
            control: control.into(),
            rate_bytes,
            by: "test".to_owned(),
        };
        self.admin.clone().control_operation(request).await?;
        Ok(())
    }

    /// Waits for an operation to be over, and answers how it is then.
    pub async fn over(&self, id: &str, deadline: Duration) -> OperationRecord {
        wait::until(&format!("{id} is over"), deadline, async || {
            let found = self.find(id).await?;
            match found.state.as_str() {
                "done" | "failed" | "cancelled" | "refused" => Ok(found),
                _ => Err(brief(&found)),
            }
        })
        .await
    }

    /// Waits for an operation to be done, and nothing else.
    pub async fn done(&self, id: &str, deadline: Duration) -> OperationRecord {
        let record = self.over(id, deadline).await;
        assert_eq!(record.state, "done", "{record:?}");
        record
    }

    /// Waits for an operation of this kind that is open, and answers it.
    pub async fn open(&self, kind: &str, deadline: Duration) -> OperationRecord {
        wait::until(&format!("a {kind} is open"), deadline, async || {
            let all = self.list().await.map_err(|status| status.to_string())?;
            let found = all.iter().find(|operation| {
                operation.kind == kind && ["running", "paused"].contains(&operation.state.as_str())
            });
            found.cloned().ok_or_else(|| format!("{all:?}"))
        })
        .await
    }

    /// Waits for an operation of this kind that is none of `known`, and answers its id.
    pub async fn appears(&self, kind: &str, known: &[String], deadline: Duration) -> String {
        wait::until(&format!("a new {kind}"), deadline, async || {
            let all = self.list().await.map_err(|status| status.to_string())?;
            let found = all.iter().rev().find(|operation| {
                operation.kind == kind
                    && !["planned", "refused"].contains(&operation.state.as_str())
                    && !known.contains(&operation.id)
            });
            let found = found.map(|operation| operation.id.clone());
            found.ok_or_else(|| format!("{all:?}"))
        })
        .await
    }

    /// Ids of all operations that are remembered.
    pub async fn known(&self) -> Vec<String> {
        let all = self.list().await.expect("the process answers");
        all.into_iter().map(|operation| operation.id).collect()
    }

    /// Waits for an operation to have moved so many slots, and not all.
    pub async fn moved(&self, id: &str, slots: u64, deadline: Duration) -> OperationRecord {
        wait::until(&format!("{id} moved {slots} slots"), deadline, async || {
            let found = self.find(id).await?;
            let moved = found.moved.unwrap_or_default().slots;
            if moved >= slots {
                Ok(found)
            } else {
                Err(brief(&found))
            }
        })
        .await
    }

    /// Waits until plan = table, no operation is open, and the process is healthy.
    pub async fn settled(&self, deadline: Duration) -> StatusResponse {
        wait::until("the cluster is settled", deadline, async || {
            let status = self.status().await.map_err(|status| status.to_string())?;
            let settled = status.slots_to_move == 0
                && status.operation.is_empty()
                && status.slots_unowned == 0
                && status.healthy;
            if settled {
                Ok(status)
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await
    }

    /// Keys of every member, by name.
    pub async fn keys(&self) -> BTreeMap<String, u64> {
        let request = StatsRequest {
            own_node_only: false,
        };
        let answer = self.admin.clone().stats(request).await.expect("it answers");
        let nodes = answer.into_inner().nodes;
        let keys = nodes.into_iter().map(|node| {
            let keys = node.groups.iter().map(|group| group.keys).sum();
            (node.name, keys)
        });
        keys.collect()
    }
}

/// A drain of these members.
pub fn drain(nodes: &[&str]) -> PlanRequest {
    PlanRequest {
        drain: nodes.iter().map(|node| (*node).to_owned()).collect(),
        by: "test".to_owned(),
        ..PlanRequest::default()
    }
}

fn brief(record: &OperationRecord) -> String {
    let blocked: Vec<String> = record
        .pairs
        .iter()
        .filter(|pair| !pair.blocked.is_empty() || !pair.last_error.is_empty())
        .map(|pair| {
            format!(
                "{}->{}: {} {}",
                pair.from, pair.to, pair.blocked, pair.last_error
            )
        })
        .collect();
    format!(
        "{} {}, {} slots left, {:?}, {}, {blocked:?}",
        record.kind, record.state, record.slots_left, record.moved, record.reason
    )
}
