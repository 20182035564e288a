//! Commands that wait for other nodes, and the replies behind them: collected while
//! the buffer is gone through, carried out together, and answered in their order.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::BytesMut;
use cached_proto::failure::{Applied, Failure, FailureCode};
use cached_proto::operation::{self, Operation, Outcome, Route};
use cached_proto::types::{GroupName, Key};

use super::plan::Then;
use super::reply::RespVersion;
use crate::clock::Moment;
use crate::frontend::FrontendParts;
use crate::requests::{Kind, Protocol};

/// Replies in the order in which their commands came, some of them still unknown.
#[derive(Debug)]
pub(super) struct Pass {
    group: GroupName,
    route: Route,
    started: Moment,
    parts: Vec<Part>,
    /// Replies behind all of them.
    text: BytesMut,
    /// What is carried out elsewhere.
    work: Vec<(Operation, Route)>,
    keys: BTreeSet<Key>,
    /// Bytes of the commands that wait.
    bytes: usize,
}

/// A piece of the answer.
#[derive(Debug)]
pub(super) enum Part {
    /// Spelled already.
    Text(BytesMut),
    /// A command whose operations are not all done.
    Command(Waiting),
}

/// A command that waits.
pub(super) struct Waiting {
    /// One for each operation.
    pub(super) places: Vec<Place>,
    /// Makes the reply.
    pub(super) then: Then,
    /// How it is spelled.
    pub(super) version: RespVersion,
    /// The client does not want to hear it.
    pub(super) silent: bool,
    /// It changes keys.
    pub(super) writes: bool,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.places).finish()
    }
}

/// What has become of one operation.
#[derive(Debug)]
pub(super) enum Place {
    /// It came to this.
    Done(Outcome),
    /// It is the next of the pass's work. A read is kept, to be asked again by itself
    /// if its value does not fit in an answer together with the others.
    Todo(Kind, Option<Operation>),
}

/// A pass whose work is done.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) group: GroupName,
    pub(super) route: Route,
    pub(super) parts: Vec<Part>,
    /// Of all that was to do, in order.
    pub(super) outcomes: Vec<Outcome>,
    pub(super) keys: BTreeSet<Key>,
    pub(super) bytes: usize,
}

impl Pass {
    /// Nothing yet.
    pub(super) fn new(group: GroupName, route: Route, started: Moment) -> Self {
        Self {
            group,
            route,
            started,
            parts: Vec::new(),
            text: BytesMut::new(),
            work: Vec::new(),
            keys: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// The commands that may come now were read at that time.
    pub(super) fn begin(&mut self, started: Moment) {
        if self.is_empty() {
            self.started = started;
        }
    }

    /// The group that its operations are about.
    pub(super) fn group(&self) -> &GroupName {
        &self.group
    }

    /// Whether nothing in it waits, and nothing is to be said.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.text.is_empty()
    }

    /// How many operations wait.
    pub(super) fn len(&self) -> usize {
        self.work.len()
    }

    /// Whether an operation on the key waits.
    pub(super) fn waits_for(&self, key: &Key) -> bool {
        self.keys.contains(key)
    }

    /// Where replies are spelled that come after all that is here.
    pub(super) fn text(&mut self) -> &mut BytesMut {
        &mut self.text
    }

    /// An operation to be carried out elsewhere; answers its place.
    pub(super) fn add(&mut self, operation: Operation) -> Place {
        self.keys.extend(operation.keys().cloned());
        let kept = operation.is_read().then(|| operation.clone());
        let place = Place::Todo(Kind::of(&operation), kept);
        self.work.push((operation, self.route));
        place
    }

    /// The command that the operations added last are for, of so many bytes.
    pub(super) fn push(&mut self, command: Waiting, bytes: usize) {
        self.end_text();
        self.parts.push(Part::Command(command));
        self.bytes += bytes;
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(Part::Text(std::mem::take(&mut self.text)));
        }
    }

    /// The keys that are waited for.
    pub(super) fn keys(&self) -> &BTreeSet<Key> {
        &self.keys
    }

    /// Bytes of the commands that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Carries out the work. Ends by the deadline, as the router does.
    pub(super) async fn carry_out(mut self, frontends: Arc<FrontendParts>) -> Finished {
        self.end_text();
        let deadline = frontends.deadline(self.started, None);
        let kinds: Vec<Kind> = self
            .work
            .iter()
            .map(|(operation, _)| Kind::of(operation))
            .collect();
        let outcomes = if self.work.is_empty() {
            Vec::new()
        } else {
            let router = &frontends.router;
            router
                .execute_routed(self.group.clone(), self.work, deadline)
                .await
        };
        for (kind, outcome) in kinds.into_iter().zip(&outcomes) {
            if !is_withheld(outcome) {
                frontends.count(Protocol::Resp, kind, outcome, self.started);
            }
        }
        Finished {
            group: self.group,
            route: self.route,
            parts: self.parts,
            outcomes,
            keys: self.keys,
            bytes: self.bytes,
        }
    }
}

/// Bytes of values in one reply, unless a single value is longer.
pub(super) const REPLY_BYTES_MAX: usize = 64 << 20;

/// Bytes of the value that an operation is answered with.
pub(super) fn value_bytes(outcome: &Outcome) -> usize {
    match outcome {
        Ok(answer) => match &answer.reply {
            operation::Reply::Get(Some(entry)) => entry.value.len(),
            _ => 0,
        },
        Err(_) => 0,
    }
}

/// Whether a value was left out of an answer only because of what else is in it.
pub(super) fn is_withheld(outcome: &Outcome) -> bool {
    matches!(outcome, Err(failure) if failure.code == FailureCode::TooLarge
        && failure.field == Some("keys"))
}

/// All replies of a command, or the failure to be told in their place: of several,
/// one after which nobody knows whether the operation was applied. What was written
/// in part is said to be.
pub(super) fn all_replies(
    outcomes: Vec<Outcome>,
    writes: bool,
) -> Result<Vec<operation::Reply>, Failure> {
    let asked = outcomes.len();
    let mut replies = Vec::with_capacity(asked);
    let mut told: Option<Failure> = None;
    for outcome in outcomes {
        match outcome {
            Ok(answer) => replies.push(answer.reply),
            Err(failure) => {
                let worse = |told: &Failure| {
                    told.applied == Applied::No && failure.applied == Applied::Unknown
                };
                if told.as_ref().is_none_or(worse) {
                    told = Some(failure);
                }
            }
        }
    }
    let Some(mut failure) = told else {
        return Ok(replies);
    };
    if writes && !replies.is_empty() {
        let done = replies.len();
        failure.message = format!("{done} of {asked} keys are done: {}", failure.message);
        failure.applied = Applied::Unknown;
    }
    Err(failure)
}
