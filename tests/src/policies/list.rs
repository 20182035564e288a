//! A queue of keys from which any can be taken: a doubly linked list over numbers.

/// No key.
const NONE: u32 = u32::MAX;

/// A queue of distinct keys below a bound. The front is the newest.
#[derive(Clone, Debug)]
pub(super) struct List {
    /// For each key: towards the front and towards the back.
    links: Vec<(u32, u32)>,
    held: Vec<bool>,
    front: u32,
    back: u32,
    length: usize,
}

impl List {
    /// Of keys below `keys`, empty.
    pub(super) fn new(keys: usize) -> Self {
        Self {
            links: vec![(NONE, NONE); keys],
            held: vec![false; keys],
            front: NONE,
            back: NONE,
            length: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn holds(&self, key: u32) -> bool {
        self.held[key as usize]
    }

    /// The oldest.
    pub(super) fn back(&self) -> Option<u32> {
        (self.back != NONE).then_some(self.back)
    }

    /// The one that came right after `key`.
    pub(super) fn newer(&self, key: u32) -> Option<u32> {
        let newer = self.links[key as usize].0;
        (newer != NONE).then_some(newer)
    }

    /// Adds a key that is not held.
    pub(super) fn push(&mut self, key: u32) {
        debug_assert!(!self.holds(key), "{key} is held already");
        self.held[key as usize] = true;
        self.links[key as usize] = (NONE, self.front);
        match self.front {
            NONE => self.back = key,
            front => self.links[front as usize].0 = key,
        }
        self.front = key;
        self.length += 1;
    }

    /// Takes a key out; false: it was not held.
    pub(super) fn remove(&mut self, key: u32) -> bool {
        if !std::mem::take(&mut self.held[key as usize]) {
            return false;
        }
        let (newer, older) = self.links[key as usize];
        match newer {
            NONE => self.front = older,
            newer => self.links[newer as usize].1 = older,
        }
        match older {
            NONE => self.back = newer,
            older => self.links[older as usize].0 = newer,
        }
        self.length -= 1;
        true
    }

    /// Takes the oldest out.
    pub(super) fn pop(&mut self) -> Option<u32> {
        let oldest = self.back()?;
        self.remove(oldest);
        Some(oldest)
    }

    /// Makes a held key the newest.
    pub(super) fn renew(&mut self, key: u32) {
        if self.remove(key) {
            self.push(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_can_be_taken() {
        let mut list = List::new(5);
        [0, 1, 2, 3].into_iter().for_each(|key| list.push(key));
        assert_eq!((list.newer(0), list.newer(3)), (Some(1), None));
        assert!(list.remove(1) && !list.remove(1) && !list.holds(1));
        list.renew(0);
        assert_eq!(list.len(), 3);
        let order: Vec<_> = std::iter::from_fn(|| list.pop()).collect();
        assert_eq!(order, [2, 3, 0]);
        list.push(4);
        assert_eq!((list.back(), list.len()), (Some(4), 1));
    }
}
