//! What clients did and what they were answered, and whether that can be true.
//!
//! Reading order: this file says what an operation of a history is; `rules` has the
//! cheap rules, for millions of operations; `strict` decides whether a history of one
//! key is linearizable.

pub mod rules;
pub mod strict;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex};

use cached_proto::types::Version;

pub use rules::check;

/// Microseconds since the history began.
pub type Micros = u64;

/// What was asked. Values are numbers that no two writes share, and never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A read.
    Get,
    /// A write without a condition.
    Set(u64),
    /// A write on the condition that the entry has this version.
    Swap(u64, Version),
    /// A write on the condition that there is no entry.
    Add(u64),
    /// A removal without a condition.
    Delete,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a get: a miss.
    Miss,
    /// To a get: a value and its version.
    Hit(u64, Version),
    /// To a write: done, with the new version.
    Stored(Version),
    /// To a conditional write: the condition did not hold.
    Refused,
    /// To a delete: whether there was an entry.
    Deleted(bool),
    /// It certainly did nothing, and says nothing about the entry.
    NotApplied,
    /// Nobody knows: it may have been applied, or may be applied at any time to come.
    Unknown,
}

/// One operation on one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// Who asked.
    pub client: u32,
    /// The key.
    pub key: Arc<str>,
    /// Slot of the key.
    pub slot: u16,
    /// What was asked.
    pub ask: Ask,
    /// The entry may vanish by itself from then on, whoever wrote it before: set for
    /// writes with a time to live, for touches and for flushes of the key's group
    /// (which are recorded as deletes whose outcome is unknown).
    pub may_vanish_from: Option<Micros>,
    /// When it was asked.
    pub start: Micros,
    /// When it was answered; `None`: never.
    pub end: Option<Micros>,
    /// What was answered.
    pub answer: Answer,
}

impl Op {
    /// When it was over; never, while its outcome is unknown.
    pub fn over(&self) -> Micros {
        match self.answer {
            Answer::Unknown => Micros::MAX,
            _ => self.end.unwrap_or(Micros::MAX),
        }
    }

    /// The value that it writes, if it writes one.
    pub fn writes(&self) -> Option<u64> {
        match self.ask {
            Ask::Set(value) | Ask::Swap(value, _) | Ask::Add(value) => Some(value),
            Ask::Get | Ask::Delete => None,
        }
    }
}

/// A time in which entries of some slots may have been lost for a known reason: their
/// owner crashed, they were shed, or the like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Which slots; `None`: all.
    pub slots: Option<std::collections::BTreeSet<u16>>,
    /// From when,
    pub from: Micros,
    /// until when.
    pub to: Micros,
    /// Why, for people.
    pub reason: String,
}

impl Loss {
    /// Whether it explains that entries of a slot are gone.
    pub fn covers(&self, slot: u16) -> bool {
        self.slots
            .as_ref()
            .is_none_or(|slots| slots.contains(&slot))
    }
}

/// Something that cannot be true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant of docs/protocol.md that it breaks, as "I10".
    pub invariant: &'static str,
    /// The key.
    pub key: Arc<str>,
    /// What is wrong, for people.
    pub problem: String,
    /// The operations that show it.
    pub ops: Vec<Op>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: key {}: {}", self.invariant, self.key, self.problem)?;
        for op in &self.ops {
            write!(f, "\n    {op}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |micros: Micros| micros as f64 / 1_000.0;
        write!(f, "{:10.3} ms … ", ms(self.start))?;
        match self.end {
            Some(end) => write!(f, "{:10.3} ms", ms(end))?,
            None => write!(f, "never")?,
        }
        let (client, slot) = (self.client, self.slot);
        write!(
            f,
            " client {client} slot {slot} {:?} -> {:?}",
            self.ask, self.answer
        )
    }
}

/// Operations as they are recorded, by any number of clients. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Mutex<Vec<Op>>>);

/// An operation under way.
#[derive(Clone, Copy, Debug)]
#[must_use = "an operation that is never completed may take effect at any time"]
pub struct Invoked(usize);

impl History {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// An operation begins. Until it is completed its outcome is unknown.
    pub fn invoke(
        &self,
        client: u32,
        key: impl Into<Arc<str>>,
        slot: u16,
        ask: Ask,
        start: Micros,
    ) -> Invoked {
        let mut ops = self.0.lock().expect("no holder panics");
        ops.push(Op {
            client,
            key: key.into(),
            slot,
            ask,
            may_vanish_from: None,
            start,
            end: None,
            answer: Answer::Unknown,
        });
        Invoked(ops.len() - 1)
    }

    /// The entry may vanish from a time on, because of this operation.
    pub fn may_vanish(&self, invoked: Invoked, from: Micros) {
        self.0.lock().expect("no holder panics")[invoked.0].may_vanish_from = Some(from);
    }

    /// An operation was answered.
    pub fn complete(&self, invoked: Invoked, answer: Answer, end: Micros) {
        let mut ops = self.0.lock().expect("no holder panics");
        let op = &mut ops[invoked.0];
        op.answer = answer;
        op.end = Some(end);
    }

    /// All of them, in the order in which they began.
    pub fn ops(&self) -> Vec<Op> {
        self.0.lock().expect("no holder panics").clone()
    }
}
