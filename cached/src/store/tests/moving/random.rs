//! Random calls on a store while two of its slots move to another: in the end both
//! hold the same, and would evict it in the same order.

use proptest::prelude::*;

use super::*;
use crate::store::{Fill, FillToken};

const GROUPS: [&str; 2] = ["a", "b"];
const KEYS: usize = 8;
/// The slots that move.
const MOVED: [u16; 2] = [0, 1];
/// A slot of the source that does not.
const STAYS: u16 = 2;

#[derive(Clone, Debug)]
enum Step {
    Execute(Operation),
    Fill(Key, Fill),
    Flush,
    Sweep,
    Pass(u64),
    Scan(u64),
    /// Brings changes of so much weight over, and one of those before once more.
    Deliver(u64, usize),
}

/// A step with the slot and group that it is for.
type Aimed = (u16, usize, Step);

fn any_key() -> impl Strategy<Value = Key> {
    (0..KEYS).prop_map(nth_key)
}

fn nth_key(number: usize) -> Key {
    key(&format!("key{number}"))
}

fn any_ttl() -> impl Strategy<Value = Ttl> {
    prop_oneof![Just(700), Just(3_000), Just(60_000)].prop_map(|ms| Ttl::from_ms(ms).unwrap())
}

fn any_value() -> impl Strategy<Value = Bytes> {
    (any::<u8>(), 0..90_usize).prop_map(|(byte, len)| vec![byte; len].into())
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let ttl = || prop::option::of(any_ttl());
    prop_oneof![
        4 => any_key().prop_map(|key| Operation::Get { key, no_load: false, metadata_only: false }),
        6 => (any_key(), any_value(), ttl()).prop_map(|(key, value, ttl)| {
            Operation::Set { key, value, ttl, condition: Condition::Always }
        }),
        2 => any_key().prop_map(|key| Operation::Delete { key, condition: Condition::Always }),
        2 => (any_key(), ttl()).prop_map(|(key, ttl)| Operation::Touch { key, ttl }),
    ]
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => any_operation().prop_map(Step::Execute),
        2 => (any_key(), any_value(), any_ttl()).prop_map(|(key, value, ttl)| {
            Step::Fill(key, Fill::Value { value, ttl: Some(ttl) })
        }),
        1 => (any_key(), any_ttl()).prop_map(|(key, ttl)| Step::Fill(key, Fill::Absent { ttl })),
        1 => Just(Step::Sweep),
        2 => (1..1_500_u64).prop_map(Step::Pass),
        3 => (1..600_u64).prop_map(Step::Scan),
        3 => (1..600_u64, any::<usize>()).prop_map(|(weight, again)| Step::Deliver(weight, again)),
    ]
}

fn any_aimed(slots: std::ops::Range<u16>) -> impl Strategy<Value = Aimed> {
    let step = prop_oneof![40 => any_step(), 1 => Just(Step::Flush)];
    (slots, 0..GROUPS.len(), step)
}

/// Carries steps out on the source, and the move along.
struct Walk<'a> {
    store: &'a Store,
    now: u64,
}

impl Walk<'_> {
    /// Answers whether it was carried out: nothing but a full window is a reason not to.
    fn step(&mut self, moving: Option<&mut Move<'_>>, (number, group, step): Aimed) -> bool {
        let (store, now) = (self.store, WallMs(self.now));
        let (at, id) = (slot(number), GroupId(group as u16));
        match step {
            Step::Execute(operation) => match store.execute(at, id, &operation, now) {
                Err(Refused::Congested(full)) => return full != at,
                executed => assert!(executed.is_ok(), "{executed:?}"),
            },
            Step::Fill(key, fill) => {
                let token = store.begin_fill(at, id, &key, now).unwrap();
                let filled = store.fill(at, id, &key, token, fill, now);
                if filled == Err(Refused::Congested(at)) {
                    return false;
                }
                assert!(filled.is_ok(), "{filled:?}");
            }
            Step::Flush => {
                store.flush(id);
            }
            Step::Sweep => {
                store.sweep(now, 100);
            }
            Step::Pass(ms) => self.now += ms,
            Step::Scan(weight) => {
                if let Some(moving) = moving {
                    moving.scan(group, weight);
                }
            }
            Step::Deliver(weight, again) => {
                if let Some(moving) = moving {
                    moving.deliver(weight);
                    if let Some(change) = moving.told.get(again % moving.told.len().max(1)) {
                        moving.apply(change.clone());
                    }
                }
            }
        }
        true
    }
}

/// Slot, group and key of everything that can be there.
fn names() -> impl Iterator<Item = (u16, &'static str, Key)> {
    let slots = MOVED.into_iter();
    slots.flat_map(|slot| {
        let groups = GROUPS.into_iter();
        groups.flat_map(move |group| (0..KEYS).map(move |key| (slot, group, nth_key(key))))
    })
}

fn group_id(store: &Store, name: &str) -> GroupId {
    store.group(&GroupName::new(name).unwrap()).unwrap()
}

/// What reads of these slots find, without a use.
fn contents(store: &Store, now: u64) -> Vec<Result<Executed, Refused>> {
    let read = |(number, group, key)| {
        let operation = Operation::Get {
            key,
            no_load: false,
            metadata_only: true,
        };
        let group = group_id(store, group);
        store.execute(slot(number), group, &operation, WallMs(now))
    };
    names().map(read).collect()
}

/// Evicts one entry after the other; answers in which order what can be read went.
fn order_of_eviction(store: &Store, now: u64) -> Vec<(u16, &'static str, Key)> {
    let is_there = |(number, group, key): &(u16, &str, Key)| {
        store.contains(slot(*number), group_id(store, group), key, WallMs(now))
    };
    let mut left: Vec<_> = names().filter(is_there).collect();
    let mut order = Vec::new();
    while store.used_bytes() > 0 {
        store.set_memory_bytes(store.used_bytes() - 1);
        let (still, gone) = left.into_iter().partition(is_there);
        left = still;
        order.extend::<Vec<_>>(gone);
    }
    assert_eq!(left, []);
    order
}

/// Counters of groups and slots come to the same.
fn check_sums(store: &Store) {
    let infos = store.slots();
    let (mut keys, mut bytes) = (0, 0);
    for (_, _, counters) in store.group_counters() {
        keys += counters.keys;
        bytes += counters.bytes;
    }
    assert_eq!(infos.iter().map(|info| info.keys).sum::<u64>(), keys);
    assert_eq!(infos.iter().map(|info| info.bytes).sum::<u64>(), bytes);
    assert_eq!(store.used_bytes(), bytes);
}

/// Steps before the move, during it, and while it is sealed.
fn run(before: Vec<Aimed>, during: Vec<Aimed>, sealed: Vec<Aimed>, window: u64, settled: usize) {
    let slots = [MOVED[0], MOVED[1], STAYS];
    let source = store_with(&[("a", None), ("b", Some(1_500))], 4_000, &slots);
    let target = store_with(&[("x", None), ("b", None), ("a", None)], 1 << 20, &[]);
    let mut walk = Walk {
        store: &source,
        now: 1_000_000,
    };
    for step in before {
        walk.step(None, step);
    }
    let mut moving = Move::begin(&source, &target, &MOVED, window);
    assert!(target.reserve(1_000));
    moving.reserved = 1_000;
    for step in during {
        let is_full = moving.log.is_full();
        let is_write = |step: &Step| {
            let is_read = matches!(step, Step::Execute(Operation::Get { .. }));
            matches!(step, Step::Execute(_) | Step::Fill(..)) && !is_read
        };
        let is_refused = is_full && step.0 != STAYS && is_write(&step.2);
        assert_eq!(walk.step(Some(&mut moving), step), !is_refused);
    }
    moving.copy_all();
    let sums = moving.seal(walk.now);
    let infos = MOVED.map(|number| source.slot(slot(number)));
    for step in sealed {
        walk.step(None, step);
    }
    assert_eq!(infos, MOVED.map(|number| source.slot(slot(number))));
    assert!(target.slots().is_empty());
    assert_eq!(target.group_counters()[2].2, GroupCounters::default());

    moving.activate(7, settled);
    moving.end();
    for (info, sum) in infos.iter().flatten().zip(sums) {
        assert_eq!(info.keys, target.slot(info.slot).unwrap().keys);
        assert!(info.keys <= sum.keys);
    }
    let stays = source.slot(slot(STAYS)).unwrap();
    source.drop_slot(slot(STAYS), stays.container);
    check_sums(&source);
    check_sums(&target);
    assert_eq!(source.used_bytes(), target.used_bytes());
    let now = walk.now;
    assert_eq!(
        source.sweep(WallMs(now), 100),
        target.sweep(WallMs(now), 100)
    );
    assert_eq!(contents(&source, now), contents(&target, now));
    if window == WIDE {
        assert_eq!(
            order_of_eviction(&source, now),
            order_of_eviction(&target, now)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn both_ends_hold_the_same(
        before in prop::collection::vec(any_aimed(0..3), 0..60),
        during in prop::collection::vec(any_aimed(0..3), 0..150),
        sealed in prop::collection::vec(any_aimed(STAYS..STAYS + 1), 0..60),
        window in prop_oneof![2 => Just(WIDE), 1 => Just(300)],
        settled in 1..40_usize,
    ) {
        run(before, during, sealed, window, settled);
    }
}

#[test]
fn a_token_of_before_the_seal_is_no_use_after_it() {
    let bed = Bed::roomy();
    let (slot, name) = (slot(0), key("k"));
    let token: FillToken = bed
        .store
        .begin_fill(slot, bed.group, &name, WallMs(9))
        .unwrap();
    let container = bed.store.slot(slot).unwrap().container;
    bed.store.seal(slot, container, WallMs(0)).unwrap();
    let fill = || Fill::Value {
        value: "v".into(),
        ttl: None,
    };
    let filled = bed
        .store
        .fill(slot, bed.group, &name, token, fill(), WallMs(0));
    assert_eq!(filled, Ok(crate::store::Filled::Rejected));
    assert!(
        !bed.store
            .fill_alive(slot, bed.group, &name, token, WallMs(0))
    );
    assert_eq!(bed.counters().fills_rejected, 1);
    assert_eq!(bed.counters().keys, 0);
}
