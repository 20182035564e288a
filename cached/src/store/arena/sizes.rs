//! Sizes of cells: exact up to 256 bytes, then 32 for each doubling, so that rounding
//! wastes 1.6 % on average and a freed cell soon finds an entry of its size.

/// Sizes below this many granules are exact; log2.
const EXACT_LOG2: u32 = 5;

/// How many sizes there are: up to the largest that a handle's segment can hold.
pub(super) const COUNT: usize =
    (super::STRIDE_LOG2 as usize - EXACT_LOG2 as usize + 2) << EXACT_LOG2;

/// The size of a cell for so many granules.
pub(crate) fn rounded(granules: u32) -> u32 {
    granules.next_multiple_of(step(granules))
}

/// The number of a size, which is [`rounded`].
pub(super) fn class(granules: u32) -> usize {
    let doublings = granules.max(1).ilog2().saturating_sub(EXACT_LOG2);
    ((doublings << EXACT_LOG2) + (granules >> doublings)) as usize
}

fn step(granules: u32) -> u32 {
    1 << granules.max(1).ilog2().saturating_sub(EXACT_LOG2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_a_number_of_its_own() {
        let largest = 1 << crate::store::arena::STRIDE_LOG2;
        let mut last = (0, 0);
        for granules in 1..=largest {
            let size = rounded(granules);
            assert!(size >= granules && size - granules <= granules / 32);
            assert_eq!(rounded(size), size);
            let next = (size, class(size));
            assert_eq!(next.0 == last.0, next.1 == last.1, "{granules}");
            assert!(next >= last && next.1 < COUNT, "{granules}");
            last = next;
        }
    }
}
