//! Hash functions by name: key -> slot, and the numbered ring algorithm.

use serde::{Deserialize, Serialize};

use crate::types::{Invalid, shown};

/// The function that turns a key into a slot; fixed when a cluster is bootstrapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyHash {
    /// CRC16/XMODEM with `{tag}` rules, as Redis Cluster: its clients work.
    #[default]
    Crc16,
    /// XXH3, 64 bits.
    Xxh3,
    /// FNV-1a, 64 bits.
    Fnv1a,
}

impl std::fmt::Display for KeyHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Crc16 => "crc16",
            Self::Xxh3 => "xxh3",
            Self::Fnv1a => "fnv1a",
        })
    }
}

impl std::str::FromStr for KeyHash {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "crc16" => Ok(Self::Crc16),
            "xxh3" => Ok(Self::Xxh3),
            "fnv1a" => Ok(Self::Fnv1a),
            _ => Err(Invalid::new(
                "hash",
                format!("{} is not crc16, xxh3 or fnv1a", shown(text)),
            )),
        }
    }
}
