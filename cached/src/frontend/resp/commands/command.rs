//! `COMMAND`: the table of commands as clients read it.

use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::session::Session;
use crate::frontend::resp::table::{
    COMMANDS as TABLE, CommandSpec, Flags, Handler, InSession, command_of_words,
};

const LIGHT: Flags = Flags::STALE.and(Flags::LOADING);

/// The command of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[CommandSpec::keyless(
    "command",
    -1,
    LIGHT,
    "server",
    "2.8.13",
    "Describes the commands.",
    Handler::ContainerOr(SUBCOMMANDS, all),
)];

const SUBCOMMANDS: &[CommandSpec] = &[
    sub(
        "count",
        2,
        "2.8.13",
        "Returns how many commands there are.",
        count,
    ),
    sub("docs", -2, "7.0.0", "Returns what commands are for.", docs),
    sub(
        "getkeys",
        -3,
        "2.8.13",
        "Returns the keys of a command.",
        getkeys,
    ),
    sub("info", -2, "2.8.13", "Describes some commands.", info),
    sub(
        "list",
        -2,
        "7.0.0",
        "Returns the names of the commands.",
        list,
    ),
];

const fn sub(
    name: &'static str,
    arity: i16,
    since: &'static str,
    summary: &'static str,
    answer: InSession,
) -> CommandSpec {
    let handler = Handler::Session(answer);
    CommandSpec::keyless(name, arity, LIGHT, "server", since, summary, handler)
}

fn all(_: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    Ok(Reply::Array(TABLE.all().iter().map(describe).collect()))
}

fn count(_: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    Ok(Reply::Integer(TABLE.all().len() as i64))
}

fn list(_: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    if args.len() > 2 {
        return Err(ErrorReply::SYNTAX);
    }
    let names = TABLE.all().iter().map(|spec| Reply::fixed(spec.name));
    Ok(Reply::Array(names.collect()))
}

/// The commands that are named, or all; `None` for what is none.
fn named(args: &Args<'_>) -> Vec<Option<&'static CommandSpec>> {
    if args.len() == 2 {
        return TABLE.all().iter().map(Some).collect();
    }
    args.from(2).map(|name| TABLE.find(name)).collect()
}

fn info(_: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    let each = |spec: Option<_>| spec.map_or(Reply::NullArray, describe);
    Ok(Reply::Array(named(args).into_iter().map(each).collect()))
}

fn docs(_: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    let known = named(args).into_iter().flatten();
    let pairs = known.map(|spec| (Reply::fixed(spec.name), document(spec)));
    Ok(Reply::Map(pairs.collect()))
}

fn getkeys(_: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    let words: Vec<&[u8]> = args.from(2).collect();
    let spec = command_of_words(&words)?;
    let keys: Vec<Reply> = spec
        .keys(words.len())
        .map(|index| Reply::Bulk(args.keep(index + 2)))
        .collect();
    if keys.is_empty() {
        return Err(ErrorReply::fixed("ERR The command has no key arguments"));
    }
    Ok(Reply::Array(keys))
}

/// A command as Redis describes it: name, arity, flags, keys, categories, tips, key
/// specifications, subcommands.
fn describe(spec: &CommandSpec) -> Reply {
    describe_as(spec.name.to_owned(), spec)
}

fn describe_as(name: String, spec: &CommandSpec) -> Reply {
    let flags = Flags::NAMES
        .iter()
        .filter(|(flag, _)| spec.flags.has(*flag));
    let subcommands = subcommands(spec)
        .iter()
        .map(|sub| describe_as(format!("{name}|{}", sub.name), sub))
        .collect();
    Reply::Array(vec![
        Reply::text(name.clone()),
        Reply::Integer(spec.arity.into()),
        Reply::Set(
            flags
                .map(|(_, name)| Reply::Simple((*name).into()))
                .collect(),
        ),
        Reply::Integer(spec.first_key.into()),
        Reply::Integer(spec.last_key.into()),
        Reply::Integer(spec.step.into()),
        Reply::Set(categories(spec)),
        Reply::Array(Vec::new()),
        Reply::Array(Vec::new()),
        Reply::Array(subcommands),
    ])
}

fn categories(spec: &CommandSpec) -> Vec<Reply> {
    let by_flag = [
        (Flags::WRITE, "@write"),
        (Flags::READONLY, "@read"),
        (Flags::ADMIN, "@admin"),
        (Flags::FAST, "@fast"),
    ];
    let by_flag = by_flag.iter().filter(|(flag, _)| spec.flags.has(*flag));
    let mut categories: Vec<Reply> = by_flag
        .map(|(_, name)| Reply::Simple((*name).into()))
        .collect();
    match spec.group {
        "string" => categories.push(Reply::Simple("@string".into())),
        "generic" => categories.push(Reply::Simple("@keyspace".into())),
        "connection" => categories.push(Reply::Simple("@connection".into())),
        _ => {}
    }
    categories
}

fn subcommands(spec: &CommandSpec) -> &'static [CommandSpec] {
    match spec.handler {
        Handler::Container(subcommands) | Handler::ContainerOr(subcommands, _) => subcommands,
        _ => &[],
    }
}

fn document(spec: &CommandSpec) -> Reply {
    let mut pairs = vec![
        (Reply::fixed("summary"), Reply::fixed(spec.summary)),
        (Reply::fixed("since"), Reply::fixed(spec.since)),
        (Reply::fixed("group"), Reply::fixed(spec.group)),
    ];
    let subcommands = subcommands(spec);
    if !subcommands.is_empty() {
        let each = subcommands
            .iter()
            .map(|sub| {
                let name = Reply::text(format!("{}|{}", spec.name, sub.name));
                (name, document(sub))
            })
            .collect();
        pairs.push((Reply::fixed("subcommands"), Reply::Map(each)));
    }
    Reply::Map(pairs)
}
