//! W-TinyLFU (Einziger et al., ACM TOS 2017): a small window, a main area in two parts,
//! and a sketch of frequencies that decides who may enter the main area.

use super::Policy;
use super::list::List;
use super::sketch::Sketch;

/// A window of 1 %, and a main area of which 80 % are protected, as published.
#[derive(Clone, Debug)]
pub struct WTinyLfu {
    window: List,
    probation: List,
    protected: List,
    sketch: Sketch,
    window_max: usize,
    main_max: usize,
    protected_max: usize,
}

impl WTinyLfu {
    /// Of so many entries (two at least), over keys below `keys`.
    pub fn new(capacity: usize, keys: usize) -> Self {
        let capacity = capacity.max(2);
        let window_max = (capacity / 100).max(1);
        let main_max = capacity - window_max;
        Self {
            window: List::new(keys),
            probation: List::new(keys),
            protected: List::new(keys),
            sketch: Sketch::new(capacity),
            window_max,
            main_max,
            protected_max: main_max * 8 / 10,
        }
    }

    fn promote(&mut self, key: u32) {
        self.probation.remove(key);
        self.protected.push(key);
        if self.protected.len() > self.protected_max
            && let Some(demoted) = self.protected.pop()
        {
            self.probation.push(demoted);
        }
    }

    /// What leaves the window takes the place of the main area's victim if it was seen
    /// more often.
    fn admit(&mut self, candidate: u32) {
        if self.probation.len() + self.protected.len() < self.main_max {
            self.probation.push(candidate);
            return;
        }
        let victim = self.probation.back().or_else(|| self.protected.back());
        let Some(victim) = victim else { return };
        if self.sketch.count(candidate) > self.sketch.count(victim) {
            let _ = self.probation.remove(victim) || self.protected.remove(victim);
            self.probation.push(candidate);
        }
    }
}

impl Policy for WTinyLfu {
    fn request(&mut self, key: u32) -> bool {
        self.sketch.add(key);
        if self.window.holds(key) {
            self.window.renew(key);
            return true;
        }
        if self.protected.holds(key) {
            self.protected.renew(key);
            return true;
        }
        if self.probation.holds(key) {
            self.promote(key);
            return true;
        }
        self.window.push(key);
        if self.window.len() > self.window_max
            && let Some(candidate) = self.window.pop()
        {
            self.admit(candidate);
        }
        false
    }
}
