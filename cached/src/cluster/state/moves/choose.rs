//! Which batch is moved next: one of a page and a receiver at a time, different
//! receivers before the same one, never more than a few.

use std::collections::BTreeSet;

use cached_proto::operations::OperationState;
use cached_proto::table::PageIndex;
use cached_proto::types::MemberId;

use super::super::State;
use super::super::event::Effect;
use super::{Move, Stage};
use crate::clock::Moment;
use crate::peers::Peer;
use crate::transfer::order::{MoveId, MoveOrder};

/// Batches that a member sends at a time: one is copied while the other is sealed and
/// committed; more would only share the same wire and hold more changes back.
const EXPORTS_MAX: usize = 2;

impl State {
    /// Begins what may be begun. Comes after the ends of this step, so that a slot's
    /// next try never meets its last one.
    pub(super) fn start_moves(&mut self, now: Moment) {
        while self.moves.running.len() < EXPORTS_MAX
            && let Some((page, to)) = self.next_batch(now)
        {
            self.start_move(page, to);
        }
    }

    fn next_batch(&self, now: Moment) -> Option<(PageIndex, Peer)> {
        let ready = self.settled() && self.informed() && self.mirror.table_loaded();
        if self.moves.survey.is_empty() || !ready {
            return None;
        }
        // A process that is to end does not wait until others may move on.
        if self.operation()?.state != OperationState::Running && !self.leaves_by_itself() {
            return None;
        }
        let used: BTreeSet<&MemberId> = self.moves.running.values().map(|m| &m.to.id).collect();
        let free = |page: &PageIndex| self.moves.running.keys().all(|id| id.page != *page);
        let pages = self.pages_in_own_order();
        for fresh in [true, false] {
            for page in pages.iter().filter(|page| free(page)) {
                let Some(found) = self.moves.survey.page(*page) else {
                    continue;
                };
                for to in found.mine.keys() {
                    let blocked = self.moves.is_blocked(&to.name, now);
                    if blocked || (fresh && used.contains(to)) {
                        continue;
                    }
                    if let Some(peer) = self.receiver(to) {
                        return Some((*page, peer));
                    }
                }
            }
        }
        None
    }

    fn start_move(&mut self, page: PageIndex, to: Peer) {
        let (Some(operation), Some(held)) = (self.operation(), &self.mirror.pages[page.index()])
        else {
            return;
        };
        // What a process that is to end cannot give away is lost in any case.
        let haste = self.leaves_by_itself();
        let shed = operation.shed || haste;
        let operation = operation.id.clone();
        let mine = self.moves.survey.page(page);
        let mine = mine.and_then(|found| found.mine.get(&to.id));
        let (mut slots, mut newest) = (Vec::new(), 0);
        for (slot, row) in page.slots().zip(&held.value.rows) {
            if mine.is_some_and(|mine| mine.contains(&slot)) {
                slots.push((slot, row.epoch));
                newest = newest.max(row.attempt);
            }
        }
        let tried = self.moves.tried.get(&page).copied().unwrap_or(0);
        let attempt = newest.max(tried) + 1;
        self.moves.tried.insert(page, attempt);
        self.moves.in_vain.retain(|(of, _), _| *of == operation);
        let id = MoveId { page, attempt };
        let going = Move {
            operation: operation.clone(),
            to: to.clone(),
            slots: slots.clone(),
            counts: Default::default(),
            commits: 0,
            stage: Stage::Copying,
        };
        let planned = self.moves.survey.planned_for(&to.id);
        self.moves.running.insert(id.clone(), going);
        self.effects.push(Effect::StartMove(Box::new(MoveOrder {
            id,
            operation,
            slots,
            to,
            shed,
            haste,
            planned,
        })));
    }
}
