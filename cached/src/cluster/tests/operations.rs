//! What operators ask of a cluster, through the handle. Nothing moves here: peers take
//! no moves.

use std::time::Duration;

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operations::{OperationState, Want};
use cached_proto::records::{MemberRecord, Mode};
use cached_proto::types::SLOTS;

use super::net::{Member, Net};
use crate::cluster::draft::Ask;
use crate::cluster::operations::{ApplyOptions, Control};
use crate::cluster::{ClusterConfig, testing};

const SECOND: Duration = Duration::from_secs(1);

fn drain(name: &str) -> Ask {
    Ask {
        drain: [name.parse().unwrap()].into(),
        by: "ann@desk".to_owned(),
        ..Ask::default()
    }
}

fn told<T: std::fmt::Debug>(result: Result<T, Failure>) -> (FailureCode, String) {
    let failure = result.unwrap_err();
    (failure.code, failure.message)
}

fn state(member: &Member, id: &str) -> Option<OperationState> {
    let view = member.view.load();
    view.operation(id).map(|operation| operation.record.state)
}

#[tokio::test(start_paused = true)]
async fn a_change_is_planned_applied_controlled_and_cancelled() {
    let mut net = Net::new();
    let members = net.members(3, Mode::Available).await;
    let (n1, n3) = (&members[0].cluster, &members[2].cluster);
    let planned = n3.plan(drain("n2")).await.unwrap();
    assert_eq!(
        (planned.state, planned.base_layout),
        (OperationState::Planned, 1)
    );
    let other = n1.plan(drain("n3")).await.unwrap();

    let options = ApplyOptions {
        max_rate: 1000,
        deadline: Some(60 * SECOND),
        by: "ann@desk".to_owned(),
        ..ApplyOptions::default()
    };
    let running = n1.apply(&planned.id, 1, options).await.unwrap();
    assert_eq!(
        (running.state, running.layout),
        (OperationState::Running, 2)
    );
    assert_eq!(running.max_rate, 1000);
    assert_eq!(running.deadline_ms, running.requested_ms + 60_000);
    let view = members[0].view.load_full();
    assert_eq!((view.layout, view.to_move), (2, 5461));
    assert_eq!(view.intents[&"n2".parse().unwrap()].want, Want::Drain);

    // The same again is the one that runs; another one is not begun.
    let again = n1.plan(drain("n2")).await.unwrap();
    let again = n1.apply(&again.id, 2, ApplyOptions::default()).await;
    assert_eq!(again.unwrap().id, planned.id);
    let refused = told(n1.apply(&other.id, 1, ApplyOptions::default()).await);
    let id = &planned.id;
    let text = format!("operation {id} (drain n2) is running");
    assert_eq!(refused, (FailureCode::Conflict, text));

    let paused = n3.control(id, Control::Pause, "ann@desk").await.unwrap();
    assert_eq!(paused.state, OperationState::Paused);
    let resumed = n1.control(id, Control::Resume, "ann@desk").await.unwrap();
    assert_eq!(resumed.state, OperationState::Running);
    let limited = n1.control(id, Control::Rate(5), "ann@desk").await.unwrap();
    assert_eq!(limited.max_rate, 5);
    n3.control(id, Control::Cancel, "ann@desk").await.unwrap();
    let cancelled = || state(&members[0], id) == Some(OperationState::Cancelled);
    net.until(3 * SECOND, cancelled).await;
    let view = members[0].view.load_full();
    assert_eq!((view.layout, view.to_move), (3, 0));
    assert!(view.intents.is_empty());

    let over = told(n1.control(id, Control::Pause, "ann@desk").await);
    let text = format!("operation {id} is cancelled");
    assert_eq!(over, (FailureCode::Conflict, text));
    let stale = told(n1.apply(&other.id, 1, ApplyOptions::default()).await);
    assert_eq!(stale.0, FailureCode::Conflict);
    let text = "planned for layout 1, and the layout is 3 now: plan again";
    assert!(stale.1.ends_with(text), "{}", stale.1);
    for unknown in ["op-12345678", "n1", ""] {
        let told = told(n1.apply(unknown, 1, ApplyOptions::default()).await);
        assert_eq!(told.0, FailureCode::NotFound, "{unknown}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_leaves_waits_for_its_slots_while_somebody_could_take_them() {
    let mut net = Net::new();
    let members = net.members(1, Mode::Available).await;
    let before = net.clock.now();
    let left = members[0].cluster.leave(60 * SECOND).await;
    assert_eq!(left, u32::from(SLOTS), "nobody else is there");
    assert_eq!(net.clock.now(), before);

    let mut net = Net::new();
    let members = net.members(3, Mode::Available).await;
    let left = members[1].cluster.leave(5 * SECOND).await;
    assert!((5461..=5462).contains(&left), "nothing moves here: {left}");
    let view = members[0].view.load_full();
    let open = view.open_operation().unwrap();
    assert_eq!(open.record.by, "n2");
    members[1].cluster.sign_off(SECOND).await;
    let done = || state(&members[0], &open.record.id) == Some(OperationState::Done);
    net.until(20 * SECOND, done).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_removed_is_told_when_it_may_go() {
    let mut net = Net::new();
    let members = net.members(2, Mode::Available).await;
    let record = MemberRecord {
        standby: true,
        ..testing::member("n3")
    };
    let config = ClusterConfig {
        member: Some(record),
        ..net.config("n3", 1, Mode::Available)
    };
    let n3 = net.start(config).await.unwrap();
    net.clock.sleep(2 * SECOND).await;
    let n1 = &members[0].cluster;
    let remove = Ask {
        remove: ["n3".parse().unwrap()].into(),
        ..Ask::default()
    };
    let planned = n1.plan(remove).await.unwrap();
    let early = tokio::time::timeout(SECOND, n3.cluster.asked_to_leave()).await;
    assert!(early.is_err());
    n1.apply(&planned.id, 1, ApplyOptions::default())
        .await
        .unwrap();
    n3.cluster.asked_to_leave().await;
    assert_eq!(
        state(&members[0], &planned.id),
        Some(OperationState::Running)
    );
    n3.cluster.sign_off(SECOND).await;
    let done = || state(&members[0], &planned.id) == Some(OperationState::Done);
    net.until(5 * SECOND, done).await;
    let tidied = || members[0].view.load().intents.is_empty();
    net.until(5 * SECOND, tidied).await;
}
