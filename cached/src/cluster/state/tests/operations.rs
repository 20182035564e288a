//! Joins, drains, removals: how they begin, what is merged into them, how they end.
//! Slots wait until a test lets them move.

use std::collections::BTreeMap;

use cached_proto::operations::{
    IntentRecord, OperationKind, OperationRecord, OperationState, Want,
};
use cached_proto::records::{MemberRecord, MemberState, Mode, PlanRecord};
use cached_proto::registry_keys::RegistryKey;
use cached_proto::types::NodeName;

use super::super::event::Event;
use super::lifecycle::{self, MINUTE, config, secs};
use super::registry::{keys, member_key};
use super::world::World;
use crate::cluster::ClusterConfig;
use crate::cluster::draft::{Ask, draft};
use crate::cluster::testing;
use crate::registry::Range;

const NONE: [String; 0] = [];

/// A cluster whose members move nothing by themselves.
pub(super) fn cluster(mode: Mode, nodes: usize, seed: u64) -> World {
    let mut world = lifecycle::cluster(mode, nodes, seed);
    world.ledger.hold = true;
    world
}

pub(super) fn get<T: serde::de::DeserializeOwned>(world: &World, key: &RegistryKey) -> Option<T> {
    let record = world.registry.get(&keys().key(key))?;
    Some(serde_json::from_slice(&record.value).unwrap())
}

pub(super) fn plan(world: &World) -> PlanRecord {
    get(world, &RegistryKey::Plan).unwrap()
}

pub(super) fn intent(world: &World, name: &str) -> Option<IntentRecord> {
    get(world, &RegistryKey::Intent(name.parse().unwrap()))
}

/// The weight of a member in the plan in force.
pub(super) fn weight(world: &World, name: &str) -> Option<u32> {
    let members = plan(world).members;
    let member = members.iter().find(|m| m.id.name.as_str() == name);
    member.map(|member| member.weight)
}

pub(super) fn operations(world: &World) -> Vec<OperationRecord> {
    let range = Range::Prefix(format!("{}operations/", keys().prefix()));
    let records = world.registry.read(&range).records;
    let mut records: Vec<OperationRecord> = records
        .iter()
        .filter_map(|record| serde_json::from_slice(&record.value).ok())
        .collect();
    records.sort_by_key(|record| record.requested_ms);
    records
}

pub(super) fn in_state(world: &World, state: OperationState) -> bool {
    operations(world).last().is_some_and(|op| op.state == state)
}

pub(super) fn state_of(world: &World, name: &str) -> MemberState {
    let record = world.registry.get(&member_key(name)).unwrap();
    let record: MemberRecord = serde_json::from_slice(&record.value).unwrap();
    record.state
}

/// A cluster whose batches do not catch up before they are let.
fn held(members: usize, seed: u64) -> World {
    let mut world = cluster(Mode::Available, members, seed);
    world.ledger.hold = true;
    world
}

/// Lets slots move until about so many have, and whatever was sealed by then has ended.
pub(super) fn carry_out(world: &mut World, most: u32) {
    let node = |world: &World| world.nodes.iter().position(|node| node.alive).unwrap();
    let left = |world: &World| world.nodes[node(world)].state.misplaced();
    let enough = left(world).saturating_sub(most);
    world.ledger.hold = false;
    world.run_until(MINUTE, |world| left(world) <= enough);
    world.ledger.hold = true;
    world.run(secs(1.5));
}

pub(super) fn names(names: &[&str]) -> std::collections::BTreeSet<NodeName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

pub(super) fn drains(drained: &[&str]) -> Ask {
    Ask {
        drain: names(drained),
        by: "ann@desk".to_owned(),
        ..Ask::default()
    }
}

/// What an operator would be shown by the first node, asked for at once.
fn requested(world: &World, ask: &Ask, number: u32) -> OperationRecord {
    let now_ms = world.now.as_micros() / 1_000;
    let drafted = draft(&world.nodes[0].view, ask, number, now_ms).unwrap();
    OperationRecord {
        state: OperationState::Requested,
        ..drafted.record
    }
}

pub(super) fn put(world: &mut World, record: &OperationRecord) {
    let key = keys().key(&RegistryKey::Operation(record.id.clone()));
    world.registry.put(&key, record, 0);
    world.run(secs(1.0));
}

pub(super) fn request(world: &mut World, ask: &Ask, number: u32) -> OperationRecord {
    let record = requested(world, ask, number);
    put(world, &record);
    get(world, &RegistryKey::Operation(record.id)).unwrap()
}

#[test]
fn a_late_comer_gets_its_share_after_the_join_delay() {
    let mut world = held(2, 100);
    let late = world.start(&config(Mode::Available, 1), "n3");
    world.run(secs(9.5));
    assert_eq!(world.problems(0), ["n3: waits to be given slots"]);
    assert_eq!(operations(&world), []);
    world.run(secs(1.5));
    let operation = operations(&world).remove(0);
    assert_eq!(operation.kind, OperationKind::Join);
    assert_eq!((operation.by.as_str(), operation.layout), ("auto", 2));
    assert_eq!(operation.nodes, ["n3".parse().unwrap()]);
    let told = format!(
        "operation {} (join n3) is running: 5461 slots left",
        operation.id
    );
    assert!(world.problems(1).contains(&told), "{:?}", world.problems(1));
    assert_eq!(world.nodes[0].view.to_move, 5461);
    carry_out(&mut world, u32::MAX);
    assert!(in_state(&world, OperationState::Done));
    assert_eq!(world.serves(late), 5461);
    assert_eq!(world.problems(0), NONE);
    world.run(MINUTE);
    assert_eq!(plan(&world).layout, 2);
}

#[test]
fn those_that_come_together_join_together() {
    let mut world = held(2, 101);
    world.start(&config(Mode::Available, 1), "n3");
    world.run(secs(0.7));
    world.start(&config(Mode::Available, 1), "n4");
    world.run(secs(12.0));
    let operation = operations(&world).remove(0);
    assert_eq!(operation.nodes.len(), 2);
    // One that comes later waits until this has ended.
    world.start(&config(Mode::Available, 1), "n5");
    world.run(MINUTE);
    assert_eq!(operations(&world).len(), 1);
    carry_out(&mut world, u32::MAX);
    world.run(secs(1.0));
    let last = operations(&world).pop().unwrap();
    assert_eq!(last.nodes, ["n5".parse().unwrap()]);
}

#[test]
fn a_member_on_standby_joins_when_it_is_asked_to() {
    let mut world = held(2, 102);
    let record = MemberRecord {
        standby: true,
        ..testing::member("n3")
    };
    let standby = ClusterConfig {
        member: Some(record),
        ..config(Mode::Available, 1)
    };
    let id = world.start_as(&standby);
    world.run(MINUTE);
    assert_eq!(operations(&world), []);
    assert_eq!(world.problems(0), NONE, "it is where it should be");
    let ask = Ask {
        join: names(&["n3"]),
        ..Ask::default()
    };
    assert_eq!(request(&mut world, &ask, 1).state, OperationState::Running);
    carry_out(&mut world, u32::MAX);
    assert_eq!(world.serves(id), 5461);
}

#[test]
fn a_drained_member_stays_and_is_given_nothing() {
    let mut world = held(3, 103);
    let running = request(&mut world, &drains(&["n2"]), 1);
    assert_eq!(
        (running.state, running.layout),
        (OperationState::Running, 2)
    );
    assert!(running.draft.is_none() && running.started_ms > 0);
    assert_eq!(plan(&world).id, "00000001");
    // Both layouts are kept for those who look back.
    let kept = |layout| get::<PlanRecord>(&world, &RegistryKey::Layout(layout));
    assert_eq!(kept(2), Some(plan(&world)));
    assert_eq!(kept(1).map(|plan| plan.members.len()), Some(3));
    assert_eq!(weight(&world, "n2"), Some(0), "listed: it owns rows");
    assert_eq!(state_of(&world, "n2"), MemberState::Draining);
    carry_out(&mut world, 100);
    assert!((1..=5461 - 100).contains(&world.serves(1)));
    assert!(in_state(&world, OperationState::Running));
    carry_out(&mut world, u32::MAX);
    assert!(in_state(&world, OperationState::Done));
    assert_eq!(
        (world.serves(0), world.serves(1), world.serves(2)),
        (8192, 0, 8192)
    );
    assert_eq!(world.problems(0), NONE);
    world.run(MINUTE);
    assert_eq!(state_of(&world, "n2"), MemberState::Draining);
    // Its next life is drained, too, and nothing of a crash goes to it.
    world.kill(1);
    world.run_until(secs(20.0), |world| !world.registered("n2"));
    world.start(&config(Mode::Available, 1), "n2");
    world.run(secs(30.0));
    world.kill(2);
    world.run_until(secs(20.0), |world| world.serves(0) == 16_384);
    // Until it is asked for.
    let ask = Ask {
        undrain: names(&["n2"]),
        ..Ask::default()
    };
    assert_eq!(request(&mut world, &ask, 2).state, OperationState::Running);
    carry_out(&mut world, u32::MAX);
    assert_eq!(world.serves(3), 8192);
    assert_eq!(state_of(&world, "n2"), MemberState::Up);
}

#[test]
fn what_was_planned_on_other_grounds_is_refused() {
    let mut world = held(3, 104);
    let stale = OperationRecord {
        base_layout: 7,
        ..requested(&world, &drains(&["n2"]), 1)
    };
    put(&mut world, &stale);
    let told = operations(&world).remove(0);
    assert_eq!(told.state, OperationState::Refused);
    assert_eq!(
        told.reason,
        "it was planned for layout 7, and the layout is 1 now"
    );
    let next = requested(&world, &drains(&["n3"]), 3);
    request(&mut world, &drains(&["n2"]), 2);
    put(&mut world, &next);
    let told = operations(&world);
    let told = told.iter().find(|op| op.id == next.id).unwrap();
    assert_eq!(told.state, OperationState::Refused);
    assert_eq!(told.reason, "operation op-00000002 is running");
    assert_eq!(plan(&world).layout, 2);
    assert!(intent(&world, "n3").is_none());
}

#[test]
fn what_names_a_life_that_has_ended_is_refused() {
    let mut world = held(3, 105);
    let drained = requested(&world, &drains(&["n2"]), 1);
    world.kill(2);
    world.run_until(secs(10.0), |world| !world.registered("n3"));
    put(&mut world, &drained);
    let told = operations(&world).remove(0);
    assert_eq!(told.state, OperationState::Refused);
    assert_eq!(told.reason, "n3 has gone, or was restarted, meanwhile");
}

#[test]
fn a_cancelled_drain_leaves_everything_where_it_is() {
    let mut world = held(3, 106);
    let running = request(&mut world, &drains(&["n2"]), 1);
    carry_out(&mut world, 1000);
    let kept = world.serves(1);
    assert!((1..=5461 - 1000).contains(&kept), "{kept}");
    let cancelled = OperationRecord {
        cancel: true,
        reason: "cancelled by ann@desk".to_owned(),
        ..running
    };
    put(&mut world, &cancelled);
    world.run(secs(1.0));
    let told = operations(&world).remove(0);
    assert_eq!((told.state, told.layout), (OperationState::Cancelled, 3));
    let left = format!("cancelled by ann@desk: {kept} slots left: n2 ({kept})");
    assert_eq!(told.reason, left);
    assert_eq!(world.nodes[0].view.to_move, 0);
    assert_eq!(
        (weight(&world, "n2"), intent(&world, "n2")),
        (Some(1), None)
    );
    world.run(MINUTE);
    assert_eq!(state_of(&world, "n2"), MemberState::Up);
    assert_eq!(world.problems(0), NONE);
    assert_eq!(world.serves(1), kept);
}

#[test]
fn a_cancelled_join_does_not_begin_again_by_itself() {
    let mut world = held(2, 107);
    world.start(&config(Mode::Available, 1), "n3");
    world.run(secs(11.0));
    let cancelled = OperationRecord {
        cancel: true,
        ..operations(&world).remove(0)
    };
    put(&mut world, &cancelled);
    world.run(MINUTE);
    assert_eq!(operations(&world).len(), 1);
    assert!(in_state(&world, OperationState::Cancelled));
    assert_eq!(intent(&world, "n3").unwrap().want, Want::Drain);
    assert_eq!(world.problems(0), NONE);
    let ask = Ask {
        join: names(&["n3"]),
        ..Ask::default()
    };
    assert_eq!(request(&mut world, &ask, 1).state, OperationState::Running);
}

#[test]
fn an_operation_that_is_late_fails_and_says_what_is_left() {
    let mut world = held(3, 108);
    let late = OperationRecord {
        deadline_ms: world.now.as_micros() / 1_000 + 5_000,
        ..requested(&world, &drains(&["n2"]), 1)
    };
    put(&mut world, &late);
    carry_out(&mut world, 461);
    let kept = world.serves(1);
    assert!((1..=5000).contains(&kept), "{kept}");
    world.run(secs(6.0));
    let told = operations(&world).remove(0);
    assert_eq!(told.state, OperationState::Failed);
    assert_eq!(
        told.reason,
        format!("the deadline has passed: {kept} slots left: n2 ({kept})")
    );
    assert_eq!(state_of(&world, "n2"), MemberState::Up);
}

#[test]
fn one_that_leaves_is_emptied_first() {
    let mut world = held(3, 109);
    world.send(1, Event::Leave);
    world.run(secs(1.0));
    let operation = operations(&world).remove(0);
    assert_eq!(
        (operation.kind, operation.shed),
        (OperationKind::Remove, true)
    );
    assert_eq!(operation.by, "n2");
    assert_eq!(weight(&world, "n2"), Some(0));
    carry_out(&mut world, u32::MAX);
    assert!(
        in_state(&world, OperationState::Running),
        "it is still there"
    );
    world.send(1, Event::SignOff);
    world.run(secs(3.0));
    assert!(in_state(&world, OperationState::Done));
    assert!(intent(&world, "n2").is_none());
    assert_eq!(world.problems(0), NONE);
}

#[test]
fn with_nobody_to_receive_leaving_changes_nothing() {
    let mut world = held(1, 110);
    world.send(0, Event::Leave);
    world.run(secs(5.0));
    assert_eq!((operations(&world), intent(&world, "n1")), (vec![], None));
    // All at once: whoever says it first is emptied, the last one is not.
    let mut world = held(2, 111);
    world.send(0, Event::Leave);
    world.send(1, Event::Leave);
    world.run(secs(5.0));
    assert!(world.whole());
    assert!(!world.logged("ERROR"), "{}", world.story());
}

#[test]
fn a_second_wish_is_merged() {
    let mut world = held(4, 112);
    request(&mut world, &drains(&["n2"]), 1);
    carry_out(&mut world, 1000);
    world.send(2, Event::Leave);
    world.run(secs(1.0));
    let merged = operations(&world).remove(0);
    assert_eq!((merged.kind, merged.layout), (OperationKind::Mixed, 3));
    assert_eq!(merged.merged, ["n3 leaves"]);
    assert_eq!(merged.nodes.len(), 2);
    carry_out(&mut world, u32::MAX);
    assert_eq!((world.serves(0), world.serves(3)), (8192, 8192));
}

#[test]
fn an_operation_goes_on_after_a_crash() {
    let mut world = held(4, 113);
    request(&mut world, &drains(&["n2"]), 1);
    world.kill(3);
    world.run_until(secs(20.0), |world| plan(world).layout == 3);
    world.run(secs(3.0));
    let merged = operations(&world).remove(0);
    assert_eq!((merged.state, merged.layout), (OperationState::Running, 3));
    assert_eq!(merged.merged, ["gone: n4"]);
    assert_eq!(weight(&world, "n2"), Some(0), "it drains on");
    assert!(world.whole(), "the orphans are taken at once");
    carry_out(&mut world, u32::MAX);
    assert!(in_state(&world, OperationState::Done));
    assert_eq!((world.serves(0), world.serves(2)), (8192, 8192));
}

#[test]
fn slots_promised_to_one_that_died_are_promised_anew() {
    let mut world = held(2, 114);
    let late = world.start(&config(Mode::Available, 1), "n3");
    world.run(secs(11.5));
    assert_eq!(weight(&world, "n3"), Some(1));
    world.kill(late);
    world.run_until(MINUTE, |world| plan(world).layout == 3);
    world.run(secs(1.0));
    assert_eq!(weight(&world, "n3"), None);
    assert!(in_state(&world, OperationState::Done));
    assert_eq!(world.problems(0), NONE);
}

#[test]
fn a_wish_without_operation_is_honoured() {
    let mut world = held(3, 115);
    let drain = IntentRecord {
        want: Want::Drain,
        inc: None,
        weight: None,
        by: "ann@desk".to_owned(),
        at_ms: 1,
    };
    let key = keys().key(&RegistryKey::Intent("n3".parse().unwrap()));
    world.registry.put(&key, &drain, 0);
    world.run(secs(1.0));
    let operation = operations(&world).remove(0);
    assert_eq!(
        (operation.kind, operation.by.as_str()),
        (OperationKind::Drain, "ann@desk")
    );
    assert_eq!(weight(&world, "n3"), Some(0));
}

#[test]
fn old_operations_and_plans_are_forgotten() {
    let mut world = held(2, 116);
    let planned = requested(&world, &drains(&["n2"]), 0);
    let key = |id: &str| keys().key(&RegistryKey::Operation(id.to_owned()));
    for number in 1..=50 {
        let state = match number % 2 {
            0 => OperationState::Planned,
            _ => OperationState::Done,
        };
        let id = format!("op-{number:08x}");
        let record = OperationRecord {
            id: id.clone(),
            state,
            ..planned.clone()
        };
        world.registry.put(&key(&id), &record, 0);
        let progress = RegistryKey::Progress(id, "n1".parse().unwrap());
        let nothing: BTreeMap<&str, BTreeMap<&str, u32>> = [("to", BTreeMap::new())].into();
        world.registry.put(&keys().key(&progress), &nothing, 0);
    }
    world.run(secs(5.0));
    let prefix = format!("{}operations/", keys().prefix());
    let kept = world
        .registry
        .read(&Range::Prefix(prefix.clone()))
        .records
        .len();
    assert_eq!(kept, 2 * (20 + 20), "with their progress");
    assert!(world.registry.get(&key("op-0000000b")).is_some());
    assert!(world.registry.get(&key("op-00000009")).is_none());
    world.run(MINUTE * 16);
    let kept = world.registry.read(&Range::Prefix(prefix)).records.len();
    assert_eq!(kept, 2 * 20, "plans that nobody asked for");
}
