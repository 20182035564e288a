//! Commands about the connection and the node.

use super::*;

#[tokio::test]
async fn hello_changes_the_protocol() {
    let world = World::new();
    let mut client = world.plain().await;
    let missing = format!("get {}", key(0, 0));
    client.ask(&missing, "$-1\r\n").await;
    client
        .ask(
            "hello 3 setname me",
            "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n\
             $2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n\
             $7\r\nmodules\r\n*0\r\n",
        )
        .await;
    client.ask(&missing, "_\r\n").await;
    client.ask("client getname", "$2\r\nme\r\n").await;
    client
        .ask("hello 4", "-NOPROTO unsupported protocol version\r\n")
        .await;
    client
        .ask(
            "hello x",
            "-ERR Protocol version is not an integer or out of range\r\n",
        )
        .await;
    client
        .ask(
            "hello 2 nope",
            "-ERR Syntax error in HELLO option 'nope'\r\n",
        )
        .await;
    client.ask(&missing, "_\r\n").await;
    client.ask("reset", "+RESET\r\n").await;
    client.ask(&missing, "$-1\r\n").await;
}

#[tokio::test]
async fn connections_are_named_and_listed() {
    let world = World::new();
    let address = world.listen(Side::Plain).await;
    let mut client = Client(TcpStream::connect(address).await.unwrap());
    let mut other = Client(TcpStream::connect(address).await.unwrap());
    client.ask("client getname", "$-1\r\n").await;
    client.ask("client setname tom", "+OK\r\n").await;
    client
        .ask(
            "client setname \"a b\"",
            "-ERR Client names cannot contain spaces, newlines or special characters.\r\n",
        )
        .await;
    client
        .ask("client setinfo lib-name redis-py", "+OK\r\n")
        .await;
    client.ask("client setinfo lib-ver 5.0", "+OK\r\n").await;
    client
        .ask("client setinfo x 5.0", "-ERR Unrecognized option 'x'\r\n")
        .await;
    client.ask("client no-evict on", "+OK\r\n").await;
    client.ask("client id", ":1\r\n").await;
    other.ask("client id", ":2\r\n").await;
    let list = other.text("client list").await;
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].contains(" name=tom "), "{list}");
    assert!(
        lines[0].contains(" lib-name=redis-py lib-ver=5.0"),
        "{list}"
    );
    drop(client);
    while other.text("client list").await.lines().count() > 1 {}
    assert!(
        other
            .text("client info")
            .await
            .starts_with("id=2 addr=127.0.0.1:")
    );
}

#[tokio::test]
async fn databases_are_groups_with_a_number() {
    let world = World::new();
    world.node.publish(|view| {
        let mut numbered = fixture::group("three");
        numbered.resp_db = Some(3);
        view.groups.insert(numbered.name.clone(), numbered);
    });
    let mut client = world.plain().await;
    let own = key(0, 0);
    client
        .send(format!(
            "set {own} zero\r\nselect 3\r\nget {own}\r\nset {own} three\r\nselect 0\r\nget {own}\r\n"
        ))
        .await;
    client
        .expect("+OK\r\n+OK\r\n$-1\r\n+OK\r\n+OK\r\n$4\r\nzero\r\n")
        .await;
    client.ask("select 3", "+OK\r\n").await;
    client.ask(&format!("get {own}"), "$5\r\nthree\r\n").await;
    client
        .ask("select 4", "-ERR DB index is out of range\r\n")
        .await;
    client
        .ask("select -1", "-ERR DB index is out of range\r\n")
        .await;
    client
        .ask(
            "select x",
            "-ERR value is not an integer or out of range\r\n",
        )
        .await;
    let info = client.text("info keyspace").await;
    assert_eq!(
        info,
        "# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\ndb3:keys=1,expires=0,avg_ttl=0\r\n"
    );
    client
        .ask(
            "config get databases",
            "*2\r\n$9\r\ndatabases\r\n$1\r\n4\r\n",
        )
        .await;
}

#[tokio::test]
async fn what_tools_ask_first_is_answered() {
    let world = World::new();
    let mut client = world.plain().await;
    client
        .ask("config get save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n")
        .await;
    client
        .ask("config get nothing-of-that-name", "*0\r\n")
        .await;
    client
        .ask(
            "config set save x",
            "-ERR unknown subcommand 'set'. Try CONFIG HELP.\r\n",
        )
        .await;
    client
        .ask("command getkeys mget a b", "*2\r\n$1\r\na\r\n$1\r\nb\r\n")
        .await;
    client
        .ask(
            "command getkeys ping",
            "-ERR The command has no key arguments\r\n",
        )
        .await;
    client
        .ask(
            "command info get nope",
            "*2\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n\
             *3\r\n+@read\r\n+@fast\r\n+@string\r\n*0\r\n*0\r\n*0\r\n*-1\r\n",
        )
        .await;
    client
        .ask("command docs get", "*2\r\n$3\r\nget\r\n*6\r\n")
        .await;
    let mut client = world.plain().await;
    let info = client.text("info").await;
    for part in [
        "# Server\r\nredis_version:7",
        "cluster_enabled:0",
        "role:master",
    ] {
        assert!(info.contains(part), "{part}: {info}");
    }
    client.ask("time", "*2\r\n$10\r\n").await;
}
