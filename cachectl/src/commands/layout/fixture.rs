//! A drain of n3 for tests.

use std::time::Duration;

use cached_client::admin::{Operation, PairProgress};
use cached_client::operations::{MoveCounts, OperationKind, OperationState};

/// n3 has moved 630 of 1,000 slots, to n1 and n4; n4 has trouble.
pub(super) fn drain() -> Operation {
    let moved = |slots, keys| MoveCounts {
        slots,
        keys,
        bytes: keys * 100,
        ..MoveCounts::default()
    };
    let pair = |to: &str, done, left| PairProgress {
        from: "n3".to_owned(),
        to: to.to_owned(),
        moved: moved(done, done * 10),
        slots_left: left,
        ..PairProgress::default()
    };
    let mut slow = pair("n4", 130, 270);
    slow.tries = 1;
    slow.last_error = "deadline exceeded on n4".to_owned();
    slow.next_try_in = Duration::from_secs(2);
    Operation {
        id: "op-7f3a90c1".to_owned(),
        kind: OperationKind::Drain,
        state: OperationState::Running,
        nodes: vec!["n3".to_owned()],
        base_layout: 57,
        layout: 58,
        by: "alice@host".to_owned(),
        message: "disk swap".to_owned(),
        requested_at_ms: 1_000,
        started_at_ms: 2_000,
        finished_at_ms: 0,
        deadline_at_ms: 0,
        max_rate_bytes: 0,
        shed: false,
        cancelling: false,
        reason: String::new(),
        merged: Vec::new(),
        moved: moved(630, 6_300),
        slots_left: 370,
        keys_left: 3_700,
        bytes_left: 370_000,
        bytes_per_second: 42 << 20,
        eta: Some(Duration::from_secs(83)),
        pairs: vec![pair("n1", 500, 100), slow],
        unanswered: Vec::new(),
    }
}
