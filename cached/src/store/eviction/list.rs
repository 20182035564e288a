//! A doubly linked list, from the newest entry to the oldest: every step O(1).

use super::{Linked, Links, NONE};

/// One list. The entries themselves hold the links.
#[derive(Debug)]
pub(crate) struct List {
    newest: u32,
    oldest: u32,
}

impl Default for List {
    fn default() -> Self {
        Self {
            newest: NONE,
            oldest: NONE,
        }
    }
}

impl List {
    /// The entry that came first.
    pub(crate) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// The entry that came last.
    pub(crate) fn newest(&self) -> Option<u32> {
        (self.newest != NONE).then_some(self.newest)
    }

    /// Takes in an entry that is in no list, as the newest.
    pub(crate) fn insert(&mut self, entries: &mut impl Linked, entry: u32) {
        let older = std::mem::replace(&mut self.newest, entry);
        entries.set_newer(entry, NONE);
        entries.set_older(entry, older);
        match older {
            NONE => self.oldest = entry,
            older => entries.set_newer(older, entry),
        }
    }

    /// Takes an entry out. It may also be in a list whose ends somebody else keeps.
    pub(crate) fn remove(&mut self, entries: &mut impl Linked, entry: u32) {
        let Links { newer, older } = entries.links(entry);
        self.join(entries, entry, older, newer);
    }

    /// An entry has another handle now, and its links there already.
    pub(crate) fn moved(&mut self, entries: &mut impl Linked, from: u32, to: u32) {
        self.join(entries, from, to, to);
    }

    /// Lets an entry's newer neighbour follow on `older`, and its older one on `newer`.
    fn join(&mut self, entries: &mut impl Linked, entry: u32, older: u32, newer: u32) {
        let links = entries.links(entry);
        match links.newer {
            NONE if self.newest == entry => self.newest = older,
            NONE => {}
            other => entries.set_older(other, older),
        }
        match links.older {
            NONE if self.oldest == entry => self.oldest = newer,
            NONE => {}
            other => entries.set_newer(other, newer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Linked for Vec<Links> {
        fn links(&self, entry: u32) -> Links {
            self[entry as usize]
        }

        fn set_newer(&mut self, entry: u32, newer: u32) {
            self[entry as usize].newer = newer;
        }

        fn set_older(&mut self, entry: u32, older: u32) {
            self[entry as usize].older = older;
        }
    }

    /// Entries from the oldest on, checked against the way back.
    fn order(list: &List, entries: &[Links]) -> Vec<u32> {
        let walk = |mut at: u32, next: fn(&Links) -> u32| {
            let mut walked = Vec::new();
            while at != NONE {
                walked.push(at);
                at = next(&entries[at as usize]);
            }
            walked
        };
        let forth = walk(list.oldest, |links| links.newer);
        let mut back = walk(list.newest, |links| links.older);
        back.reverse();
        assert_eq!(forth, back);
        forth
    }

    #[test]
    fn order_is_that_of_use() {
        let none = Links {
            newer: NONE,
            older: NONE,
        };
        let mut entries = vec![none; 5];
        let mut list = List::default();
        assert_eq!(list.oldest(), None);
        (0..4).for_each(|entry| list.insert(&mut entries, entry));
        assert_eq!(order(&list, &entries), [0, 1, 2, 3]);

        for (touched, expected) in [
            (3, [0, 1, 2, 3]),
            (0, [1, 2, 3, 0]),
            (2, [1, 3, 0, 2]),
            (1, [3, 0, 2, 1]),
        ] {
            list.remove(&mut entries, touched);
            list.insert(&mut entries, touched);
            assert_eq!(order(&list, &entries), expected, "after {touched}");
        }

        for (from, to, expected) in [
            (3, 4, [4, 0, 2, 1]),
            (0, 3, [4, 3, 2, 1]),
            (1, 0, [4, 3, 2, 0]),
        ] {
            entries[to as usize] = entries[from as usize];
            list.moved(&mut entries, from, to);
            assert_eq!(order(&list, &entries), expected, "{from} is {to} now");
        }

        for (removed, expected) in [(3, &[4, 2, 0][..]), (4, &[2, 0]), (0, &[2]), (2, &[])] {
            list.remove(&mut entries, removed);
            assert_eq!(order(&list, &entries), expected, "without {removed}");
        }
    }
}
