//! Clients that route by themselves are told where to go.

use super::*;

/// Members with listeners for cluster clients, n3 without.
fn with_listeners() -> World {
    let world = World::new();
    world.node.publish(|view| {
        for (index, member) in view.members.iter_mut().take(2).enumerate() {
            let record = member.record.as_mut().unwrap();
            record.resp_cluster_address = Some(format!("10.0.0.{}:7101", index + 1));
        }
    });
    world
}

#[tokio::test]
async fn keys_of_others_are_moved_and_keys_of_several_slots_refused() {
    let world = with_listeners();
    let mut client = world.client(Side::Cluster).await;
    let (own, other, far) = (key(0, 0), key(1, 0), key(2, 0));
    client.ask(&format!("set {own} 1"), "+OK\r\n").await;
    let slot = slot_of(Default::default(), other.as_bytes());
    let moved = format!("-MOVED {slot} 10.0.0.2:7101\r\n");
    client.ask(&format!("get {other}"), &moved).await;
    client.ask(&format!("set {other} 1"), &moved).await;
    client
        .ask(
            &format!("mget {own} {other}"),
            "-CROSSSLOT Keys in request don't hash to the same slot\r\n",
        )
        .await;
    client
        .ask(
            &format!("mget {own} {{{own}}}x"),
            "*2\r\n$1\r\n1\r\n$-1\r\n",
        )
        .await;
    let told = client.line(&format!("get {far}")).await;
    assert!(
        told.starts_with("-CLUSTERDOWN ") && told.contains("--resp-cluster"),
        "{told}"
    );
    client.ask("select 0", "+OK\r\n").await;
    client
        .ask("select 1", "-ERR SELECT is not allowed in cluster mode\r\n")
        .await;
    client.ask("readonly", "+OK\r\n").await;
    assert_eq!(world.node.peers.forwarded.lock().len(), 0);
}

#[tokio::test]
async fn the_map_names_listeners_for_cluster_clients_on_either_side() {
    let world = with_listeners();
    for side in [Side::Plain, Side::Cluster] {
        let mut client = world.client(side).await;
        let id = |n: usize| format!("{n:0>40}");
        client
            .ask("cluster myid", &format!("$40\r\n{}\r\n", id(1)))
            .await;
        let range = |first: u16, last: u16, n: usize| {
            format!(
                "*3\r\n:{first}\r\n:{last}\r\n*4\r\n$8\r\n10.0.0.{n}\r\n:7101\r\n$40\r\n{}\r\n*0\r\n",
                id(n)
            )
        };
        let slots = format!("*2\r\n{}{}", range(0, 5460, 1), range(5461, 10921, 2));
        client.ask("cluster slots", &slots).await;
        let nodes = client.text("cluster nodes").await;
        let first = nodes.lines().next().unwrap();
        assert_eq!(
            first,
            format!(
                "{} 10.0.0.1:7101@7101 myself,master - 0 0 1 connected 0-5460",
                id(1)
            )
        );
        client
            .ask(
                "cluster shards",
                "*2\r\n*4\r\n$5\r\nslots\r\n*2\r\n:0\r\n:5460\r\n",
            )
            .await;
        let mut client = world.client(side).await;
        let info = client.text("cluster info").await;
        assert!(info.contains("cluster_state:ok\r\n"), "{info}");
        assert!(info.contains("cluster_slots_assigned:16384\r\n"), "{info}");
        client.ask("cluster links", "*0\r\n").await;
    }
}
