//! Updates of one entry that depend on what it is, and writes of several at once: each
//! in one step under the shard's lock.

use bytes::Bytes;
use cached_proto::limits::DEADLINE_MS_MAX;
use cached_proto::operation::{Condition, Reply};
use cached_proto::types::{Key, Slot};
use cached_proto::update::{Change, Expiry, Guard, Returns, Snapshot, Update, Updated};

use super::execute::holds;
use super::{Gone, Place, Shard};
use crate::clock::WallMs;
use crate::store::edit::edited;
use crate::store::entries::Value;
use crate::store::entry::Deadline;
use crate::store::eviction::Stamps;
use crate::store::{GroupId, Refused};

impl Shard {
    /// Carries out an update; the value may have so many bytes afterwards.
    pub(crate) fn update(
        &mut self,
        slot: Slot,
        group: GroupId,
        key: &Key,
        update: &Update,
        value_bytes_max: usize,
        now: WallMs,
    ) -> Result<Updated, Refused> {
        let updated = self.update_one(slot, group, key, update, value_bytes_max, now);
        self.evacuate();
        updated
    }

    pub(super) fn update_one(
        &mut self,
        slot: Slot,
        group: GroupId,
        key: &Key,
        update: &Update,
        value_bytes_max: usize,
        now: WallMs,
    ) -> Result<Updated, Refused> {
        let place = if update.is_read() {
            self.place_to_read(slot, group, key.as_bytes(), now)?
        } else {
            self.place_to_write(slot, group, key.as_bytes(), now)?
        };
        let found = self.find(&place);
        let before = found.filter(|index| self.entries.get(*index).is_key());
        let old = before.map(|index| self.entries.get(index).deadline());
        let deadline = self.new_deadline(&place, update.expiry, old);
        self.count_read(&place, update, before.is_some());
        if !self.allows(&update.guard, before, deadline) {
            let entry = before.map(|index| self.snapshot(&place, index, update.returns));
            return Ok(Updated {
                applied: false,
                entry,
            });
        }
        let previous = match update.returns {
            Returns::Previous => before.map(|index| self.snapshot(&place, index, Returns::Value)),
            Returns::Metadata | Returns::Value => None,
        };
        let (applied, after) = match &update.change {
            Change::Keep => (
                before.is_some(),
                self.keep(&place, before, update, deadline),
            ),
            Change::Remove => {
                self.erase(&place, found);
                (before.is_some(), None)
            }
            change => {
                let current = before.and_then(|index| self.entries.value(index));
                let value = edited(change, current, value_bytes_max).map_err(Refused::Unfit)?;
                self.check_fits(&place, value.len())?;
                (true, self.write(&place, found, &value, deadline))
            }
        };
        let entry = match update.returns {
            Returns::Previous => previous,
            returns => after.map(|index| self.snapshot(&place, index, returns)),
        };
        Ok(Updated { applied, entry })
    }

    /// Writes entries in order, or none if one of them is not to be there and is, or
    /// could not even stand alone.
    pub(super) fn set_many(
        &mut self,
        slot: Slot,
        group: GroupId,
        items: &[&(Key, Bytes)],
        if_absent: bool,
        now: WallMs,
    ) -> Result<Reply, Refused> {
        let mut places = Vec::with_capacity(items.len());
        for (key, value) in items {
            let place = self.place_to_write(slot, group, key.as_bytes(), now)?;
            self.check_fits(&place, value.len())?;
            places.push(place);
        }
        let condition = if if_absent {
            Condition::IfAbsent
        } else {
            Condition::Always
        };
        for place in &places {
            let found = self.find(place);
            if !holds(condition, self.version(found)) {
                return Ok(Reply::SetMany { stored: false });
            }
        }
        for (place, (_, value)) in places.iter().zip(items) {
            let found = self.find(place);
            let deadline = self.deadline(group, None, place.now);
            self.write(place, found, value, deadline);
        }
        Ok(Reply::SetMany { stored: true })
    }

    /// Puts a value there; `None`: its time is over at once, so that it is gone.
    fn write(
        &mut self,
        place: &Place<'_>,
        found: Option<u32>,
        value: &Bytes,
        deadline: Deadline,
    ) -> Option<u32> {
        self.kill_fill(place);
        self.put(place, found, Some(Value::Shared(value)), deadline);
        self.groups[place.group.index()].counters.sets += 1;
        let index = self.peek(place)?;
        if deadline.has_passed(place.now) {
            self.remove(index, Gone::Removed);
            return None;
        }
        Some(index)
    }

    /// Leaves the value as it is. Whatever is more than a look counts as a use.
    fn keep(
        &mut self,
        place: &Place<'_>,
        before: Option<u32>,
        update: &Update,
        deadline: Deadline,
    ) -> Option<u32> {
        let index = before?;
        if update.is_read() {
            if update.returns != Returns::Metadata {
                self.touch(place, index);
                self.log_read(index);
            }
            return Some(index);
        }
        if deadline.has_passed(place.now) {
            self.erase(place, Some(index));
            return None;
        }
        let index = self.set_deadline(index, deadline);
        self.touch(place, index);
        self.log_use(index);
        Some(index)
    }

    fn erase(&mut self, place: &Place<'_>, found: Option<u32>) {
        self.kill_fill(place);
        if let Some(index) = found {
            self.remove(index, Gone::Removed);
        }
    }

    /// When the entry ends after the update.
    fn new_deadline(&self, place: &Place<'_>, expiry: Expiry, old: Option<Deadline>) -> Deadline {
        let at = |ms: u64| Deadline::at(Some(WallMs(ms.min(DEADLINE_MS_MAX))));
        match expiry {
            Expiry::Keep => old.unwrap_or_else(|| self.deadline(place.group, None, place.now)),
            Expiry::Default => self.deadline(place.group, None, place.now),
            Expiry::Never => Deadline::NEVER,
            Expiry::In(ms) => at(place.now.0.saturating_add(ms)),
            Expiry::At(ms) => at(ms),
        }
    }

    fn allows(&self, guard: &Guard, before: Option<u32>, deadline: Deadline) -> bool {
        let old = before.map(|index| self.entries.get(index).deadline());
        // Never is later than any time.
        let order = |deadline: Deadline| deadline.wall_ms().unwrap_or(u64::MAX);
        let sooner = |old: Deadline| order(deadline) < order(old);
        match guard {
            Guard::If(condition) => holds(*condition, self.version(before)),
            Guard::Equal(value) => {
                before.is_some_and(|index| self.entries.value_ref(index) == &value[..])
            }
            Guard::Persistent => old == Some(Deadline::NEVER),
            Guard::Expiring => old.is_some_and(|old| old != Deadline::NEVER),
            Guard::Later => old.is_some_and(|old| order(deadline) > order(old)),
            Guard::Sooner => old.is_some_and(sooner),
            Guard::ExpiringSooner => old.is_some_and(|old| old != Deadline::NEVER && sooner(old)),
        }
    }

    /// Reads of a value count as such: those that change nothing but the time, and those
    /// that take the value away.
    fn count_read(&mut self, place: &Place<'_>, update: &Update, found: bool) {
        let reads = update.returns != Returns::Metadata
            && matches!(update.change, Change::Keep | Change::Remove);
        if reads {
            let counters = &mut self.groups[place.group.index()].counters;
            counters.hits += u64::from(found);
            counters.misses += u64::from(!found);
        }
    }

    fn snapshot(&self, place: &Place<'_>, index: u32, returns: Returns) -> Snapshot {
        let entry = self.entries.get(index);
        let container = &self.containers[usize::from(entry.container())];
        Snapshot {
            value: match returns {
                Returns::Metadata => Bytes::new(),
                Returns::Value | Returns::Previous => self.entries.value(index).unwrap_or_default(),
            },
            value_bytes: entry.value_bytes() as u64,
            version: container.version(entry.seq()),
            deadline_ms: entry.deadline().wall_ms(),
            ttl_ms: entry.deadline().left_ms(place.now),
            memory_bytes: entry.charge(),
            idle_ms: place.now.0.saturating_sub(Stamps::wall_ms(entry.stamp())),
        }
    }
}
