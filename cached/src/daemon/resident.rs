//! Keeps the process within `--memory`: looks at what the system counts for it, and
//! tells the store how much of that is not entries.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::operator::resident_bytes;
use crate::store::Store;
use crate::tasks::Stop;

/// Pause between two looks, where there is room.
const PAUSE: Duration = Duration::from_millis(100);

/// The same near the bound: at 1 GB written in a second, 25 MB more or less, of which the
/// store counts nearly everything itself.
const PAUSE_WHEN_FULL: Duration = Duration::from_millis(25);

/// Near the bound is who has such a part of it left.
const ROOM_PART: u64 = 8;

/// Bytes by which the store is told more in one go, so that a runtime's thread is not
/// kept by evictions for long.
const STEP_BYTES: u64 = 1 << 20;

/// A smaller bound is one for entries only: the process without entries takes as much.
const BOUND_BYTES_MIN: u64 = 64 << 20;

/// What the store is told next: it gives way fast, and comes back slowly, because freed
/// memory takes a while to leave the process.
fn next(told: u64, found: u64) -> u64 {
    if found > told {
        told + (found - told).div_ceil(2)
    } else {
        told - (told - found) / 8
    }
}

/// Looks until told to stop. For a process that is one node and nothing else.
pub(super) async fn watch(store: Arc<Store>, clock: Clock, stop: Stop) {
    while !stop.is_stopped() {
        look(&store).await;
        tokio::select! {
            biased;
            () = stop.stopped() => {}
            () = clock.sleep(pause(store.free_bytes(), store.memory_bytes())) => {}
        }
    }
}

fn pause(free: u64, bound: u64) -> Duration {
    if free < bound / ROOM_PART {
        PAUSE_WHEN_FULL
    } else {
        PAUSE
    }
}

async fn look(store: &Store) {
    let resident = resident_bytes();
    if resident == 0 || store.memory_bytes() < BOUND_BYTES_MIN {
        // Nothing is known, or nothing can be kept.
        return store.set_overhead(0);
    }
    let memory = store.memory();
    let target = next(memory.overhead, memory.overhead_of(resident));
    let mut told = memory.overhead.min(target);
    while told < target {
        told = target.min(told + STEP_BYTES);
        store.set_overhead(told);
        tokio::task::yield_now().await;
    }
    store.set_overhead(target);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{MemoryParts, StoreConfig};

    #[test]
    fn it_gives_way_faster_than_it_comes_back() {
        assert_eq!((next(0, 100), next(100, 0), next(7, 7)), (50, 88, 7));
        let reached = |told, found| (0..200).fold(told, |told, _| next(told, found));
        assert_eq!(reached(0, 1_000), 1_000);
        assert!(reached(1_000, 0) < 8);
    }

    #[test]
    fn what_goes_back_by_itself_is_no_overhead() {
        let parts = MemoryParts {
            charged: 500,
            free: 80,
            free_allowed: 30,
            ..MemoryParts::default()
        };
        assert_eq!(parts.overhead_of(1_000), 450);
        assert_eq!(parts.overhead_of(100), 0);
    }

    #[test]
    fn it_looks_more_often_near_the_bound() {
        assert_eq!((pause(800, 800), pause(100, 800)), (PAUSE, PAUSE));
        assert_eq!(pause(99, 800), PAUSE_WHEN_FULL);
        assert_eq!(pause(0, 0), PAUSE, "nothing to keep");
    }

    #[tokio::test]
    async fn a_small_bound_is_for_entries_only() {
        let store = Store::new(StoreConfig {
            shards: 1,
            memory_bytes: 1 << 20,
        });
        look(&store).await;
        assert_eq!(store.free_bytes(), 1 << 20);
        store.set_memory_bytes(1 << 40);
        look(&store).await;
        assert!(
            store.memory().overhead > 0,
            "this process is more than its entries"
        );
    }
}
