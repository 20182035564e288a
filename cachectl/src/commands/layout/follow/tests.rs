//! What an operation that has ended is to a script.

use cached_client::Failure;

use super::super::fixture::drain;
use super::*;

#[test]
fn every_end_has_its_exit_code_and_says_what_is_left() {
    let open = drain();
    let mut ended = drain();
    ended.state = OperationState::Done;
    ended.finished_at_ms = 222_000;
    ended.moved.slots = 1000;
    let text = outcome(&ended, &open).unwrap();
    assert_eq!(
        text,
        "op-7f3a90c1 done: 1000 slots, 6.30k keys, 615.2 KiB moved in 3m40s"
    );
    ended.moved.shed = 1_200;
    let text = outcome(&ended, &open).unwrap();
    assert!(
        text.ends_with(", 1.20k keys were dropped for want of room"),
        "{text}"
    );

    ended.state = OperationState::Failed;
    ended.reason = "its deadline has passed".to_owned();
    let error = outcome(&ended, &open).unwrap_err();
    assert_eq!(error.code, Code::Partly);
    assert_eq!(
        error.message,
        "op-7f3a90c1 failed: its deadline has passed; 1000 slots have moved; \
         left: n3→n1 100 slots, n3→n4 270 slots"
    );
    ended.state = OperationState::Cancelled;
    assert_eq!(outcome(&ended, &open).unwrap_err().code, Code::Partly);
    ended.state = OperationState::Refused;
    assert_eq!(outcome(&ended, &open).unwrap_err().code, Code::Conflict);
}

#[test]
fn only_a_last_word_ends_the_looking_on() {
    let lost = ClientError::Unreachable("connection refused".to_owned());
    assert!(!is_last_word(&lost) && !is_last_word(&silent()));
    let failed = |code| is_last_word(&Failure::new(code, "no").into());
    assert!(!failed(FailureCode::Unavailable) && !failed(FailureCode::Internal));
    assert!(failed(FailureCode::NotFound) && failed(FailureCode::PermissionDenied));
}
