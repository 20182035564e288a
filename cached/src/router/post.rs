//! The short way to other nodes: an operation that goes straight to its owner is put on
//! its way at once, and if it comes back with a reply there was nothing else to do.
//!
//! What is not plain (an owner that is blacklisted or has to be found out) goes the usual
//! way, and so does what did not come to a reply, knowing what this attempt brought.

use std::future::poll_fn;
use std::pin::Pin;
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

    /// Carries operations out, wherever their owners are. Several go to each owner in one
    /// call, which bounds what all of them are answered together.
    pub(super) async fn carry(&self, trip: &Trip, work: Vec<(Operation, Route)>) -> Vec<Outcome> {
        self.parts.clock.pause_point().await;
        let times = (trip.started, trip.deadline);
        let flight = match &work[..] {
            [(operation, route)] => self.post_one(&trip.group, operation, *route, times),
            _ => None,
        };
        let mut arrival = None;
        if let Some(flight) = flight {
            match self.land(flight).await {
                Ok(answer) => return vec![Ok(answer)],
                Err(Stray(stray)) => arrival = Some(*stray),
            }
        }
        let work = work.into_iter().map(|(operation, route)| Work {
            operation,
            route,
            arrival: arrival.take(),
        });
        // Boxed, so that what goes the short way does not pay for the long one's size.
        Box::pin(self.travel(trip, work.collect())).await
    }

    /// Waits for a flight until its time is over.
    async fn land(&self, mut flight: Flight) -> Result<Answer, Stray> {
        let left = flight.deadline.since(flight.started);
        let landing = poll_fn(|context| self.poll_landing(&mut flight, context));
        let landed = tokio::select! {
            biased;
            landed = landing => Some(landed),
            () = self.parts.clock.sleep(left) => None,
        };
        landed.unwrap_or_else(|| Err(self.give_up(&flight)))
    }
}
