//! Least-recently-used order in one list: doubly linked, every step O(1).

use super::{Linked, Links, NONE};

/// One list. The entries themselves hold the links.
#[derive(Debug)]
pub(crate) struct Lru {
    newest: u32,
    oldest: u32,
}

impl Default for Lru {
    fn default() -> Self {
        Self {
            newest: NONE,
            oldest: NONE,
        }
    }
}

impl Lru {
    /// The entry that goes first.
    pub(crate) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Takes in an entry that is in no order, as the newest.
    pub(crate) fn insert(&mut self, entries: &mut impl Linked, index: u32) {
        *entries.links(index) = Links {
            newer: NONE,
            older: self.newest,
        };
        match self.newest {
            NONE => self.oldest = index,
            newest => entries.links(newest).newer = index,
        }
        self.newest = index;
    }

    /// The next newer entry.
    pub(crate) fn newer(&self, entries: &mut impl Linked, index: u32) -> Option<u32> {
        let newer = entries.links(index).newer;
        (newer != NONE).then_some(newer)
    }

    /// Takes in an entry that is in no order, as the next older one of another, or as
    /// the newest.
    pub(crate) fn insert_before(
        &mut self,
        entries: &mut impl Linked,
        index: u32,
        other: Option<u32>,
    ) {
        let Some(newer) = other else {
            return self.insert(entries, index);
        };
        let older = std::mem::replace(&mut entries.links(newer).older, index);
        *entries.links(index) = Links { newer, older };
        match older {
            NONE => self.oldest = index,
            older => entries.links(older).newer = index,
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, entries: &mut impl Linked, index: u32) {
        let Links { newer, older } = *entries.links(index);
        match newer {
            NONE => self.newest = older,
            newer => entries.links(newer).older = older,
        }
        match older {
            NONE => self.oldest = newer,
            older => entries.links(older).newer = newer,
        }
    }

    /// Makes an entry the newest.
    pub(crate) fn touch(&mut self, entries: &mut impl Linked, index: u32) {
        if self.newest != index {
            self.remove(entries, index);
            self.insert(entries, index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Linked for Vec<Links> {
        fn links(&mut self, index: u32) -> &mut Links {
            &mut self[index as usize]
        }

        fn strand(&mut self, _: u32) -> &mut u16 {
            unreachable!("a list alone does not ask")
        }

        fn stamp(&self, _: u32) -> u64 {
            unreachable!("a list alone does not ask")
        }
    }

    /// Entry numbers from the oldest on, checked against the way back.
    fn order(lru: &Lru, entries: &mut Vec<Links>) -> Vec<u32> {
        let mut forth = Vec::new();
        let mut at = lru.oldest;
        while at != NONE {
            forth.push(at);
            at = entries.links(at).newer;
        }
        let mut back = Vec::new();
        let mut at = lru.newest;
        while at != NONE {
            back.push(at);
            at = entries.links(at).older;
        }
        back.reverse();
        assert_eq!(forth, back);
        forth
    }

    #[test]
    fn order_is_that_of_use() {
        let mut entries = vec![Links::default(); 4];
        let mut lru = Lru::default();
        assert_eq!(lru.oldest(), None);
        (0..4).for_each(|index| lru.insert(&mut entries, index));
        assert_eq!(order(&lru, &mut entries), [0, 1, 2, 3]);

        for (touched, expected) in [
            (3, [0, 1, 2, 3]),
            (0, [1, 2, 3, 0]),
            (2, [1, 3, 0, 2]),
            (1, [3, 0, 2, 1]),
        ] {
            lru.touch(&mut entries, touched);
            assert_eq!(order(&lru, &mut entries), expected, "after {touched}");
        }

        for (removed, expected) in [(0, &[3, 2, 1][..]), (3, &[2, 1]), (1, &[2]), (2, &[])] {
            lru.remove(&mut entries, removed);
            assert_eq!(order(&lru, &mut entries), expected, "without {removed}");
        }
    }
}
