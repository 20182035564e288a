//! How many slots each member should own.

use std::cmp::Reverse;

use cached_proto::types::SLOTS;

/// A member's share of all slots: whole slots, and the rest in parts of the sum
/// of weights. `total` is above 0.
pub(in crate::cluster) fn fair_share(weight: u32, total: u64) -> (u32, u64) {
    let parts = u64::from(SLOTS) * u64::from(weight);
    // At most SLOTS, because no weight is above the sum of all.
    ((parts / total) as u32, parts % total)
}

/// Every member's share rounded down or up, so that the sum is exactly all slots.
/// Rounded up are first those that own more than their share rounded down, for
/// each of them then gives one slot less away; then those with the largest
/// remainder; then by position. All zero when all weights are.
pub(in crate::cluster) fn quotas(weights: &[u32], owned: &[u32]) -> Vec<u32> {
    let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
    if total == 0 {
        return vec![0; weights.len()];
    }
    let shares: Vec<_> = weights
        .iter()
        .map(|weight| fair_share(*weight, total))
        .collect();
    let mut quotas: Vec<u32> = shares.iter().map(|share| share.0).collect();
    let missing = u32::from(SLOTS) - quotas.iter().sum::<u32>();

    let mut rounded: Vec<usize> = (0..shares.len()).filter(|i| shares[*i].1 > 0).collect();
    rounded.sort_by_key(|i| (Reverse(owned[*i] > shares[*i].0), Reverse(shares[*i].1), *i));
    for i in rounded.into_iter().take(missing as usize) {
        quotas[i] += 1;
    }
    quotas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_rounded_to_the_exact_sum() {
        assert_eq!(quotas(&[1, 1, 1], &[0; 3]), [5462, 5461, 5461]);
        assert_eq!(
            quotas(&[1, 1, 1], &[5461, 5461, 5462]),
            [5461, 5461, 5462],
            "who has more"
        );
        assert_eq!(
            quotas(&[1, 2, 4], &[0; 3]),
            [2341, 4681, 9362],
            "the largest remainder"
        );
        assert_eq!(
            quotas(&[1, 3], &[9000, 0]),
            [4096, 12288],
            "nothing to round"
        );
        assert_eq!(quotas(&[0, 7, 0], &[0; 3]), [0, 16384, 0]);
        assert_eq!(quotas(&[0, 0], &[0; 2]), [0, 0]);
        assert_eq!(quotas(&[u32::MAX; 2], &[0; 2]), [8192, 8192]);
    }
}
