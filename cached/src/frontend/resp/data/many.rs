//! Commands that read or write the values of several keys.

use bytes::Bytes;
use cached_proto::limits::BATCH_OPERATIONS_MAX;
use cached_proto::operation::{self, Condition, Operation};
use cached_proto::ring::slot_of;
use cached_proto::types::Key;

use super::words::{Handler, bulk, get, key, set};
use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::plan::{Context, Plan, no_reply};
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::table::{CommandSpec, Flags, ParseData};

/// The commands of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "mget",
        arity: -2,
        flags: Flags::READONLY.and(Flags::FAST),
        first_key: 1,
        last_key: -1,
        step: 1,
        group: "string",
        summary: "Get the values of all the given keys",
        since: "1.0.0",
        handler: Handler::Data(mget),
    },
    pairs("mset", "Set multiple keys to multiple values", mset),
    pairs(
        "msetnx",
        "Set multiple keys to multiple values, only if none of the keys exist",
        msetnx,
    ),
];

const fn pairs(name: &'static str, summary: &'static str, parse: ParseData) -> CommandSpec {
    CommandSpec {
        name,
        arity: -3,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        first_key: 1,
        last_key: -1,
        step: 2,
        group: "string",
        summary,
        since: "1.0.1",
        handler: Handler::Data(parse),
    }
}

fn mget(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let keys = (1..args.len()).map(|index| key(args, index));
    let operations = keys.map(|key| key.map(get)).collect::<Result<_, _>>()?;
    let value = |reply| match reply {
        operation::Reply::Get(entry) => bulk(entry.map(|entry| entry.value)),
        _ => no_reply(),
    };
    Ok(Plan::many(operations, move |replies| {
        Reply::Array(replies.into_iter().map(value).collect())
    }))
}

/// Keys and values in turn.
fn items(args: &Args<'_>, command: &str) -> Result<Vec<(Key, Bytes)>, ErrorReply> {
    if args.len().is_multiple_of(2) {
        return Err(ErrorReply::arity(command));
    }
    (1..args.len())
        .step_by(2)
        .map(|index| Ok((key(args, index)?, args.keep(index + 1))))
        .collect()
}

fn in_one_slot(items: &[(Key, Bytes)], context: &Context) -> bool {
    let slot = |(key, _): &(Key, Bytes)| slot_of(context.hash, key.as_bytes());
    items.windows(2).all(|two| slot(&two[0]) == slot(&two[1]))
}

/// All of them in one step; `None` if no one step takes so many.
fn together(items: &[(Key, Bytes)], if_absent: bool, context: &Context) -> Option<Operation> {
    let (first, others) = items.split_first()?;
    let operation = Operation::SetMany {
        first: first.clone(),
        others: others.to_vec(),
        if_absent,
    };
    let fits =
        items.len() <= BATCH_OPERATIONS_MAX && operation.payload_bytes() <= context.value_bytes_max;
    fits.then_some(operation)
}

/// In one step where one lock guards all keys; else one after the other, because
/// values of several owners cannot change at one moment.
fn mset(args: &Args<'_>, context: &Context) -> Result<Plan, ErrorReply> {
    let items = items(args, "mset")?;
    if items.len() > 1
        && in_one_slot(&items, context)
        && let Some(operation) = together(&items, false, context)
    {
        return Ok(Plan::one(operation, |_| Reply::OK));
    }
    let writes = items
        .into_iter()
        .map(|(key, value)| set(key, value, None, Condition::Always))
        .collect();
    Ok(Plan::many(writes, |_| Reply::OK))
}

fn msetnx(args: &Args<'_>, context: &Context) -> Result<Plan, ErrorReply> {
    let items = items(args, "msetnx")?;
    if !in_one_slot(&items, context) {
        return Err(ErrorReply::CROSSSLOT);
    }
    let Some(operation) = together(&items, true, context) else {
        return Err(ErrorReply::new(format!(
            "ERR 'msetnx' takes at most {BATCH_OPERATIONS_MAX} keys and {} bytes",
            context.value_bytes_max
        )));
    };
    Ok(Plan::one(operation, |reply| match reply {
        operation::Reply::SetMany { stored } => Reply::Integer(stored.into()),
        _ => no_reply(),
    }))
}
