//! How operations end: what was asked for, and what members ask for themselves, outlive
//! pauses and cancellations.

use std::collections::BTreeMap;

use cached_proto::assignment::Assignment;
use cached_proto::operations::{OperationKind, OperationRecord, OperationState, Want};
use cached_proto::records::{MemberRecord, Mode};
use cached_proto::registry_keys::RegistryKey;
use cached_proto::table::{Page, PageIndex, Row};
use cached_proto::types::{MemberId, Slot};

use super::super::event::Event;
use super::lifecycle::{MINUTE, config, secs};
use super::operations::{
    carry_out, cluster, drains, get, in_state, intent, names, operations, plan, put, request,
    weight,
};
use super::registry::keys;
use super::world::World;
use crate::cluster::ClusterConfig;
use crate::cluster::draft::Ask;
use crate::cluster::testing;

fn change(world: &mut World, change: impl Fn(&mut OperationRecord)) {
    let mut record = operations(world).remove(0);
    change(&mut record);
    put(world, &record);
}

/// Who ends does not wait for an operator, and says it again when an operation's end
/// takes it back.
#[test]
fn the_wish_to_leave_outlives_a_cancelled_operation() {
    let mut world = cluster(Mode::Available, 4, 117);
    request(&mut world, &drains(&["n2"]), 1);
    world.send(2, Event::Leave);
    world.run(secs(1.0));
    assert!(!operations(&world).remove(0).shed, "somebody else's");
    change(&mut world, |op| op.cancel = true);
    world.run(secs(3.0));
    let said = intent(&world, "n3").unwrap();
    assert_eq!((said.want, said.by.as_str()), (Want::Leave, "n3"));
    assert!(intent(&world, "n2").is_none());
    let next = operations(&world);
    let next = next.iter().find(|op| op.state.is_open()).unwrap();
    assert_eq!((next.kind, next.shed), (OperationKind::Remove, true));
    assert_eq!(weight(&world, "n3"), Some(0));
}

#[test]
fn cancelled_weights_are_those_of_before() {
    let mut world = cluster(Mode::Available, 3, 118);
    let weigh = |name: &str, weight| Ask {
        weights: BTreeMap::from([(name.parse().unwrap(), weight)]),
        ..Ask::default()
    };
    request(&mut world, &weigh("n1", 2), 1);
    carry_out(&mut world, u32::MAX);
    assert!(in_state(&world, OperationState::Done));
    let running = request(&mut world, &weigh("n1", 5), 2);
    let before = running.before.values().next().unwrap();
    assert_eq!(before.as_ref().unwrap().weight, Some(2));
    let cancelled = OperationRecord {
        cancel: true,
        ..running
    };
    put(&mut world, &cancelled);
    world.run(secs(1.0));
    assert_eq!(weight(&world, "n1"), Some(2));
    assert_eq!(intent(&world, "n1").unwrap().weight, Some(2));
    let running = request(&mut world, &weigh("n3", 4), 3);
    let cancelled = OperationRecord {
        cancel: true,
        ..running
    };
    put(&mut world, &cancelled);
    world.run(secs(1.0));
    assert_eq!(
        (weight(&world, "n3"), intent(&world, "n3")),
        (Some(1), None)
    );
}

#[test]
fn a_join_of_one_that_died_has_failed() {
    let mut world = cluster(Mode::Available, 2, 119);
    let record = MemberRecord {
        standby: true,
        ..testing::member("n3")
    };
    let late = world.start_as(&ClusterConfig {
        member: Some(record),
        ..config(Mode::Available, 1)
    });
    world.run(secs(3.0));
    let ask = Ask {
        join: names(&["n3"]),
        ..Ask::default()
    };
    assert_eq!(request(&mut world, &ask, 1).state, OperationState::Running);
    world.kill(late);
    world.run_until(MINUTE, |world| in_state(world, OperationState::Failed));
    let told = operations(&world).remove(0);
    assert_eq!(told.reason, "n3 is no member any more");
}

#[test]
fn a_drain_of_one_that_was_asked_to_serve_meanwhile_has_failed() {
    let mut world = cluster(Mode::Available, 3, 120);
    request(&mut world, &drains(&["n2"]), 1);
    carry_out(&mut world, 100);
    // Its plan counts on n2 again, and everything is where that wants it.
    let key = keys().key(&RegistryKey::Intent("n2".parse().unwrap()));
    world.registry.delete(&key);
    let mut back = plan(&world);
    back.layout += 1;
    for member in &mut back.members {
        member.weight = 1;
    }
    let index = |slot| {
        let page = PageIndex::of(slot);
        let page: Page = get(&world, &RegistryKey::Page(page)).unwrap();
        let row = PageIndex::of(slot).slots().position(|s| s == slot);
        let owner = &page.rows[row.unwrap()].owner;
        back.members.iter().position(|m| m.id == *owner).unwrap() as u16
    };
    let owners_now = Slot::all().map(index).collect();
    let assignment = Assignment::new(back.members.clone(), owners_now).unwrap();
    back.runs = assignment.runs();
    world
        .registry
        .put(&keys().key(&RegistryKey::Plan), &back, 0);
    world.run_until(MINUTE, |world| in_state(world, OperationState::Failed));
    let told = operations(&world).remove(0);
    let reason = &told.reason;
    assert!(
        reason.starts_with("n2 still owns 5") && reason.ends_with(" slots"),
        "{reason}"
    );
}

/// Others wait while an operation is paused, or share its rate.
#[test]
fn one_that_ends_gives_its_slots_away_during_a_pause() {
    let mut world = cluster(Mode::Available, 4, 121);
    request(&mut world, &drains(&["n2"]), 1);
    change(&mut world, |op| {
        op.state = OperationState::Paused;
        op.max_rate = 1_000;
    });
    assert_eq!(world.nodes[1].transfers.rate, 1_000);
    world.send(2, Event::Leave);
    world.run(secs(1.0));
    assert_eq!((world.nodes[2].transfers.rate, world.serves(2)), (0, 4096));
    world.ledger.hold = false;
    world.run_until(MINUTE, |world| world.serves(2) == 0);
    assert!(world.serves(1) > 3_000, "n2 waits");
    assert!(in_state(&world, OperationState::Paused));
}

/// Writes what a commit writes that lands late: of the first page in which `from` owns
/// slots, all of them go to `to`. Answers how many.
fn commit_late(world: &mut World, from: &MemberId, to: &MemberId) -> usize {
    let owns = |page: &PageIndex| world.page_owners(*page).contains(from);
    let index = PageIndex::all().find(owns).unwrap();
    let mut page: Page = get(world, &RegistryKey::Page(index)).unwrap();
    let mut given = 0;
    for row in page.rows.iter_mut().filter(|row| row.owner == *from) {
        given += 1;
        *row = Row {
            owner: to.clone(),
            epoch: row.epoch.next(),
            attempt: row.attempt + 1,
            isr: vec![to.inc],
        };
    }
    world
        .registry
        .put(&keys().key(&RegistryKey::Page(index)), &page, 0);
    given
}

/// Slots that have moved stay where they went, whatever the plan says, once no operation
/// is open that would move them: a batch that was sealed when its operation was ended is
/// moved all the same, and the plan of that end does not know; and somebody may take a
/// slot over from the dead while the planner, cut off for a moment, gives it to another.
#[test]
fn stragglers_stay_where_they_went_once_no_operation_is_open() {
    for state in [
        OperationState::Cancelled,
        OperationState::Failed,
        OperationState::Done,
        OperationState::Refused,
    ] {
        let mut world = cluster(Mode::Available, 3, 122);
        request(&mut world, &drains(&["n2"]), 1);
        carry_out(&mut world, 100);
        change(&mut world, |op| op.cancel = true);
        assert!(in_state(&world, OperationState::Cancelled));
        change(&mut world, |op| (op.cancel, op.state) = (false, state));
        let [n1, n2] = [0, 1].map(|node| world.nodes[node].id.clone());
        let layout = plan(&world).layout;
        assert!(commit_late(&mut world, &n2, &n1) > 0);
        world.run(secs(5.0));
        let now = plan(&world);
        assert_eq!(now.layout, layout + 1, "{state}");
        assert_eq!(now.reason, "slots had moved when it was planned");
        assert_eq!(world.nodes[0].state.misplaced(), 0, "{state}");
        assert!(operations(&world).iter().all(|op| !op.state.is_open()));
        // Nothing is planned again, and nothing moves.
        world.run(MINUTE);
        assert_eq!(plan(&world).layout, now.layout);
    }
}
