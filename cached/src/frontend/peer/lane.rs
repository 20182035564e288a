//! Operations of another node over one stream. What this node can answer by itself is
//! answered at once; what has to wait, for a load or for a slot on its way, holds up
//! nothing that came after it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cached_proto::convert::{WireOperation, outcome_to_pb};
use cached_proto::failure::Failure;
use cached_proto::operation::{Outcome, Reply, Route};
use cached_proto::pb::cached::peer::v1 as pb;
use cached_proto::pb::cached::peer::v1::forward_answer;
use cached_proto::types::{Epoch, GroupName, Invalid};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, FuturesUnordered, Stream, StreamExt};
use tonic::Status;

use crate::clock::Moment;
use crate::command::Command;
use crate::frontend::FrontendParts;
use crate::frontend::auth::{Pass, Role};
use crate::frontend::grpc::batch::unanswered;
use crate::requests::{Kind, Protocol};
use crate::router::fast::FETCHED_MAX;

/// Calls of one stream that wait at a time. When so many do, no more are begun. Senders
/// keep within it: see `peers/lane`.
const CALLS_MAX: usize = 1024;

/// Bytes of values that answers in one message carry, about; a longer value goes in a
/// message of its own.
const MESSAGE_BYTES: usize = 64 * 1024;

/// Bytes that an answer takes beside a value, about.
const ANSWER_BYTES: usize = 64;

/// Answers to the calls of `inbound`. Nothing is read or carried out unless somebody
/// asks for answers. When this process stops it says so, and goes on until the caller
/// has ended its side.
pub(super) fn run<S>(
    parts: Arc<FrontendParts>,
    pass: Pass,
    inbound: S,
) -> BoxStream<'static, Result<pb::ForwardResponse, Status>>
where
    S: Stream<Item = Result<pb::ForwardRequest, Status>> + Send + Unpin + 'static,
{
    let operator = Arc::clone(&parts.operator);
    // Boxed, because its place changes with every message.
    let lane = Box::new(Lane {
        started: parts.clock.now(),
        parts,
        pass,
        inbound,
        reading: true,
        stopped: Some(Box::pin(async move { operator.stopped().await })),
        due: VecDeque::new(),
        fetched: 0,
        refused: VecDeque::new(),
        ready: None,
        waiting: FuturesUnordered::new(),
    });
    let next = async |mut lane: Box<Lane<S>>| {
        let response = lane.next().await?;
        Some((Ok(response), lane))
    };
    stream::unfold(lane, next).boxed()
}

/// One open stream.
struct Lane<S> {
    parts: Arc<FrontendParts>,
    pass: Pass,
    inbound: S,
    /// The caller has not ended its side.
    reading: bool,
    /// Until the process stops.
    stopped: Option<BoxFuture<'static, ()>>,
    /// Calls of the last message that were not begun.
    due: VecDeque<Due>,
    /// How many of them have been fetched.
    fetched: usize,
    /// When it was read.
    started: Moment,
    /// Answers to a message that was refused.
    refused: VecDeque<Answer>,
    /// An answer that did not fit beside the others.
    ready: Option<Answer>,
    /// Calls that wait.
    waiting: FuturesUnordered<BoxFuture<'static, Answer>>,
}

/// A call to be begun.
struct Due {
    number: u64,
    /// What to do, or what is wrong with it.
    command: Result<Command, Failure>,
}

/// An answer, and how many bytes it takes in a message, about.
struct Answer {
    answer: pb::ForwardAnswer,
    bytes: usize,
}

/// Answers that go out together.
struct Answers {
    answers: Vec<pb::ForwardAnswer>,
    bytes: usize,
}

impl Answers {
    fn with_capacity(capacity: usize) -> Self {
        Self {
            answers: Vec::with_capacity(capacity),
            bytes: 0,
        }
    }

    /// Takes an answer in, or hands it back if there is no room beside the others.
    fn add(&mut self, answer: Answer) -> Option<Answer> {
        if !self.answers.is_empty() && self.bytes + answer.bytes > MESSAGE_BYTES {
            return Some(answer);
        }
        self.bytes += answer.bytes;
        self.answers.push(answer.answer);
        None
    }
}

impl<S> Lane<S>
where
    S: Stream<Item = Result<pb::ForwardRequest, Status>> + Send + Unpin,
{
    /// The next answers; `None` when all are out and the caller has ended its side.
    async fn next(&mut self) -> Option<pb::ForwardResponse> {
        loop {
            let answers = self.gather();
            if !answers.is_empty() {
                let closing = false;
                return Some(pb::ForwardResponse { answers, closing });
            }
            let room = self.waiting.len() < CALLS_MAX;
            tokio::select! {
                biased;
                Some(answer) = self.waiting.next() => self.ready = Some(answer),
                more = self.inbound.next(), if self.reading && room => self.take(more),
                () = until(&mut self.stopped), if self.reading && self.stopped.is_some() => {
                    self.stopped = None;
                    let answers = Vec::new();
                    return Some(pb::ForwardResponse { answers, closing: true });
                }
                else => return None,
            }
        }
    }

    /// What can be answered now, up to a message's worth.
    fn gather(&mut self) -> Vec<pb::ForwardAnswer> {
        let mut answers = Answers::with_capacity(self.due.len());
        loop {
            let answer = self.ready.take().or_else(|| self.refused.pop_front());
            let answer = answer.or_else(|| self.begin_next());
            let answer = answer.or_else(|| self.waiting.next().now_or_never().flatten());
            let Some(answer) = answer else { break };
            self.ready = answers.add(answer);
            if self.ready.is_some() {
                break;
            }
        }
        answers.answers
    }

    /// Takes a message in; there are no calls left of the one before.
    fn take(&mut self, more: Option<Result<pb::ForwardRequest, Status>>) {
        let Some(Ok(message)) = more else {
            // How a caller's stream broke is nothing to its owner: it is over.
            self.reading = false;
            return;
        };
        self.started = self.parts.clock.now();
        let groups = match self.open(&message) {
            Ok(groups) => groups,
            Err(failure) => {
                let refused = |call: pb::ForwardCall| refused(call.number, &failure);
                self.refused = message.calls.into_iter().map(refused).collect();
                return;
            }
        };
        let read = |call: pb::ForwardCall| Due {
            number: call.number,
            command: read(&self.parts, &groups, call, self.started),
        };
        self.due = message.calls.into_iter().map(read).collect();
        self.fetched = 0;
    }

    /// Fetches together what the next calls will look at.
    fn fetch(&mut self) {
        let commands = || self.due.iter().filter_map(|due| due.command.as_ref().ok());
        let Some(first) = commands().next() else {
            return;
        };
        let of_group = |command: &&Command| command.group == first.group;
        let keys = commands().filter(of_group);
        let keys = keys.map(|command| command.operation.key());
        self.parts.router.fetch(&first.group, keys, self.started);
        self.fetched = FETCHED_MAX;
    }

    /// Whether the sender may ask this process, and about which groups.
    fn open(&mut self, message: &pb::ForwardRequest) -> Result<Vec<GroupName>, Failure> {
        self.pass.check(Role::Admin)?;
        let header = message.header.as_ref();
        self.parts.operator.check_header(header)?;
        let groups = message.groups.iter().map(GroupName::new);
        groups.collect::<Result<_, _>>().map_err(Failure::from)
    }

    /// Begins calls up to the first that is answered at once.
    fn begin_next(&mut self) -> Option<Answer> {
        while self.waiting.len() < CALLS_MAX {
            if self.fetched == 0 && self.due.len() > 1 {
                self.fetch();
            }
            self.fetched = self.fetched.saturating_sub(1);
            let Due { number, command } = self.due.pop_front()?;
            let command = match command {
                Ok(command) => command,
                Err(failure) => return Some(answer(number, Err(failure))),
            };
            let (parts, started) = (&self.parts, self.started);
            let kind = Kind::of(&command.operation);
            match parts.router.try_local(&command) {
                Some(outcome) => {
                    parts.count(Protocol::Peer, kind, &outcome, started);
                    return Some(answer(number, outcome));
                }
                None => {
                    let parts = Arc::clone(parts);
                    self.waiting.push(Box::pin(async move {
                        let outcome = carry_out(&parts, command).await;
                        parts.count(Protocol::Peer, kind, &outcome, started);
                        answer(number, outcome)
                    }));
                }
            }
        }
        None
    }
}

fn read(
    parts: &FrontendParts,
    groups: &[GroupName],
    call: pb::ForwardCall,
    started: Moment,
) -> Result<Command, Failure> {
    let group = groups.get(call.group as usize);
    let group = group.ok_or_else(|| Invalid::new("group", "is none that the message lists"))?;
    let time_left = Duration::from_millis(call.deadline_ms);
    let WireOperation { operation, .. } = call
        .operation
        .ok_or_else(|| Invalid::new("operation", "is missing"))?
        .try_into()?;
    Ok(Command {
        group: group.clone(),
        operation,
        route: Route::OwnerOnly {
            known_epoch: Epoch(call.known_epoch),
        },
        deadline: parts.deadline(started, Some(time_left)),
    })
}

/// Carries out, here or not at all, what cannot be answered at once.
async fn carry_out(parts: &FrontendParts, command: Command) -> Outcome {
    let Command {
        group,
        operation,
        route,
        deadline,
    } = command;
    let known_epoch = match route {
        Route::OwnerOnly { known_epoch } => known_epoch,
        Route::Forward => Epoch(0),
    };
    let work = vec![(operation, known_epoch)];
    let mut outcomes = parts.router.execute_for_peer(group, work, deadline).await;
    outcomes.pop().unwrap_or_else(|| Err(unanswered()))
}

/// Resolves with `stopped`, or never.
async fn until(stopped: &mut Option<BoxFuture<'static, ()>>) {
    match stopped {
        Some(stopped) => stopped.await,
        None => std::future::pending().await,
    }
}

fn answer(number: u64, outcome: Outcome) -> Answer {
    let bytes = bytes_of(&outcome);
    let kind = forward_answer::Kind::Result(outcome_to_pb(outcome));
    let answer = pb::ForwardAnswer {
        number,
        kind: Some(kind),
    };
    Answer { answer, bytes }
}

fn refused(number: u64, failure: &Failure) -> Answer {
    let bytes = ANSWER_BYTES + failure.to_wire_bytes().len();
    let kind = forward_answer::Kind::Refusal(failure.clone().into());
    let answer = pb::ForwardAnswer {
        number,
        kind: Some(kind),
    };
    Answer { answer, bytes }
}

fn bytes_of(outcome: &Outcome) -> usize {
    let value_bytes = match outcome.as_ref().map(|answer| &answer.reply) {
        Err(failure) => failure.to_wire_bytes().len(),
        Ok(Reply::Get(Some(entry))) => entry.value.len(),
        Ok(Reply::Update(updated)) => updated.entry.as_ref().map_or(0, |it| it.value.len()),
        _ => 0,
    };
    ANSWER_BYTES + value_bytes
}
