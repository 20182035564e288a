//! Commands that look at how a key is kept.

use cached_proto::update::{self, Returns};

use super::words::{Handler, integer, key, look, number, on_key};
use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::plan::{Context, Plan};
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::table::{CommandSpec, Flags, InSession, ParseData};

/// The commands of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[
    container(
        "object",
        "2.2.3",
        "A container for object introspection commands",
        OBJECT,
    ),
    container(
        "memory",
        "4.0.0",
        "A container for memory diagnostics commands",
        MEMORY,
    ),
];

const OBJECT: &[CommandSpec] = &[
    object(
        "encoding",
        "2.2.3",
        "Inspect the internal encoding of a Redis object",
        encoding,
    ),
    object(
        "freq",
        "4.0.0",
        "Get the logarithmic access frequency counter of a Redis object",
        freq,
    ),
    object(
        "idletime",
        "2.2.3",
        "Get the time since a Redis object was last accessed",
        idle_time,
    ),
    object(
        "refcount",
        "2.2.3",
        "Get the number of references to the value of the key",
        ref_count,
    ),
    help("6.2.0", |_, _| Ok(lines(OBJECT_HELP))),
];

const MEMORY: &[CommandSpec] = &[
    CommandSpec {
        first_key: 2,
        last_key: 2,
        ..on_key(
            "usage",
            -3,
            Flags::READONLY,
            "server",
            "4.0.0",
            "Estimate the memory usage of a key",
            usage,
        )
    },
    help("4.0.0", |_, _| Ok(lines(MEMORY_HELP))),
];

const OBJECT_HELP: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Prints this help.",
];

const MEMORY_HELP: &[&str] = &[
    "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "USAGE <key> [SAMPLES <count>]",
    "    Return memory in bytes used by <key> and its value. Nested values are",
    "    sampled up to <count> times (default: 5, 0 means sample all).",
    "HELP",
    "    Prints this help.",
];

const fn container(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    subcommands: &'static [CommandSpec],
) -> CommandSpec {
    let handler = Handler::Container(subcommands);
    CommandSpec::keyless(name, -2, Flags::NONE, "generic", since, summary, handler)
}

const fn object(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    parse: ParseData,
) -> CommandSpec {
    CommandSpec {
        first_key: 2,
        last_key: 2,
        ..on_key(name, 3, Flags::READONLY, "generic", since, summary, parse)
    }
}

const fn help(since: &'static str, answer: InSession) -> CommandSpec {
    let (flags, summary) = (Flags::LOADING.and(Flags::STALE), "Show helpful text");
    let handler = Handler::Session(answer);
    CommandSpec::keyless("help", 2, flags, "generic", since, summary, handler)
}

fn lines(lines: &[&'static str]) -> Reply {
    let line = |line: &&'static str| Reply::Simple((*line).into());
    Reply::Array(lines.iter().map(line).collect())
}

/// Longest value that Redis keeps in one piece with its description.
const EMBEDDED_BYTES_MAX: usize = 44;

/// Longest text that is a whole number.
const INTEGER_BYTES_MAX: usize = 20;

/// What Redis would make of the value if it were set as it is.
fn encoding(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    Ok(look(key(args, 2)?, Returns::Value, |entry| {
        entry.map_or(Reply::Null, |entry| {
            let length = entry.value.len();
            let is_integer = length <= INTEGER_BYTES_MAX && update::integer(&entry.value).is_some();
            Reply::fixed(match length {
                _ if is_integer => "int",
                0..=EMBEDDED_BYTES_MAX => "embstr",
                _ => "raw",
            })
        })
    }))
}

fn freq(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let text = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
                note that when switching between policies at runtime LRU and LFU data will take \
                some time to adjust.";
    Ok(look(
        key(args, 2)?,
        Returns::Metadata,
        move |entry| match entry {
            Some(_) => Reply::Error(ErrorReply::fixed(text)),
            None => Reply::Null,
        },
    ))
}

fn idle_time(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    Ok(look(key(args, 2)?, Returns::Metadata, |entry| {
        entry.map_or(Reply::Null, |entry| number(entry.idle_ms / 1000))
    }))
}

/// No value is shared.
fn ref_count(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    Ok(look(key(args, 2)?, Returns::Metadata, |entry| {
        entry.map_or(Reply::Null, |_| Reply::Integer(1))
    }))
}

/// Values have no parts that could be sampled.
fn usage(args: &Args<'_>, _: &Context) -> Result<Plan, ErrorReply> {
    let mut index = 3;
    while index < args.len() {
        if !args.is(index, "samples") || index + 1 == args.len() {
            return Err(ErrorReply::SYNTAX);
        }
        if integer(args, index + 1)? < 0 {
            return Err(ErrorReply::SYNTAX);
        }
        index += 2;
    }
    Ok(look(key(args, 2)?, Returns::Metadata, |entry| {
        entry.map_or(Reply::Null, |entry| number(entry.memory_bytes))
    }))
}
