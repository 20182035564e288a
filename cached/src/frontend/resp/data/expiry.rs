//! Commands about when keys expire.

use cached_proto::update::{Expiry, Guard, Returns, Snapshot, Update};

use super::words::{Unit, integer, invalid_expire, key, look, number, on_key, updated};
use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::plan::{Context, Plan};
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::table::{CommandSpec, Flags, ParseData};

const WRITE: Flags = Flags::WRITE.and(Flags::FAST);
const READ: Flags = Flags::READONLY.and(Flags::FAST);

const fn generic(
    name: &'static str,
    arity: i16,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    parse: ParseData,
) -> CommandSpec {
    on_key(name, arity, flags, "generic", since, summary, parse)
}

/// The commands of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[
    generic(
        "expire",
        -3,
        WRITE,
        "1.0.0",
        "Set a key's time to live in seconds",
        |args, context| expire(args, context, Unit::EX, "expire"),
    ),
    generic(
        "pexpire",
        -3,
        WRITE,
        "2.6.0",
        "Set a key's time to live in milliseconds",
        |args, context| expire(args, context, Unit::PX, "pexpire"),
    ),
    generic(
        "expireat",
        -3,
        WRITE,
        "1.2.0",
        "Set the expiration for a key as a UNIX timestamp",
        |args, context| expire(args, context, Unit::EXAT, "expireat"),
    ),
    generic(
        "pexpireat",
        -3,
        WRITE,
        "2.6.0",
        "Set the expiration for a key as a UNIX timestamp specified in milliseconds",
        |args, context| expire(args, context, Unit::PXAT, "pexpireat"),
    ),
    generic(
        "persist",
        2,
        WRITE,
        "2.2.0",
        "Remove the expiration from a key",
        persist,
    ),
    generic(
        "ttl",
        2,
        READ,
        "1.0.0",
        "Get the time to live for a key in seconds",
        |args, _| time(args, |entry| entry.ttl_ms.map(seconds)),
    ),
    generic(
        "pttl",
        2,
        READ,
        "2.6.0",
        "Get the time to live for a key in milliseconds",
        |args, _| time(args, |entry| entry.ttl_ms),
    ),
    generic(
        "expiretime",
        2,
        READ,
        "7.0.0",
        "Get the expiration Unix timestamp for a key",
        |args, _| time(args, |entry| entry.deadline_ms.map(seconds)),
    ),
    generic(
        "pexpiretime",
        2,
        READ,
        "7.0.0",
        "Get the expiration Unix timestamp for a key in milliseconds",
        |args, _| time(args, |entry| entry.deadline_ms),
    ),
];

/// Rounded to the nearest.
fn seconds(ms: u64) -> u64 {
    (ms + 500) / 1000
}

fn expire(
    args: &Args<'_>,
    context: &Context,
    unit: Unit,
    command: &str,
) -> Result<Plan, ErrorReply> {
    let guard = guard(args, 3)?;
    let time = integer(args, 2)?;
    let expiry = unit.expiry(time, context.wall_ms);
    let update = Update {
        expiry: expiry.ok_or_else(|| invalid_expire(command))?,
        guard,
        ..Update::default()
    };
    Ok(updated(key(args, 1)?, update, |updated| {
        Reply::Integer(updated.applied.into())
    }))
}

/// What the words from `index` on ask of the time that there is.
fn guard(args: &Args<'_>, index: usize) -> Result<Guard, ErrorReply> {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for index in index..args.len() {
        match () {
            () if args.is(index, "nx") => nx = true,
            () if args.is(index, "xx") => xx = true,
            () if args.is(index, "gt") => gt = true,
            () if args.is(index, "lt") => lt = true,
            () => {
                let word = String::from_utf8_lossy(args.get(index));
                return Err(ErrorReply::new(format!("ERR Unsupported option {word}")));
            }
        }
    }
    if nx && (xx || gt || lt) {
        let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
        return Err(ErrorReply::fixed(text));
    }
    if gt && lt {
        let text = "ERR GT and LT options at the same time are not compatible";
        return Err(ErrorReply::fixed(text));
    }
    Ok(match (nx, xx, gt, lt) {
        (true, ..) => Guard::Persistent,
        (_, _, true, _) => Guard::Later,
        (_, true, _, true) => Guard::ExpiringSooner,
        (_, false, _, true) => Guard::Sooner,
        (_, true, ..) => Guard::Expiring,
        _ => Guard::default(),
    })
}

fn persist(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let update = Update {
        expiry: Expiry::Never,
        guard: Guard::Expiring,
        ..Update::default()
    };
    Ok(updated(key(args, 1)?, update, |updated| {
        Reply::Integer(updated.applied.into())
    }))
}

/// A time of an entry; −1: it never expires; −2: it is not there.
fn time(args: &Args<'_>, of: fn(&Snapshot) -> Option<u64>) -> Result<Plan, ErrorReply> {
    Ok(look(key(args, 1)?, Returns::Metadata, move |entry| {
        entry.map_or(Reply::Integer(-2), |entry| {
            of(&entry).map_or(Reply::Integer(-1), number)
        })
    }))
}
