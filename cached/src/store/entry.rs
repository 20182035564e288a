//! How an entry stands in its cell. Numbers are little-endian; what most entries do not
//! need takes no room.
//!
//! ```text
//!  0 newer 4 · older 4      neighbours in its group's order of eviction
//!  8 stamp 7                when it was last used
//! 15 flags 1                which of the following there is
//! 16 container 2            its container's number in the shard
//! 18 seq 4                  lower half of its version
//! 22 key length 1–3 · value length 1–5
//!    seq, upper part 4      WIDE_SEQ
//!    group 2                GROUP: not group 0
//!    deadline 6 · due 4+4   DUE: with its neighbours in the due queue
//!    number 4               LARGE: the value stands elsewhere
//!    key · value
//! ```

use cached_proto::types::Ttl;

use super::GroupId;
use super::arena::{FLAGS_AT, GRANULE, NONE, rounded, u32_at};
use crate::clock::WallMs;

/// When an entry's time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline(u64);

impl Deadline {
    /// For entries without a time to live.
    pub(crate) const NEVER: Self = Self((1 << 48) - 1);

    /// The last time that can be told from never: in the year 10889.
    const LAST_MS: u64 = Self::NEVER.0 - 1;

    /// So long after now.
    pub(crate) fn after(now: WallMs, ttl: Option<Ttl>) -> Self {
        Self::at(ttl.map(|ttl| WallMs(now.0.saturating_add(ttl.as_ms()))))
    }

    /// Whether the time is over.
    pub(crate) fn has_passed(self, now: WallMs) -> bool {
        self != Self::NEVER && self.0 <= now.0
    }

    /// Unix time in milliseconds, if it ever comes.
    pub(crate) fn wall_ms(self) -> Option<u64> {
        (self != Self::NEVER).then_some(self.0)
    }

    /// At this time, if ever.
    pub(crate) fn at(wall: Option<WallMs>) -> Self {
        wall.map_or(Self::NEVER, |wall| Self(wall.0.min(Self::LAST_MS)))
    }

    /// Milliseconds left, if it ever comes.
    pub(crate) fn left_ms(self, now: WallMs) -> Option<u64> {
        self.wall_ms().map(|at| at.saturating_sub(now.0))
    }
}

/// In place of a neighbour in the due queue: the entry is not in there.
pub(crate) const NOT_QUEUED: u32 = NONE - 1;

/// The largest stamp that fits.
pub(crate) const STAMP_MAX: u64 = (1 << 56) - 1;

const STAMP_AT: usize = 8;
const CONTAINER_AT: usize = 16;
const SEQ_AT: usize = 18;
const LENGTHS_AT: usize = 22;

/// In which list of its order it is, 0 for none; 3 marks a free cell.
const LIST: u8 = 0b11;
const VALUE: u8 = 1 << 2;
const GROUP: u8 = 1 << 3;
const DUE: u8 = 1 << 4;
const LARGE: u8 = 1 << 5;
const WIDE_SEQ: u8 = 1 << 6;

/// What an entry says beside its key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body<'a> {
    /// The origin said that there is nothing under this key.
    Absent,
    /// A value that stands in the entry.
    Value(&'a [u8]),
    /// A value of this length that stands elsewhere, under a number.
    Large { number: u32, bytes: usize },
}

impl Body<'_> {
    fn bytes(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Value(value) => value.len(),
            Self::Large { bytes, .. } => *bytes,
        }
    }
}

/// An entry that is to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) container: u16,
    pub(crate) group: GroupId,
    pub(crate) key: &'a [u8],
    pub(crate) body: Body<'a>,
    pub(crate) seq: u64,
    pub(crate) deadline: Deadline,
    pub(crate) stamp: u64,
}

impl Draft<'_> {
    fn flags(&self) -> u8 {
        let flag = |flag, is_set| if is_set { flag } else { 0 };
        flag(VALUE, !matches!(self.body, Body::Absent))
            | flag(GROUP, self.group != GroupId(0))
            | flag(DUE, self.deadline != Deadline::NEVER)
            | flag(LARGE, matches!(self.body, Body::Large { .. }))
            | flag(WIDE_SEQ, self.seq > u64::from(u32::MAX))
    }

    /// Size of the cell that it needs.
    pub(crate) fn granules(&self) -> u32 {
        let lengths = length_bytes(self.key.len()) + length_bytes(self.body.bytes());
        let options = options_bytes(self.flags());
        let inline = match self.body {
            Body::Value(value) => value.len(),
            Body::Absent | Body::Large { .. } => 0,
        };
        granules(LENGTHS_AT + lengths + options + self.key.len() + inline)
    }

    /// Writes it into a cell, in no order and not in the due queue.
    pub(crate) fn write(&self, cell: &mut [u8]) {
        let flags = self.flags();
        put(cell, 0, &NONE.to_le_bytes());
        put(cell, 4, &NONE.to_le_bytes());
        put(cell, STAMP_AT, &self.stamp.to_le_bytes());
        cell[FLAGS_AT] = flags;
        put(cell, CONTAINER_AT, &self.container.to_le_bytes());
        put(cell, SEQ_AT, &(self.seq as u32).to_le_bytes());
        let mut at = put_length(cell, LENGTHS_AT, self.key.len());
        at = put_length(cell, at, self.body.bytes());
        if flags & WIDE_SEQ != 0 {
            at = put(cell, at, &((self.seq >> 32) as u32).to_le_bytes());
        }
        if flags & GROUP != 0 {
            at = put(cell, at, &self.group.0.to_le_bytes());
        }
        if flags & DUE != 0 {
            at = put(cell, at, &self.deadline.0.to_le_bytes()[..6]);
            at = put(cell, at, &NOT_QUEUED.to_le_bytes());
            at = put(cell, at, &NOT_QUEUED.to_le_bytes());
        }
        if let Body::Large { number, .. } = self.body {
            at = put(cell, at, &number.to_le_bytes());
        }
        at = put(cell, at, self.key);
        if let Body::Value(value) = self.body {
            put(cell, at, value);
        }
    }
}

/// An entry as it stands in its cell.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    cell: &'a [u8],
    flags: u8,
    key_bytes: usize,
    value_bytes: usize,
    /// Where the optional parts begin, and where the key does.
    options_at: usize,
    key_at: usize,
}

impl<'a> Entry<'a> {
    /// The one in a cell that is in use.
    #[inline]
    pub(crate) fn read(cell: &'a [u8]) -> Self {
        let flags = cell[FLAGS_AT];
        let (key_bytes, at) = length(cell, LENGTHS_AT);
        let (value_bytes, options_at) = length(cell, at);
        Self {
            cell,
            flags,
            key_bytes,
            value_bytes,
            options_at,
            key_at: options_at + options_bytes(flags),
        }
    }

    /// The key.
    #[inline]
    pub(crate) fn key(&self) -> &'a [u8] {
        &self.cell[self.key_at..self.key_at + self.key_bytes]
    }

    /// The key, and what else there is.
    pub(crate) fn body(&self) -> Body<'a> {
        if !self.is_key() {
            return Body::Absent;
        }
        if self.flags & LARGE != 0 {
            let number = u32_at(self.cell, self.key_at - 4);
            let bytes = self.value_bytes;
            return Body::Large { number, bytes };
        }
        let at = self.key_at + self.key_bytes;
        Body::Value(&self.cell[at..at + self.value_bytes])
    }

    /// Length of the value.
    pub(crate) fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// Whether it is an entry to the outside, and not only a note of absence.
    pub(crate) fn is_key(&self) -> bool {
        self.flags & VALUE != 0
    }

    /// Its group.
    #[inline]
    pub(crate) fn group(&self) -> GroupId {
        if self.flags & GROUP == 0 {
            return GroupId(0);
        }
        let at = self.options_at + options_bytes(self.flags & WIDE_SEQ);
        GroupId(u16::from_le_bytes([self.cell[at], self.cell[at + 1]]))
    }

    /// Its container's number in the shard.
    pub(crate) fn container(&self) -> u16 {
        u16::from_le_bytes([self.cell[CONTAINER_AT], self.cell[CONTAINER_AT + 1]])
    }

    /// Lower half of the version; the upper is the container's.
    pub(crate) fn seq(&self) -> u64 {
        let low = u64::from(u32_at(self.cell, SEQ_AT));
        if self.flags & WIDE_SEQ == 0 {
            return low;
        }
        low | u64::from(u32_at(self.cell, self.options_at)) << 32
    }

    /// When it was last used; see [`Stamps`](super::eviction::Stamps).
    pub(crate) fn stamp(&self) -> u64 {
        stamp(self.cell)
    }

    /// When its time is over.
    #[inline]
    pub(crate) fn deadline(&self) -> Deadline {
        self.due_at().map_or(Deadline::NEVER, |at| {
            Deadline(u64_at(self.cell, at) & Deadline::NEVER.0)
        })
    }

    /// Where its deadline stands, if it has room for one.
    pub(crate) fn due_at(&self) -> Option<usize> {
        let before = self.flags & (WIDE_SEQ | GROUP);
        (self.flags & DUE != 0).then(|| self.options_at + options_bytes(before))
    }

    /// Size of its cell.
    pub(crate) fn granules(&self) -> u32 {
        let is_large = self.flags & LARGE != 0;
        let inline = if is_large { 0 } else { self.value_bytes };
        granules(self.key_at + self.key_bytes + inline)
    }

    /// What it costs.
    pub(crate) fn charge(&self) -> u64 {
        charge(self.key_bytes, self.value_bytes)
    }
}

/// When the entry in a cell was last used.
#[inline]
pub(crate) fn stamp(cell: &[u8]) -> u64 {
    // The eighth byte holds the flags.
    u64_at(cell, STAMP_AT) & STAMP_MAX
}

/// In which list of its order of eviction the entry in a cell is; 0: in none.
#[inline]
pub(crate) fn list(cell: &[u8]) -> u8 {
    cell[FLAGS_AT] & LIST
}

/// About how many of these bytes are an entry's, which may be gone: whatever they are,
/// this is some number. Exact for a short key and a value below 16 KiB.
#[inline]
pub(crate) fn likely_bytes(cell: &[u8]) -> usize {
    let Some([key, low, high]) = cell.get(LENGTHS_AT..).and_then(<[u8]>::first_chunk) else {
        return 0;
    };
    let flags = cell[FLAGS_AT];
    let value = match (flags & LARGE, *low) {
        (LARGE, _) => 0,
        (_, ..0x80) => usize::from(*low) + 1,
        _ => (usize::from(*low & 0x7f) | usize::from(*high) << 7) + 2,
    };
    LENGTHS_AT + 1 + options_bytes(flags) + usize::from(*key) + value
}

/// Notes when an entry was last used.
#[inline]
pub(crate) fn set_stamp(cell: &mut [u8], stamp: u64) {
    put(cell, STAMP_AT, &stamp.to_le_bytes()[..7]);
}

/// Notes in which list of its order an entry is: 0, 1 or 2.
pub(crate) fn set_list(cell: &mut [u8], list: u8) {
    cell[FLAGS_AT] = cell[FLAGS_AT] & !LIST | list & LIST;
}

/// Writes a deadline where an entry has room for one.
pub(crate) fn set_deadline(cell: &mut [u8], due_at: usize, deadline: Deadline) {
    put(cell, due_at, &deadline.0.to_le_bytes()[..6]);
}

/// Bytes that an entry costs beside its key and value, in round figures: 24 for what
/// stands before the key, 2 for rounding, 8 for its part of the container's table, and
/// 2 for free cells. One with a time to live takes 14 more, and a group another than the
/// first 2, which the store does not count; see [`Store::set_overhead`](super::Store).
pub(crate) const OVERHEAD_BYTES: u64 = 36;

/// What an entry with so long a key and value costs, in bytes.
pub(crate) fn charge(key_bytes: usize, value_bytes: usize) -> u64 {
    OVERHEAD_BYTES + key_bytes as u64 + value_bytes as u64
}

fn granules(bytes: usize) -> u32 {
    rounded(bytes.div_ceil(GRANULE) as u32)
}

/// Bytes of the optional parts that these flags say there are.
#[inline]
fn options_bytes(flags: u8) -> usize {
    let part = |flag, bytes| if flags & flag == 0 { 0 } else { bytes };
    part(WIDE_SEQ, 4) + part(GROUP, 2) + part(DUE, 14) + part(LARGE, 4)
}

#[inline]
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// Writes bytes at a place; answers the place behind them.
#[inline]
fn put(cell: &mut [u8], at: usize, bytes: &[u8]) -> usize {
    cell[at..at + bytes.len()].copy_from_slice(bytes);
    at + bytes.len()
}

/// Reads a length, 7 bits in each byte, the lowest first; answers the place behind it.
#[inline]
fn length(cell: &[u8], at: usize) -> (usize, usize) {
    let first = cell[at];
    if first < 0x80 {
        return (usize::from(first), at + 1);
    }
    let (mut length, mut at, mut shift) = (usize::from(first & 0x7f), at + 1, 7);
    loop {
        let byte = cell[at];
        length |= usize::from(byte & 0x7f) << shift;
        (at, shift) = (at + 1, shift + 7);
        if byte < 0x80 {
            return (length, at);
        }
    }
}

fn put_length(cell: &mut [u8], mut at: usize, mut length: usize) -> usize {
    while length >= 0x80 {
        cell[at] = length as u8 | 0x80;
        length >>= 7;
        at += 1;
    }
    cell[at] = length as u8;
    at + 1
}

/// Bytes that a length takes.
fn length_bytes(length: usize) -> usize {
    (length.max(1).ilog2() / 7 + 1) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_length() -> impl Strategy<Value = usize> {
        prop_oneof![0..3_usize, 126..130_usize, 16_382..16_386_usize]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            (key_bytes, value_bytes) in (any_length(), any_length()),
            kind in 0..3_u8,
            numbers in (any::<u16>(), 0..3_u16, any::<u32>()),
            seq in prop_oneof![0..3_u64, any::<u64>()],
            deadline in prop::option::of(prop_oneof![0..3_u64, any::<u64>()]),
            stamp in 0..=STAMP_MAX,
        ) {
            let (key, value) = (vec![1; key_bytes], vec![2; value_bytes]);
            let body = match kind {
                0 => Body::Absent,
                1 => Body::Value(&value),
                _ => Body::Large { number: numbers.2, bytes: value_bytes },
            };
            let deadline = Deadline::at(deadline.map(WallMs));
            let (container, group) = (numbers.0, GroupId(numbers.1));
            let draft = Draft { container, group, key: &key, body, seq, deadline, stamp };
            let granules = draft.granules();
            let mut cell = vec![0xff; granules as usize * GRANULE];
            draft.write(&mut cell);
            let entry = Entry::read(&cell);
            prop_assert_eq!(entry.granules(), granules);
            if key_bytes < 128 && value_bytes < 16 << 10 {
                let end = likely_bytes(&[&cell[..], &[0; 4]].concat());
                prop_assert!(cell.len().abs_diff(end) <= cell.len() / 32 + GRANULE);
            }
            prop_assert_eq!(entry.key(), &key);
            prop_assert_eq!(format!("{:?}", entry.body()), format!("{body:?}"));
            prop_assert_eq!((entry.container(), entry.group()), (container, group));
            prop_assert_eq!((entry.seq(), entry.stamp()), (seq, stamp));
            prop_assert_eq!((entry.deadline(), list(&cell)), (deadline, 0));
            set_list(&mut cell, 2);
            set_stamp(&mut cell, stamp / 2);
            if let Some(at) = Entry::read(&cell).due_at() {
                set_deadline(&mut cell, at, Deadline::NEVER);
            }
            let entry = Entry::read(&cell);
            prop_assert_eq!((entry.stamp(), list(&cell)), (stamp / 2, 2));
            prop_assert_eq!((entry.deadline(), entry.seq()), (Deadline::NEVER, seq));
        }
    }

    #[test]
    fn what_is_no_entry_has_some_length() {
        for fill in 0..=u8::MAX {
            for bytes in 0..64 {
                assert!(likely_bytes(&vec![fill; bytes]) < 40_000);
            }
        }
    }

    #[test]
    fn an_entry_takes_little_beside_key_and_value() {
        for (value_bytes, expected) in [(32, 25), (200, 25), (0, 25), (1_000, 45)] {
            let value = vec![0; value_bytes];
            let draft = Draft {
                container: 1,
                group: GroupId(0),
                key: b"key:1234567",
                body: Body::Value(&value),
                seq: 1,
                deadline: Deadline::NEVER,
                stamp: 1,
            };
            let bytes = draft.granules() as usize * GRANULE;
            assert_eq!(bytes - 11 - value_bytes, expected, "{value_bytes}");
        }
    }
}
