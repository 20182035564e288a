//! The embedded registry's decisions, without a socket: the state against its own
//! history, and what the conformance suite cannot see through a client.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use etcd_client::WatchOptions;
use etcd_client::proto::{
    PbPutRequest, PbRangeRequest, PbTxnOpRequest, PbTxnRequest, PbTxnRequestOp, PbWatchRequest,
    PbWatchRequestUnion,
};
use proptest::prelude::*;

use super::log::EVENTS_MAX;
use super::requests;
use super::state::{Kv, Refusal, Span, State};
use super::watches::{WATCHES_MAX, Watches};
use crate::clock::{Clock, Moment};
use crate::registry::{EmbeddedRegistry, Range, Registry, RegistryError};
use crate::tasks::Tasks;

#[derive(Clone, Debug)]
enum Step {
    Put { key: u8, lease: usize },
    Delete { from: u8, to: u8 },
    Grant { seconds: i64 },
    KeepAlive { lease: usize },
    Revoke { lease: usize },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..8_u8, 0..4_usize).prop_map(|(key, lease)| Step::Put { key, lease }),
        1 => (0..8_u8, 0..8_u8).prop_map(|(from, to)| Step::Delete { from, to }),
        2 => (0..10_i64).prop_map(|seconds| Step::Grant { seconds }),
        1 => (0..4_usize).prop_map(|lease| Step::KeepAlive { lease }),
        1 => (0..4_usize).prop_map(|lease| Step::Revoke { lease }),
        2 => (0..6_u64).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

fn records(state: &State) -> BTreeMap<Bytes, Kv> {
    state
        .range(&Span::all())
        .map(|kv| (kv.key.clone(), kv.clone()))
        .collect()
}

/// Carries a step out; answers whether something must have changed.
fn take(state: &mut State, step: Step, leases: &mut Vec<i64>, now: &mut Moment) {
    let lease_at = |leases: &[i64], index: usize| leases.iter().rev().nth(index).copied();
    state.expire(*now);
    match step {
        Step::Put { key, lease } => {
            let lease = lease_at(leases, lease)
                .filter(|id| state.has_lease(*id))
                .unwrap_or(0);
            state.write().put(vec![key].into(), "v".into(), lease);
        }
        Step::Delete { from, to } => {
            state.write().delete(&Span::new(vec![from], vec![to]));
        }
        Step::Grant { seconds } => leases.push(state.grant(0, seconds, *now).unwrap().0),
        Step::KeepAlive { lease } => {
            let id = lease_at(leases, lease).unwrap_or(99);
            let alive = state.has_lease(id);
            assert_eq!(state.keep_alive(id, *now) > 0, alive);
        }
        Step::Revoke { lease } => {
            let id = lease_at(leases, lease).unwrap_or(99);
            assert_eq!(state.has_lease(id), state.revoke(id).is_ok());
        }
        Step::Wait { seconds } => *now = *now + Duration::from_secs(seconds),
    }
}

proptest! {
    /// Whoever reads at some revision and then follows the watch knows what is there,
    /// and nothing hangs on a lease that is gone.
    #[test]
    fn a_read_and_its_watch_tell_the_truth(steps in prop::collection::vec(step(), 1..80)) {
        let (mut state, mut now) = (State::new(), Moment::default());
        let mut leases = Vec::new();
        let mut reads = vec![(state.revision(), records(&state))];
        for step in steps {
            take(&mut state, step, &mut leases, &mut now);
            reads.push((state.revision(), records(&state)));
        }
        state.expire(now);
        for (revision, mut known) in reads {
            let mut last = revision;
            for event in state.tell(&Span::all(), revision + 1).unwrap().events {
                prop_assert!(event.kv.mod_revision >= last);
                last = event.kv.mod_revision;
                if event.deleted {
                    prop_assert!(known.remove(&event.kv.key).is_some(), "deleted twice");
                } else {
                    known.insert(event.kv.key.clone(), event.kv);
                }
            }
            prop_assert_eq!(known, records(&state));
        }
        let all = records(&state);
        prop_assert!(all.values().all(|kv| kv.lease == 0 || state.has_lease(kv.lease)));
    }
}

#[test]
fn leases_end_at_their_deadline_and_not_before() {
    let mut state = State::new();
    let start = Moment::default();
    let (id, ttl) = state.grant(0, 5, start).unwrap();
    assert_eq!((id, ttl), (1, 5));
    assert_eq!(state.grant(1, 5, start), Err(Refusal::LeaseExists));
    state.write().put("k".into(), "v".into(), id);
    state.expire(start + Duration::from_millis(4_999));
    assert!(state.get(b"k").is_some());
    assert_eq!(state.keep_alive(id, start + Duration::from_secs(4)), 5);
    assert_eq!(state.next_deadline(), Some(start + Duration::from_secs(9)));
    state.expire(start + Duration::from_secs(9));
    assert_eq!((state.get(b"k"), state.next_deadline()), (None, None));
}

#[test]
fn old_history_is_forgotten_by_itself() {
    let mut state = State::new();
    for _ in 0..=EVENTS_MAX {
        state.write().put("k".into(), "v".into(), 0);
    }
    assert_eq!(state.tell(&Span::all(), 2), Err(3));
    assert!(state.tell(&Span::all(), 3).is_ok());
}

#[test]
fn there_is_a_limit_to_what_it_holds() {
    let mut state = State::new();
    let put = |key: u32| PbPutRequest {
        key: key.to_be_bytes().to_vec(),
        value: vec![0; 1 << 20],
        ..PbPutRequest::default()
    };
    let refused = (0..300).find_map(|key| requests::put(&mut state, put(key)).err());
    assert_eq!(refused, Some(Refusal::NoSpace));
    // What is there can still be changed to something smaller, and deleted.
    state.write().delete(&Span::all());
    assert!(requests::put(&mut state, put(0)).is_ok());
}

#[test]
fn what_is_left_out_is_refused_by_name() {
    let mut state = State::new();
    let past = PbRangeRequest {
        key: b"k".to_vec(),
        revision: 1,
        ..PbRangeRequest::default()
    };
    let nested = PbTxnRequest {
        success: vec![PbTxnRequestOp {
            request: Some(PbTxnOpRequest::RequestTxn(PbTxnRequest::default())),
        }],
        ..PbTxnRequest::default()
    };
    let put = PbPutRequest {
        key: b"k".to_vec(),
        prev_kv: true,
        ..PbPutRequest::default()
    };
    let refusals = [
        requests::range(&state, past).err(),
        requests::txn(&mut state, nested).err(),
        requests::put(&mut state, put).err(),
    ];
    for refusal in refusals {
        assert!(
            matches!(refusal, Some(Refusal::Unsupported(_))),
            "{refusal:?}"
        );
    }
}

fn opened(state: &State, from: i64) -> Watches {
    let mut watches = Watches::default();
    let options = WatchOptions::new()
        .with_all_keys()
        .with_start_revision(from);
    watches.take(PbWatchRequest::from(options), state);
    assert!(watches.next(state).unwrap().created);
    watches
}

#[test]
fn progress_is_told_after_the_changes() {
    let mut state = State::new();
    let mut watches = opened(&state, 0);
    state.write().put("k".into(), "v".into(), 0);
    let progress = Some(PbWatchRequestUnion::ProgressRequest(Default::default()));
    watches.take(
        PbWatchRequest {
            request_union: progress,
        },
        &state,
    );
    assert_eq!(watches.next(&state).unwrap().events.len(), 1);
    let told = watches.next(&state).unwrap();
    assert_eq!((told.watch_id, told.header.unwrap().revision), (-1, 2));
    assert_eq!(watches.next(&state), None);
}

#[test]
fn a_watch_that_reads_too_slowly_is_cancelled() {
    let mut state = State::new();
    let mut watches = opened(&state, 0);
    for _ in 0..=EVENTS_MAX {
        state.write().put("k".into(), "v".into(), 0);
    }
    let told = watches.next(&state).unwrap();
    assert!(told.canceled);
    assert_eq!(told.compact_revision, 3);
    assert_eq!(watches.next(&state), None);
}

#[test]
fn a_stream_carries_so_many_watches_and_no_more() {
    let state = State::new();
    let mut watches = Watches::default();
    for _ in 0..WATCHES_MAX {
        watches.take(
            PbWatchRequest::from(WatchOptions::new().with_key("k")),
            &state,
        );
        assert!(watches.next(&state).unwrap().created);
    }
    watches.take(
        PbWatchRequest::from(WatchOptions::new().with_key("k")),
        &state,
    );
    assert!(watches.next(&state).unwrap().created);
    assert!(watches.next(&state).unwrap().canceled);
}

/// A lease ends and a watch sees it though nobody asks anything.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_lease_needs_no_request() {
    let tasks = Tasks::new();
    let clock = Clock::tokio(0);
    let registry = Registry::embedded(&EmbeddedRegistry::start(&clock, &tasks))
        .await
        .unwrap();
    let mut watch = registry.watch("", 0).await.unwrap();
    let (lease, _) = registry.grant(Duration::from_secs(30)).await.unwrap();
    let put = crate::registry::Write::Put {
        key: "k".into(),
        value: "v".into(),
        lease,
    };
    let txn = crate::registry::Txn {
        compares: vec![],
        writes: vec![put],
    };
    registry.txn(txn).await.unwrap();
    watch.next().await.unwrap();
    let put_at = clock.now();
    watch.next().await.unwrap();
    let waited = clock.now().since(put_at).as_secs_f64();
    assert!((29.0..31.0).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_tasks() {
    let tasks = Tasks::new();
    let server = EmbeddedRegistry::start(&Clock::tokio(0), &tasks);
    let registry = Registry::embedded(&server).await.unwrap();
    let mut watch = registry.watch("", 0).await.unwrap();
    assert_eq!(tasks.stop_within(Duration::from_secs(5)).await, []);
    assert!(matches!(watch.next().await, Err(RegistryError::Unknown(_))));
    let error = registry.read(Range::Key("k".into())).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unavailable(_)), "{error}");
}
