//! Changes of the layout: planned, asked for, told, followed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cached_proto::failure::FailureCode;
use cached_proto::operations::{MoveCounts, OperationState, ProgressRecord};
use cached_proto::pb::cached::admin::v1 as pb;
use cached_proto::types::NodeName;

use super::super::OperationWatch;
use super::super::fixture::{self, World};
use crate::cluster::draft::Ask;
use crate::cluster::operations::{ApplyOptions, Control};
use crate::cluster::view::{ClusterView, OperationView};

fn name(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn drain(names: &[&str]) -> Ask {
    Ask {
        drain: names.iter().map(|it| name(it)).collect(),
        by: "alice@host".to_owned(),
        ..Ask::default()
    }
}

/// n2 has moved 100 slots to n1 for op-1, which is in this state.
fn moved(state: OperationState, revision: i64) -> Arc<OperationView> {
    let counts = MoveCounts {
        slots: 100,
        keys: 1_000,
        bytes: 64_000,
        sent: 1_010,
        acknowledged: 1_010,
        ..MoveCounts::default()
    };
    let progress = ProgressRecord {
        put_off: Default::default(),
        to: [(name("n1"), counts)].into(),
    };
    Arc::new(OperationView {
        record: fixture::operation("op-1", state),
        mod_revision: 5,
        revision,
        progress: BTreeMap::from([(name("n2"), progress)]),
    })
}

/// Puts the drain of n2 in force.
fn draining(view: &mut ClusterView, state: OperationState, revision: i64) {
    view.plan = Some(Arc::new(fixture::drained(view, "n2")));
    view.to_move = 5461;
    view.operations = vec![moved(state, revision)];
}

/// What n2 says that it sends to n1.
fn sending(world: &World) {
    let pair = pb::PairProgress {
        to: "n1".to_owned(),
        keys_left: 40_000,
        bytes_left: 4_000_000,
        bytes_per_second: 1_000_000,
        tries: 1,
        last_error: "deadline exceeded".to_owned(),
        slots_left: 1,
        ..pb::PairProgress::default()
    };
    world.peers.moves.lock().insert("n2".to_owned(), vec![pair]);
}

#[tokio::test]
async fn a_plan_is_kept_checked_and_asked_for() {
    let world = World::new();
    let plan = world.operator.plan(drain(&["n2"])).await.unwrap();
    assert_eq!((plan.id.as_str(), plan.base_layout), ("op-00000007", 1));
    assert!(plan.moves.iter().all(|it| it.from == "n2"));
    assert_eq!(plan.checks.len(), 5);
    assert_eq!(plan.operation.unwrap().state, "planned");

    let options = ApplyOptions {
        max_rate: 1 << 20,
        message: "disk swap".to_owned(),
        by: "alice@host".to_owned(),
        ..ApplyOptions::default()
    };
    let applied = world
        .operator
        .apply_plan(&plan.id, 1, options)
        .await
        .unwrap();
    assert_eq!(
        (applied.state.as_str(), applied.max_rate_bytes),
        ("running", 1 << 20)
    );
    let paused = world
        .operator
        .control_operation(&plan.id, Control::Pause, "bob@host")
        .await
        .unwrap();
    assert_eq!(paused.state, "paused");
    let asked = world.cluster.asked.lock().clone();
    assert!(
        asked[1].starts_with("op-00000007 1 ApplyOptions"),
        "{asked:?}"
    );
    assert_eq!(asked[2], "op-00000007 Pause bob@host");
}

#[tokio::test]
async fn what_cannot_be_planned_says_why_and_leaves_nothing_behind() {
    let world = World::new();
    let plan = world
        .operator
        .plan(drain(&["n1", "n2", "n3"]))
        .await
        .unwrap();
    assert!(plan.id.is_empty() && plan.moves.is_empty());
    assert_eq!(plan.checks[0].result(), pb::CheckResult::Refused);
    assert!(world.cluster.asked.lock().is_empty());
    let unknown = world.operator.plan(drain(&["n9"])).await.unwrap_err();
    assert_eq!(unknown.code, FailureCode::NotFound);
    let noisy = Ask {
        by: "two\nlines".to_owned(),
        ..drain(&["n2"])
    };
    let failure = world.operator.plan(noisy).await.unwrap_err();
    assert_eq!(failure.field, Some("by"));
}

#[tokio::test]
async fn a_kept_plan_can_be_checked_again_until_it_is_none() {
    let world = World::new();
    let unknown = world.operator.planned("op-1", false).await.unwrap_err();
    assert_eq!(unknown.code, FailureCode::NotFound);
    world.publish(|view| {
        let mut record = fixture::operation("op-1", OperationState::Planned);
        record.draft = Some(fixture::drained(view, "n2"));
        view.operations = vec![fixture::known(record, 3)];
    });
    let plan = world.operator.planned("op-1", false).await.unwrap();
    let slots: u32 = plan.moves.iter().map(|it| it.slots).sum();
    assert_eq!(slots, 5461);
    world.publish(|view| draining(view, OperationState::Running, 6));
    let failure = world.operator.planned("op-1", false).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::Conflict);
}

#[tokio::test]
async fn operations_join_what_the_registry_holds_with_what_senders_say() {
    let world = World::new();
    sending(&world);
    world.publish(|view| {
        draining(view, OperationState::Running, 9);
        let planned = fixture::operation("op-2", OperationState::Planned);
        view.operations.push(fixture::known(planned, 7));
    });
    let shown = world.operator.operations(false).await;
    assert_eq!(shown.len(), 1, "what is only planned is shown on demand");
    assert_eq!(world.operator.operations(true).await.len(), 2);
    let running = &shown[0];
    assert_eq!(running.slots_left, 5461);
    assert_eq!((running.keys_left, running.bytes_left), (40_000, 4_000_000));
    assert_eq!(
        (running.bytes_per_second, running.eta_ms),
        (1_000_000, 4_000)
    );
    let moved = running.moved.as_ref().unwrap();
    assert_eq!((moved.slots, moved.keys, moved.sent), (100, 1_000, 1_010));
    let pair = running.pairs.iter().find(|pair| pair.to == "n1").unwrap();
    assert_eq!((pair.from.as_str(), pair.tries), ("n2", 1));
    assert_eq!(pair.moved.as_ref().unwrap().keys, 1_000);
    assert!(pair.slots_left > 1, "counted here, not told");

    world.peers.silent.lock().insert("n2".to_owned());
    let shown = world.operator.operations(false).await;
    assert_eq!(shown[0].unanswered, ["n2"]);
    assert_eq!(shown[0].moved.as_ref().unwrap().keys, 1_000);
    // Of one that has ended nobody is asked.
    world.publish(|view| draining(view, OperationState::Done, 10));
    let shown = world.operator.operations(false).await;
    assert!(shown[0].unanswered.is_empty() && shown[0].slots_left == 0);
}

#[tokio::test]
async fn a_receiver_that_is_down_is_said_to_be_waited_for() {
    let world = World::new();
    world.publish(|view| {
        draining(view, OperationState::Running, 9);
        view.members[2].record = None;
    });
    let shown = world.operator.operations(false).await;
    let pair = shown[0].pairs.iter().find(|pair| pair.to == "n3").unwrap();
    assert_eq!(pair.blocked, "n3 is down");
}

#[tokio::test]
async fn whoever_watches_is_told_every_change_and_how_it_goes() {
    let world = World::new();
    sending(&world);
    world.publish(|view| draining(view, OperationState::Running, 9));
    let mut watch = OperationWatch::new("op-1".to_owned(), 0);
    let mut next = async || world.operator.next_operation(&mut watch).await.unwrap();
    let first = next().await;
    assert_eq!(
        (first.sequence, first.operation.unwrap().state.as_str()),
        (9, "running")
    );
    // Nothing changes, and it is told all the same, under the same number.
    let again = next().await;
    assert_eq!(
        (again.sequence, again.operation.unwrap().keys_left),
        (9, 40_000)
    );
    world.publish(|view| draining(view, OperationState::Done, 12));
    let last = next().await;
    assert_eq!(
        (last.sequence, last.operation.unwrap().state.as_str()),
        (12, "done")
    );
    let more = tokio::time::timeout(Duration::from_millis(50), next()).await;
    assert!(more.is_err(), "there is nothing more to tell");
}

#[tokio::test]
async fn another_node_goes_on_where_one_ended() {
    let world = World::new();
    let other = |id: &str, revision| {
        let record = fixture::operation(id, OperationState::Done);
        fixture::known(record, revision)
    };
    world.publish(|view| {
        view.operations = vec![other("op-1", 4), other("op-2", 8), other("op-3", 8)];
    });
    let told = async |from: u64, count: usize| {
        let mut watch = OperationWatch::new(String::new(), from);
        let mut told = Vec::new();
        for _ in 0..count {
            let next = world.operator.next_operation(&mut watch).await.unwrap();
            told.push((next.sequence, next.operation.unwrap().id));
        }
        told
    };
    let pair = |sequence, id: &str| (sequence, id.to_owned());
    let all = told(0, 3).await;
    assert_eq!(all, [pair(4, "op-1"), pair(7, "op-2"), pair(8, "op-3")]);
    // Whoever was told the first of two with the same number is told both again.
    assert_eq!(told(7, 2).await, [pair(7, "op-2"), pair(8, "op-3")]);
}

#[tokio::test]
async fn an_operation_that_nobody_has_heard_of_is_waited_for_a_little() {
    let world = World::new();
    let mut watch = OperationWatch::new("op-1".to_owned(), 0);
    let publish = async {
        tokio::task::yield_now().await;
        world.publish(|view| view.operations = vec![moved(OperationState::Done, 9)]);
    };
    let (told, ()) = tokio::join!(world.operator.next_operation(&mut watch), publish);
    assert_eq!(told.unwrap().sequence, 9);
    let mut watch = OperationWatch::new("op-9".to_owned(), 0);
    let failure = world.operator.next_operation(&mut watch).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::NotFound);
}

#[tokio::test]
async fn a_node_that_is_cut_off_sends_whoever_watches_elsewhere() {
    let world = World::new();
    let lost = world.clock.now();
    world.publish(|view| {
        view.registry_lost_since = Some(lost);
        view.operations = vec![moved(OperationState::Done, 9)];
    });
    let mut watch = OperationWatch::new("op-1".to_owned(), 0);
    let told = world.operator.next_operation(&mut watch).await.unwrap();
    assert_eq!(told.sequence, 9, "what it knows it tells");
    assert!(world.operator.may_be_followed().is_ok());
    for id in ["op-1", "op-9", ""] {
        let mut watch = OperationWatch::new(id.to_owned(), 9);
        let failure = world.operator.next_operation(&mut watch).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::Unavailable);
        assert_eq!(failure.message, "this node cannot read the registry");
    }
    assert!(world.operator.may_be_followed().is_err());
}
