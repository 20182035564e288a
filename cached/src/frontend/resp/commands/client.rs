//! `CLIENT`: what connections say of themselves.

use super::text;
use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::session::{Replies, Session};
use crate::frontend::resp::table::{CommandSpec, Flags, Handler, InSession};

const LIGHT: Flags = Flags::STALE.and(Flags::LOADING);

/// The command of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[CommandSpec::keyless(
    "client",
    -2,
    Flags::NONE,
    "connection",
    "2.4.0",
    "About connections.",
    Handler::Container(SUBCOMMANDS),
)];

const SUBCOMMANDS: &[CommandSpec] = &[
    sub(
        "getname",
        2,
        "2.6.9",
        "Returns the connection's name.",
        getname,
    ),
    sub("id", 2, "5.0.0", "Returns the connection's number.", id),
    sub(
        "info",
        2,
        "6.2.0",
        "Returns the connection's line of the list.",
        info,
    ),
    sub("list", -2, "2.4.0", "Lists open connections.", list),
    sub(
        "no-evict",
        3,
        "7.0.0",
        "Changes nothing: connections are not evicted.",
        on_or_off,
    ),
    sub(
        "no-touch",
        3,
        "7.2.0",
        "Changes nothing: reads always count as a use.",
        on_or_off,
    ),
    sub(
        "reply",
        3,
        "3.2.0",
        "Says whether replies are wanted.",
        reply,
    ),
    sub(
        "setinfo",
        4,
        "7.2.0",
        "Names the client's library or its version.",
        setinfo,
    ),
    sub("setname", 3, "2.6.9", "Names the connection.", setname),
];

const fn sub(
    name: &'static str,
    arity: i16,
    since: &'static str,
    summary: &'static str,
    answer: InSession,
) -> CommandSpec {
    let handler = Handler::Session(answer);
    CommandSpec::keyless(name, arity, LIGHT, "connection", since, summary, handler)
}

/// Longest text that a client may say of itself, in bytes: it stands in lists.
const TEXT_BYTES_MAX: usize = 256;

/// A name that may stand in a list.
pub(super) fn check_name(name: &[u8]) -> Result<String, ErrorReply> {
    check("Client names", name)
}

fn check(what: &str, word: &[u8]) -> Result<String, ErrorReply> {
    if word.len() > TEXT_BYTES_MAX {
        let length = word.len();
        let text = format!("ERR {what} have at most {TEXT_BYTES_MAX} bytes, and not {length}");
        return Err(ErrorReply::new(text));
    }
    match std::str::from_utf8(word) {
        Ok(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(text.to_owned()),
        _ => Err(ErrorReply::new(format!(
            "ERR {what} cannot contain spaces, newlines or special characters."
        ))),
    }
}

fn getname(session: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    let name = session.client.said.lock().name.clone();
    Ok(if name.is_empty() {
        Reply::Null
    } else {
        Reply::text(name)
    })
}

fn setname(session: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    let name = check_name(args.get(2))?;
    session.client.said.lock().name = name;
    Ok(Reply::OK)
}

fn setinfo(session: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    if args.is(2, "lib-name") {
        let name = check("lib-name", args.get(3))?;
        session.client.said.lock().lib_name = name;
    } else if args.is(2, "lib-ver") {
        let version = check("lib-ver", args.get(3))?;
        session.client.said.lock().lib_version = version;
    } else {
        let option = text(args, 2);
        return Err(ErrorReply::new(format!(
            "ERR Unrecognized option '{option}'"
        )));
    }
    Ok(Reply::OK)
}

fn id(session: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    let id = i64::try_from(session.client.id).unwrap_or(i64::MAX);
    Ok(Reply::Integer(id))
}

fn info(session: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    let now = session.parts.frontends.clock.now();
    Ok(Reply::Verbatim(format!("{}\n", session.client.line(now))))
}

fn list(session: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    let everyone = match args.len() {
        2 => true,
        // Every connection is of the one type `normal`.
        4 if args.is(2, "type") => args.is(3, "normal"),
        _ => return Err(ErrorReply::SYNTAX),
    };
    let now = session.parts.frontends.clock.now();
    let clients = session.parts.clients.all();
    let lines = clients.iter().filter(|_| everyone);
    let lines: String = lines
        .map(|client| format!("{}\n", client.line(now)))
        .collect();
    Ok(Reply::Verbatim(lines))
}

fn on_or_off(_: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    if args.is(2, "on") || args.is(2, "off") {
        return Ok(Reply::OK);
    }
    Err(ErrorReply::SYNTAX)
}

fn reply(session: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    session.replies = if args.is(2, "on") {
        Replies::On
    } else if args.is(2, "off") {
        Replies::Off
    } else if args.is(2, "skip") {
        Replies::SkipNext
    } else {
        return Err(ErrorReply::SYNTAX);
    };
    Ok(Reply::OK)
}
