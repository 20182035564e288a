//! Least recently used.

use super::Policy;
use super::list::List;

/// Evicts what was not used for the longest time.
#[derive(Clone, Debug)]
pub struct Lru {
    list: List,
    capacity: usize,
}

impl Lru {
    /// Of so many entries (one at least), over keys below `keys`.
    pub fn new(capacity: usize, keys: usize) -> Self {
        Self {
            list: List::new(keys),
            capacity: capacity.max(1),
        }
    }
}

impl Policy for Lru {
    fn request(&mut self, key: u32) -> bool {
        if self.list.holds(key) {
            self.list.renew(key);
            return true;
        }
        if self.list.len() == self.capacity {
            self.list.pop();
        }
        self.list.push(key);
        false
    }
}
