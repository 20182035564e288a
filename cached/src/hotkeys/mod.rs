//! Which keys are asked for most: always known, because some of all operations are looked
//! at as they are carried out.
//!
//! Reading order: `ranking` (pure: the hottest keys by one measure), `sketch` (pure: of
//! every group), `pace` (pure: how many operations are looked at), and [`HotKeys`], which
//! the router tells of every operation. Most of them cost one step of a counter of their
//! thread; a thousandth of a processor goes into the rest.

mod pace;
mod ranking;
mod sketch;

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::store::GroupId;
use pace::Pace;
use ranking::{Amount, Touch};
use sketch::Sketch;

pub use ranking::By;
pub use sketch::HotKey;

/// Longest window that can be asked for.
pub const WINDOW_MAX: Duration = Duration::from_secs(300);

thread_local! {
    /// Operations until the next that is looked at.
    static LEFT: Cell<u32> = const { Cell::new(0) };
    /// For how many operations it stands then.
    static STANDS_FOR: Cell<u32> = const { Cell::new(1) };
    /// Where the next distance comes from: chance, so that no rhythm of the callers hides
    /// a key.
    static CHANCE: Cell<u64> = const { Cell::new(0x9E37_79B9_7F4A_7C15) };
}

/// The hottest keys of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct Hottest {
    /// How long the window was: about what was asked for, or since the start.
    pub window: Duration,
    /// All operations in it, about.
    pub ops: u64,
    /// Bytes of keys and values that they read or wrote, about.
    pub bytes: u64,
    /// Hottest first.
    pub keys: Vec<HotKey>,
}

/// Keeps the hottest keys of this node.
#[derive(Debug)]
pub struct HotKeys {
    clock: Clock,
    hash: RandomState,
    /// Held for some hundred nanoseconds by those who look, and never waited for by them.
    looked: Mutex<Looked>,
}

#[derive(Debug)]
struct Looked {
    pace: Pace,
    sketch: Sketch,
}

impl HotKeys {
    /// Nothing was asked for yet.
    pub fn new(clock: Clock) -> Self {
        let sketch = Sketch::new(clock.now());
        let looked = Looked {
            pace: Pace::new(),
            sketch,
        };
        Self {
            clock,
            hash: RandomState::new(),
            looked: Mutex::new(looked),
        }
    }

    /// An operation on a key was carried out here. `value_bytes`: length of the value that
    /// it read or wrote, if it did.
    #[inline]
    pub fn touch(&self, group: GroupId, key: &[u8], value_bytes: Option<usize>) {
        LEFT.with(|left| match left.get() {
            0 => self.look(group, key, value_bytes),
            n => left.set(n - 1),
        });
    }

    #[cold]
    fn look(&self, group: GroupId, key: &[u8], value_bytes: Option<usize>) {
        // Somebody else looks: this thread's next operation will do as well.
        let Some(mut looked) = self.looked.try_lock() else {
            return;
        };
        let now = self.clock.now();
        looked.sketch.advance(now);
        looked.pace.advance(now.as_micros() / 1_000_000);
        let stands_for = u64::from(STANDS_FOR.get());
        let value_bytes = value_bytes.map(|bytes| bytes as u64);
        let bytes = key.len() as u64 + value_bytes.unwrap_or_default();
        let touch = Touch {
            hash: self.hash.hash_one(key),
            key,
            value_bytes,
            amount: Amount {
                ops: stands_for,
                bytes: bytes * stands_for,
            },
        };
        looked.sketch.touch(group, &touch);
        looked.pace.look();
        let every = looked.pace.every();
        drop(looked);
        STANDS_FOR.set(every);
        LEFT.set(distance(every) - 1);
    }

    /// The hottest keys of a window that ends now; `group`: only of this one. The window
    /// is at most five minutes, and ends up to ten seconds longer than asked for.
    pub fn hottest(&self, window: Duration, by: By, group: Option<GroupId>, top: usize) -> Hottest {
        let now = self.clock.now();
        let micros = u64::try_from(window.min(WINDOW_MAX).as_micros()).unwrap_or(u64::MAX);
        let mut looked = self.looked.lock();
        looked.sketch.advance(now);
        looked.sketch.hottest((micros, top), by, group, now)
    }
}

/// A random distance from 1 to 2 × `every` − 1, which is `every` on average.
fn distance(every: u32) -> u32 {
    if every <= 1 {
        return 1;
    }
    let mut x = CHANCE.get();
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    CHANCE.set(x);
    let span = u64::from(every) * 2 - 1;
    (1 + (x >> 32) * span / (1 << 32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_right_on_average() {
        for every in [1_u32, 2, 3, 64, 1 << 16] {
            let sum: u64 = (0..20_000).map(|_| u64::from(distance(every))).sum();
            let mean = sum as f64 / 20_000.0;
            let off = (mean / f64::from(every) - 1.0).abs();
            assert!(off < 0.05, "{every}: {mean}");
        }
    }

    #[test]
    fn shares_are_right_whatever_part_is_looked_at() {
        let hot = HotKeys::new(Clock::system());
        let rounds = 400_000_u32;
        for round in 0..rounds {
            hot.touch(GroupId(0), b"hot", Some(1_000));
            hot.touch(GroupId(0), format!("cold-{round}").as_bytes(), None);
            if round % 4 == 0 {
                hot.touch(GroupId(1), b"warm", Some(10));
            }
        }
        let told = hot.hottest(Duration::from_secs(60), By::Ops, None, 10);
        let share = told.keys[0].ops as f64 / told.ops as f64;
        assert_eq!(&*told.keys[0].key, b"hot");
        assert!((share - 1.0 / 2.25).abs() < 0.05, "{share}");
        let off = told.ops as f64 / (f64::from(rounds) * 2.25) - 1.0;
        assert!(off.abs() < 0.1, "{off}");
        let warm = hot.hottest(Duration::from_secs(60), By::Ops, Some(GroupId(1)), 10);
        assert_eq!(warm.keys.len(), 1);
    }
}
