//! Entries for tests of orders: nothing but what an order sees of them.

use super::{Linked, Links, NONE, Ordered};

#[derive(Clone, Copy)]
struct Cell {
    links: Links,
    list: u8,
    stamp: u64,
    charge: u64,
}

/// Entries by handle.
#[derive(Default)]
pub(crate) struct Cells(Vec<Cell>);

impl Cells {
    /// Adds an entry that is in no list.
    pub(crate) fn add(&mut self, stamp: u64, charge: u64) -> u32 {
        let links = Links {
            newer: NONE,
            older: NONE,
        };
        self.push(Cell {
            links,
            list: 0,
            stamp,
            charge,
        })
    }

    /// Puts an entry at another handle.
    pub(crate) fn copy(&mut self, from: u32) -> u32 {
        self.push(self.0[from as usize])
    }

    /// Changes what an entry costs.
    pub(crate) fn set_charge(&mut self, entry: u32, charge: u64) {
        self.0[entry as usize].charge = charge;
    }

    /// Handles that were given out.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn push(&mut self, cell: Cell) -> u32 {
        self.0.push(cell);
        self.0.len() as u32 - 1
    }
}

impl Linked for Cells {
    fn links(&self, entry: u32) -> Links {
        self.0[entry as usize].links
    }

    fn set_newer(&mut self, entry: u32, newer: u32) {
        self.0[entry as usize].links.newer = newer;
    }

    fn set_older(&mut self, entry: u32, older: u32) {
        self.0[entry as usize].links.older = older;
    }
}

impl Ordered for Cells {
    fn list(&self, entry: u32) -> u8 {
        self.0[entry as usize].list
    }

    fn set_list(&mut self, entry: u32, list: u8) {
        self.0[entry as usize].list = list;
    }

    fn stamp(&self, entry: u32) -> u64 {
        self.0[entry as usize].stamp
    }

    fn set_stamp(&mut self, entry: u32, stamp: u64) {
        self.0[entry as usize].stamp = stamp;
    }

    fn charge(&self, entry: u32) -> u64 {
        self.0[entry as usize].charge
    }
}
