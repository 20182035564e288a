//! Every decision, each from one changed circumstance.

use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode, OwnerHint};
use cached_proto::operation::Route;
use cached_proto::records::{BlacklistRecord, MemberState};
use cached_proto::types::{Epoch, Incarnation, NodeName, Slot};

use super::fixture::{EPOCH, member, peer, view_of_n1};
use crate::blacklist::Admission;
use crate::clock::{Moment, WallMs};
use crate::cluster::view::{ClusterView, FenceReason, Serving};
use crate::peers::Peer;
use crate::router::decide::{Decision, Question, decide, straight};

const MINE: u16 = 0;
const OF_N2: u16 = 1;

const OWNER_ONLY: Route = Route::OwnerOnly {
    known_epoch: Epoch(0),
};
const KNOWS_NEWER: Route = Route::OwnerOnly {
    known_epoch: Epoch(6),
};

fn question(view: &ClusterView, slot: u16) -> Question<'_> {
    Question {
        slot: Slot::new(slot).unwrap(),
        view,
        serving: Serving::Yes,
        route: Route::Forward,
        hint: None,
        refreshed: false,
        loadable: false,
        takeover_after: Duration::from_millis(5550),
        now: Moment::from_micros(10_000_000),
        wall: WallMs(1_000_000),
    }
}

/// Decides where no breaker may be asked.
fn decided(question: &Question<'_>) -> Decision {
    assert_eq!(goes_straight(question), None);
    decide(question, &mut |_| panic!("a breaker was asked"))
}

/// Decides where every breaker says yes; the short way is there if there is nothing else
/// to do.
fn admitted(question: &Question<'_>) -> Decision {
    let decision = decide(question, &mut |_| Admission::Allowed);
    let straight = match &decision {
        Decision::Forward { peer, epoch } if question.hint.is_none() => {
            Some((peer.clone(), *epoch))
        }
        _ => None,
    };
    assert_eq!(goes_straight(question), straight);
    decision
}

/// To whom the short way leads, and the epoch by which it was chosen.
fn goes_straight(question: &Question<'_>) -> Option<(Peer, Epoch)> {
    let wall = question.wall;
    let way = straight(question.view, question.slot, question.route, || wall)?;
    let (owner, address, epoch) = way;
    let peer = Peer {
        id: owner.id.clone(),
        address: address.to_owned(),
    };
    Some((peer, epoch)).filter(|_| question.hint.is_none())
}

fn refused(decision: Decision) -> Failure {
    match decision {
        Decision::Refuse(failure) => failure,
        other => panic!("{other:?}"),
    }
}

fn unavailable(decision: Decision, words: &str) -> Failure {
    let failure = refused(decision);
    assert_eq!(failure.code, FailureCode::Unavailable);
    assert!(failure.message.contains(words), "{failure}");
    assert!(failure.retry_after.is_some(), "{failure}");
    failure
}

fn hint(name: &str, inc: u128, epoch: u64) -> OwnerHint {
    let peer = peer(name, inc);
    let slot = Slot::new(OF_N2).unwrap();
    OwnerHint {
        slot,
        epoch: Epoch(epoch),
        owner: peer.id,
        address: Some(peer.address),
        also: Vec::new(),
    }
}

#[test]
fn own_slots_are_carried_out_here_whoever_routes() {
    let view = view_of_n1();
    for route in [
        Route::Forward,
        OWNER_ONLY,
        Route::OwnerOnly { known_epoch: EPOCH },
    ] {
        for serving in [Serving::Yes, Serving::Degraded] {
            let question = Question {
                route,
                serving,
                ..question(&view, MINE)
            };
            assert_eq!(decided(&question), Decision::Local, "{route:?} {serving:?}");
        }
    }
}

#[test]
fn a_fenced_owner_refuses_and_says_why() {
    let view = view_of_n1();
    for (reason, words) in [
        (FenceReason::Starting, "is starting"),
        (FenceReason::Removed, "registering again"),
        (FenceReason::Expired, "mode strict"),
        (FenceReason::Isolated, "cut off"),
        (FenceReason::Stopping, "signed off"),
    ] {
        let question = Question {
            serving: Serving::Fenced(reason),
            ..question(&view, MINE)
        };
        unavailable(decided(&question), words);
    }
}

#[test]
fn a_fence_does_not_keep_a_node_from_passing_on() {
    let view = view_of_n1();
    let serving = Serving::Fenced(FenceReason::Expired);
    let question = Question {
        serving,
        ..question(&view, OF_N2)
    };
    let decision = admitted(&question);
    assert_eq!(
        decision,
        Decision::Forward {
            peer: peer("n2", 2),
            epoch: EPOCH
        }
    );
}

#[test]
fn before_the_table_is_loaded_nothing_is_decided() {
    unavailable(
        decided(&question(&ClusterView::empty(), MINE)),
        "not loaded",
    );
    let mut half = view_of_n1();
    half.table_loaded = false;
    for slot in [MINE, OF_N2] {
        unavailable(decided(&question(&half, slot)), "not loaded");
    }
}

#[test]
fn who_routes_alone_is_told_the_owner() {
    let view = view_of_n1();
    let question = Question {
        route: OWNER_ONLY,
        ..question(&view, OF_N2)
    };
    let failure = refused(decided(&question));
    assert_eq!(failure.code, FailureCode::WrongOwner);
    let told = failure.owner.as_deref().unwrap();
    let plain = OwnerHint {
        also: Vec::new(),
        ..told.clone()
    };
    assert_eq!(plain, hint("n2", 2, EPOCH.0));
    // It owns every third slot, and is asked for one of those 22 of the page.
    let also: Vec<u16> = told.also.iter().map(|(slot, _)| slot.number()).collect();
    let expected: Vec<u16> = (0..64).filter(|slot| slot % 3 == 1).collect();
    assert_eq!(also, expected[1..]);
}

#[test]
fn a_caller_who_knows_more_makes_us_look_once() {
    let view = view_of_n1();
    for slot in [MINE, OF_N2] {
        let first = Question {
            route: KNOWS_NEWER,
            ..question(&view, slot)
        };
        assert_eq!(decided(&first), Decision::RefreshFirst);
    }
    let again = |slot| Question {
        route: KNOWS_NEWER,
        refreshed: true,
        ..question(&view, slot)
    };
    unavailable(decided(&again(MINE)), "newer owner");
    assert_eq!(
        refused(decided(&again(OF_N2))).code,
        FailureCode::WrongOwner
    );
}

#[test]
fn slots_of_who_is_gone_fail_fast_or_are_loaded() {
    let mut view = view_of_n1();
    view.members[1].record = None;
    view.members[1].absent_since = Some(Moment::from_micros(8_000_000));
    for route in [Route::Forward, OWNER_ONLY] {
        let question = Question {
            route,
            ..question(&view, OF_N2)
        };
        let failure = unavailable(decided(&question), "n2, which is gone");
        assert!(
            failure.message.contains("about 4 s"),
            "5.55 s - 2 s, rounded up: {failure}"
        );
        assert_eq!(failure.retry_after, Some(Duration::from_millis(3550)));
        let loadable = Question {
            loadable: true,
            ..question
        };
        assert_eq!(decided(&loadable), Decision::LoadUncached);
    }
    for (route, loadable) in [(Route::Forward, false), (OWNER_ONLY, true)] {
        let soon = Question {
            route,
            loadable,
            now: Moment::from_micros(8_999_999),
            ..question(&view, OF_N2)
        };
        match decided(&soon) {
            Decision::AwaitReturn(failure) if !loadable => {
                assert!(failure.message.contains("n2, which is gone"), "{failure}");
            }
            Decision::LoadUncached if loadable => (),
            other => panic!("{other:?}"),
        }
    }
    let late = Question {
        now: Moment::from_micros(60_000_000),
        ..question(&view, OF_N2)
    };
    unavailable(decided(&late), "about 1 s");
}

#[test]
fn slots_of_who_signed_off_fail_fast_too() {
    let mut view = view_of_n1();
    view.members[1].record.as_mut().unwrap().state = MemberState::Gone;
    unavailable(decided(&question(&view, OF_N2)), "signed off");
}

#[test]
fn an_open_breaker_fails_fast_or_makes_us_load() {
    let view = view_of_n1();
    let mut listed = |owner: &_| {
        assert_eq!(owner, &member("n2", 2));
        Admission::Listed {
            failures: 3,
            next_probe_in: Duration::from_secs(4),
            last_error: "Connection refused".into(),
        }
    };
    let Decision::Listed(failure) = decide(&question(&view, OF_N2), &mut listed) else {
        panic!("the owner is blacklisted")
    };
    assert_eq!(failure.code, FailureCode::Unavailable);
    assert!(failure.message.contains("blacklisted after 3"), "{failure}");
    assert!(failure.message.contains("Connection refused"), "{failure}");
    assert_eq!(failure.retry_after, Some(Duration::from_secs(4)));
    let loadable = Question {
        loadable: true,
        ..question(&view, OF_N2)
    };
    assert_eq!(decide(&loadable, &mut listed), Decision::LoadUncached);
}

#[test]
fn an_operators_entry_counts_for_its_incarnation_and_time() {
    let mut view = view_of_n1();
    let entry = BlacklistRecord {
        target: NodeName::new("n2").unwrap(),
        inc: Incarnation(2),
        reason: "flaky disk".into(),
        by: "eve@desk".into(),
        since_ms: 0,
        expires_ms: 1_060_000,
    };
    view.blacklist.insert(entry.target.clone(), entry);
    let failure = unavailable(
        decided(&question(&view, OF_N2)),
        "eve@desk blacklisted: flaky disk",
    );
    assert_eq!(failure.retry_after, Some(Duration::from_secs(60)));
    let own = Question {
        route: OWNER_ONLY,
        ..question(&view, OF_N2)
    };
    assert_eq!(
        refused(decided(&own)).code,
        FailureCode::WrongOwner,
        "ownership is not steered"
    );

    let forward = Decision::Forward {
        peer: peer("n2", 2),
        epoch: EPOCH,
    };
    let expired = Question {
        wall: WallMs(1_060_000),
        ..question(&view, OF_N2)
    };
    assert_eq!(admitted(&expired), forward);
    view.blacklist
        .values_mut()
        .for_each(|entry| entry.inc = Incarnation(1));
    let other_life = question(&view, OF_N2);
    assert_eq!(admitted(&other_life), forward);
}

#[test]
fn a_newer_hint_is_followed_at_once_even_to_a_blacklisted_node() {
    let view = view_of_n1();
    let newer = hint("n3", 3, 6);
    let question = Question {
        hint: Some(&newer),
        ..question(&view, OF_N2)
    };
    let forward = Decision::Forward {
        peer: peer("n3", 3),
        epoch: Epoch(6),
    };
    assert_eq!(decided(&question), forward);
}

#[test]
fn an_older_hint_is_ignored() {
    let view = view_of_n1();
    let older = hint("n3", 3, 5);
    let question = Question {
        hint: Some(&older),
        ..question(&view, OF_N2)
    };
    let forward = Decision::Forward {
        peer: peer("n2", 2),
        epoch: EPOCH,
    };
    assert_eq!(admitted(&question), forward);
}

#[test]
fn a_hint_that_names_this_node_waits_for_the_view() {
    let view = view_of_n1();
    let me = hint("n1", 1, 6);
    let first = Question {
        hint: Some(&me),
        ..question(&view, OF_N2)
    };
    assert_eq!(decided(&first), Decision::RefreshFirst);
    unavailable(
        decided(&Question {
            refreshed: true,
            ..first
        }),
        "taken over by this node",
    );
}

#[test]
fn a_hint_at_nobody_alive_fails_fast_or_makes_us_load() {
    let view = view_of_n1();
    let gone = OwnerHint {
        address: None,
        ..hint("n9", 9, 6)
    };
    let question = Question {
        hint: Some(&gone),
        ..question(&view, OF_N2)
    };
    unavailable(decided(&question), "n9, which is no member");
    assert_eq!(
        decided(&Question {
            loadable: true,
            ..question
        }),
        Decision::LoadUncached
    );
}

#[test]
fn a_gateway_owns_nothing_and_passes_everything_on() {
    let mut view = view_of_n1();
    view.me = None;
    let serving = Serving::Fenced(FenceReason::Starting);
    for (slot, owner) in [(MINE, peer("n1", 1)), (OF_N2, peer("n2", 2))] {
        let question = Question {
            serving,
            ..question(&view, slot)
        };
        let decision = admitted(&question);
        assert_eq!(
            decision,
            Decision::Forward {
                peer: owner,
                epoch: EPOCH
            }
        );
    }
}
