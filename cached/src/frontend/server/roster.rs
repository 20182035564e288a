//! The open connections: looked at now and then from outside, so that none of them
//! carries a timer, and a request costs nothing for being watched.

use std::sync::Arc;

use parking_lot::Mutex;
use slab::Slab;
use tokio::task::AbortHandle;

use super::activity::{Activity, Patience, Watchdog};
use crate::clock::Moment;

/// Every open connection of a listener.
#[derive(Debug)]
pub(super) struct Roster {
    patience: Patience,
    /// Guards the list; held for a step of one connection, or for a look at each.
    entries: Mutex<Slab<Entry>>,
}

#[derive(Debug)]
struct Entry {
    activity: Arc<Activity>,
    watchdog: Watchdog,
    task: AbortHandle,
}

/// A place on the roster; given up when it drops.
#[derive(Debug)]
pub(super) struct Place {
    roster: Arc<Roster>,
    key: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.roster.entries.lock().try_remove(self.key);
    }
}

impl Roster {
    pub(super) fn new(patience: Patience) -> Arc<Self> {
        let entries = Mutex::default();
        Arc::new(Self { patience, entries })
    }

    /// Takes a connection on. `start` starts its task, which keeps the place until
    /// it ends.
    pub(super) fn add(
        self: &Arc<Self>,
        activity: Arc<Activity>,
        now: Moment,
        start: impl FnOnce(Place) -> AbortHandle,
    ) {
        // The lock is held over the start, so that a task that ends at once finds
        // its entry to take away.
        let mut entries = self.entries.lock();
        let entry = entries.vacant_entry();
        let roster = Arc::clone(self);
        let key = entry.key();
        let task = start(Place { roster, key });
        let watchdog = Watchdog::new(self.patience, now);
        entry.insert(Entry {
            activity,
            watchdog,
            task,
        });
    }

    /// Closes the connections that have been tardy for too long.
    pub(super) fn judge(&self, now: Moment) {
        for (_, entry) in self.entries.lock().iter_mut() {
            if let Some(tardy) = entry.watchdog.judge(entry.activity.look(), now) {
                tracing::debug!(?tardy, "closing a connection");
                entry.task.abort();
            }
        }
    }

    /// Closes all of them, in the middle of whatever they do.
    pub(super) fn cut(&self) {
        for (_, entry) in self.entries.lock().iter() {
            entry.task.abort();
        }
    }
}
