//! Crashes, outages and farewells of running members.

use std::time::Duration;

use bytes::Bytes;
use cached_proto::failure::FailureCode;
use cached_proto::operation::{Condition, Operation};
use cached_proto::records::{BlacklistRecord, GroupRecord, Mode, Policy};
use cached_proto::types::{Key, SLOTS};

use super::net::{Member, Net, whole};
use crate::cluster::view::{FenceReason, Serving};
use crate::store::GroupSettings;

const SECOND: Duration = Duration::from_secs(1);

/// Puts an entry into some slot of a member.
fn store_one(member: &Member, net: &Net) -> Operation {
    let group = member
        .store
        .set_group(&"g".parse().unwrap(), GroupSettings::default());
    let slot = member.store.slots()[0].slot;
    let key = Key::new("k").unwrap();
    let set = Operation::Set {
        key: key.clone(),
        value: Bytes::from_static(b"v"),
        ttl: None,
        condition: Condition::Always,
    };
    member
        .store
        .execute(slot, group, &set, net.clock.wall())
        .unwrap();
    set
}

fn entries(member: &Member) -> u64 {
    member.store.slots().iter().map(|slot| slot.keys).sum()
}

#[tokio::test(start_paused = true)]
async fn a_killed_member_is_succeeded_after_g_and_not_before() {
    let mut net = Net::new();
    let members = net.members(3, Mode::Available).await;
    let (living, dead) = members.split_at(2);
    net.kill(&dead[0]).await;
    let gone = || {
        living
            .iter()
            .all(|member| member.view.load().members[2].record.is_none())
    };
    let seen = net.until(8 * SECOND, gone).await;
    net.clock.sleep(Duration::from_millis(5_450)).await;
    assert!(!whole(living), "before G");
    let took = net.until(6 * SECOND, || whole(living)).await;
    assert!(seen + took < 7 * SECOND, "{seen:?} + G + {took:?}");
    let lost: u64 = living
        .iter()
        .map(|member| member.counters.slots_lost.get())
        .sum();
    assert!((5461..=5462).contains(&lost));
    net.clock.sleep(2 * SECOND).await;
    assert_eq!(living[0].cluster.problems(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_planners_death_is_seen_to_by_a_deputy() {
    let mut net = Net::new();
    let members = net.members(3, Mode::Strict).await;
    let planner = members[0].view.load().planner.clone().unwrap();
    let dead = members
        .iter()
        .position(|m| m.cluster.identity().id.unwrap().name == planner);
    let dead = dead.unwrap();
    net.kill(&members[dead]).await;
    let living = || {
        members
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != dead)
            .map(|(_, m)| m)
    };
    let took = net.until(14 * SECOND, || whole(living())).await;
    assert!(took > 8 * SECOND, "{took:?}");
    assert_ne!(
        living().next().unwrap().view.load().planner.as_ref(),
        Some(&planner)
    );
}

#[tokio::test(start_paused = true)]
async fn a_signed_off_member_is_succeeded_at_once() {
    let mut net = Net::new();
    let members = net.members(3, Mode::Available).await;
    store_one(&members[2], &net);
    assert_eq!(members[2].cluster.sign_off(5 * SECOND).await, 1);
    let fence = members[2].view.fence().check(net.clock.now());
    assert_eq!(fence, Serving::Fenced(FenceReason::Stopping));
    let took = net.until(3 * SECOND, || whole(&members[..2])).await;
    assert!(took < 2 * SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_sign_off_without_the_registry_just_ends() {
    let mut net = Net::new();
    let members = net.members(1, Mode::Available).await;
    net.wire.cut();
    let start = net.clock.now();
    members[0].cluster.sign_off(3 * SECOND).await;
    assert!(net.clock.now().since(start) <= 4 * SECOND);
    let fence = members[0].view.fence().check(net.clock.now());
    assert_eq!(fence, Serving::Fenced(FenceReason::Stopping));
}

/// The registry is away for two lease times, forgets nobody's slots, and all come
/// back as who they were, with their entries.
#[tokio::test(start_paused = true)]
async fn an_outage_of_two_lease_times_loses_nothing() {
    let mut net = Net::new();
    let members = net.members(3, Mode::Available).await;
    members
        .iter()
        .for_each(|member| drop(store_one(member, &net)));
    let ids: Vec<_> = members
        .iter()
        .map(|member| member.cluster.identity().id)
        .collect();
    net.wire.cut();
    for second in 0..60 {
        net.clock.sleep(SECOND).await;
        assert!(whole(&members), "after {second} s");
    }
    let serving = members[0].view.fence().check(net.clock.now());
    assert_eq!(serving, Serving::Degraded);
    let problems = members[0].cluster.problems();
    assert!(
        problems[0].starts_with("the registry has been unreachable for "),
        "{problems:?}"
    );
    net.wire.mend();
    let all_yes = || {
        let yes = |m: &Member| m.view.fence().check(net.clock.now()) == Serving::Yes;
        whole(&members) && members.iter().all(yes)
    };
    net.until(15 * SECOND, all_yes).await;
    net.clock.sleep(120 * SECOND).await;
    assert!(all_yes());
    for (member, id) in members.iter().zip(ids) {
        assert_eq!(member.cluster.identity().id, id);
        assert_eq!((entries(member), member.counters.slots_lost.get()), (1, 0));
        assert_eq!(member.cluster.problems(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn strict_members_fence_after_f_and_keep_their_entries() {
    let mut net = Net::new();
    let members = net.members(2, Mode::Strict).await;
    members
        .iter()
        .for_each(|member| drop(store_one(member, &net)));
    net.wire.cut();
    net.clock.sleep(Duration::from_millis(5_100)).await;
    for member in &members {
        let fence = member.view.fence().check(net.clock.now());
        assert_eq!(fence, Serving::Fenced(FenceReason::Expired));
        let told = member.cluster.problems().join("\n");
        assert!(told.contains("mode strict"), "{told}");
    }
    net.clock.sleep(60 * SECOND).await;
    net.wire.mend();
    net.until(15 * SECOND, || whole(&members)).await;
    assert_eq!(members.iter().map(entries).sum::<u64>(), 2);
}

#[tokio::test(start_paused = true)]
async fn operators_change_groups_and_the_blacklist() {
    let mut net = Net::new();
    let members = net.members(2, Mode::Available).await;
    let cluster = &members[0].cluster;
    let group = GroupRecord {
        name: "pictures".parse().unwrap(),
        max_bytes: Some(1 << 20),
        default_ttl_ms: None,
        policy: Policy::Lru,
        resp_db: None,
    };
    assert_eq!(cluster.create_group(group.clone()).await, Ok(group.clone()));
    assert!(
        members[0].view.load().groups.contains_key(&group.name),
        "seen at once"
    );
    assert_eq!(
        members[1].cluster.create_group(group.clone()).await,
        Ok(group.clone())
    );
    let other = GroupRecord {
        max_bytes: None,
        ..group
    };
    let failure = cluster.create_group(other).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::Conflict);

    let target = members[1].cluster.identity().id.unwrap();
    let now = net.clock.wall().0;
    let entry = BlacklistRecord {
        target: target.name.clone(),
        inc: target.inc,
        reason: "disk".to_owned(),
        by: "ann@desk".to_owned(),
        since_ms: now,
        expires_ms: now + 60_000,
    };
    assert_eq!(cluster.add_blacklist(entry.clone()).await, Ok(()));
    net.until(SECOND, || {
        members[1].view.load().blacklist.contains_key(&target.name)
    })
    .await;
    let own = cluster.identity().id.unwrap();
    let last = BlacklistRecord {
        target: own.name,
        inc: own.inc,
        ..entry
    };
    assert_eq!(
        cluster.add_blacklist(last).await.unwrap_err().code,
        FailureCode::Conflict
    );
    assert_eq!(cluster.remove_blacklist(&target.name).await, Ok(true));
    assert_eq!(cluster.remove_blacklist(&target.name).await, Ok(false));
}

#[tokio::test(start_paused = true)]
async fn somebody_who_knows_more_makes_the_driver_look() {
    let mut net = Net::new();
    let members = net.members(1, Mode::Available).await;
    let number = members[0].view.load().number;
    for _ in 0..1_000 {
        members[0].view.ask_refresh();
    }
    net.clock.sleep(5 * SECOND).await;
    assert_eq!(members[0].view.load().number, number, "nothing had changed");
    assert_eq!(members[0].serves(), usize::from(SLOTS));
}
