//! SIEVE (Zhang et al., NSDI 2024): a queue, a mark for what was used, and a hand.

use super::Policy;
use super::list::List;

/// Evicts the first key without a mark that the hand meets on its way from old to new;
/// marks that it passes are taken off. Keys never move.
#[derive(Clone, Debug)]
pub struct Sieve {
    queue: List,
    used: Vec<bool>,
    hand: Option<u32>,
    capacity: usize,
}

impl Sieve {
    /// Of so many entries (one at least), over keys below `keys`.
    pub fn new(capacity: usize, keys: usize) -> Self {
        Self {
            queue: List::new(keys),
            used: vec![false; keys],
            hand: None,
            capacity: capacity.max(1),
        }
    }

    fn evict(&mut self) {
        let mut at = self.hand.or_else(|| self.queue.back());
        while let Some(key) = at {
            if !std::mem::take(&mut self.used[key as usize]) {
                self.hand = self.queue.newer(key);
                self.queue.remove(key);
                return;
            }
            // Past the newest it begins at the oldest again.
            at = self.queue.newer(key).or_else(|| self.queue.back());
        }
    }
}

impl Policy for Sieve {
    fn request(&mut self, key: u32) -> bool {
        if self.queue.holds(key) {
            self.used[key as usize] = true;
            return true;
        }
        if self.queue.len() == self.capacity {
            self.evict();
        }
        self.queue.push(key);
        false
    }
}
