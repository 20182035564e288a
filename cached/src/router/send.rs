//! What a round waits for: peers that own slots, and the getter. Every wait is
//! bounded by the deadline here, whatever the other side does.

use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::{Applied, Failure, FailureCode};
use cached_proto::operation::{Answer, Operation, Outcome, Reply};
use cached_proto::types::{Epoch, NodeName, Slot};

use super::Router;
use super::decide::unavailable;
use super::groups;
use super::journey::Journey;
use super::local::Blocked;
use super::rounds::Trip;
use crate::clock::Moment;
use crate::cluster::view::ClusterView;
use crate::getter::{GetError, Getter, Wanted};
use crate::peers::{Forwarded, Peer, PeerError};
use crate::store::GroupId;

/// A peer that does not answer counts as failed only if it had this long: callers
/// in a hurry must not get healthy nodes blacklisted.
const PATIENCE: Duration = Duration::from_millis(500);

/// Something to wait for; each operation in it has its index in the round.
#[derive(Debug)]
pub(super) enum Job {
    /// Load a key that was missed here.
    Load { index: usize, wanted: Box<Wanted> },
    /// Load a key whose owner cannot be asked.
    LoadUncached { index: usize, operation: Operation },
    /// Wait a short while for a row as new as others have shown it.
    Refresh {
        slot: Slot,
        epoch: Epoch,
        indexes: Vec<usize>,
    },
    /// Pass operations on to their owner.
    Send {
        peer: Peer,
        work: Vec<(usize, Operation, Epoch)>,
    },
}

impl Job {
    /// The operations that it is done for.
    pub(super) fn indexes(&self) -> Vec<usize> {
        match self {
            Self::Load { index, .. } | Self::LoadUncached { index, .. } => vec![*index],
            Self::Refresh { indexes, .. } => indexes.clone(),
            Self::Send { work, .. } => work.iter().map(|(index, ..)| *index).collect(),
        }
    }
}

/// What a job brought for one operation.
#[derive(Debug)]
pub(super) enum Arrival {
    /// Its outcome.
    Settled(Outcome),
    /// Nothing was done: the slot is on its way.
    Blocked(Blocked),
    /// The view is as new as it gets in a short while.
    Refreshed,
    /// The owner could not be reached: it was certainly not carried out.
    NotSent(Failure),
    /// It may have been carried out.
    Lost(Failure),
    /// The owner's answer, and the epoch by which it was chosen.
    Answered(Outcome, Epoch),
}

impl Router {
    pub(super) fn load_job(
        &self,
        trip: &Trip,
        group_id: GroupId,
        view: &ClusterView,
        index: usize,
        journey: &Journey,
    ) -> Job {
        let wanted = Wanted {
            slot: journey.slot,
            group: trip.group.clone(),
            group_id,
            default_ttl: view.groups.get(&trip.group).and_then(groups::default_ttl),
            key: journey.operation.key().clone(),
            metadata_only: metadata_only(&journey.operation),
        };
        Job::Load {
            index,
            wanted: Box::new(wanted),
        }
    }

    /// Does one job. Ends by the deadline.
    pub(super) async fn run(&self, trip: &Trip, job: Job) -> Vec<(usize, Arrival)> {
        match (job, &self.parts.getter) {
            (Job::Send { peer, work }, _) => self.send(trip, &peer, work).await,
            (
                Job::Refresh {
                    slot,
                    epoch,
                    indexes,
                },
                _,
            ) => {
                let enough =
                    |view: &ClusterView| view.owner(slot).is_some_and(|(_, known)| known >= epoch);
                self.refresher.rows(trip.deadline, enough).await;
                let refreshed = |index| (index, Arrival::Refreshed);
                indexes.into_iter().map(refreshed).collect()
            }
            (Job::Load { index, wanted }, Some(getter)) => {
                vec![(index, self.load(trip, getter, &wanted).await)]
            }
            (Job::LoadUncached { index, operation }, Some(getter)) => {
                vec![(index, self.load_uncached(trip, getter, &operation).await)]
            }
            (Job::Load { index, .. } | Job::LoadUncached { index, .. }, None) => {
                let failure = Failure::new(FailureCode::Internal, "a load without a getter");
                vec![(index, Arrival::Settled(Err(failure)))]
            }
        }
    }

    async fn load(&self, trip: &Trip, getter: &Arc<Getter>, wanted: &Wanted) -> Arrival {
        match self.until(trip.deadline, getter.get(wanted)).await {
            None => Arrival::Settled(Err(load_timeout(trip))),
            Some(Ok(entry)) => Arrival::Settled(self.vouch(Reply::Get(entry), true)),
            Some(Err(GetError::NotServed)) => Arrival::Blocked(Blocked::not_served(wanted.slot)),
            Some(Err(GetError::Failed(failure))) => Arrival::Settled(Err(failure)),
        }
    }

    async fn load_uncached(
        &self,
        trip: &Trip,
        getter: &Arc<Getter>,
        operation: &Operation,
    ) -> Arrival {
        let get = getter.get_uncached(&trip.group, operation.key(), metadata_only(operation));
        Arrival::Settled(match self.until(trip.deadline, get).await {
            None => Err(load_timeout(trip)),
            Some(entry) => entry.map(|entry| Answer {
                reply: Reply::Get(entry),
                degraded: false,
            }),
        })
    }

    /// Passes operations on to their owner, and tells its breaker how that went.
    async fn send(
        &self,
        trip: &Trip,
        peer: &Peer,
        work: Vec<(usize, Operation, Epoch)>,
    ) -> Vec<(usize, Arrival)> {
        let started = self.parts.clock.now();
        let places: Vec<_> = work
            .iter()
            .map(|(index, _, epoch)| (*index, *epoch))
            .collect();
        self.parts.counters.forwarded.add(places.len() as u64);
        let forwarded = Forwarded {
            group: trip.group.clone(),
            operations: work
                .into_iter()
                .map(|(_, operation, epoch)| (operation, epoch))
                .collect(),
            time_left: trip.deadline.since(started),
        };
        let result = self
            .until(trip.deadline, self.parts.peers.execute(peer, forwarded))
            .await;
        let result = result.unwrap_or_else(|| Err(lost()));
        self.judge(trip.deadline, peer, started, result.as_ref().err());
        match result {
            Ok(outcomes) if outcomes.len() == places.len() => {
                let answered = |(&(index, epoch), outcome): (&(usize, Epoch), Outcome)| {
                    (index, Arrival::Answered(outcome, epoch))
                };
                places.iter().zip(outcomes).map(answered).collect()
            }
            Ok(outcomes) => {
                let (name, got, asked) = (&peer.id.name, outcomes.len(), places.len());
                let message = format!("{name} answered {got} outcomes to {asked} operations");
                let failure = Failure::new(FailureCode::Internal, message);
                let lost = |&(index, _): &(usize, Epoch)| (index, Arrival::Lost(failure.clone()));
                places.iter().map(lost).collect()
            }
            Err(error) => {
                let failed = |&(index, epoch): &(usize, Epoch)| {
                    (index, self.failed(trip.deadline, peer, epoch, &error))
                };
                places.iter().map(failed).collect()
            }
        }
    }

    /// What it means for an operation, sent by that epoch, that its call came to no answer.
    pub(super) fn failed(
        &self,
        deadline: Moment,
        peer: &Peer,
        epoch: Epoch,
        error: &PeerError,
    ) -> Arrival {
        let (name, address) = (&peer.id.name, &peer.address);
        match error {
            PeerError::Refused(failure) => {
                Arrival::Answered(Err(refused_here(name, failure.clone())), epoch)
            }
            PeerError::NotSent(error) => {
                let message = format!("cannot reach {name} at {address}: {error}");
                Arrival::NotSent(unavailable(message, Duration::ZERO))
            }
            PeerError::Unknown(error) => {
                let message = format!("no answer from {name} at {address}: {error}");
                let over = self.parts.clock.now() >= deadline;
                let code = if over {
                    FailureCode::Deadline
                } else {
                    FailureCode::Unavailable
                };
                Arrival::Lost(Failure::new(code, message))
            }
        }
    }

    /// Tells a peer's breaker how a call ended that began at `started`: any answer is a
    /// success; only not being reached is a failure.
    pub(super) fn judge(
        &self,
        deadline: Moment,
        peer: &Peer,
        started: Moment,
        error: Option<&PeerError>,
    ) {
        let breakers = &self.parts.breakers;
        let Some(PeerError::NotSent(error) | PeerError::Unknown(error)) = error else {
            return breakers.success(&peer.id);
        };
        let now = self.parts.clock.now();
        if now < deadline {
            breakers.failure(&peer.id, error, started);
        } else if deadline.since(started) >= PATIENCE {
            // Every silence counts for itself: no common accident explains them.
            breakers.failure(&peer.id, error, now);
        }
    }

    /// Waits for `future`, but not beyond `deadline`.
    async fn until<T>(&self, deadline: Moment, future: impl Future<Output = T>) -> Option<T> {
        let left = deadline.since(self.parts.clock.now());
        tokio::select! {
            biased;
            value = future => Some(value),
            () = self.parts.clock.sleep(left) => None,
        }
    }
}

/// What is known of a call that nobody answered.
pub(super) fn lost() -> PeerError {
    PeerError::Unknown("no answer in time".to_owned())
}

/// What a peer's refusal of a call as a whole means for the operations in it. Unless
/// it is the peer's state for a while, it is about this node (its certificate, its
/// cluster, whom it asked) and never about the caller, who cannot mend it.
fn refused_here(name: &NodeName, failure: Failure) -> Failure {
    let passes = matches!(
        failure.code,
        FailureCode::Unavailable | FailureCode::Busy | FailureCode::Deadline
    );
    if passes || failure.applied == Applied::Unknown {
        return failure;
    }
    unavailable(
        format!("{name} refuses this node: {}", failure.message),
        Duration::ZERO,
    )
}

fn metadata_only(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Get {
            metadata_only: true,
            ..
        }
    )
}

fn load_timeout(trip: &Trip) -> Failure {
    let allowed = trip.deadline.since(trip.started);
    let message =
        format!("the time of this request, {allowed:?}, was over before the origin answered");
    Failure::new(FailureCode::Deadline, message)
}
