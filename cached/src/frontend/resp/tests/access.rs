//! Who may do what: tokens and their roles in Redis's words.

use super::*;

#[tokio::test]
async fn strangers_may_only_say_who_they_are() {
    let world = World::with_tokens();
    let mut client = world.plain().await;
    let noauth = "-NOAUTH Authentication required.\r\n";
    client.ask("ping", noauth).await;
    client.ask("get x", noauth).await;
    client
        .ask(
            "auth nobody-knows-this-one",
            "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        )
        .await;
    let told = client.line("hello 3").await;
    assert!(told.starts_with("-NOAUTH HELLO must be called"), "{told}");
    client.ask("auth writer-writer-writer", "+OK\r\n").await;
    client.ask("ping", "+PONG\r\n").await;
    client.ask("reset", "+RESET\r\n").await;
    client.ask("ping", noauth).await;
    client
        .ask("auth default reader-reader-reader", "+OK\r\n")
        .await;
    client
        .ask("auth read reader-reader-reader", "+OK\r\n")
        .await;
    client
        .ask(
            "auth admin reader-reader-reader",
            "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        )
        .await;
    client.ask("quit", "+OK\r\n").await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn strangers_cannot_make_a_node_keep_much() {
    let world = World::with_tokens();
    let mut client = world.plain().await;
    client
        .send("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$20000\r\n")
        .await;
    let told = client.rest().await;
    assert_eq!(told, "-ERR Protocol error: unauthenticated bulk length\r\n");
}

#[tokio::test]
async fn roles_allow_what_they_say() {
    let world = World::with_tokens();
    let own = key(0, 0);
    let mut client = world.plain().await;
    client
        .ask("hello 2 auth default reader-reader-reader", "*14\r\n")
        .await;
    let mut client = world.plain().await;
    client.ask("auth reader-reader-reader", "+OK\r\n").await;
    client.ask(&format!("get {own}"), "$-1\r\n").await;
    client
        .ask(
            &format!("set {own} 1"),
            "-NOPERM this user has no permissions to run the 'set' command; it needs a token of \
             role write\r\n",
        )
        .await;
    client.ask("auth writer-writer-writer", "+OK\r\n").await;
    client.ask(&format!("set {own} 1"), "+OK\r\n").await;
    let told = client.line("flushall").await;
    assert!(told.starts_with("-NOPERM "), "{told}");
    client.ask("auth admin-admin-admin-", "+OK\r\n").await;
    client.ask("flushall", "+OK\r\n").await;
    client.ask(&format!("get {own}"), "$-1\r\n").await;
}

#[tokio::test]
async fn without_tokens_nobody_has_to_say_who_he_is() {
    let world = World::new();
    let mut client = world.plain().await;
    let told = client.line("auth x").await;
    assert!(
        told.starts_with("-ERR AUTH <password> called without"),
        "{told}"
    );
    client.ask("auth default x", "+OK\r\n").await;
    client.ask("ping", "+PONG\r\n").await;
}
