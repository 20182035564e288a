//! Memory of one shard's entries: cells of whole granules in segments that are mapped
//! from the system and given back to it. A cell is named by a handle of 4 bytes. What
//! stands in a cell is `entry`'s business, except that a free one is marked as such.
//!
//! A cell that is freed waits in the list of its size and is used for the next entry of
//! that size. Where too many wait, the segment with the most of them is drained: see
//! `drain`.

mod drain;
mod sizes;
#[cfg(test)]
mod tests;

use std::alloc::{Layout, handle_alloc_error};

use memmap2::MmapMut;

pub(crate) use drain::Drained;
pub(crate) use sizes::rounded;

/// In place of a cell's handle: there is none. No cell has it, because the shortest one
/// is longer than the last granule of the last segment.
pub(crate) const NONE: u32 = u32::MAX;

/// Bytes of a granule: cells begin and end with one. Handles count granules, so a shard
/// holds up to 16 GiB of entries (64 KiB values and more stand elsewhere); rounding
/// costs 1.5 bytes per entry.
pub(crate) const GRANULE: usize = 4;

/// Where the byte stands that says whether a cell is free: `entry` keeps its flags there.
pub(crate) const FLAGS_AT: usize = 15;

/// The flags of a cell that is free and waits in a list.
const WAITS: u8 = 0b111;

/// The flags of a cell that is free and waits nowhere, because its segment is drained.
const DEAD: u8 = 0b011;

/// The bits that both have set, and a cell in use has not.
const FREE: u8 = 0b011;

/// Where a free cell keeps its number of granules; its list's links stand before.
const GRANULES_AT: usize = 16;

/// log2 of the granules by which the handles of two segments are apart: 1 MiB.
const STRIDE_LOG2: u32 = 18;

/// Sizes of segments: small ones, so that a shard with few entries is small; none larger,
/// so that a segment is drained soon.
const SEGMENT_BYTES_MIN: usize = 16 << 10;
const SEGMENT_BYTES_MAX: usize = GRANULE << STRIDE_LOG2;

/// A new segment is at most such a part of what there is: then a segment that is hardly
/// filled, and one that is just drained, weigh little.
const SEGMENT_PART: usize = 128;

/// Pages of the system; segments take whole ones.
const PAGE_BYTES: usize = 4096;

/// Segments of a shard that may hold entries before it has to evict.
const SEGMENTS_MAX: usize = (1 << (32 - STRIDE_LOG2)) - 1024;

/// A piece of memory that is filled from its beginning.
#[derive(Debug, Default)]
struct Segment {
    /// Zeroes when it comes; the system gives pages when they are written. `None`: the
    /// number is vacant.
    memory: Option<MmapMut>,
    /// Granules that belong to cells.
    filled: u32,
    /// Those of them that belong to free cells.
    free: u32,
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        self.memory.as_deref().unwrap_or_default()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.as_deref_mut().unwrap_or_default()
    }

    fn room(&self) -> u32 {
        (self.bytes().len() / GRANULE) as u32 - self.filled
    }
}

/// Segments that are empty, to be given back to the system.
#[derive(Debug, Default)]
pub(crate) struct Released(#[expect(dead_code, reason = "dropped")] Vec<Segment>);

/// The cells of one shard.
#[derive(Debug)]
pub(crate) struct Arena {
    segments: Vec<Segment>,
    /// Numbers of segments that have no memory.
    vacant: Vec<u32>,
    /// The segment that is being filled.
    head: Option<u32>,
    /// First free cell of each size.
    lists: Box<[u32]>,
    /// Granules of cells in use, and of free ones.
    used: u64,
    free: u64,
    /// The segment that is drained.
    drain: Option<drain::Drain>,
    released: Vec<Segment>,
}

impl Default for Arena {
    fn default() -> Self {
        Self {
            segments: Vec::new(),
            vacant: Vec::new(),
            head: None,
            lists: vec![NONE; sizes::COUNT].into(),
            used: 0,
            free: 0,
            drain: None,
            released: Vec::new(),
        }
    }
}

impl Arena {
    /// The bytes of a cell, and what follows it in its segment.
    #[inline]
    pub(crate) fn cell(&self, cell: u32) -> &[u8] {
        &self.segments[segment_of(cell)].bytes()[offset_of(cell)..]
    }

    /// The same of a handle that may be good no more, or none.
    pub(crate) fn find(&self, cell: u32) -> Option<&[u8]> {
        let segment = self.segments.get(segment_of(cell))?;
        segment.bytes().get(offset_of(cell)..)
    }

    /// The same, to be changed.
    #[inline]
    pub(crate) fn cell_mut(&mut self, cell: u32) -> &mut [u8] {
        &mut self.segments[segment_of(cell)].bytes_mut()[offset_of(cell)..]
    }

    /// Takes a cell of so many granules, which are [`rounded`], into use.
    pub(crate) fn allocate(&mut self, granules: u32) -> u32 {
        let cell = self.reuse(granules);
        let cell = cell.unwrap_or_else(|| self.append(granules));
        self.used += u64::from(granules);
        cell
    }

    /// Frees a cell of so many granules.
    pub(crate) fn free(&mut self, cell: u32, granules: u32) {
        self.segments[segment_of(cell)].free += granules;
        self.used -= u64::from(granules);
        self.free += u64::from(granules);
        if self.is_drained(cell) {
            self.mark(cell, DEAD, granules);
        } else {
            self.mark(cell, WAITS, granules);
            self.enlist(cell, granules);
        }
    }

    /// Copies a cell of so many granules over another of the same size.
    pub(crate) fn copy(&mut self, from: u32, to: u32, granules: u32) {
        let bytes = granules as usize * GRANULE;
        let (source, target) = (offset_of(from), offset_of(to));
        let segments = [segment_of(from), segment_of(to)];
        if let Ok([one, other]) = self.segments.get_disjoint_mut(segments) {
            let copied = &one.bytes()[source..source + bytes];
            other.bytes_mut()[target..target + bytes].copy_from_slice(copied);
        } else {
            let memory = self.segments[segments[0]].bytes_mut();
            memory.copy_within(source..source + bytes, target);
        }
    }

    /// Segments that became empty since this was last called.
    #[inline]
    pub(crate) fn take_released(&mut self) -> Released {
        Released(std::mem::take(&mut self.released))
    }

    /// Bytes of cells in use.
    pub(crate) fn used_bytes(&self) -> u64 {
        self.used * GRANULE as u64
    }

    /// Bytes of free cells.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.free * GRANULE as u64
    }

    /// Whether handles become scarce, so that entries have to go whatever bounds say.
    pub(crate) fn is_crowded(&self) -> bool {
        self.segments.len() - self.vacant.len() > SEGMENTS_MAX
    }

    fn reuse(&mut self, granules: u32) -> Option<u32> {
        loop {
            let cell = self.lists[sizes::class(granules)];
            if cell == NONE {
                return None;
            }
            self.unlist(cell, granules);
            if self.is_drained(cell) {
                self.mark(cell, DEAD, granules);
                continue;
            }
            self.segments[segment_of(cell)].free -= granules;
            self.free -= u64::from(granules);
            return Some(cell);
        }
    }

    fn append(&mut self, granules: u32) -> u32 {
        let head = self.head.filter(|head| {
            let segment = &self.segments[*head as usize];
            segment.room() >= granules
        });
        let head = head.unwrap_or_else(|| self.add_segment(granules));
        let segment = &mut self.segments[head as usize];
        let cell = (head << STRIDE_LOG2) + segment.filled;
        segment.filled += granules;
        cell
    }

    /// A new head with room for so many granules.
    fn add_segment(&mut self, granules: u32) -> u32 {
        let bytes = self.segment_bytes();
        let bytes = bytes.max((granules as usize * GRANULE).next_multiple_of(PAGE_BYTES));
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.segments.push(Segment::default());
            self.segments.len() as u32 - 1
        });
        assert!(
            number < 1 << (32 - STRIDE_LOG2),
            "who fills it looks whether it is crowded"
        );
        let memory = MmapMut::map_anon(bytes).unwrap_or_else(|_| {
            let layout = Layout::array::<u8>(bytes);
            handle_alloc_error(layout.unwrap_or(Layout::new::<Segment>()))
        });
        self.segments[number as usize] = Segment {
            memory: Some(memory),
            filled: 0,
            free: 0,
        };
        self.head = Some(number);
        number
    }

    /// Size of a segment that is added now.
    fn segment_bytes(&self) -> usize {
        let bytes = (self.used + self.free) as usize * GRANULE / SEGMENT_PART;
        let bytes = 1 << bytes.max(1).ilog2();
        usize::clamp(bytes, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)
    }

    fn is_drained(&self, cell: u32) -> bool {
        let drain = self.drain.as_ref();
        drain.is_some_and(|drain| drain.segment as usize == segment_of(cell))
    }

    // ---- lists of free cells

    fn mark(&mut self, cell: u32, flags: u8, granules: u32) {
        let bytes = self.cell_mut(cell);
        bytes[FLAGS_AT] = flags;
        bytes[GRANULES_AT..GRANULES_AT + 4].copy_from_slice(&granules.to_le_bytes());
    }

    fn enlist(&mut self, cell: u32, granules: u32) {
        let list = sizes::class(granules);
        let next = std::mem::replace(&mut self.lists[list], cell);
        self.set_link(cell, 0, NONE);
        self.set_link(cell, 4, next);
        if next != NONE {
            self.set_link(next, 0, cell);
        }
    }

    fn unlist(&mut self, cell: u32, granules: u32) {
        let (before, next) = (self.link(cell, 0), self.link(cell, 4));
        match before {
            NONE => self.lists[sizes::class(granules)] = next,
            before => self.set_link(before, 4, next),
        }
        if next != NONE {
            self.set_link(next, 0, before);
        }
    }

    fn link(&self, cell: u32, at: usize) -> u32 {
        u32_at(self.cell(cell), at)
    }

    fn set_link(&mut self, cell: u32, at: usize, link: u32) {
        self.cell_mut(cell)[at..at + 4].copy_from_slice(&link.to_le_bytes());
    }
}

#[inline]
fn segment_of(cell: u32) -> usize {
    (cell >> STRIDE_LOG2) as usize
}

#[inline]
fn offset_of(cell: u32) -> usize {
    (cell & ((1 << STRIDE_LOG2) - 1)) as usize * GRANULE
}

/// The number of 4 bytes at a place.
#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}
