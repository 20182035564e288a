//! Puts slots in service and out of it, as the state orders: with what was received for
//! them, or empty; and says what came of an event's orders in one line each.

use std::collections::BTreeMap;
use std::sync::Arc;

use cached_proto::types::{Epoch, NodeName, Slot};

use super::shared::Shared;
use super::state::FIRST_EPOCH;
use crate::store::{ContainerId, Purge};

/// Entries freed before others get their turn.
const PURGE_STEP: usize = 16;

/// What the orders of one event came to.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// Slots taken over without their entries.
    empty: u32,
    /// Slots received with their entries, by who owned them before.
    received: BTreeMap<NodeName, u32>,
    /// Their entries are still to be put in order.
    settling: Vec<(Slot, ContainerId)>,
    /// Containers that serve no more.
    purges: Vec<Purge>,
}

impl Opened {
    /// Serves a slot with what was received for exactly that attempt, else empty. Comes
    /// before the view is published, which therefore still names the owner of before.
    pub(super) fn open(&mut self, shared: &Shared, slot: Slot, epoch: Epoch, attempt: u64) {
        let store = &shared.store;
        // Tries are counted from 1: without one nothing can have been received.
        let staged = (attempt > 0)
            .then(|| shared.transfers.take_staged(slot, attempt))
            .flatten();
        let activated = staged.and_then(|container| {
            let before = store.activate(slot, container, epoch)?;
            Some((container, before))
        });
        if let Some((container, before)) = activated {
            self.settling.push((slot, container));
            self.purges.extend(before);
            let view = shared.view.load();
            if let Some((owner, _)) = view.owner(slot) {
                *self.received.entry(owner.id.name.clone()).or_default() += 1;
            }
            return;
        }
        self.purges.extend(store.close_slot(slot, epoch));
        store.open_slot(slot, epoch);
        if epoch > FIRST_EPOCH {
            shared.counters.slots_lost.increment();
            self.empty += 1;
        }
    }

    pub(super) fn close(&mut self, shared: &Shared, slot: Slot, epoch: Epoch) {
        self.purges.extend(shared.store.close_slot(slot, epoch));
    }

    /// Starts what goes on in the background, and tells people.
    pub(super) fn finish(self, shared: &Arc<Shared>) {
        if self.empty > 0 {
            tracing::info!("took over {} slots, empty", self.empty);
        }
        for (from, slots) in self.received {
            tracing::info!("received {slots} slots from {from}");
        }
        if !self.settling.is_empty() {
            shared.transfers.settle_in(self.settling);
        }
        if !self.purges.is_empty() {
            purge(shared, self.purges);
        }
    }
}

/// Frees containers in steps, so that nobody waits for a large one.
fn purge(shared: &Arc<Shared>, purges: Vec<Purge>) {
    let store = shared.store.clone();
    shared.tasks.spawn("cluster-purge", |stop| async move {
        for purge in purges {
            let mut is_gone = false;
            while !is_gone {
                if stop.is_stopped() {
                    return;
                }
                is_gone = store.purge(&purge, PURGE_STEP);
                // Also between small ones: there may be many.
                tokio::task::yield_now().await;
            }
        }
    });
}
