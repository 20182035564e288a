//! Receivers that may hold a sealed staging of an attempt that came to nothing, and could
//! not be told: the rows tell them, which every member reads.

use std::collections::BTreeSet;

use cached_proto::registry_keys::RegistryKey;
use cached_proto::table::{Page, PageIndex, Row};
use cached_proto::types::{Epoch, Slot};

use super::super::State;
use super::super::event::Purpose;
use super::super::life::put;
use super::Move;
use crate::registry::Compare;
use crate::transfer::order::MoveId;

impl State {
    /// Notes a receiver that did not say that it has dropped what it held. The attempt has
    /// ended here, so no commit of it is under way or can be sent.
    pub(super) fn note_unheard(&mut self, id: &MoveId, slots: Vec<(Slot, Epoch)>) {
        for (slot, epoch) in slots {
            let last = self.moves.unheard.entry(slot).or_default();
            *last = (*last).max((epoch, id.attempt));
        }
    }

    /// Raises the attempts of rows to the last one that somebody may hold in vain, until
    /// that was read: a receiver drops what is of no larger attempt than the row's. A row
    /// with a newer epoch says it already. Not while a batch of the page is sealed, whose
    /// commit would then have to be sent again.
    pub(super) fn tell_by_rows(&mut self) {
        if self.moves.unheard.is_empty() {
            return;
        }
        let (mirror, me) = (&self.mirror, self.me.as_ref());
        self.moves.unheard.retain(|slot, (epoch, attempt)| {
            let silent =
                |row: &Row| Some(&row.owner) == me && row.epoch == *epoch && row.attempt < *attempt;
            mirror.row(*slot).is_some_and(silent)
        });
        if !self.settled() || !self.informed() {
            return;
        }
        let pages = self.moves.unheard.keys();
        let pages: BTreeSet<PageIndex> = pages.map(|slot| PageIndex::of(*slot)).collect();
        let sealed = |(id, going): (&MoveId, &Move)| going.is_sealed().then_some(id.page);
        let busy: BTreeSet<PageIndex> = self.moves.running.iter().filter_map(sealed).collect();
        for page in pages.difference(&busy) {
            self.raise_attempts(*page);
        }
    }

    fn raise_attempts(&mut self, index: PageIndex) {
        let Some(held) = &self.mirror.pages[index.index()] else {
            return;
        };
        let raised = |(slot, row): (Slot, &Row)| Row {
            attempt: match self.moves.unheard.get(&slot) {
                Some((_, attempt)) => row.attempt.max(*attempt),
                None => row.attempt,
            },
            ..row.clone()
        };
        let page = Page {
            generation: held.value.generation,
            rows: index.slots().zip(&held.value.rows).map(raised).collect(),
        };
        let key = self.mirror.keys.key(&RegistryKey::Page(index));
        let compares = vec![Compare::ModRevision(key.clone(), held.mod_revision)];
        self.submit(
            Purpose::TellByRows(index),
            compares,
            vec![put(key, &page, 0)],
        );
    }
}
