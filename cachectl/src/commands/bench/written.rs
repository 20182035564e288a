//! Which keys a run may have written, so that it removes these and no others. Pure.

/// Bits of a word.
const BITS: u64 = u64::BITS as u64;

/// A set of numbers below a bound.
#[derive(Clone, Debug, Default)]
pub struct Written {
    words: Vec<u64>,
}

impl Written {
    /// None yet, of numbers below `bound`.
    pub fn new(bound: u64) -> Self {
        Self {
            words: vec![0; bound.div_ceil(BITS) as usize],
        }
    }

    /// This one was written, or may have been.
    pub fn add(&mut self, key: u64) {
        if let Some(word) = self.words.get_mut((key / BITS) as usize) {
            *word |= 1 << (key % BITS);
        }
    }

    /// How many were added.
    pub fn count(&self) -> u64 {
        let bits = self.words.iter().map(|word| u64::from(word.count_ones()));
        bits.sum()
    }

    /// The smallest that was added and is not below `from`.
    pub fn at_or_after(&self, from: u64) -> Option<u64> {
        let mut place = (from / BITS) as usize;
        let mut word = self.words.get(place)? & (u64::MAX << (from % BITS));
        while word == 0 {
            place += 1;
            word = *self.words.get(place)?;
        }
        Some(place as u64 * BITS + u64::from(word.trailing_zeros()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_added() {
        let mut written = Written::new(130);
        for key in [129, 0, 64, 63, 64, 1_000_000] {
            written.add(key);
        }
        let mut keys = Vec::new();
        let mut from = 0;
        while let Some(key) = written.at_or_after(from) {
            keys.push(key);
            from = key + 1;
        }
        assert_eq!((keys, written.count()), (vec![0, 63, 64, 129], 4));
        assert_eq!(Written::new(0).at_or_after(0), None);
    }
}
