//! Which operations a load is made of, and in which shares. Pure.

use std::fmt;
use std::str::FromStr;

/// Largest share: the sum of all stays far below where it would overflow.
const SHARE_MAX: u32 = 1_000_000;

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Reads a key.
    Get,
    /// Writes a key.
    Set,
    /// Removes a key.
    Delete,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Get, Self::Set, Self::Delete];

    /// Its word on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Delete => "delete",
        }
    }
}

/// The share of each kind, relative to the others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// In the order of [`Kind::ALL`]; at least one is not 0.
    shares: [u32; 3],
}

impl Mix {
    /// The sum of all shares: draws come from `0..total`.
    pub fn total(&self) -> u32 {
        self.shares.iter().sum()
    }

    /// The kind that a draw below [`Mix::total`] stands for.
    pub fn choose(&self, draw: u32) -> Kind {
        let [get, set, _] = self.shares;
        if draw < get {
            Kind::Get
        } else if draw < get + set {
            Kind::Set
        } else {
            Kind::Delete
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = Kind::ALL.iter().zip(self.shares);
        let parts = parts.filter(|(_, share)| *share > 0);
        let parts: Vec<_> = parts
            .map(|(kind, share)| format!("{}={share}", kind.name()))
            .collect();
        f.write_str(&parts.join(","))
    }
}

impl FromStr for Mix {
    type Err = String;

    /// Reads `get=90,set=10,delete=0`; what is not named has no share.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut shares = [None; 3];
        for part in text.split(',') {
            let wrong = || format!("{part:?} is no share: write get=90,set=10,delete=0");
            let (name, share) = part.split_once('=').ok_or_else(wrong)?;
            let kind = Kind::ALL.iter().position(|kind| kind.name() == name.trim());
            let place = &mut shares[kind.ok_or_else(wrong)?];
            let share: u32 = share.trim().parse().map_err(|_| wrong())?;
            if share > SHARE_MAX {
                return Err(format!("{part:?} is over the limit of {SHARE_MAX}"));
            }
            if place.replace(share).is_some() {
                return Err(format!("{name:?} has two shares"));
            }
        }
        let shares = shares.map(Option::unwrap_or_default);
        if shares == [0; 3] {
            return Err("every share is 0".to_owned());
        }
        Ok(Self { shares })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_shown() {
        for (text, shown) in [
            ("get=90,set=10", "get=90,set=10"),
            ("set=1", "set=1"),
            ("delete=3, get=2 ,set=0", "get=2,delete=3"),
        ] {
            assert_eq!(text.parse::<Mix>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("", "\"\""),
            ("get", "\"get\""),
            ("put=1", "put=1"),
            ("get=-1", "get=-1"),
            ("get=1,get=2", "two shares"),
            ("get=0,set=0", "every share is 0"),
            ("get=1000001", "limit of 1000000"),
        ] {
            let problem = text.parse::<Mix>().unwrap_err();
            assert!(problem.contains(part), "{text:?}: {problem}");
        }
    }

    #[test]
    fn each_kind_gets_its_share_of_the_draws() {
        let mix: Mix = "get=5,set=3,delete=2".parse().unwrap();
        let mut counts = [0; 3];
        for draw in 0..mix.total() {
            counts[mix.choose(draw) as usize] += 1;
        }
        assert_eq!(counts, [5, 3, 2]);
    }
}
