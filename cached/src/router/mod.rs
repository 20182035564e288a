//! Carries out commands: here, at their owner, or not at all.
//!
//! Reading order: `decide` (pure: what to do with an operation on a slot),
//! `journey` (pure: what an answer means for an operation), `local` (at the store),
//! `rounds` (the loop that takes operations to their outcomes), `send` (to peers),
//! `fast` and `post` (the short ways for what is plain, here and to other nodes).

mod chunks;
pub mod decide;
pub mod fast;
mod groups;
mod journey;
mod local;
pub mod post;
mod refresh;
mod rounds;
mod send;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use cached_client::backoff::Backoff;
use cached_proto::failure::{Failure, FailureCode};
use cached_proto::limits::VALUE_BYTES_DEFAULT;
use cached_proto::operation::{Operation, Outcome, Route};
use cached_proto::types::{Epoch, GroupName};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub use groups::follow_groups;

use crate::blacklist::Breakers;
use crate::clock::{Clock, Moment};
use crate::cluster::view::ViewCell;
use crate::command::Command;
use crate::counters::Counters;
use crate::getter::Getter;
use crate::hotkeys::HotKeys;
use crate::parking::Parking;
use crate::peers::Peers;
use crate::store::Store;
use refresh::Refresher;
use rounds::{Trip, Work};

/// What operations are bounded by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouterLimits {
    /// Longest value in bytes; also how many bytes of values one batch answers.
    pub value_bytes_max: usize,
    /// Bound of a request, retries included; callers may bring a shorter one.
    pub request_timeout: Duration,
    /// Attempts after the first.
    pub retries: u32,
    /// How long after its disappearance a member's slots are taken over, about: G.
    /// Only told to callers.
    pub takeover_after: Duration,
}

impl Default for RouterLimits {
    /// 8 MiB, 3 s, 2 retries; G is 5.55 s when a node is sure of itself for 5 s.
    fn default() -> Self {
        Self {
            value_bytes_max: VALUE_BYTES_DEFAULT,
            request_timeout: Duration::from_secs(3),
            retries: 2,
            takeover_after: Duration::from_millis(5550),
        }
    }
}

/// What a router works with.
#[derive(Debug)]
pub struct RouterParts {
    /// What is known of the cluster, and the fence.
    pub view: Arc<ViewCell>,
    /// The entries of this node; empty on a gateway.
    pub store: Arc<Store>,
    /// The other nodes.
    pub peers: Arc<dyn Peers>,
    /// What fills misses, if anything.
    pub getter: Option<Arc<Getter>>,
    /// Whom not to attempt.
    pub breakers: Arc<Breakers>,
    /// Time.
    pub clock: Clock,
    /// Where forwards and retries are counted.
    pub counters: Arc<Counters>,
    /// Which keys are asked for most.
    pub hot: Arc<HotKeys>,
    /// Where operations wait while their slot changes hands.
    pub parking: Arc<Parking>,
    /// Bounds.
    pub limits: RouterLimits,
    /// Seed of the jitter.
    pub seed: u64,
}

/// Carries out commands.
#[derive(Debug)]
pub struct Router {
    parts: RouterParts,
    refresher: Refresher,
    /// Jitter. Held for one draw.
    rng: Mutex<StdRng>,
}

impl Router {
    /// A router; it needs no task of its own.
    pub fn new(parts: RouterParts) -> Arc<Self> {
        let refresher = Refresher::new(parts.view.clone(), parts.clock.clone());
        let rng = Mutex::new(StdRng::seed_from_u64(parts.seed));
        Arc::new(Self {
            parts,
            refresher,
            rng,
        })
    }

    /// Carries out a command that needs nobody else, without waiting; `None`: nothing was
    /// done, because it has to be forwarded or loaded, or the view to be refreshed.
    pub fn try_local(&self, command: &Command) -> Option<Outcome> {
        if self.parts.clock.pauses() {
            // Who stands still at times needs a way with a place to do so.
            return None;
        }
        self.local_outcome(command)
    }

    /// Carries out a command, wherever its owner is. Ends by the deadline.
    /// Dropping the future leaves the outcome unknown.
    pub async fn execute(self: &Arc<Self>, command: Command) -> Outcome {
        let Command {
            group,
            operation,
            route,
            deadline,
        } = command;
        let trip = self.trip(group, deadline);
        let mut outcomes = self.carry(&trip, vec![(operation, route)]).await;
        outcomes.pop().unwrap_or_else(|| {
            Err(Failure::new(
                FailureCode::Internal,
                "one operation came to no outcome",
            ))
        })
    }

    /// Carries out operations of one group; outcomes in the same order. A batch is
    /// not atomic; operations on one key are carried out in the order given. Values beyond one message's worth are withheld, each with a
    /// failure that says so. Ends by the deadline. Dropping the future leaves the
    /// outcomes unknown.
    pub async fn execute_batch(
        self: &Arc<Self>,
        group: GroupName,
        operations: Vec<Operation>,
        route: Route,
        deadline: Moment,
    ) -> Vec<Outcome> {
        let work = operations
            .into_iter()
            .map(|operation| (operation, route))
            .collect();
        self.execute_routed(group, work, deadline).await
    }

    /// Carries out operations of one group, each with a route of its own; otherwise
    /// as [`Router::execute_batch`].
    pub async fn execute_routed(
        self: &Arc<Self>,
        group: GroupName,
        work: Vec<(Operation, Route)>,
        deadline: Moment,
    ) -> Vec<Outcome> {
        let trip = self.trip(group, deadline);
        let mut outcomes = self.carry(&trip, work).await;
        self.bound_answer(&mut outcomes);
        outcomes
    }

    /// Carries out what another node passed on: here or not at all, calling nobody
    /// but the getter's origin. Each operation comes with the epoch of the row by
    /// which the sender chose this node. Ends by the deadline; what has expired is
    /// not carried out.
    pub async fn execute_for_peer(
        self: &Arc<Self>,
        group: GroupName,
        operations: Vec<(Operation, Epoch)>,
        deadline: Moment,
    ) -> Vec<Outcome> {
        let mut trip = self.trip(group, deadline);
        trip.for_peer = true;
        trip.backoff.retries = 0;
        let owner_only = |(operation, known_epoch)| Work {
            operation,
            route: Route::OwnerOnly { known_epoch },
            arrival: None,
        };
        let work = operations.into_iter().map(owner_only).collect();
        let mut outcomes = Box::pin(self.travel(&trip, work)).await;
        self.bound_answer(&mut outcomes);
        outcomes
    }

    fn trip(&self, group: GroupName, deadline: Moment) -> Trip {
        let limits = &self.parts.limits;
        let started = self.parts.clock.now();
        let deadline = deadline.min(started + limits.request_timeout);
        let backoff = Backoff::call(limits.retries);
        Trip {
            group,
            started,
            deadline,
            backoff,
            for_peer: false,
        }
    }

    fn bound_answer(&self, outcomes: &mut [Outcome]) {
        chunks::bound_answer(outcomes, self.parts.limits.value_bytes_max);
    }

    /// A random number in 0..1.
    fn jitter(&self) -> f64 {
        self.rng.lock().random()
    }
}
