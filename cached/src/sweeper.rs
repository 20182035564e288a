//! Removes entries whose time is over, also where nobody asks for them.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::store::Store;
use crate::tasks::Stop;

/// Entries per call: some milliseconds of work, after which the task lets other
/// tasks of its thread run.
const BUDGET: usize = 10_000;

/// Pause when nothing more is due: with the second that the due queue is coarse by,
/// an entry outlives its time by less than two.
const PAUSE_IDLE: Duration = Duration::from_millis(500);

/// Pause while more is due: half the time for others, however much expires at once.
const PAUSE_BUSY: Duration = Duration::from_millis(5);

/// Sweeps until told to stop.
pub async fn run(store: Arc<Store>, clock: Clock, stop: Stop) {
    while !stop.is_stopped() {
        let removed = store.sweep(clock.wall(), BUDGET);
        tokio::select! {
            biased;
            () = stop.stopped() => {}
            () = clock.sleep(pause_after(removed)) => {}
        }
    }
}

fn pause_after(removed: usize) -> Duration {
    if removed < BUDGET {
        PAUSE_IDLE
    } else {
        PAUSE_BUSY
    }
}

#[cfg(test)]
mod tests {
    use cached_proto::operation::{Condition, Operation};
    use cached_proto::types::{Epoch, GroupName, Key, Slot, Ttl};

    use super::*;
    use crate::clock::WallMs;
    use crate::store::{GroupSettings, StoreConfig};
    use crate::tasks::Tasks;

    #[test]
    fn it_hurries_while_more_is_due() {
        assert_eq!(pause_after(0), PAUSE_IDLE);
        assert_eq!(pause_after(BUDGET - 1), PAUSE_IDLE);
        assert_eq!(pause_after(BUDGET), PAUSE_BUSY);
    }

    #[tokio::test]
    async fn it_sweeps_and_ends() {
        let store = Arc::new(Store::new(StoreConfig {
            shards: 2,
            memory_bytes: 1 << 20,
        }));
        let slot = Slot::new(3).unwrap();
        store.open_slot(slot, Epoch(1));
        let group = store.set_group(&GroupName::new("g").unwrap(), GroupSettings::default());
        let set = Operation::Set {
            key: Key::new("k").unwrap(),
            value: "v".into(),
            ttl: Some(Ttl::from_ms(1).unwrap()),
            condition: Condition::Always,
        };
        store.execute(slot, group, &set, WallMs(1_000)).unwrap();
        assert!(store.used_bytes() > 0);

        let tasks = Tasks::new();
        let (swept, clock) = (store.clone(), Clock::tokio(1_000_000));
        tasks.spawn("sweeper", |stop| run(swept, clock, stop));
        tokio::task::yield_now().await;
        assert_eq!(store.used_bytes(), 0, "the first sweep is at once");
        assert_eq!(tasks.stop_within(Duration::from_secs(10)).await, []);
    }
}
