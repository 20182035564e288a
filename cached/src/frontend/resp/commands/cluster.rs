//! `CLUSTER`: what clients that route by themselves ask.

use cached_proto::ring::slot_of;
use cached_proto::types::{SLOTS, Slot};

use super::cluster_map::{Node, lines, nodes};
use super::number;
use crate::frontend::resp::args::Args;
use crate::frontend::resp::errors::ErrorReply;
use crate::frontend::resp::reply::Reply;
use crate::frontend::resp::session::Session;
use crate::frontend::resp::table::{CommandSpec, Flags, Handler, InSession};

const LIGHT: Flags = Flags::STALE.and(Flags::LOADING);

/// The command of this file.
pub(super) const COMMANDS: &[CommandSpec] = &[CommandSpec::keyless(
    "cluster",
    -2,
    Flags::NONE,
    "cluster",
    "3.0.0",
    "About the cluster.",
    Handler::Container(SUBCOMMANDS),
)];

const SUBCOMMANDS: &[CommandSpec] = &[
    sub(
        "countkeysinslot",
        3,
        "3.0.0",
        "Counts the keys in a slot of this node.",
        count_keys,
    ),
    sub(
        "getkeysinslot",
        4,
        "3.0.0",
        "Lists keys in a slot of this node.",
        get_keys,
    ),
    sub("info", 2, "3.0.0", "Says how the cluster is.", info),
    sub("keyslot", 3, "3.0.0", "Returns a key's slot.", keyslot),
    sub(
        "links",
        2,
        "7.0.0",
        "Lists nothing: nodes speak another protocol.",
        links,
    ),
    sub("myid", 2, "3.0.0", "Returns this node's id.", myid),
    sub("nodes", 2, "3.0.0", "Lists the nodes as text.", list_nodes),
    sub("shards", 2, "7.0.0", "Lists slots and their nodes.", shards),
    sub(
        "slots",
        2,
        "3.0.0",
        "Lists slots and their nodes, as older clients ask.",
        slots,
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
    CommandSpec::keyless(name, arity, LIGHT, "cluster", since, summary, handler)
}

/// Keys that `GETKEYSINSLOT` lists at most.
const LISTED_MAX: usize = 10_000;

fn map(session: &Session) -> Vec<Node> {
    let operator = &session.parts.frontends.operator;
    let (name, incarnation) = operator.own_id();
    nodes(&operator.topology(), (&name, &incarnation))
}

/// `host`, `port` and `id` of a node that clients can be sent to.
fn reachable(node: &Node) -> Option<(&str, u16, &str)> {
    let (host, port) = node.address.as_ref()?;
    node.alive.then_some((host, *port, &node.id))
}

fn slots(session: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    let nodes = map(session);
    let mut ranges: Vec<(u16, Reply)> = Vec::new();
    for node in &nodes {
        let Some((host, port, id)) = reachable(node) else {
            continue;
        };
        for (first, last) in &node.slots {
            let place = Reply::Array(vec![
                Reply::text(host),
                Reply::Integer(port.into()),
                Reply::text(id),
                Reply::Array(Vec::new()),
            ]);
            let (from, to) = (
                Reply::Integer((*first).into()),
                Reply::Integer((*last).into()),
            );
            ranges.push((*first, Reply::Array(vec![from, to, place])));
        }
    }
    ranges.sort_by_key(|(first, _)| *first);
    Ok(Reply::Array(
        ranges.into_iter().map(|(_, range)| range).collect(),
    ))
}

fn shards(session: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    let port_name = if session.parts.encrypted {
        "tls-port"
    } else {
        "port"
    };
    let shard = |node: &Node| {
        let (host, port) = node.address.clone()?;
        let bounds = node.slots.iter().flat_map(|(first, last)| [first, last]);
        let bounds = bounds.map(|slot| Reply::Integer((*slot).into())).collect();
        let health = if node.alive { "online" } else { "fail" };
        let told = Reply::Map(vec![
            (Reply::fixed("id"), Reply::text(node.id.as_str())),
            (Reply::fixed(port_name), Reply::Integer(port.into())),
            (Reply::fixed("ip"), Reply::text(host.as_str())),
            (Reply::fixed("endpoint"), Reply::text(host)),
            (Reply::fixed("role"), Reply::fixed("master")),
            (Reply::fixed("replication-offset"), Reply::Integer(0)),
            (Reply::fixed("health"), Reply::fixed(health)),
        ]);
        Some(Reply::Map(vec![
            (Reply::fixed("slots"), Reply::Array(bounds)),
            (Reply::fixed("nodes"), Reply::Array(vec![told])),
        ]))
    };
    Ok(Reply::Array(
        map(session).iter().filter_map(shard).collect(),
    ))
}

fn list_nodes(session: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    Ok(Reply::Verbatim(lines(&map(session))))
}

fn info(session: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    let nodes = map(session);
    let count = |node: &Node| -> u64 {
        let lengths = node.slots.iter();
        lengths
            .map(|(first, last)| u64::from(last - first) + 1)
            .sum()
    };
    let assigned: u64 = nodes.iter().map(count).sum();
    let alive: u64 = nodes.iter().filter(|node| node.alive).map(count).sum();
    let state = if alive == u64::from(SLOTS) {
        "ok"
    } else {
        "fail"
    };
    let size = nodes.iter().filter(|node| !node.slots.is_empty()).count();
    let epoch = nodes.iter().map(|node| node.epoch).max().unwrap_or(0);
    let own = nodes.iter().find(|node| node.me).map_or(0, |me| me.epoch);
    Ok(Reply::Verbatim(format!(
        "cluster_enabled:1\r\ncluster_state:{state}\r\ncluster_slots_assigned:{assigned}\r\n\
         cluster_slots_ok:{alive}\r\ncluster_slots_pfail:0\r\ncluster_slots_fail:{}\r\n\
         cluster_known_nodes:{}\r\ncluster_size:{size}\r\ncluster_current_epoch:{epoch}\r\n\
         cluster_my_epoch:{own}\r\n",
        assigned - alive,
        nodes.len(),
    )))
}

fn myid(session: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    let (_, incarnation) = session.parts.frontends.operator.own_id();
    Ok(Reply::text(format!("{incarnation:0>40}")))
}

fn links(_: &mut Session, _: &Args<'_>) -> Result<Reply, ErrorReply> {
    Ok(Reply::Array(Vec::new()))
}

fn keyslot(session: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    let hash = session.parts.frontends.router.hash();
    Ok(Reply::Integer(slot_of(hash, args.get(2)).number().into()))
}

fn slot(args: &Args<'_>) -> Result<Slot, ErrorReply> {
    let invalid = || ErrorReply::fixed("ERR Invalid or out of range slot");
    let number: u16 = number(args, 2).map_err(|_| invalid())?;
    Slot::new(number).map_err(|_| invalid())
}

fn count_keys(session: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    let operator = &session.parts.frontends.operator;
    let keys = operator.own_keys_in(&session.group, slot(args)?, usize::MAX);
    Ok(Reply::Integer(keys.len() as i64))
}

fn get_keys(session: &mut Session, args: &Args<'_>) -> Result<Reply, ErrorReply> {
    let count: i64 = number(args, 3)?;
    let negative = |_| ErrorReply::fixed("ERR Invalid number of keys");
    let count = usize::try_from(count).map_err(negative)?.min(LISTED_MAX);
    let operator = &session.parts.frontends.operator;
    let keys = operator.own_keys_in(&session.group, slot(args)?, count);
    let keys = keys.into_iter().map(|key| Reply::Bulk(key.into_bytes()));
    Ok(Reply::Array(keys.collect()))
}
