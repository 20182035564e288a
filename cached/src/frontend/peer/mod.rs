//! The service that nodes use among themselves. Handlers are leaves: none of them
//! calls another node, so that two nodes never wait for each other.

mod lane;

use std::sync::Arc;
use std::time::Duration;

use cached_proto::convert::{WireOperation, group_from_pb, outcome_to_pb, slot_map};
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::{Operation, Route};
use cached_proto::pb::cached::admin::v1::NodeStats;
use cached_proto::pb::cached::cache::v1 as cache;
use cached_proto::pb::cached::peer::v1 as pb;
use cached_proto::pb::cached::peer::v1::peer_server::Peer;
use cached_proto::types::{Epoch, GroupName, Invalid, Key};
use futures_util::future::ready;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use tonic::{Request, Response, Status};

use super::auth::Role;
use super::grpc::batch::{check_count, in_places};
use super::grpc::message::kind_of;
use super::status::to_status;
use super::{FrontendParts, PeerCertificate};
use crate::operator::KeysPlace;
use crate::requests::Protocol;

/// Answers other nodes.
#[derive(Debug)]
pub(super) struct PeerService {
    parts: Arc<FrontendParts>,
}

impl PeerService {
    pub(super) fn new(parts: Arc<FrontendParts>) -> Self {
        Self { parts }
    }

    /// Lets nodes of this cluster in: by a token of role admin where there are tokens,
    /// and by a certificate where nodes show them. Neither takes the other's place.
    fn admit<T>(&self, request: &Request<T>) -> Result<(), Failure> {
        let certified = request.extensions().get() == Some(&PeerCertificate(true));
        if !certified && self.parts.peers_show_certificates {
            return Err(uncertified());
        }
        self.parts.admit(request.metadata(), Role::Admin)
    }

    /// Lets nodes of this cluster in that mean this life of the member. Answers the
    /// message.
    fn open<T>(
        &self,
        request: Request<T>,
        header: impl FnOnce(&T) -> Option<&pb::Header>,
    ) -> Result<T, Status> {
        self.admit(&request).map_err(to_status)?;
        let message = request.into_inner();
        self.parts
            .operator
            .check_header(header(&message))
            .map_err(to_status)?;
        Ok(message)
    }

    async fn carry_out(&self, request: pb::ExecuteRequest) -> Result<pb::ExecuteResponse, Failure> {
        let started = self.parts.clock.now();
        check_count(request.operations.len())?;
        let group = common_group(&request.operations)?;
        let kinds: Vec<_> = request.operations.iter().map(kind_of).collect();
        let time_left = Duration::from_millis(request.deadline_ms);
        let deadline = self.parts.deadline(started, Some(time_left));
        let no_load = request.no_load;
        let read = |one| read_one(one, no_load);
        let read = request.operations.into_iter().map(read).collect();
        let run = |operations| {
            self.parts
                .router
                .execute_for_peer(group, operations, deadline)
        };
        let outcomes = in_places(read, run).await;
        for (kind, outcome) in kinds.into_iter().zip(&outcomes) {
            self.parts.count(Protocol::Peer, kind, outcome, started);
        }
        Ok(pb::ExecuteResponse {
            results: outcomes.into_iter().map(outcome_to_pb).collect(),
        })
    }
}

/// Reads one operation and the epoch by which its sender chose this node.
fn read_one(one: cache::Operation, no_load_at_all: bool) -> Result<(Operation, Epoch), Failure> {
    let WireOperation {
        mut operation,
        route,
        ..
    } = WireOperation::try_from(one)?;
    if let Operation::Get { no_load, .. } = &mut operation {
        *no_load |= no_load_at_all;
    }
    match route {
        Route::OwnerOnly { known_epoch } => Ok((operation, known_epoch)),
        // Passing on once more is what the peer service must never do.
        Route::Forward => Err(Invalid::new("route", "between nodes is owner-only").into()),
    }
}

/// The group of all operations. Nodes name it: their default groups may differ.
fn common_group(operations: &[cache::Operation]) -> Result<GroupName, Failure> {
    let mut names = operations.iter().map(group_of);
    let first = names.next().unwrap_or_default();
    if let Some(other) = names.find(|name| *name != first) {
        let problem = format!("differs within one message: {first:?} and {other:?}");
        return Err(Invalid::new("group", problem).into());
    }
    let group = group_from_pb(first)?;
    group.ok_or_else(|| Invalid::new("group", "is missing; nodes name it").into())
}

fn group_of(operation: &cache::Operation) -> &str {
    use cache::operation::Kind;
    match &operation.kind {
        Some(Kind::Get(get)) => &get.group,
        Some(Kind::Set(set)) => &set.group,
        Some(Kind::Delete(delete)) => &delete.group,
        Some(Kind::Touch(touch)) => &touch.group,
        Some(Kind::Update(update)) => &update.group,
        Some(Kind::SetMany(set_many)) => &set_many.group,
        None => "",
    }
}

/// The answer to a caller that is no node.
fn uncertified() -> Failure {
    let message = "calls between nodes need a certificate that the authority of --tls-ca signed";
    Failure::new(FailureCode::Unauthenticated, message)
}

#[tonic::async_trait]
impl Peer for PeerService {
    async fn execute(
        &self,
        request: Request<pb::ExecuteRequest>,
    ) -> Result<Response<pb::ExecuteResponse>, Status> {
        let request = self.open(request, |message| message.header.as_ref())?;
        self.carry_out(request)
            .await
            .map(Response::new)
            .map_err(to_status)
    }

    type ForwardStream = BoxStream<'static, Result<pb::ForwardResponse, Status>>;

    async fn forward(
        &self,
        request: Request<tonic::Streaming<pb::ForwardRequest>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        self.admit(&request).map_err(to_status)?;
        let pass = self.parts.admit_stream(request.metadata(), Role::Admin);
        let pass = pass.map_err(to_status)?;
        let answers = lane::run(Arc::clone(&self.parts), pass, request.into_inner());
        Ok(Response::new(answers))
    }

    async fn probe(
        &self,
        request: Request<pb::ProbeRequest>,
    ) -> Result<Response<pb::ProbeResponse>, Status> {
        self.admit(&request).map_err(to_status)?;
        let header = request.get_ref().header.as_ref();
        let operator = &self.parts.operator;
        operator.check_probe_header(header).map_err(to_status)?;
        Ok(Response::new(operator.on_probe()))
    }

    async fn report(
        &self,
        request: Request<pb::ReportRequest>,
    ) -> Result<Response<pb::ReportResponse>, Status> {
        let report = self.open(request, |message| message.header.as_ref())?;
        self.parts.operator.on_report(report).map_err(to_status)?;
        Ok(Response::new(pb::ReportResponse {}))
    }

    async fn opinion(
        &self,
        request: Request<pb::OpinionRequest>,
    ) -> Result<Response<pb::OpinionResponse>, Status> {
        let request = self.open(request, |message| message.header.as_ref())?;
        self.parts
            .operator
            .on_opinion(&request)
            .map(Response::new)
            .map_err(to_status)
    }

    async fn stats(
        &self,
        request: Request<pb::StatsRequest>,
    ) -> Result<Response<NodeStats>, Status> {
        self.open(request, |message| message.header.as_ref())?;
        Ok(Response::new(self.parts.operator.own_stats()))
    }

    async fn blacklist(
        &self,
        request: Request<pb::BlacklistRequest>,
    ) -> Result<Response<pb::BlacklistResponse>, Status> {
        self.open(request, |message| message.header.as_ref())?;
        let entries = self.parts.operator.own_blacklist();
        Ok(Response::new(pb::BlacklistResponse { entries }))
    }

    async fn flush(
        &self,
        request: Request<pb::FlushRequest>,
    ) -> Result<Response<pb::FlushResponse>, Status> {
        let request = self.open(request, |message| message.header.as_ref())?;
        let group = GroupName::new(&request.group).map_err(|bad| to_status(bad.into()))?;
        let flushed = self.parts.operator.flush_own(&group).await;
        let flushed = flushed.map_err(to_status)?;
        Ok(Response::new(pb::FlushResponse {
            keys: flushed.keys,
            slots: slot_map::to_bits(&flushed.slots),
        }))
    }

    async fn keys(
        &self,
        request: Request<pb::KeysRequest>,
    ) -> Result<Response<pb::KeysResponse>, Status> {
        let request = self.open(request, |message| message.header.as_ref())?;
        let group = GroupName::new(&request.group).map_err(|bad| to_status(bad.into()))?;
        let from = KeysPlace::from_cursor(request.cursor);
        let operator = &self.parts.operator;
        let page = operator.keys_for_peer(&group, from, request.count as usize);
        let page = page.map_err(to_status)?;
        Ok(Response::new(pb::KeysResponse {
            keys: page.keys.into_iter().map(Key::into_bytes).collect(),
            next: page.next.map(KeysPlace::to_cursor),
        }))
    }

    type MoveStream = BoxStream<'static, Result<pb::MoveResponse, Status>>;

    async fn r#move(
        &self,
        request: Request<tonic::Streaming<pb::MoveRequest>>,
    ) -> Result<Response<Self::MoveStream>, Status> {
        self.admit(&request).map_err(to_status)?;
        // How a sender's stream broke is nothing to a receiver: it is over.
        let messages = request
            .into_inner()
            .take_while(|message| ready(message.is_ok()))
            .filter_map(|message| ready(message.ok()));
        let answers = Arc::clone(&self.parts.operator).receive_move(messages.boxed());
        Ok(Response::new(answers.map_err(to_status).boxed()))
    }

    async fn moves(
        &self,
        request: Request<pb::MovesRequest>,
    ) -> Result<Response<pb::MovesResponse>, Status> {
        self.open(request, |message| message.header.as_ref())?;
        let pairs = self.parts.operator.own_moves();
        Ok(Response::new(pb::MovesResponse { pairs }))
    }
}
