//! Every command: how it is written, what it needs, and what carries it out.

use super::args::Args;
use super::errors::ErrorReply;
use super::plan::{Context, Plan};

/// A command.
#[derive(Clone, Copy, Debug)]
pub struct CommandSpec {
    /// In small letters; of a subcommand the second word alone.
    pub name: &'static str,
    /// Words with the name; negative: at least so many. As Redis counts: of a
    /// subcommand, with both names.
    pub arity: i16,
    /// What it is like.
    pub flags: Flags,
    /// Where the first key stands; 0: none.
    pub first_key: u8,
    /// Where the last key stands; negative: counted from the end.
    pub last_key: i8,
    /// From key to key.
    pub step: u8,
    /// `string`, `generic`, `connection`, `server` or `cluster`.
    pub group: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// The version of Redis that has had it first.
    pub since: &'static str,
    /// What carries it out.
    pub handler: Handler,
}

/// What a command is like: bits that may be joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// Changes keys: needs the role to write.
    pub const WRITE: Self = Self(1);
    /// Reads keys: needs the role to read.
    pub const READONLY: Self = Self(2);
    /// May need memory.
    pub const DENYOOM: Self = Self(4);
    /// Needs the role to administer.
    pub const ADMIN: Self = Self(8);
    /// Constant time.
    pub const FAST: Self = Self(16);
    /// Lawful before the connection has said who it is.
    pub const NO_AUTH: Self = Self(32);
    /// Answered while this node serves no slots.
    pub const STALE: Self = Self(64);
    /// Answered at the start, too.
    pub const LOADING: Self = Self(128);

    /// All flags with the names that `COMMAND` shows.
    pub const NAMES: [(Self, &'static str); 8] = [
        (Self::WRITE, "write"),
        (Self::READONLY, "readonly"),
        (Self::DENYOOM, "denyoom"),
        (Self::ADMIN, "admin"),
        (Self::LOADING, "loading"),
        (Self::STALE, "stale"),
        (Self::FAST, "fast"),
        (Self::NO_AUTH, "no_auth"),
    ];

    /// These and those.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among these.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Reads the words of a data command; their number has been checked.
pub type ParseData = fn(&Args<'_>, &Context) -> Result<Plan, ErrorReply>;

/// What carries a command out.
#[derive(Clone, Copy, Debug)]
pub enum Handler {
    /// Works on keys.
    Data(ParseData),
    /// The plain `GET key`: a data command with a shorter way where the key is here.
    Get(ParseData),
    /// The plain `SET key value`, if there are no more words: the same.
    Set(ParseData),
    /// The second word says what is meant.
    Container(&'static [CommandSpec]),
}

impl CommandSpec {
    /// Whether so many words, the name included, are lawful.
    pub fn takes(&self, words: usize) -> bool {
        let words = i64::try_from(words).unwrap_or(i64::MAX);
        let arity = i64::from(self.arity);
        if arity < 0 {
            words >= -arity
        } else {
            words == arity
        }
    }

    /// Where the keys stand in a command of so many words.
    pub fn keys(&self, words: usize) -> impl Iterator<Item = usize> + use<> {
        let first = usize::from(self.first_key);
        let last = match usize::try_from(self.last_key) {
            Ok(last) => last,
            Err(_) => words.saturating_sub(usize::from(self.last_key.unsigned_abs())),
        };
        let last = if first == 0 { 0 } else { last.min(words - 1) };
        let range = if first == 0 { 1..=0 } else { first..=last };
        range.step_by(usize::from(self.step.max(1)))
    }
}
