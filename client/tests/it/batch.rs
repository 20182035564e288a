//! Many operations: order kept over owners, redirects and failures; large answers.

use cached_client::operation::{Condition, Operation, Reply};
use cached_client::types::Key;
use cached_client::{Client, Error, Failure, FailureCode, Options};

use crate::calls::two;
use crate::fake::{Fake, Reaction, topology};

fn key(number: usize) -> Key {
    Key::new(format!("key-{number}")).unwrap()
}

fn get(number: usize) -> Operation {
    Operation::Get {
        key: key(number),
        no_load: false,
        metadata_only: false,
    }
}

fn set(number: usize, value: Vec<u8>, condition: Condition) -> Operation {
    Operation::Set {
        key: key(number),
        value: value.into(),
        ttl: None,
        condition,
    }
}

#[tokio::test]
async fn results_keep_the_order_of_operations_over_owners_and_messages() {
    let (a, b, client) = two().await;
    // More than three messages.
    let count = 5000;
    let sets =
        (0..count).map(|number| set(number, number.to_string().into_bytes(), Condition::Always));
    for result in client.batch(sets.collect()).await {
        assert!(matches!(
            result.unwrap().reply,
            Reply::Set { stored: true, .. }
        ));
    }
    assert!(a.seen().len() > 1000 && b.seen().len() > 1000);
    for (number, result) in client
        .batch((0..count).map(get).collect())
        .await
        .into_iter()
        .enumerate()
    {
        let Reply::Get(Some(entry)) = result.unwrap().reply else {
            panic!("{number}")
        };
        assert_eq!(entry.value, number.to_string());
    }
    assert_eq!(client.batch(Vec::new()).await.len(), 0);
}

#[tokio::test]
async fn only_what_failed_and_may_be_repeated_is_sent_again() {
    let (a, b, client) = two().await;
    let of_a: Vec<usize> = (0..100)
        .filter(|number| client.locate(&key(*number)).owner.unwrap().id.name.as_str() == "a")
        .take(4)
        .collect();
    let moved = client.locate(&key(of_a[1])).slot;
    a.script([
        Reaction::Fail(Failure::new(FailureCode::Busy, "later")),
        Reaction::Fail(Failure::wrong_owner(b.hint(moved, 2))),
        Reaction::Fail(Failure::new(FailureCode::Internal, "lost").maybe_applied()),
    ]);
    let operations = of_a
        .iter()
        .map(|number| set(*number, vec![1], Condition::IfAbsent));
    let results = client.batch(operations.collect()).await;
    assert!(results[0].is_ok() && results[1].is_ok() && results[3].is_ok());
    let error = results[2].as_ref().unwrap_err();
    assert!(matches!(error, Error::Failed(failure) if failure.code == FailureCode::Internal));
    let at_a = [0, 1, 2, 3, 0].map(|index| key(of_a[index]).into_bytes());
    assert_eq!(
        a.seen().into_iter().map(|(key, _)| key).collect::<Vec<_>>(),
        at_a
    );
    assert_eq!(b.seen().len(), 1);
}

#[tokio::test]
async fn a_connection_that_breaks_midway_leaves_the_outcome_unknown() {
    let a = Fake::start("a").await;
    a.publish(Some(topology(&[&a], 1))).await;
    let client = Client::connect(Options::nodes([a.address()]).retries(0))
        .await
        .unwrap();
    a.script([Reaction::Break]);
    let operations = vec![
        set(1, vec![1], Condition::Always),
        set(2, vec![1], Condition::Always),
    ];
    for result in client.batch(operations).await {
        assert!(
            matches!(
                result,
                Err(Error::Lost {
                    timed_out: false,
                    ..
                })
            ),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn answers_that_do_not_fit_into_a_message_are_asked_for_in_smaller_parts() {
    let a = Fake::start("a").await;
    a.publish(Some(topology(&[&a], 1))).await;
    let mut options = Options::nodes([a.address()]);
    options.connect.message_bytes_max = (1 << 20) + (64 << 10);
    let client = Client::connect(options).await.unwrap();
    // 64 times 30 KiB: over the limit together, far below it alone.
    let large = vec![b'x'; 30 << 10];
    let sets = (0..64)
        .map(|number| set(number, large.clone(), Condition::Always))
        .collect();
    assert!(client.batch(sets).await.iter().all(Result::is_ok));
    for result in client.batch((0..64).map(get).collect()).await {
        let Reply::Get(Some(entry)) = result.unwrap().reply else {
            panic!()
        };
        assert_eq!(entry.value.len(), large.len());
    }
    let over = vec![set(0, vec![0; 1 << 20], Condition::Always), get(1)];
    let results = client.batch(over).await;
    assert!(matches!(results[0], Err(Error::Invalid(_))) && results[1].is_ok());
}
