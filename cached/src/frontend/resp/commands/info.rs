//! `INFO` and `TIME`: this node in the words that Redis's tools look for.

use crate::frontend::resp::args::Args;
use crate::frontend::resp::commands::connection::REDIS_VERSION;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::session::{Session, Side};
use crate::frontend::resp::table::{CommandSpec, Flags, Handler};

const LIGHT: Flags = Flags::STALE.and(Flags::LOADING);

/// The commands of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[
    CommandSpec::keyless(
        "info",
        -1,
        LIGHT,
        "server",
        "1.0.0",
        "Describes this node.",
        Handler::Session(info),
    ),
    CommandSpec::keyless(
        "time",
        1,
        LIGHT.and(Flags::FAST),
        "server",
        "2.6.0",
        "Returns this node's time.",
        Handler::Session(time),
    ),
];

/// Sections in their order, each with what is in it.
type Section = (&'static str, fn(&Session) -> String);

const SECTIONS: [Section; 7] = [
    ("server", server),
    ("clients", clients),
    ("memory", memory),
    ("stats", stats),
    ("replication", |_| {
        "role:master\r\nconnected_slaves:0\r\n".to_owned()
    }),
    ("cluster", cluster),
    ("keyspace", keyspace),
];

fn info(session: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    let everything = ["all", "default", "everything"];
    let all = args.len() == 1
        || (1..args.len()).any(|index| everything.iter().any(|word| args.is(index, word)));
    let wanted = |name: &str| all || (1..args.len()).any(|index| args.is(index, name));
    let sections: Vec<String> = SECTIONS
        .iter()
        .filter(|(name, _)| wanted(name))
        .map(|(name, text)| {
            let (first, rest) = name.split_at(1);
            format!("# {}{rest}\r\n{}", first.to_uppercase(), text(session))
        })
        .collect();
    Ok(Reply::Verbatim(sections.join("\r\n")))
}

fn server(session: &Session) -> String {
    let stats = session.parts.frontends.operator.own_stats();
    let mode = match session.parts.side {
        Side::Plain => "standalone",
        Side::Cluster => "cluster",
    };
    let (name, seconds) = (&stats.name, stats.uptime_ms / 1000);
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "redis_version:{REDIS_VERSION}\r\nredis_mode:{mode}\r\nserver_name:cached\r\n\
         cached_version:{version}\r\nnode_name:{name}\r\nuptime_in_seconds:{seconds}\r\n"
    )
}

fn clients(session: &Session) -> String {
    let connected = session.parts.clients.all().len();
    let most = session.parts.connections_max;
    format!("connected_clients:{connected}\r\nmaxclients:{most}\r\n")
}

fn memory(session: &Session) -> String {
    let stats = session.parts.frontends.operator.own_stats();
    format!(
        "used_memory:{}\r\nused_memory_rss:{}\r\nmaxmemory:{}\r\nmaxmemory_policy:allkeys-lru\r\n",
        stats.memory_used_bytes, stats.resident_bytes, stats.memory_limit_bytes
    )
}

fn stats(session: &Session) -> String {
    let stats = session.parts.frontends.operator.own_stats();
    let sum = |count: fn(&_) -> u64| stats.groups.iter().map(count).sum::<u64>();
    use cached_proto::pb::cached::admin::v1::GroupStats;
    let requests = stats.requests.unwrap_or_default();
    let asked = requests.rest + requests.grpc + requests.resp + requests.peer;
    format!(
        "total_commands_processed:{asked}\r\nkeyspace_hits:{}\r\nkeyspace_misses:{}\r\n\
         evicted_keys:{}\r\nexpired_keys:{}\r\n",
        sum(|group: &GroupStats| group.hits),
        sum(|group: &GroupStats| group.misses),
        sum(|group: &GroupStats| group.evictions),
        sum(|group: &GroupStats| group.expirations),
    )
}

fn cluster(session: &Session) -> String {
    let enabled = u8::from(session.parts.side == Side::Cluster);
    format!("cluster_enabled:{enabled}\r\n")
}

fn keyspace(session: &Session) -> String {
    let frontends = &session.parts.frontends;
    let stats = frontends.operator.own_stats();
    let mut numbered: Vec<(u32, String)> = frontends
        .operator
        .groups()
        .into_iter()
        .filter_map(|group| Some((group.resp_db?, group.name.to_string())))
        .collect();
    numbered.push((0, frontends.default_group.to_string()));
    numbered.sort_unstable();
    let line = |(number, name): &(u32, String)| {
        let group = stats.groups.iter().find(|group| group.group == *name)?;
        let keys = group.keys;
        (keys > 0).then(|| format!("db{number}:keys={keys},expires=0,avg_ttl=0\r\n"))
    };
    numbered.iter().filter_map(line).collect()
}

fn time(session: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    let ms = session.parts.frontends.clock.wall().0;
    Ok(Reply::Array(vec![
        Reply::text((ms / 1000).to_string()),
        Reply::text((ms % 1000 * 1000).to_string()),
    ]))
}
