//! What is not where the plan wants it: kept page by page, because looking at every
//! row after every event would be most of what a member does.

use std::collections::{BTreeMap, BTreeSet};

use cached_proto::table::PageIndex;
use cached_proto::types::{MemberId, Slot};

use super::super::State;

/// Of all pages.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// Pages that changed since the last look.
    changed: BTreeSet<PageIndex>,
    /// Pages with something to move.
    pages: BTreeMap<PageIndex, Misplaced>,
}

/// Of one page.
#[derive(Debug, Default)]
pub(super) struct Misplaced {
    /// Rows whose owner is another than the plan wants.
    rows: u32,
    /// Who owns them.
    owners: BTreeSet<MemberId>,
    /// This process's, by who shall have them; ascending.
    pub(super) mine: BTreeMap<MemberId, Vec<Slot>>,
}

impl Survey {
    pub(super) fn page_changed(&mut self, page: PageIndex) {
        self.changed.insert(page);
    }

    pub(super) fn plan_changed(&mut self) {
        self.changed.extend(PageIndex::all());
    }

    pub(super) fn misplaced(&self) -> u32 {
        self.pages.values().map(|page| page.rows).sum()
    }

    /// Members that own slots which the plan wants elsewhere.
    pub(super) fn owners(&self) -> BTreeSet<&MemberId> {
        self.pages.values().flat_map(|page| &page.owners).collect()
    }

    pub(super) fn page(&self, page: PageIndex) -> Option<&Misplaced> {
        self.pages.get(&page)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// All slots of this process that are still to go to a member, ascending.
    pub(super) fn planned_for(&self, to: &MemberId) -> Vec<Slot> {
        let pages = self.pages.values().filter_map(|page| page.mine.get(to));
        pages.flatten().copied().collect()
    }
}

impl State {
    pub(super) fn survey_anew(&mut self) {
        if self.mirror.plan.is_none() {
            return;
        }
        for page in std::mem::take(&mut self.moves.survey.changed) {
            let found = self.misplaced_in(page);
            match found.rows {
                0 => drop(self.moves.survey.pages.remove(&page)),
                _ => drop(self.moves.survey.pages.insert(page, found)),
            }
        }
    }

    fn misplaced_in(&self, page: PageIndex) -> Misplaced {
        let mut found = Misplaced::default();
        let (Some(held), Some(plan)) = (&self.mirror.pages[page.index()], &self.mirror.plan) else {
            return found;
        };
        for (slot, row) in page.slots().zip(&held.value.rows) {
            let wanted = plan.value.assignment.owner(slot);
            if row.owner == *wanted {
                continue;
            }
            found.rows += 1;
            if !found.owners.contains(&row.owner) {
                found.owners.insert(row.owner.clone());
            }
            if self.me.as_ref() == Some(&row.owner) {
                found.mine.entry(wanted.clone()).or_default().push(slot);
            }
        }
        found
    }
}
