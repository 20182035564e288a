//! Hot keys: every member is asked for its own, and the hottest of all are told.

use std::time::Duration;

use cached_client::admin::{HotKeys, HotKeysAsk};
use futures_util::stream::{self, StreamExt};

use super::{End, Hub, heard};
use crate::top::message::{HotKey, Update};

/// Keys that each node is asked for, and that are told.
const TOP: u32 = 100;

/// How far back.
const WINDOW: Duration = Duration::from_secs(60);

/// Members asked at the same time.
const ASKED_AT_ONCE: usize = 16;

/// Asks again and again.
pub(super) async fn poll(hub: &Hub, every: Duration) -> End {
    let mut any = false;
    loop {
        let members = hub.members().await;
        if members.is_empty() {
            hub.pause(every).await;
        } else {
            match ask(hub, members).await {
                Ok(told) => {
                    any = true;
                    if !heard(hub, String::new(), Update::HotKeys(merge(told))).await {
                        return End::Over;
                    }
                }
                Err(reason) => return End::Failed(reason, any),
            }
            hub.pause(every).await;
        }
    }
}

/// What the members say; an error when none says anything.
async fn ask(hub: &Hub, members: Vec<(String, String)>) -> Result<Vec<HotKeys>, String> {
    let admin = hub.everybody().await.map_err(|error| error.to_string())?;
    let asked = HotKeysAsk {
        window: WINDOW,
        top: TOP,
        ..HotKeysAsk::default()
    };
    let calls = members.into_iter().map(|(_, address)| {
        let (admin, asked) = (admin.at(address), &asked);
        async move { admin.hot_keys(asked).await }
    });
    let mut calls = stream::iter(calls).buffer_unordered(ASKED_AT_ONCE);
    let (mut told, mut last) = (Vec::new(), None);
    while let Some(answer) = calls.next().await {
        match answer {
            Ok(answer) => told.push(answer.value),
            Err(error) => last = Some(error.to_string()),
        }
    }
    match last {
        Some(error) if told.is_empty() => Err(error),
        _ => Ok(told),
    }
}

/// The hottest of all; shares are of everything that all nodes do. Pure.
fn merge(told: Vec<HotKeys>) -> Vec<HotKey> {
    let all: f64 = told.iter().map(|node| node.ops_per_second).sum();
    let one = |node: &str, key: cached_client::admin::HotKey| {
        let text = String::from_utf8_lossy(&key.key);
        let exact = !key.cut && text.as_bytes() == key.key.as_ref();
        let shown = |c: char| if c.is_control() { '·' } else { c };
        let plain = !text.chars().any(char::is_control);
        let mut text: String = text.chars().map(shown).collect();
        if key.cut {
            text.push('…');
        }
        HotKey {
            group: key.group,
            key: text,
            exact: exact && plain,
            node: node.to_owned(),
            ops_per_second: key.ops_per_second,
            share: if all > 0.0 {
                key.ops_per_second / all
            } else {
                0.0
            },
            value_bytes: key.value_bytes,
        }
    };
    let mut keys: Vec<HotKey> = told
        .into_iter()
        .flat_map(|node| {
            let keys = node.keys.into_iter();
            keys.map(|key| one(&node.node, key)).collect::<Vec<_>>()
        })
        .collect();
    keys.sort_by(|a, b| {
        let hotter = b.ops_per_second.total_cmp(&a.ops_per_second);
        hotter.then_with(|| (&a.group, &a.key).cmp(&(&b.group, &b.key)))
    });
    keys.truncate(TOP as usize);
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_of_all_nodes_come_first() {
        let node = |node: &str, ops, keys: &[(&[u8], f64, bool)]| HotKeys {
            node: node.to_owned(),
            ops_per_second: ops,
            keys: keys
                .iter()
                .map(|(key, ops, cut)| cached_client::admin::HotKey {
                    key: key.to_vec().into(),
                    cut: *cut,
                    ops_per_second: *ops,
                    ..Default::default()
                })
                .collect(),
            ..HotKeys::default()
        };
        let told = vec![
            node("n1", 60.0, &[(b"a", 30.0, false), (b"long", 1.0, true)]),
            node("n2", 40.0, &[(b"b\n", 20.0, false), (&[0xff], 2.0, false)]),
        ];
        let merged = merge(told);
        let keys: Vec<_> = merged
            .iter()
            .map(|it| (it.key.as_str(), it.share, it.exact))
            .collect();
        assert_eq!(
            keys,
            [
                ("a", 0.3, true),
                ("b·", 0.2, false),
                ("\u{fffd}", 0.02, false),
                ("long…", 0.01, false)
            ]
        );
        assert_eq!(merged[1].node, "n2");
    }
}
