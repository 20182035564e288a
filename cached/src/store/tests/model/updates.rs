//! Updates and writes of several keys: how they are drawn, and what the reference makes
//! of them.

use cached_proto::update::{Change, Expiry, Guard, Returns, Snapshot, Update, Updated};

use super::reference::{Model, ModelEntry, Name, holds};
use super::*;
use crate::store::Unfit;

impl Model {
    pub(super) fn update(&mut self, name: &Name, update: &Update) -> Result<Updated, Refused> {
        let found = self.find(name);
        let before = found.filter(|at| self.entries[*at].value.is_some());
        let looks = update.change == Change::Keep || update.change == Change::Remove;
        if looks && update.returns != Returns::Metadata {
            let counters = &mut self.counters[name.1];
            *if before.is_some() {
                &mut counters.hits
            } else {
                &mut counters.misses
            } += 1;
        }
        let old = before.map(|at| self.entries[at].deadline);
        let deadline = self.new_deadline(name.1, update.expiry, old);
        let previous = before.map(|at| self.snapshot(at, true));
        if !self.allows(update, before, deadline) {
            let with_value = update.returns != Returns::Metadata;
            return Ok(Updated {
                applied: false,
                entry: before.map(|at| self.snapshot(at, with_value)),
            });
        }
        let applied = match &update.change {
            Change::Keep => {
                if let Some(at) = before {
                    self.keep(at, update, deadline);
                }
                before.is_some()
            }
            Change::Remove => {
                self.erase(name);
                before.is_some()
            }
            change => {
                let current = before.and_then(|at| self.entries[at].value.clone());
                let value = edited(change, current).map_err(Refused::Unfit)?;
                self.check_fits(name, Some(&value))?;
                self.write(name.clone(), value, deadline);
                true
            }
        };
        let after = self.entries.iter().position(|entry| entry.name == *name);
        Ok(Updated {
            applied,
            entry: match update.returns {
                Returns::Previous => previous,
                returns => after
                    .filter(|at| self.entries[*at].value.is_some())
                    .map(|at| self.snapshot(at, returns == Returns::Value)),
            },
        })
    }

    pub(super) fn set_many(
        &mut self,
        place: (u16, usize),
        items: &[&(Key, Bytes)],
        if_absent: bool,
    ) -> Result<Reply, Refused> {
        let name = |key: &Key| (place.0, place.1, key.clone());
        for (key, value) in items {
            self.check_fits(&name(key), Some(value))?;
        }
        for (key, _) in items {
            let found = self.find(&name(key));
            if if_absent && self.current(found).is_some() {
                return Ok(Reply::SetMany { stored: false });
            }
        }
        for (key, value) in items {
            self.find(&name(key));
            let deadline = DEFAULT_TTL_MS[place.1].map(|ms| self.now + ms);
            self.write(name(key), value.clone(), deadline);
        }
        Ok(Reply::SetMany { stored: true })
    }

    fn write(&mut self, name: Name, value: Bytes, deadline: Option<u64>) {
        self.kill(&name);
        self.counters[name.1].sets += 1;
        self.put(name.clone(), Some(value), deadline);
        if self.is_past(deadline) {
            self.erase(&name);
        }
    }

    fn keep(&mut self, at: usize, update: &Update, deadline: Option<u64>) {
        if update.expiry == Expiry::Keep {
            if update.returns != Returns::Metadata {
                self.use_now(at);
            }
        } else if self.is_past(deadline) {
            let name = self.entries[at].name.clone();
            self.erase(&name);
        } else {
            self.use_now(at).deadline = deadline;
        }
    }

    fn erase(&mut self, name: &Name) {
        self.kill(name);
        if let Some(at) = self.entries.iter().position(|entry| entry.name == *name) {
            let entry = self.entries.remove(at);
            self.next_version(name.0);
            self.counters[name.1].deletes += u64::from(entry.value.is_some());
        }
    }

    fn is_past(&self, deadline: Option<u64>) -> bool {
        deadline.is_some_and(|deadline| deadline <= self.now)
    }

    fn new_deadline(&self, group: usize, expiry: Expiry, old: Option<Option<u64>>) -> Option<u64> {
        let default = DEFAULT_TTL_MS[group].map(|ms| self.now + ms);
        match expiry {
            Expiry::Keep => old.unwrap_or(default),
            Expiry::Default => default,
            Expiry::Never => None,
            Expiry::In(ms) => Some(self.now + ms),
            Expiry::At(ms) => Some(ms),
        }
    }

    fn allows(&self, update: &Update, before: Option<usize>, deadline: Option<u64>) -> bool {
        let entry = before.map(|at| &self.entries[at]);
        let old = entry.map(|entry| entry.deadline);
        let never = u64::MAX;
        let (old_ms, new_ms) = (
            old.map(|old| old.unwrap_or(never)),
            deadline.unwrap_or(never),
        );
        match &update.guard {
            Guard::If(condition) => holds(*condition, self.current(before)),
            Guard::Equal(value) => entry.is_some_and(|entry| entry.value.as_ref() == Some(value)),
            Guard::Persistent => old == Some(None),
            Guard::Expiring => old.flatten().is_some(),
            Guard::Later => old_ms.is_some_and(|old| new_ms > old),
            Guard::Sooner => old_ms.is_some_and(|old| new_ms < old),
            Guard::ExpiringSooner => old.flatten().is_some_and(|old| new_ms < old),
        }
    }

    fn snapshot(&self, at: usize, with_value: bool) -> Snapshot {
        let entry: &ModelEntry = &self.entries[at];
        let value = entry.value.clone().unwrap_or_default();
        Snapshot {
            value_bytes: value.len() as u64,
            value: if with_value { value } else { Bytes::new() },
            version: entry.version,
            deadline_ms: entry.deadline,
            ttl_ms: entry.deadline.map(|deadline| deadline - self.now),
            idle_ms: self.now - entry.used,
            memory_bytes: entry.charge(),
        }
    }
}

fn edited(change: &Change, current: Option<Bytes>) -> Result<Bytes, Unfit> {
    let mut value = current.clone().unwrap_or_default().to_vec();
    match change {
        Change::Put(put) => value = put.to_vec(),
        Change::Append(more) => value.extend_from_slice(more),
        Change::SetRange { offset, bytes } => {
            let offset = *offset as usize;
            value.resize(value.len().max(offset + bytes.len()), 0);
            value[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        Change::AddInteger(number) => {
            let text = String::from_utf8(value).unwrap();
            let before = match current {
                None => Ok(0),
                Some(_) => text.parse::<i64>(),
            };
            let before = before.map_err(|_| Unfit::NotAnInteger)?;
            let sum = before.checked_add(*number).ok_or(Unfit::Overflow)?;
            value = sum.to_string().into_bytes();
        }
        Change::Keep | Change::Remove | Change::AddFloat(_) => unreachable!("{change:?}"),
    }
    Ok(value.into())
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => Just(Change::Keep),
        1 => Just(Change::Remove),
        2 => any_value().prop_map(Change::Put),
        2 => Just(Change::Put("12".into())),
        2 => any_value().prop_map(Change::Append),
        1 => (0..50_u64, any_value()).prop_map(|(offset, bytes)| Change::SetRange { offset, bytes }),
        4 => prop_oneof![-3..3_i64, Just(i64::MAX)].prop_map(Change::AddInteger),
    ]
}

fn any_expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        4 => Just(Expiry::Keep),
        1 => Just(Expiry::Default),
        1 => Just(Expiry::Never),
        2 => prop_oneof![Just(0), 1..4_000_u64].prop_map(Expiry::In),
        1 => (999_000..1_010_000_u64).prop_map(Expiry::At),
    ]
}

fn any_guard() -> impl Strategy<Value = Guard> {
    prop_oneof![
        8 => any_condition().prop_map(Guard::If),
        1 => Just(Guard::Equal("12".into())),
        1 => Just(Guard::Persistent),
        1 => Just(Guard::Expiring),
        1 => Just(Guard::Later),
        1 => Just(Guard::Sooner),
        1 => Just(Guard::ExpiringSooner),
    ]
}

pub(super) fn any_update() -> impl Strategy<Value = Operation> {
    let returns = prop_oneof![
        Just(Returns::Metadata),
        Just(Returns::Value),
        Just(Returns::Previous)
    ];
    (any_key(), any_change(), any_expiry(), any_guard(), returns).prop_map(
        |(key, change, expiry, guard, returns)| {
            let update = Update {
                change,
                expiry,
                guard,
                returns,
            };
            Operation::Update { key, update }
        },
    )
}

pub(super) fn any_set_many() -> impl Strategy<Value = Operation> {
    let item = || (any_key(), any_value());
    let others = prop::collection::vec(item(), 0..5);
    (item(), others, any::<bool>()).prop_map(|(first, others, if_absent)| Operation::SetMany {
        first,
        others,
        if_absent,
    })
}
