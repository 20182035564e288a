//! Sheds the least recently used entries of some slots, until the rest fits: in short
//! steps and fixed memory, whatever there is.

use cached_proto::types::Slot;

use super::shard::CHUNK;
use super::{ContainerId, Store};

/// How often it begins anew at most: each time but the first is for what was written
/// meanwhile.
const ROUNDS: usize = 8;

/// Parts into which a span of ages is divided to find where to cut; then the part in
/// which the cut lies is divided again. An hour takes three times.
const PARTS: usize = 4096;

/// Sheds; each item is a step, and how many entries went with it, without notes of
/// absence.
#[derive(Debug)]
pub struct Shed<'a> {
    store: &'a Store,
    slots: &'a [(Slot, ContainerId)],
    keep_bytes: u64,
    rounds_left: usize,
    pass: Pass,
    /// The slot at which the pass is, and the position there.
    at: (usize, u64),
}

/// What is done with every entry, from the first slot to the last.
#[derive(Debug)]
enum Pass {
    /// Finds the oldest and the newest stamp, and the sum of bytes.
    Span {
        oldest: u64,
        newest: u64,
        bytes: u64,
    },
    /// Sums bytes up by age.
    Parts(Parts),
    /// Removes what was not used after this stamp.
    Remove(u64),
}

/// Bytes by age, from a stamp on.
#[derive(Debug)]
struct Parts {
    /// Everything older goes.
    from: u64,
    /// Stamps of a part.
    width: u64,
    /// Bytes that have to go of those counted here.
    excess: u64,
    bytes: Box<[u64]>,
}

impl Parts {
    fn new(from: u64, width: u64, excess: u64) -> Self {
        let bytes = vec![0; PARTS].into();
        Self {
            from,
            width,
            excess,
            bytes,
        }
    }

    fn count(&mut self, stamp: u64, bytes: u64) {
        let part = stamp.checked_sub(self.from).map(|age| age / self.width);
        if let Some(sum) = part.and_then(|part| self.bytes.get_mut(part as usize)) {
            *sum += bytes;
        }
    }

    /// What comes next: a closer look at the part in which the cut lies, or the cut.
    fn cut(self) -> Pass {
        let (mut part, mut excess) = (0, self.excess);
        while part + 1 < PARTS && self.bytes[part] < excess {
            excess -= self.bytes[part];
            part += 1;
        }
        let from = self.from + part as u64 * self.width;
        if self.width == 1 {
            return Pass::Remove(from);
        }
        Pass::Parts(Self::new(from, self.width.div_ceil(PARTS as u64), excess))
    }
}

impl Pass {
    const FIRST: Self = Self::Span {
        oldest: u64::MAX,
        newest: 0,
        bytes: 0,
    };
}

impl Store {
    /// Removes the least recently used entries of these slots until what is left is at most
    /// `keep_bytes`; answers how many entries went, without notes of absence. They are in no
    /// group's counters: the caller counts them. More may be left where writers are faster.
    pub fn shed(&self, slots: &[(Slot, ContainerId)], keep_bytes: u64) -> u64 {
        self.shed_in_steps(slots, keep_bytes).sum()
    }

    /// The same in short steps, each taken when it is asked for; each answers how many
    /// entries it removed. Between two of them a task lets others run.
    pub fn shed_in_steps<'a>(
        &'a self,
        slots: &'a [(Slot, ContainerId)],
        keep_bytes: u64,
    ) -> Shed<'a> {
        Shed {
            store: self,
            slots,
            keep_bytes,
            rounds_left: ROUNDS,
            pass: Pass::FIRST,
            at: (0, 0),
        }
    }
}

impl Iterator for Shed<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let Some((slot, container)) = self.slots.get(self.at.0) else {
            self.end_pass()?;
            return Some(0);
        };
        let shard = self.store.shard(*slot);
        let part = (self.at.1, CHUNK);
        let (removed, rest) = match &mut self.pass {
            Pass::Span {
                oldest,
                newest,
                bytes,
            } => {
                let rest = shard.lock().ages(*slot, *container, part, |stamp, charge| {
                    *oldest = stamp.min(*oldest);
                    *newest = stamp.max(*newest);
                    *bytes += charge;
                });
                (0, rest)
            }
            Pass::Parts(parts) => {
                let count = |stamp, charge| parts.count(stamp, charge);
                (0, shard.lock().ages(*slot, *container, part, count))
            }
            Pass::Remove(stamp) => shard.lock().shed(*slot, *container, part, *stamp),
        };
        self.at = match rest {
            Some(position) => (self.at.0, position),
            None => (self.at.0 + 1, 0),
        };
        Some(removed)
    }
}

impl Shed<'_> {
    /// Goes over to the next pass; `None`: there is nothing left to do.
    fn end_pass(&mut self) -> Option<()> {
        self.pass = match std::mem::replace(&mut self.pass, Pass::FIRST) {
            Pass::Span {
                oldest,
                newest,
                bytes,
            } => {
                let excess = bytes.checked_sub(self.keep_bytes);
                let excess = excess.filter(|excess| *excess > 0)?;
                let width = (newest - oldest) / PARTS as u64 + 1;
                Pass::Parts(Parts::new(oldest, width, excess))
            }
            Pass::Parts(parts) => parts.cut(),
            Pass::Remove(_) => {
                self.rounds_left = self.rounds_left.checked_sub(1)?;
                Pass::FIRST
            }
        };
        self.at = (0, 0);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The stamp up to which everything has to go.
    fn cut(entries: &[(u64, u64)], excess: u64) -> u64 {
        let span = |by: fn(u64, u64) -> u64| entries.iter().map(|(stamp, _)| *stamp).reduce(by);
        let (oldest, newest) = (span(u64::min).unwrap(), span(u64::max).unwrap());
        let mut pass = Pass::Parts(Parts::new(
            oldest,
            (newest - oldest) / PARTS as u64 + 1,
            excess,
        ));
        for _ in 0..6 {
            match pass {
                Pass::Parts(mut parts) => {
                    let mut each = entries.iter();
                    each.by_ref()
                        .for_each(|(stamp, bytes)| parts.count(*stamp, *bytes));
                    pass = parts.cut();
                }
                Pass::Remove(stamp) => return stamp,
                Pass::Span { .. } => unreachable!("that came before"),
            }
        }
        unreachable!("five passes tell 56 bits")
    }

    proptest! {
        #[test]
        fn the_cut_is_where_a_sorted_list_has_it(
            entries in prop::collection::vec((0..1_u64 << 56, 1..500_u64), 1..60),
            near in any::<bool>(),
            part in 0..=1_000_u64,
        ) {
            let mut entries = entries;
            if near {
                entries.iter_mut().for_each(|(stamp, _)| *stamp %= 7);
            }
            let total: u64 = entries.iter().map(|(_, bytes)| bytes).sum();
            let excess = (total * part / 1_000).max(1);
            let found = cut(&entries, excess);
            entries.sort_unstable();
            let mut sum = 0;
            let expected = entries.iter().find(|(_, bytes)| {
                sum += bytes;
                sum >= excess
            });
            prop_assert_eq!(Some(found), expected.map(|(stamp, _)| *stamp));
        }
    }
}
