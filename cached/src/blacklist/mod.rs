//! Whom this process does not attempt at present, because attempts failed. It
//! steers attempts, never ownership: who owns a slot is the table's word alone.

pub mod breaker;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use cached_proto::types::MemberId;
use parking_lot::Mutex;

pub use breaker::{Admission, BreakerConfig, BreakerTable, Listed};

use crate::clock::{Clock, Moment};
use crate::tasks::Stop;

/// How often expired breakers are swept. Sweeping only frees memory and logs:
/// expired breakers count for nothing before they are swept.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// The circuit breakers of this process.
#[derive(Debug)]
pub struct Breakers {
    clock: Clock,
    /// Guards the table; held for a lookup at a time, never across an await.
    table: Mutex<BreakerTable>,
}

impl Breakers {
    /// Nobody is listed.
    pub fn new(config: BreakerConfig, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            clock,
            table: Mutex::new(BreakerTable::new(config)),
        })
    }

    /// Other figures from now on.
    pub fn set_config(&self, config: BreakerConfig) {
        self.table.lock().set_config(config);
    }

    /// Whether a member may be attempted now. A "yes" should be followed by
    /// [`Breakers::success`] or [`Breakers::failure`].
    pub fn admit(&self, target: &MemberId) -> Admission {
        self.table.lock().admit(target, self.clock.now())
    }

    /// Whether nothing is held against a member: it is admitted, and asking for that
    /// changes nothing.
    pub fn is_clear(&self, target: &MemberId) -> bool {
        self.table.lock().is_clear(target)
    }

    /// A member answered, be it with a failure of the operation.
    pub fn success(&self, target: &MemberId) {
        self.table.lock().success(target);
    }

    /// An attempt on a member, begun at `began`, failed: it could not be reached or
    /// did not answer in time.
    pub fn failure(&self, target: &MemberId, error: &str, began: Moment) {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let opened = self.table.lock().failure(target, error, began, now, wall);
        if opened {
            tracing::warn!(node = %target.name, error, "blacklisted: attempts failed in a row");
        }
    }

    /// The members that are not attempted at present, by name.
    pub fn listed(&self) -> Vec<Listed> {
        self.table.lock().listed(self.clock.now())
    }

    /// Forgets expired breakers until `stop`.
    pub async fn sweep_until(self: Arc<Self>, stop: Stop) {
        loop {
            tokio::select! {
                biased;
                () = stop.stopped() => return,
                () = self.clock.sleep(SWEEP_EVERY) => {}
            }
            for name in self.table.lock().sweep(self.clock.now()) {
                tracing::info!(node = %name, "no longer blacklisted: its time is over");
            }
        }
    }
}
