//! Which slots this process serves: those whose rows name its incarnation.

use std::collections::{BTreeMap, BTreeSet};

use cached_proto::table::PageIndex;
use cached_proto::types::{Epoch, Slot};

use super::State;
use super::event::{Effect, Level};

/// Epoch of every slot's first ownership, in which nothing can have been lost.
pub(crate) const FIRST_EPOCH: Epoch = Epoch(1);

#[derive(Debug, Default)]
pub(super) struct Table {
    /// Slots with a container here, each with the epoch of the row that opened it.
    served: BTreeMap<Slot, Epoch>,
    /// Pages that changed since the last look.
    changed: BTreeSet<PageIndex>,
}

impl Table {
    pub(super) fn changed(&mut self, page: PageIndex) {
        self.changed.insert(page);
    }
}

impl State {
    /// Opens containers for rows that name this incarnation in a newer epoch, and drops
    /// those of rows that name somebody else in a newer epoch (I6). A container whose
    /// row has not changed is kept with its data, whatever happened to the member key.
    pub(super) fn step_table(&mut self) {
        let Some(me) = &self.me else { return };
        let (mut lost, mut dropped) = (0, 0);
        for page in std::mem::take(&mut self.table.changed) {
            let Some(held) = &self.mirror.pages[page.index()] else {
                continue;
            };
            for (slot, row) in page.slots().zip(&held.value.rows) {
                let served = self.table.served.get(&slot).copied();
                if served.is_some_and(|epoch| epoch >= row.epoch) {
                    continue;
                }
                if row.owner == *me {
                    self.table.served.insert(slot, row.epoch);
                    self.effects.push(Effect::OpenSlot {
                        slot,
                        epoch: row.epoch,
                        attempt: row.attempt,
                    });
                    lost += u64::from(row.epoch > FIRST_EPOCH);
                } else if let Some(epoch) = self.table.served.remove(&slot) {
                    self.effects.push(Effect::CloseSlot { slot, epoch });
                    dropped += 1;
                }
            }
        }
        if lost > 0 {
            self.log(Level::Info, format!("took over {lost} slots, empty"));
        }
        if dropped > 0 {
            let text = format!("dropped {dropped} slots that have been taken over by others");
            self.log(Level::Warn, text);
        }
    }
}
