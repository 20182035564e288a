//! A stream of operations and a stream of their results, in the same order.
//!
//! What this node can answer by itself is answered at once. What has to be passed on
//! or loaded runs beside what comes after it, except that operations on one key are
//! carried out in the order in which they came.

use std::collections::{BTreeSet, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use cached_proto::convert::{WireOperation, outcome_to_pb};
use cached_proto::failure::Failure;
use cached_proto::pb::cached::cache::v1 as pb;
use cached_proto::types::{Invalid, Key};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, FuturesUnordered, Stream, StreamExt};
use tonic::Status;

use super::batch::{check_count, unanswered};
use super::message::{Leg, Message, Place, kind_of};
use crate::clock::Moment;
use crate::command::Command;
use crate::frontend::FrontendParts;
use crate::frontend::auth::{Pass, Role};
use crate::frontend::status::to_status;
use crate::requests::{Kind, Protocol};

/// Messages of one stream that wait for other nodes at a time. Enough to hide a
/// round trip between nodes; when so many wait, no more are read, so that a caller
/// who sends faster than its answers come is slowed down by its own connection.
pub(super) const IN_FLIGHT_MAX: usize = 32;

/// What the opener of a stream may do, and for how long.
#[derive(Debug)]
pub(super) struct Rights {
    /// What it showed. Without the role to read the stream ends; without the role to
    /// write each write fails in its place.
    pub(super) pass: Pass,
    /// When it stops waiting for the whole stream, if it said so.
    pub(super) until: Option<Moment>,
}

/// Results of the operations of `inbound`, message for message. Nothing is read or
/// carried out unless somebody asks for results.
pub(super) fn run<S>(
    parts: Arc<FrontendParts>,
    rights: Rights,
    inbound: S,
) -> BoxStream<'static, Result<pb::PipelineResponse, Status>>
where
    S: Stream<Item = Result<pb::PipelineRequest, Status>> + Send + Unpin + 'static,
{
    // Boxed, because its place changes with every message.
    let pipeline = Box::new(Pipeline {
        parts,
        rights,
        inbound,
        reading: true,
        last_word: None,
        held: None,
        turns: VecDeque::new(),
        first: 0,
        away: FuturesUnordered::new(),
        keys: BTreeSet::new(),
    });
    let next = async |mut pipeline: Box<Pipeline<S>>| {
        let response = pipeline.next().await?;
        Some((response, pipeline))
    };
    stream::unfold(pipeline, next).boxed()
}

/// One open stream.
struct Pipeline<S> {
    parts: Arc<FrontendParts>,
    rights: Rights,
    inbound: S,
    /// The caller has not ended its side.
    reading: bool,
    /// What ends the stream after all results are out.
    last_word: Option<Status>,
    /// A message that works on a key that an earlier one still waits for.
    held: Option<Message>,
    /// Messages that wait for other nodes, in the order in which they came.
    turns: VecDeque<Turn>,
    /// The number of the first of them.
    first: u64,
    /// Those that the router carries out, with their numbers.
    away: FuturesUnordered<BoxFuture<'static, (u64, Message)>>,
    /// The keys that they wait for.
    keys: BTreeSet<Key>,
}

/// A message that waits its turn.
enum Turn {
    /// For what was posted.
    Posted(Message),
    /// For the router.
    Away,
    /// For those before it.
    Done(Message),
}

impl<S> Pipeline<S>
where
    S: Stream<Item = Result<pb::PipelineRequest, Status>> + Send + Unpin,
{
    /// The next results; `None` when all are out and the caller has ended its side.
    async fn next(&mut self) -> Option<Result<pb::PipelineResponse, Status>> {
        loop {
            match self.turns.pop_front() {
                Some(Turn::Done(message)) => {
                    self.first += 1;
                    return Some(Ok(self.finish(message)));
                }
                Some(turn) => self.turns.push_front(turn),
                None => {
                    if let Some(message) = self.held.take()
                        && let Some(response) = self.start(message)
                    {
                        return Some(Ok(response));
                    }
                }
            }
            let room = self.turns.len() < IN_FLIGHT_MAX;
            let more = tokio::select! {
                biased;
                more = self.inbound.next(), if self.reading && self.held.is_none() && room => more,
                Some((number, message)) = self.away.next() => {
                    self.come_back(number, message);
                    continue;
                }
                Some(()) = landing(&self.parts, &mut self.turns) => {
                    self.sort_landed();
                    continue;
                }
                else => return self.last_word.take().map(Err),
            };
            if let Some(response) = self.take(more) {
                return Some(Ok(response));
            }
        }
    }

    /// Tells what came back done from what the router has to carry on with.
    fn sort_landed(&mut self) {
        for index in 0..self.turns.len() {
            let landed = |message: &Message| message.is_done() || !message.is_posted();
            if matches!(&self.turns[index], Turn::Posted(message) if landed(message))
                && let Turn::Posted(message) = std::mem::replace(&mut self.turns[index], Turn::Away)
            {
                let number = self.first + index as u64;
                self.turns[index] = self.turn(message, number);
            }
        }
    }

    /// How a message waits its turn, which has that number.
    fn turn(&self, message: Message, number: u64) -> Turn {
        if message.is_done() {
            return Turn::Done(message);
        }
        if message.is_posted() {
            return Turn::Posted(message);
        }
        let carried = message.carry_out(Arc::clone(&self.parts));
        self.away
            .push(Box::pin(async move { (number, carried.await) }));
        Turn::Away
    }

    /// The router has carried out the message of that number.
    fn come_back(&mut self, number: u64, message: Message) {
        let index = usize::try_from(number - self.first).unwrap_or(usize::MAX);
        if let Some(turn) = self.turns.get_mut(index) {
            *turn = Turn::Done(message);
        }
    }

    /// Takes a message in; answers its results if they are there at once and it is
    /// its turn.
    fn take(
        &mut self,
        more: Option<Result<pb::PipelineRequest, Status>>,
    ) -> Option<pb::PipelineResponse> {
        let read = match more {
            Some(Ok(request)) => self.read(request).map_err(to_status),
            Some(Err(status)) => Err(status),
            None => {
                self.reading = false;
                return None;
            }
        };
        match read {
            Ok(message) if message.touches(&self.keys) => {
                self.held = Some(message);
                None
            }
            Ok(message) => self.start(message),
            Err(status) => {
                self.reading = false;
                self.last_word = Some(status);
                None
            }
        }
    }

    /// Checks every operation of a message; a bad one fails in its place.
    fn read(&mut self, request: pb::PipelineRequest) -> Result<Message, Failure> {
        self.rights.pass.check(Role::Read)?;
        check_count(request.operations.len())?;
        let started = self.parts.clock.now();
        let deadline = self.parts.deadline(started, None);
        let deadline = self
            .rights
            .until
            .map_or(deadline, |until| until.min(deadline));
        let alone = request.operations.len() == 1;
        let read = |operation: pb::Operation| {
            let kind = kind_of(&operation);
            match self.read_one(operation, alone, deadline) {
                Ok(command) => Place::Todo(command, Leg::Home),
                Err(failure) => Place::Done(kind, Err(failure)),
            }
        };
        let places = request.operations.into_iter().map(read).collect();
        Ok(Message {
            started,
            deadline,
            places,
            waits: Vec::new(),
        })
    }

    fn read_one(
        &mut self,
        operation: pb::Operation,
        alone: bool,
        deadline: Moment,
    ) -> Result<Command, Failure> {
        let command = self
            .parts
            .command(WireOperation::try_from(operation)?, deadline);
        if !alone && command.operation.travels_alone() {
            let problem = "that answers a value has to be alone in its message";
            return Err(Invalid::new("update", problem).into());
        }
        if !command.operation.is_read() {
            self.rights.pass.check(Role::Write)?;
        }
        Ok(command)
    }

    /// Carries out what needs nobody else. Answers the results if that was all and
    /// nothing before it waits; otherwise the message waits in its turn.
    fn start(&mut self, mut message: Message) -> Option<pb::PipelineResponse> {
        message.begin(&self.parts);
        if message.is_done() && self.turns.is_empty() {
            return Some(self.finish(message));
        }
        self.keys.extend(message.waits.iter().cloned());
        let number = self.first + self.turns.len() as u64;
        let turn = self.turn(message, number);
        self.turns.push_back(turn);
        None
    }

    /// Counts a message that is done, and spells its results.
    fn finish(&mut self, message: Message) -> pb::PipelineResponse {
        for key in &message.waits {
            self.keys.remove(key);
        }
        let mut fit = self.parts.fitting();
        let result = |place| {
            let (kind, mut outcome) = match place {
                Place::Done(kind, outcome) => (kind, outcome),
                Place::Todo(command, _) => (Kind::of(&command.operation), Err(unanswered())),
            };
            self.parts
                .count(Protocol::Grpc, kind, &outcome, message.started);
            fit(&mut outcome);
            outcome_to_pb(outcome)
        };
        pb::PipelineResponse {
            results: message.places.into_iter().map(result).collect(),
        }
    }
}

/// Resolves when a message that was posted has landed, or its time is over; `None` if
/// there is none.
async fn landing(parts: &FrontendParts, turns: &mut VecDeque<Turn>) -> Option<()> {
    let posted = |turn: &Turn| match turn {
        Turn::Posted(message) => Some(message.deadline),
        Turn::Away | Turn::Done(_) => None,
    };
    let deadline = turns.iter().filter_map(posted).min()?;
    let landed = poll_fn(|cx| {
        let mut any = Poll::Pending;
        for turn in turns.iter_mut() {
            if let Turn::Posted(message) = turn
                && message.poll_landing(parts, cx).is_ready()
            {
                any = Poll::Ready(());
            }
        }
        any
    });
    let over = tokio::select! {
        biased;
        () = landed => false,
        () = parts.clock.sleep(deadline.since(parts.clock.now())) => true,
    };
    for turn in turns.iter_mut().filter(|_| over) {
        if let Turn::Posted(message) = turn
            && message.deadline <= parts.clock.now()
        {
            message.give_up(parts);
        }
    }
    Some(())
}
