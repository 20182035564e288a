//! Which slots this process serves: those whose rows name its incarnation.

use std::collections::{BTreeMap, BTreeSet};

use cached_proto::table::PageIndex;
use cached_proto::types::{Epoch, SLOTS, Slot};

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
    /// Epoch and attempt of each slot's row at the last look.
    seen: Vec<(Epoch, u64)>,
    /// Slots that this process has just committed to others.
    given: BTreeSet<Slot>,
    /// Slots to be closed once the view says who owns them.
    closing: Vec<(Slot, Epoch)>,
    /// Rows have changed, and whoever waits for slots is to look again.
    news: bool,
}

impl Table {
    pub(super) fn changed(&mut self, page: PageIndex) {
        self.changed.insert(page);
    }

    /// That others own these from now on is no surprise.
    pub(super) fn given(&mut self, slots: impl Iterator<Item = Slot>) {
        self.given.extend(slots);
    }

    /// Closes slots whose row is not known to name somebody else: a planted fault.
    pub(super) fn give_up(&mut self, slots: &[(Slot, Epoch)]) {
        for (slot, epoch) in slots {
            if self.served.remove(slot).is_some() {
                self.closing.push((*slot, *epoch));
            }
        }
    }
}

impl State {
    /// Opens containers for rows that name this incarnation in a newer epoch, and has
    /// those dropped of rows that name somebody else in a newer epoch (I6). A container
    /// whose row has not changed is kept with its data, whatever happened to the member key.
    ///
    /// A slot is opened before its row is told: what was received for it would be taken
    /// for old otherwise.
    pub(super) fn step_table(&mut self) {
        let changed = std::mem::take(&mut self.table.changed);
        self.table.news |= !changed.is_empty();
        let Some(me) = &self.me else { return };
        let table = &mut self.table;
        table.seen.resize(usize::from(SLOTS), (Epoch::default(), 0));
        let (mut read, mut dropped) = (Vec::new(), 0);
        for page in changed {
            let Some(held) = &self.mirror.pages[page.index()] else {
                continue;
            };
            for (slot, row) in page.slots().zip(&held.value.rows) {
                let (epoch, attempt) = (row.epoch, row.attempt);
                let before = std::mem::replace(&mut table.seen[slot.index()], (epoch, attempt));
                // Nothing is received before the table was read for the first time.
                if before != (epoch, attempt) && before.0 > Epoch::default() {
                    read.push(Effect::RowRead {
                        slot,
                        epoch,
                        attempt,
                    });
                }
                let served = table.served.get(&slot).copied();
                if served.is_some_and(|served| served >= epoch) {
                    continue;
                }
                if row.owner == *me {
                    table.served.insert(slot, epoch);
                    self.effects.push(Effect::OpenSlot {
                        slot,
                        epoch,
                        attempt,
                    });
                } else if let Some(epoch) = table.served.remove(&slot) {
                    table.closing.push((slot, epoch));
                    dropped += u32::from(!table.given.contains(&slot));
                }
            }
        }
        table.given.clear();
        self.effects.append(&mut read);
        // Whoever leaves has nothing to keep.
        if dropped > 0 && !self.leaving() {
            let text = format!("dropped {dropped} slots that have been taken over by others");
            self.log(Level::Warn, text);
        }
    }

    /// Closes what is to be closed; comes after the view that says who owns it now.
    /// Answers whether anybody may have waited for rows to change.
    pub(super) fn close_slots(&mut self) -> bool {
        for (slot, epoch) in std::mem::take(&mut self.table.closing) {
            self.effects.push(Effect::CloseSlot { slot, epoch });
            self.table.news = true;
        }
        std::mem::take(&mut self.table.news)
    }
}
