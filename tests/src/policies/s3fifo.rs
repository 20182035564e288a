//! S3-FIFO (Yang et al., SOSP 2023): a small queue on probation, a main queue, and the
//! names of what probation ended for.

use super::Policy;
use super::list::List;

/// Uses that are counted.
const USES_MAX: u8 = 3;
/// Uses on probation that lead to the main queue.
const USES_TO_STAY: u8 = 2;

/// New keys are on probation in a tenth of the room.
#[derive(Clone, Debug)]
pub struct S3Fifo {
    small: List,
    main: List,
    ghost: List,
    uses: Vec<u8>,
    small_max: usize,
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
            uses: vec![0; keys],
            small_max: (capacity / 10).max(1),
            capacity,
        }
    }

    fn evict(&mut self) {
        while self.small.len() + self.main.len() >= self.capacity {
            if self.small.len() >= self.small_max || self.main.len() == 0 {
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
        if self.ghost.len() >= self.capacity - self.small_max {
            self.ghost.pop();
        }
        self.ghost.push(key);
    }

    fn evict_main(&mut self) {
        while let Some(key) = self.main.pop() {
            match &mut self.uses[key as usize] {
                0 => return,
                uses => *uses -= 1,
            }
            self.main.push(key);
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
        self.evict();
        self.uses[key as usize] = 0;
        if self.ghost.remove(key) {
            self.main.push(key);
        } else {
            self.small.push(key);
        }
        false
    }
}
