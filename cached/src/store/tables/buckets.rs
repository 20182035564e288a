//! The buckets of all tables of a shard, one after the other: none is vacant, so what
//! they take is what they hold.

use crate::store::arena::NONE;

/// Entries of a bucket.
pub(super) const PLACES: usize = 12;

/// log2 of the numbers of a chunk of buckets, which are allocated together.
const CHUNK_LOG2: u32 = 9;

/// Buckets of a chunk: one less than it has numbers, because the allocator needs some
/// bytes to align them, and for a little more than a power of two it gives much more.
const CHUNK: usize = (1 << CHUNK_LOG2) - 1;

/// A line of the processor's cache.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    /// Dense; [`NONE`] from the first free place on.
    pub(super) entries: [u32; PLACES],
    /// The upper 8 bits of the hash of each.
    pub(super) tags: [u8; PLACES],
    /// Number of the bucket that follows, or [`NONE`].
    pub(super) next: u32,
}

impl Bucket {
    /// With one entry.
    pub(super) fn of(entry: u32, tag: u8) -> Self {
        let mut bucket = Self {
            entries: [NONE; PLACES],
            tags: [0; PLACES],
            next: NONE,
        };
        (bucket.entries[0], bucket.tags[0]) = (entry, tag);
        bucket
    }

    /// How many entries.
    pub(super) fn len(&self) -> usize {
        let free = self.entries.iter().position(|entry| *entry == NONE);
        free.unwrap_or(PLACES)
    }

    /// Its entries with their tags.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u8)> {
        let all = self.entries.iter().copied().zip(self.tags);
        all.take_while(|(entry, _)| *entry != NONE)
    }

    /// Takes these entries, as many as fit, in place of its own.
    pub(super) fn fill(&mut self, entries: &mut impl Iterator<Item = (u32, u8)>) {
        for (entry, tag) in self.entries.iter_mut().zip(&mut self.tags) {
            (*entry, *tag) = entries.next().unwrap_or((NONE, 0));
        }
    }
}

/// The buckets, by number.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    /// All but the last one are full.
    chunks: Vec<Vec<Bucket>>,
}

impl Buckets {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        let last = self.chunks.last().map_or(0, Vec::len);
        self.chunks.len().saturating_sub(1) * CHUNK + last
    }

    #[inline]
    pub(super) fn at(&self, number: u32) -> &Bucket {
        let (chunk, at) = place(number);
        &self.chunks[chunk][at]
    }

    /// The bucket of a number that may be nobody's by now.
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Bucket> {
        let (chunk, at) = place(number);
        self.chunks.get(chunk)?.get(at)
    }

    #[inline]
    pub(super) fn at_mut(&mut self, number: u32) -> &mut Bucket {
        let (chunk, at) = place(number);
        &mut self.chunks[chunk][at]
    }

    /// Takes a bucket in; answers its number.
    pub(super) fn push(&mut self, bucket: Bucket) -> u32 {
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let last = self.chunks.last_mut().expect("one has room");
        last.push(bucket);
        self.last_number()
    }

    /// Takes a bucket out. The last one gets its number: answers which number that was,
    /// if it is another.
    pub(super) fn swap_remove(&mut self, number: u32) -> Option<u32> {
        let was = self.last_number();
        let last = self.chunks.last_mut()?;
        let moved = last.pop()?;
        if last.is_empty() {
            self.chunks.pop();
        }
        if was == number {
            return None;
        }
        *self.at_mut(number) = moved;
        Some(was)
    }

    fn last_number(&self) -> u32 {
        let at = self.chunks.last().map_or(0, Vec::len);
        let chunk = self.chunks.len().saturating_sub(1) << CHUNK_LOG2;
        (chunk + at.saturating_sub(1)) as u32
    }
}

/// The chunk of a number, and the place in it.
#[inline]
fn place(number: u32) -> (usize, usize) {
    let at = number as usize & ((1 << CHUNK_LOG2) - 1);
    (number as usize >> CHUNK_LOG2, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_stand_without_gaps() {
        let mut buckets = Buckets::default();
        let count = 2 * CHUNK + 1;
        let numbers: Vec<u32> = (0..count as u32)
            .map(|entry| buckets.push(Bucket::of(entry, 0)))
            .collect();
        for (entry, number) in numbers.iter().enumerate() {
            assert_eq!(buckets.at(*number).entries[0], entry as u32);
        }
        let last = numbers[count - 1];
        assert_eq!(buckets.swap_remove(numbers[3]), Some(last));
        assert_eq!(buckets.at(numbers[3]).entries[0], count as u32 - 1);
        assert_eq!(buckets.swap_remove(numbers[count - 2]), None);
        assert_eq!((buckets.len(), buckets.chunks.len()), (2 * CHUNK - 1, 2));
        for left in (0..buckets.len()).rev() {
            buckets.swap_remove(0);
            assert_eq!(buckets.len(), left);
        }
        assert!(buckets.chunks.is_empty());
        assert_eq!(buckets.swap_remove(0), None);
    }

    #[test]
    fn a_bucket_is_a_line_of_the_cache() {
        assert_eq!((size_of::<Bucket>(), align_of::<Bucket>()), (64, 64));
    }
}
