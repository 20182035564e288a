//! Commands that read and write whole values.

use cached_proto::operation::{self, Operation};
use cached_proto::types::Key;

use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::plan::{Context, Plan, no_reply};
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::table::{CommandSpec, Flags, Handler};

/// The commands of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[CommandSpec {
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
}];

fn get(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let operation = Operation::Get {
        key: Key::new(args.keep(1))?,
        no_load: false,
        metadata_only: false,
    };
    Ok(Plan::one(operation, |reply| match reply {
        operation::Reply::Get(Some(entry)) => Reply::Bulk(entry.value),
        operation::Reply::Get(None) => Reply::Null,
        _ => no_reply(),
    }))
}
