//! Reads that copy nothing but what their caller wants, and runs of operations under one
//! lock: for front ends that are asked for many small values at once.

use super::lock::Held;
use cached_proto::operation::Operation;
use cached_proto::types::{Slot, Version};

use super::shard::Shard;
use super::{Executed, GroupId, Refused, Spot, Store};
use crate::clock::WallMs;

/// Operations of a run: some ten microseconds, after which others get their turn.
const RUN_OPERATIONS_MAX: u32 = 64;

/// A value where it stands, with what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    /// The value.
    pub value: &'a [u8],
    /// Its version.
    pub version: Version,
    /// Milliseconds that are left of its time, if it has one.
    pub ttl_ms: Option<u64>,
}

/// What came of a read; `R` is what its caller took from the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read<R> {
    /// There is a value.
    Hit(R),
    /// The origin said "not there" a moment ago.
    KnownAbsent,
    /// Nothing is known. It is not counted yet: see [`Store::count_miss`].
    Missed,
}

impl Store {
    /// Reads a value without a copy of its own: `read` is called under the shard's lock, so
    /// it must be quick, and copies what it needs. Otherwise as [`Store::try_get`]. The key
    /// is one that [`Key::new`](cached_proto::types::Key::new) takes.
    pub fn read_with<R>(
        &self,
        slot: Slot,
        group: GroupId,
        key: &[u8],
        now: WallMs,
        read: impl FnOnce(Hit<'_>) -> R,
    ) -> Result<Read<R>, Refused> {
        self.read_at(self.spot(slot, group, key), key, now, read)
    }

    /// As [`Store::read_with`], with the [spot](Store::spot) of the key.
    pub fn read_at<R>(
        &self,
        spot: Spot,
        key: &[u8],
        now: WallMs,
        read: impl FnOnce(Hit<'_>) -> R,
    ) -> Result<Read<R>, Refused> {
        let mut shard = self.shard(spot.slot).lock();
        shard.read_with(spot, key, now, read)
    }

    /// Writes a value from where it stands, with the group's time to live: as
    /// [`Store::execute`] does for a set without condition. `spot` is that of the key.
    pub fn set_copy(
        &self,
        spot: Spot,
        key: &[u8],
        value: &[u8],
        now: WallMs,
    ) -> Result<(), Refused> {
        let mut shard = self.shard(spot.slot).lock();
        let set = shard.set_copy(spot, key, value, now);
        self.settle(shard, spot.slot, spot.group);
        set
    }

    /// Begins a run of operations under the lock of a slot's shard, which is held until
    /// the run is dropped: for operations that are at hand, and at most 64 of them.
    pub fn run(&self, slot: Slot) -> Run<'_> {
        Run {
            store: self,
            slot,
            shard: Some(self.shard(slot).lock()),
            left: RUN_OPERATIONS_MAX,
            written: None,
        }
    }
}

/// A run of operations on slots of one shard. Other calls of the store would wait for it
/// for ever, so its thread makes none while it has a run.
pub struct Run<'a> {
    store: &'a Store,
    slot: Slot,
    /// There until it is dropped.
    shard: Option<Held<'a>>,
    left: u32,
    /// The group of the last write, where it left a bound broken.
    written: Option<(Slot, GroupId)>,
}

impl std::fmt::Debug for Run<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Run");
        shown.field("slot", &self.slot).field("left", &self.left);
        shown.finish_non_exhaustive()
    }
}

impl Run<'_> {
    /// Whether the next operation may be one on this slot: it lies in the same shard, the
    /// run is not at its end, and no write waits for other shards to make room.
    pub fn takes(&self, slot: Slot) -> bool {
        self.left > 0 && self.written.is_none() && self.store.is_same_shard(self.slot, slot)
    }

    /// As [`Store::read_with`]; refused as not served where the run does not take the slot.
    pub fn read_with<R>(
        &mut self,
        slot: Slot,
        group: GroupId,
        key: &[u8],
        now: WallMs,
        read: impl FnOnce(Hit<'_>) -> R,
    ) -> Result<Read<R>, Refused> {
        let spot = self.store.spot(slot, group, key);
        let shard = self.next(slot)?;
        shard.read_with(spot, key, now, read)
    }

    /// As [`Store::execute`]; refused as not served where the run does not take the slot.
    pub fn execute(
        &mut self,
        slot: Slot,
        group: GroupId,
        operation: &Operation,
        now: WallMs,
    ) -> Result<Executed, Refused> {
        let shard = self.next(slot)?;
        let executed = shard.execute(slot, group, operation, now);
        let may_grow = matches!(
            operation,
            Operation::Set { .. } | Operation::Update { .. } | Operation::SetMany { .. }
        );
        if may_grow && shard.is_short(group) {
            self.written = Some((slot, group));
        }
        executed
    }

    /// As [`Store::count_miss`]; not an operation of its own.
    pub fn count_miss(&mut self, group: GroupId) {
        if let Some(shard) = &mut self.shard {
            shard.count_miss(group);
        }
    }

    fn next(&mut self, slot: Slot) -> Result<&mut Shard, Refused> {
        let is_taken = self.takes(slot);
        match &mut self.shard {
            Some(shard) if is_taken => {
                self.left -= 1;
                Ok(shard)
            }
            _ => Err(Refused::NotServed(slot)),
        }
    }
}

impl Drop for Run<'_> {
    /// Lets other shards give the room that this one could not.
    fn drop(&mut self) {
        if let Some(shard) = self.shard.take()
            && let Some((slot, group)) = self.written
        {
            self.store.settle(shard, slot, group);
        }
    }
}
