//! `CONFIG GET`: the few settings that clients and tools ask for, in Redis's names.

use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::glob;
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::session::Session;
use crate::frontend::resp::table::{CommandSpec, Flags, Handler};

/// The command of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[CommandSpec::keyless(
    "config",
    -2,
    Flags::NONE,
    "server",
    "2.0.0",
    "About this node's settings.",
    Handler::Container(&[CommandSpec::keyless(
        "get",
        -3,
        Flags::STALE.and(Flags::LOADING),
        "server",
        "2.0.0",
        "Returns settings whose names match.",
        Handler::Session(get),
    )]),
)];

fn get(session: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    let patterns: Vec<Vec<u8>> = args.from(2).map(<[u8]>::to_ascii_lowercase).collect();
    let asked = |name: &str| {
        let mut patterns = patterns.iter();
        patterns.any(|pattern| glob::matches(pattern, name.as_bytes()))
    };
    let found = settings(session)
        .into_iter()
        .filter(|(name, _)| asked(name));
    let pairs = found.map(|(name, value)| (Reply::fixed(name), Reply::text(value)));
    Ok(Reply::Map(pairs.collect()))
}

fn settings(session: &Session) -> Vec<(&'static str, String)> {
    let parts = &session.parts;
    let frontends = &parts.frontends;
    let groups = frontends.operator.groups();
    let highest = groups.iter().filter_map(|group| group.resp_db).max();
    vec![
        ("appendonly", "no".to_owned()),
        ("databases", (highest.unwrap_or(0) + 1).to_string()),
        ("maxclients", parts.connections_max.to_string()),
        ("maxmemory", frontends.operator.memory_bytes().to_string()),
        ("maxmemory-policy", "allkeys-lru".to_owned()),
        (
            "proto-max-bulk-len",
            frontends.limits.value_bytes_max.to_string(),
        ),
        ("save", String::new()),
        ("timeout", super::super::IDLE_TIMEOUT.as_secs().to_string()),
    ]
}
