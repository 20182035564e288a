//! Commands that change a value depending on what it is.

use cached_proto::update::{self, Change, Returns, Update};

use super::words::{integer, key, look, number, on_key, updated, value_of};
use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::plan::{Context, Plan, no_reply};
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::table::{CommandSpec, Flags};

const STORE: Flags = Flags::WRITE.and(Flags::DENYOOM);
const FAST: Flags = STORE.and(Flags::FAST);
const GROUP: &str = "string";

/// The commands of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[
    on_key(
        "append",
        3,
        FAST,
        GROUP,
        "2.0.0",
        "Append a value to a key",
        append,
    ),
    on_key(
        "setrange",
        4,
        STORE,
        GROUP,
        "2.2.0",
        "Overwrite part of a string at key starting at the specified offset",
        set_range,
    ),
    on_key(
        "incr",
        2,
        FAST,
        GROUP,
        "1.0.0",
        "Increment the integer value of a key by one",
        incr,
    ),
    on_key(
        "decr",
        2,
        FAST,
        GROUP,
        "1.0.0",
        "Decrement the integer value of a key by one",
        decr,
    ),
    on_key(
        "incrby",
        3,
        FAST,
        GROUP,
        "1.0.0",
        "Increment the integer value of a key by the given amount",
        incr_by,
    ),
    on_key(
        "decrby",
        3,
        FAST,
        GROUP,
        "1.0.0",
        "Decrement the integer value of a key by the given number",
        decr_by,
    ),
    on_key(
        "incrbyfloat",
        3,
        FAST,
        GROUP,
        "2.6.0",
        "Increment the float value of a key by the given amount",
        incr_by_float,
    ),
];

/// The length after a change.
fn length_after(args: &Args<'_>, change: Change) -> Result<Plan, ErrorReply> {
    let update = Update {
        change,
        ..Update::default()
    };
    Ok(updated(key(args, 1)?, update, |updated| {
        number(updated.entry.map_or(0, |entry| entry.value_bytes))
    }))
}

fn append(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    length_after(args, Change::Append(args.keep(2)))
}

/// Nothing put over a value leaves it as it is, wherever it is put.
fn set_range(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let offset = integer(args, 2)?;
    let offset =
        u64::try_from(offset).map_err(|_| ErrorReply::fixed("ERR offset is out of range"))?;
    let bytes = args.keep(3);
    if bytes.is_empty() {
        return Ok(look(key(args, 1)?, Returns::Metadata, |entry| {
            number(entry.map_or(0, |entry| entry.value_bytes))
        }));
    }
    length_after(args, Change::SetRange { offset, bytes })
}

/// The whole number after it was added to.
fn add(args: &Args<'_>, by: i64) -> Result<Plan, ErrorReply> {
    let update = Update {
        change: Change::AddInteger(by),
        returns: Returns::Value,
        ..Update::default()
    };
    Ok(updated(key(args, 1)?, update, |updated| {
        let sum = updated
            .entry
            .and_then(|entry| update::integer(&entry.value));
        sum.map_or_else(no_reply, Reply::Integer)
    }))
}

fn incr(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    add(args, 1)
}

fn decr(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    add(args, -1)
}

fn incr_by(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    add(args, integer(args, 2)?)
}

fn decr_by(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let by = integer(args, 2)?.checked_neg();
    add(
        args,
        by.ok_or(ErrorReply::fixed("ERR decrement would overflow"))?,
    )
}

/// Whether it is a number is looked at where it is added.
fn incr_by_float(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let update = Update {
        change: Change::AddFloat(args.keep(2)),
        returns: Returns::Value,
        ..Update::default()
    };
    Ok(updated(key(args, 1)?, update, value_of))
}
