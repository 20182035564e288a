//! Where an operation on a key takes place, and when, if it may.

use cached_proto::types::Slot;

use super::{Place, Shard, hash};
use crate::clock::WallMs;
use crate::faults::{Fault, planted};
use crate::store::fills::FillKey;
use crate::store::{GroupId, Refused, Spot};

impl Shard {
    /// Where an operation on a key takes place.
    pub(super) fn place<'a>(
        &self,
        slot: Slot,
        group: GroupId,
        key: &'a [u8],
        now: WallMs,
    ) -> Result<Place<'a>, Refused> {
        self.place_at(self.spot(slot, group, key), key, now)
    }

    /// The same for a read.
    pub(super) fn place_to_read<'a>(
        &self,
        slot: Slot,
        group: GroupId,
        key: &'a [u8],
        now: WallMs,
    ) -> Result<Place<'a>, Refused> {
        self.place_to_read_at(self.spot(slot, group, key), key, now)
    }

    /// The same for a write, which is refused where its change could not be sent on.
    pub(super) fn place_to_write<'a>(
        &self,
        slot: Slot,
        group: GroupId,
        key: &'a [u8],
        now: WallMs,
    ) -> Result<Place<'a>, Refused> {
        self.place_to_write_at(self.spot(slot, group, key), key, now)
    }

    /// As [`Shard::place_to_read`], with the spot of the key.
    pub(super) fn place_to_read_at<'a>(
        &self,
        spot: Spot,
        key: &'a [u8],
        now: WallMs,
    ) -> Result<Place<'a>, Refused> {
        if planted(Fault::R3) {
            return self.place_in_any(spot, key, now);
        }
        self.place_at(spot, key, now)
    }

    /// As [`Shard::place_to_write`], with the spot of the key.
    pub(super) fn place_to_write_at<'a>(
        &self,
        spot: Spot,
        key: &'a [u8],
        now: WallMs,
    ) -> Result<Place<'a>, Refused> {
        let place = self.place_at(spot, key, now)?;
        match &self.containers[place.container as usize].log {
            Some(log) if log.is_full() => Err(Refused::Congested(spot.slot)),
            _ => Ok(place),
        }
    }

    /// Kills the fill token of a key, if it has one.
    #[inline]
    pub(super) fn kill_fill(&mut self, place: &Place<'_>) {
        if self.fills.len() > 0 {
            self.fills.kill(self.fill_key(place));
        }
    }

    pub(super) fn fill_key(&self, place: &Place<'_>) -> FillKey {
        let container = self.containers[place.container as usize].id;
        FillKey {
            container,
            hash: place.hash,
        }
    }

    fn spot(&self, slot: Slot, group: GroupId, key: &[u8]) -> Spot {
        let hash = hash(self.config.hash_seed, group, key);
        Spot { slot, group, hash }
    }

    fn place_at<'a>(&self, spot: Spot, key: &'a [u8], now: WallMs) -> Result<Place<'a>, Refused> {
        let place = self.place_in_any(spot, key, now)?;
        if self.containers[place.container as usize].is_sealed() {
            return Err(Refused::Sealed(spot.slot));
        }
        Ok(place)
    }

    fn place_in_any<'a>(
        &self,
        spot: Spot,
        key: &'a [u8],
        now: WallMs,
    ) -> Result<Place<'a>, Refused> {
        let Spot { slot, group, hash } = spot;
        debug_assert_eq!(spot, self.spot(slot, group, key), "it is the key's own");
        let container = self.serving[self.local(slot)].ok_or(Refused::NotServed(slot))?;
        Ok(Place {
            container,
            group,
            key,
            hash,
            now: now.max(self.containers[container as usize].floor),
        })
    }
}
