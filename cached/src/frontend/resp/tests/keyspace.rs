//! Commands about all keys: over the cluster for plain clients, over the node for
//! cluster clients.

use super::*;
use crate::operator::{KeysPage, KeysPlace};

#[tokio::test]
async fn a_scan_goes_through_every_node_and_every_own_key() {
    let world = World::new();
    let mut client = world.plain().await;
    let own: Vec<String> = (0..30).map(|n| key(0, n)).collect();
    for key in &own {
        client.ask(&format!("set {key} 1"), "+OK\r\n").await;
    }
    let operator = &world.node.operator;
    let group = &world.frontends.default_group;
    let mut found = Vec::new();
    let (mut place, mut pages) = (Some(KeysPlace::START), 0);
    while let Some(at) = place {
        let KeysPage { keys, next } = operator.keys(group, at, 7).await.unwrap();
        found.extend(keys.iter().map(ToString::to_string));
        (place, pages) = (next, pages + 1);
    }
    assert!(pages > 4 + 2, "{pages}");
    let mut expected = own.clone();
    expected.extend(["n2-5461".to_owned(), "n3-10922".to_owned()]);
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    client
        .ask("scan 0 count 1 match nothing-like-this", "*2\r\n$")
        .await;
    let mut client = world.plain().await;
    let told = client.line("keys n?-*").await;
    assert_eq!(told, "*2");
}

#[tokio::test]
async fn scans_are_refused_where_they_make_no_sense() {
    let world = World::new();
    let mut client = world.plain().await;
    client.ask("scan x", "-ERR invalid cursor\r\n").await;
    client.ask("scan 0 count 0", "-ERR syntax error\r\n").await;
    client
        .ask(
            "scan 0 count x",
            "-ERR value is not an integer or out of range\r\n",
        )
        .await;
    client.ask("scan 0 match", "-ERR syntax error\r\n").await;
    client.ask("scan 0 nope x", "-ERR syntax error\r\n").await;
}

#[tokio::test]
async fn cluster_clients_see_this_nodes_keys_alone() {
    let world = World::new();
    let mut client = world.client(Side::Cluster).await;
    let own = key(0, 0);
    client.ask(&format!("set {own} 1"), "+OK\r\n").await;
    client.ask("dbsize", ":1\r\n").await;
    let length = own.len();
    client
        .ask("keys *", &format!("*1\r\n${length}\r\n{own}\r\n"))
        .await;
    client
        .ask(
            "scan 0 count 100",
            &format!("*2\r\n$1\r\n0\r\n*1\r\n${length}\r\n{own}\r\n"),
        )
        .await;
    client
        .ask("scan 0 type list count 100", "*2\r\n$1\r\n0\r\n*0\r\n")
        .await;
    client
        .ask("randomkey", &format!("${length}\r\n{own}\r\n"))
        .await;
    let slot = slot_of(Default::default(), own.as_bytes());
    client
        .ask(&format!("cluster keyslot {own}"), &format!(":{slot}\r\n"))
        .await;
    client
        .ask(&format!("cluster countkeysinslot {slot}"), ":1\r\n")
        .await;
    client
        .ask(
            &format!("cluster getkeysinslot {slot} 5"),
            &format!("*1\r\n${length}\r\n{own}\r\n"),
        )
        .await;
    client
        .ask(
            "cluster countkeysinslot 16384",
            "-ERR Invalid or out of range slot\r\n",
        )
        .await;
    client.ask("flushdb async", "+OK\r\n").await;
    client.ask("flushdb never", "-ERR syntax error\r\n").await;
    client.ask("randomkey", "$-1\r\n").await;
    client.ask("dbsize", ":0\r\n").await;
}

#[tokio::test]
async fn a_count_that_nobody_can_know_is_none() {
    let world = World::new();
    let mut client = world.plain().await;
    client.ask("dbsize", ":0\r\n").await;
    world.node.peers.silent.lock().insert("n2".to_owned());
    let told = client.line("dbsize").await;
    assert!(told.starts_with("-CLUSTERDOWN "), "{told}");
    assert!(told.contains("keys of n2 are not known"), "{told}");
}
