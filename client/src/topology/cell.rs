//! Where the newest topology is found: one writer at a time, any number of readers.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use cached_proto::failure::OwnerHint;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Known, Topology};

/// Shared by a client, its follower and its streams.
#[derive(Debug)]
pub(crate) struct Cell {
    known: ArcSwap<Known>,
    /// Held from reading the old picture to storing the next: else a row learned
    /// between the two is lost.
    write: Mutex<()>,
    changed: Notify,
    refresh: Notify,
}

impl Cell {
    pub(crate) fn new(known: Known) -> Arc<Self> {
        Arc::new(Self {
            known: ArcSwap::from_pointee(known),
            write: Mutex::new(()),
            changed: Notify::new(),
            refresh: Notify::new(),
        })
    }

    /// The newest; cheap, for a glance.
    pub(crate) fn load(&self) -> Guard<Arc<Known>> {
        self.known.load()
    }

    /// The newest, to hold across an await.
    pub(crate) fn load_full(&self) -> Arc<Known> {
        self.known.load_full()
    }

    /// Takes a newer topology over.
    pub(crate) fn publish(&self, topology: Topology) {
        {
            let _writing = self.write.lock();
            let next = self.known.load().replace(topology);
            self.known.store(Arc::new(next));
        }
        self.changed.notify_waiters();
    }

    /// Takes a row over if it is newer; tells whether it was.
    pub(crate) fn learn(&self, hint: &OwnerHint) -> bool {
        let _writing = self.write.lock();
        let next = self.known.load().learn(hint);
        let learned = next.is_some();
        if let Some(next) = next {
            self.known.store(Arc::new(next));
        }
        learned
    }

    /// Waits for another topology than `seen`.
    pub(crate) async fn other_than(&self, seen: &Arc<Topology>) -> Arc<Topology> {
        loop {
            // Register before looking, or a change between the two is lost.
            let changed = self.changed.notified();
            let topology = self.load().topology.clone();
            if !Arc::ptr_eq(&topology, seen) {
                return topology;
            }
            changed.await;
        }
    }

    /// Asks the follower to learn the topology anew.
    pub(crate) fn ask_refresh(&self) {
        self.refresh.notify_one();
    }

    /// Resolves when somebody asked. Only the follower waits here. Cancel-safe.
    pub(crate) async fn refresh_asked(&self) {
        self.refresh.notified().await;
    }
}
