//! Sets of slots as messages carry them: one bit for each. Pure.

use crate::types::{Invalid, SLOTS, Slot};
use bytes::Bytes;

/// Bytes of a map: slot s is bit s % 8 of byte s / 8.
const MAP_BYTES: usize = SLOTS as usize / 8;

/// The map of some slots.
pub fn to_bits(slots: &[Slot]) -> Bytes {
    let mut map = vec![0_u8; MAP_BYTES];
    for slot in slots {
        map[slot.index() / 8] |= 1 << (slot.index() % 8);
    }
    map.into()
}

/// The slots of a map, ascending; an empty one holds none.
pub fn from_bits(map: &[u8]) -> Result<Vec<Slot>, Invalid> {
    if !map.is_empty() && map.len() != MAP_BYTES {
        let problem = format!(
            "has {} bytes; a map of all slots has {MAP_BYTES}",
            map.len()
        );
        return Err(Invalid::new("slots", problem));
    }
    let is_set = |slot: &Slot| {
        let byte = map.get(slot.index() / 8).copied().unwrap_or(0);
        byte & (1 << (slot.index() % 8)) != 0
    };
    Ok(Slot::all().filter(is_set).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_survive_the_wire() {
        let slots: Vec<Slot> = Slot::all().filter(|slot| slot.number() % 7 == 3).collect();
        let map = to_bits(&slots);
        assert_eq!(map.len(), 2048);
        assert_eq!(from_bits(&map), Ok(slots));
        assert_eq!(map[0], 1 << 3);
        assert_eq!(from_bits(&[]), Ok(Vec::new()));
        let edges = [Slot::all().next().unwrap(), Slot::all().last().unwrap()];
        assert_eq!(from_bits(&to_bits(&edges)), Ok(edges.to_vec()));
    }

    #[test]
    fn maps_of_another_length_are_refused() {
        for length in [1, 2047, 2049] {
            let refusal = from_bits(&vec![0; length]).unwrap_err();
            assert_eq!(refusal.field, "slots");
        }
    }
}
