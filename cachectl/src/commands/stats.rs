//! `stats`: counters by node or by group, and what they add up to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cached_client::admin::{GroupStats, Latency, NodeStats, RecentStats};
use serde_json::{Value, json};

use super::watch::watch;
use super::{Session, memory, rates};
use crate::args::{self, StatsBy};
use crate::error::{CliError, Code};
use crate::output::table::{Table, number, text};
use crate::output::{Body, Report};
use crate::units;

/// Between the two looks of `--delta`, when it is shown once.
const RATED_OVER: Duration = Duration::from_secs(1);

/// `stats`.
pub async fn stats(session: &Session, args: &args::Stats) -> Result<Report, CliError> {
    let every = args.watch.every;
    let mut last: Option<(Instant, Vec<NodeStats>)> = None;
    watch(session, every, async || {
        let mut nodes = ask(session, args).await?;
        if args.delta {
            if last.is_none() {
                last = Some((Instant::now(), nodes));
                tokio::time::sleep(every.unwrap_or(RATED_OVER)).await;
                nodes = ask(session, args).await?;
            }
            let now = Instant::now();
            if let Some((then, before)) = last.replace((now, nodes.clone())) {
                nodes = rates::rates(&before, &nodes, now - then);
            }
        }
        Ok(report(args, &nodes))
    })
    .await
}

/// What the nodes say, or the one that is named.
async fn ask(session: &Session, args: &args::Stats) -> Result<Vec<NodeStats>, CliError> {
    let answered = session.admin().await?.stats(false).await?;
    let mut nodes = answered.value;
    if let Some(name) = &args.node {
        nodes.retain(|node| node.name == *name);
        if nodes.is_empty() {
            return Err(CliError::new(
                Code::NotFound,
                format!("no node is named {name}"),
            ));
        }
    }
    for node in nodes.iter().filter(|node| node.error.is_some()) {
        let error = node.error.as_deref().unwrap_or_default();
        session
            .output
            .note(&format!("{} did not answer: {error}", node.name));
    }
    Ok(nodes)
}

fn report(args: &args::Stats, nodes: &[NodeStats]) -> Report {
    let groups = by_group(nodes);
    let mut body = match args.by {
        StatsBy::Node if args.memory => memory::table(nodes),
        StatsBy::Node => node_table(nodes),
        StatsBy::Group => group_table(&groups),
    };
    if args.delta {
        body.footer = Some("counters are per second".to_owned());
    }
    let json = json!({
        "kind": "stats",
        "per_second": args.delta,
        "nodes": nodes.iter().map(node_json).collect::<Vec<_>>(),
        "groups": groups.iter().map(group_json).collect::<Vec<_>>(),
        "items": match args.by {
            StatsBy::Node => nodes.iter().map(node_json).collect::<Vec<_>>(),
            StatsBy::Group => groups.iter().map(group_json).collect::<Vec<_>>(),
        },
    });
    Report {
        body: Body::Table(body),
        json,
    }
}

/// Sums over the nodes.
fn by_group(nodes: &[NodeStats]) -> Vec<GroupStats> {
    let mut groups: BTreeMap<&str, GroupStats> = BTreeMap::new();
    for group in nodes.iter().flat_map(|node| &node.groups) {
        let sum = groups.entry(&group.group).or_default();
        add(sum, group);
    }
    groups
        .into_iter()
        .map(|(name, sum)| GroupStats {
            group: name.to_owned(),
            ..sum
        })
        .collect()
}

fn add(sum: &mut GroupStats, group: &GroupStats) {
    sum.keys += group.keys;
    sum.bytes += group.bytes;
    sum.limit_bytes += group.limit_bytes;
    sum.hits += group.hits;
    sum.misses += group.misses;
    sum.sets += group.sets;
    sum.deletes += group.deletes;
    sum.evictions += group.evictions;
    sum.expirations += group.expirations;
    sum.negative_hits += group.negative_hits;
}

fn node_table(nodes: &[NodeStats]) -> Table {
    let mut table = Table::new([
        text("NODE"),
        number("KEYS"),
        number("BYTES"),
        number("MEM").rank(1),
        number("HIT%"),
        number("P50MS").rank(6),
        number("P99MS").rank(1),
        number("HITS").rank(2),
        number("MISSES").rank(2),
        number("SETS").rank(3),
        number("DELETES").rank(5),
        number("EVICTED").rank(3),
        number("EXPIRED").rank(6),
        number("LOADS").rank(4),
        number("FORWARDED").rank(7),
        number("FAILED").rank(4),
        number("RSS").wide(),
        number("CONNECTIONS").wide(),
        number("CPU").wide(),
    ]);
    let mut all = GroupStats::default();
    let mut whole = NodeStats {
        name: "total".to_owned(),
        ..NodeStats::default()
    };
    for node in nodes {
        let mut sum = GroupStats::default();
        node.groups.iter().for_each(|group| add(&mut sum, group));
        add(&mut all, &sum);
        whole.memory_used_bytes += node.memory_used_bytes;
        whole.memory_limit_bytes += node.memory_limit_bytes;
        whole.resident_bytes += node.resident_bytes;
        whole.getter.loads += node.getter.loads;
        whole.requests.forwarded += node.requests.forwarded;
        whole.requests.failures += node.requests.failures;
        whole.requests.connections += node.requests.connections;
        whole.cpu += node.cpu;
        whole.latency.add(&node.latency);
        table.row(node_cells(node, &sum));
    }
    if nodes.len() > 1 {
        table.totals.push(node_cells(&whole, &all));
    }
    table
}

fn node_cells(node: &NodeStats, sum: &GroupStats) -> Vec<String> {
    let mut cells = vec![node.name.clone()];
    let numbers = [
        units::count(sum.keys),
        units::bytes(node.memory_used_bytes),
        units::percent(node.memory_used_bytes, node.memory_limit_bytes),
        hit_ratio(sum),
        quantile(&node.latency, 0.5),
        quantile(&node.latency, 0.99),
        units::count(sum.hits),
        units::count(sum.misses),
        units::count(sum.sets),
        units::count(sum.deletes),
        units::count(sum.evictions),
        units::count(sum.expirations),
        units::count(node.getter.loads),
        units::count(node.requests.forwarded),
        units::count(node.requests.failures),
        units::bytes(node.resident_bytes),
        units::count(node.requests.connections),
        format!("{:.1}s", node.cpu.as_secs_f64()),
    ];
    let known = node.error.is_none();
    cells.extend(
        numbers
            .into_iter()
            .map(|number| if known { number } else { "?".to_owned() }),
    );
    cells
}

/// In milliseconds; `-`: nothing was asked.
pub(super) fn quantile(latency: &Latency, part: f64) -> String {
    let found = latency.quantile(part);
    found.map_or("-".to_owned(), units::millis)
}

fn hit_ratio(sum: &GroupStats) -> String {
    units::percent(sum.hits, sum.hits + sum.misses)
        .trim_end_matches('%')
        .to_owned()
}

fn group_table(groups: &[GroupStats]) -> Table {
    let mut table = Table::new([
        text("GROUP"),
        number("KEYS"),
        number("BYTES"),
        number("LIMIT").rank(1),
        number("HIT%"),
        number("HITS").rank(2),
        number("MISSES").rank(2),
        number("SETS").rank(3),
        number("DELETES").rank(4),
        number("EVICTED").rank(3),
        number("EXPIRED").rank(4),
    ]);
    for group in groups {
        table.row([
            group.group.clone(),
            units::count(group.keys),
            units::bytes(group.bytes),
            if group.limit_bytes == 0 {
                "-".to_owned()
            } else {
                units::bytes(group.limit_bytes)
            },
            hit_ratio(group),
            units::count(group.hits),
            units::count(group.misses),
            units::count(group.sets),
            units::count(group.deletes),
            units::count(group.evictions),
            units::count(group.expirations),
        ]);
    }
    table
}

/// A node's counters for machines.
pub fn node_json(node: &NodeStats) -> Value {
    let (requests, getter) = (&node.requests, &node.getter);
    json!({
        "name": node.name,
        "incarnation": node.incarnation,
        "address": node.address,
        "error": node.error,
        "uptime_ms": node.uptime.as_millis() as u64,
        "memory_limit_bytes": node.memory_limit_bytes,
        "memory_used_bytes": node.memory_used_bytes,
        "resident_bytes": node.resident_bytes,
        "memory": memory::json(&node.memory),
        "cpu_micros": node.cpu.as_micros() as u64,
        "latency": latency_json(&node.latency),
        "recent": node.recent.as_ref().map(recent_json),
        "slots": node.slots,
        "slots_lost": node.slots_lost,
        "fill_tokens": node.fill_tokens,
        "groups": node.groups.iter().map(group_json).collect::<Vec<_>>(),
        "requests": {
            "rest": requests.rest,
            "grpc": requests.grpc,
            "resp": requests.resp,
            "peer": requests.peer,
            "forwarded": requests.forwarded,
            "retries": requests.retries,
            "failures": requests.failures,
            "connections": requests.connections,
        },
        "getter": {
            "enabled": getter.enabled,
            "loads": getter.loads,
            "load_failures": getter.load_failures,
            "not_there": getter.not_there,
            "joined": getter.joined,
            "fills_rejected": getter.fills_rejected,
            "uncached": getter.uncached,
        },
    })
}

fn latency_json(latency: &Latency) -> Value {
    let micros = |part| latency.quantile(part).map(|it| it.as_micros() as u64);
    json!({
        "count": latency.count(),
        "p50_micros": micros(0.5),
        "p99_micros": micros(0.99),
        "p999_micros": micros(0.999),
    })
}

fn recent_json(recent: &RecentStats) -> Value {
    json!({
        "window_ms": recent.window.as_millis() as u64,
        "operations": recent.operations,
        "hits": recent.hits,
        "misses": recent.misses,
        "evictions": recent.evictions,
        "latency": latency_json(&recent.latency),
    })
}

fn group_json(group: &GroupStats) -> Value {
    json!({
        "name": group.group,
        "keys": group.keys,
        "bytes": group.bytes,
        "limit_bytes": group.limit_bytes,
        "hits": group.hits,
        "misses": group.misses,
        "sets": group.sets,
        "deletes": group.deletes,
        "evictions": group.evictions,
        "expirations": group.expirations,
        "negative_hits": group.negative_hits,
    })
}
