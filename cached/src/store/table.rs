//! Which entries a container holds, by the hash of their keys. Pure.
//!
//! Linear hashing: the table grows and shrinks by one bucket at a time, so that no
//! operation has to rehash it and it is never half empty. A bucket is one line of the
//! processor's cache; what does not fit goes to an overflow bucket.
//!
//! An entry's *position* is its hash with the bits reversed. A bucket holds a range of
//! positions, and splits into its two halves: so a walk by ascending position meets each
//! entry once, however the table grows and shrinks meanwhile.

use super::arena::NONE;
use super::prefetch::prefetch;

/// Entries of a bucket.
const PLACES: usize = 12;

/// Entries for each bucket above which the table grows. Of buckets that wait for their
/// split half overflow, so a lookup reads 1.1 buckets on average; an entry takes 8 bytes.
const GROW_ABOVE: usize = 10;

/// Entries for each bucket below which it shrinks.
const SHRINK_BELOW: usize = 6;

/// Buckets that are allocated together: a table grows without copying more.
const EXTENT: usize = 64;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Bucket {
    /// Dense; [`NONE`] from the first free place on.
    entries: [u32; PLACES],
    /// The upper 8 bits of the hash of each.
    tags: [u8; PLACES],
    /// Number of the overflow bucket that follows, or [`NONE`].
    next: u32,
}

const EMPTY: Bucket = Bucket {
    entries: [NONE; PLACES],
    tags: [0; PLACES],
    next: NONE,
};

impl Bucket {
    fn len(&self) -> usize {
        let free = self.entries.iter().position(|entry| *entry == NONE);
        free.unwrap_or(PLACES)
    }
}

/// A growing row of buckets, in extents of which the last one grows by about an eighth.
#[derive(Debug, Default)]
#[repr(C)]
struct Buckets {
    /// Their number, so that a lookup finds it beside what it reads next.
    len: usize,
    first: Vec<Bucket>,
    rest: Vec<Vec<Bucket>>,
}

impl Buckets {
    fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn at(&self, number: usize) -> &Bucket {
        match number.checked_sub(EXTENT) {
            None => &self.first[number],
            Some(rest) => &self.rest[rest / EXTENT][rest % EXTENT],
        }
    }

    #[inline]
    fn at_mut(&mut self, number: usize) -> &mut Bucket {
        match number.checked_sub(EXTENT) {
            None => &mut self.first[number],
            Some(rest) => &mut self.rest[rest / EXTENT][rest % EXTENT],
        }
    }

    fn push(&mut self, bucket: Bucket) {
        let last = if self.first.len() < EXTENT {
            &mut self.first
        } else {
            if self.rest.last().is_none_or(|last| last.len() == EXTENT) {
                self.rest.push(Vec::new());
            }
            // There is one, by now.
            self.rest.last_mut().unwrap_or(&mut self.first)
        };
        if last.len() == last.capacity() {
            last.reserve_exact(1 + last.len() / 8);
        }
        last.push(bucket);
        self.len += 1;
    }

    fn pop(&mut self) -> Option<Bucket> {
        self.len = self.len.saturating_sub(1);
        if let Some(last) = self.rest.last_mut() {
            let bucket = last.pop();
            if last.is_empty() {
                self.rest.pop();
            }
            return bucket;
        }
        let bucket = self.first.pop();
        if self.first.capacity() > self.first.len() + 2 + self.first.len() / 4 {
            self.first
                .shrink_to(self.first.len() + self.first.len() / 8);
        }
        bucket
    }

    fn bytes(&self) -> usize {
        let full = self.rest.len().saturating_sub(1) * EXTENT;
        let last = self.rest.last().map_or(0, Vec::capacity);
        (self.first.capacity() + full + last) * size_of::<Bucket>()
    }
}

/// The table. Whoever changes it says how to find the hash of an entry that is in it.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Table {
    buckets: Buckets,
    overflow: Buckets,
    len: usize,
}

/// A bucket with those that follow it.
#[derive(Clone, Copy)]
struct Chain<'a> {
    table: &'a Table,
    bucket: Option<&'a Bucket>,
}

impl<'a> Iterator for Chain<'a> {
    type Item = &'a Bucket;

    #[inline]
    fn next(&mut self) -> Option<&'a Bucket> {
        let bucket = self.bucket?;
        let next = (bucket.next != NONE).then(|| self.table.overflowing(bucket.next));
        self.bucket = next;
        Some(bucket)
    }
}

/// Where an entry stands: the bucket (`None`: that of its address; else an overflow
/// bucket's number) and the place in it.
type Spot = (Option<u32>, usize);

impl Table {
    /// Bytes from its beginning on that lead to the first buckets.
    #[cfg(test)]
    pub(crate) const READ_BYTES: usize = size_of::<usize>() + size_of::<Vec<Bucket>>();

    /// How many entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that are allocated for it.
    pub(crate) fn bytes(&self) -> usize {
        self.buckets.bytes() + self.overflow.bytes()
    }

    /// The entry with this hash that is the one. Those that are asked about may have
    /// another hash.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        for bucket in self.chain(self.address(hash)) {
            for (entry, other) in bucket.entries.iter().zip(bucket.tags) {
                if other == tag && *entry != NONE && is_it(*entry) {
                    return Some(*entry);
                }
            }
        }
        None
    }

    /// An overflow bucket. Out of line, for otherwise a lookup reads where they are, a line
    /// of the processor's cache of its own, before it knows that it needs one.
    #[cold]
    #[inline(never)]
    fn overflowing(&self, number: u32) -> &Bucket {
        self.overflow.at(number as usize)
    }

    /// Fetches the first bucket in which entries with this hash would be.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        let number = self.address(hash);
        if number < self.buckets.len() {
            prefetch(self.buckets.at(number));
        }
    }

    /// The entry that most likely is the one with this hash, if it stands in the first
    /// bucket of its chain; the next bucket is fetched otherwise.
    #[inline]
    pub(crate) fn likely(&self, hash: u64) -> Option<u32> {
        let number = self.address(hash);
        if number >= self.buckets.len() {
            return None;
        }
        let (bucket, tag) = (self.buckets.at(number), tag(hash));
        let mut entries = bucket.entries.iter().zip(bucket.tags);
        let found = entries.find(|(entry, other)| *other == tag && **entry != NONE);
        if found.is_none() && bucket.next != NONE {
            prefetch(self.overflowing(bucket.next));
        }
        found.map(|(entry, _)| *entry)
    }

    /// Takes an entry in.
    pub(crate) fn insert(&mut self, hash: u64, entry: u32, hash_of: impl Fn(u32) -> u64) {
        if self.buckets.len() == 0 {
            self.buckets.push(EMPTY);
        }
        let address = self.address(hash);
        self.push(address, entry, tag(hash));
        self.len += 1;
        if self.len > self.buckets.len() * GROW_ABOVE {
            self.split(&hash_of);
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, hash: u64, entry: u32, hash_of: impl Fn(u32) -> u64) {
        let address = self.address(hash);
        let Some(spot) = self.spot(address, entry) else {
            return;
        };
        self.take(address, spot, &hash_of);
        self.len -= 1;
        if self.len == 0 {
            *self = Self::default();
        } else if self.len < (self.buckets.len() - 1) * SHRINK_BELOW {
            self.merge(&hash_of);
        }
    }

    /// An entry has another handle now.
    pub(crate) fn replace(&mut self, hash: u64, from: u32, to: u32) {
        let address = self.address(hash);
        if let Some((bucket, place)) = self.spot(address, from) {
            self.bucket_mut(address, bucket).entries[place] = to;
        }
    }

    /// The entries of the bucket in which a position lies, and the position at which the
    /// next bucket begins; `None`: that was the last one.
    pub(crate) fn bucket(&self, position: u64) -> (impl Iterator<Item = u32>, Option<u64>) {
        let hash = position.reverse_bits();
        let number = self.address(hash);
        let entries = self.chain(number).flat_map(|bucket| bucket.entries);
        let bits = self.bits(number);
        let begin = (number as u64).reverse_bits();
        let end = 1_u64
            .checked_shl(64 - bits)
            .and_then(|bytes| begin.checked_add(bytes));
        (entries.filter(|entry| *entry != NONE), end)
    }

    /// The bucket for a hash.
    #[inline]
    fn address(&self, hash: u64) -> usize {
        let count = self.buckets.len();
        let level = count.max(1).ilog2();
        let low = hash as usize & ((2 << level) - 1);
        if low < count {
            low
        } else {
            low & ((1 << level) - 1)
        }
    }

    /// How many bits of a hash lead to a bucket.
    fn bits(&self, number: usize) -> u32 {
        let count = self.buckets.len().max(1);
        let level = count.ilog2();
        let is_split = number + (1 << level) < count || number >= 1 << level;
        level + u32::from(is_split)
    }

    #[inline]
    fn chain(&self, number: usize) -> Chain<'_> {
        let bucket = (number < self.buckets.len()).then(|| self.buckets.at(number));
        Chain {
            table: self,
            bucket,
        }
    }

    fn bucket_mut(&mut self, address: usize, overflow: Option<u32>) -> &mut Bucket {
        match overflow {
            None => self.buckets.at_mut(address),
            Some(number) => self.overflow.at_mut(number as usize),
        }
    }

    fn spot(&self, address: usize, entry: u32) -> Option<Spot> {
        let mut number = None;
        for bucket in self.chain(address) {
            if let Some(place) = bucket.entries.iter().position(|other| *other == entry) {
                return Some((number, place));
            }
            number = Some(bucket.next);
        }
        None
    }

    /// The last bucket of a chain, and the one before it.
    fn last(&self, address: usize) -> (Option<u32>, Option<u32>) {
        let (mut last, mut before) = (None, None);
        for bucket in self.chain(address) {
            if bucket.next != NONE {
                (before, last) = (last, Some(bucket.next));
            }
        }
        (last, before)
    }

    fn push(&mut self, address: usize, entry: u32, tag: u8) {
        let (last, _) = self.last(address);
        let bucket = self.bucket_mut(address, last);
        let place = bucket.len();
        if place < PLACES {
            (bucket.entries[place], bucket.tags[place]) = (entry, tag);
            return;
        }
        let number = self.overflow.len() as u32;
        self.bucket_mut(address, last).next = number;
        let mut next = EMPTY;
        (next.entries[0], next.tags[0]) = (entry, tag);
        self.overflow.push(next);
    }

    /// Fills a spot with the last entry of its chain, so that only the last bucket has
    /// free places.
    fn take(&mut self, address: usize, (bucket, place): Spot, hash_of: &impl Fn(u32) -> u64) {
        let (last, before) = self.last(address);
        let end = self.bucket_mut(address, last);
        let last_place = end.len() - 1;
        let moved = (end.entries[last_place], end.tags[last_place]);
        end.entries[last_place] = NONE;
        if (bucket, place) != (last, last_place) {
            let hole = self.bucket_mut(address, bucket);
            (hole.entries[place], hole.tags[place]) = moved;
        }
        if let Some(number) = last.filter(|_| last_place == 0) {
            self.bucket_mut(address, before).next = NONE;
            self.drop_overflow(number, hash_of);
        }
    }

    /// Frees an overflow bucket: the last one gets its number.
    fn drop_overflow(&mut self, number: u32, hash_of: &impl Fn(u32) -> u64) {
        let Some(moved) = self.overflow.pop() else {
            return;
        };
        let was = self.overflow.len() as u32;
        if was == number {
            return;
        }
        *self.overflow.at_mut(number as usize) = moved;
        // Whoever leads to it belongs to the same address as what is in it.
        let address = self.address(hash_of(moved.entries[0]));
        let mut before = None;
        loop {
            let bucket = self.bucket_mut(address, before);
            match bucket.next {
                next if next == was => {
                    bucket.next = number;
                    return;
                }
                NONE => return,
                next => before = Some(next),
            }
        }
    }

    /// Adds a bucket, and gives it its half of another's entries.
    fn split(&mut self, hash_of: &impl Fn(u32) -> u64) {
        let level = self.buckets.len().ilog2();
        let number = self.buckets.len();
        let source = number - (1 << level);
        let entries = self.empty(source, hash_of);
        self.buckets.push(EMPTY);
        for (entry, tag) in entries {
            let upper = hash_of(entry) >> level & 1 == 1;
            self.push(if upper { number } else { source }, entry, tag);
        }
    }

    /// Gives the last bucket's entries back to the one it came from, and drops it.
    fn merge(&mut self, hash_of: &impl Fn(u32) -> u64) {
        let number = self.buckets.len() - 1;
        let entries = self.empty(number, hash_of);
        self.buckets.pop();
        let target = number - (1 << number.ilog2());
        for (entry, tag) in entries {
            self.push(target, entry, tag);
        }
    }

    /// Takes all entries out of a bucket.
    fn empty(&mut self, address: usize, hash_of: &impl Fn(u32) -> u64) -> Vec<(u32, u8)> {
        let mut entries = Vec::with_capacity(2 * PLACES);
        for bucket in self.chain(address) {
            let used = bucket.entries.iter().zip(bucket.tags);
            let used = used.take_while(|(entry, _)| **entry != NONE);
            entries.extend(used.map(|(entry, tag)| (*entry, tag)));
        }
        while let (Some(last), before) = self.last(address) {
            self.bucket_mut(address, before).next = NONE;
            self.drop_overflow(last, hash_of);
        }
        *self.buckets.at_mut(address) = EMPTY;
        entries
    }
}

fn tag(hash: u64) -> u8 {
    (hash >> 56) as u8
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn hash(entry: u32) -> u64 {
        xxh3_64(&entry.to_le_bytes())
    }

    /// All entries, and that each bucket has what belongs to it.
    fn walk(table: &Table) -> Vec<u32> {
        let (mut entries, mut next) = (Vec::new(), Some(0));
        while let Some(position) = next {
            let (bucket, end) = table.bucket(position);
            for entry in bucket {
                let own = hash(entry).reverse_bits();
                assert!(position <= own && end.is_none_or(|end| own < end));
                entries.push(entry);
            }
            next = end;
        }
        entries
    }

    fn check(table: &Table, expected: &BTreeSet<u32>) {
        let walked = walk(table);
        assert_eq!(walked.len(), table.len());
        assert_eq!(&walked.into_iter().collect::<BTreeSet<_>>(), expected);
        for entry in expected {
            assert_eq!(
                table.find(hash(*entry), |other| other == *entry),
                Some(*entry)
            );
        }
        let chained: usize = (0..table.buckets.len())
            .map(|number| table.chain(number).count() - 1)
            .sum();
        assert_eq!(chained, table.overflow.len(), "no overflow bucket is lost");
    }

    proptest! {
        #[test]
        fn it_is_a_set(steps in prop::collection::vec((any::<bool>(), 0..400_u32), 1..1_500)) {
            let (mut table, mut expected) = (Table::default(), BTreeSet::new());
            for (number, (is_insert, entry)) in steps.iter().enumerate() {
                // First it grows, then it shrinks.
                let is_insert = *is_insert || number % 4 == 0 && number < steps.len() / 2;
                if is_insert && expected.insert(*entry) {
                    table.insert(hash(*entry), *entry, hash);
                } else if !is_insert && expected.remove(entry) {
                    table.remove(hash(*entry), *entry, hash);
                }
                if number % 97 == 0 {
                    check(&table, &expected);
                }
            }
            check(&table, &expected);
            for entry in std::mem::take(&mut expected) {
                table.remove(hash(entry), entry, hash);
            }
            prop_assert_eq!((table.len(), table.bytes()), (0, 0));
        }

        #[test]
        fn a_walk_meets_what_stays(growing in any::<bool>(), pause in 1..9_usize) {
            let mut table = Table::default();
            (0..2_000).for_each(|entry| table.insert(hash(entry), entry, hash));
            let (mut met, mut next, mut changed) = (BTreeSet::new(), Some(0), 1_000);
            while let Some(position) = next {
                let (bucket, end) = table.bucket(position);
                for entry in bucket.filter(|entry| hash(*entry).reverse_bits() >= position) {
                    prop_assert!(met.insert(entry), "once");
                }
                next = end;
                for _ in 0..pause {
                    if growing {
                        table.insert(hash(changed + 2_000), changed + 2_000, hash);
                    } else if changed < 2_000 {
                        table.remove(hash(changed), changed, hash);
                    }
                    changed += 1;
                }
            }
            prop_assert!((0..1_000).all(|entry| met.contains(&entry)));
        }
    }

    #[test]
    fn an_entry_takes_about_8_bytes() {
        for count in [60, 100, 122, 200, 1_000, 1_500, 10_000] {
            let mut table = Table::default();
            (0..count).for_each(|entry| table.insert(hash(entry), entry, hash));
            let bytes = table.bytes() as f64 / f64::from(count);
            assert!((6.0..9.5).contains(&bytes), "{bytes} at {count}");
        }
    }

    #[test]
    fn an_entry_is_found_under_its_next_handle() {
        let mut table = Table::default();
        (0..100).for_each(|entry| table.insert(hash(entry), entry, hash));
        table.replace(hash(7), 7, 1_007);
        assert_eq!(table.find(hash(7), |entry| entry == 1_007), Some(1_007));
        assert_eq!(table.find(hash(7), |entry| entry == 7), None);
    }
}
