//! The general change of one entry: its value, its time to live, or both, in one step
//! that nothing comes between. What counters, appends and conditional times need.

use bytes::Bytes;

use crate::operation::Condition;
use crate::types::Version;

/// What is done to an entry, and what is told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// What becomes of the value.
    pub change: Change,
    /// What becomes of the time to live.
    pub expiry: Expiry,
    /// What must hold; otherwise nothing is done.
    pub guard: Guard,
    /// What the reply tells.
    pub returns: Returns,
}

/// What becomes of a value. Edits begin with an empty value (numbers with 0) where
/// there is no entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change {
    /// It stays; without an entry nothing is done.
    #[default]
    Keep,
    /// It is replaced.
    Put(Bytes),
    /// The entry is removed.
    Remove,
    /// These bytes follow it.
    Append(Bytes),
    /// These bytes are put over it; a gap before them is filled with zeros.
    SetRange {
        /// Where they begin.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
    },
    /// A decimal number of 64 bits with sign is added to it, which must be one too.
    AddInteger(i64),
    /// A decimal number with a fraction is added to it, which must be one too, in the
    /// arithmetic of Redis: 64 bits of mantissa, 17 digits after the point.
    AddFloat(Bytes),
}

/// What becomes of a time to live. An entry whose time is over by then is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// It stays; a new entry gets the group's default.
    #[default]
    Keep,
    /// The group's default, else for ever.
    Default,
    /// For ever.
    Never,
    /// So many milliseconds from now on, by the owner's clock.
    In(u64),
    /// Until this Unix time in milliseconds.
    At(u64),
}

/// What must hold of an entry for an update to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The same as for a write.
    If(Condition),
    /// It has exactly this value.
    Equal(Bytes),
    /// It never expires.
    Persistent,
    /// It expires some time.
    Expiring,
    /// It expires earlier than the update says.
    Later,
    /// It expires later than the update says, or never.
    Sooner,
    /// It expires later than the update says, and not never.
    ExpiringSooner,
}

impl Default for Guard {
    fn default() -> Self {
        Self::If(Condition::Always)
    }
}

/// What the reply to an update tells of the entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Returns {
    /// Sizes and times, as they are afterwards. With nothing to change this is a look
    /// and no use.
    #[default]
    Metadata,
    /// The same, and the value.
    Value,
    /// All of it, as it was before.
    Previous,
}

/// What an update came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// False: there was nothing to update, or the guard did not hold.
    pub applied: bool,
    /// The entry as [`Returns`] says; `None`: there is (or was) none.
    pub entry: Option<Snapshot>,
}

/// An entry at the moment of an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The value; empty when it was not asked for.
    pub value: Bytes,
    /// Its length, in any case.
    pub value_bytes: u64,
    /// Its version.
    pub version: Version,
    /// When it expires: Unix time in milliseconds; `None`: never.
    pub deadline_ms: Option<u64>,
    /// Time left in milliseconds by the owner's clock; `None`: never expires.
    pub ttl_ms: Option<u64>,
    /// Time since its last use in milliseconds.
    pub idle_ms: u64,
    /// What it costs of memory, its key included, in bytes.
    pub memory_bytes: u64,
}

impl Update {
    /// Whether it changes nothing, whatever it finds.
    pub fn is_read(&self) -> bool {
        self.change == Change::Keep && self.expiry == Expiry::Keep
    }

    /// Whether doing it twice leaves and answers what doing it once does. Whatever
    /// depends on what it finds does not, and neither does what may remove the entry.
    pub fn is_idempotent(&self) -> bool {
        let blind = self.guard == Guard::default() && self.returns != Returns::Previous;
        let same = match &self.change {
            Change::Put(_) => self.expiry != Expiry::Keep,
            Change::Keep => !matches!(self.expiry, Expiry::At(_) | Expiry::In(0)),
            _ => false,
        };
        self.is_read() || blind && same
    }

    /// Bytes that it brings along.
    pub fn bytes(&self) -> usize {
        let change = match &self.change {
            Change::Put(bytes)
            | Change::Append(bytes)
            | Change::SetRange { bytes, .. }
            | Change::AddFloat(bytes) => bytes.len(),
            Change::Keep | Change::Remove | Change::AddInteger(_) => 0,
        };
        match &self.guard {
            Guard::Equal(value) => change + value.len(),
            _ => change,
        }
    }
}

/// Reads a whole number, spelled in the one way in which it is written: no blanks, no
/// `+`, no zeros in front.
pub fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let spelled_well = match digits {
        [b'0'] => text.len() == 1,
        [first, ..] => (b'1'..=b'9').contains(first),
        [] => false,
    };
    let text = std::str::from_utf8(text).ok()?;
    spelled_well.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_spelled_in_one_way() {
        for number in [0, 1, -1, 10, i64::MAX, i64::MIN] {
            assert_eq!(integer(number.to_string().as_bytes()), Some(number));
        }
        for text in [
            "",
            "-",
            "-0",
            "+1",
            "00",
            " 1",
            "1 ",
            "9223372036854775808",
            "1.0",
            "\u{661}",
        ] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }

    fn update(change: Change, expiry: Expiry) -> Update {
        Update {
            change,
            expiry,
            ..Update::default()
        }
    }

    #[test]
    fn what_depends_on_what_it_finds_is_not_repeated() {
        let put = || Change::Put(Bytes::from_static(b"v"));
        let (keep, add) = (Change::Keep, Change::AddInteger(1));
        let cases = [
            (update(put(), Expiry::Default), true),
            (update(put(), Expiry::At(1)), true),
            (update(put(), Expiry::Keep), false),
            (update(keep.clone(), Expiry::In(5)), true),
            (update(keep.clone(), Expiry::In(0)), false),
            (update(keep.clone(), Expiry::At(5)), false),
            (update(Change::Remove, Expiry::Keep), false),
            (update(add, Expiry::Keep), false),
        ];
        for (plain, expected) in cases {
            assert_eq!(plain.is_idempotent(), expected, "{plain:?}");
            let previous = Update {
                returns: Returns::Previous,
                ..plain.clone()
            };
            assert!(!previous.is_idempotent(), "{previous:?}");
            let guarded = Update {
                guard: Guard::Expiring,
                ..plain
            };
            assert!(!guarded.is_idempotent(), "{guarded:?}");
        }
        let look = Update {
            guard: Guard::Expiring,
            returns: Returns::Previous,
            ..update(keep, Expiry::Keep)
        };
        assert!(look.is_idempotent(), "it changes nothing");
    }
}
