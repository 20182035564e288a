//! Commands about whether keys are there.

use cached_proto::operation::{self, Condition, Operation};
use cached_proto::types::Key;

use super::words::{Handler, exists, key, number, on_key};
use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::plan::{Context, Plan, no_reply};
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::table::{CommandSpec, Flags, ParseData};

const READ: Flags = Flags::READONLY.and(Flags::FAST);

/// The commands of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[
    on_keys("del", Flags::WRITE, "1.0.0", "Delete a key", delete),
    on_keys(
        "unlink",
        Flags::WRITE.and(Flags::FAST),
        "4.0.0",
        "Delete a key asynchronously in another thread. Otherwise it is just as DEL, but non blocking.",
        delete,
    ),
    on_keys("exists", READ, "1.0.0", "Determine if a key exists", count),
    on_keys(
        "touch",
        READ,
        "3.2.1",
        "Alters the last access time of a key(s). Returns the number of existing keys specified.",
        touch,
    ),
    on_key(
        "type",
        2,
        READ,
        "generic",
        "1.0.0",
        "Determine the type stored at key",
        kind,
    ),
];

const fn on_keys(
    name: &'static str,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    parse: ParseData,
) -> CommandSpec {
    CommandSpec {
        name,
        arity: -2,
        flags,
        first_key: 1,
        last_key: -1,
        step: 1,
        group: "generic",
        summary,
        since,
        handler: Handler::Data(parse),
    }
}

/// For how many keys the reply is a yes.
fn counted(
    args: &Args<'_>,
    operation: fn(Key) -> Operation,
    is_yes: fn(&operation::Reply) -> bool,
) -> Result<Plan, ErrorReply> {
    let keys = (1..args.len()).map(|index| key(args, index));
    let operations = keys
        .map(|key| key.map(operation))
        .collect::<Result<_, _>>()?;
    Ok(Plan::many(operations, move |replies| {
        number(replies.iter().filter(|reply| is_yes(reply)).count() as u64)
    }))
}

fn delete(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let operation = |key| Operation::Delete {
        key,
        condition: Condition::Always,
    };
    counted(args, operation, |reply| {
        matches!(reply, operation::Reply::Delete { deleted: true, .. })
    })
}

fn count(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    counted(args, exists, is_there)
}

fn is_there(reply: &operation::Reply) -> bool {
    matches!(reply, operation::Reply::Get(Some(_)))
}

/// A read whose value nobody wants is the use that is asked for.
fn touch(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let operation = |key| Operation::Get {
        key,
        no_load: true,
        metadata_only: false,
    };
    counted(args, operation, is_there)
}

fn kind(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    Ok(Plan::one(exists(key(args, 1)?), |reply| match reply {
        operation::Reply::Get(entry) => {
            let kind = if entry.is_some() { "string" } else { "none" };
            Reply::Simple(kind.into())
        }
        _ => no_reply(),
    }))
}
