//! Hot keys of every group of one node. Pure.

use super::Hottest;
use super::ranking::{Amount, By, Ranking, SLICES, Slices, Touch};
use crate::clock::Moment;
use crate::store::GroupId;

/// Length of a slice.
pub(super) const SLICE_MICROS: u64 = 10_000_000;

/// Groups whose keys are ranked at a time; of others only the sums are known. Some 5 MB.
const GROUPS_RANKED: usize = 32;

/// A key that is asked for often.
#[derive(Clone, Debug, PartialEq)]
pub struct HotKey {
    /// Its group.
    pub group: GroupId,
    /// The key, or its beginning.
    pub key: Box<[u8]>,
    /// The key is longer than that.
    pub cut: bool,
    /// Length of the value that was read or written last.
    pub value_bytes: u64,
    /// Operations in the window, about.
    pub ops: u64,
    /// Bytes of keys and values that they read or wrote, about.
    pub bytes: u64,
}

#[derive(Clone, Debug)]
struct OfGroup {
    group: GroupId,
    by_ops: Ranking,
    by_bytes: Ranking,
    all: Slices,
}

/// All groups.
#[derive(Clone, Debug)]
pub(super) struct Sketch {
    began: Moment,
    /// Slices since the clock's start.
    slice: u64,
    groups: Vec<OfGroup>,
    all: Slices,
}

impl Sketch {
    pub(super) fn new(now: Moment) -> Self {
        Self {
            began: now,
            slice: now.as_micros() / SLICE_MICROS,
            groups: Vec::new(),
            all: Slices::default(),
        }
    }

    fn index(&self) -> usize {
        (self.slice % SLICES as u64) as usize
    }

    /// Time has come to `now`: what is too old is forgotten.
    pub(super) fn advance(&mut self, now: Moment) {
        let slice = now.as_micros() / SLICE_MICROS;
        let passed = slice.saturating_sub(self.slice).min(SLICES as u64);
        self.slice = self.slice.max(slice);
        for back in (0..passed).rev() {
            let index = ((self.slice - back) % SLICES as u64) as usize;
            self.all.clear(index);
            for of in &mut self.groups {
                of.all.clear(index);
                of.by_ops.begin(index);
                of.by_bytes.begin(index);
            }
        }
        if passed > 0 {
            let index = self.index();
            self.groups
                .retain(|of| of.all.sum(index, SLICES) != Amount::default());
        }
    }

    pub(super) fn touch(&mut self, group: GroupId, touch: &Touch<'_>) {
        let index = self.index();
        self.all.add(index, touch.amount);
        let known = self.groups.iter().position(|of| of.group == group);
        let of = match known {
            Some(known) => &mut self.groups[known],
            None if self.groups.len() < GROUPS_RANKED => {
                self.groups.push(OfGroup {
                    group,
                    by_ops: Ranking::new(By::Ops),
                    by_bytes: Ranking::new(By::Bytes),
                    all: Slices::default(),
                });
                let last = self.groups.len() - 1;
                &mut self.groups[last]
            }
            None => return,
        };
        of.all.add(index, touch.amount);
        of.by_ops.touch(index, touch);
        of.by_bytes.touch(index, touch);
    }

    /// The hottest keys of a window that ends now and has about this length; `group`:
    /// only of this one.
    pub(super) fn hottest(
        &self,
        (window_micros, top): (u64, usize),
        by: By,
        group: Option<GroupId>,
        now: Moment,
    ) -> Hottest {
        let index = self.index();
        let whole = window_micros.div_ceil(SLICE_MICROS).min(SLICES as u64 - 1);
        let count = whole as usize + 1;
        let from = Moment::from_micros((self.slice.saturating_sub(whole)) * SLICE_MICROS);
        let mut keys = Vec::new();
        for of in &self.groups {
            if group.is_some_and(|group| group != of.group) {
                continue;
            }
            let ranking = match by {
                By::Ops => &of.by_ops,
                By::Bytes => &of.by_bytes,
            };
            keys.extend(ranking.places().iter().filter_map(|place| {
                let seen = place.seen.sum(index, count);
                (by.of(seen) > 0).then(|| HotKey {
                    group: of.group,
                    key: place.key.clone(),
                    cut: place.cut,
                    value_bytes: place.value_bytes,
                    ops: seen.ops,
                    bytes: seen.bytes,
                })
            }));
        }
        let heat = |key: &HotKey| match by {
            By::Ops => key.ops,
            By::Bytes => key.bytes,
        };
        keys.sort_by(|a, b| heat(b).cmp(&heat(a)).then_with(|| a.key.cmp(&b.key)));
        keys.truncate(top);
        let all = self.all.sum(index, count);
        Hottest {
            window: now.since(from.max(self.began)),
            ops: all.ops,
            bytes: all.bytes,
            keys,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Moment {
        Moment::from_micros(secs * 1_000_000)
    }

    fn touch(sketch: &mut Sketch, group: u16, key: &[u8], ops: u64) {
        let touch = Touch {
            hash: xxhash_rust::xxh3::xxh3_64(key),
            key,
            value_bytes: Some(7),
            amount: Amount {
                ops,
                bytes: 10 * ops,
            },
        };
        sketch.touch(GroupId(group), &touch);
    }

    #[test]
    fn groups_are_told_apart_and_share_one_sum() {
        let mut sketch = Sketch::new(at(0));
        touch(&mut sketch, 0, b"k", 5);
        touch(&mut sketch, 1, b"k", 7);
        let all = sketch.hottest((60_000_000, 9), By::Ops, None, at(4));
        assert_eq!((all.ops, all.bytes, all.window.as_secs()), (12, 120, 4));
        let heat: Vec<_> = all.keys.iter().map(|key| (key.group.0, key.ops)).collect();
        assert_eq!(heat, [(1, 7), (0, 5)]);
        let one = sketch.hottest((60_000_000, 9), By::Bytes, Some(GroupId(0)), at(4));
        assert_eq!(one.keys.len(), 1);
        assert_eq!((one.keys[0].bytes, one.keys[0].value_bytes), (50, 7));
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut sketch = Sketch::new(at(0));
        touch(&mut sketch, 0, b"old", 9);
        sketch.advance(at(100));
        touch(&mut sketch, 0, b"new", 1);
        let names = |told: &Hottest| told.keys.iter().map(|k| k.key.to_vec()).collect::<Vec<_>>();
        let short = sketch.hottest((30_000_000, 9), By::Ops, None, at(105));
        assert_eq!(names(&short), [b"new".to_vec()]);
        assert_eq!(
            short.window.as_secs(),
            35,
            "three whole slices and half of one"
        );
        let long = sketch.hottest((300_000_000, 9), By::Ops, None, at(105));
        assert_eq!(names(&long), [b"old".to_vec(), b"new".to_vec()]);
        sketch.advance(at(5_000));
        assert!(sketch.groups.is_empty());
        assert_eq!(
            sketch
                .hottest((300_000_000, 9), By::Ops, None, at(5_000))
                .ops,
            0
        );
    }

    #[test]
    fn groups_beyond_the_bound_count_in_the_sum_alone() {
        let mut sketch = Sketch::new(at(0));
        for group in 0..100 {
            touch(&mut sketch, group, b"k", 1);
        }
        let all = sketch.hottest((60_000_000, 200), By::Ops, None, at(1));
        assert_eq!((all.ops, all.keys.len()), (100, GROUPS_RANKED));
    }
}
