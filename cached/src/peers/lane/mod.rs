//! One open stream to a peer. Operations that are due at the same time travel in one
//! message and are answered in the order in which they are done, so that passing one on
//! costs a part of a message and not a call of its own.
//!
//! Reading order: `traffic` (pure: the calls), then here what moves them.

mod traffic;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use cached_client::connections::Link;
use cached_client::status;
use cached_proto::convert::{bare_operation_to_pb, outcome_from_pb};
use cached_proto::failure::Applied;
use cached_proto::pb::cached::peer::v1 as pb;
use cached_proto::pb::cached::peer::v1::forward_answer::Kind;
use cached_proto::pb::cached::peer::v1::peer_client::PeerClient;
use cached_proto::types::GroupName;
use futures_util::stream::{self, Stream};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tonic::Streaming;

use super::grpc::{header, millis, owners_part, read};
use super::{Identity, OnItsWay, Passed, Peer, PeerError};
use crate::clock::Clock;
use crate::tasks::Stop;
#[cfg(test)]
pub(super) use traffic::MESSAGE_BYTES;
use traffic::{Call, NoWay, Traffic};

/// A lane that carried nothing for so long is closed; the next call opens another.
const IDLE: Duration = Duration::from_secs(60);

/// How often a sender lets others go first before it sends what waits.
const YIELDS_MAX: usize = 3;

/// How long a process that ends still waits for a lane that is being opened.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// One lane. Its task ends with the stream, when nothing was carried for a while, or
/// with the process.
#[derive(Debug)]
pub(super) struct Lane {
    peer: Arc<Peer>,
    identity: Arc<ArcSwap<Identity>>,
    clock: Clock,
    /// Held for a look at a time, never across an await.
    traffic: Mutex<Traffic>,
    /// Who sends, while nothing waits.
    sender: AtomicWaker,
}

/// Why a lane does not take an operation.
pub(super) enum Elsewhere {
    /// It has to go by itself.
    Alone,
    /// This lane is over; another one takes it.
    NewLane(Box<Passed>),
}

impl Lane {
    /// A lane to `peer`; it carries operations once [`Lane::run`] runs.
    pub(super) fn new(peer: Peer, identity: Arc<ArcSwap<Identity>>, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            peer: Arc::new(peer),
            identity,
            clock,
            traffic: Mutex::default(),
            sender: AtomicWaker::new(),
        })
    }

    /// Puts an operation on its way. Never waits.
    pub(super) fn pass(&self, passed: Passed) -> Result<OnItsWay, Elsewhere> {
        let (answer, answered) = oneshot::channel();
        match self.traffic.lock().enter(Call { passed, answer }) {
            Ok(false) => {}
            Ok(true) => self.sender.wake(),
            Err(NoWay::Full) => return Err(Elsewhere::Alone),
            Err(NoWay::Closed(call)) => return Err(Elsewhere::NewLane(Box::new(call.passed))),
        }
        Ok(OnItsWay {
            to: self.peer.clone(),
            answer: answered,
        })
    }

    /// Whether it takes calls.
    pub(super) fn is_open(&self) -> bool {
        self.traffic.lock().is_open()
    }

    /// Opens the stream and hands answers to those who wait, until it ends.
    pub(super) async fn run(self: Arc<Self>, client: PeerClient<Link>, stop: Stop) {
        let error = match self.open(client, &stop).await {
            Ok(answers) => self.hand_out(answers, &stop).await,
            Err(error) => error,
        };
        self.end(error);
    }

    async fn open(
        self: &Arc<Self>,
        mut client: PeerClient<Link>,
        stop: &Stop,
    ) -> Result<Streaming<pb::ForwardResponse>, PeerError> {
        let too_late = async {
            stop.stopped().await;
            self.clock.sleep(LAST_CALLS).await;
        };
        tokio::select! {
            biased;
            opened = client.forward(self.clone().departures()) => match opened {
                Ok(opened) => Ok(opened.into_inner()),
                Err(refusal) => Err(self.read(&refusal)),
            },
            () = too_late => Err(PeerError::Unknown("this process ends".to_owned())),
        }
    }

    fn read(&self, refusal: &tonic::Status) -> PeerError {
        read(&self.peer, status::error_of(&self.peer.address, refusal))
    }

    /// Messages of what is due, as long as the connection takes them. They end when the
    /// lane takes no more calls and all that waited were sent.
    fn departures(self: Arc<Self>) -> impl Stream<Item = pb::ForwardRequest> + Send + 'static {
        stream::unfold(self, |lane| async move {
            while lane.any_waiting().await {
                lane.let_others_in().await;
                let due = lane.traffic.lock().depart();
                if !due.is_empty() {
                    return Some((lane.message(due), lane));
                }
            }
            None
        })
    }

    /// Others that are about to ask do so first, and their calls go along.
    async fn let_others_in(&self) {
        let mut waiting = 0;
        for _ in 0..YIELDS_MAX {
            tokio::task::yield_now().await;
            let before = std::mem::replace(&mut waiting, self.traffic.lock().waiting());
            if before == waiting {
                return;
            }
        }
    }

    /// True when calls wait, false when none ever will.
    async fn any_waiting(&self) -> bool {
        poll_fn(|context| {
            // First register, then look: else a call between the two is not heard of.
            self.sender.register(context.waker());
            let traffic = self.traffic.lock();
            match (traffic.waiting() > 0, traffic.is_open()) {
                (true, _) => Poll::Ready(true),
                (false, false) => Poll::Ready(false),
                (false, true) => Poll::Pending,
            }
        })
        .await
    }

    fn message(&self, due: Vec<(u64, Passed)>) -> pb::ForwardRequest {
        let now = self.clock.now();
        let mut groups: Vec<GroupName> = Vec::new();
        let mut index_of = |group: GroupName| {
            let known = groups.iter().position(|known| *known == group);
            known.unwrap_or_else(|| {
                groups.push(group);
                groups.len() - 1
            })
        };
        let call = |(number, passed): (u64, Passed)| pb::ForwardCall {
            number,
            group: index_of(passed.group) as u32,
            known_epoch: passed.epoch.0,
            deadline_ms: millis(owners_part(passed.until.since(now))),
            operation: Some(bare_operation_to_pb(passed.operation)),
        };
        let calls = due.into_iter().map(call).collect();
        let to = self.peer.id.inc.to_string();
        pb::ForwardRequest {
            header: Some(header(&self.identity.load(), to)),
            groups: groups.into_iter().map(String::from).collect(),
            calls,
        }
    }

    /// Hands answers out until there are no more; answers why.
    async fn hand_out(
        &self,
        mut answers: Streaming<pb::ForwardResponse>,
        stop: &Stop,
    ) -> PeerError {
        let mut stopped = pin!(stop.stopped());
        let mut idle = pin!(self.clock.sleep(IDLE));
        let (mut open, mut carried) = (true, 0);
        loop {
            tokio::select! {
                biased;
                message = answers.message() => match message {
                    Ok(Some(message)) => self.deliver(message),
                    Ok(None) => return PeerError::Unknown("the stream ended".to_owned()),
                    Err(refusal) => return self.read(&refusal),
                },
                () = stopped.as_mut(), if open => {
                    open = false;
                    self.close();
                }
                () = idle.as_mut() => {
                    let since = std::mem::replace(&mut carried, self.traffic.lock().numbers());
                    if since == carried && self.traffic.lock().is_idle() {
                        self.close();
                    }
                    idle.set(self.clock.sleep(IDLE));
                }
            }
        }
    }

    fn deliver(&self, message: pb::ForwardResponse) {
        let whose = |traffic: &mut Traffic, answer: pb::ForwardAnswer| {
            let waits = traffic.arrive(answer.number)?;
            Some((waits, answer.kind))
        };
        let arrived: Vec<_> = {
            let mut traffic = self.traffic.lock();
            let answers = message.answers.into_iter();
            answers.filter_map(|it| whose(&mut traffic, it)).collect()
        };
        let answered = |kind: Option<Kind>| match kind {
            Some(Kind::Result(result)) => Ok(outcome_from_pb(result)),
            Some(Kind::Refusal(failure)) => Err(PeerError::Refused(failure.into())),
            None => Err(PeerError::Unknown("an empty answer".to_owned())),
        };
        let refused = |kind: &Option<Kind>| matches!(kind, Some(Kind::Refusal(_)));
        // Who was not let in may be by another lane: this process may show more by then.
        // Closed before anybody hears, so that what they ask next goes that way.
        if message.closing || arrived.iter().any(|(_, kind)| refused(kind)) {
            self.close();
        }
        for (waits, kind) in arrived {
            // If nobody listens any more, the caller's time was over.
            let _ = waits.send(answered(kind));
        }
    }

    fn close(&self) {
        self.traffic.lock().close();
        self.sender.wake();
    }

    /// What became of those that still wait, and why.
    fn end(&self, error: PeerError) {
        let (sent, unsent) = self.traffic.lock().end();
        self.sender.wake();
        let untouched = match &error {
            PeerError::Refused(failure) if failure.applied == Applied::No => error.clone(),
            _ => PeerError::NotSent(error.to_string()),
        };
        for call in unsent {
            let _ = call.answer.send(Err(untouched.clone()));
        }
        // Whatever the connection says of the stream: these were handed to it.
        let error = match error {
            PeerError::NotSent(message) => PeerError::Unknown(message),
            known => known,
        };
        for waits in sent {
            let _ = waits.send(Err(error.clone()));
        }
    }
}
