//! Replies come in the order of their commands, wherever those are carried out.

use cached_proto::failure::{Failure, FailureCode};
use cached_proto::operation::Operation;

use super::*;
use crate::requests::{Ending, Kind, Protocol};

#[tokio::test]
async fn own_keys_are_answered_at_once_and_in_order() {
    let world = World::new();
    let mut client = world.plain().await;
    let (a, b) = (key(0, 0), key(0, 1));
    let commands = format!("set {a} 1\r\nget {a}\r\nping\r\nget {b}\r\nmget {a} {b}\r\nnope\r\n");
    let replies = "+OK\r\n$1\r\n1\r\n+PONG\r\n$-1\r\n*2\r\n$1\r\n1\r\n$-1\r\n\
                   -ERR unknown command 'nope', with args beginning with: \r\n";
    for _ in 0..2 {
        client.send(&commands).await;
        client.expect(replies).await;
    }
    for byte in commands.bytes() {
        client.send([byte]).await;
    }
    client.expect(replies).await;
    let count = |kind, ending| world.frontends.requests.count(Protocol::Resp, kind, ending);
    assert_eq!(count(Kind::Set, Ending::Done), 3);
    assert_eq!(count(Kind::Get, Ending::Done), 6);
    assert_eq!(count(Kind::Get, Ending::Not), 6);
    assert_eq!(world.node.counters.resp.get(), 15);
}

#[tokio::test]
async fn what_waits_for_others_travels_together_and_holds_nobody_up_but_replies() {
    let world = World::gated(found("far"));
    let mut client = world.plain().await;
    let (near, far, further) = (key(0, 0), key(1, 0), key(1, 1));
    let commands = format!("set {near} 1\r\nget {far}\r\nget {near}\r\nget {further}\r\nping\r\n");
    client.send(&commands).await;
    client.expect("+OK\r\n").await;
    let gate = world.node.peers.gate.as_ref().unwrap();
    gate.add_permits(1);
    client
        .expect("$3\r\nfar\r\n$1\r\n1\r\n$3\r\nfar\r\n+PONG\r\n")
        .await;
    let forwarded = world.node.peers.forwarded.lock();
    let lengths: Vec<_> = forwarded.iter().map(|work| work.operations.len()).collect();
    assert_eq!(lengths, [2], "one message for both");
}

#[tokio::test]
async fn operations_on_one_key_keep_their_order() {
    let world = World::gated(stored());
    let mut client = world.plain().await;
    let (near, far) = (key(0, 0), key(1, 0));
    let gate = world.node.peers.gate.as_ref().unwrap();
    let messages = || world.node.peers.forwarded.lock().len();
    client.send(format!("set {far} 1\r\n")).await;
    while messages() < 1 {
        tokio::task::yield_now().await;
    }
    client
        .send(format!("set {near} 1\r\nset {far} 2\r\nget {near}\r\n"))
        .await;
    // The second write of the key waits for the first, and what follows waits with it.
    gate.add_permits(1);
    client.expect("+OK\r\n+OK\r\n").await;
    while messages() < 2 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    client.expect("+OK\r\n$1\r\n1\r\n").await;
    let forwarded = world.node.peers.forwarded.lock();
    let value = |index: usize| match &forwarded[index].operations[0].0 {
        Operation::Set { value, .. } => value.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((value(0), value(1)), ("1".into(), "2".into()));
}

#[tokio::test]
async fn what_is_about_everything_waits_for_what_came_before() {
    let world = World::gated(found("x"));
    let mut client = world.plain().await;
    client
        .send(format!("get {}\r\nscan 0\r\n", key(1, 0)))
        .await;
    world.node.peers.gate.as_ref().unwrap().add_permits(1);
    client.expect("$1\r\nx\r\n*2\r\n").await;
}

#[tokio::test]
async fn failures_say_what_is_known() {
    let lost = Failure::new(FailureCode::Unavailable, "connection reset").maybe_applied();
    let busy = Failure::new(FailureCode::Busy, "too many wait");
    let full = Failure::new(FailureCode::OutOfMemory, "no room");
    let cases = [
        (
            lost,
            "-UNKNOWN connection reset (it may have been applied)\r\n",
        ),
        (busy, "-BUSY too many wait\r\n"),
        (
            full,
            "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        ),
    ];
    for (failure, expected) in cases {
        let world = World::gated(Err(failure));
        world.node.peers.gate.as_ref().unwrap().add_permits(100);
        let mut client = world.plain().await;
        client.send(format!("set {} v\r\n", key(1, 0))).await;
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n") {
            got.push(client.0.read_u8().await.unwrap());
        }
        assert_eq!(String::from_utf8(got).unwrap(), expected);
    }
}

#[tokio::test]
async fn a_fenced_node_says_that_it_does_not_serve() {
    let world = World::new();
    let mut client = world.plain().await;
    world.node.sign_off();
    let told = client.line(&format!("get {}", key(0, 0))).await;
    assert!(
        told.starts_with("-CLUSTERDOWN Hash slot not served: "),
        "{told}"
    );
}

#[tokio::test]
async fn replies_are_left_out_where_they_are_not_wanted() {
    let world = World::gated(found("far"));
    world.node.peers.gate.as_ref().unwrap().add_permits(100);
    let mut client = world.plain().await;
    let (near, far) = (key(0, 0), key(1, 0));
    client
        .send(format!(
            "client reply skip\r\nget {far}\r\nclient reply off\r\nset {near} 1\r\nget {far}\r\n\
             ping\r\nclient reply on\r\nget {near}\r\n"
        ))
        .await;
    client.expect("+OK\r\n$1\r\n1\r\n").await;
}
