//! One operation: to its owner, after it when it moved, again where that is safe.

use std::time::Duration;

use cached_client::operation::{Condition, Route};
use cached_client::types::{Epoch, Key};
use cached_client::{Advice, Applied, Client, Error, Failure, FailureCode, Options};

use crate::fake::{Fake, Reaction, topology};

/// Two nodes that each own half of the slots, and a client of them.
pub(crate) async fn two() -> (Fake, Fake, Client) {
    let (a, b) = (Fake::start("a").await, Fake::start("b").await);
    a.publish(Some(topology(&[&a, &b], 1))).await;
    let client = Client::connect(Options::nodes([a.address()]))
        .await
        .unwrap();
    (a, b, client)
}

fn fail(code: FailureCode) -> Reaction {
    Reaction::Fail(Failure::new(code, "scripted"))
}

const OWNER: Route = Route::OwnerOnly {
    known_epoch: Epoch(1),
};
/// Slot 12,182, in the upper half, which b owns; and slot 3,300 in the lower.
const OF_B: &str = "foo";
const OF_A: &str = "b";

#[tokio::test]
async fn every_operation_goes_straight_to_the_owner() {
    let (a, b, client) = two().await;
    client.set(OF_B, "1", None).await.unwrap();
    assert_eq!(client.get(OF_B).await.unwrap().unwrap().value, "1");
    assert!(client.touch(OF_B, None).await.unwrap());
    assert_eq!(
        client
            .set_if(OF_B, "2", None, Condition::IfAbsent)
            .await
            .unwrap(),
        None
    );
    assert!(client.delete(OF_B).await.unwrap());
    assert!(!client.delete(OF_B).await.unwrap());
    assert_eq!(client.get(OF_B).await.unwrap(), None);
    assert!(
        b.seen()
            .iter()
            .all(|(key, route)| key == OF_B && *route == OWNER)
    );
    assert_eq!(a.seen(), []);
}

#[tokio::test]
async fn a_slot_that_moved_is_followed_and_remembered() {
    let (a, b, client) = two().await;
    let slot = client.locate(&Key::new(OF_A).unwrap()).slot;
    a.script([Reaction::Fail(Failure::wrong_owner(b.hint(slot, 2)))]);
    b.put(OF_A, "here");
    for _ in 0..2 {
        assert_eq!(client.get(OF_A).await.unwrap().unwrap().value, "here");
    }
    assert_eq!(a.seen().len(), 1);
    let newer = Route::OwnerOnly {
        known_epoch: Epoch(2),
    };
    assert_eq!(b.seen(), [(OF_A.into(), newer), (OF_A.into(), newer)]);
}

#[tokio::test]
async fn what_was_not_applied_is_tried_again() {
    let (a, _b, client) = two().await;
    a.script([fail(FailureCode::Unavailable), fail(FailureCode::Busy)]);
    client
        .set_if(OF_A, "1", None, Condition::IfAbsent)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(a.seen().len(), 3);

    a.script([(); 9].map(|()| fail(FailureCode::Unavailable)));
    let error = client.get(OF_A).await.unwrap_err();
    assert_eq!(
        (error.advice(), error.applied()),
        (Advice::Retry, Applied::No)
    );
    assert_eq!(a.seen().len(), 3, "no more than two retries");
}

#[tokio::test]
async fn an_unknown_outcome_is_tried_again_only_when_that_is_harmless() {
    let (a, b, client) = two().await;
    a.script([Reaction::Break]);
    let error = client
        .set_if(OF_A, "1", None, Condition::IfAbsent)
        .await
        .unwrap_err();
    assert_eq!(error.applied(), Applied::Unknown, "{error}");
    assert_eq!((a.seen().len(), b.seen().len()), (1, 0));

    a.script([Reaction::Break]);
    client.set(OF_A, "1", None).await.unwrap();
    assert_eq!(a.seen().len(), 1);
    assert_eq!(
        b.seen(),
        [(OF_A.into(), Route::Forward)],
        "another node passes it on"
    );
}

#[tokio::test]
async fn what_cannot_help_is_not_tried_again() {
    let (a, _b, client) = two().await;
    for code in [
        FailureCode::Unauthenticated,
        FailureCode::UnknownGroup,
        FailureCode::Internal,
    ] {
        a.script([fail(code)]);
        let error = client.get(OF_A).await.unwrap_err();
        assert!(
            matches!(&error, Error::Failed(failure) if failure.code == code),
            "{error}"
        );
        assert_eq!(a.seen().len(), 1);
    }
    let error = client.get("").await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    let error = client.set(OF_A, vec![0; 20 << 20], None).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    assert_eq!(a.seen(), []);
}

#[tokio::test]
async fn an_owner_that_is_gone_is_asked_through_another() {
    let a = Fake::start("a").await;
    // A member whose address nobody listens on.
    let mut message = topology(&[&a, &a], 1);
    message.members[1].name = "b".to_owned();
    message.members[1].address = "127.0.0.1:1".to_owned();
    message.ranges[1].owner = "b".to_owned();
    a.publish(Some(message)).await;
    a.put(OF_B, "passed on");
    let client = Client::connect(Options::nodes([a.address()]))
        .await
        .unwrap();
    assert_eq!(client.get(OF_B).await.unwrap().unwrap().value, "passed on");
    assert_eq!(a.seen(), [(OF_B.into(), Route::Forward)]);
}

#[tokio::test]
async fn a_call_ends_with_its_time_and_says_that_it_may_be_applied() {
    let a = Fake::start("a").await;
    a.publish(Some(topology(&[&a], 1))).await;
    let options = Options::nodes([a.address()]).timeout(Duration::from_millis(200));
    let client = Client::connect(options).await.unwrap();
    a.script([Reaction::Hang]);
    let error = client.set(OF_A, "1", None).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Lost {
                timed_out: true,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(error.applied(), Applied::Unknown);
    assert_eq!(a.value(OF_A), None);
    assert_eq!(a.seen().len(), 1);
}

#[tokio::test]
async fn connecting_fails_with_every_seed_that_did_not_answer() {
    let error = Client::connect(Options::nodes(["127.0.0.1:1", "127.0.0.1:2"]))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("127.0.0.1:1: ") && text.contains("127.0.0.1:2: "),
        "{text}"
    );
    assert!(text.to_lowercase().contains("refused"), "{text}");
    for seeds in [vec![], vec!["nonsense"]] {
        let error = Client::connect(Options::nodes(seeds)).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error}");
    }
}
