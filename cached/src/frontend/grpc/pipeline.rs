//! A stream of operations and a stream of their results, in the same order.
//!
//! What this node can answer by itself is answered at once. What has to be passed on
//! or loaded runs beside what comes after it, except that operations on one key are
//! carried out in the order in which they came.

use std::collections::BTreeSet;
use std::sync::Arc;

use cached_proto::convert::{WireOperation, outcome_to_pb};
use cached_proto::failure::Failure;
use cached_proto::pb::cached::cache::v1 as pb;
use cached_proto::types::{Invalid, Key};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, FuturesOrdered, Stream, StreamExt};
use tonic::Status;

use super::batch::check_count;
use super::message::{Message, Place, kind_of};
use crate::clock::Moment;
use crate::command::Command;
use crate::frontend::FrontendParts;
use crate::frontend::auth::{Pass, Role};
use crate::frontend::status::to_status;
use crate::requests as metrics;

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
    let pipeline = Pipeline {
        parts,
        rights,
        inbound,
        reading: true,
        last_word: None,
        held: None,
        waiting: FuturesOrdered::new(),
        keys: BTreeSet::new(),
    };
    let next = async |mut pipeline: Pipeline<S>| {
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
    waiting: FuturesOrdered<BoxFuture<'static, Message>>,
    /// The keys that they wait for.
    keys: BTreeSet<Key>,
}

impl<S> Pipeline<S>
where
    S: Stream<Item = Result<pb::PipelineRequest, Status>> + Send + Unpin,
{
    /// The next results; `None` when all are out and the caller has ended its side.
    async fn next(&mut self) -> Option<Result<pb::PipelineResponse, Status>> {
        loop {
            if self.waiting.is_empty()
                && let Some(message) = self.held.take()
                && let Some(response) = self.start(message)
            {
                return Some(Ok(response));
            }
            let room = self.waiting.len() < IN_FLIGHT_MAX;
            let more = tokio::select! {
                biased;
                Some(message) = self.waiting.next() => return Some(Ok(self.finish(message))),
                more = self.inbound.next(), if self.reading && self.held.is_none() && room => more,
                else => return self.last_word.take().map(Err),
            };
            if let Some(response) = self.take(more) {
                return Some(Ok(response));
            }
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
                Ok(command) => Place::Todo(command),
                Err(failure) => Place::Done(kind, Err(failure)),
            }
        };
        let places = request.operations.into_iter().map(read).collect();
        Ok(Message {
            started,
            places,
            waits: BTreeSet::new(),
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
    fn start(&mut self, message: Message) -> Option<pb::PipelineResponse> {
        let message = message.try_local(&self.parts);
        if message.waits.is_empty() && self.waiting.is_empty() {
            return Some(self.finish(message));
        }
        self.keys.extend(message.waits.iter().cloned());
        self.waiting
            .push_back(Box::pin(message.carry_out(Arc::clone(&self.parts))));
        None
    }

    /// Counts a message that is done, and spells its results.
    fn finish(&mut self, message: Message) -> pb::PipelineResponse {
        for key in &message.waits {
            self.keys.remove(key);
        }
        let mut outcomes = Vec::with_capacity(message.places.len());
        for place in message.places {
            let Place::Done(kind, outcome) = place else {
                continue;
            };
            self.parts
                .count(metrics::Protocol::Grpc, kind, &outcome, message.started);
            outcomes.push(outcome);
        }
        self.parts.fit(&mut outcomes);
        pb::PipelineResponse {
            results: outcomes.into_iter().map(outcome_to_pb).collect(),
        }
    }
}
