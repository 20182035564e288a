//! Least recently used first, exactly: a main list, in which every use makes an entry
//! the newest, and strands: entries that arrived from another node, each strand in the
//! order of their stamps. Together they are exact LRU, because the oldest entry is the
//! oldest end of some list.

use std::collections::BTreeSet;

use super::{List, NONE, Ordered};

/// The order. A strand only loses entries, so only its oldest end is kept.
#[derive(Debug, Default)]
pub(crate) struct Lru {
    main: List,
    /// The oldest entry of each strand, by its stamp.
    strands: BTreeSet<(u64, u32)>,
}

impl Lru {
    /// The entry that goes first, with its stamp.
    pub(crate) fn oldest(&self, entries: &impl Ordered) -> Option<(u64, u32)> {
        let main = self.main.oldest();
        let main = main.map(|entry| (entries.stamp(entry), entry));
        match self.strands.first() {
            None => main,
            strand => [main, strand.copied()].into_iter().flatten().min(),
        }
    }

    /// Takes in an entry that is in no list, as the newest, with the stamp of its use.
    pub(crate) fn insert(&mut self, entries: &mut impl Ordered, entry: u32, stamp: u64) {
        entries.set_stamp(entry, stamp);
        entries.set_linked(entry, true);
        self.main.insert(entries, entry);
    }

    /// Takes an entry out of its list, if it is in one.
    pub(crate) fn remove(&mut self, entries: &mut impl Ordered, entry: u32) {
        if !entries.is_linked(entry) {
            return;
        }
        entries.set_linked(entry, false);
        self.leave_strand(entries, entry);
        self.main.remove(entries, entry);
    }

    /// Makes an entry the newest, wherever it was, with the stamp of its use.
    pub(crate) fn touch(&mut self, entries: &mut impl Ordered, entry: u32, stamp: u64) {
        if self.main.newest() == Some(entry) {
            return entries.set_stamp(entry, stamp);
        }
        if !entries.is_linked(entry) {
            return self.insert(entries, entry, stamp);
        }
        self.leave_strand(entries, entry);
        self.main.remove(entries, entry);
        entries.set_stamp(entry, stamp);
        self.main.insert(entries, entry);
    }

    /// Takes in entries that are in no list and have been used elsewhere, sorted from
    /// the oldest on.
    pub(crate) fn add_strand(&mut self, entries: &mut impl Ordered, run: &[u32]) {
        let Some(oldest) = run.first() else { return };
        let mut list = List::default();
        for entry in run {
            entries.set_linked(*entry, true);
            list.insert(entries, *entry);
        }
        self.strands.insert((entries.stamp(*oldest), *oldest));
    }

    /// An entry has another handle now, and stands there already.
    pub(crate) fn moved(&mut self, entries: &mut impl Ordered, from: u32, to: u32) {
        if !entries.is_linked(to) {
            return;
        }
        if self.is_oldest_of_strand(entries, from) {
            let stamp = entries.stamp(from);
            self.strands.remove(&(stamp, from));
            self.strands.insert((stamp, to));
        }
        self.main.moved(entries, from, to);
    }

    /// Lets the next of an entry's strand be the oldest there, if the entry is.
    fn leave_strand(&mut self, entries: &impl Ordered, entry: u32) {
        if !self.is_oldest_of_strand(entries, entry) {
            return;
        }
        self.strands.remove(&(entries.stamp(entry), entry));
        let next = entries.links(entry).newer;
        if next != NONE {
            self.strands.insert((entries.stamp(next), next));
        }
    }

    fn is_oldest_of_strand(&self, entries: &impl Ordered, entry: u32) -> bool {
        !self.strands.is_empty()
            && entries.links(entry).older == NONE
            && self.main.oldest() != Some(entry)
    }
}

#[cfg(test)]
mod tests;
