//! `hotkeys`: which keys are asked for most, over all nodes.

use cached_client::Admin;
use cached_client::admin::{HotKey, HotKeys, HotKeysAsk};
use cached_client::topology::Topology;
use cached_client::types::Key;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::Session;
use super::watch::watch;
use crate::args::look::{self, HotBy};
use crate::error::CliError;
use crate::output::table::{Table, number, text};
use crate::output::{Body, Report};
use crate::units;

/// A key that has this part of everything weighs on its node alone: no other can help.
const HEAVY: f64 = 0.05;

/// `hotkeys`.
pub async fn hotkeys(session: &Session, args: &look::HotKeys) -> Result<Report, CliError> {
    let ask = HotKeysAsk {
        window: args.window,
        top: args.top,
        by_bytes: args.by == HotBy::Bytes,
        group: args.group.clone(),
    };
    watch(session, args.watch.every, async || {
        let admin = session.admin().await?;
        let topology = admin.topology().await?;
        session.source(&topology.endpoint, topology.value.layout);
        let told = ask_all(session, &admin, &topology.value, args.node.as_deref(), &ask).await?;
        Ok(report(&merge(told, args), args))
    })
    .await
}

/// What the members say, or the one that is named.
async fn ask_all(
    session: &Session,
    admin: &Admin,
    topology: &Topology,
    node: Option<&str>,
    ask: &HotKeysAsk,
) -> Result<Vec<HotKeys>, CliError> {
    let members = super::living(topology, node)?;
    let asked = members
        .iter()
        .map(|(name, address)| async move { (name, admin.at(address).hot_keys(ask).await) });
    let (mut told, mut last) = (Vec::new(), None);
    for (name, answer) in join_all(asked).await {
        match answer {
            Ok(answer) => told.push(answer.value),
            Err(error) => {
                let error = CliError::from(error);
                session
                    .output
                    .note(&format!("{name} did not answer: {error}"));
                last = Some(error);
            }
        }
    }
    match last {
        Some(error) if told.is_empty() => Err(error),
        _ => Ok(told),
    }
}

/// The hottest keys over nodes.
#[derive(Debug, Default)]
struct Merged {
    /// Each with its node.
    keys: Vec<(String, HotKey)>,
    ops: f64,
    bytes: f64,
    window_ms: u64,
}

fn merge(told: Vec<HotKeys>, args: &look::HotKeys) -> Merged {
    let mut merged = Merged::default();
    for node in told {
        merged.ops += node.ops_per_second;
        merged.bytes += node.bytes_per_second;
        let window_ms = u64::try_from(node.window.as_millis()).unwrap_or(u64::MAX);
        merged.window_ms = merged.window_ms.max(window_ms);
        let keys = node.keys.into_iter().map(|key| (node.node.clone(), key));
        merged.keys.extend(keys);
    }
    let heat = |key: &HotKey| match args.by {
        HotBy::Ops => key.ops_per_second,
        HotBy::Bytes => key.bytes_per_second,
    };
    let all = match args.by {
        HotBy::Ops => merged.ops,
        HotBy::Bytes => merged.bytes,
    };
    for (_, key) in &mut merged.keys {
        key.share = if all > 0.0 { heat(key) / all } else { 0.0 };
    }
    let order = |(_, key): &(String, HotKey)| (key.group.clone(), key.key.clone());
    merged.keys.sort_by(|a, b| {
        let hotter = heat(&b.1).total_cmp(&heat(&a.1));
        hotter.then_with(|| order(a).cmp(&order(b)))
    });
    merged.keys.truncate(args.top as usize);
    merged
}

fn report(merged: &Merged, args: &look::HotKeys) -> Report {
    let mut table = Table::new([
        text("KEY"),
        text("GROUP").rank(2),
        number("OPS/S"),
        number("BYTES/S").rank(3),
        number("SHARE"),
        text("OWNER").rank(1),
        number("SIZE").rank(4),
        text("NOTE").rank(5),
    ]);
    for (node, key) in &merged.keys {
        table.row([
            shown(key),
            key.group.clone(),
            units::count(key.ops_per_second.round() as u64),
            units::bytes(key.bytes_per_second.round() as u64),
            format!("{:.1}%", key.share * 100.0),
            node.clone(),
            units::bytes(key.value_bytes),
            if key.share >= HEAVY { "hot" } else { "" }.to_owned(),
        ]);
    }
    table.footer = Some(format!(
        "{} ops/s · {}/s, over {}",
        units::count(merged.ops.round() as u64),
        units::bytes(merged.bytes.round() as u64),
        units::age(std::time::Duration::from_millis(merged.window_ms)),
    ));
    let json = json!({
        "kind": "hotkeys",
        "by": match args.by { HotBy::Ops => "ops", HotBy::Bytes => "bytes" },
        "window_ms": merged.window_ms,
        "ops_per_second": merged.ops,
        "bytes_per_second": merged.bytes,
        "items": merged.keys.iter().map(key_json).collect::<Vec<_>>(),
    });
    Report {
        body: Body::Table(table),
        json,
    }
}

/// The key as it is written elsewhere; what is missing of a long one is marked.
fn shown(key: &HotKey) -> String {
    let text = Key::new(key.key.clone()).map_or(String::new(), |key| key.to_string());
    if key.cut { format!("{text}…") } else { text }
}

fn key_json((node, key): &(String, HotKey)) -> Value {
    json!({
        "name": Key::new(key.key.clone()).map_or(String::new(), |key| key.to_string()),
        "group": key.group,
        "cut": key.cut,
        "node": node,
        "ops_per_second": key.ops_per_second,
        "bytes_per_second": key.bytes_per_second,
        "share": key.share,
        "value_bytes": key.value_bytes,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn args(line: &str) -> look::HotKeys {
        match Cli::parse_from(line.split(' ')).command {
            Command::Hotkeys(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn node(name: &str, keys: &[(&'static str, f64, f64)]) -> HotKeys {
        let keys = keys.iter().map(|(key, ops, bytes)| HotKey {
            key: key.as_bytes().into(),
            group: "g".to_owned(),
            ops_per_second: *ops,
            bytes_per_second: *bytes,
            ..HotKey::default()
        });
        HotKeys {
            node: name.to_owned(),
            ops_per_second: 100.0,
            bytes_per_second: 1000.0,
            keys: keys.collect(),
            ..HotKeys::default()
        }
    }

    #[test]
    fn shares_are_of_the_whole_cluster() {
        let told = vec![
            node("n1", &[("a", 20.0, 1.0), ("b", 10.0, 900.0)]),
            node("n2", &[("c", 40.0, 5.0)]),
        ];
        let by_ops = args("cachectl hotkeys --top 2");
        let merged = merge(told.clone(), &by_ops);
        let names: Vec<_> = merged
            .keys
            .iter()
            .map(|(n, k)| (n.as_str(), shown(k)))
            .collect();
        assert_eq!(names, [("n2", "c".to_owned()), ("n1", "a".to_owned())]);
        assert!((merged.keys[0].1.share - 0.2).abs() < 1e-9);
        let merged = merge(told, &args("cachectl hotkeys --by bytes"));
        assert_eq!(shown(&merged.keys[0].1), "b");
        assert!((merged.keys[0].1.share - 0.45).abs() < 1e-9);
    }
}
