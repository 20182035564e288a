//! Commands that read and write one whole value, or read a part of it.

use bytes::Bytes;
use cached_proto::operation::{self, Condition};
use cached_proto::types::{Key, Ttl};
use cached_proto::update::{Change, Expiry, Guard, Returns, Update};

use super::options::{Of, Options, condition, positive};
use super::words::{
    Handler, Unit, bulk, get as read, integer, key, look, number, on_key, set as write, updated,
    value_of,
};
use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::plan::{Context, Plan, no_reply};
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::table::{CommandSpec, Flags};

const READ: Flags = Flags::READONLY;
const FAST_READ: Flags = Flags::READONLY.and(Flags::FAST);
const FAST_WRITE: Flags = Flags::WRITE.and(Flags::FAST);
const STORE: Flags = Flags::WRITE.and(Flags::DENYOOM);
const FAST_STORE: Flags = STORE.and(Flags::FAST);
const GROUP: &str = "string";

/// The commands of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        handler: Handler::Get(get),
        ..on_key(
            "get",
            2,
            FAST_READ,
            GROUP,
            "1.0.0",
            "Get the value of a key",
            get,
        )
    },
    CommandSpec {
        handler: Handler::Set(set),
        ..on_key(
            "set",
            -3,
            STORE,
            GROUP,
            "1.0.0",
            "Set the string value of a key",
            set,
        )
    },
    on_key(
        "setex",
        4,
        STORE,
        GROUP,
        "2.0.0",
        "Set the value and expiration of a key",
        setex,
    ),
    on_key(
        "psetex",
        4,
        STORE,
        GROUP,
        "2.6.0",
        "Set the value and expiration in milliseconds of a key",
        psetex,
    ),
    on_key(
        "setnx",
        3,
        FAST_STORE,
        GROUP,
        "1.0.0",
        "Set the value of a key, only if the key does not exist",
        setnx,
    ),
    on_key(
        "getset",
        3,
        FAST_STORE,
        GROUP,
        "1.0.0",
        "Set the string value of a key and return its old value",
        getset,
    ),
    on_key(
        "getdel",
        2,
        FAST_WRITE,
        GROUP,
        "6.2.0",
        "Get the value of a key and delete the key",
        getdel,
    ),
    on_key(
        "getex",
        -2,
        FAST_WRITE,
        GROUP,
        "6.2.0",
        "Get the value of a key and optionally set its expiration",
        getex,
    ),
    on_key(
        "strlen",
        2,
        FAST_READ,
        GROUP,
        "2.2.0",
        "Get the length of the value stored in a key",
        strlen,
    ),
    on_key(
        "getrange",
        4,
        READ,
        GROUP,
        "2.4.0",
        "Get a substring of the string stored at a key",
        getrange,
    ),
    on_key(
        "substr",
        4,
        READ,
        GROUP,
        "1.0.0",
        "Get a substring of the string stored at a key",
        getrange,
    ),
];

/// A value that was read, and what is made of it.
fn value(key: Key, then: impl FnOnce(Option<Bytes>) -> Reply + Send + 'static) -> Plan {
    Plan::one(read(key), |reply| match reply {
        operation::Reply::Get(entry) => then(entry.map(|entry| entry.value)),
        _ => no_reply(),
    })
}

fn get(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    Ok(value(key(args, 1)?, bulk))
}

fn set(args: &Args<'_>, context: &Context) -> Result<Plan, ErrorReply> {
    let options = Options::parse(args, 3, Of::Set)?;
    let expiry = options.expiry(args, context.wall_ms, "set", Expiry::Default)?;
    let (key, value) = (key(args, 1)?, args.keep(2));
    if !options.get
        && let Some(condition) = condition(&options.guard)
        && let Some(ttl) = plain_ttl(expiry)
    {
        return Ok(stored(key, value, ttl, condition, |stored| {
            if stored { Reply::OK } else { Reply::Null }
        }));
    }
    let returns = if options.get {
        Returns::Previous
    } else {
        Returns::Metadata
    };
    let update = Update {
        change: Change::Put(value),
        expiry,
        guard: options.guard,
        returns,
    };
    Ok(updated(key, update, move |updated| match returns {
        Returns::Previous => value_of(updated),
        _ if updated.applied => Reply::OK,
        _ => Reply::Null,
    }))
}

/// The time to live that a plain write takes; `None`: it takes no such one.
fn plain_ttl(expiry: Expiry) -> Option<Option<Ttl>> {
    match expiry {
        Expiry::Default => Some(None),
        Expiry::In(ms) => Ttl::from_ms(ms).ok().map(Some),
        Expiry::Keep | Expiry::Never | Expiry::At(_) => None,
    }
}

/// A plain write, and what is made of whether it was done.
fn stored(
    key: Key,
    value: Bytes,
    ttl: Option<Ttl>,
    condition: Condition,
    then: impl FnOnce(bool) -> Reply + Send + 'static,
) -> Plan {
    Plan::one(write(key, value, ttl, condition), |reply| match reply {
        operation::Reply::Set { stored, .. } => then(stored),
        _ => no_reply(),
    })
}

fn setex(args: &Args<'_>, context: &Context) -> Result<Plan, ErrorReply> {
    set_for(args, context, Unit::EX, "setex")
}

fn psetex(args: &Args<'_>, context: &Context) -> Result<Plan, ErrorReply> {
    set_for(args, context, Unit::PX, "psetex")
}

fn set_for(
    args: &Args<'_>,
    context: &Context,
    unit: Unit,
    command: &str,
) -> Result<Plan, ErrorReply> {
    let expiry = positive(args, 2, unit, context.wall_ms, command)?;
    let (key, value) = (key(args, 1)?, args.keep(3));
    if let Some(ttl) = plain_ttl(expiry) {
        return Ok(stored(key, value, ttl, Condition::Always, |_| Reply::OK));
    }
    let update = Update {
        change: Change::Put(value),
        expiry,
        ..Update::default()
    };
    Ok(updated(key, update, |_| Reply::OK))
}

fn setnx(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let (key, value) = (key(args, 1)?, args.keep(2));
    Ok(stored(key, value, None, Condition::IfAbsent, |stored| {
        Reply::Integer(stored.into())
    }))
}

fn getset(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let update = Update {
        change: Change::Put(args.keep(2)),
        expiry: Expiry::Default,
        guard: Guard::default(),
        returns: Returns::Previous,
    };
    Ok(updated(key(args, 1)?, update, value_of))
}

fn getdel(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let update = Update {
        change: Change::Remove,
        returns: Returns::Previous,
        ..Update::default()
    };
    Ok(updated(key(args, 1)?, update, value_of))
}

/// Without options it is a plain read. A wrong time is told only where there is a key.
fn getex(args: &Args<'_>, context: &Context) -> Result<Plan, ErrorReply> {
    let options = Options::parse(args, 2, Of::GetEx)?;
    let key = key(args, 1)?;
    match options.expiry(args, context.wall_ms, "getex", Expiry::Keep) {
        Ok(Expiry::Keep) => Ok(value(key, bulk)),
        Ok(expiry) => {
            let update = Update {
                expiry,
                returns: Returns::Previous,
                ..Update::default()
            };
            Ok(updated(key, update, value_of))
        }
        Err(error) => Ok(look(key, Returns::Metadata, |entry| match entry {
            Some(_) => Reply::Error(error),
            None => Reply::Null,
        })),
    }
}

fn strlen(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    Ok(look(key(args, 1)?, Returns::Metadata, |entry| {
        number(entry.map_or(0, |entry| entry.value_bytes))
    }))
}

fn getrange(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let (start, end) = (integer(args, 2)?, integer(args, 3)?);
    Ok(value(key(args, 1)?, move |value| {
        let value = value.unwrap_or_default();
        let (start, end) = range(start, end, value.len());
        Reply::Bulk(value.slice(start..end))
    }))
}

/// The bytes from `start` to `end`, both included and negative from the end on.
fn range(start: i64, end: i64, length: usize) -> (usize, usize) {
    let signed = i64::try_from(length).unwrap_or(i64::MAX);
    if start < 0 && end < 0 && start > end {
        return (0, 0);
    }
    let from_start = |at: i64| {
        if at < 0 {
            at.saturating_add(signed).max(0)
        } else {
            at
        }
    };
    let (start, end) = (from_start(start), from_start(end).min(signed - 1));
    if start > end {
        return (0, 0);
    }
    let index = |at: i64| usize::try_from(at).unwrap_or(length).min(length);
    (index(start), index(end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from redis-server 7.0.15 with the value "hello".
    #[test]
    fn ranges_are_those_of_redis() {
        let cases = [
            ((0, -1), "hello"),
            ((1, 3), "ell"),
            ((-3, -1), "llo"),
            ((-1, -3), ""),
            ((3, 1), ""),
            ((-100, -99), "h"),
            ((-100, 100), "hello"),
            ((5, 9), ""),
            ((i64::MIN, i64::MAX), "hello"),
            ((4, -1), "o"),
        ];
        for ((start, end), expected) in cases {
            let (from, to) = range(start, end, 5);
            assert_eq!(&"hello"[from..to], expected, "{start} {end}");
        }
        assert_eq!(range(0, -1, 0), (0, 0));
    }
}
