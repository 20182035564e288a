//! Key -> slot.

use std::hash::Hasher;

use crc::{CRC_16_XMODEM, Crc, Table};
use fnv::FnvHasher;
use xxhash_rust::xxh3::xxh3_64;

use crate::ring::hash::KeyHash;
use crate::types::Slot;

/// The CRC that the Redis Cluster specification names.
static CRC16: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);

/// The slot of a key: the hash of the part in the first `{…}` that is not empty,
/// else of the whole key, modulo the number of slots. Keys with the same tag
/// share a slot, whatever the hash.
pub fn slot_of(hash: KeyHash, key: &[u8]) -> Slot {
    let hashed = tag(key);
    Slot::of_hash(match hash {
        KeyHash::Crc16 => u64::from(CRC16.checksum(hashed)),
        KeyHash::Xxh3 => xxh3_64(hashed),
        KeyHash::Fnv1a => {
            let mut hasher = FnvHasher::default();
            hasher.write(hashed);
            hasher.finish()
        }
    })
}

/// The part of a key that is hashed, by the rules of Redis Cluster: what stands
/// between the first `{` and the first `}` after it; the whole key when one of
/// them is missing or nothing stands between.
fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else {
        return key;
    };
    let rest = &key[open + 1..];
    match rest.iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(close) => &rest[..close],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASHES: [KeyHash; 3] = [KeyHash::Crc16, KeyHash::Xxh3, KeyHash::Fnv1a];

    #[test]
    fn crc16_slots_are_those_of_redis_cluster() {
        // 12739 is the check value of the specification's appendix; the others
        // are what CLUSTER KEYSLOT answers.
        assert_eq!(CRC16.checksum(b"123456789"), 0x31c3);
        for (key, slot) in [
            ("123456789", 12739),
            ("foo", 12182),
            ("bar", 5061),
            ("hello", 866),
            ("somekey", 11058),
        ] {
            assert_eq!(
                slot_of(KeyHash::Crc16, key.as_bytes()).number(),
                slot,
                "{key}"
            );
        }
    }

    #[test]
    fn tags_follow_the_rules_of_redis_cluster() {
        for (key, hashed) in [
            ("{user1000}.following", "user1000"),
            ("{user1000}.followers", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("}{a}", "a"),
            ("{", "{"),
            ("{}", "{}"),
            ("{a", "{a"),
            ("a}", "a}"),
            ("", ""),
        ] {
            assert_eq!(tag(key.as_bytes()), hashed.as_bytes(), "{key}");
            for hash in HASHES {
                let (whole, part) = (key.as_bytes(), hashed.as_bytes());
                assert_eq!(slot_of(hash, whole), slot_of(hash, part), "{hash} {key}");
            }
        }
    }

    #[test]
    fn the_other_hashes_are_the_published_ones() {
        // FNV-1a 64 of "foobar" is 0x85944171f73967e8 in its authors' test vectors;
        // XXH3-64 of "" with seed 0 is 0x2d06800538d394c2 in xxHash's.
        assert_eq!(
            slot_of(KeyHash::Fnv1a, b"foobar"),
            Slot::of_hash(0x8594_4171_f739_67e8)
        );
        assert_eq!(
            slot_of(KeyHash::Xxh3, b""),
            Slot::of_hash(0x2d06_8005_38d3_94c2)
        );
    }
}
