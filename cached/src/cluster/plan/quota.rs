//! How many slots each member should own.

use std::cmp::Reverse;

use cached_proto::types::SLOTS;

/// A member's share of so many slots: whole slots, and the rest in parts of the sum
/// of weights. `total` is above 0.
pub(in crate::cluster) fn fair_share(slots: u32, weight: u32, total: u64) -> (u32, u64) {
    let parts = u64::from(slots) * u64::from(weight);
    // At most all of them, because no weight is above the sum of all.
    ((parts / total) as u32, parts % total)
}

/// What a member that is given nothing more keeps: what it owns, up to its share of all
/// slots rounded down.
pub(in crate::cluster) fn closed_share(owned: u32, weight: u32, total: u64) -> u32 {
    owned.min(fair_share(u32::from(SLOTS), weight, total).0)
}

/// Every member's share rounded down or up, so that the sum is exactly all slots.
/// Rounded up are first those that own more than their share rounded down, for
/// each of them then gives one slot less away; then those with the largest
/// remainder; then by position. All zero when all weights are.
///
/// Members that are `closed` keep what they own, up to their share rounded down; the
/// others share the rest in the same way. Nobody is closed when nobody else has a weight.
pub(in crate::cluster) fn quotas(weights: &[u32], owned: &[u32], closed: &[bool]) -> Vec<u32> {
    let all = total(weights.iter());
    if all == 0 {
        return vec![0; weights.len()];
    }
    let others = weights.iter().zip(closed).filter(|(_, closed)| !**closed);
    let open = total(others.map(|(weight, _)| weight));
    let (open, is_closed) = match open {
        0 => (all, vec![false; weights.len()]),
        open => (open, closed.to_vec()),
    };
    let kept = |i: usize| is_closed[i].then(|| closed_share(owned[i], weights[i], all));
    let rest = u32::from(SLOTS) - (0..weights.len()).filter_map(kept).sum::<u32>();
    let share = |i: usize| match kept(i) {
        Some(kept) => (kept, 0),
        None => fair_share(rest, weights[i], open),
    };
    let shares: Vec<_> = (0..weights.len()).map(share).collect();
    let mut quotas: Vec<u32> = shares.iter().map(|share| share.0).collect();
    let missing = u32::from(SLOTS) - quotas.iter().sum::<u32>();

    let mut rounded: Vec<usize> = (0..shares.len()).filter(|i| shares[*i].1 > 0).collect();
    rounded.sort_by_key(|i| (Reverse(owned[*i] > shares[*i].0), Reverse(shares[*i].1), *i));
    for i in rounded.into_iter().take(missing as usize) {
        quotas[i] += 1;
    }
    quotas
}

fn total<'a>(weights: impl Iterator<Item = &'a u32>) -> u64 {
    weights.map(|weight| u64::from(*weight)).sum()
}

#[cfg(test)]
mod tests {
    fn quotas(weights: &[u32], owned: &[u32]) -> Vec<u32> {
        super::quotas(weights, owned, &vec![false; weights.len()])
    }

    /// R47: weights, what each owns, who is closed, and what each shall own.
    #[test]
    fn closed_members_are_given_nothing_and_the_others_share_the_rest() {
        type Case = ([u32; 4], [u32; 4], [bool; 4], [u32; 4], &'static str);
        let (o, x) = (false, true);
        let cases: [Case; 7] = [
            (
                [0, 1, 1, 0],
                [5462, 5461, 5461, 0],
                [o, x, o, o],
                [0, 5461, 10_923, 0],
                "a drain whose second receiver takes nothing",
            ),
            (
                [1, 1, 1, 1],
                [5462, 5461, 5461, 0],
                [o, o, o, x],
                [5462, 5461, 5461, 0],
                "a newcomer that takes nothing: all stays as it is",
            ),
            (
                [1, 1, 1, 1],
                [5061, 5161, 5162, 1000],
                [o, o, o, x],
                [5128, 5128, 5128, 1000],
                "one that stopped taking half-way keeps what it has",
            ),
            (
                [1, 1, 1, 1],
                [1000, 9384, 3000, 3000],
                [o, x, o, o],
                [4096, 4096, 4096, 4096],
                "above its share it gives away all the same",
            ),
            (
                [0, 1, 1, 0],
                [5462, 5461, 5461, 0],
                [o, x, x, o],
                [0, 8192, 8192, 0],
                "nobody else: nobody is left out",
            ),
            (
                [0, 1, 2, 1],
                [9000, 2000, 4000, 1384],
                [o, o, x, x],
                [0, 11_000, 4000, 1384],
                "two that take nothing",
            ),
            ([0; 4], [1; 4], [o, x, o, o], [0; 4], "no weights"),
        ];
        for (weights, owned, closed, expected, what) in cases {
            assert_eq!(super::quotas(&weights, &owned, &closed), expected, "{what}");
        }
    }

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
