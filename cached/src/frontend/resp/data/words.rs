//! What several commands read out of words, and make of replies.

use bytes::Bytes;
use cached_proto::operation::{self, Condition, Operation};
use cached_proto::types::{Key, Ttl};
use cached_proto::update::{self, Expiry, Returns, Update, Updated};

use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::plan::{Plan, no_reply};
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::table::{CommandSpec, Flags, ParseData};

/// What carries a command out, of a kind that the table knows.
pub(super) use crate::frontend::resp::table::Handler;

/// A command on one key, which is its first word.
pub(super) const fn on_key(
    name: &'static str,
    arity: i16,
    flags: Flags,
    group: &'static str,
    since: &'static str,
    summary: &'static str,
    parse: ParseData,
) -> CommandSpec {
    CommandSpec {
        name,
        arity,
        flags,
        first_key: 1,
        last_key: 1,
        step: 1,
        group,
        summary,
        since,
        handler: Handler::Data(parse),
    }
}

/// The word at `index` as a key.
pub(super) fn key(args: &Args<'_>, index: usize) -> Result<Key, ErrorReply> {
    Ok(Key::new(args.keep(index))?)
}

/// The word at `index` as a whole number.
pub(super) fn integer(args: &Args<'_>, index: usize) -> Result<i64, ErrorReply> {
    update::integer(args.get(index)).ok_or(ErrorReply::NOT_AN_INTEGER)
}

/// A read of a key, loaded where that is offered.
pub(super) fn get(key: Key) -> Operation {
    Operation::Get {
        key,
        no_load: false,
        metadata_only: false,
    }
}

/// A look whether a key is there.
pub(super) fn exists(key: Key) -> Operation {
    Operation::Get {
        key,
        no_load: true,
        metadata_only: true,
    }
}

/// A write.
pub(super) fn set(key: Key, value: Bytes, ttl: Option<Ttl>, condition: Condition) -> Operation {
    Operation::Set {
        key,
        value,
        ttl,
        condition,
    }
}

/// A look at a key, and what it makes of what it finds.
pub(super) fn look(
    key: Key,
    returns: Returns,
    then: impl FnOnce(Option<update::Snapshot>) -> Reply + Send + 'static,
) -> Plan {
    let update = Update {
        returns,
        ..Update::default()
    };
    updated(key, update, |updated| then(updated.entry))
}

/// An update, and what it makes of its reply.
pub(super) fn updated(
    key: Key,
    update: Update,
    then: impl FnOnce(Updated) -> Reply + Send + 'static,
) -> Plan {
    Plan::one(Operation::Update { key, update }, |reply| match reply {
        operation::Reply::Update(updated) => then(updated),
        _ => no_reply(),
    })
}

/// The value, or nothing.
pub(super) fn bulk(value: Option<Bytes>) -> Reply {
    value.map_or(Reply::Null, Reply::Bulk)
}

/// The value that an update answers, or nothing.
pub(super) fn value_of(updated: Updated) -> Reply {
    bulk(updated.entry.map(|entry| entry.value))
}

/// A count or a length.
pub(super) fn number(number: u64) -> Reply {
    Reply::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A time as commands give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// Milliseconds of one.
    pub(super) ms: i64,
    /// Counted from now on, not from 1970.
    pub(super) relative: bool,
}

impl Unit {
    /// Seconds from now on.
    pub(super) const EX: Self = Self::of(1000, true);
    /// Milliseconds from now on.
    pub(super) const PX: Self = Self::of(1, true);
    /// A date in seconds.
    pub(super) const EXAT: Self = Self::of(1000, false);
    /// A date in milliseconds.
    pub(super) const PXAT: Self = Self::of(1, false);

    const fn of(ms: i64, relative: bool) -> Self {
        Self { ms, relative }
    }

    /// The time as an update takes it; `None`: it lies beyond what 64 bits hold. What
    /// lies in the past is as far there as it gets: whether that is a millisecond or a
    /// year makes no difference to anything.
    pub(super) fn expiry(self, time: i64, wall_ms: u64) -> Option<Expiry> {
        let ms = time.checked_mul(self.ms)?;
        if self.relative {
            ms.checked_add(i64::try_from(wall_ms).ok()?)?;
            return Some(Expiry::In(u64::try_from(ms).unwrap_or(0)));
        }
        Some(Expiry::At(u64::try_from(ms).unwrap_or(0)))
    }
}

/// The refusal of a time of `command`, in small letters.
pub(super) fn invalid_expire(command: &str) -> ErrorReply {
    ErrorReply::new(format!("ERR invalid expire time in '{command}' command"))
}
