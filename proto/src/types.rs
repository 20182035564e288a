//! Checked words of the protocol: a value that exists is a value that was checked.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::limits::{KEY_BYTES_MAX, NAME_BYTES_MAX, TTL_MS_MAX};

/// Slots of a cluster, as in Redis Cluster, so that its clients compute the same one.
pub const SLOTS: u16 = 16_384;

/// What is wrong with a value from outside: which field, and the limit it broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct Invalid {
    /// The part of the request or record at fault.
    pub field: &'static str,
    /// What is wrong, with the value (shortened) and the limit.
    pub problem: String,
}

impl Invalid {
    /// `problem` reads on after the field's name: "is empty; …".
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self {
            field,
            problem: problem.into(),
        }
    }
}

/// Text from outside as an error shows it: quoted, and cut where it would flood a log.
pub(crate) fn shown(text: &str) -> String {
    let start: String = text.chars().take(80).collect();
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("{start:?}{dots}")
}

/// A key: 1 to [`KEY_BYTES_MAX`] arbitrary bytes. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Bytes);

impl Key {
    /// Checks the length.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, Invalid> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(Invalid::new("key", "is empty; it needs at least 1 byte"));
        }
        if bytes.len() > KEY_BYTES_MAX {
            let problem = format!("has {} bytes; the limit is {KEY_BYTES_MAX}", bytes.len());
            return Err(Invalid::new("key", problem));
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, owned, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// Checks a member's, group's or cluster's name: 1 to [`NAME_BYTES_MAX`] of
/// `A–Z a–z 0–9 . _ -`, not starting with `.` or `-`.
fn check_name(field: &'static str, name: &str) -> Result<(), Invalid> {
    if name.is_empty() {
        return Err(Invalid::new(
            field,
            "is empty; it needs at least 1 character",
        ));
    }
    if name.len() > NAME_BYTES_MAX {
        let (shown, length) = (shown(name), name.len());
        let problem = format!("{shown} has {length} bytes; the limit is {NAME_BYTES_MAX}");
        return Err(Invalid::new(field, problem));
    }
    let lawful = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !name.chars().all(lawful) || name.starts_with(['.', '-']) {
        let problem = format!(
            "{} may only hold letters, digits, '.', '_' and '-', and must not start with '.' or '-'",
            shown(name)
        );
        return Err(Invalid::new(field, problem));
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks length and characters.
            pub fn new(name: impl AsRef<str>) -> Result<Self, Invalid> {
                check_name($field, name.as_ref())?;
                Ok(Self(name.as_ref().into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $type {
            type Err = Invalid;
            fn from_str(name: &str) -> Result<Self, Invalid> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $type {
            type Error = Invalid;
            fn try_from(name: String) -> Result<Self, Invalid> {
                Self::new(name)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.as_str().to_owned()
            }
        }
    };
}

name_type!(
    /// A member's name: unique in its cluster, kept over restarts.
    NodeName,
    "node name"
);
name_type!(
    /// A group: a namespace of keys with its own limits and counters.
    GroupName,
    "group"
);
name_type!(
    /// A cluster: everything below one prefix of the registry.
    ClusterName,
    "cluster"
);

/// One start of one member's process: random, never reused. Rows name
/// incarnations, so that a restarted member is never believed to hold old data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Incarnation(pub u128);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Incarnation {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("incarnation", "must be 32 hexadecimal digits");
        if text.len() != 32 {
            return Err(wrong());
        }
        u128::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| wrong())
    }
}

impl TryFrom<String> for Incarnation {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Incarnation> for String {
    fn from(inc: Incarnation) -> String {
        inc.to_string()
    }
}

/// A member in one of its lives: what a row names as owner.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct MemberId {
    /// The name, kept over restarts.
    pub name: NodeName,
    /// This start of the process.
    pub inc: Incarnation,
}

/// One of the [`SLOTS`] parts of the key space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Slot(u16);

impl Slot {
    /// The lowest.
    pub const FIRST: Self = Self(0);

    /// Checks that the number is below [`SLOTS`].
    pub fn new(number: u16) -> Result<Self, Invalid> {
        if number < SLOTS {
            return Ok(Self(number));
        }
        Err(Invalid::new(
            "slot",
            format!("{number} is not below {SLOTS}"),
        ))
    }

    /// The slot of a hash value, by the modulo that the protocol fixes.
    pub fn of_hash(hash: u64) -> Self {
        Self((hash % u64::from(SLOTS)) as u16)
    }

    /// The number.
    pub fn number(self) -> u16 {
        self.0
    }

    /// The number, to index tables with.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// All slots in ascending order.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator {
        (0..SLOTS).map(Self)
    }
}

impl From<Slot> for u16 {
    fn from(slot: Slot) -> u16 {
        slot.0
    }
}

impl TryFrom<u16> for Slot {
    type Error = Invalid;
    fn try_from(number: u16) -> Result<Self, Invalid> {
        Self::new(number)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Number of a slot's ownership: raised at every change of owner, never reused.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of the next owner.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Version of an entry. It never goes down for a key: `seq` counts a slot's
/// writes and travels with the slot, `epoch` is the one in which the slot was
/// last empty and grows with every empty takeover. Opaque to clients.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Version {
    /// Epoch in which the slot's container was created empty.
    pub epoch: Epoch,
    /// Number of the write within that container, from 1.
    pub seq: u64,
}

impl Version {
    /// The 16 bytes that travel: both numbers big-endian, so that they sort.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.seq.to_be_bytes());
        bytes
    }

    /// Reads what [`Version::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Invalid> {
        let wrong = || {
            let problem = format!("has {} bytes; a version has exactly 16", bytes.len());
            Invalid::new("version", problem)
        };
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| wrong())?;
        let number = u128::from_be_bytes(bytes);
        Ok(Self {
            epoch: Epoch((number >> 64) as u64),
            seq: number as u64,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.epoch.0, self.seq)
    }
}

impl FromStr for Version {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("version", "must be 32 hexadecimal digits");
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| wrong())?;
        Self::from_bytes(&number.to_be_bytes())
    }
}

/// Time to live in milliseconds, 1 to [`TTL_MS_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ttl(u64);

impl Ttl {
    /// Checks the range.
    pub fn from_ms(ms: u64) -> Result<Self, Invalid> {
        if ms == 0 {
            return Err(Invalid::new(
                "ttl",
                "is 0; leave it out for entries that never expire",
            ));
        }
        if ms > TTL_MS_MAX {
            let problem = format!("of {ms} ms is over the limit of {TTL_MS_MAX} ms (ten years)");
            return Err(Invalid::new("ttl", problem));
        }
        Ok(Self(ms))
    }

    /// Milliseconds.
    pub fn as_ms(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_a_length_limit_and_any_bytes() {
        assert!(Key::new(vec![0xff, 0, b'\n']).is_ok());
        assert!(Key::new(vec![b'k'; KEY_BYTES_MAX]).is_ok());
        let empty = Key::new(Bytes::new()).unwrap_err();
        assert_eq!(empty.to_string(), "key is empty; it needs at least 1 byte");
        let long = Key::new(vec![b'k'; KEY_BYTES_MAX + 1]).unwrap_err();
        assert_eq!(long.to_string(), "key has 65537 bytes; the limit is 65536");
    }

    #[test]
    fn names_are_plain_words() {
        for good in ["n1", "default-group", "a.b_c", "9"] {
            assert!(NodeName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "-x", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(GroupName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn versions_survive_both_spellings_and_sort() {
        let version = Version {
            epoch: Epoch(3),
            seq: 77,
        };
        assert_eq!(Version::from_bytes(&version.to_bytes()), Ok(version));
        assert_eq!(version.to_string().parse(), Ok(version));
        assert!(
            version
                < Version {
                    epoch: Epoch(4),
                    seq: 1
                }
        );
        assert!("x".parse::<Version>().is_err());
        assert!(Version::from_bytes(&[0; 15]).is_err());
    }

    #[test]
    fn incarnations_are_32_digits() {
        let inc = Incarnation(0xabc);
        assert_eq!(inc.to_string().parse(), Ok(inc));
        assert!("abc".parse::<Incarnation>().is_err());
    }
}
