//! Random calls, made on a store and on a reference, which must agree on every
//! reply, counter and byte.

mod reference;
mod updates;

use proptest::prelude::*;

use super::*;
use crate::store::expiry::BUCKET_MS;
use crate::store::{Fill, FillToken, Filled};
use reference::{Model, Name};
use updates::{any_set_many, any_update};

const GROUPS: usize = 3;
const SLOTS: u16 = 2;
/// The bound of the node, and those of the groups.
const NODE_BYTES: u64 = 1_600;
const GROUP_BYTES: [Option<u64>; GROUPS] = [None, Some(900), Some(500)];
const DEFAULT_TTL_MS: [Option<u64>; GROUPS] = [None, None, Some(1_500)];

/// One call of the store.
#[derive(Clone, Debug)]
enum Call {
    Execute {
        slot: u16,
        group: usize,
        operation: Operation,
    },
    Begin {
        slot: u16,
        group: usize,
        key: Key,
        life_ms: u64,
    },
    Fill {
        slot: u16,
        group: usize,
        key: Key,
        fill: Fill,
    },
    Abandon {
        slot: u16,
        group: usize,
        key: Key,
    },
    Flush {
        group: usize,
    },
    Open {
        slot: u16,
    },
    Drop {
        slot: u16,
    },
    Sweep,
    Pass {
        ms: u64,
    },
}

/// A store and the model of it, kept in step.
struct Pair {
    store: Store,
    model: Model,
}

impl Pair {
    fn new() -> Self {
        let store = Store::new(StoreConfig {
            shards: 1,
            memory_bytes: NODE_BYTES,
        });
        for group in 0..GROUPS {
            let default_ttl = DEFAULT_TTL_MS[group].map(|ms| Ttl::from_ms(ms).unwrap());
            let settings = GroupSettings {
                max_bytes: GROUP_BYTES[group],
                default_ttl,
                ..GroupSettings::default()
            };
            let name = GroupName::new(format!("g{group}")).unwrap();
            assert_eq!(store.set_group(&name, settings).index(), group);
        }
        let mut pair = Self {
            store,
            model: Model {
                now: 1_000_000,
                ..Model::default()
            },
        };
        (0..SLOTS).for_each(|number| pair.open(number));
        pair
    }

    fn open(&mut self, number: u16) {
        self.model.drop_slot(number);
        self.model.last_epoch += 1;
        self.store
            .open_slot(slot(number), Epoch(self.model.last_epoch));
        self.model.slots[usize::from(number)] = Some((self.model.last_epoch, 0));
    }

    /// Makes a call on both and compares what comes of it.
    fn call(&mut self, call: Call) {
        let now = WallMs(self.model.now);
        let id = |group: usize| GroupId(group as u16);
        match call {
            Call::Execute {
                slot: number,
                group,
                operation,
            } => {
                let name = (number, group, operation.key().clone());
                let expected = self.model.execute(name, &operation);
                let executed = self.store.execute(slot(number), id(group), &operation, now);
                assert_eq!(executed, expected, "{operation:?}");
            }
            Call::Begin {
                slot: number,
                group,
                key,
                life_ms,
            } => {
                let until = now.0 + life_ms;
                let begun = self
                    .store
                    .begin_fill(slot(number), id(group), &key, WallMs(until));
                assert_eq!(
                    begun.is_ok(),
                    self.model.slots[usize::from(number)].is_some()
                );
                let name = (number, group, key);
                self.model.kill(&name);
                self.model
                    .tokens
                    .extend(begun.ok().map(|token| (name, token, until)));
            }
            Call::Fill {
                slot: number,
                group,
                key,
                fill,
            } => {
                let name = (number, group, key);
                let token = self.token(&name);
                let filled =
                    self.store
                        .fill(slot(number), id(group), &name.2, token, fill.clone(), now);
                assert_eq!(filled, self.model.fill(name, token, fill));
            }
            Call::Abandon {
                slot: number,
                group,
                key,
            } => {
                let name = (number, group, key);
                let token = self.token(&name);
                self.store
                    .abandon_fill(slot(number), id(group), &name.2, token);
                self.model.tokens.retain(|(_, known, _)| *known != token);
            }
            Call::Flush { group } => {
                assert_eq!(self.store.flush(id(group)), self.model.flush(group));
            }
            Call::Open { slot } => self.open(slot),
            Call::Drop { slot: number } => {
                if let Some(info) = self.store.slot(slot(number)) {
                    let dropped = self.store.drop_slot(slot(number), info.container);
                    assert_eq!(dropped, Some(self.model.drop_slot(number)));
                }
            }
            Call::Sweep => assert_eq!(self.store.sweep(now, usize::MAX), self.model.sweep()),
            Call::Pass { ms } => self.model.now += ms,
        }
        self.compare();
    }

    /// The key's token, or a wrong one.
    fn token(&self, name: &Name) -> FillToken {
        let mut tokens = self.model.tokens.iter();
        let own = tokens
            .find(|(other, _, _)| other == name)
            .map(|(_, token, _)| *token);
        own.unwrap_or(FillToken {
            container: crate::store::ContainerId(1),
            nonce: u64::MAX,
        })
    }

    fn compare(&self) {
        let (store, model) = (&self.store, &self.model);
        assert!(store.used_bytes() <= NODE_BYTES);
        assert_eq!(store.used_bytes(), model.bytes(None));
        for (group, (_, _, counters)) in store.group_counters().into_iter().enumerate() {
            assert_eq!(counters, model.counters(group), "group {group}");
        }
        assert_eq!(store.fill_tokens(), model.tokens.len() as u64);
        for number in 0..SLOTS {
            let info = store.slot(slot(number));
            let keys = info.map(|info| (info.epoch.0, info.keys));
            let open = model.slots[usize::from(number)];
            assert_eq!(
                keys,
                open.map(|(epoch, _)| (epoch, model.keys(|name| name.0 == number)))
            );
        }
    }
}

fn any_key() -> impl Strategy<Value = Key> {
    (0..8_usize).prop_map(|number| key(&"abcdefgh"[number..]))
}

fn any_ttl() -> impl Strategy<Value = Ttl> {
    prop_oneof![Just(1), Just(700), Just(3_000), Just(60_000)]
        .prop_map(|ms| Ttl::from_ms(ms).unwrap())
}

fn any_condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        6 => Just(Condition::Always),
        1 => Just(Condition::IfAbsent),
        1 => Just(Condition::IfPresent),
        1 => (1..3_u64, 1..20_u64).prop_map(|(epoch, seq)| Condition::IfVersion(version(epoch, seq))),
    ]
}

fn any_value() -> impl Strategy<Value = Bytes> {
    // Some do not fit into a group, or not even into the node.
    prop_oneof![8 => 0..120_usize, 2 => 120..700_usize, 1 => 700..2_000_usize]
        .prop_map(|bytes| vec![b'v'; bytes].into())
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let ttl = || prop::option::of(any_ttl());
    prop_oneof![
        6 => (any_key(), prop::bool::weighted(0.2)).prop_map(|(key, metadata_only)| {
            Operation::Get { key, no_load: false, metadata_only }
        }),
        6 => (any_key(), any_value(), ttl(), any_condition()).prop_map(
            |(key, value, ttl, condition)| Operation::Set { key, value, ttl, condition }
        ),
        1 => (any_key(), any_condition())
            .prop_map(|(key, condition)| Operation::Delete { key, condition }),
        1 => (any_key(), ttl()).prop_map(|(key, ttl)| Operation::Touch { key, ttl }),
    ]
}

fn any_fill() -> impl Strategy<Value = Fill> {
    prop_oneof![
        (any_value(), prop::option::of(any_ttl()))
            .prop_map(|(value, ttl)| Fill::Value { value, ttl }),
        any_ttl().prop_map(|ttl| Fill::Absent { ttl }),
    ]
}

fn any_call() -> impl Strategy<Value = Call> {
    let place = || (0..SLOTS, 0..GROUPS);
    prop_oneof![
        40 => (place(), any_operation())
            .prop_map(|((slot, group), operation)| Call::Execute { slot, group, operation }),
        15 => (place(), any_update())
            .prop_map(|((slot, group), operation)| Call::Execute { slot, group, operation }),
        5 => (place(), any_set_many())
            .prop_map(|((slot, group), operation)| Call::Execute { slot, group, operation }),
        6 => (place(), any_key(), 1..5_000_u64)
            .prop_map(|((slot, group), key, life_ms)| Call::Begin { slot, group, key, life_ms }),
        6 => (place(), any_key(), any_fill())
            .prop_map(|((slot, group), key, fill)| Call::Fill { slot, group, key, fill }),
        1 => (place(), any_key()).prop_map(|((slot, group), key)| Call::Abandon { slot, group, key }),
        1 => (0..GROUPS).prop_map(|group| Call::Flush { group }),
        1 => (0..SLOTS).prop_map(|slot| Call::Open { slot }),
        1 => (0..SLOTS).prop_map(|slot| Call::Drop { slot }),
        2 => Just(Call::Sweep),
        4 => (1..2_000_u64).prop_map(|ms| Call::Pass { ms }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_does(calls in prop::collection::vec(any_call(), 1..250)) {
        let mut pair = Pair::new();
        for call in calls {
            pair.call(call);
        }
    }
}
