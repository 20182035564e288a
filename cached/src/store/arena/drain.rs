//! Drains segments: cells in use are moved elsewhere, one by one, until the segment can
//! be given back to the system. The owner of the cells moves them, because it alone
//! knows who holds their handles.

use super::{Arena, DEAD, FLAGS_AT, FREE, GRANULES_AT, STRIDE_LOG2};
use super::{WAITS, u32_at};

/// Free cells may be such a part of all, and two segments more; then a segment is
/// drained. Less would mean to copy much for little.
const FREE_PART: u64 = 32;

/// A segment that is drained, from its beginning on.
#[derive(Debug)]
pub(super) struct Drain {
    pub(super) segment: u32,
    /// The granule at which the next cell begins.
    at: u32,
}

/// What stands next in the segment that is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// This cell has to be moved, and freed.
    Used(u32),
    /// A free cell, which is done with.
    Free,
    /// The segment is empty and gone.
    Done,
}

impl Arena {
    /// Goes on to the next cell of the segment that is drained, or has to be; `None`:
    /// there is no need. The caller moves the cell that is answered and frees it before
    /// the next call; `granules` tells how long a cell in use is.
    pub(crate) fn drain(&mut self, granules: impl FnOnce(&Self, u32) -> u32) -> Option<Drained> {
        if self.drain.is_none() {
            self.drain = self.emptiest().map(|segment| Drain { segment, at: 0 });
            let drained = self.drain.as_ref().map(|drain| drain.segment);
            self.head = self.head.filter(|head| Some(*head) != drained);
        }
        let drain = self.drain.as_ref()?;
        let number = drain.segment;
        if drain.at >= self.segments[number as usize].filled {
            self.release(number);
            return Some(Drained::Done);
        }
        let cell = (number << STRIDE_LOG2) + drain.at;
        let flags = self.cell(cell)[FLAGS_AT];
        let (drained, granules) = if flags & FREE == FREE {
            let granules = u32_at(self.cell(cell), GRANULES_AT);
            if flags == WAITS {
                self.unlist(cell, granules);
                self.cell_mut(cell)[FLAGS_AT] = DEAD;
            }
            (Drained::Free, granules)
        } else {
            (Drained::Used(cell), granules(self, cell))
        };
        if let Some(drain) = &mut self.drain {
            drain.at += granules;
        }
        Some(drained)
    }

    /// Whether more cells are free than may be.
    pub(crate) fn has_too_many_free(&self) -> bool {
        self.drain.is_some() || self.free_bytes() > self.free_bytes_allowed()
    }

    /// Bytes of free cells that nobody minds.
    pub(crate) fn free_bytes_allowed(&self) -> u64 {
        (self.used_bytes() + self.free_bytes()) / FREE_PART + 2 * self.segment_bytes() as u64
    }

    /// The segment that is worth it most, if there are too many free cells: the more are
    /// free, and the larger a part of it, the better. The one that is being filled may be
    /// it, too.
    fn emptiest(&self) -> Option<u32> {
        if !self.has_too_many_free() {
            return None;
        }
        let worth = |number: &u32| {
            let segment = &self.segments[*number as usize];
            u64::from(segment.free).pow(2) / u64::from(segment.filled.max(1))
        };
        let numbers = 0..self.segments.len() as u32;
        numbers.max_by_key(worth).filter(|number| worth(number) > 0)
    }

    fn release(&mut self, number: u32) {
        let gone = std::mem::take(&mut self.segments[number as usize]);
        debug_assert_eq!(gone.filled, gone.free, "all cells were moved");
        self.free -= u64::from(gone.free);
        self.released.push(gone);
        self.vacant.push(number);
        self.drain = None;
    }
}
