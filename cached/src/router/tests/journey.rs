//! What each answer means for an operation: tables of applied, not applied, unknown.

use cached_proto::failure::{Applied, Failure, FailureCode};
use cached_proto::operation::{Answer, Condition, Operation, Outcome, Reply, Route};
use cached_proto::types::{Epoch, Version};
use cached_proto::update::{Change, Update};

use super::fixture::{EPOCH, get, key_of, member, ok, redirect, set, slot};
use crate::router::journey::{Journey, State};

fn journey(operation: Operation) -> Journey {
    let slot = slot(operation.key());
    Journey::new(operation, slot, Route::Forward)
}

fn failure(code: FailureCode) -> Failure {
    Failure::new(code, "why")
}

fn settled(journey: Journey) -> Outcome {
    assert!(journey.is_settled(), "{:?}", journey.state);
    journey.into_outcome()
}

fn operations() -> Vec<(&'static str, Operation, bool)> {
    let key = key_of(1, 0);
    let version = Version {
        epoch: EPOCH,
        seq: 1,
    };
    let delete = |condition| Operation::Delete {
        key: key_of(1, 0),
        condition,
    };
    vec![
        ("get", get(key.clone()), true),
        ("set", set(key.clone(), Condition::Always), true),
        (
            "set if present",
            set(key.clone(), Condition::IfPresent),
            false,
        ),
        (
            "set if absent",
            set(key.clone(), Condition::IfAbsent),
            false,
        ),
        (
            "set if version",
            set(key.clone(), Condition::IfVersion(version)),
            false,
        ),
        ("delete", delete(Condition::Always), true),
        (
            "delete if version",
            delete(Condition::IfVersion(version)),
            false,
        ),
        (
            "increment",
            Operation::Update {
                key: key.clone(),
                update: Update {
                    change: Change::AddInteger(1),
                    ..Update::default()
                },
            },
            false,
        ),
        (
            "set many if absent",
            Operation::SetMany {
                first: (key.clone(), "v".into()),
                others: Vec::new(),
                if_absent: true,
            },
            false,
        ),
        ("touch", Operation::Touch { key, ttl: None }, true),
    ]
}

#[test]
fn what_was_not_applied_is_tried_again_whatever_it_is() {
    for (name, operation, _) in operations() {
        for code in [FailureCode::Unavailable, FailureCode::Busy] {
            let mut journey = journey(operation.clone());
            journey.answered(Err(failure(code)), EPOCH);
            assert!(journey.is_paused(), "{name} {code:?}");
        }
        let mut journey = journey(operation);
        journey.not_sent(failure(FailureCode::Unavailable));
        assert!(journey.is_paused(), "{name}");
        journey.give_up(false);
        assert_eq!(settled(journey).unwrap_err().applied, Applied::No, "{name}");
    }
}

#[test]
fn what_got_lost_is_tried_again_only_if_idempotent_and_never_forgotten() {
    for (name, operation, idempotent) in operations() {
        let read = operation.is_read();
        let mut journey = journey(operation);
        journey.lost(failure(FailureCode::Unavailable));
        assert_eq!(journey.is_paused(), idempotent, "{name}");
        if idempotent {
            // The next attempt certainly does nothing; the first may have.
            journey.wake();
            journey.answered(Err(failure(FailureCode::OutOfMemory)), EPOCH);
        }
        let expected = if read { Applied::No } else { Applied::Unknown };
        assert_eq!(settled(journey).unwrap_err().applied, expected, "{name}");
    }
}

#[test]
fn an_owner_that_does_not_know_itself_counts_as_lost() {
    for (name, operation, idempotent) in operations() {
        let mut journey = journey(operation);
        let unknown = failure(FailureCode::Unavailable).maybe_applied();
        journey.answered(Err(unknown), EPOCH);
        assert_eq!(journey.is_paused(), idempotent, "{name}");
    }
}

#[test]
fn a_success_after_a_loss_is_a_success() {
    let mut journey = journey(set(key_of(1, 0), Condition::Always));
    journey.lost(failure(FailureCode::Unavailable));
    journey.wake();
    journey.answered(ok(), EPOCH);
    assert_eq!(settled(journey), ok());
}

#[test]
fn a_delete_that_finds_nothing_after_a_loss_does_not_say_it_did_nothing() {
    let answer = |deleted| {
        let reply = Reply::Delete {
            deleted,
            version: None,
        };
        Ok(Answer {
            reply,
            degraded: false,
        })
    };
    let delete = || {
        journey(Operation::Delete {
            key: key_of(1, 0),
            condition: Condition::Always,
        })
    };
    for (lost, deleted, known) in [
        (false, false, true),
        (false, true, true),
        (true, true, true),
        (true, false, false),
    ] {
        let mut journey = delete();
        if lost {
            journey.lost(failure(FailureCode::Unavailable));
            journey.wake();
        }
        journey.answered(answer(deleted), EPOCH);
        match settled(journey) {
            Ok(found) => assert!(known && Ok(found) == answer(deleted)),
            Err(failure) => {
                assert!(!known, "{failure}");
                assert_eq!(failure.code, FailureCode::Unavailable);
                assert_eq!(failure.applied, Applied::Unknown);
            }
        }
    }
}

#[test]
fn failures_that_no_attempt_helps_settle_at_once() {
    for code in [
        FailureCode::Internal,
        FailureCode::Invalid,
        FailureCode::UnknownGroup,
        FailureCode::TooLarge,
        FailureCode::Unauthenticated,
        FailureCode::PermissionDenied,
        FailureCode::OutOfMemory,
        FailureCode::Deadline,
        FailureCode::Origin,
        FailureCode::Unsupported,
    ] {
        let mut journey = journey(get(key_of(1, 0)));
        journey.answered(Err(failure(code)), EPOCH);
        assert_eq!(settled(journey).unwrap_err().code, code);
    }
}

#[test]
fn newer_redirects_are_followed_and_others_three_times() {
    let mut journey = journey(get(key_of(1, 0)));
    let slot = journey.slot;
    for epoch in 6..20 {
        journey.answered(
            Err(redirect(slot, &member("n3", 3), Epoch(epoch))),
            Epoch(epoch - 1),
        );
        assert_eq!(journey.state, State::Ready);
        assert_eq!(journey.hint.as_ref().unwrap().epoch, Epoch(epoch));
    }
    for _ in 0..3 {
        let same = redirect(slot, &member("n2", 2), Epoch(19));
        journey.answered(Err(same), Epoch(19));
        assert!(journey.is_paused());
        journey.wake();
    }
    journey.answered(Err(redirect(slot, &member("n2", 2), Epoch(19))), Epoch(19));
    let failure = settled(journey).unwrap_err();
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::Unavailable, Applied::No)
    );
}

#[test]
fn redirects_that_are_not_newer_wait() {
    for epoch in [4, 5] {
        let mut journey = journey(get(key_of(1, 0)));
        let back = redirect(journey.slot, &member("n3", 3), Epoch(epoch));
        journey.answered(Err(back), EPOCH);
        assert!(journey.is_paused());
        assert_eq!(journey.hint, None);
    }
}

#[test]
fn unreachable_owners_leave_a_last_resort_once() {
    let mut lonely = journey(get(key_of(1, 0)));
    lonely.not_sent(failure(FailureCode::Unavailable));
    lonely.give_up(true);
    assert!(lonely.is_ready() && lonely.last_resort);
    lonely.pause(failure(FailureCode::Unavailable));
    lonely.give_up(true);
    assert!(lonely.is_settled());

    let mut answered = journey(get(key_of(1, 0)));
    answered.answered(Err(failure(FailureCode::Busy)), EPOCH);
    answered.give_up(true);
    assert!(
        answered.is_settled(),
        "an owner that answers is not bypassed"
    );
}

#[test]
fn time_over_says_what_came_last_and_whether_it_may_have_been_applied() {
    let mut journey = journey(set(key_of(1, 0), Condition::Always));
    journey.lost(failure(FailureCode::Unavailable));
    journey.expire(std::time::Duration::from_secs(3));
    let failure = settled(journey).unwrap_err();
    assert_eq!(
        (failure.code, failure.applied),
        (FailureCode::Deadline, Applied::Unknown)
    );
    assert_eq!(
        failure.to_string(),
        "the time of this request, 3s, is over; the last attempt: why (it may have been applied)"
    );
}
