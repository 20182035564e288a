//! Commands that read and write whole values.

use cached_proto::operation::{self, Condition, Operation};
use cached_proto::types::Key;

use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::plan::{Context, Plan, no_reply};
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::table::{CommandSpec, Flags, Handler};

/// The commands of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "get",
        arity: 2,
        flags: Flags::READONLY.and(Flags::FAST),
        first_key: 1,
        last_key: 1,
        step: 1,
        group: "string",
        summary: "Returns the string value of a key.",
        since: "1.0.0",
        handler: Handler::Get(get),
    },
    CommandSpec {
        name: "mget",
        arity: -2,
        flags: Flags::READONLY.and(Flags::FAST),
        first_key: 1,
        last_key: -1,
        step: 1,
        group: "string",
        summary: "Returns the string values of keys.",
        since: "1.0.0",
        handler: Handler::Data(mget),
    },
    CommandSpec {
        name: "set",
        arity: -3,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        first_key: 1,
        last_key: 1,
        step: 1,
        group: "string",
        summary: "Sets the string value of a key.",
        since: "1.0.0",
        handler: Handler::Set(set),
    },
];

fn read(key: Key) -> Operation {
    Operation::Get {
        key,
        no_load: false,
        metadata_only: false,
    }
}

fn value(reply: operation::Reply) -> Reply {
    match reply {
        operation::Reply::Get(Some(entry)) => Reply::Bulk(entry.value),
        operation::Reply::Get(None) => Reply::Null,
        _ => no_reply(),
    }
}

fn get(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    Ok(Plan::one(read(Key::new(args.keep(1))?), value))
}

fn mget(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let read = |index| Ok(read(Key::new(args.keep(index))?));
    let operations: Result<_, ErrorReply> = (1..args.len()).map(read).collect();
    Ok(Plan::many(operations?, |replies| {
        Reply::Array(replies.into_iter().map(value).collect())
    }))
}

fn set(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    if args.len() > 3 {
        return Err(ErrorReply::SYNTAX);
    }
    let operation = Operation::Set {
        key: Key::new(args.keep(1))?,
        value: args.keep(2),
        ttl: None,
        condition: Condition::Always,
    };
    Ok(Plan::one(operation, |reply| match reply {
        operation::Reply::Set { stored: true, .. } => Reply::OK,
        _ => no_reply(),
    }))
}
