//! What is not where the plan wants it: kept page by page, because looking at every
//! row after every event would be most of what a member does.

use std::collections::{BTreeMap, BTreeSet};

use cached_proto::table::PageIndex;
use cached_proto::types::{MemberId, NodeName, Slot};

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
    /// Rows whose owner is another than the plan wants, by their owner.
    owners: BTreeMap<MemberId, u32>,
    /// Who shall have them.
    targets: BTreeSet<MemberId>,
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

    fn misplaced(&self) -> u32 {
        let pages = self.pages.values();
        pages.flat_map(|page| page.owners.values()).sum()
    }

    /// Members that own slots which the plan wants elsewhere.
    pub(super) fn owners(&self) -> BTreeSet<&MemberId> {
        let pages = self.pages.values();
        pages.flat_map(|page| page.owners.keys()).collect()
    }

    /// Members that shall have slots which others own.
    pub(super) fn targets(&self) -> impl Iterator<Item = &MemberId> {
        self.pages.values().flat_map(|page| &page.targets)
    }

    /// Whether this process has slots for a member of that name.
    pub(super) fn gives_to(&self, name: &NodeName) -> bool {
        let mut pages = self.pages.values();
        pages.any(|page| page.mine.keys().any(|to| to.name == *name))
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
    /// How many slots of each owner the plan wants elsewhere.
    pub(in super::super) fn displaced(&self) -> BTreeMap<&MemberId, u32> {
        let mut left = BTreeMap::new();
        for page in self.moves.survey.pages.values() {
            for (owner, rows) in &page.owners {
                *left.entry(owner).or_default() += rows;
            }
        }
        left
    }

    /// How many slots the plan wants elsewhere.
    pub(in super::super) fn misplaced(&self) -> u32 {
        self.moves.survey.misplaced()
    }

    /// Comes before everything that decides by plan and table.
    pub(in super::super) fn survey_anew(&mut self) {
        if self.mirror.plan.is_none() {
            return;
        }
        for page in std::mem::take(&mut self.moves.survey.changed) {
            let found = self.misplaced_in(page);
            match found.owners.is_empty() {
                true => drop(self.moves.survey.pages.remove(&page)),
                false => drop(self.moves.survey.pages.insert(page, found)),
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
            if !found.targets.contains(wanted) {
                found.targets.insert(wanted.clone());
            }
            match found.owners.get_mut(&row.owner) {
                Some(rows) => *rows += 1,
                None => drop(found.owners.insert(row.owner.clone(), 1)),
            }
            if self.me.as_ref() == Some(&row.owner) {
                found.mine.entry(wanted.clone()).or_default().push(slot);
            }
        }
        found
    }
}
