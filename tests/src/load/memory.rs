//! What a load has written, key by key, and what an answer says about it. Pure.

use std::collections::BTreeMap;

use cached_proto::types::Version;

/// Bytes of a value that say whose it is: number of its key, number of the write.
pub const VALUE_BYTES_MIN: usize = 16;

/// What one key may hold. Counters start at 1; 0 stands for "no entry".
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Of the newest write that was sent.
    issued: u32,
    /// Of the newest one that was acknowledged.
    held: u32,
    /// The newest that was seen.
    version: Option<Version>,
}

/// Everything that one worker wrote. A key has one worker, which never has two
/// operations on it under way: so there is one right answer.
#[derive(Debug)]
pub struct Memory {
    keys: Vec<Known>,
    /// Writes whose outcome is unknown, by key, until the next one that is
    /// acknowledged: each of them may have been applied.
    perhaps: BTreeMap<u32, Vec<u32>>,
}

/// What an answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it was written.
    Right,
    /// An acknowledged entry is not there.
    Lost,
    /// An older value than the acknowledged one.
    Stale,
    /// A value that was deleted.
    Resurrected,
    /// A value that nobody wrote there, or a damaged one.
    Wrong,
    /// The right value, under a lower version than one that was seen before.
    Disordered,
}

impl Memory {
    /// Of so many keys, none of them written.
    pub fn new(keys: usize) -> Self {
        Self {
            keys: vec![Known::default(); keys],
            perhaps: BTreeMap::new(),
        }
    }

    /// How many keys.
    pub fn keys(&self) -> u32 {
        self.keys.len() as u32
    }

    /// Whether an entry must be there.
    pub fn holds(&self, key: u32) -> bool {
        self.keys[key as usize].held != 0
    }

    /// The counter of the next write of a key.
    pub fn issue(&mut self, key: u32) -> u32 {
        let known = &mut self.keys[key as usize];
        known.issued += 1;
        known.issued
    }

    /// A set was acknowledged.
    pub fn was_set(&mut self, key: u32, counter: u32, version: Option<Version>) -> Verdict {
        self.perhaps.remove(&key);
        self.keys[key as usize].held = counter;
        self.ordered(key, version, true)
    }

    /// A delete was acknowledged. That there was nothing proves no loss: the client may
    /// have asked twice.
    pub fn was_deleted(&mut self, key: u32, deleted: bool) -> Verdict {
        let perhaps = self.perhaps.remove(&key).is_some();
        let before = std::mem::take(&mut self.keys[key as usize].held);
        if deleted && before == 0 && !perhaps {
            return Verdict::Resurrected;
        }
        Verdict::Right
    }

    /// A write failed and may have been applied all the same; 0: it was a delete.
    pub fn may_be(&mut self, key: u32, counter: u32) {
        self.perhaps.entry(key).or_default().push(counter);
    }

    /// A get was answered. What it shows is believed from then on, so that one fault is
    /// counted once.
    pub fn was_read(&mut self, key: u32, seen: Option<(&[u8], Option<Version>)>) -> Verdict {
        let known = self.keys[key as usize];
        let perhaps = self.perhaps.get(&key);
        let possible =
            |counter| counter == known.held || perhaps.is_some_and(|list| list.contains(&counter));
        let Some((value, version)) = seen else {
            if possible(0) {
                return Verdict::Right;
            }
            self.keys[key as usize].held = 0;
            return Verdict::Lost;
        };
        match counter_of(key, value) {
            None => Verdict::Wrong,
            Some(counter) if possible(counter) => self.ordered(key, version, false),
            Some(counter) if counter > known.issued => Verdict::Wrong,
            Some(counter) => {
                self.keys[key as usize].held = counter;
                if known.held == 0 {
                    Verdict::Resurrected
                } else {
                    Verdict::Stale
                }
            }
        }
    }

    fn ordered(&mut self, key: u32, version: Option<Version>, new: bool) -> Verdict {
        let before = self.keys[key as usize].version;
        if version < before || (new && version == before) {
            return Verdict::Disordered;
        }
        self.keys[key as usize].version = version;
        Verdict::Right
    }
}

/// The value of a write: says its key and counter, and shows where it is damaged.
pub fn value(key: u32, counter: u32, bytes: usize) -> Vec<u8> {
    let mut value = vec![filler(key, counter); bytes.max(VALUE_BYTES_MIN)];
    value[..4].copy_from_slice(&key.to_le_bytes());
    value[4..8].copy_from_slice(&counter.to_le_bytes());
    value[8..16].copy_from_slice(&(bytes as u64).to_le_bytes());
    value
}

/// The counter in a value of this key; `None`: it is another key's, or damaged.
fn counter_of(key: u32, value: &[u8]) -> Option<u32> {
    let number = |at: usize| Some(u32::from_le_bytes(value.get(at..at + 4)?.try_into().ok()?));
    let counter = number(4)?;
    let bytes = u64::from_le_bytes(value.get(8..16)?.try_into().ok()?) as usize;
    let whole = number(0)? == key
        && value.len() == bytes.max(VALUE_BYTES_MIN)
        && value[VALUE_BYTES_MIN..]
            .iter()
            .all(|byte| *byte == filler(key, counter));
    whole.then_some(counter)
}

fn filler(key: u32, counter: u32) -> u8 {
    (key.wrapping_mul(31) ^ counter) as u8
}

#[cfg(test)]
mod tests {
    use cached_proto::types::Epoch;

    use super::*;

    fn version(seq: u64) -> Option<Version> {
        Some(Version {
            epoch: Epoch(1),
            seq,
        })
    }

    fn read(memory: &mut Memory, counter: u32, seq: u64) -> Verdict {
        memory.was_read(0, Some((&value(0, counter, 100), version(seq))))
    }

    #[test]
    fn every_fault_is_told_from_the_right_answer() {
        let mut memory = Memory::new(1);
        assert_eq!(memory.was_read(0, None), Verdict::Right);
        for counter in 1..=2 {
            assert_eq!(memory.issue(0), counter);
            let told = memory.was_set(0, counter, version(u64::from(counter)));
            assert_eq!(told, Verdict::Right);
        }
        assert_eq!(read(&mut memory, 2, 2), Verdict::Right);
        assert_eq!(read(&mut memory, 2, 1), Verdict::Disordered);
        assert_eq!(read(&mut memory, 1, 1), Verdict::Stale);
        assert_eq!(memory.was_read(0, None), Verdict::Lost);
        assert_eq!(memory.was_read(0, None), Verdict::Right, "counted once");
        assert_eq!(read(&mut memory, 2, 2), Verdict::Resurrected);
        assert_eq!(memory.was_deleted(0, true), Verdict::Right);
        assert_eq!(memory.was_deleted(0, true), Verdict::Resurrected);
        assert_eq!(read(&mut memory, 3, 3), Verdict::Wrong, "nobody wrote it");
        let other = value(1, 1, 100);
        assert_eq!(
            memory.was_read(0, Some((&other, version(9)))),
            Verdict::Wrong
        );
        let mut damaged = value(0, 1, 100);
        damaged[99] ^= 1;
        assert_eq!(
            memory.was_read(0, Some((&damaged, version(9)))),
            Verdict::Wrong
        );
        let short = &value(0, 1, 100)[..50];
        assert_eq!(
            memory.was_read(0, Some((short, version(9)))),
            Verdict::Wrong
        );
    }

    #[test]
    fn what_may_have_been_applied_is_right_either_way() {
        let mut memory = Memory::new(1);
        memory.issue(0);
        memory.was_set(0, 1, version(1));
        let second = memory.issue(0);
        memory.may_be(0, second);
        assert_eq!(read(&mut memory, 2, 2), Verdict::Right);
        assert_eq!(memory.was_read(0, None), Verdict::Lost);
        memory.was_set(0, 1, version(3));
        memory.may_be(0, 0);
        assert_eq!(memory.was_read(0, None), Verdict::Right);
        assert_eq!(memory.was_deleted(0, true), Verdict::Right);
    }
}
