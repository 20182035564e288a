//! Slots move: plans and operations are written by hand, and members carry them out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cached_proto::assignment::Assignment;
use cached_proto::operations::{OperationKind, OperationRecord, OperationState, ProgressRecord};
use cached_proto::records::{Mode, PlanMember, PlanRecord};
use cached_proto::registry_keys::RegistryKey;
use cached_proto::ring::ALGORITHM;
use cached_proto::table::{Page, PageIndex};
use cached_proto::types::{SLOTS, Slot};

use super::super::event::Event;
use super::lifecycle::{MINUTE, cluster, config, secs};
use super::operations::{drains, get, in_state, operations, request};
use super::registry::{LEASE, keys, member_key};
use super::world::{Node, World};

pub(super) const OPERATION: &str = "op-00000001";

pub(super) fn plan_of(world: &World) -> Option<PlanRecord> {
    let record = world.registry.get(&keys().key(&RegistryKey::Plan))?;
    serde_json::from_slice(&record.value).ok()
}

/// Writes a plan that gives slot s to `owner(s)`, an index into the world's lives.
pub(super) fn write_plan(world: &mut World, lives: &[usize], owner: impl Fn(Slot) -> usize) {
    let members = lives.iter().map(|life| PlanMember {
        id: world.nodes[*life].id.clone(),
        weight: 1,
    });
    let members: Vec<PlanMember> = members.collect();
    let index = |slot| lives.iter().position(|life| *life == owner(slot)).unwrap() as u16;
    let assignment = Assignment::new(members.clone(), Slot::all().map(index).collect()).unwrap();
    let layout = plan_of(world).map_or(0, |plan| plan.layout);
    let record = PlanRecord {
        layout: layout + 1,
        id: format!("{layout:08x}"),
        reason: "a test".to_owned(),
        algorithm: ALGORITHM,
        virtual_nodes: 50,
        base_layout: layout,
        members,
        excluded: Vec::new(),
        runs: assignment.runs(),
    };
    world
        .registry
        .put(&keys().key(&RegistryKey::Plan), &record, 0);
}

pub(super) fn operation(layout: u64) -> OperationRecord {
    OperationRecord {
        id: OPERATION.to_owned(),
        kind: OperationKind::Join,
        state: OperationState::Running,
        nodes: Vec::new(),
        base_layout: layout.saturating_sub(1),
        layout,
        draft: None,
        intents: BTreeMap::new(),
        before: BTreeMap::new(),
        by: "auto".to_owned(),
        message: String::new(),
        requested_ms: 0,
        started_ms: 0,
        finished_ms: 0,
        deadline_ms: 0,
        max_rate: 0,
        shed: false,
        cancel: false,
        merged: Vec::new(),
        reason: String::new(),
    }
}

pub(super) fn write_operation(world: &mut World, change: impl Fn(&mut OperationRecord)) {
    let mut record = operation(plan_of(world).map_or(0, |plan| plan.layout));
    change(&mut record);
    let key = keys().key(&RegistryKey::Operation(record.id.clone()));
    world.registry.put(&key, &record, 0);
}

/// What the registry's plan wants is so, everybody knows it, and nothing is under way.
pub(super) fn settled(world: &World) -> bool {
    let plan = world.registry.get(&keys().key(&RegistryKey::Plan)).unwrap();
    let still = |node: &Node| {
        let known = node.state.mirror.plan.as_ref();
        let informed = known.is_some_and(|known| known.mod_revision == plan.mod_revision);
        informed && node.transfers.sending.is_empty() && node.state.misplaced() == 0
    };
    let mut living = world.nodes.iter().filter(|node| node.alive);
    living.all(still) && world.whole()
}

fn progress(world: &World, node: &str) -> ProgressRecord {
    let key = RegistryKey::Progress(OPERATION.to_owned(), node.parse().unwrap());
    let record = world.registry.get(&keys().key(&key));
    record.map_or_else(ProgressRecord::default, |record| {
        serde_json::from_slice(&record.value).unwrap()
    })
}

fn lost(world: &World) -> u64 {
    world.nodes.iter().map(|node| node.lost).sum()
}

/// Two members; the plan gives every slot of the first page that n1 owns to n2, and
/// everything else to whom it belongs.
fn two(seed: u64) -> (World, Vec<Slot>) {
    let mut world = cluster(Mode::Strict, 2, seed);
    world.ledger.copying = Duration::from_millis(20);
    // Time for three self-checks: the registry is known to be quick.
    world.run(secs(3.0));
    let own = world.nodes[0].served.keys();
    let page = PageIndex::of(*own.clone().next().unwrap());
    let moving: Vec<Slot> = own
        .copied()
        .filter(|slot| PageIndex::of(*slot) == page)
        .collect();
    plan_away(&mut world, &moving);
    (world, moving)
}

/// Of what n1 serves, these are to go to n2.
fn plan_away(world: &mut World, going: &[Slot]) {
    let first: BTreeSet<Slot> = world.nodes[0].served.keys().copied().collect();
    write_plan(world, &[0, 1], |slot| {
        usize::from(!first.contains(&slot) || going.contains(&slot))
    });
}

fn owns(world: &World, node: usize, slots: &[Slot]) -> bool {
    slots
        .iter()
        .all(|slot| world.nodes[node].served.contains_key(slot))
}

fn sealed(world: &World) -> bool {
    !world.nodes[0].transfers.sealed.is_empty()
}

fn sending(world: &World) -> bool {
    !world.nodes[0].transfers.sending.is_empty()
}

#[test]
fn a_join_moves_every_slot_with_its_entries() {
    let mut world = cluster(Mode::Strict, 3, 300);
    world.ledger.copying = Duration::from_millis(20);
    world.start(&config(Mode::Strict, 3), "n4");
    world.run(secs(4.0));
    let owner = |slot| {
        (0..3)
            .find(|n| world.nodes[*n].served.contains_key(&slot))
            .unwrap()
    };
    let before: Vec<usize> = Slot::all().map(owner).collect();
    // A quarter of every page.
    let new = |slot: Slot| (slot.index() / 16).is_multiple_of(4);
    write_plan(&mut world, &[0, 1, 2, 3], |slot| {
        if new(slot) { 3 } else { before[slot.index()] }
    });
    write_operation(&mut world, |_| {});
    world.run_until(MINUTE, settled);
    let quarter = u64::from(SLOTS) / 4;
    assert_eq!(world.nodes[3].transfers.received, quarter);
    assert_eq!(
        (world.nodes[3].served.len() as u64, lost(&world)),
        (quarter, 0)
    );
    let sums = ["n1", "n2", "n3"].map(|node| progress(&world, node));
    let counts = || sums.iter().flat_map(|sum| sum.to.values());
    assert_eq!(counts().map(|counts| counts.slots).sum::<u64>(), quarter);
    let keys: u64 = counts().map(|counts| counts.keys).sum();
    assert_eq!(keys, 2 * world.ledger.commits);
    for node in &world.nodes[..3] {
        assert!(node.transfers.sending_max <= 2 && node.transfers.sealed_max == 1);
    }
    assert!(!world.logged("taken over by others"), "{}", world.story());
    // The record of the new member follows.
    world.run(secs(1.0));
    assert_eq!(world.problems(0), Vec::<String>::new());
}

/// Nothing moves without an operation that is in force and carries out this plan.
#[test]
fn only_an_open_operation_of_this_layout_moves_slots() {
    let (mut world, slots) = two(310);
    type Change = fn(&mut OperationRecord);
    let idle: [(&str, Change); 6] = [
        ("asked for", |op| op.state = OperationState::Requested),
        ("done", |op| op.state = OperationState::Done),
        ("paused", |op| op.state = OperationState::Paused),
        ("to be ended", |op| op.cancel = true),
        ("of another plan", |op| op.layout += 1),
        ("of an older plan", |op| op.layout -= 1),
    ];
    world.run(secs(1.0));
    assert!(!sending(&world), "there is none yet");
    for (what, change) in idle {
        write_operation(&mut world, change);
        world.run(secs(1.0));
        assert!(world.nodes[0].transfers.sending_max == 0, "{what}");
        if world.nodes[0].view.to_move == 0 {
            // No operation is open, and everything stays where it is.
            assert!(["done", "to be ended"].contains(&what), "{what}");
            plan_away(&mut world, &slots);
        }
    }
    let left = slots.len();
    write_operation(&mut world, |op| op.state = OperationState::Paused);
    world.run(secs(0.1));
    let told = format!("operation {OPERATION} (join) is paused: {left} slots left");
    assert!(world.problems(1).contains(&told), "{:?}", world.problems(1));
    write_operation(&mut world, |_| {});
    world.run_until(secs(2.0), settled);
    assert!(owns(&world, 1, &slots) && lost(&world) == 0);
}

/// R10: before the seal a batch is given up, and its number is used up.
#[test]
fn what_is_not_sealed_ends_when_it_is_not_wanted_any_more() {
    type Change = fn(&mut World);
    let ends: [(&str, Change); 4] = [
        ("cancelled", |world| {
            write_operation(world, |op| op.cancel = true)
        }),
        ("failed", |world| {
            write_operation(world, |op| op.state = OperationState::Failed);
        }),
        ("planned back", |world| {
            let first = world.nodes[0].served.clone();
            write_plan(world, &[0, 1], |slot| {
                usize::from(!first.contains_key(&slot))
            });
        }),
        ("no receiver", |world| {
            world.registry.delete(&member_key("n2"))
        }),
    ];
    for (what, change) in ends {
        let (mut world, slots) = two(320);
        world.ledger.hold = true;
        write_operation(&mut world, |_| {});
        world.run_until(secs(1.0), sending);
        change(&mut world);
        world.run_until(secs(1.0), |world| !sending(world));
        assert!(owns(&world, 0, &slots), "{what}");
        assert!(world.nodes[1].transfers.stagings.is_empty(), "{what}");
        if what == "no receiver" {
            // It comes back, and gets them by another try.
            world.ledger.hold = false;
            world.run_until(secs(10.0), |world| owns(world, 1, &slots));
            assert!(world.row(slots[0]).unwrap().attempt > 1);
            assert_eq!(lost(&world), 0);
        } else {
            world.ledger.hold = false;
            world.run(secs(2.0));
            assert!(owns(&world, 0, &slots), "{what}");
        }
    }
}

/// A pause lets what is under way come to its end.
#[test]
fn a_paused_operation_finishes_what_it_began() {
    let (mut world, slots) = two(330);
    world.ledger.hold = true;
    write_operation(&mut world, |_| {});
    world.run_until(secs(1.0), sending);
    write_operation(&mut world, |op| op.state = OperationState::Paused);
    world.run(secs(1.0));
    world.ledger.hold = false;
    world.run_until(secs(2.0), settled);
    assert!(owns(&world, 1, &slots));
}

/// R45: no seal while the registry is slow, or nobody knows whether it answers.
#[test]
fn nothing_is_sealed_while_the_registry_is_slow() {
    let (mut world, slots) = two(340);
    write_operation(&mut world, |op| op.state = OperationState::Paused);
    world.slow = Some(Duration::from_millis(30));
    world.run(secs(6.0));
    write_operation(&mut world, |_| {});
    world.run(secs(12.0));
    assert!(sending(&world) && !sealed(&world) && owns(&world, 0, &slots));
    let now = world.now;
    let trouble = world.nodes[0].state.move_trouble(now);
    let why = &trouble[&world.nodes[1].id.name].last_error;
    assert!(why.contains("takes 30 ms, more than 20 ms"), "{why}");
    world.slow = None;
    world.run_until(secs(10.0), settled);
    assert!(owns(&world, 1, &slots) && lost(&world) == 0);
}

/// Whoever waits for a quick registry does not ask one without end that refuses at once.
#[test]
fn a_registry_that_refuses_is_asked_seldom_before_a_seal() {
    let (mut world, _) = two(341);
    write_operation(&mut world, |op| op.state = OperationState::Paused);
    world.slow = Some(Duration::from_millis(30));
    world.run(secs(6.0));
    write_operation(&mut world, |_| {});
    world.run(secs(12.0));
    assert!(sending(&world) && !sealed(&world));
    (world.registry_refuses, world.slow, world.calls) = (true, None, 0);
    world.run(secs(20.0));
    assert!(world.calls < 400, "{} calls in 20 s", world.calls);
    world.registry_refuses = false;
    world.run_until(secs(20.0), settled);
}

/// R2, R1: the answer is lost, the commit lands or not, soon or late; the slots are
/// silent until it is certain.
#[test]
fn a_commit_in_doubt_is_decided_by_proof_alone() {
    for seed in 350..358 {
        let (mut world, slots) = two(seed);
        (world.lost_answers, world.late_landings) = match seed % 2 {
            0 => (100, 0),
            _ => (0, 100),
        };
        write_operation(&mut world, |_| {});
        world.run_until(secs(2.0), sealed);
        // A watch would tell what the answer does not.
        world.deaf.insert(0);
        world.run_until(secs(4.0), |world| world.logged("nobody knows whether"));
        let doubtful = |world: &World| {
            let problems = world.problems(0);
            problems.iter().any(|problem| problem.contains("in doubt"))
        };
        assert!(doubtful(&world), "{}", world.story());
        // Nobody can be asked: no time decides.
        world.registry_down = true;
        world.run(MINUTE);
        let silent = |slot| world.nodes[0].transfers.sealed.contains(slot);
        let decided = !doubtful(&world);
        assert!(decided || slots.iter().all(silent), "{}", world.story());
        (world.lost_answers, world.late_landings) = (0, 0);
        world.deaf.clear();
        world.registry.extend_leases(world.now + LEASE);
        world.registry_down = false;
        world.run_until(MINUTE, |world| !doubtful(world) && settled(world));
        assert!(owns(&world, 1, &slots), "{}", world.story());
        assert_eq!(lost(&world), 0);
    }
}

/// The own key is lost while a commit is in doubt: the commit compares it, so a read
/// afterwards decides.
#[test]
fn a_commit_in_doubt_survives_the_loss_of_the_own_key() {
    for seed in 360..364 {
        let (mut world, slots) = two(seed);
        world.late_landings = 100;
        write_operation(&mut world, |_| {});
        world.run_until(secs(2.0), sealed);
        world.run_until(secs(4.0), |world| world.logged("nobody knows whether"));
        world.registry.delete(&member_key("n1"));
        world.late_landings = 0;
        world.run_until(secs(20.0), settled);
        assert!(owns(&world, 1, &slots), "{}", world.story());
        assert_eq!(lost(&world), 0);
    }
}

/// Somebody else changes other rows of the page all the time.
#[test]
fn a_page_that_others_change_is_committed_with_the_new_revision() {
    let (mut world, slots) = two(370);
    write_operation(&mut world, |_| {});
    world.run_until(secs(2.0), sealed);
    let key = keys().key(&RegistryKey::Page(PageIndex::of(slots[0])));
    let record = world.registry.get(&key).unwrap();
    let page: Page = serde_json::from_slice(&record.value).unwrap();
    world.registry.put(&key, &page, 0);
    world.run_until(secs(5.0), settled);
    assert!(owns(&world, 1, &slots) && lost(&world) == 0);
}

/// Receivers that fail are left alone for longer and longer, and people are told.
#[test]
fn a_receiver_that_fails_is_asked_ever_more_seldom() {
    let mut world = cluster(Mode::Strict, 2, 380);
    world.ledger.copying = Duration::from_millis(20);
    world.run(secs(3.0));
    world.ledger.failures = 100;
    // Nobody else could have them.
    request(&mut world, &drains(&["n1"]), 1);
    world.run(MINUTE * 2);
    let failed = world.ledger.failed;
    assert!((20..400).contains(&failed), "{failed}");
    let now = world.now;
    let trouble = world.nodes[0].state.move_trouble(now);
    let trouble = &trouble[&world.nodes[1].id.name];
    assert!(
        trouble.tries >= 20 && trouble.last_error == "bad luck",
        "{trouble:?}"
    );
    let problems = world.problems(0).join("; ");
    assert!(problems.contains("slots did not go to n2"), "{problems}");
    world.ledger.failures = 0;
    world.run_until(MINUTE, |world| in_state(world, OperationState::Done));
    assert_eq!(world.serves(0), 0);
    assert!(world.nodes[0].state.move_trouble(now).is_empty());
    let id = operations(&world).remove(0).id;
    let key = RegistryKey::Progress(id, "n1".parse().unwrap());
    let progress: ProgressRecord = get(&world, &key).unwrap();
    let counts = progress.to[&world.nodes[1].id.name];
    let in_vain = (counts.failures, counts.failed);
    assert_eq!(in_vain, (world.ledger.failed, 3 * world.ledger.failed));
}

/// The operation's rate is for all senders together.
#[test]
fn the_rate_is_shared_by_those_who_send() {
    let (mut world, _) = two(390);
    world.ledger.hold = true;
    write_operation(&mut world, |op| op.max_rate = 1_000);
    world.run(secs(0.5));
    let rates = |world: &World| [0, 1].map(|node| world.nodes[node].transfers.rate);
    assert_eq!(rates(&world), [1_000, 1_000]);
    let first: BTreeSet<Slot> = world.nodes[0].served.keys().copied().collect();
    write_plan(&mut world, &[0, 1], |slot| {
        usize::from(first.contains(&slot))
    });
    write_operation(&mut world, |op| op.max_rate = 1_000);
    world.run(secs(0.5));
    assert_eq!(rates(&world), [500, 500]);
    write_operation(&mut world, |op| op.state = OperationState::Cancelled);
    world.run(secs(0.5));
    assert_eq!(rates(&world), [0, 0]);
}

/// R2: a read that shows nothing proves nothing, because the commit can still land.
#[test]
fn a_read_that_does_not_show_a_commit_is_no_proof() {
    for seed in 395..401 {
        let (mut world, slots) = two(seed);
        world.late_landings = 100;
        write_operation(&mut world, |_| {});
        world.run_until(secs(4.0), |world| world.logged("nobody knows whether"));
        world.send(0, Event::RefreshAsked);
        world.run(secs(0.5));
        let landed = world.ledger.commits > 0;
        assert!(landed || sealed(&world), "{}", world.story());
        world.late_landings = 0;
        world.run_until(secs(20.0), settled);
        assert!(owns(&world, 1, &slots) && lost(&world) == 0);
    }
}

/// A receiver that cannot be told of an abort learns of it from the rows, although no
/// commit was ever sent and nothing else is tried.
#[test]
fn what_was_sealed_in_vain_is_dropped_by_the_row() {
    for cut in [false, true] {
        let (mut world, slots) = two(405);
        let before = world.row(slots[0]).unwrap();
        world.ledger.lost_seals = 100;
        write_operation(&mut world, |_| {});
        world.run_until(secs(2.0), World::keeps_sealed);
        write_operation(&mut world, |op| op.state = OperationState::Cancelled);
        if cut {
            world.unlink(0, 1);
        }
        world.run(secs(5.0));
        assert!(!world.keeps_sealed(), "{}", world.story());
        assert!(owns(&world, 0, &slots) && lost(&world) == 0);
        let row = world.row(slots[0]).unwrap();
        assert_eq!((&row.owner, row.epoch), (&before.owner, before.epoch));
        assert!(row.attempt > before.attempt);
        // Once is enough.
        let revision = world.registry.revision;
        let page = world
            .registry
            .get(&keys().key(&RegistryKey::Page(PageIndex::of(slots[0]))));
        let written = page.unwrap().mod_revision;
        world.run(secs(30.0));
        let page = world
            .registry
            .get(&keys().key(&RegistryKey::Page(PageIndex::of(slots[0]))));
        assert_eq!(page.unwrap().mod_revision, written, "after {revision}");
    }
}

/// The same while slots go on moving: nothing is given to who lacks it.
#[test]
fn lost_seals_only_cost_tries() {
    for seed in 406..410 {
        let (mut world, slots) = two(seed);
        world.ledger.lost_seals = 60;
        write_operation(&mut world, |_| {});
        world.run_until(MINUTE, settled);
        world.run(secs(2.0));
        assert!(!world.keeps_sealed(), "{}", world.story());
        assert!(owns(&world, 1, &slots) && lost(&world) == 0);
    }
}
