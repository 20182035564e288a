//! Taking the slots of dead owners that a plan gives to this member: empty, page by
//! page, and never before the old owner has stopped.

use std::collections::BTreeSet;
use std::time::Duration;

use cached_proto::registry_keys::RegistryKey;
use cached_proto::table::{PAGES, Page, PageIndex, Row};
use cached_proto::types::{MemberId, Slot};

use super::State;
use super::event::Purpose;
use super::life::put;
use crate::clock::Moment;
use crate::registry::Compare;

/// Pages that are being taken at a time: enough to hide the registry's round trip.
const PAGES_AT_ONCE: usize = 16;

impl State {
    pub(super) fn step_takeover(&mut self, now: Moment) {
        if !self.settled() || !self.informed() || !self.mirror.table_loaded() {
            return;
        }
        let Some(plan) = &self.mirror.plan else {
            return;
        };
        // Each taker waits for itself: the planner's word is no proof that G has passed
        // since *this* process saw the absence, and this process is the one that acts.
        let ready: BTreeSet<MemberId> = self
            .orphaned()
            .filter(|(id, absent)| {
                self.waited(absent, Duration::ZERO, now) && !plan.value.lists(id)
            })
            .map(|(id, _)| id.clone())
            .collect();
        if ready.is_empty() {
            return;
        }
        for page in self.pages_in_own_order() {
            let busy = self
                .txns
                .keys()
                .filter(|p| matches!(p, Purpose::TakeOver(_)))
                .count();
            if busy >= PAGES_AT_ONCE {
                return;
            }
            self.take_over(page, &ready);
        }
    }

    /// All pages, from a different one on in every member, so that those who change
    /// the same pages seldom meet.
    pub(super) fn pages_in_own_order(&self) -> Vec<PageIndex> {
        let first = self
            .me
            .as_ref()
            .map_or(0, |me| (me.inc.0 % u128::from(PAGES)) as usize);
        let mut pages: Vec<PageIndex> = PageIndex::all().collect();
        pages.rotate_left(first);
        pages
    }

    fn take_over(&mut self, page: PageIndex, ready: &BTreeSet<MemberId>) {
        let purpose = Purpose::TakeOver(page);
        let (Some(me), Some(held)) = (&self.me, &self.mirror.pages[page.index()]) else {
            return;
        };
        let Some(plan) = &self.mirror.plan else {
            return;
        };
        if self.txns.contains_key(&purpose) {
            return;
        }
        let assignment = &plan.value.assignment;
        let mine = |(slot, row): &(Slot, &Row)| {
            ready.contains(&row.owner) && assignment.owner(*slot) == me
        };
        let taken = || {
            page.slots()
                .zip(&held.value.rows)
                .enumerate()
                .filter(|(_, row)| mine(row))
        };
        let owners: BTreeSet<&MemberId> = taken().map(|(_, (_, row))| &row.owner).collect();
        if owners.is_empty() {
            return;
        }
        let mut rows = held.value.rows.clone();
        for (index, (_, old)) in taken() {
            rows[index] = Row {
                owner: me.clone(),
                epoch: old.epoch.next(),
                attempt: old.attempt,
                isr: vec![me.inc],
            };
        }
        let key = self.mirror.keys.key(&RegistryKey::Page(page));
        let mut compares = vec![Compare::ModRevision(key.clone(), held.mod_revision)];
        compares.extend(owners.iter().map(|owner| self.still_absent(owner)));
        let page = Page {
            generation: held.value.generation,
            rows,
        };
        self.submit(purpose, compares, vec![put(key, &page, 0)]);
    }

    /// That an incarnation is still no member: its name is free, or another
    /// incarnation's.
    fn still_absent(&self, id: &MemberId) -> Compare {
        let holder = self.mirror.members.get(&id.name);
        let own = self.registered().filter(|(me, _)| me.name == id.name);
        let own = own.map(|(_, create_revision)| create_revision);
        let create_revision = own.or(holder.map(|held| held.create_revision));
        Compare::CreateRevision(self.member_key(&id.name), create_revision.unwrap_or(0))
    }
}
