//! The names of entries that are gone: two bytes of each key's hash, the newest of so
//! many. It may take one name for another, once in some thousand times.

/// Names in a bucket. They are shifted in place, and 32 bytes are half a line of the
/// processor's cache.
const WAYS: usize = 16;

/// Names by bucket, the newest first. Zero is no name.
#[derive(Debug, Default)]
pub(crate) struct Ghost {
    /// A power of two of them, or none.
    buckets: Vec<[u16; WAYS]>,
    /// Names in all of them.
    len: usize,
}

impl Ghost {
    /// Remembers a name, as one of about `names_max` (at least one).
    pub(crate) fn add(&mut self, key_hash: u64, names_max: usize) {
        self.resize(names_max.max(1));
        let ways = self.ways(names_max);
        let bucket = self.bucket(key_hash);
        let names = &mut self.buckets[bucket];
        let before = count(names);
        names.copy_within(..WAYS - 1, 1);
        names[0] = name(key_hash);
        names[ways..].fill(0);
        self.len = self.len + count(names) - before;
    }

    /// Forgets a name; whether it was remembered.
    pub(crate) fn take(&mut self, key_hash: u64) -> bool {
        if self.buckets.is_empty() {
            return false;
        }
        let bucket = self.bucket(key_hash);
        let names = &mut self.buckets[bucket];
        let name = name(key_hash);
        let Some(at) = names.iter().position(|other| *other == name) else {
            return false;
        };
        names.copy_within(at + 1.., at);
        names[WAYS - 1] = 0;
        self.len -= 1;
        true
    }

    /// How many names it has.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of it.
    pub(crate) fn bytes(&self) -> u64 {
        (self.buckets.capacity() * size_of::<[u16; WAYS]>()) as u64
    }

    /// As many of the names in a bucket count that all buckets have about `names_max`.
    fn ways(&self, names_max: usize) -> usize {
        names_max.div_ceil(self.buckets.len()).clamp(1, WAYS)
    }

    /// Twice as many buckets where they are too few, half as many where a quarter would
    /// do. Both halves get the names of one that grows: which of them a name belongs to
    /// is not known, and in the wrong one it does no harm.
    fn resize(&mut self, names_max: usize) {
        let needed = names_max.div_ceil(WAYS).next_power_of_two();
        if self.buckets.is_empty() {
            self.buckets = vec![[0; WAYS]; needed];
        } else if self.buckets.len() < needed {
            self.buckets.extend_from_within(..);
            self.len *= 2;
        } else if self.buckets.len() / 4 >= needed {
            self.buckets.truncate(self.buckets.len() / 2);
            self.buckets.shrink_to_fit();
            self.len = self.buckets.iter().map(count).sum();
        }
    }

    fn bucket(&self, key_hash: u64) -> usize {
        key_hash as usize & (self.buckets.len() - 1)
    }
}

/// Names in a bucket.
fn count(names: &[u16; WAYS]) -> usize {
    names.iter().filter(|name| **name != 0).count()
}

/// The highest bits: the lowest choose the bucket.
fn name(key_hash: u64) -> u16 {
    ((key_hash >> 48) as u16).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(key: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&key.to_le_bytes())
    }

    #[test]
    fn about_so_many_of_the_newest_are_remembered() {
        let mut ghost = Ghost::default();
        assert!(!ghost.take(hash(0)));
        for names_max in [1_000, 10_000, 300] {
            (0..200_000).for_each(|key| ghost.add(hash(key), names_max));
            let len: usize = ghost.buckets.iter().map(count).sum();
            assert_eq!(ghost.len(), len);
            let known = (0..200_000).rev().filter(|key| ghost.take(hash(*key)));
            let known: Vec<u64> = known.collect();
            let share = known.len() as f64 / names_max as f64;
            assert!((0.8..1.25).contains(&share), "{share} of {names_max}");
            let young = 200_000 - 2 * names_max as u64;
            let young = known.iter().filter(|key| **key >= young).count();
            assert!(
                young * 100 >= known.len() * 80,
                "{young} of {}",
                known.len()
            );
            assert!(
                ghost.bytes() <= 8 * names_max as u64 + 64,
                "{}",
                ghost.bytes()
            );
        }
    }

    #[test]
    fn a_name_is_taken_once() {
        let mut ghost = Ghost::default();
        (0..100).for_each(|key| ghost.add(hash(key), 1_000));
        (0..100).for_each(|key| assert!(ghost.take(hash(key)), "{key}"));
        (0..100).for_each(|key| assert!(!ghost.take(hash(key)), "{key}"));
    }
}
