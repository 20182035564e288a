//! Which keys a run may have written, so that it removes these and no others. Pure.

/// Bits of a word.
const BITS: u64 = u64::BITS as u64;

/// A set of numbers below a bound.
#[derive(Debug)]
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

    /// Those that were added, in ascending order.
    pub fn keys(&self) -> Vec<u64> {
        let words = (0..).step_by(BITS as usize).zip(&self.words);
        words
            .flat_map(|(first, word)| {
                let bits = (0..BITS).filter(move |bit| word >> bit & 1 == 1);
                bits.map(move |bit| first + bit)
            })
            .collect()
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
        assert_eq!(written.keys(), [0, 63, 64, 129]);
        assert!(Written::new(0).keys().is_empty());
    }
}
