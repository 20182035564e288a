//! The hottest keys of a sliding window in one pass and in bounded memory: Space-Saving
//! over slices of time. Pure.
//!
//! A key that is not listed takes the place of the coldest one, and inherits its score, so
//! that it has to be beaten and not only met. What is told of a key is what was seen since
//! it has its place: never more than the truth, and for a key above one part in
//! [`PLACES`] of everything, soon the whole of it.

/// Keys that are listed at a time.
pub(super) const PLACES: usize = 128;

/// Slices of a window: the one that runs, and thirty whole ones.
pub(super) const SLICES: usize = 31;

/// Bytes of a key that are kept; a longer one is told by its beginning.
pub(super) const KEY_BYTES_KEPT: usize = 256;

/// What operations amount to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) ops: u64,
    /// Bytes of keys and values that were read or written.
    pub(super) bytes: u64,
}

impl Amount {
    pub(super) fn add(&mut self, other: Self) {
        self.ops = self.ops.saturating_add(other.ops);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Amounts by slice; the slice that runs is one of them, and time moves on around them.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices([Amount; SLICES]);

impl Slices {
    pub(super) fn add(&mut self, slice: usize, amount: Amount) {
        self.0[slice].add(amount);
    }

    /// The sum over the newest `count` slices, of which `slice` is the last.
    pub(super) fn sum(&self, slice: usize, count: usize) -> Amount {
        let mut sum = Amount::default();
        for back in 0..count.min(SLICES) {
            sum.add(self.0[(slice + SLICES - back) % SLICES]);
        }
        sum
    }

    /// Forgets what was in a slice: it begins anew.
    pub(super) fn clear(&mut self, slice: usize) {
        self.0[slice] = Amount::default();
    }
}

/// By what keys are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum By {
    /// Operations.
    #[default]
    Ops,
    /// Bytes of keys and values that were read or written.
    Bytes,
}

impl By {
    pub(super) fn of(self, amount: Amount) -> u64 {
        match self {
            Self::Ops => amount.ops,
            Self::Bytes => amount.bytes,
        }
    }
}

/// One operation as it is counted: it stands for several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Touch<'a> {
    /// Hash of the whole key.
    pub(super) hash: u64,
    pub(super) key: &'a [u8],
    /// Length of the value that was read or written; `None`: there was none.
    pub(super) value_bytes: Option<u64>,
    pub(super) amount: Amount,
}

/// A listed key.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) key: Box<[u8]>,
    /// The key is longer than what is kept of it.
    pub(super) cut: bool,
    /// Length of the value that was read or written last.
    pub(super) value_bytes: u64,
    pub(super) seen: Slices,
    /// Score of the key whose place it took: fades with the window.
    inherited: u64,
}

/// The hottest keys by one measure.
#[derive(Clone, Debug)]
pub(super) struct Ranking {
    by: By,
    /// Beside the places and in their order: these two are searched for every touch.
    hashes: Vec<u64>,
    scores: Vec<u64>,
    places: Vec<Place>,
}

impl Ranking {
    pub(super) fn new(by: By) -> Self {
        Self {
            by,
            hashes: Vec::new(),
            scores: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Counts an operation in a slice.
    pub(super) fn touch(&mut self, slice: usize, touch: &Touch<'_>) {
        let known = self.hashes.iter().position(|hash| *hash == touch.hash);
        let index = match known {
            Some(index) => index,
            None => self.admit(touch),
        };
        let place = &mut self.places[index];
        place.seen.add(slice, touch.amount);
        if let Some(bytes) = touch.value_bytes {
            place.value_bytes = bytes;
        }
        self.scores[index] = self.scores[index].saturating_add(self.by.of(touch.amount));
    }

    /// Gives a key a place: a free one, or that of the coldest.
    fn admit(&mut self, touch: &Touch<'_>) -> usize {
        let kept = &touch.key[..touch.key.len().min(KEY_BYTES_KEPT)];
        let mut place = Place {
            key: kept.into(),
            cut: kept.len() < touch.key.len(),
            value_bytes: 0,
            seen: Slices::default(),
            inherited: 0,
        };
        if self.places.len() < PLACES {
            self.hashes.push(touch.hash);
            self.scores.push(0);
            self.places.push(place);
            return self.places.len() - 1;
        }
        let coldest = self
            .scores
            .iter()
            .enumerate()
            .min_by_key(|(_, score)| **score);
        let index = coldest.map_or(0, |(index, _)| index);
        place.inherited = self.scores[index];
        self.hashes[index] = touch.hash;
        self.places[index] = place;
        index
    }

    /// A slice begins anew: what was in it is out of the window.
    pub(super) fn begin(&mut self, slice: usize) {
        for index in (0..self.places.len()).rev() {
            let place = &mut self.places[index];
            place.seen.clear(slice);
            place.inherited -= place.inherited.div_ceil(SLICES as u64);
            let seen = self.by.of(place.seen.sum(slice, SLICES));
            self.scores[index] = seen.saturating_add(place.inherited);
            if place.seen.sum(slice, SLICES) == Amount::default() {
                self.hashes.swap_remove(index);
                self.scores.swap_remove(index);
                self.places.swap_remove(index);
            }
        }
    }

    /// The listed keys, in no order.
    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn touch(key: &[u8], ops: u64, bytes: u64) -> Touch<'_> {
        Touch {
            hash: xxhash_rust::xxh3::xxh3_64(key),
            key,
            value_bytes: Some(bytes),
            amount: Amount { ops, bytes },
        }
    }

    fn ops_of(ranking: &Ranking, key: &[u8], slice: usize, count: usize) -> Option<u64> {
        let place = ranking.places().iter().find(|place| *place.key == *key)?;
        Some(place.seen.sum(slice, count).ops)
    }

    #[test]
    fn windows_hold_what_their_slices_hold() {
        let mut ranking = Ranking::new(By::Ops);
        for slice in 0..SLICES {
            ranking.begin(slice);
            ranking.touch(slice, &touch(b"a", slice as u64 + 1, 0));
        }
        assert_eq!(ops_of(&ranking, b"a", 30, 1), Some(31));
        assert_eq!(ops_of(&ranking, b"a", 30, 2), Some(61));
        assert_eq!(ops_of(&ranking, b"a", 30, 99), Some(31 * 32 / 2));
        ranking.begin(0);
        assert_eq!(ops_of(&ranking, b"a", 0, SLICES), Some(31 * 32 / 2 - 1));
        for slice in 1..SLICES {
            ranking.begin(slice);
        }
        assert!(ranking.places().is_empty(), "nobody asks for it any more");
    }

    #[test]
    fn rankings_by_bytes_keep_large_values() {
        let (mut by_ops, mut by_bytes) = (Ranking::new(By::Ops), Ranking::new(By::Bytes));
        for round in 0..2_000_u32 {
            let name = format!("small-{}", round % 400);
            for ranking in [&mut by_ops, &mut by_bytes] {
                ranking.touch(0, &touch(name.as_bytes(), 1, 10));
                if round % 100 == 0 {
                    ranking.touch(0, &touch(b"large", 1, 1_000_000));
                }
            }
        }
        assert_eq!(ops_of(&by_bytes, b"large", 0, 1), Some(20));
    }

    #[test]
    fn long_keys_are_told_by_their_beginning_and_kept_apart() {
        let mut ranking = Ranking::new(By::Ops);
        let (one, other) = (vec![b'x'; 300], vec![b'x'; 301]);
        ranking.touch(0, &touch(&one, 1, 0));
        ranking.touch(0, &touch(&other, 1, 0));
        assert_eq!(ranking.places().len(), 2);
        let kept = |place: &Place| place.cut && place.key.len() == KEY_BYTES_KEPT;
        assert!(ranking.places().iter().all(kept));
    }

    proptest! {
        /// However others come between: what is above its share is found, and nothing is
        /// told that was not seen.
        #[test]
        fn hot_keys_are_found_and_never_overstated(
            noise in prop::collection::vec(0_u32..5_000, 2_000..4_000),
            every in 2_usize..20,
        ) {
            let mut ranking = Ranking::new(By::Ops);
            let mut truth = 0;
            for (index, key) in noise.iter().enumerate() {
                ranking.touch(0, &touch(&key.to_be_bytes(), 1, 1));
                if index % every == 0 {
                    truth += 1;
                    ranking.touch(0, &touch(b"hot", 1, 1));
                }
            }
            let told = ops_of(&ranking, b"hot", 0, SLICES);
            prop_assert!(told.is_some_and(|told| told <= truth && told * 10 >= truth * 9));
            prop_assert!(ranking.places().len() <= PLACES);
        }
    }
}
