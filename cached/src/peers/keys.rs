//! Where a listing of keys stands, so that it can go on at any node. Pure.

use cached_proto::types::{Key, SLOTS, Slot};
use rand::Rng;

/// Where a listing goes on: at a slot, and within it. A key that is there during the
/// whole listing is listed at least once, also if its slot moves: the new owner lists
/// the slot from its start. One whose time is over may be listed until it is swept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysPlace {
    /// The slot.
    pub slot: Slot,
    /// Within the slot, as its owner understands it; 0: its start.
    pub position: u64,
}

/// Some keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeysPage {
    /// May be empty although the listing goes on.
    pub keys: Vec<Key>,
    /// Where it goes on; `None`: that was all.
    pub next: Option<KeysPlace>,
}

/// A place has 14 bits for its slot, 17 for the container's number, and 32 for the
/// place in it: 63 in all, because some clients take cursors for signed numbers.
const POSITION_BITS: u32 = 49;
pub(crate) const BELOW_BITS: u32 = 32;
pub(crate) const CONTAINER_MASK: u64 = (1 << (POSITION_BITS - BELOW_BITS)) - 1;

impl KeysPlace {
    /// Before everything.
    pub const START: Self = Self {
        slot: Slot::FIRST,
        position: 0,
    };

    /// The start of a slot that is drawn by lot.
    pub fn random() -> Self {
        let number = rand::rng().random_range(0..SLOTS);
        Self::at(number).unwrap_or(Self::START)
    }

    /// The start of a slot; `None`: there is no such slot.
    pub(crate) fn at(number: u16) -> Option<Self> {
        let slot = Slot::new(number).ok()?;
        Some(Self { slot, position: 0 })
    }

    /// As a number that is not 0 unless this is the start.
    pub fn to_cursor(self) -> u64 {
        u64::from(self.slot.number()) << POSITION_BITS | self.position
    }

    /// The place of a number; of one that is no place, the start.
    pub fn from_cursor(cursor: u64) -> Self {
        let slot = u16::try_from(cursor >> POSITION_BITS).ok();
        let slot = slot.and_then(|number| Slot::new(number).ok());
        let position = cursor & ((1 << POSITION_BITS) - 1);
        slot.map_or(Self::START, |slot| Self { slot, position })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_number_that_clients_can_hold() {
        let last = Slot::all().next_back().unwrap();
        let position = (1 << POSITION_BITS) - 1;
        for place in [
            KeysPlace::START,
            KeysPlace {
                slot: last,
                position,
            },
            KeysPlace {
                slot: last,
                position: 0,
            },
            KeysPlace {
                slot: Slot::FIRST,
                position: 1,
            },
        ] {
            let cursor = place.to_cursor();
            assert_eq!(KeysPlace::from_cursor(cursor), place);
            assert!(i64::try_from(cursor).is_ok());
            assert_eq!(cursor == 0, place == KeysPlace::START);
        }
        assert_eq!(KeysPlace::from_cursor(u64::MAX), KeysPlace::START);
    }
}
