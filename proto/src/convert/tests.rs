//! Everything travels and comes back the same; what is malformed says where.

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::failure::{Applied, Failure, FailureCode, OwnerHint};
use crate::limits::{BATCH_OPERATIONS_MAX, KEY_BYTES_MAX, TTL_MS_MAX};
use crate::operation::{Answer, Condition, Entry, Operation, Outcome, Reply, Route};
use crate::pb::cached::admin::v1::Group;
use crate::pb::cached::cache::v1 as pb;
use crate::records::{GroupRecord, MemberState, Policy};
use crate::types::{Epoch, Key, Slot};
use crate::update::{Change, Expiry, Guard, Returns, Snapshot, Update, Updated};

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn key() -> impl Strategy<Value = Key> {
    vec(any::<u8>(), 1..40).prop_map(|bytes| Key::new(bytes).unwrap())
}

fn ttl() -> impl Strategy<Value = Option<Ttl>> {
    option::of((1..=TTL_MS_MAX).prop_map(|ms| Ttl::from_ms(ms).unwrap()))
}

fn version() -> impl Strategy<Value = Version> {
    any::<(u64, u64)>().prop_map(|(epoch, seq)| Version {
        epoch: Epoch(epoch),
        seq,
    })
}

fn for_delete() -> impl Strategy<Value = Condition> {
    prop_oneof![
        Just(Condition::Always),
        version().prop_map(Condition::IfVersion)
    ]
}

fn for_set() -> impl Strategy<Value = Condition> {
    prop_oneof![
        for_delete(),
        Just(Condition::IfAbsent),
        Just(Condition::IfPresent)
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (key(), any::<bool>(), any::<bool>()).prop_map(|(key, no_load, metadata_only)| {
            Operation::Get {
                key,
                no_load,
                metadata_only,
            }
        }),
        (key(), bytes(), ttl(), for_set()).prop_map(|(key, value, ttl, condition)| {
            Operation::Set {
                key,
                value,
                ttl,
                condition,
            }
        }),
        (key(), for_delete()).prop_map(|(key, condition)| Operation::Delete { key, condition }),
        (key(), ttl()).prop_map(|(key, ttl)| Operation::Touch { key, ttl }),
        (key(), update()).prop_map(|(key, update)| Operation::Update { key, update }),
        (vec((key(), bytes()), 1..4), any::<bool>()).prop_map(|(mut others, if_absent)| {
            Operation::SetMany {
                first: others.remove(0),
                others,
                if_absent,
            }
        }),
    ]
}

fn update() -> impl Strategy<Value = Update> {
    let change = prop_oneof![
        Just(Change::Keep),
        bytes().prop_map(Change::Put),
        Just(Change::Remove),
        bytes().prop_map(Change::Append),
        (any::<u64>(), bytes()).prop_map(|(offset, bytes)| Change::SetRange { offset, bytes }),
        any::<i64>().prop_map(Change::AddInteger),
        bytes().prop_map(Change::AddFloat),
    ];
    let expiry = prop_oneof![
        Just(Expiry::Keep),
        Just(Expiry::Default),
        Just(Expiry::Never),
        any::<u64>().prop_map(Expiry::In),
        any::<u64>().prop_map(Expiry::At),
    ];
    let guard = prop_oneof![
        for_set().prop_map(Guard::If),
        bytes().prop_map(Guard::Equal),
        Just(Guard::Persistent),
        Just(Guard::Expiring),
        Just(Guard::Later),
        Just(Guard::Sooner),
        Just(Guard::ExpiringSooner),
    ];
    let returns = prop_oneof![
        Just(Returns::Metadata),
        Just(Returns::Value),
        Just(Returns::Previous),
    ];
    (change, expiry, guard, returns).prop_map(|(change, expiry, guard, returns)| Update {
        change,
        expiry,
        guard,
        returns,
    })
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let times = (option::of(any::<u64>()), option::of(any::<u64>()));
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
    (bytes(), version(), times, numbers).prop_map(|(value, version, times, numbers)| {
        let ((deadline_ms, ttl_ms), (value_bytes, idle_ms, memory_bytes)) = (times, numbers);
        Snapshot {
            value,
            value_bytes,
            version,
            deadline_ms,
            ttl_ms,
            idle_ms,
            memory_bytes,
        }
    })
}

fn route() -> impl Strategy<Value = Route> {
    let owner_only = any::<u64>().prop_map(|n| Route::OwnerOnly {
        known_epoch: Epoch(n),
    });
    prop_oneof![Just(Route::Forward), owner_only]
}

fn group() -> impl Strategy<Value = GroupName> {
    "[a-z0-9][a-z0-9._-]{0,20}".prop_map(|name| GroupName::new(name).unwrap())
}

fn entry() -> impl Strategy<Value = Entry> {
    let numbers = (
        option::of(any::<u64>()),
        any::<u64>(),
        any::<bool>(),
        any::<bool>(),
    );
    (bytes(), option::of(version()), numbers).prop_map(|(value, version, numbers)| {
        let (ttl_ms, value_bytes, loaded, uncached) = numbers;
        Entry {
            value,
            version,
            ttl_ms,
            value_bytes,
            loaded,
            uncached,
        }
    })
}

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        option::of(entry()).prop_map(Reply::Get),
        (any::<bool>(), option::of(version()))
            .prop_map(|(stored, version)| Reply::Set { stored, version }),
        (any::<bool>(), option::of(version()))
            .prop_map(|(deleted, version)| Reply::Delete { deleted, version }),
        any::<bool>().prop_map(|found| Reply::Touch { found }),
        (any::<bool>(), option::of(snapshot()))
            .prop_map(|(applied, entry)| Reply::Update(Updated { applied, entry })),
        any::<bool>().prop_map(|stored| Reply::SetMany { stored }),
    ]
}

const ALL_CODES: [FailureCode; 15] = [
    FailureCode::Internal,
    FailureCode::Invalid,
    FailureCode::UnknownGroup,
    FailureCode::TooLarge,
    FailureCode::Unauthenticated,
    FailureCode::PermissionDenied,
    FailureCode::WrongOwner,
    FailureCode::Unavailable,
    FailureCode::Busy,
    FailureCode::OutOfMemory,
    FailureCode::Deadline,
    FailureCode::Origin,
    FailureCode::Unsupported,
    FailureCode::NotFound,
    FailureCode::Conflict,
];

fn hint() -> impl Strategy<Value = OwnerHint> {
    let owner = ("[a-z][a-z0-9]{0,8}", any::<u128>());
    (
        any::<u64>(),
        any::<u64>(),
        owner,
        option::of("[a-z]{1,9}:[0-9]{1,5}"),
        vec((any::<u64>(), any::<u64>()), 0..64),
    )
        .prop_map(|(slot, epoch, (name, inc), address, also)| OwnerHint {
            slot: Slot::of_hash(slot),
            epoch: Epoch(epoch),
            owner: MemberId {
                name: NodeName::new(name).unwrap(),
                inc: Incarnation(inc),
            },
            address,
            also: also
                .into_iter()
                .map(|(slot, epoch)| (Slot::of_hash(slot), Epoch(epoch)))
                .collect(),
        })
}

fn failure() -> impl Strategy<Value = Failure> {
    let code = prop::sample::select(&ALL_CODES[..]);
    let applied = prop::sample::select(&[Applied::No, Applied::Unknown][..]);
    let field = option::of(prop::sample::select(&["key", "group", "ttl"][..]));
    let pause = option::of((1..u64::MAX).prop_map(Duration::from_millis));
    // Every failure says something; one without code and words would be no bytes at all.
    (code, applied, ".{1,20}", field, pause, option::of(hint())).prop_map(
        |(code, applied, message, field, retry_after, hint)| Failure {
            code,
            applied,
            message,
            field,
            retry_after,
            owner: hint.map(Box::new),
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (reply(), any::<bool>()).prop_map(|(reply, degraded)| Ok(Answer { reply, degraded })),
        failure().prop_map(Err),
    ]
}

proptest! {
    #[test]
    fn operations_come_back(group in group(), operation in operation(), route in route()) {
        let sent = operation_to_pb(&group, operation.clone(), route).encode_to_vec();
        let read = WireOperation::try_from(pb::Operation::decode(&sent[..]).unwrap()).unwrap();
        prop_assert_eq!(read, WireOperation { group: Some(group), operation, route });
    }

    #[test]
    fn outcomes_come_back(outcome in outcome()) {
        let sent = outcome_to_pb(outcome.clone()).encode_to_vec();
        prop_assert_eq!(outcome_from_pb(pb::Result::decode(&sent[..]).unwrap()), outcome);
    }

    #[test]
    fn failures_come_back_from_a_status(failure in failure()) {
        prop_assert_eq!(Failure::from_wire_bytes(&failure.to_wire_bytes()), Ok(failure));
    }

    #[test]
    fn groups_come_back(name in group(), max in option::of(1..u64::MAX), ttl in ttl()) {
        let default_ttl_ms = ttl.map(Ttl::as_ms);
        let (max_bytes, policy, resp_db) = (max, Policy::Lru, Some(3));
        let sent = GroupRecord { name, max_bytes, default_ttl_ms, policy, resp_db };
        prop_assert_eq!(GroupRecord::try_from(Group::from(sent.clone())), Ok(sent));
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(operation) = pb::Operation::decode(&bytes[..]) {
            let _ = WireOperation::try_from(operation);
        }
        if let Ok(batch) = pb::BatchSetRequest::decode(&bytes[..]) {
            let _ = WireBatch::try_from(batch);
        }
        if let Ok(result) = pb::Result::decode(&bytes[..]) {
            let _ = outcome_from_pb(result);
        }
        let _ = Failure::from_wire_bytes(&bytes);
    }
}

#[test]
fn every_state_comes_back() {
    use MemberState::{Draining, Gone, Joining, Up};
    for state in [None, Some(Joining), Some(Up), Some(Draining), Some(Gone)] {
        assert_eq!(
            member_state_from_pb(member_state_to_pb(state).into()),
            Ok(state)
        );
    }
    for unknown in [0, 6, -1] {
        assert!(member_state_from_pb(unknown).is_err(), "{unknown}");
    }
}

#[test]
fn every_code_has_its_own_place() {
    let sent: Vec<i32> = ALL_CODES
        .map(|code| pb::Failure::from(Failure::new(code, "")).code)
        .into();
    assert_eq!(
        sent,
        (0..15).collect::<Vec<_>>(),
        "the numbers of cache.proto, in its order"
    );
    let retried = ALL_CODES.map(|code| matches!(failure_code_to_grpc(code), 8 | 14));
    let advised =
        ALL_CODES.map(|code| Failure::new(code, "").advice() == crate::failure::Advice::Retry);
    assert_eq!(
        retried, advised,
        "generic callers retry what we advise to retry"
    );
}

fn get_request() -> pb::GetRequest {
    pb::GetRequest {
        key: Bytes::from_static(b"k"),
        ..Default::default()
    }
}

fn set_request() -> pb::SetRequest {
    pb::SetRequest {
        key: Bytes::from_static(b"k"),
        ..Default::default()
    }
}

fn with(kind: pb::condition::Kind) -> Option<pb::Condition> {
    Some(pb::Condition { kind: Some(kind) })
}

#[test]
fn defaults_are_the_plain_request() {
    let read = WireOperation::try_from(get_request()).unwrap();
    assert_eq!((read.group, read.route), (None, Route::Forward));
    let WireOperation { operation, .. } = set_request().try_into().unwrap();
    assert!(matches!(
        operation,
        Operation::Set {
            ttl: None,
            condition: Condition::Always,
            ..
        }
    ));
}

#[test]
fn malformed_requests_say_what_is_wrong() {
    use pb::condition::Kind::{IfAbsent, IfVersion};
    let long = Bytes::from(vec![b'k'; KEY_BYTES_MAX + 1]);
    let route = Some(pb::Route {
        routing: 9,
        known_epoch: 0,
    });
    let newer = Some(pb::Condition { kind: None });
    let absent = with(IfAbsent(true));
    let key = Bytes::from_static(b"k");
    let gets = [
        (
            pb::GetRequest {
                key: Bytes::new(),
                ..get_request()
            },
            "key is empty; it",
        ),
        (
            pb::GetRequest {
                key: long,
                ..get_request()
            },
            "key has 65537 bytes; the limit is 65536",
        ),
        (
            pb::GetRequest {
                group: "a/b".into(),
                ..get_request()
            },
            "group \"a/b\" may only",
        ),
        (
            pb::GetRequest {
                route,
                ..get_request()
            },
            "route 9 is not a routing",
        ),
    ];
    let sets = [
        (
            pb::SetRequest {
                ttl_ms: Some(0),
                ..set_request()
            },
            "ttl is 0; leave it out",
        ),
        (
            pb::SetRequest {
                ttl_ms: Some(u64::MAX),
                ..set_request()
            },
            "ttl of 18446744073709551615",
        ),
        (
            pb::SetRequest {
                condition: newer,
                ..set_request()
            },
            "condition is none that",
        ),
        (
            pb::SetRequest {
                condition: with(IfAbsent(false)),
                ..set_request()
            },
            "condition is if_absent or if_present with false",
        ),
        (
            pb::SetRequest {
                condition: with(IfVersion(Bytes::from_static(b"v"))),
                ..set_request()
            },
            "version has 1 bytes; a version has exactly 16",
        ),
    ];
    let delete = pb::DeleteRequest {
        key,
        condition: absent,
        ..Default::default()
    };
    let gets = gets.map(|(request, says)| (WireOperation::try_from(request), says));
    let sets = sets.map(|(request, says)| (WireOperation::try_from(request), says));
    let others = [
        (
            delete.try_into(),
            "condition of a delete can only be if_version",
        ),
        (
            pb::Operation { kind: None }.try_into(),
            "operation is none that this version",
        ),
    ];
    for (read, says) in gets.into_iter().chain(sets).chain(others) {
        let problem = read.unwrap_err().to_string();
        assert!(
            problem.starts_with(says),
            "{problem:?} should start with {says:?}"
        );
    }
}

#[test]
fn batches_are_bounded_and_a_bad_item_fails_alone() {
    let keys = vec![Bytes::from_static(b"k"); BATCH_OPERATIONS_MAX];
    let fits = pb::BatchGetRequest {
        keys: keys.clone(),
        ..Default::default()
    };
    assert_eq!(
        WireBatch::try_from(fits).unwrap().operations.len(),
        BATCH_OPERATIONS_MAX
    );

    let keys = [keys, vec![Bytes::from_static(b"k")]].concat();
    let over = pb::BatchGetRequest {
        keys,
        ..Default::default()
    };
    let problem = WireBatch::try_from(over).unwrap_err().to_string();
    assert_eq!(problem, "batch has 1025 items; the limit is 1024");

    let keys = vec![Bytes::from_static(b"k"), Bytes::new()];
    let hole = pb::BatchDeleteRequest {
        keys,
        ..Default::default()
    };
    let operations = WireBatch::try_from(hole).unwrap().operations;
    assert!(operations[0].is_ok());
    let problem = operations[1].clone().unwrap_err().to_string();
    assert_eq!(problem, "key is empty; it needs at least 1 byte");
}

#[test]
fn unreadable_answers_are_unknown() {
    let version = Bytes::from_static(b"short");
    let response = pb::SetResponse {
        stored: true,
        version,
        degraded: false,
    };
    let kind = Some(pb::result::Kind::Set(response));
    for result in [pb::Result { kind }, pb::Result { kind: None }] {
        let failure = outcome_from_pb(result).unwrap_err();
        assert_eq!(
            (failure.code, failure.applied),
            (FailureCode::Internal, Applied::Unknown)
        );
    }
    let touched = Answer {
        reply: Reply::Touch { found: true },
        degraded: false,
    };
    let failure = pb::GetResponse::try_from(touched.clone()).unwrap_err();
    assert_eq!(failure.code, FailureCode::Internal);
    assert!(pb::TouchResponse::try_from(touched).unwrap().found);
}

#[test]
fn failures_of_newer_nodes_are_read_as_far_as_possible() {
    let owner = Some(pb::OwnerHint {
        slot: 99_999,
        ..Default::default()
    });
    let newer = pb::Failure {
        code: 99,
        outcome: 7,
        message: "new".into(),
        field: "new field".into(),
        retry_after_ms: 0,
        owner,
    };
    let read = Failure::from(newer);
    assert_eq!(
        (read.code, read.applied),
        (FailureCode::Internal, Applied::Unknown)
    );
    assert_eq!(
        (read.field, read.retry_after, read.owner),
        (None, None, None)
    );
    assert!(
        Failure::from_wire_bytes(&[]).is_err(),
        "no details are no answer"
    );
    let soon = Failure::new(FailureCode::Busy, "").retry_after(Duration::ZERO);
    assert_eq!(
        pb::Failure::from(soon).retry_after_ms,
        1,
        "0 would mean: no advice"
    );
}
