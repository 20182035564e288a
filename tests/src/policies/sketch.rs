//! How often keys were seen, roughly and lately: a count-min sketch that ages.

/// Rows: a key's count is the least of its counters.
const ROWS: u64 = 4;
/// Largest count.
const COUNT_MAX: u8 = 15;
/// Counts after which all are halved, for each entry of the cache.
const SAMPLE: usize = 10;

/// Counters of keys.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    counters: Vec<u8>,
    mask: u64,
    added: usize,
    sample: usize,
}

impl Sketch {
    /// For a cache of so many entries.
    pub(super) fn new(capacity: usize) -> Self {
        let width = (capacity * 2).next_power_of_two().max(64);
        Self {
            counters: vec![0; width * ROWS as usize],
            mask: width as u64 - 1,
            added: 0,
            sample: capacity.max(1) * SAMPLE,
        }
    }

    pub(super) fn count(&self, key: u32) -> u8 {
        let rows = (0..ROWS).map(|row| self.counters[self.place(key, row)]);
        rows.min().unwrap_or(0)
    }

    pub(super) fn add(&mut self, key: u32) {
        for row in 0..ROWS {
            let place = self.place(key, row);
            let counter = &mut self.counters[place];
            *counter = (*counter + 1).min(COUNT_MAX);
        }
        self.added += 1;
        if self.added == self.sample {
            self.counters.iter_mut().for_each(|counter| *counter /= 2);
            self.added /= 2;
        }
    }

    fn place(&self, key: u32, row: u64) -> usize {
        // One odd factor for each row; the high bits of a product depend on all of the key.
        let factor = 0x9e37_79b9_7f4a_7c15_u64
            .wrapping_mul(2 * row + 1)
            .rotate_left(row as u32 * 7)
            | 1;
        let hash = (u64::from(key) + 1).wrapping_mul(factor) >> 24;
        (row * (self.mask + 1) + (hash & self.mask)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_close_and_age() {
        let mut sketch = Sketch::new(1000);
        for _ in 0..9 {
            sketch.add(7);
        }
        assert!(sketch.count(7) >= 9);
        assert!(sketch.count(8) <= 1);
        for key in 100..10_100 {
            sketch.add(key);
        }
        assert!(sketch.count(7) <= 12, "it was halved");
    }
}
