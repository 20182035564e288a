//! Keeps the topology fresh: the one task that a client spawns.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{Cell, Topology};
use crate::backoff::Backoff;

/// Shortest time between two readings of the whole topology that calls asked for
/// (R46): while slots move, many calls ask at once.
pub(super) const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// The topology follower: owned by a client, shared by its clones, and ended when
/// the last of them is dropped. It ends no other way: what goes wrong is tried again
/// with pauses for ever.
#[derive(Debug)]
pub(crate) struct Follower(JoinHandle<()>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Follower {
    /// Starts following. Needs a tokio runtime.
    pub(crate) fn start(following: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(following))
    }
}

/// Takes a topology over. False: it is of a cluster with another name, so whoever
/// sent it is not one of ours.
pub(super) fn publish(cell: &Cell, topology: Topology) -> bool {
    let ours = cell.load().topology.cluster == topology.cluster;
    if ours {
        cell.publish(topology);
    }
    ours
}

/// Pauses between attempts that never give up: longer each time, short again after an
/// attempt that went well for longer than the longest pause.
#[derive(Debug)]
pub(super) struct Pauses {
    backoff: Backoff,
    failures: u32,
    /// When the last attempt began.
    begun: Instant,
}

impl Pauses {
    /// The first attempt begins now.
    pub(super) fn new() -> Self {
        Self {
            backoff: Backoff::for_ever(),
            failures: 0,
            begun: Instant::now(),
        }
    }

    /// Waits before the next attempt.
    pub(super) async fn pause(&mut self) {
        if self.begun.elapsed() > self.backoff.max {
            self.failures = 0;
        }
        let pause = self
            .backoff
            .pause(self.failures, Duration::MAX, rand::random());
        self.failures = self.failures.saturating_add(1);
        sleep(pause.unwrap_or(self.backoff.max)).await;
        self.begun = Instant::now();
    }
}
