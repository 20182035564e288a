//! Histories that can be true, and planted ones that cannot, for both checkers; and the
//! strict one against two others.

use cached_proto::types::{Epoch, Version};
use proptest::prelude::*;
use todc_utils::specifications::register::{RegisterOperation, RegisterSpecification};
use todc_utils::{Action, WGLChecker};

use super::strict::{Verdict, check_key};
use super::*;

fn version(seq: u64) -> Version {
    Version {
        epoch: Epoch(1),
        seq,
    }
}

fn op(start: Micros, end: Micros, ask: Ask, answer: Answer) -> Op {
    Op {
        client: 1,
        key: "k".into(),
        slot: 7,
        ask,
        may_vanish_from: None,
        start,
        end: (answer != Answer::Unknown).then_some(end),
        answer,
    }
}

fn set(start: Micros, end: Micros, value: u64) -> Op {
    op(start, end, Ask::Set(value), Answer::Stored(version(value)))
}

fn hit(start: Micros, end: Micros, value: u64) -> Op {
    op(start, end, Ask::Get, Answer::Hit(value, version(value)))
}

fn miss(start: Micros, end: Micros) -> Op {
    op(start, end, Ask::Get, Answer::Miss)
}

fn delete(start: Micros, end: Micros, found: bool) -> Op {
    op(start, end, Ask::Delete, Answer::Deleted(found))
}

fn loss(from: Micros, to: Micros) -> Loss {
    Loss {
        slots: Some([7].into()),
        from,
        to,
        reason: "its owner crashed".into(),
    }
}

fn strictly(ops: &[Op], losses: &[Loss]) -> Verdict {
    check_key(&ops.iter().collect::<Vec<_>>(), losses)
}

/// Both checkers accept it.
fn accept(ops: &[Op], losses: &[Loss]) {
    assert_eq!(check(ops, losses), []);
    assert_eq!(strictly(ops, losses), Verdict::Linearizable);
}

/// Both checkers find it, the cheap one by this invariant.
fn refuse(invariant: &str, ops: &[Op], losses: &[Loss]) {
    let found = check(ops, losses);
    assert!(
        found.iter().any(|found| found.invariant == invariant),
        "{found:?}"
    );
    assert_eq!(strictly(ops, losses), Verdict::Impossible);
}

#[test]
fn histories_that_can_be_true_are_accepted() {
    accept(&[], &[]);
    accept(
        &[
            miss(0, 1),
            set(2, 3, 1),
            hit(4, 5, 1),
            delete(6, 7, true),
            miss(8, 9),
        ],
        &[],
    );
    // Concurrent: either order.
    accept(&[set(0, 10, 1), set(0, 10, 2), hit(11, 12, 2)], &[]);
    accept(&[set(0, 10, 1), hit(1, 2, 1), miss(0, 1)], &[]);
    // Nobody knows: it may take effect late, or never.
    let unknown = op(0, 0, Ask::Set(1), Answer::Unknown);
    accept(&[unknown.clone(), miss(50, 51), hit(100, 101, 1)], &[]);
    accept(&[unknown, miss(50, 51)], &[]);
    let removal = op(2, 0, Ask::Delete, Answer::Unknown);
    accept(&[set(0, 1, 1), removal, hit(5, 6, 1), miss(50, 51)], &[]);
    // Lost for a known reason.
    accept(&[set(0, 1, 1), miss(50, 51)], &[loss(10, 20)]);
    // Conditions.
    let swap = op(2, 3, Ask::Swap(2, version(1)), Answer::Stored(version(2)));
    let late = op(4, 5, Ask::Swap(3, version(1)), Answer::Refused);
    let add = op(6, 7, Ask::Add(4), Answer::Refused);
    accept(&[set(0, 1, 1), swap, late, add, hit(8, 9, 2)], &[]);
}

#[test]
fn planted_violations_are_found() {
    // Lost, without or outside of a loss.
    refuse("I16", &[set(0, 1, 1), miss(50, 51)], &[]);
    refuse("I16", &[set(30, 31, 1), miss(50, 51)], &[loss(10, 20)]);
    refuse("I16", &[set(0, 1, 1), delete(5, 6, false), miss(7, 8)], &[]);
    let mut other_slot = loss(10, 20);
    other_slot.slots = Some([8].into());
    refuse("I16", &[set(0, 1, 1), miss(50, 51)], &[other_slot]);
    // An overwritten value.
    refuse("I10", &[set(0, 1, 1), set(2, 3, 2), hit(4, 5, 1)], &[]);
    // A write that an older one reverts.
    refuse("I10", &[set(0, 1, 2), set(2, 3, 1), hit(4, 5, 2)], &[]);
    // Back from the dead.
    refuse(
        "I11",
        &[set(0, 1, 1), delete(2, 3, true), hit(4, 5, 1)],
        &[],
    );
    refuse(
        "I11",
        &[set(0, 1, 1), hit(2, 3, 1), miss(30, 31), hit(32, 33, 1)],
        &[loss(10, 20)],
    );
    // From nowhere.
    refuse("I11", &[hit(4, 5, 9)], &[]);
    let refused = op(0, 1, Ask::Set(1), Answer::NotApplied);
    refuse("I11", &[refused, hit(4, 5, 1)], &[]);
}

#[test]
fn only_versions_or_order_show_some_violations() {
    // Two values for one version.
    let other = op(4, 5, Ask::Get, Answer::Hit(2, version(1)));
    let ops = [set(0, 1, 1), set(2, 3, 2), other];
    assert!(
        check(&ops, &[])
            .iter()
            .any(|found| found.invariant == "I10")
    );
    // A swap that was done although another was there.
    let swap = op(4, 5, Ask::Swap(3, version(1)), Answer::Stored(version(3)));
    let ops = [set(0, 1, 1), set(2, 3, 2), swap];
    assert_eq!(strictly(&ops, &[]), Verdict::Impossible);
}

#[test]
fn what_may_vanish_may() {
    let mut written = set(0, 1, 1);
    written.may_vanish_from = Some(40);
    assert_eq!(check(&[written.clone(), miss(50, 51)], &[]), []);
    assert_eq!(check(&[written, miss(30, 31)], &[]).len(), 1);
}

#[test]
fn operations_are_recorded_as_they_go() {
    let history = History::new();
    let first = history.invoke(1, "k", 7, Ask::Set(1), 0);
    let second = history.invoke(2, "k", 7, Ask::Get, 5);
    history.complete(second, Answer::Miss, 6);
    history.complete(first, Answer::Stored(version(1)), 9);
    assert_eq!(check(&history.ops(), &[]), []);
    let third = history.invoke(2, "k", 7, Ask::Get, 10);
    history.complete(third, Answer::Miss, 11);
    let found = check(&history.ops(), &[]);
    assert_eq!(found.len(), 1);
    assert!(found[0].to_string().contains("I16: key k"), "{}", found[0]);
}

/// Whether some order of the certain operations and some of the others explains all:
/// tried one by one.
fn some_order_explains(left: &[Op], state: Option<u64>) -> bool {
    let certain = |op: &&Op| op.answer != Answer::Unknown;
    if !left.iter().any(|op| certain(&op)) {
        return true;
    }
    (0..left.len()).any(|index| {
        let op = &left[index];
        if left
            .iter()
            .filter(certain)
            .any(|other| other.over() < op.start)
        {
            return false;
        }
        let after = match (op.ask, op.answer) {
            (Ask::Get, Answer::Hit(value, _)) if state == Some(value) => state,
            (Ask::Get, Answer::Miss) if state.is_none() => state,
            (Ask::Set(value), _) => Some(value),
            (Ask::Delete, Answer::Deleted(found)) if found == state.is_some() => None,
            (Ask::Delete, Answer::Unknown) => None,
            _ => return false,
        };
        let mut rest = left.to_vec();
        rest.remove(index);
        some_order_explains(&rest, after)
    })
}

/// Small histories of few values and much overlap, true and untrue ones.
fn small_history() -> impl Strategy<Value = Vec<Op>> {
    let one = (0..12u64, 1..8u64, 0..7u8, 1..4u64);
    proptest::collection::vec(one, 1..7).prop_map(|drawn| {
        let numbered = drawn.into_iter().enumerate();
        let made = numbered.map(|(index, (start, length, kind, value))| {
            let end = start + length;
            match kind {
                0 => set(start, end, index as u64 + 1),
                1 => op(start, end, Ask::Set(index as u64 + 1), Answer::Unknown),
                2 => delete(start, end, true),
                3 => delete(start, end, false),
                4 => op(start, end, Ask::Delete, Answer::Unknown),
                5 => miss(start, end),
                _ => hit(start, end, value),
            }
        });
        made.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_search_finds_what_trying_every_order_finds(ops in small_history()) {
        let expected = if some_order_explains(&ops, None) {
            Verdict::Linearizable
        } else {
            Verdict::Impossible
        };
        prop_assert_eq!(strictly(&ops, &[]), expected);
    }

    #[test]
    fn the_search_finds_what_another_checker_finds(ops in small_history()) {
        // The other one knows reads and writes, all of them answered; no entry is its 0.
        let known = |op: &&Op| op.answer != Answer::Unknown && op.ask != Ask::Delete;
        let ops: Vec<Op> = ops.iter().filter(known).cloned().collect();
        let mut actions: Vec<(Micros, bool, usize, RegisterOperation<u64>)> = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            let operation = match (op.ask, op.answer) {
                (Ask::Set(value), _) => RegisterOperation::Write(value),
                (_, Answer::Hit(value, _)) => RegisterOperation::Read(Some(value)),
                _ => RegisterOperation::Read(Some(0)),
            };
            actions.push((op.start, false, index, operation));
            actions.push((op.over(), true, index, operation));
        }
        actions.sort_by_key(|(at, ends, ..)| (*at, *ends));
        let actions: Vec<(usize, Action<_>)> = actions
            .into_iter()
            .map(|(_, ends, index, operation)| {
                (index, if ends { Action::Response(operation) } else { Action::Call(operation) })
            })
            .collect();
        let theirs = actions.is_empty()
            || WGLChecker::<RegisterSpecification<u64>>::is_linearizable(
                todc_utils::History::from_actions(actions),
            );
        prop_assert_eq!(strictly(&ops, &[]) == Verdict::Linearizable, theirs);
    }

    /// The cheap rules never refuse what the strict checker accepts, as far as versions
    /// follow the order of the writes.
    #[test]
    fn the_rules_refuse_nothing_that_can_be_true(ops in small_history()) {
        if strictly(&ops, &[]) == Verdict::Linearizable {
            let found = check(&ops, &[]);
            let wrong: Vec<_> = found.iter().filter(|found| found.invariant != "I10").collect();
            prop_assert!(wrong.is_empty(), "{:?}", wrong);
        }
    }
}
