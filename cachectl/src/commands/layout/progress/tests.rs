//! The same progress in three shapes.

use super::super::fixture::drain;
use super::*;

#[test]
fn a_terminal_gets_a_bar_for_the_whole_and_one_for_each_pair() {
    let look = Look {
        width: 80,
        unicode: true,
    };
    assert_eq!(
        bars(&drain(), look),
        [
            " total  ████████████████▍░░░░░░░░░   63.0%  6.30k/10.0k keys  42.0 MiB/s  ETA 1m23s",
            " n3→n1  █████████████████████▋░░░░   83.3%  500/600 slots",
            " n3→n4  ████████▍░░░░░░░░░░░░░░░░░   32.5%  130/400 slots  1 retry: deadline exceeded on n4, next in 2s",
        ]
    );
    let plain = Look {
        width: 30,
        unicode: false,
    };
    assert_eq!(
        bars(&drain(), plain)[1],
        " n3>n1  [########..]   83.3%  500/600 slots"
    );
}

#[test]
fn pairs_that_are_done_and_too_many_are_left_out() {
    let mut operation = drain();
    operation.pairs[0].slots_left = 0;
    let look = Look {
        width: 80,
        unicode: true,
    };
    assert_eq!(bars(&operation, look).len(), 2);
    let pair = operation.pairs[1].clone();
    operation.pairs = vec![pair; 20];
    let lines = bars(&operation, look);
    assert_eq!((lines.len(), lines[13].as_str()), (14, " and 8 more"));
}

#[test]
fn a_pipe_gets_one_line_with_what_is_in_the_way() {
    assert_eq!(
        line(&drain()),
        "op-7f3a90c1 running  63.0%  630/1000 slots  6.30k/10.0k keys  42.0 MiB/s  ETA 1m23s  \
         n3→n4: 1 retry: deadline exceeded on n4, next in 2s"
    );
    let mut blocked = drain();
    blocked.state = OperationState::Paused;
    blocked.eta = None;
    blocked.unanswered = vec!["n3".to_owned()];
    blocked.pairs[1].tries = 0;
    blocked.pairs[1].blocked = "n4 is down".to_owned();
    blocked.pairs[1].blocked_for = Duration::from_secs(9);
    let mut failing = blocked.pairs[1].clone();
    (failing.tries, failing.last_error) = (3, failing.blocked.clone());
    assert_eq!(trouble(&failing), "3 retries in 9s: n4 is down, next in 2s");
    assert_eq!(
        line(&blocked),
        "op-7f3a90c1 paused  63.0%  630/1000 slots  6.30k/10.0k keys  42.0 MiB/s  paused  \
         no answer of n3  n3→n4: waits for 9s: n4 is down"
    );
}

#[test]
fn records_tell_changes_and_nothing_twice() {
    let mut told = Told::default();
    let mut operation = drain();
    let first = told.records(&operation, 8812, "2026-01-02T12:04:07Z");
    let pairs: Vec<_> = first
        .iter()
        .map(|it| (it["from"].as_str(), it["to"].as_str()))
        .collect();
    let n3 = Some("n3");
    assert_eq!(pairs, [(n3, Some("n1")), (n3, Some("n4")), (None, None)]);
    assert_eq!(first[0]["apiVersion"], "v1");
    assert_eq!(
        (&first[0]["seq"], &first[0]["kind"]),
        (&json!(8812), &json!("drain"))
    );
    assert_eq!(
        (&first[1]["retries"], &first[2]["keys"]),
        (&json!(1), &json!(6_300))
    );

    // Estimates alone are no change.
    operation.bytes_per_second = 1;
    operation.keys_left = 1;
    assert!(!told.changes(&operation));
    operation.pairs[0].moved.slots += 10;
    operation.moved.slots += 10;
    let second = told.records(&operation, 8813, "");
    assert_eq!(second.len(), 2);
    operation.state = OperationState::Done;
    let last = told.records(&operation, 8814, "");
    assert_eq!((last.len(), &last[0]["state"]), (1, &json!("done")));
}
