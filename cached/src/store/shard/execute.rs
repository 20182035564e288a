//! The operations on one key.

use bytes::Bytes;
use cached_proto::limits::VALUE_BYTES_CEILING;
use cached_proto::operation::{Condition, Entry as EntryReply, Operation, Reply};
use cached_proto::types::{Slot, Ttl, Version};

use super::{Gone, Place, Shard};
use crate::clock::WallMs;
use crate::store::entries::Value;
use crate::store::entry::Deadline;
use crate::store::{Executed, GroupId, Hit, Read, Refused, Spot};

impl Shard {
    /// Carries out one operation.
    pub(crate) fn execute(
        &mut self,
        slot: Slot,
        group: GroupId,
        operation: &Operation,
        now: WallMs,
    ) -> Result<Executed, Refused> {
        let executed = self.execute_one(slot, group, operation, now);
        self.evacuate();
        executed
    }

    fn execute_one(
        &mut self,
        slot: Slot,
        group: GroupId,
        operation: &Operation,
        now: WallMs,
    ) -> Result<Executed, Refused> {
        let reply = match operation {
            Operation::Get {
                key, metadata_only, ..
            } => {
                let place = self.place_to_read(slot, group, key.as_bytes(), now)?;
                return Ok(self.get(&place, *metadata_only).unwrap_or_else(|| {
                    self.count_miss(group);
                    Executed::Reply(Reply::Get(None))
                }));
            }
            Operation::Set {
                key,
                value,
                ttl,
                condition,
            } => {
                let place = self.place_to_write(slot, group, key.as_bytes(), now)?;
                self.set(&place, Value::Shared(value), *ttl, *condition)?
            }
            Operation::Delete { key, condition } => {
                let place = self.place_to_write(slot, group, key.as_bytes(), now)?;
                self.delete(&place, *condition)
            }
            Operation::Touch { key, ttl } => {
                let place = self.place_to_write(slot, group, key.as_bytes(), now)?;
                self.set_ttl(&place, *ttl)
            }
            Operation::Update { key, update } => {
                let bytes_max = VALUE_BYTES_CEILING;
                Reply::Update(self.update_one(slot, group, key, update, bytes_max, now)?)
            }
            Operation::SetMany {
                first,
                others,
                if_absent,
            } => {
                let items: Vec<_> = std::iter::once(first).chain(others).collect();
                self.set_many(slot, group, &items, *if_absent, now)?
            }
        };
        Ok(Executed::Reply(reply))
    }

    /// Carries out a read; `None`: missed, and not counted.
    pub(crate) fn try_get(
        &mut self,
        slot: Slot,
        group: GroupId,
        key: &[u8],
        metadata_only: bool,
        now: WallMs,
    ) -> Result<Option<Executed>, Refused> {
        let place = self.place_to_read(slot, group, key, now)?;
        let got = self.get(&place, metadata_only);
        self.evacuate();
        Ok(got)
    }

    /// Reads a value where it stands; a miss is not counted.
    pub(crate) fn read_with<R>(
        &mut self,
        spot: Spot,
        key: &[u8],
        now: WallMs,
        read: impl FnOnce(Hit<'_>) -> R,
    ) -> Result<Read<R>, Refused> {
        let place = self.place_to_read_at(spot, key, now)?;
        let Some(index) = self.look_up(&place, false) else {
            self.evacuate();
            return Ok(Read::Missed);
        };
        let entry = self.entries.get(index);
        if !entry.is_key() {
            return Ok(Read::KnownAbsent);
        }
        let container = &self.containers[place.container as usize];
        Ok(Read::Hit(read(Hit {
            value: self.entries.value_ref(index),
            version: container.version(entry.seq()),
            ttl_ms: entry.deadline().left_ms(place.now),
        })))
    }

    /// Writes a copy of a value, with the group's time to live.
    pub(crate) fn set_copy(
        &mut self,
        spot: Spot,
        key: &[u8],
        value: &[u8],
        now: WallMs,
    ) -> Result<(), Refused> {
        let place = self.place_to_write_at(spot, key, now)?;
        let set = self.set(&place, Value::Copied(value), None, Condition::Always);
        self.evacuate();
        set.map(|_| ())
    }

    /// Counts a read that found nothing.
    pub(crate) fn count_miss(&mut self, group: GroupId) {
        self.groups[group.index()].counters.misses += 1;
    }

    /// Whether a read would find something.
    pub(crate) fn contains(&self, slot: Slot, group: GroupId, key: &[u8], now: WallMs) -> bool {
        let Ok(place) = self.place(slot, group, key, now) else {
            return false;
        };
        let found = self.peek(&place);
        found.is_some_and(|index| {
            let deadline = self.entries.get(index).deadline();
            !deadline.has_passed(place.now)
        })
    }

    /// Finds what a read is answered from, and counts it.
    ///
    /// A read of the value is a use; a look at its metadata is not, so that
    /// inspecting a cache does not change what it keeps.
    fn look_up(&mut self, place: &Place<'_>, metadata_only: bool) -> Option<u32> {
        let index = self.find(place)?;
        if !metadata_only {
            self.touch(place, index);
            if self.containers[place.container as usize].log.is_some() {
                self.log_read(index);
            }
        }
        let counters = &mut self.groups[place.group.index()].counters;
        if self.entries.get(index).is_key() {
            counters.hits += 1;
        } else {
            counters.negative_hits += 1;
        }
        Some(index)
    }

    fn get(&mut self, place: &Place<'_>, metadata_only: bool) -> Option<Executed> {
        let index = self.look_up(place, metadata_only)?;
        let entry = self.entries.get(index);
        let value = if metadata_only {
            entry.is_key().then(Bytes::new)
        } else {
            self.entries.value(index)
        };
        let Some(value) = value else {
            return Some(Executed::KnownAbsent);
        };
        let container = &self.containers[place.container as usize];
        let reply = EntryReply {
            value,
            version: Some(container.version(entry.seq())),
            ttl_ms: entry.deadline().left_ms(place.now),
            value_bytes: entry.value_bytes() as u64,
            loaded: false,
            uncached: false,
        };
        Some(Executed::Reply(Reply::Get(Some(reply))))
    }

    fn set(
        &mut self,
        place: &Place<'_>,
        value: Value<'_>,
        ttl: Option<Ttl>,
        condition: Condition,
    ) -> Result<Reply, Refused> {
        self.check_fits(place, value.bytes().len())?;
        let found = self.find(place);
        let current = self.version(found);
        if !holds(condition, current) {
            return Ok(Reply::Set {
                stored: false,
                version: current,
            });
        }
        self.kill_fill(place);
        let deadline = self.deadline(place.group, ttl, place.now);
        let version = self.put(place, found, Some(value), deadline);
        self.groups[place.group.index()].counters.sets += 1;
        Ok(Reply::Set {
            stored: true,
            version: Some(version),
        })
    }

    /// Kills the key's fill token and its note of absence in any case: who deletes
    /// says that what an origin told before is out of date.
    fn delete(&mut self, place: &Place<'_>, condition: Condition) -> Reply {
        self.kill_fill(place);
        let found = self.find(place);
        let current = self.version(found);
        if current.is_some() && !holds(condition, current) {
            return Reply::Delete {
                deleted: false,
                version: current,
            };
        }
        if let Some(index) = found {
            self.remove(index, Gone::Removed);
        }
        Reply::Delete {
            deleted: current.is_some(),
            version: None,
        }
    }

    /// Counts as a use: who prolongs an entry means to read it.
    fn set_ttl(&mut self, place: &Place<'_>, ttl: Option<Ttl>) -> Reply {
        let found = self
            .find(place)
            .filter(|index| self.entries.get(*index).is_key());
        if let Some(index) = found {
            let index = self.set_deadline(index, Deadline::after(place.now, ttl));
            self.touch(place, index);
            self.log_use(index);
        }
        Reply::Touch {
            found: found.is_some(),
        }
    }

    /// The version of what a caller sees there; a note of absence is nothing.
    pub(super) fn version(&self, found: Option<u32>) -> Option<Version> {
        let entry = self.entries.get(found?);
        let container = &self.containers[usize::from(entry.container())];
        entry.is_key().then(|| container.version(entry.seq()))
    }

    /// When an entry ends that is written now; the group says so where nobody does.
    pub(super) fn deadline(&self, group: GroupId, ttl: Option<Ttl>, now: WallMs) -> Deadline {
        Deadline::after(now, ttl.or(self.groups[group.index()].default_ttl))
    }
}

/// Whether a condition holds for a key with this version, or without entry.
pub(super) fn holds(condition: Condition, current: Option<Version>) -> bool {
    match condition {
        Condition::Always => true,
        Condition::IfAbsent => current.is_none(),
        Condition::IfPresent => current.is_some(),
        Condition::IfVersion(version) => current == Some(version),
    }
}
