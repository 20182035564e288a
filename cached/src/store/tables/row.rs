//! One table: which bucket stands at which of its addresses.

use crate::store::arena::NONE;

/// Addresses whose buckets are told in the row itself: as many as there is room for in
/// the line of the processor's cache where its container begins.
const NEAR: usize = 6;

/// Numbers of the buckets that come first at each address, [`NONE`] where nothing is.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Row {
    /// Entries of the table.
    pub(super) entries: u32,
    /// Its addresses.
    len: u32,
    near: [u32; NEAR],
    /// Grows by about an eighth.
    far: Box<[u32]>,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            entries: 0,
            len: 0,
            near: [NONE; NEAR],
            far: Box::default(),
        }
    }
}

impl Row {
    /// Bytes from its beginning on that are enough for a small table.
    #[cfg(test)]
    pub(crate) const NEAR_BYTES: usize = 8 + 4 * NEAR;

    /// Entries of the table.
    pub(crate) fn entries(&self) -> usize {
        self.entries as usize
    }

    /// How many addresses.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// The first bucket at an address.
    #[inline]
    pub(super) fn at(&self, address: usize) -> u32 {
        match address.checked_sub(NEAR) {
            None => self.near[address],
            Some(far) => self.far[far],
        }
    }

    #[inline]
    pub(super) fn at_mut(&mut self, address: usize) -> &mut u32 {
        match address.checked_sub(NEAR) {
            None => &mut self.near[address],
            Some(far) => &mut self.far[far],
        }
    }

    /// Adds an address where nothing is.
    pub(super) fn push(&mut self) {
        let far = (self.len() + 1).saturating_sub(NEAR);
        if far > self.far.len() {
            self.resize(far + far / 8 + 3);
        }
        self.len += 1;
        *self.at_mut(self.len() - 1) = NONE;
    }

    /// Drops the last address.
    pub(super) fn pop(&mut self) {
        self.len -= 1;
        let far = self.len().saturating_sub(NEAR);
        if self.far.len() > far + far / 4 + 8 {
            self.resize(far + far / 8);
        }
    }

    /// Bytes that are allocated beside it.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.far)
    }

    fn resize(&mut self, len: usize) {
        let mut far = std::mem::take(&mut self.far).into_vec();
        far.truncate(len);
        far.reserve_exact(len - far.len());
        far.resize(len, NONE);
        self.far = far.into_boxed_slice();
    }

    /// The bucket of an address, told without being looked at where the row ends.
    #[inline]
    pub(super) fn get(&self, address: usize) -> Option<u32> {
        let bucket = (address < self.len()).then(|| self.at(address));
        bucket.filter(|bucket| *bucket != NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_shrinks_with_its_addresses() {
        let mut row = Row::default();
        for address in 0..1_000 {
            row.push();
            assert_eq!(row.at(address), NONE);
            *row.at_mut(address) = address as u32;
            assert!(row.bytes() <= (address + address / 8 + 4) * 4);
        }
        assert!((0..1_000).all(|address| row.at(address) == address as u32));
        for left in (0..1_000).rev() {
            row.pop();
            assert_eq!((row.len(), row.get(left)), (left, None));
            assert!((0..left).all(|address| row.at(address) == address as u32));
            assert!(row.bytes() <= (left + left / 4 + 8) * 4);
        }
        assert!(row.bytes() <= 32);
    }
}
