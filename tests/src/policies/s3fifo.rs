//! S3-FIFO (Yang et al., SOSP 2023): a small queue on probation, a main queue, and the
//! names of what probation ended for. As published, and with a small queue whose room
//! follows who comes back, as the store has it.

use super::Policy;
use super::list::List;

/// Uses that are counted.
const USES_MAX: u8 = 3;
/// Uses on probation that lead to the main queue.
const USES_TO_STAY: u8 = 2;

/// The least and the largest part of the room that new keys are on probation in.
const SMALL_PART: std::ops::RangeInclusive<f64> = 0.1..=0.9;
/// Entries by which that changes with each key that comes back.
const STEP: f64 = 0.2;
/// Names of keys that left the main queue, as a part of the room.
const LEFT_PART: f64 = 0.3;

/// New keys are on probation in a tenth of the room.
#[derive(Clone, Debug)]
pub struct S3Fifo {
    small: List,
    main: List,
    ghost: List,
    /// Who left the main queue; of the one as published nobody is remembered.
    left: List,
    left_max: usize,
    uses: Vec<u8>,
    /// Entries of the small queue.
    small_max: f64,
    capacity: usize,
}

impl S3Fifo {
    /// Of so many entries (two at least), over keys below `keys`.
    pub fn new(capacity: usize, keys: usize) -> Self {
        let capacity = capacity.max(2);
        Self {
            small: List::new(keys),
            main: List::new(keys),
            ghost: List::new(keys),
            left: List::new(keys),
            left_max: 0,
            uses: vec![0; keys],
            small_max: (capacity / 10).max(1) as f64,
            capacity,
        }
    }

    /// The same, with a small queue that grows and shrinks.
    pub fn adaptive(capacity: usize, keys: usize) -> Self {
        let mut policy = Self::new(capacity, keys);
        policy.left_max = (policy.capacity as f64 * LEFT_PART) as usize;
        policy
    }

    /// Whether the key failed probation before.
    fn comes_back(&mut self, key: u32) -> bool {
        let (failed, left) = (self.ghost.len() as f64, self.left.len() as f64);
        let has_failed = self.ghost.remove(key);
        if self.left_max == 0 {
            return has_failed;
        }
        if has_failed {
            self.small_max += STEP * (left / failed).max(1.0);
        } else if self.left.remove(key) {
            self.small_max -= STEP * (failed / left).max(1.0);
        }
        let room = self.capacity as f64;
        let bounds = (room * SMALL_PART.start(), room * SMALL_PART.end());
        self.small_max = self.small_max.clamp(bounds.0, bounds.1);
        has_failed
    }

    fn evict(&mut self) {
        while self.small.len() + self.main.len() >= self.capacity {
            if self.small.len() as f64 >= self.small_max || self.main.len() == 0 {
                self.evict_small();
            } else {
                self.evict_main();
            }
        }
    }

    fn evict_small(&mut self) {
        let Some(key) = self.small.pop() else { return };
        if self.uses[key as usize] >= USES_TO_STAY {
            self.uses[key as usize] = 0;
            self.main.push(key);
            return;
        }
        // As many names as the main queue may have entries.
        while self.ghost.len() >= self.capacity - self.small_max as usize {
            self.ghost.pop();
        }
        self.ghost.push(key);
    }

    fn evict_main(&mut self) {
        while let Some(key) = self.main.pop() {
            match &mut self.uses[key as usize] {
                0 => return self.leave(key),
                uses => *uses -= 1,
            }
            self.main.push(key);
        }
    }
}

impl S3Fifo {
    fn leave(&mut self, key: u32) {
        if self.left_max > 0 {
            if self.left.len() >= self.left_max {
                self.left.pop();
            }
            self.left.push(key);
        }
    }
}

impl Policy for S3Fifo {
    fn request(&mut self, key: u32) -> bool {
        if self.small.holds(key) || self.main.holds(key) {
            let uses = &mut self.uses[key as usize];
            *uses = (*uses + 1).min(USES_MAX);
            return true;
        }
        let has_failed = self.comes_back(key);
        self.evict();
        self.uses[key as usize] = 0;
        if has_failed {
            self.main.push(key);
        } else {
            self.small.push(key);
        }
        false
    }
}
