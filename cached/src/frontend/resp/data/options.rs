//! The options of `SET` and `GETEX`: which may stand together, and what they mean.

use cached_proto::operation::Condition;
use cached_proto::update::{Expiry, Guard};

use super::words::{Unit, integer, invalid_expire};
use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;

/// What becomes of the time to live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Time {
    /// Nothing was said.
    #[default]
    Unsaid,
    /// `KEEPTTL`.
    Keep,
    /// `PERSIST`.
    Persist,
    /// A time, in the word at this index.
    Given(Unit, usize),
}

/// Options as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) time: Time,
    pub(super) guard: Guard,
    /// `GET`: answer what was there before.
    pub(super) get: bool,
}

/// Which command they are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Set,
    GetEx,
}

impl Options {
    /// Reads the words from `index` on. As in Redis, an option may come twice, and of
    /// two times of one unit the last holds.
    pub(super) fn parse(args: &Args<'_>, mut index: usize, of: Of) -> Result<Self, ErrorReply> {
        let mut options = Self::default();
        while index < args.len() {
            index += options.take(args, index, of).ok_or(ErrorReply::SYNTAX)?;
        }
        Ok(options)
    }

    /// Takes the option at `index` in; answers how many words it has.
    fn take(&mut self, args: &Args<'_>, index: usize, of: Of) -> Option<usize> {
        let has_next = index + 1 < args.len();
        let set = of == Of::Set;
        let units = [
            ("ex", Unit::EX),
            ("px", Unit::PX),
            ("exat", Unit::EXAT),
            ("pxat", Unit::PXAT),
        ];
        if let Some(&(_, unit)) = units.iter().find(|(name, _)| args.is(index, name)) {
            let fits = match self.time {
                Time::Unsaid => true,
                Time::Given(before, _) => before == unit,
                Time::Keep | Time::Persist => false,
            };
            self.time = Time::Given(unit, index + 1);
            return (fits && has_next).then_some(2);
        }
        if set && args.is(index, "ifeq") {
            let value = has_next.then(|| args.keep(index + 1))?;
            return self.only(Guard::Equal(value)).then_some(2);
        }
        let lawful = if set && args.is(index, "nx") {
            self.only(Guard::If(Condition::IfAbsent))
        } else if set && args.is(index, "xx") {
            self.only(Guard::If(Condition::IfPresent))
        } else if set && args.is(index, "get") {
            self.get = true;
            true
        } else if set && args.is(index, "keepttl") {
            self.timeless(Time::Keep)
        } else if !set && args.is(index, "persist") {
            self.timeless(Time::Persist)
        } else {
            false
        };
        lawful.then_some(1)
    }

    /// Sets the guard, if no other is set.
    fn only(&mut self, guard: Guard) -> bool {
        let same_kind = std::mem::discriminant(&self.guard) == std::mem::discriminant(&guard);
        let fits = match self.guard {
            Guard::If(Condition::Always) => true,
            Guard::Equal(_) => same_kind,
            _ => self.guard == guard,
        };
        self.guard = guard;
        fits
    }

    fn timeless(&mut self, time: Time) -> bool {
        let fits = self.time == Time::Unsaid || self.time == time;
        self.time = time;
        fits
    }

    /// The time to live for an update of `command`; `unsaid` where nothing was said.
    pub(super) fn expiry(
        &self,
        args: &Args<'_>,
        wall_ms: u64,
        command: &str,
        unsaid: Expiry,
    ) -> Result<Expiry, ErrorReply> {
        let (unit, index) = match self.time {
            Time::Unsaid => return Ok(unsaid),
            Time::Keep => return Ok(Expiry::Keep),
            Time::Persist => return Ok(Expiry::Never),
            Time::Given(unit, index) => (unit, index),
        };
        positive(args, index, unit, wall_ms, command)
    }
}

/// The time in the word at `index`, which must lie in the future as far as its sign
/// tells.
pub(super) fn positive(
    args: &Args<'_>,
    index: usize,
    unit: Unit,
    wall_ms: u64,
    command: &str,
) -> Result<Expiry, ErrorReply> {
    let time = integer(args, index)?;
    let expiry = unit.expiry(time, wall_ms).filter(|_| time > 0);
    expiry.ok_or_else(|| invalid_expire(command))
}

/// The condition of a plain write, if the guard is one.
pub(super) fn condition(guard: &Guard) -> Option<Condition> {
    match guard {
        Guard::If(condition) => Some(*condition),
        _ => None,
    }
}

/// A value that is looked for, as a guard.
#[cfg(test)]
pub(super) fn equal(value: &'static str) -> Guard {
    Guard::Equal(bytes::Bytes::from(value))
}
