//! One message of a pipeline on its way: operations become outcomes, each in its place.
//! An own key's is there at once; what goes straight to another node is posted; the rest
//! is carried out by the router, with whatever is known of it by then.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use cached_proto::operation::{Operation, Outcome, Route};
use cached_proto::pb::cached::cache::v1 as pb;
use cached_proto::types::{GroupName, Key};
use futures_util::future::join_all;

use super::batch::unanswered;
use crate::clock::Moment;
use crate::command::Command;
use crate::frontend::FrontendParts;
use crate::requests::Kind;
use crate::router::post::{Flight, Stray};

/// One message.
#[derive(Debug)]
pub(crate) struct Message {
    /// When it was read.
    pub(super) started: Moment,
    /// When its caller stops waiting.
    pub(super) deadline: Moment,
    /// One for each operation, in the order asked.
    pub(super) places: Vec<Place>,
    /// Keys of the operations that wait for others.
    pub(super) waits: Vec<Key>,
}

/// What has become of one operation.
#[derive(Debug)]
pub(crate) enum Place {
    /// It is still to be carried out.
    Todo(Command, Leg),
    /// It came to this.
    Done(Kind, Outcome),
}

/// Where an operation is that is still to be carried out.
#[derive(Debug)]
pub(crate) enum Leg {
    /// Here.
    Home,
    /// On its way to its owner.
    Posted(Flight),
    /// Back from there without a reply.
    Stray(Stray),
}

/// Operations of one group, which the router takes together: it keeps one key's in
/// order, and the same key in another group is another key.
struct Batch {
    group: GroupName,
    deadline: Moment,
    places: Vec<usize>,
    work: Vec<(Operation, Route, Option<Stray>)>,
}

impl Message {
    /// Whether an operation still to be carried out works on one of these keys.
    pub(super) fn touches(&self, keys: &BTreeSet<Key>) -> bool {
        let touches = |place: &Place| match place {
            Place::Todo(command, _) => command.operation.keys().any(|key| keys.contains(key)),
            Place::Done(..) => false,
        };
        !keys.is_empty() && self.places.iter().any(touches)
    }

    /// Carries out what needs nobody else, in order, and posts what goes straight to
    /// another node. What follows an operation that waits, on the same key, waits behind
    /// it.
    pub(super) fn begin(&mut self, parts: &FrontendParts) {
        let (mut waiting, several) = (BTreeSet::new(), self.places.len() > 1);
        for place in &mut self.places {
            let Place::Todo(command, _) = place else {
                continue;
            };
            let behind = |key| waiting.contains(key);
            if !command.operation.keys().any(behind)
                && let Some(outcome) = parts.router.try_local(command)
            {
                *place = Place::Done(Kind::of(&command.operation), outcome);
                continue;
            }
            self.waits.extend(command.operation.keys().cloned());
            if several {
                waiting.extend(command.operation.keys().cloned());
            }
        }
        self.post(parts);
    }

    /// Posts an operation that is alone in its message. Several go to each owner in one
    /// call, which bounds what all of them are answered together.
    fn post(&mut self, parts: &FrontendParts) {
        if let [Place::Todo(command, leg)] = &mut self.places[..]
            && let Some(flight) = parts.router.post(command, self.started)
        {
            *leg = Leg::Posted(flight);
        }
    }

    /// Whether there is nothing to do but wait for what was posted.
    pub(super) fn is_posted(&self) -> bool {
        let mut places = self.places.iter();
        places.all(|place| matches!(place, Place::Todo(_, Leg::Posted(_)) | Place::Done(..)))
    }

    /// Ready when nothing is on its way any more.
    pub(super) fn poll_landing(&mut self, parts: &FrontendParts, cx: &mut Context<'_>) -> Poll<()> {
        let mut landed = Poll::Ready(());
        for place in &mut self.places {
            let Place::Todo(command, leg) = place else {
                continue;
            };
            let Leg::Posted(flight) = leg else { continue };
            match parts.router.poll_landing(flight, cx) {
                Poll::Pending => landed = Poll::Pending,
                Poll::Ready(Err(stray)) => *leg = Leg::Stray(stray),
                Poll::Ready(Ok(answer)) => {
                    *place = Place::Done(Kind::of(&command.operation), Ok(answer));
                }
            }
        }
        landed
    }

    /// Waits no longer for what is on its way.
    pub(super) fn give_up(&mut self, parts: &FrontendParts) {
        for place in &mut self.places {
            if let Place::Todo(_, leg) = place
                && let Leg::Posted(flight) = leg
            {
                *leg = Leg::Stray(parts.router.give_up(flight));
            }
        }
    }

    /// Whether every operation has come to its outcome.
    pub(super) fn is_done(&self) -> bool {
        let mut places = self.places.iter();
        places.all(|place| matches!(place, Place::Done(..)))
    }

    /// Carries out the rest. Ends by the deadline, as the router does.
    pub(super) async fn carry_out(mut self, parts: Arc<FrontendParts>) -> Self {
        poll_fn(|cx| self.poll_landing(&parts, cx)).await;
        let started = self.started;
        let run = async |batch: Batch| {
            let Batch {
                group,
                deadline,
                places,
                work,
            } = batch;
            let outcomes = parts.router.resume(group, work, started, deadline).await;
            (places, outcomes)
        };
        let done = join_all(self.batches().into_iter().map(run)).await;
        for (place, outcome) in done
            .into_iter()
            .flat_map(|(places, all)| places.into_iter().zip(all))
        {
            if let Place::Done(_, slot) = &mut self.places[place] {
                *slot = outcome;
            }
        }
        self
    }

    /// Takes out what is still to be done. In its place stands, until its outcome is
    /// there, that nobody knows it.
    fn batches(&mut self) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        for (index, place) in self.places.iter_mut().enumerate() {
            let Place::Todo(command, _) = place else {
                continue;
            };
            let unknown = Place::Done(Kind::of(&command.operation), Err(unanswered()));
            let Place::Todo(command, leg) = std::mem::replace(place, unknown) else {
                continue;
            };
            let stray = match leg {
                Leg::Stray(stray) => Some(stray),
                Leg::Home | Leg::Posted(_) => None,
            };
            let Command {
                group,
                operation,
                route,
                deadline,
            } = command;
            let batch = batches.iter_mut().find(|batch| batch.group == group);
            if let Some(batch) = batch {
                batch.places.push(index);
                batch.work.push((operation, route, stray));
                continue;
            }
            batches.push(Batch {
                group,
                deadline,
                places: vec![index],
                work: vec![(operation, route, stray)],
            });
        }
        batches
    }
}

/// The kind of an operation that may be unreadable, for counting it.
pub(crate) fn kind_of(operation: &pb::Operation) -> Kind {
    match operation.kind {
        Some(pb::operation::Kind::Set(_)) => Kind::Set,
        Some(pb::operation::Kind::Delete(_)) => Kind::Delete,
        Some(pb::operation::Kind::Touch(_)) => Kind::Touch,
        Some(pb::operation::Kind::Update(_)) => Kind::Update,
        Some(pb::operation::Kind::SetMany(_)) => Kind::SetMany,
        Some(pb::operation::Kind::Get(_)) | None => Kind::Get,
    }
}

#[cfg(test)]
mod tests {
    use cached_proto::types::Epoch;

    use super::*;

    fn read(group: &str, known_epoch: u64) -> Place {
        let command = Command {
            group: GroupName::new(group).unwrap(),
            operation: Operation::Get {
                key: Key::new("k").unwrap(),
                no_load: false,
                metadata_only: false,
            },
            route: Route::OwnerOnly {
                known_epoch: Epoch(known_epoch),
            },
            deadline: Moment::default(),
        };
        Place::Todo(command, Leg::Home)
    }

    #[test]
    fn one_keys_operations_go_together_whoever_routes_them() {
        let mut message = Message {
            started: Moment::default(),
            deadline: Moment::default(),
            places: vec![read("g", 1), read("h", 1), read("g", 2), read("g", 1)],
            waits: Vec::new(),
        };
        let batches = message.batches();
        let places: Vec<_> = batches.iter().map(|batch| &batch.places[..]).collect();
        assert_eq!(places, [&[0, 2, 3][..], &[1]]);
    }
}
