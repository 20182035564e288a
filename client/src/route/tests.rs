//! Targets and decisions, as tables.

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::types::Epoch;

use super::*;
use crate::topology::tests::{hint, known, slot};

const LONG: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(10);

fn attempts() -> Attempts {
    Attempts::new(Backoff {
        first: PAUSE,
        max: PAUSE,
        retries: 2,
    })
}

fn target(address: &str, route: Route) -> Target {
    Target {
        address: address.to_owned(),
        route,
    }
}

fn failed(code: FailureCode) -> Error {
    Failure::new(code, "").into()
}

fn lost(applied: Applied) -> Error {
    Error::Lost {
        message: String::new(),
        applied,
        timed_out: false,
    }
}

fn unreachable() -> Error {
    Error::Unreachable(String::new())
}

/// What follows `error` from the owner a:1; jitter 1.0 makes the pause exact.
fn next(attempts: &mut Attempts, error: &Error, idempotent: bool, learned: bool) -> Next {
    let target = target(
        "a:1",
        Route::OwnerOnly {
            known_epoch: Epoch(1),
        },
    );
    attempts.next(
        &Failed {
            error,
            target: &target,
            idempotent,
            learned,
        },
        LONG,
        1.0,
    )
}

#[test]
fn the_owner_is_asked_by_its_row_and_any_node_when_it_is_unknown() {
    let owner = Route::OwnerOnly {
        known_epoch: Epoch(1),
    };
    let known = known();
    assert_eq!(
        attempts().target(&known, slot(0), 0.0),
        Some(target("a:1", owner))
    );
    assert_eq!(
        attempts().target(&known, slot(9000), 0.0),
        Some(target("b:1", owner))
    );
    let gone = known.learn(&hint(0, 2, "d", None)).unwrap();
    assert_eq!(
        attempts().target(&gone, slot(0), 0.5),
        Some(target("b:1", Route::Forward))
    );
    let moved = known.learn(&hint(0, 2, "d", Some("d:1"))).unwrap();
    let newer = Route::OwnerOnly {
        known_epoch: Epoch(2),
    };
    assert_eq!(
        attempts().target(&moved, slot(0), 0.0),
        Some(target("d:1", newer))
    );
}

#[test]
fn what_follows_a_failure_depends_on_its_advice_and_on_whether_it_was_applied() {
    use FailureCode as C;
    let maybe = |code| Failure::new(code, "").maybe_applied().into();
    let (retry, refresh) = (Next::Retry(PAUSE), Next::Refresh(PAUSE));
    // (error, if idempotent, if not)
    for (error, idempotent, otherwise) in [
        (failed(C::Unavailable), retry, retry),
        (failed(C::Busy), retry, retry),
        (failed(C::OutOfMemory), retry, retry),
        (maybe(C::Unavailable), retry, Next::GiveUp),
        (unreachable(), refresh, refresh),
        (lost(Applied::Unknown), refresh, Next::GiveUp),
        (failed(C::WrongOwner), refresh, refresh),
        (failed(C::Invalid), Next::GiveUp, Next::GiveUp),
        (failed(C::UnknownGroup), Next::GiveUp, Next::GiveUp),
        (failed(C::TooLarge), Next::GiveUp, Next::GiveUp),
        (failed(C::Unauthenticated), Next::GiveUp, Next::GiveUp),
        (failed(C::PermissionDenied), Next::GiveUp, Next::GiveUp),
        (failed(C::Internal), Next::GiveUp, Next::GiveUp),
        (failed(C::Deadline), Next::GiveUp, Next::GiveUp),
        (failed(C::Origin), Next::GiveUp, Next::GiveUp),
        (failed(C::Unsupported), Next::GiveUp, Next::GiveUp),
    ] {
        assert_eq!(
            next(&mut attempts(), &error, true, false),
            idempotent,
            "{error:?}"
        );
        assert_eq!(
            next(&mut attempts(), &error, false, false),
            otherwise,
            "{error:?}"
        );
    }
}

#[test]
fn a_row_that_is_learned_is_followed_at_once_at_most_three_times() {
    let mut attempts = attempts();
    let error = failed(FailureCode::WrongOwner);
    for _ in 0..REDIRECTS_MAX {
        assert_eq!(next(&mut attempts, &error, false, true), Next::Redirect);
    }
    assert_eq!(
        next(&mut attempts, &error, false, true),
        Next::Refresh(PAUSE)
    );
    assert_eq!(
        next(&mut attempts, &error, false, true),
        Next::Refresh(PAUSE)
    );
    assert_eq!(next(&mut attempts, &error, false, true), Next::GiveUp);
}

#[test]
fn attempts_end_with_the_retries_or_the_time() {
    let mut attempts = attempts();
    let error = failed(FailureCode::Busy);
    assert_eq!(
        next(&mut attempts, &error, false, false),
        Next::Retry(PAUSE)
    );
    assert_eq!(
        next(&mut attempts, &error, false, false),
        Next::Retry(PAUSE)
    );
    assert_eq!(next(&mut attempts, &error, false, false), Next::GiveUp);
}

#[test]
fn a_pause_that_the_node_advises_is_kept_or_the_caller_told() {
    for (advised_ms, expected) in [
        (1, Next::Retry(PAUSE)),
        (500, Next::Retry(Duration::from_millis(500))),
        (3000, Next::GiveUp),
    ] {
        let advised = Duration::from_millis(advised_ms);
        let error = Failure::new(FailureCode::Busy, "")
            .retry_after(advised)
            .into();
        assert_eq!(
            next(&mut attempts(), &error, false, false),
            expected,
            "{advised_ms}"
        );
    }
}

#[test]
fn an_owner_that_is_not_reached_is_avoided_until_a_newer_row_is_learned() {
    let known = known();
    let mut attempts = attempts();
    next(&mut attempts, &unreachable(), false, false);
    assert_eq!(
        attempts.target(&known, slot(0), 0.0),
        Some(target("b:1", Route::Forward))
    );
    // The node that was asked instead says who owns it now.
    let moved = known.learn(&hint(0, 2, "c", Some("c:1"))).unwrap();
    assert_eq!(
        next(&mut attempts, &failed(FailureCode::WrongOwner), false, true),
        Next::Redirect
    );
    let owner = Route::OwnerOnly {
        known_epoch: Epoch(2),
    };
    assert_eq!(
        attempts.target(&moved, slot(0), 0.0),
        Some(target("c:1", owner))
    );
}

#[test]
fn a_delete_that_finds_nothing_after_a_lost_attempt_is_unknown() {
    let answer = |deleted| Answer {
        reply: Reply::Delete {
            deleted,
            version: None,
        },
        degraded: false,
    };
    let mut tries = attempts();
    assert!(tries.judge(answer(false)).is_ok(), "nothing was lost yet");
    let target = target("n:1", Route::Forward);
    let failed = Failed {
        error: &lost(Applied::Unknown),
        target: &target,
        idempotent: true,
        learned: false,
    };
    tries.next(&failed, LONG, 0.5);
    assert!(tries.judge(answer(true)).is_ok());
    let unknown = tries.judge(answer(false)).unwrap_err();
    assert_eq!(unknown.applied(), Applied::Unknown);
}

#[test]
fn newer_rows_are_followed_as_long_as_there_are_any() {
    let mut attempts = attempts();
    for epoch in 2..20 {
        let target = target(
            "a:1",
            Route::OwnerOnly {
                known_epoch: Epoch(epoch - 1),
            },
        );
        let error = Failure::wrong_owner(hint(0, epoch, "c", Some("c:1"))).into();
        // Another call may have learned the row before this one.
        for learned in [true, false] {
            let failed = Failed {
                error: &error,
                target: &target,
                idempotent: false,
                learned,
            };
            assert_eq!(attempts.next(&failed, LONG, 1.0), Next::Redirect, "{epoch}");
        }
    }
    let same = Failure::wrong_owner(hint(0, 1, "c", Some("c:1"))).into();
    for _ in 0..3 {
        assert_eq!(next(&mut attempts, &same, false, true), Next::Redirect);
    }
    assert_eq!(
        next(&mut attempts, &same, false, true),
        Next::Refresh(PAUSE)
    );
}
