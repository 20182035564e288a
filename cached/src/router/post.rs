//! The short way to other nodes: an operation that goes straight to its owner is put on
//! its way at once, and if it comes back with a reply there was nothing else to do.
//!
//! What is not plain (an owner that is blacklisted or has to be found out) goes the usual
//! way, and so does what did not come to a reply, knowing what this attempt brought.

use std::collections::BTreeSet;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use cached_proto::operation::{Answer, Operation, Outcome, Route};
use cached_proto::ring::slot_of;
use cached_proto::types::{Epoch, GroupName};
use tokio::sync::oneshot;

use super::Router;
use super::decide::straight;
use super::rounds::{Trip, Work};
use super::send::{Arrival, lost};
use crate::clock::Moment;
use crate::command::Command;
use crate::peers::{Answered, OnItsWay, Passed, Peer, PeerError};

/// An operation on its way to its owner.
#[derive(Debug)]
pub struct Flight {
    to: Arc<Peer>,
    epoch: Epoch,
    started: Moment,
    deadline: Moment,
    answer: oneshot::Receiver<Answered>,
}

/// What was learned of an operation that did not come to a reply.
#[derive(Debug)]
pub struct Stray(Box<Arrival>);

impl Flight {
    /// Whether the answer is here.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Answered> {
        let closed = || PeerError::Unknown("the stream ended".to_owned());
        let answered = Pin::new(&mut self.answer).poll(context);
        answered.map(|answered| answered.unwrap_or_else(|_| Err(closed())))
    }
}

impl Router {
    /// Whether a command goes straight to its owner, unless that is blacklisted.
    pub fn is_straight(&self, command: &Command) -> bool {
        let view = self.parts.view.load();
        let slot = slot_of(view.hash(), command.operation.key().as_bytes());
        straight(&view, slot, command.route, || self.parts.clock.wall()).is_some()
    }

    /// Puts a command on its way to its owner without waiting, if that is all there is to
    /// do; `None`: nothing was done.
    pub fn post(&self, command: &Command, now: Moment) -> Option<Flight> {
        let deadline = command
            .deadline
            .min(now + self.parts.limits.request_timeout);
        let Command {
            group,
            operation,
            route,
            ..
        } = command;
        self.post_one(group, operation, *route, (now, deadline))
    }

    fn post_one(
        &self,
        group: &GroupName,
        operation: &Operation,
        route: Route,
        (now, deadline): (Moment, Moment),
    ) -> Option<Flight> {
        let view = self.parts.view.load();
        let slot = slot_of(view.hash(), operation.key().as_bytes());
        let (owner, address, epoch) = straight(&view, slot, route, || self.parts.clock.wall())?;
        self.check(operation, deadline, now).ok()?;
        if !self.parts.breakers.is_clear(&owner.id) {
            return None;
        }
        let passed = Passed {
            group: group.clone(),
            operation: operation.clone(),
            epoch,
            until: deadline,
        };
        let OnItsWay { to, answer } = self.parts.peers.pass(&owner.id, address, passed)?;
        self.parts.counters.forwarded.increment();
        Some(Flight {
            to,
            epoch,
            started: now,
            deadline,
            answer,
        })
    }

    /// What a flight came to, once its answer is here.
    pub fn poll_landing(
        &self,
        flight: &mut Flight,
        context: &mut Context<'_>,
    ) -> Poll<Result<Answer, Stray>> {
        flight
            .poll(context)
            .map(|answered| self.landed(flight, answered))
    }

    /// What a flight comes to whose time is over.
    pub fn give_up(&self, flight: &Flight) -> Stray {
        self.stray(flight, &lost())
    }

    fn stray(&self, flight: &Flight, error: &PeerError) -> Stray {
        self.judge(flight.deadline, &flight.to, flight.started, Some(error));
        let arrival = self.failed(flight.deadline, &flight.to, flight.epoch, error);
        Stray(Box::new(arrival))
    }

    fn landed(&self, flight: &Flight, answered: Answered) -> Result<Answer, Stray> {
        match answered {
            Err(error) => Err(self.stray(flight, &error)),
            Ok(outcome) => {
                self.judge(flight.deadline, &flight.to, flight.started, None);
                outcome.map_err(|failure| {
                    Stray(Box::new(Arrival::Answered(Err(failure), flight.epoch)))
                })
            }
        }
    }

    /// Takes operations to their outcomes, of which some went the short way and did not
    /// come to a reply, since `started`; otherwise as [`Router::execute_routed`].
    pub async fn resume(
        &self,
        group: GroupName,
        work: Vec<(Operation, Route, Option<Stray>)>,
        started: Moment,
        deadline: Moment,
    ) -> Vec<Outcome> {
        let trip = Trip {
            started,
            ..self.trip(group, deadline)
        };
        let work = work.into_iter().map(|(operation, route, stray)| Work {
            operation,
            route,
            arrival: stray.map(|Stray(arrival)| *arrival),
        });
        let mut outcomes = self.travel(&trip, work.collect()).await;
        self.bound_answer(&mut outcomes);
        outcomes
    }

    /// Carries operations out, wherever their owners are.
    pub(super) async fn carry(&self, trip: &Trip, work: Vec<(Operation, Route)>) -> Vec<Outcome> {
        self.parts.clock.pause_point().await;
        let flights = self.post_all(trip, &work);
        let landed = match flights.iter().all(Option::is_none) {
            true => Vec::new(),
            false => self.land(trip, flights).await,
        };
        let is_reply = |landed: &Option<Result<Answer, Stray>>| matches!(landed, Some(Ok(_)));
        if !landed.is_empty() && landed.iter().all(is_reply) {
            let reply = |landed: Option<Result<Answer, Stray>>| landed?.ok().map(Ok);
            return landed.into_iter().filter_map(reply).collect();
        }
        let mut landed = landed.into_iter();
        let work = work.into_iter().map(|(operation, route)| Work {
            operation,
            route,
            arrival: landed.next().flatten().map(|landed| match landed {
                Ok(answer) => Arrival::Settled(Ok(answer)),
                Err(Stray(arrival)) => *arrival,
            }),
        });
        // Boxed, so that what goes the short way does not pay for the long one's size.
        Box::pin(self.travel(trip, work.collect())).await
    }

    /// Flights for operations, if each goes straight to its owner and none has to wait for
    /// another; there may be none for some that had no room.
    fn post_all(&self, trip: &Trip, work: &[(Operation, Route)]) -> Vec<Option<Flight>> {
        let view = self.parts.view.load();
        let is_straight = |(operation, route): &(Operation, Route)| {
            let slot = slot_of(view.hash(), operation.key().as_bytes());
            straight(&view, slot, *route, || self.parts.clock.wall()).is_some()
        };
        if !work.iter().all(is_straight) || !is_independent(work) {
            return Vec::new();
        }
        let times = (trip.started, trip.deadline);
        let post = |(operation, route): &(Operation, Route)| {
            self.post_one(&trip.group, operation, *route, times)
        };
        work.iter().map(post).collect()
    }

    /// Waits for flights, one after the other, until the deadline.
    async fn land(
        &self,
        trip: &Trip,
        flights: Vec<Option<Flight>>,
    ) -> Vec<Option<Result<Answer, Stray>>> {
        let left = trip.deadline.since(trip.started);
        let mut deadline = pin!(self.parts.clock.sleep(left));
        let (mut over, mut landed) = (false, Vec::with_capacity(flights.len()));
        for flight in flights {
            let Some(mut flight) = flight else {
                landed.push(None);
                continue;
            };
            let landing = std::future::poll_fn(|context| self.poll_landing(&mut flight, context));
            let answer = tokio::select! {
                biased;
                answer = landing => Some(answer),
                () = deadline.as_mut(), if !over => None,
                () = std::future::ready(()), if over => None,
            };
            over |= answer.is_none();
            landed.push(Some(answer.unwrap_or_else(|| Err(self.give_up(&flight)))));
        }
        landed
    }
}

/// Whether no operation has to wait for another one or for a message of its own.
fn is_independent(work: &[(Operation, Route)]) -> bool {
    let [_, _, ..] = work else { return true };
    let mut seen = BTreeSet::new();
    let mut operations = work.iter().map(|(operation, _)| operation);
    operations
        .all(|operation| !operation.travels_alone() && operation.keys().all(|key| seen.insert(key)))
}
