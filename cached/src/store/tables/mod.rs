//! Which entries each container of a shard holds, by the hash of their keys. Pure.
//!
//! Linear hashing: a table grows and shrinks by one address at a time, so that no
//! operation has to rehash it and it is never half empty. At each address stands a chain
//! of buckets, mostly one, and one bucket is a line of the processor's cache. The buckets
//! of all tables stand in one place without gaps: when one goes, the last one takes its
//! number, and its entries tell whose it is.
//!
//! An entry's *position* is its hash with the bits reversed. An address holds a range of
//! positions, and splits into its two halves: so a walk by ascending position meets each
//! entry once, however the table grows and shrinks meanwhile.

mod buckets;
mod row;
#[cfg(test)]
mod tests;

use super::arena::NONE;
use super::prefetch::prefetch;
use buckets::{Bucket, Buckets, PLACES};
pub(crate) use row::Row;

/// Entries for each address above which a table grows. Of addresses that wait for their
/// split most have a second bucket, so a lookup reads 1.13 buckets on average; an entry
/// takes 8 bytes.
const GROW_ABOVE: usize = 11;

/// Entries for each address below which it shrinks.
const SHRINK_BELOW: usize = 6;

/// Where an entry belongs: its container's number, and the hash of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) container: u32,
    pub(crate) hash: u64,
}

/// Where the rows of all tables are.
pub(crate) trait Rows {
    /// The row of a container that is there.
    fn row(&self, container: u32) -> &Row;

    /// The same, to be changed.
    fn row_mut(&mut self, container: u32) -> &mut Row;
}

/// The tables, whose rows stand in their containers. Whoever takes entries in or out says
/// how to find where others belong that are in there.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    buckets: Buckets,
    /// Bytes of all rows beside what stands in the containers.
    row_bytes: usize,
}

/// The buckets of an address.
#[derive(Clone, Copy)]
struct Chain<'a> {
    buckets: &'a Buckets,
    next: Option<u32>,
}

impl<'a> Iterator for Chain<'a> {
    type Item = (u32, &'a Bucket);

    #[inline]
    fn next(&mut self) -> Option<(u32, &'a Bucket)> {
        let number = self.next?;
        let bucket = self.buckets.at(number);
        self.next = (bucket.next != NONE).then_some(bucket.next);
        Some((number, bucket))
    }
}

impl Tables {
    /// Bytes that are allocated for entries.
    pub(crate) fn bytes(&self) -> usize {
        self.buckets.len() * size_of::<Bucket>() + self.row_bytes
    }

    /// The entry with this hash that is the one. Those that are asked about may have
    /// another hash.
    #[inline]
    pub(crate) fn find(
        &self,
        row: &Row,
        hash: u64,
        mut is_it: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        let tag = tag(hash);
        for (_, bucket) in self.chain(row, address(row, hash)) {
            for (entry, other) in bucket.entries.iter().zip(bucket.tags) {
                if other == tag && *entry != NONE && is_it(*entry) {
                    return Some(*entry);
                }
            }
        }
        None
    }

    /// Fetches the first bucket in which an entry would be; answers its number.
    #[inline]
    pub(crate) fn prefetch(&self, row: &Row, hash: u64) -> Option<u32> {
        let first = row.get(address(row, hash))?;
        prefetch(self.buckets.at(first));
        Some(first)
    }

    /// The entry that most likely is the one with this hash, if it stands in the bucket of
    /// this number, which may be anybody's by now; the next bucket is fetched otherwise.
    #[inline]
    pub(crate) fn likely(&self, bucket: u32, hash: u64) -> Option<u32> {
        let bucket = self.buckets.get(bucket)?;
        let tag = tag(hash);
        let mut entries = bucket.entries.iter().zip(bucket.tags);
        let found = entries.find(|(entry, other)| *other == tag && **entry != NONE);
        if found.is_none() && bucket.next != NONE {
            prefetch(self.buckets.at(bucket.next));
        }
        found.map(|(entry, _)| *entry)
    }

    /// Takes an entry in.
    pub(crate) fn insert(
        &mut self,
        rows: &mut impl Rows,
        home: Home,
        entry: u32,
        home_of: impl Fn(u32) -> Home,
    ) {
        let row = rows.row_mut(home.container);
        if row.len() == 0 {
            row.push();
        }
        row.entries += 1;
        let address = address(row, home.hash);
        self.push(row, address, entry, tag(home.hash));
        if row.entries as usize > row.len() * GROW_ABOVE {
            self.split(rows, home.container, &home_of);
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(
        &mut self,
        rows: &mut impl Rows,
        home: Home,
        entry: u32,
        home_of: impl Fn(u32) -> Home,
    ) {
        let container = home.container;
        let row = rows.row(container);
        let address = address(row, home.hash);
        let Some(spot) = self.spot(row, address, entry) else {
            return;
        };
        self.take(rows, (container, address), spot, &home_of);
        let row = rows.row_mut(container);
        row.entries -= 1;
        if row.entries == 0 {
            self.row_bytes -= row.bytes();
            *row = Row::default();
        } else if (row.entries as usize) < (row.len() - 1) * SHRINK_BELOW {
            self.merge(rows, container, &home_of);
        }
    }

    /// An entry has another handle now.
    pub(crate) fn replace(&mut self, row: &Row, hash: u64, from: u32, to: u32) {
        if let Some((bucket, place)) = self.spot(row, address(row, hash), from) {
            self.buckets.at_mut(bucket).entries[place] = to;
        }
    }

    /// The entries of the address in which a position lies, and the position at which the
    /// next address begins; `None`: that was the last one.
    pub(crate) fn page(
        &self,
        row: &Row,
        position: u64,
    ) -> (impl Iterator<Item = u32>, Option<u64>) {
        let number = address(row, position.reverse_bits());
        let entries = self.chain(row, number);
        let entries = entries.flat_map(|(_, bucket)| bucket.entries);
        let begin = (number as u64).reverse_bits();
        let end = 1_u64
            .checked_shl(64 - bits(row.len(), number))
            .and_then(|positions| begin.checked_add(positions));
        (entries.filter(|entry| *entry != NONE), end)
    }

    #[inline]
    fn chain(&self, row: &Row, address: usize) -> Chain<'_> {
        Chain {
            buckets: &self.buckets,
            next: row.get(address),
        }
    }

    /// Where an entry stands: its bucket, and the place in it.
    fn spot(&self, row: &Row, address: usize, entry: u32) -> Option<(u32, usize)> {
        self.chain(row, address).find_map(|(number, bucket)| {
            let place = bucket.entries.iter().position(|other| *other == entry);
            place.map(|place| (number, place))
        })
    }

    /// The last bucket of a chain.
    fn last(&self, row: &Row, address: usize) -> Option<u32> {
        self.chain(row, address).last().map(|(number, _)| number)
    }

    fn push(&mut self, row: &mut Row, address: usize, entry: u32, tag: u8) {
        let last = self.last(row, address);
        if let Some(last) = last {
            let bucket = self.buckets.at_mut(last);
            let place = bucket.len();
            if place < PLACES {
                (bucket.entries[place], bucket.tags[place]) = (entry, tag);
                return;
            }
        }
        let number = self.buckets.push(Bucket::of(entry, tag));
        match last {
            Some(last) => self.buckets.at_mut(last).next = number,
            None => *row.at_mut(address) = number,
        }
    }

    /// Fills a spot with the last entry of its chain, so that only the last bucket has
    /// free places.
    fn take(
        &mut self,
        rows: &mut impl Rows,
        at: At,
        (bucket, place): (u32, usize),
        home_of: &impl Fn(u32) -> Home,
    ) {
        let Some(last) = self.last(rows.row(at.0), at.1) else {
            return;
        };
        let end = self.buckets.at_mut(last);
        let last_place = end.len() - 1;
        let moved = (end.entries[last_place], end.tags[last_place]);
        end.entries[last_place] = NONE;
        if (bucket, place) != (last, last_place) {
            let hole = self.buckets.at_mut(bucket);
            (hole.entries[place], hole.tags[place]) = moved;
        }
        if last_place == 0 {
            self.free(rows, at, last, home_of);
        }
    }

    /// Frees the last bucket of a chain; the last one of all gets its number.
    fn free(&mut self, rows: &mut impl Rows, at: At, number: u32, home_of: &impl Fn(u32) -> Home) {
        self.relink(rows, at, number, NONE);
        let Some(was) = self.buckets.swap_remove(number) else {
            return;
        };
        let home = home_of(self.buckets.at(number).entries[0]);
        let address = address(rows.row(home.container), home.hash);
        self.relink(rows, (home.container, address), was, number);
    }

    /// What leads to a bucket leads to another one now.
    fn relink(&mut self, rows: &mut impl Rows, at: At, from: u32, to: u32) {
        let first = rows.row_mut(at.0).at_mut(at.1);
        if *first == from {
            *first = to;
            return;
        }
        let mut before = *first;
        while before != NONE {
            let link = &mut self.buckets.at_mut(before).next;
            if *link == from {
                *link = to;
                return;
            }
            before = *link;
        }
    }

    /// Adds an address, and gives it its half of another's entries.
    fn split(&mut self, rows: &mut impl Rows, container: u32, home_of: &impl Fn(u32) -> Home) {
        let row = rows.row(container);
        let number = row.len();
        let level = number.ilog2();
        let source = number - (1 << level);
        let mut next = row.get(source);
        let (upper, lower): (Vec<_>, Vec<_>) = self
            .entries(row, source)
            .into_iter()
            .partition(|(entry, _)| home_of(*entry).hash >> level & 1 == 1);
        let keep = lower.len().div_ceil(PLACES);
        let mut lower = lower.into_iter();
        for _ in 0..keep {
            let Some(number) = next else { break };
            let bucket = self.buckets.at_mut(number);
            bucket.fill(&mut lower);
            next = (bucket.next != NONE).then_some(bucket.next);
        }
        self.trim(rows, (container, source), keep, home_of);
        let row = rows.row_mut(container);
        self.change(row, Row::push);
        for (entry, tag) in upper {
            self.push(row, number, entry, tag);
        }
    }

    /// Gives the last address's entries back to the one they came from, and drops it.
    fn merge(&mut self, rows: &mut impl Rows, container: u32, home_of: &impl Fn(u32) -> Home) {
        let row = rows.row(container);
        let number = row.len() - 1;
        let entries = self.entries(row, number);
        self.trim(rows, (container, number), 0, home_of);
        let row = rows.row_mut(container);
        self.change(row, Row::pop);
        let target = number - (1 << number.ilog2());
        for (entry, tag) in entries {
            self.push(row, target, entry, tag);
        }
    }

    /// Frees all buckets of a chain but the first ones. What is in them still belongs to
    /// the chain, or is nowhere: it must not be in another bucket yet.
    fn trim(&mut self, rows: &mut impl Rows, at: At, keep: usize, home_of: &impl Fn(u32) -> Home) {
        for _ in keep..self.chain(rows.row(at.0), at.1).count() {
            if let Some(last) = self.last(rows.row(at.0), at.1) {
                self.free(rows, at, last, home_of);
            }
        }
    }

    /// All entries of an address, with their tags.
    fn entries(&self, row: &Row, address: usize) -> Vec<(u32, u8)> {
        let mut entries = Vec::with_capacity(2 * PLACES);
        for (_, bucket) in self.chain(row, address) {
            entries.extend(bucket.iter());
        }
        entries
    }

    fn change(&mut self, row: &mut Row, change: impl FnOnce(&mut Row)) {
        let before = row.bytes();
        change(row);
        self.row_bytes = self.row_bytes + row.bytes() - before;
    }
}

/// An address of a container.
type At = (u32, usize);

/// The address for a hash.
#[inline]
fn address(row: &Row, hash: u64) -> usize {
    let count = row.len();
    let level = count.max(1).ilog2();
    let low = hash as usize & ((2 << level) - 1);
    if low < count {
        low
    } else {
        low & ((1 << level) - 1)
    }
}

/// How many bits of a hash lead to an address of so many.
fn bits(count: usize, address: usize) -> u32 {
    let count = count.max(1);
    let level = count.ilog2();
    let is_split = address + (1 << level) < count || address >= 1 << level;
    level + u32::from(is_split)
}

fn tag(hash: u64) -> u8 {
    (hash >> 56) as u8
}
