//! One message of a pipeline on its way: operations become outcomes, each in its place.

use std::collections::BTreeSet;
use std::sync::Arc;

use cached_proto::operation::{Operation, Outcome, Route};
use cached_proto::pb::cached::cache::v1 as pb;
use cached_proto::types::{GroupName, Key};
use futures_util::future::join_all;

use super::batch::unanswered;
use crate::clock::Moment;
use crate::command::Command;
use crate::frontend::FrontendParts;
use crate::requests::Kind;

/// One message.
#[derive(Debug)]
pub(crate) struct Message {
    /// When it was read.
    pub(super) started: Moment,
    /// One for each operation, in the order asked.
    pub(super) places: Vec<Place>,
    /// Keys of the operations that wait for others.
    pub(super) waits: BTreeSet<Key>,
}

/// What has become of one operation.
#[derive(Debug)]
pub(crate) enum Place {
    /// It is still to be carried out.
    Todo(Command),
    /// It came to this.
    Done(Kind, Outcome),
}

/// Operations of one group, which the router takes together: it keeps one key's in
/// order, and the same key in another group is another key.
struct Batch {
    group: GroupName,
    deadline: Moment,
    places: Vec<usize>,
    work: Vec<(Operation, Route)>,
}

impl Message {
    /// Whether an operation still to be carried out works on one of these keys.
    pub(super) fn touches(&self, keys: &BTreeSet<Key>) -> bool {
        let touches = |place: &Place| match place {
            Place::Todo(command) => command.operation.keys().any(|key| keys.contains(key)),
            Place::Done(..) => false,
        };
        !keys.is_empty() && self.places.iter().any(touches)
    }

    /// Carries out what needs nobody else, in order. What follows an operation that
    /// waits, on the same key, waits behind it.
    pub(super) fn try_local(mut self, parts: &FrontendParts) -> Self {
        let waits = &mut self.waits;
        let attempt = |place| {
            let Place::Todo(command) = place else {
                return place;
            };
            if command.operation.keys().any(|key| waits.contains(key)) {
                waits.extend(command.operation.keys().cloned());
                return Place::Todo(command);
            }
            let kind = Kind::of(&command.operation);
            match parts.router.try_local(command) {
                Ok(outcome) => Place::Done(kind, outcome),
                Err(command) => {
                    waits.extend(command.operation.keys().cloned());
                    Place::Todo(command)
                }
            }
        };
        self.places = self.places.into_iter().map(attempt).collect();
        self
    }

    /// Carries out the rest. Ends by the deadline, as the router does.
    pub(super) async fn carry_out(mut self, parts: Arc<FrontendParts>) -> Self {
        let run = async |batch: Batch| {
            let Batch {
                group,
                deadline,
                places,
                work,
            } = batch;
            let outcomes = parts.router.execute_routed(group, work, deadline).await;
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
            let Place::Todo(command) = place else {
                continue;
            };
            let unknown = Place::Done(Kind::of(&command.operation), Err(unanswered()));
            let Place::Todo(command) = std::mem::replace(place, unknown) else {
                continue;
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
                batch.work.push((operation, route));
                continue;
            }
            batches.push(Batch {
                group,
                deadline,
                places: vec![index],
                work: vec![(operation, route)],
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
        Place::Todo(Command {
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
        })
    }

    #[test]
    fn one_keys_operations_go_together_whoever_routes_them() {
        let mut message = Message {
            started: Moment::default(),
            places: vec![read("g", 1), read("h", 1), read("g", 2), read("g", 1)],
            waits: BTreeSet::new(),
        };
        let batches = message.batches();
        let places: Vec<_> = batches.iter().map(|batch| &batch.places[..]).collect();
        assert_eq!(places, [&[0, 2, 3][..], &[1]]);
    }
}
