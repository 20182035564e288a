//! The entries of one shard: cells of an arena, and beside it the values that are too
//! large for one. Everything here goes by an entry's handle.

use bytes::Bytes;
use slab::Slab;

use super::arena::{Arena, Drained, GRANULE, NONE, Released, u32_at as link};
use super::entry::{self, Body, Deadline, Draft, Entry, NOT_QUEUED};
use super::eviction::{Linked, Links, Ordered};

/// Values from this length on stand beside the arena: reading one is not a copy, and
/// segments stay well filled.
pub(crate) const LARGE_BYTES_MIN: usize = 32 * 1024;

/// Values up to this length are copied when they are stored. They arrive as slices of
/// the buffer that their connection was read into (at most about 400 KiB in hyper),
/// and a slice keeps the whole buffer; longer ones have a buffer of their own.
const COPIED_BYTES_MAX: usize = 512 * 1024;

/// The entries.
#[derive(Debug, Default)]
pub(crate) struct Entries {
    arena: Arena,
    large: Slab<Bytes>,
    /// Sum of their lengths.
    large_bytes: u64,
    /// Entries that were freed since [`Entries::take_freed`].
    freed: usize,
}

/// What a new entry is to hold, beside what its [`Draft`] says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// Bytes that are copied, however many.
    Copied(&'a [u8]),
    /// Bytes that are copied unless they are [many](COPIED_BYTES_MAX).
    Shared(&'a Bytes),
}

impl<'a> Value<'a> {
    /// The bytes.
    pub(crate) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl Entries {
    /// Memory that is not needed any more since this was last called.
    #[inline]
    pub(super) fn take_released(&mut self) -> Released {
        self.arena.take_released()
    }

    /// An entry.
    #[inline]
    pub(crate) fn get(&self, entry: u32) -> Entry<'_> {
        Entry::read(self.arena.cell(entry))
    }

    /// Stores a new entry, in no order and not in the due queue. The draft's body is
    /// that of the value.
    pub(crate) fn insert(&mut self, draft: Draft<'_>, value: Option<Value<'_>>) -> u32 {
        let body = self.body(value);
        let draft = Draft { body, ..draft };
        let entry = self.arena.allocate(draft.granules());
        draft.write(self.arena.cell_mut(entry));
        entry
    }

    /// Puts another entry in one's place, and leaves it in its order and its stamp with
    /// it; it must not be in the due queue. Answers its handle: if that is another, the caller tells everybody.
    pub(crate) fn rewrite(
        &mut self,
        entry: u32,
        draft: Draft<'_>,
        value: Option<Value<'_>>,
    ) -> u32 {
        if let Body::Large { number, bytes } = self.get(entry).body() {
            self.large.remove(number as usize);
            self.large_bytes -= bytes as u64;
        }
        let body = self.body(value);
        self.write_over(entry, &Draft { body, ..draft })
    }

    /// Changes when an entry's time is over; it must not be in the due queue. Answers its
    /// handle, as [`Entries::rewrite`] does: most have no room for a deadline at first.
    pub(crate) fn set_deadline(&mut self, entry: u32, deadline: Deadline) -> u32 {
        let there = self.get(entry);
        if let Some(at) = there.due_at() {
            entry::set_deadline(self.arena.cell_mut(entry), at, deadline);
            return entry;
        }
        if deadline == Deadline::NEVER {
            return entry;
        }
        let key = there.key().to_vec();
        let value;
        let body = match there.body() {
            Body::Value(bytes) => {
                value = bytes.to_vec();
                Body::Value(&value)
            }
            Body::Large { number, bytes } => Body::Large { number, bytes },
            Body::Absent => Body::Absent,
        };
        let draft = Draft {
            container: there.container(),
            group: there.group(),
            key: &key,
            body,
            seq: there.seq(),
            deadline,
            stamp: there.stamp(),
        };
        self.write_over(entry, &draft)
    }

    /// Frees an entry, which stands nowhere any more.
    pub(crate) fn remove(&mut self, entry: u32) {
        let there = self.get(entry);
        let granules = there.granules();
        if let Body::Large { number, bytes } = there.body() {
            self.large.remove(number as usize);
            self.large_bytes -= bytes as u64;
            if self.large.is_empty() {
                self.large = Slab::new();
            }
        }
        self.arena.free(entry, granules);
        self.freed += 1;
    }

    /// The value; `None`: known to be absent.
    pub(crate) fn value(&self, entry: u32) -> Option<Bytes> {
        match self.get(entry).body() {
            Body::Absent => None,
            Body::Value(value) => Some(Bytes::copy_from_slice(value)),
            Body::Large { number, .. } => Some(self.large[number as usize].clone()),
        }
    }

    /// The value where it stands; empty where it is known to be absent.
    pub(crate) fn value_ref(&self, entry: u32) -> &[u8] {
        match self.get(entry).body() {
            Body::Absent => &[],
            Body::Value(value) => value,
            Body::Large { number, .. } => &self.large[number as usize],
        }
    }

    /// A copy of the key.
    pub(crate) fn key_bytes(&self, entry: u32) -> Bytes {
        Bytes::copy_from_slice(self.get(entry).key())
    }

    /// Notes that an entry is not in the due queue.
    pub(crate) fn set_not_queued(&mut self, entry: u32) {
        Due(self).set_newer(entry, NOT_QUEUED);
    }

    /// Where an entry stands in the due queue, by its deadline; `None`: it does not.
    pub(crate) fn queued_ms(&self, entry: u32) -> Option<u64> {
        let there = self.get(entry);
        let due = there.due_at()?;
        let is_queued = link(self.arena.cell(entry), due + 6) != NOT_QUEUED;
        there.deadline().wall_ms().filter(|_| is_queued)
    }

    // ---- memory

    /// Moves the next entry, or frees the next free cell, of a segment that has too many
    /// free ones; `None`: there is none. Answers the entry's old and new handle.
    pub(crate) fn drain(&mut self) -> Option<Option<(u32, u32)>> {
        let granules = |arena: &Arena, cell| Entry::read(arena.cell(cell)).granules();
        match self.arena.drain(granules)? {
            Drained::Used(from) => {
                let granules = granules(&self.arena, from);
                let to = self.arena.allocate(granules);
                self.arena.copy(from, to, granules);
                Some(Some((from, to)))
            }
            Drained::Free | Drained::Done => Some(None),
        }
    }

    /// Bytes of an entry's cell.
    pub(crate) fn cell_bytes(&self, entry: u32) -> usize {
        self.get(entry).granules() as usize * GRANULE
    }

    /// Frees the cell of an entry that was moved, when everybody knows.
    pub(crate) fn end_move(&mut self, from: u32) {
        let granules = self.get(from).granules();
        self.arena.free(from, granules);
    }

    /// How many entries were freed since the last time.
    pub(crate) fn take_freed(&mut self) -> usize {
        std::mem::take(&mut self.freed)
    }

    /// The memory of small entries.
    pub(crate) fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Bytes of values beside the arena, with their places.
    pub(crate) fn large_bytes(&self) -> u64 {
        self.large_bytes + (self.large.capacity() * size_of::<(usize, Bytes)>()) as u64
    }

    fn body<'a>(&mut self, value: Option<Value<'a>>) -> Body<'a> {
        let Some(value) = value else {
            return Body::Absent;
        };
        let bytes = value.bytes().len();
        if bytes < LARGE_BYTES_MIN {
            return Body::Value(value.bytes());
        }
        self.large_bytes += bytes as u64;
        let value = match value {
            Value::Shared(value) if bytes > COPIED_BYTES_MAX => value.clone(),
            _ => Bytes::copy_from_slice(value.bytes()),
        };
        let number = self.large.insert(value) as u32;
        Body::Large { number, bytes }
    }

    fn write_over(&mut self, entry: u32, draft: &Draft<'_>) -> u32 {
        let before = self.get(entry).granules();
        let (links, list) = (self.links(entry), self.list(entry));
        let stamp = self.stamp(entry);
        let granules = draft.granules();
        let to = if granules == before {
            entry
        } else {
            self.arena.allocate(granules)
        };
        // Its cell will be.
        self.freed += usize::from(to != entry);
        draft.write(self.arena.cell_mut(to));
        self.set_newer(to, links.newer);
        self.set_older(to, links.older);
        self.set_list(to, list);
        self.set_stamp(to, stamp);
        to
    }
}

fn set_link(cell: &mut [u8], at: usize, link: u32) {
    cell[at..at + 4].copy_from_slice(&link.to_le_bytes());
}

impl Linked for Entries {
    #[inline]
    fn links(&self, entry: u32) -> Links {
        let cell = self.arena.cell(entry);
        Links {
            newer: link(cell, 0),
            older: link(cell, 4),
        }
    }

    #[inline]
    fn set_newer(&mut self, entry: u32, newer: u32) {
        set_link(self.arena.cell_mut(entry), 0, newer);
    }

    #[inline]
    fn set_older(&mut self, entry: u32, older: u32) {
        set_link(self.arena.cell_mut(entry), 4, older);
    }
}

impl Ordered for Entries {
    fn list(&self, entry: u32) -> u8 {
        entry::list(self.arena.cell(entry))
    }

    fn set_list(&mut self, entry: u32, list: u8) {
        entry::set_list(self.arena.cell_mut(entry), list);
    }

    fn stamp(&self, entry: u32) -> u64 {
        entry::stamp(self.arena.cell(entry))
    }

    fn set_stamp(&mut self, entry: u32, stamp: u64) {
        entry::set_stamp(self.arena.cell_mut(entry), stamp);
    }

    fn charge(&self, entry: u32) -> u64 {
        self.get(entry).charge()
    }
}

/// The entries as the due queue sees them. Those in it have room for a deadline.
#[derive(Debug)]
pub(crate) struct Due<'a>(pub(crate) &'a mut Entries);

impl Due<'_> {
    /// Changes a link; who has no deadline has none.
    fn set(&mut self, entry: u32, at: usize, to: u32) {
        if let Some(due) = self.0.get(entry).due_at() {
            set_link(self.0.arena.cell_mut(entry), due + at, to);
        }
    }
}

impl Linked for Due<'_> {
    fn links(&self, entry: u32) -> Links {
        let cell = self.0.arena.cell(entry);
        let links = self.0.get(entry).due_at().map(|due| Links {
            newer: link(cell, due + 6),
            older: link(cell, due + 10),
        });
        links.unwrap_or(Links {
            newer: NONE,
            older: NONE,
        })
    }

    fn set_newer(&mut self, entry: u32, newer: u32) {
        self.set(entry, 6, newer);
    }

    fn set_older(&mut self, entry: u32, older: u32) {
        self.set(entry, 10, older);
    }
}
