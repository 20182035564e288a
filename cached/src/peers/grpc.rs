//! The real node-to-node calls: gRPC over the client crate's shared channels.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use cached_client::connections::{Connections, Link};
use cached_client::{Error, status};
use cached_proto::convert::{
    member_id, member_state_from_pb, operation_to_pb, outcome_from_pb, slot_map,
};
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::{Outcome, Route};
use cached_proto::pb::cached::admin::v1::{BlacklistEntry, NodeStats, PairProgress};
use cached_proto::pb::cached::peer::v1 as pb;
use cached_proto::pb::cached::peer::v1::opinion_response::Verdict as WireVerdict;
use cached_proto::pb::cached::peer::v1::peer_client::PeerClient;
use cached_proto::types::{GroupName, Invalid, Key, MemberId};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::keys::{KeysPage, KeysPlace};
use super::lanes::Lanes;
use super::{
    Flushed, Forwarded, Identity, MoveStream, OnItsWay, Passed, Peer, PeerError, PeerFuture, Peers,
    ProbeAnswer, Suspect, Verdict, moving,
};
use crate::clock::Clock;
use crate::tasks::Tasks;

/// The part of a caller's time that the owner is given: it should say that the time
/// is over (because an origin is slow, say) while the caller still listens. Otherwise
/// a slow origin looks like a dead owner, and the owner is blacklisted for it.
pub(super) fn owners_part(time_left: Duration) -> Duration {
    const ANSWER_MAX: Duration = Duration::from_millis(200);
    time_left.saturating_sub((time_left / 10).min(ANSWER_MAX))
}

/// Messages of a move that wait for the connection. A sender counts them as under way.
const MESSAGES_MAX: usize = 4;

/// Calls to peers by gRPC.
#[derive(Debug)]
pub struct GrpcPeers {
    connections: Connections,
    /// Changes once: when the registry has said which cluster this is.
    identity: Arc<ArcSwap<Identity>>,
    lanes: Lanes,
    clock: Clock,
}

impl GrpcPeers {
    /// Calls over `connections`, in the name of whoever `identity` is at the time; open
    /// streams are `tasks` of the process.
    pub fn new(
        connections: Connections,
        identity: Arc<ArcSwap<Identity>>,
        clock: Clock,
        tasks: Tasks,
    ) -> Arc<Self> {
        let lanes = Lanes::new(connections.clone(), identity.clone(), clock.clone(), tasks);
        Arc::new(Self {
            connections,
            identity,
            lanes,
            clock,
        })
    }

    /// The header of a message that another life of `peer` must refuse.
    fn header(&self, peer: &Peer) -> Option<pb::Header> {
        Some(header(&self.identity.load(), peer.id.inc.to_string()))
    }

    /// One call, bounded here and, so that the peer does not work in vain, there.
    async fn call<'a, Q, A, F>(
        &self,
        peer: &'a Peer,
        timeout: Duration,
        question: Q,
        ask: impl FnOnce(PeerClient<Link>, Request<Q>) -> F,
    ) -> Result<A, PeerError>
    where
        F: Future<Output = Result<Response<A>, Status>> + 'a,
    {
        let client = self
            .connections
            .peer(&peer.address)
            .map_err(|error| read(peer, error))?;
        let mut request = Request::new(question);
        request.set_timeout(timeout);
        tokio::select! {
            biased;
            answer = ask(client, request) => match answer {
                Ok(answer) => Ok(answer.into_inner()),
                Err(refusal) => Err(read(peer, status::error_of(&peer.address, &refusal))),
            },
            () = self.clock.sleep(timeout) => {
                Err(PeerError::Unknown(format!("no answer within {timeout:?}")))
            }
        }
    }

    async fn execute_on(&self, peer: &Peer, work: Forwarded) -> Result<Vec<Outcome>, PeerError> {
        let Forwarded {
            group,
            operations,
            time_left,
        } = work;
        let asked = operations.len();
        let each = |(operation, known_epoch)| {
            operation_to_pb(&group, operation, Route::OwnerOnly { known_epoch })
        };
        let question = pb::ExecuteRequest {
            header: self.header(peer),
            operations: operations.into_iter().map(each).collect(),
            deadline_ms: millis(owners_part(time_left)),
            no_load: false,
        };
        let call =
            |mut client: PeerClient<Link>, request| async move { client.execute(request).await };
        let answer = self.call(peer, time_left, question, call).await?;
        if answer.results.len() != asked {
            let got = answer.results.len();
            let message = format!("{got} results came to {asked} operations");
            return Err(PeerError::Unknown(message));
        }
        Ok(answer.results.into_iter().map(outcome_from_pb).collect())
    }

    async fn probe_of(&self, peer: &Peer, timeout: Duration) -> Result<ProbeAnswer, PeerError> {
        let anybody = String::new();
        let header = header(&self.identity.load(), anybody);
        let question = pb::ProbeRequest {
            header: Some(header),
        };
        let call =
            |mut client: PeerClient<Link>, request| async move { client.probe(request).await };
        let answer = self.call(peer, timeout, question, call).await?;
        let identity = self.identity.load();
        probe_answer(answer, &identity).map_err(PeerError::Refused)
    }

    async fn report_to(
        &self,
        peer: &Peer,
        suspects: Vec<Suspect>,
        timeout: Duration,
    ) -> Result<(), PeerError> {
        let suspect = |suspect: Suspect| pb::Suspect {
            name: suspect.id.name.into(),
            incarnation: suspect.id.inc.into(),
            misses: suspect.misses,
            last_error: suspect.last_error,
        };
        let suspects = suspects.into_iter().map(suspect).collect();
        let question = pb::ReportRequest {
            header: self.header(peer),
            suspects,
        };
        let call =
            |mut client: PeerClient<Link>, request| async move { client.report(request).await };
        self.call(peer, timeout, question, call).await.map(|_| ())
    }

    async fn opinion_of(
        &self,
        peer: &Peer,
        about: &Peer,
        fresh: Duration,
        timeout: Duration,
    ) -> Result<Verdict, PeerError> {
        let question = pb::OpinionRequest {
            header: self.header(peer),
            name: about.id.name.as_str().to_owned(),
            incarnation: about.id.inc.to_string(),
            address: about.address.clone(),
            fresh_ms: millis(fresh),
        };
        let call =
            |mut client: PeerClient<Link>, request| async move { client.opinion(request).await };
        let answer = self.call(peer, timeout, question, call).await?;
        Ok(match WireVerdict::try_from(answer.verdict) {
            Ok(WireVerdict::Answers) => Verdict::Answers,
            Ok(WireVerdict::Silent) => Verdict::Silent,
            Ok(WireVerdict::Unknown) | Err(_) => Verdict::Unknown,
        })
    }

    async fn stats_of(&self, peer: &Peer, timeout: Duration) -> Result<NodeStats, PeerError> {
        let question = pb::StatsRequest {
            header: self.header(peer),
        };
        let call =
            |mut client: PeerClient<Link>, request| async move { client.stats(request).await };
        self.call(peer, timeout, question, call).await
    }

    async fn blacklist_of(
        &self,
        peer: &Peer,
        timeout: Duration,
    ) -> Result<Vec<BlacklistEntry>, PeerError> {
        let question = pb::BlacklistRequest {
            header: self.header(peer),
        };
        let call =
            |mut client: PeerClient<Link>, request| async move { client.blacklist(request).await };
        Ok(self.call(peer, timeout, question, call).await?.entries)
    }

    async fn moves_of(
        &self,
        peer: &Peer,
        timeout: Duration,
    ) -> Result<Vec<PairProgress>, PeerError> {
        let question = pb::MovesRequest {
            header: self.header(peer),
        };
        let call =
            |mut client: PeerClient<Link>, request| async move { client.moves(request).await };
        Ok(self.call(peer, timeout, question, call).await?.pairs)
    }

    async fn flush_on(
        &self,
        peer: &Peer,
        group: &GroupName,
        timeout: Duration,
    ) -> Result<Flushed, PeerError> {
        let group = group.as_str().to_owned();
        let question = pb::FlushRequest {
            header: self.header(peer),
            group,
        };
        let call =
            |mut client: PeerClient<Link>, request| async move { client.flush(request).await };
        let answer = self.call(peer, timeout, question, call).await?;
        Ok(Flushed {
            keys: answer.keys,
            slots: slot_map::from_bits(&answer.slots).map_err(unreadable)?,
        })
    }

    async fn keys_of(
        &self,
        peer: &Peer,
        group: &GroupName,
        from: KeysPlace,
        count: usize,
        timeout: Duration,
    ) -> Result<KeysPage, PeerError> {
        let question = pb::KeysRequest {
            header: self.header(peer),
            group: group.as_str().to_owned(),
            cursor: from.to_cursor(),
            count: u32::try_from(count).unwrap_or(u32::MAX),
        };
        let call =
            |mut client: PeerClient<Link>, request| async move { client.keys(request).await };
        let answer = self.call(peer, timeout, question, call).await?;
        let keys = answer.keys.into_iter().map(Key::new);
        Ok(KeysPage {
            keys: keys.collect::<Result<_, _>>().map_err(unreadable)?,
            next: answer.next.map(KeysPlace::from_cursor),
        })
    }

    async fn open_move_to(&self, peer: &Peer, timeout: Duration) -> Result<MoveStream, PeerError> {
        let mut client = self
            .connections
            .peer(&peer.address)
            .map_err(|error| read(peer, error))?;
        let (send, outbound) = mpsc::channel(MESSAGES_MAX);
        let (identity, to) = (self.identity.clone(), peer.id.inc.to_string());
        let outbound = ReceiverStream::new(outbound).map(move |message| {
            moving::request_to_pb(message, || header(&identity.load(), to.clone()))
        });
        // The stream lasts as long as the move, so the call itself has no deadline.
        let opened = tokio::select! {
            biased;
            opened = client.r#move(Request::new(outbound)) => opened,
            () = self.clock.sleep(timeout) => {
                return Err(PeerError::Unknown(format!("no answer within {timeout:?}")));
            }
        };
        let peer = peer.clone();
        let failed = move |refusal: &Status| read(&peer, status::error_of(&peer.address, refusal));
        let inbound = opened.map_err(|refusal| failed(&refusal))?.into_inner();
        let receive = inbound.map(move |message| match message {
            Ok(message) => moving::response_from_pb(message).map_err(unreadable),
            Err(refusal) => Err(failed(&refusal)),
        });
        Ok(MoveStream {
            send,
            receive: receive.boxed(),
        })
    }
}

impl Peers for GrpcPeers {
    fn execute<'a>(&'a self, peer: &'a Peer, work: Forwarded) -> PeerFuture<'a, Vec<Outcome>> {
        Box::pin(self.execute_on(peer, work))
    }
    fn pass(&self, to: &MemberId, address: &str, passed: Passed) -> Option<OnItsWay> {
        self.lanes.pass(to, address, passed)
    }
    fn probe<'a>(&'a self, peer: &'a Peer, timeout: Duration) -> PeerFuture<'a, ProbeAnswer> {
        Box::pin(self.probe_of(peer, timeout))
    }
    fn report<'a>(
        &'a self,
        peer: &'a Peer,
        suspects: Vec<Suspect>,
        timeout: Duration,
    ) -> PeerFuture<'a, ()> {
        Box::pin(self.report_to(peer, suspects, timeout))
    }
    fn opinion<'a>(
        &'a self,
        peer: &'a Peer,
        about: &'a Peer,
        fresh: Duration,
        timeout: Duration,
    ) -> PeerFuture<'a, Verdict> {
        Box::pin(self.opinion_of(peer, about, fresh, timeout))
    }
    fn stats<'a>(&'a self, peer: &'a Peer, timeout: Duration) -> PeerFuture<'a, NodeStats> {
        Box::pin(self.stats_of(peer, timeout))
    }
    fn blacklist<'a>(
        &'a self,
        peer: &'a Peer,
        timeout: Duration,
    ) -> PeerFuture<'a, Vec<BlacklistEntry>> {
        Box::pin(self.blacklist_of(peer, timeout))
    }
    fn flush<'a>(
        &'a self,
        peer: &'a Peer,
        group: &'a GroupName,
        timeout: Duration,
    ) -> PeerFuture<'a, Flushed> {
        Box::pin(self.flush_on(peer, group, timeout))
    }
    fn keys<'a>(
        &'a self,
        peer: &'a Peer,
        group: &'a GroupName,
        from: KeysPlace,
        count: usize,
        timeout: Duration,
    ) -> PeerFuture<'a, KeysPage> {
        Box::pin(self.keys_of(peer, group, from, count, timeout))
    }
    fn open_move<'a>(&'a self, peer: &'a Peer, timeout: Duration) -> PeerFuture<'a, MoveStream> {
        Box::pin(self.open_move_to(peer, timeout))
    }
    fn moves<'a>(&'a self, peer: &'a Peer, timeout: Duration) -> PeerFuture<'a, Vec<PairProgress>> {
        Box::pin(self.moves_of(peer, timeout))
    }
}

/// Who speaks, as messages spell it, and to which incarnation.
pub(super) fn header(identity: &Identity, to: String) -> pb::Header {
    let (name, incarnation) = match &identity.id {
        Some(id) => (id.name.as_str().to_owned(), id.inc.to_string()),
        None => (String::new(), String::new()),
    };
    pb::Header {
        cluster: identity.cluster.clone(),
        cluster_uuid: identity
            .cluster_uuid
            .map(|uuid| uuid.to_string())
            .unwrap_or_default(),
        name,
        incarnation,
        generation: 0,
        layout: 0,
        to,
    }
}

/// What a failed call means. The address is left out: callers name the peer.
pub(super) fn read(peer: &Peer, error: Error) -> PeerError {
    let bare = |message: String| match message.strip_prefix(&format!("{}: ", peer.address)) {
        Some(bare) => bare.to_owned(),
        None => message,
    };
    match error {
        Error::Failed(failure) => PeerError::Refused(failure),
        Error::Invalid(invalid) => PeerError::NotSent(invalid.to_string()),
        Error::Unreachable(message) => PeerError::NotSent(bare(message)),
        Error::Lost { message, .. } => PeerError::Unknown(bare(message)),
    }
}

/// Reads a probe's answer, which must come from this cluster.
fn probe_answer(answer: pb::ProbeResponse, identity: &Identity) -> Result<ProbeAnswer, Failure> {
    let header = answer
        .header
        .ok_or_else(|| Invalid::new("header", "is missing"))?;
    let uuid = identity.cluster_uuid.map(|uuid| uuid.to_string());
    let other_uuid =
        uuid.filter(|uuid| !header.cluster_uuid.is_empty() && header.cluster_uuid != *uuid);
    if header.cluster != identity.cluster || other_uuid.is_some() {
        let problem = format!(
            "{:?} ({}) is another cluster than {:?}",
            header.cluster, header.cluster_uuid, identity.cluster
        );
        return Err(Invalid::new("cluster", problem).into());
    }
    let state = member_state_from_pb(answer.state)?
        .ok_or_else(|| Failure::new(FailureCode::Internal, "who answers cannot be down"))?;
    Ok(ProbeAnswer {
        id: member_id(&header.name, &header.incarnation)?,
        fenced: answer.fenced,
        registry_reachable: answer.registry_reachable,
        wall_clock_ms: answer.wall_clock_ms,
        state,
        layout: header.layout,
    })
}

/// What a peer answered, and this process cannot read.
fn unreadable(invalid: Invalid) -> PeerError {
    PeerError::Unknown(format!("an answer that cannot be read: {invalid}"))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
