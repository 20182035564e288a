//! The service that programs use: one key, many keys, or a stream of operations.

use std::sync::Arc;

use cached_proto::convert::{WireBatch, WireOperation, outcome_to_pb};
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::pb::cached::cache::v1 as pb;
use cached_proto::pb::cached::cache::v1::cache_server::Cache;
use cached_proto::pb::cached::cache::v1::result::Kind;
use cached_proto::types::Invalid;
use futures_util::stream::BoxStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::batch::in_places;
use super::call::timeout;
use super::pipeline;
use crate::clock::Moment;
use crate::command::Command;
use crate::frontend::FrontendParts;
use crate::frontend::auth::Role;
use crate::frontend::status::to_status;
use crate::requests as metrics;

/// Answers programs.
#[derive(Debug)]
pub(in crate::frontend) struct CacheService {
    parts: Arc<FrontendParts>,
}

impl CacheService {
    pub(super) fn new(parts: Arc<FrontendParts>) -> Self {
        Self { parts }
    }

    /// Carries out one operation. On the path of every call: the checks come first
    /// and cost nothing where nothing is configured, and an own key is answered
    /// without waiting.
    async fn one<Q>(
        &self,
        request: Request<Q>,
        kind: metrics::Kind,
        needed: Role,
    ) -> Result<Kind, Status>
    where
        WireOperation: TryFrom<Q, Error = Invalid>,
    {
        let started = self.parts.clock.now();
        let (metadata, _, message) = request.into_parts();
        let outcome = match self.read(&metadata, message, needed, started) {
            Ok(command) => self.parts.route(command).await,
            Err(failure) => Err(failure),
        };
        self.parts
            .count(metrics::Protocol::Grpc, kind, &outcome, started);
        outcome.map(Kind::from).map_err(to_status)
    }

    fn read<Q>(
        &self,
        metadata: &MetadataMap,
        message: Q,
        needed: Role,
        started: Moment,
    ) -> Result<Command, Failure>
    where
        WireOperation: TryFrom<Q, Error = Invalid>,
    {
        self.parts.admit(metadata, needed)?;
        let deadline = self.parts.deadline(started, timeout(metadata)?);
        Ok(self
            .parts
            .command(WireOperation::try_from(message)?, deadline))
    }

    /// What the opener of a pipeline may do. Reading is the least.
    fn rights(&self, metadata: &MetadataMap) -> Result<pipeline::Rights, Failure> {
        let now = self.parts.clock.now();
        Ok(pipeline::Rights {
            pass: self.parts.admit_stream(metadata, Role::Read)?,
            until: timeout(metadata)?.map(|timeout| now + timeout),
        })
    }

    /// Carries out a batch; one result for each key.
    async fn many<Q>(
        &self,
        request: Request<Q>,
        kind: metrics::Kind,
        needed: Role,
    ) -> Result<Response<pb::BatchResponse>, Status>
    where
        WireBatch: TryFrom<Q, Error = Invalid>,
    {
        let started = self.parts.clock.now();
        let (metadata, _, message) = request.into_parts();
        let read = self.read_many(&metadata, message, needed);
        let (deadline, batch) = read.map_err(to_status)?;
        let group = self.parts.group(batch.group);
        let operations = batch
            .operations
            .into_iter()
            .map(|read| read.map_err(Failure::from))
            .collect();
        let run = |good| {
            self.parts
                .router
                .execute_batch(group, good, batch.route, deadline)
        };
        let outcomes = in_places(operations, run).await;
        for outcome in &outcomes {
            self.parts
                .count(metrics::Protocol::Grpc, kind, outcome, started);
        }
        let results = outcomes.into_iter().map(outcome_to_pb).collect();
        Ok(Response::new(pb::BatchResponse { results }))
    }

    fn read_many<Q>(
        &self,
        metadata: &MetadataMap,
        message: Q,
        needed: Role,
    ) -> Result<(Moment, WireBatch), Failure>
    where
        WireBatch: TryFrom<Q, Error = Invalid>,
    {
        self.parts.admit(metadata, needed)?;
        let deadline = self
            .parts
            .deadline(self.parts.clock.now(), timeout(metadata)?);
        Ok((deadline, WireBatch::try_from(message)?))
    }
}

/// An answer of another kind than was asked for: a defect of ours.
fn mismatched() -> Status {
    let message = "the operation was answered as another kind";
    to_status(Failure::new(FailureCode::Internal, message).maybe_applied())
}

#[tonic::async_trait]
impl Cache for CacheService {
    type PipelineStream = BoxStream<'static, Result<pb::PipelineResponse, Status>>;

    async fn get(
        &self,
        request: Request<pb::GetRequest>,
    ) -> Result<Response<pb::GetResponse>, Status> {
        let Kind::Get(response) = self.one(request, metrics::Kind::Get, Role::Read).await? else {
            return Err(mismatched());
        };
        Ok(Response::new(response))
    }

    async fn set(
        &self,
        request: Request<pb::SetRequest>,
    ) -> Result<Response<pb::SetResponse>, Status> {
        let Kind::Set(response) = self.one(request, metrics::Kind::Set, Role::Write).await? else {
            return Err(mismatched());
        };
        Ok(Response::new(response))
    }

    async fn delete(
        &self,
        request: Request<pb::DeleteRequest>,
    ) -> Result<Response<pb::DeleteResponse>, Status> {
        let Kind::Delete(response) = self
            .one(request, metrics::Kind::Delete, Role::Write)
            .await?
        else {
            return Err(mismatched());
        };
        Ok(Response::new(response))
    }

    async fn touch(
        &self,
        request: Request<pb::TouchRequest>,
    ) -> Result<Response<pb::TouchResponse>, Status> {
        let Kind::Touch(response) = self.one(request, metrics::Kind::Touch, Role::Write).await?
        else {
            return Err(mismatched());
        };
        Ok(Response::new(response))
    }

    async fn update(
        &self,
        request: Request<pb::UpdateRequest>,
    ) -> Result<Response<pb::UpdateResponse>, Status> {
        let Kind::Update(response) = self
            .one(request, metrics::Kind::Update, Role::Write)
            .await?
        else {
            return Err(mismatched());
        };
        Ok(Response::new(response))
    }

    async fn set_many(
        &self,
        request: Request<pb::SetManyRequest>,
    ) -> Result<Response<pb::SetManyResponse>, Status> {
        let Kind::SetMany(response) = self
            .one(request, metrics::Kind::SetMany, Role::Write)
            .await?
        else {
            return Err(mismatched());
        };
        Ok(Response::new(response))
    }

    async fn batch_get(
        &self,
        request: Request<pb::BatchGetRequest>,
    ) -> Result<Response<pb::BatchResponse>, Status> {
        self.many(request, metrics::Kind::Get, Role::Read).await
    }

    async fn batch_set(
        &self,
        request: Request<pb::BatchSetRequest>,
    ) -> Result<Response<pb::BatchResponse>, Status> {
        self.many(request, metrics::Kind::Set, Role::Write).await
    }

    async fn batch_delete(
        &self,
        request: Request<pb::BatchDeleteRequest>,
    ) -> Result<Response<pb::BatchResponse>, Status> {
        self.many(request, metrics::Kind::Delete, Role::Write).await
    }

    async fn pipeline(
        &self,
        request: Request<Streaming<pb::PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        let metadata = request.metadata();
        let rights = self.rights(metadata).map_err(to_status)?;
        let inbound = request.into_inner();
        Ok(Response::new(pipeline::run(
            Arc::clone(&self.parts),
            rights,
            inbound,
        )))
    }
}
