//! The service that operators' tools use. It translates and checks roles; what is
//! answered is decided by the operator.

mod events;
mod operations;

use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::Failure;
use cached_proto::pb::cached::admin::v1 as pb;
use cached_proto::pb::cached::admin::v1::admin_server::Admin;
use cached_proto::records::GroupRecord;
use cached_proto::types::{GroupName, Invalid, NodeName};
use futures_util::stream::{self, BoxStream, StreamExt};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::FrontendParts;
use super::auth::{Pass, Role};
use super::status::to_status;
use crate::clock::Moment;
use crate::operator::Operator;
use events::EventFollower;
use operations::OperationFollower;

/// Answers operators' tools.
#[derive(Debug)]
pub(super) struct AdminService {
    parts: Arc<FrontendParts>,
}

impl AdminService {
    pub(super) fn new(parts: Arc<FrontendParts>) -> Self {
        Self { parts }
    }

    fn admit(&self, metadata: &MetadataMap, needed: Role) -> Result<(), Status> {
        self.parts.admit(metadata, needed).map_err(to_status)
    }

    /// Lets the caller in, and answers the message.
    fn open<T>(&self, request: Request<T>, needed: Role) -> Result<T, Status> {
        self.admit(request.metadata(), needed)?;
        Ok(request.into_inner())
    }
}

fn invalid(invalid: Invalid) -> Status {
    to_status(invalid.into())
}

fn target(name: &str) -> Result<NodeName, Status> {
    NodeName::new(name).map_err(|bad| invalid(Invalid::new("target", bad.problem)))
}

/// Pause between two views that a follower is told. A view names every range of slots, and
/// while slots move there is a new one for every batch; what changes in between, callers
/// learn from the answers to their requests.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// A caller that follows the topology.
struct Follower {
    parts: Arc<FrontendParts>,
    pass: Pass,
    /// Number of the last view told; `None` before the first.
    told: Option<u64>,
    /// When the next one may be told.
    next_at: Moment,
    once: bool,
}

#[tonic::async_trait]
impl Follow for Follower {
    type Told = pb::TopologyResponse;

    /// The next view; the first one as soon as it is known which cluster this is.
    /// While the caller is slow to read, views that pass by are left out: the newest
    /// one says everything. Who has lost the right to read is told so in its place.
    async fn next(&mut self) -> Option<Result<pb::TopologyResponse, Failure>> {
        let operator = &self.parts.operator;
        if self.once && self.told.is_some() {
            return None;
        }
        let mut topology = match self.told {
            None => operator.topology(),
            Some(told) => {
                let seen = following(operator, told).await?;
                match self.next_at.since(self.parts.clock.now()) {
                    Duration::ZERO => seen,
                    pause => {
                        self.parts.clock.sleep(pause).await;
                        operator.topology()
                    }
                }
            }
        };
        while topology.cluster_uuid.is_empty() {
            topology = following(operator, topology.view).await?;
        }
        self.told = Some(topology.view);
        self.next_at = self.parts.clock.now() + TELL_EVERY;
        Some(self.pass.check(Role::Read).map(|()| topology))
    }
}

/// A newer view than the one of that number; `None` when the process ends.
async fn following(operator: &Operator, told: u64) -> Option<pb::TopologyResponse> {
    tokio::select! {
        biased;
        () = operator.stopped() => None,
        topology = operator.topology_newer_than(told) => Some(topology),
    }
}

/// A caller that is told one thing after another.
#[tonic::async_trait]
trait Follow: Send + 'static {
    /// What it is told.
    type Told: Send + 'static;
    /// The next; `None` when there will be nothing more.
    async fn next(&mut self) -> Option<Result<Self::Told, Failure>>;
}

/// What a follower is told, as a stream; a failure is the last that is said.
fn follow<F: Follow>(follower: F) -> BoxStream<'static, Result<F::Told, Status>> {
    let next = async |follower: Option<F>| {
        let mut follower = follower?;
        match follower.next().await? {
            Ok(told) => Some((Ok(told), Some(follower))),
            Err(failure) => Some((Err(to_status(failure)), None)),
        }
    };
    stream::unfold(Some(follower), next).boxed()
}

#[tonic::async_trait]
impl Admin for AdminService {
    type TopologyStream = BoxStream<'static, Result<pb::TopologyResponse, Status>>;
    type EventsStream = BoxStream<'static, Result<pb::EventsResponse, Status>>;
    type WatchOperationsStream = BoxStream<'static, Result<pb::WatchOperationsResponse, Status>>;

    async fn topology(
        &self,
        request: Request<pb::TopologyRequest>,
    ) -> Result<Response<Self::TopologyStream>, Status> {
        let pass = self
            .parts
            .admit_stream(request.metadata(), Role::Read)
            .map_err(to_status)?;
        let follower = Follower {
            parts: Arc::clone(&self.parts),
            pass,
            told: None,
            next_at: Moment::default(),
            once: request.into_inner().once,
        };
        Ok(Response::new(follow(follower)))
    }

    async fn status(
        &self,
        request: Request<pb::StatusRequest>,
    ) -> Result<Response<pb::StatusResponse>, Status> {
        self.open(request, Role::Read)?;
        Ok(Response::new(self.parts.operator.status().await))
    }

    async fn stats(
        &self,
        request: Request<pb::StatsRequest>,
    ) -> Result<Response<pb::StatsResponse>, Status> {
        let request = self.open(request, Role::Read)?;
        Ok(Response::new(
            self.parts.operator.stats(request.own_node_only).await,
        ))
    }

    async fn hot_keys(
        &self,
        request: Request<pb::HotKeysRequest>,
    ) -> Result<Response<pb::HotKeysResponse>, Status> {
        let request = self.open(request, Role::Read)?;
        let told = events::hot_keys(&self.parts.operator, request);
        told.map(Response::new).map_err(to_status)
    }

    async fn events(
        &self,
        request: Request<pb::EventsRequest>,
    ) -> Result<Response<Self::EventsStream>, Status> {
        let pass = self
            .parts
            .admit_stream(request.metadata(), Role::Read)
            .map_err(to_status)?;
        let follower = EventFollower::new(Arc::clone(&self.parts), pass, &request.into_inner());
        Ok(Response::new(follow(follower)))
    }

    async fn list_blacklist(
        &self,
        request: Request<pb::ListBlacklistRequest>,
    ) -> Result<Response<pb::ListBlacklistResponse>, Status> {
        let request = self.open(request, Role::Read)?;
        Ok(Response::new(
            self.parts.operator.blacklist(request.own_node_only).await,
        ))
    }

    async fn add_blacklist(
        &self,
        request: Request<pb::AddBlacklistRequest>,
    ) -> Result<Response<pb::AddBlacklistResponse>, Status> {
        let request = self.open(request, Role::Admin)?;
        let target = target(&request.target)?;
        let ttl = Duration::from_millis(request.ttl_ms);
        let operator = &self.parts.operator;
        let added = operator
            .add_blacklist(&target, ttl, &request.reason, &request.by)
            .await;
        added.map_err(to_status)?;
        Ok(Response::new(pb::AddBlacklistResponse {}))
    }

    async fn remove_blacklist(
        &self,
        request: Request<pb::RemoveBlacklistRequest>,
    ) -> Result<Response<pb::RemoveBlacklistResponse>, Status> {
        let request = self.open(request, Role::Admin)?;
        let target = target(&request.target)?;
        let removed = self
            .parts
            .operator
            .remove_blacklist(&target, &request.by)
            .await;
        let removed = removed.map_err(to_status)?;
        Ok(Response::new(pb::RemoveBlacklistResponse { removed }))
    }

    async fn list_groups(
        &self,
        request: Request<pb::ListGroupsRequest>,
    ) -> Result<Response<pb::ListGroupsResponse>, Status> {
        self.open(request, Role::Read)?;
        let groups = self
            .parts
            .operator
            .groups()
            .into_iter()
            .map(Into::into)
            .collect();
        Ok(Response::new(pb::ListGroupsResponse { groups }))
    }

    async fn create_group(
        &self,
        request: Request<pb::CreateGroupRequest>,
    ) -> Result<Response<pb::CreateGroupResponse>, Status> {
        let request = self.open(request, Role::Admin)?;
        let group = request
            .group
            .ok_or_else(|| invalid(Invalid::new("group", "is missing")))?;
        let group = GroupRecord::try_from(group).map_err(invalid)?;
        let created = self.parts.operator.create_group(group, &request.by).await;
        let group = Some(created.map_err(to_status)?.into());
        Ok(Response::new(pb::CreateGroupResponse { group }))
    }

    async fn flush_group(
        &self,
        request: Request<pb::FlushGroupRequest>,
    ) -> Result<Response<pb::FlushGroupResponse>, Status> {
        let request = self.open(request, Role::Admin)?;
        let group = GroupName::new(&request.group).map_err(invalid)?;
        let flushed = self.parts.operator.flush_group(&group, &request.by).await;
        Ok(Response::new(flushed.map_err(to_status)?))
    }

    async fn list_keys(
        &self,
        request: Request<pb::ListKeysRequest>,
    ) -> Result<Response<pb::ListKeysResponse>, Status> {
        let request = self.open(request, Role::Read)?;
        let listed = events::list_keys(&self.parts, request).await;
        listed.map(Response::new).map_err(to_status)
    }

    async fn layout(
        &self,
        request: Request<pb::LayoutRequest>,
    ) -> Result<Response<pb::LayoutResponse>, Status> {
        let request = self.open(request, Role::Read)?;
        let planned = self.parts.operator.planned_topology(request.layout).await;
        let topology = Some(planned.map_err(to_status)?);
        Ok(Response::new(pb::LayoutResponse { topology }))
    }

    async fn plan(
        &self,
        request: Request<pb::PlanRequest>,
    ) -> Result<Response<pb::PlanResponse>, Status> {
        // It writes a record, if only a plan.
        let request = self.open(request, Role::Admin)?;
        let planned = operations::plan(&self.parts.operator, request).await;
        planned.map(Response::new).map_err(to_status)
    }

    async fn apply_plan(
        &self,
        request: Request<pb::ApplyPlanRequest>,
    ) -> Result<Response<pb::ApplyPlanResponse>, Status> {
        let request = self.open(request, Role::Admin)?;
        let applied = operations::apply(&self.parts.operator, request).await;
        applied.map(Response::new).map_err(to_status)
    }

    async fn list_operations(
        &self,
        request: Request<pb::ListOperationsRequest>,
    ) -> Result<Response<pb::ListOperationsResponse>, Status> {
        let request = self.open(request, Role::Read)?;
        let operations = self.parts.operator.operations(request.planned_too).await;
        Ok(Response::new(pb::ListOperationsResponse { operations }))
    }

    async fn watch_operations(
        &self,
        request: Request<pb::WatchOperationsRequest>,
    ) -> Result<Response<Self::WatchOperationsStream>, Status> {
        let pass = self
            .parts
            .admit_stream(request.metadata(), Role::Read)
            .map_err(to_status)?;
        // Said at once, so that a client takes another node's answer for the first one.
        let followed = self.parts.operator.may_be_followed();
        followed.map_err(to_status)?;
        let follower = OperationFollower::new(Arc::clone(&self.parts), pass, request.into_inner());
        Ok(Response::new(follow(follower)))
    }

    async fn control_operation(
        &self,
        request: Request<pb::ControlOperationRequest>,
    ) -> Result<Response<pb::ControlOperationResponse>, Status> {
        let request = self.open(request, Role::Admin)?;
        let controlled = operations::control(&self.parts.operator, request).await;
        controlled.map(Response::new).map_err(to_status)
    }
}
