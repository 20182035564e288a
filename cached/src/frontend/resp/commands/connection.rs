//! Who speaks, in which protocol and in which database.

use super::number;
use crate::frontend::resp::args::Args;
use crate::frontend::resp::commands::client::check_name;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::reply::{Reply, RespVersion};
use crate::frontend::resp::session::{Session, Side};
use crate::frontend::resp::table::{CommandSpec, Flags, Handler};

/// The version of Redis whose behaviour is followed: clients ask for it.
pub(super) const REDIS_VERSION: &str = "7.0.15";

const LIGHT: Flags = Flags::FAST.and(Flags::STALE).and(Flags::LOADING);
const OPEN: Flags = LIGHT.and(Flags::NO_AUTH);

/// The commands of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[
    session(
        "ping",
        -1,
        LIGHT,
        "1.0.0",
        "Returns PONG, or what it is given.",
        ping,
    ),
    session("echo", 2, LIGHT, "1.0.0", "Returns what it is given.", echo),
    session("quit", -1, OPEN, "1.0.0", "Closes the connection.", quit),
    session(
        "reset",
        1,
        OPEN,
        "6.2.0",
        "Makes the connection as it began.",
        reset,
    ),
    session(
        "select",
        2,
        LIGHT,
        "1.0.0",
        "Changes the database: a group.",
        select,
    ),
    session("auth", -2, OPEN, "1.0.0", "Shows a token.", auth),
    session(
        "hello",
        -1,
        OPEN,
        "6.0.0",
        "Changes the protocol, and shows a token.",
        hello,
    ),
    session(
        "readonly",
        1,
        LIGHT,
        "3.0.0",
        "Changes nothing: there are no replicas.",
        nothing,
    ),
    session(
        "readwrite",
        1,
        LIGHT,
        "3.0.0",
        "Changes nothing: there are no replicas.",
        nothing,
    ),
    session(
        "asking",
        1,
        LIGHT,
        "3.0.0",
        "Changes nothing: nobody is told ASK.",
        nothing,
    ),
];

const fn session(
    name: &'static str,
    arity: i16,
    flags: Flags,
    since: &'static str,
    summary: &'static str,
    answer: crate::frontend::resp::table::InSession,
) -> CommandSpec {
    let handler = Handler::Session(answer);
    CommandSpec::keyless(name, arity, flags, "connection", since, summary, handler)
}

fn ping(_: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    match args.len() {
        1 => Ok(Reply::Simple("PONG".into())),
        2 => Ok(Reply::Bulk(args.keep(1))),
        _ => Err(ErrorReply::arity("ping")),
    }
}

fn echo(_: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    Ok(Reply::Bulk(args.keep(1)))
}

fn quit(session: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    session.closing = true;
    Ok(Reply::OK)
}

fn reset(session: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    session.reset();
    Ok(Reply::Simple("RESET".into()))
}

fn nothing(_: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    Ok(Reply::OK)
}

/// Database 0 is the process's own group; others are groups that were given a number.
fn select(session: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    let database: i64 = number(args, 1)?;
    if session.parts.side == Side::Cluster && database != 0 {
        return Err(ErrorReply::fixed(
            "ERR SELECT is not allowed in cluster mode",
        ));
    }
    let frontends = &session.parts.frontends;
    let group = if database == 0 {
        Some(frontends.default_group.clone())
    } else {
        let mut groups = frontends.operator.groups().into_iter();
        let numbered = groups.find(|group| group.resp_db.map(i64::from) == Some(database));
        numbered.map(|group| group.name)
    };
    let out_of_range = || ErrorReply::fixed("ERR DB index is out of range");
    session.group = group.ok_or_else(out_of_range)?;
    session.database = u32::try_from(database).map_err(|_| out_of_range())?;
    session.client.said.lock().database = session.database;
    Ok(Reply::OK)
}

fn auth(session: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    match args.len() {
        2 => session.authenticate(None, args.get(1))?,
        3 => session.authenticate(Some(args.get(1)), args.get(2))?,
        _ => return Err(ErrorReply::SYNTAX),
    }
    Ok(Reply::OK)
}

fn hello(session: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    let mut version = session.version;
    if args.len() > 1 {
        let text = "ERR Protocol version is not an integer or out of range";
        let asked: i64 = number(args, 1).map_err(|_| ErrorReply::fixed(text))?;
        version = match asked {
            2 => RespVersion::V2,
            3 => RespVersion::V3,
            _ => return Err(ErrorReply::fixed("NOPROTO unsupported protocol version")),
        };
    }
    let mut name = None;
    let mut index = 2;
    while index < args.len() {
        let left = args.len() - index - 1;
        if args.is(index, "auth") && left >= 2 {
            session.authenticate(Some(args.get(index + 1)), args.get(index + 2))?;
            index += 3;
        } else if args.is(index, "setname") && left >= 1 {
            name = Some(check_name(args.get(index + 1))?);
            index += 2;
        } else {
            let option = super::text(args, index);
            let text = format!("ERR Syntax error in HELLO option '{option}'");
            return Err(ErrorReply::new(text));
        }
    }
    if session.is_stranger() {
        return Err(ErrorReply::fixed(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and \
             select the RESP protocol version at the same time",
        ));
    }
    session.version = version;
    let mut said = session.client.said.lock();
    said.version = version;
    if let Some(name) = name {
        said.name = name;
    }
    drop(said);
    Ok(greeting(session))
}

fn greeting(session: &Session) -> Reply {
    let mode = match session.parts.side {
        Side::Plain => "standalone",
        Side::Cluster => "cluster",
    };
    let id = i64::try_from(session.client.id).unwrap_or(i64::MAX);
    Reply::Map(vec![
        (Reply::fixed("server"), Reply::fixed("redis")),
        (Reply::fixed("version"), Reply::fixed(REDIS_VERSION)),
        (
            Reply::fixed("proto"),
            Reply::Integer(session.version.number()),
        ),
        (Reply::fixed("id"), Reply::Integer(id)),
        (Reply::fixed("mode"), Reply::fixed(mode)),
        (Reply::fixed("role"), Reply::fixed("master")),
        (Reply::fixed("modules"), Reply::Array(Vec::new())),
    ])
}
