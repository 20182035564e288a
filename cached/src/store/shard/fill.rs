//! Loads from an origin: announced, stored if nothing came between, or given up.

use cached_proto::types::Slot;

use super::Shard;
use crate::clock::WallMs;
use crate::faults::{Fault, planted};
use crate::store::entries::Value;
use crate::store::entry::Deadline;
use crate::store::fills::FillKey;
use crate::store::{Fill, FillToken, Filled, GroupId, Refused};

impl Shard {
    /// Issues a token for a key.
    pub(crate) fn begin_fill(
        &mut self,
        slot: Slot,
        group: GroupId,
        key: &[u8],
        until: WallMs,
    ) -> Result<FillToken, Refused> {
        let place = self.place(slot, group, key, WallMs(0))?;
        let fill_key = self.fill_key(&place);
        let nonce = self.fills.begin(fill_key, group, until);
        Ok(FillToken {
            container: fill_key.container,
            nonce,
        })
    }

    /// Stores what a load brought, if its token lives. The token is used up in any
    /// case.
    pub(crate) fn fill(
        &mut self,
        slot: Slot,
        group: GroupId,
        key: &[u8],
        token: FillToken,
        fill: Fill,
        now: WallMs,
    ) -> Result<Filled, Refused> {
        let filled = self.fill_one(slot, group, key, token, fill, now);
        self.evacuate();
        filled
    }

    fn fill_one(
        &mut self,
        slot: Slot,
        group: GroupId,
        key: &[u8],
        token: FillToken,
        fill: Fill,
        now: WallMs,
    ) -> Result<Filled, Refused> {
        let alive = self.fill_alive(slot, group, key, token, now) || planted(Fault::R34);
        self.abandon_fill(slot, group, key, token);
        let place = match self.place_to_write(slot, group, key, now) {
            Ok(place) if alive => place,
            Err(congested @ Refused::Congested(_)) if alive => return Err(congested),
            _ => {
                self.groups[group.index()].counters.fills_rejected += 1;
                return Ok(Filled::Rejected);
            }
        };
        let (value, deadline) = match fill {
            Fill::Value { value, ttl } => (Some(value), self.deadline(group, ttl, place.now)),
            Fill::Absent { ttl } => (None, Deadline::after(place.now, Some(ttl))),
        };
        self.check_fits(&place, value.as_ref().map_or(0, bytes::Bytes::len))?;
        let found = self.find(&place);
        let version = self.put(&place, found, value.as_ref().map(Value::Shared), deadline);
        Ok(Filled::Stored(version))
    }

    /// Takes a token back.
    pub(crate) fn abandon_fill(
        &mut self,
        slot: Slot,
        group: GroupId,
        key: &[u8],
        token: FillToken,
    ) {
        if let Some(fill_key) = self.token_key(slot, group, key, token) {
            self.fills.end(fill_key, token.nonce);
        }
    }

    /// Whether a token would be taken.
    pub(crate) fn fill_alive(
        &self,
        slot: Slot,
        group: GroupId,
        key: &[u8],
        token: FillToken,
        now: WallMs,
    ) -> bool {
        let fill_key = self.token_key(slot, group, key, token);
        fill_key.is_some_and(|fill_key| self.fills.is_alive(fill_key, token.nonce, now))
    }

    /// Under which key to look for a token, if its container serves.
    fn token_key(
        &self,
        slot: Slot,
        group: GroupId,
        key: &[u8],
        token: FillToken,
    ) -> Option<FillKey> {
        let place = self.place(slot, group, key, WallMs(0)).ok()?;
        let fill_key = self.fill_key(&place);
        (fill_key.container == token.container).then_some(fill_key)
    }
}
