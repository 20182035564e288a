//! Every seed through its target. `BLESS=1 cargo test -p cached-fuzz` writes the seeds
//! that are made by code anew; those that were found stay.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a panic is how a test fails, and it says which seed it was"
)]

use std::fs;
use std::path::PathBuf;

use cached_fuzz::TARGETS;
use cached_proto::convert::operation_to_pb;
use cached_proto::operation::{Condition, Operation, Route};
use cached_proto::pb::cached::cache::v1 as cache;
use cached_proto::pb::cached::peer::v1 as peer;
use cached_proto::types::{Epoch, GroupName, Key, Ttl};
use prost::Message;

fn folder(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "seeds", target]
        .iter()
        .collect()
}

/// A message with the byte that chooses it in front.
fn message(kind: u8, message: impl Message) -> Vec<u8> {
    [vec![kind], message.encode_to_vec()].concat()
}

fn peer_messages() -> Vec<(&'static str, Vec<u8>)> {
    let group = GroupName::new("users").unwrap();
    let key = || Key::new("user:1").unwrap();
    let set = Operation::Set {
        key: key(),
        value: "value".into(),
        ttl: Some(Ttl::from_ms(60_000).unwrap()),
        condition: Condition::IfAbsent,
    };
    let delete = Operation::Delete {
        key: key(),
        condition: Condition::Always,
    };
    let known = Route::OwnerOnly {
        known_epoch: Epoch(7),
    };
    let get = cache::GetResponse {
        found: true,
        value: "value".into(),
        version: vec![1; 16].into(),
        ttl_ms: Some(5),
        value_bytes: 5,
        ..Default::default()
    };
    let answer = cache::Result {
        kind: Some(cache::result::Kind::Get(get)),
    };
    let failure = cache::Failure {
        code: 6,
        outcome: 1,
        message: "asked elsewhere".to_owned(),
        field: "key".to_owned(),
        retry_after_ms: 100,
        owner: Some(cache::OwnerHint {
            slot: 9,
            epoch: 3,
            name: "n1".to_owned(),
            incarnation: "0".repeat(32),
            address: "n1:8001".to_owned(),
            also: vec![cache::OwnedSlot { slot: 10, epoch: 3 }],
        }),
    };
    let gets = cache::BatchGetRequest {
        group: "users".to_owned(),
        keys: vec!["a".into(), "b".into()],
        ..Default::default()
    };
    let item = cache::batch_set_request::Item {
        key: "a".into(),
        value: "1".into(),
        ttl_ms: Some(9),
        condition: None,
    };
    let sets = cache::BatchSetRequest {
        items: vec![item],
        ..Default::default()
    };
    let deletes = cache::BatchDeleteRequest {
        keys: vec!["a".into()],
        ..Default::default()
    };
    let aborted = peer::MoveAborted {
        reason: "later".to_owned(),
    };
    let aborted = peer::MoveRequest {
        step: Some(peer::move_request::Step::Aborted(aborted)),
    };
    let changes = peer::MoveRequest {
        step: Some(peer::move_request::Step::Changes(Default::default())),
    };
    let granted = peer::MoveResponse {
        step: Some(peer::move_response::Step::Granted(peer::MoveGranted {
            bytes: 1 << 20,
        })),
    };
    vec![
        ("set", message(0, operation_to_pb(&group, set, known))),
        (
            "delete",
            message(0, operation_to_pb(&group, delete, Route::Forward)),
        ),
        ("found", message(1, answer)),
        ("batch_get", message(2, gets)),
        ("batch_set", message(3, sets)),
        ("batch_delete", message(4, deletes)),
        ("failure", message(5, failure)),
        ("slot_map", [vec![6], vec![0xaa; 2048]].concat()),
        ("move_aborted", message(7, aborted)),
        ("move_changes", message(7, changes)),
        ("move_granted", message(7, granted)),
    ]
}

fn bless() {
    let folder = folder("peer_messages");
    fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in peer_messages() {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

#[test]
fn every_seed_runs_through_its_target() {
    if std::env::var_os("BLESS").is_some() {
        bless();
    }
    for (name, target) in TARGETS {
        let mut seeds: Vec<_> = fs::read_dir(folder(name))
            .unwrap_or_else(|error| panic!("no seeds for {name}: {error}"))
            .map(|entry| entry.unwrap().path())
            .collect();
        seeds.sort();
        assert!(seeds.len() >= 5, "{name} has {} seeds", seeds.len());
        for seed in seeds {
            println!("{}", seed.display());
            let bytes = fs::read(&seed).unwrap();
            target(&bytes);
            // Cut anywhere, it is handled as well.
            (0..bytes.len())
                .step_by(7)
                .for_each(|end| target(&bytes[..end]));
        }
    }
}

#[test]
fn seeds_made_by_code_are_as_the_code_makes_them() {
    for (name, bytes) in peer_messages() {
        let kept = fs::read(folder("peer_messages").join(name)).unwrap_or_default();
        assert!(kept == bytes, "{name} is old; write it anew with BLESS=1");
    }
}
