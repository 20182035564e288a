//! Commands that arrive together are answered as if each had come alone.

use super::*;

/// Words, one command on a line, as clients send them.
fn commands(lines: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }
    bytes
}

#[tokio::test]
async fn whatever_comes_between_and_however_it_is_cut() {
    let world = World::new();
    let mut client = world.plain().await;
    let (a, b) = (key(0, 0), key(0, 1));
    let mut sent = commands(&format!("SET {a} 1\nget {a}\nGET {b}\nMGET {a} {b} {a}"));
    sent.extend_from_slice(b"*0\r\nping\r\n\r\n");
    sent.extend(commands(&format!(
        "NOPE\nGET\nINCR {a}\nGET {a}\nDEL {a} {b}\nGET {a}"
    )));
    let replies = "+OK\r\n$1\r\n1\r\n$-1\r\n*3\r\n$1\r\n1\r\n$-1\r\n$1\r\n1\r\n+PONG\r\n\
                   -ERR unknown command 'NOPE', with args beginning with: \r\n\
                   -ERR wrong number of arguments for 'get' command\r\n\
                   :2\r\n$1\r\n2\r\n:1\r\n$-1\r\n";
    for pieces in [sent.len(), 1, 7, 50] {
        for piece in sent.chunks(pieces) {
            client.send(piece).await;
        }
        client.expect(replies).await;
    }
}

#[tokio::test]
async fn a_long_one_in_between_is_taken_in_its_turn() {
    let world = World::new();
    let mut client = world.plain().await;
    let (a, b) = (key(0, 0), key(0, 1));
    let long = "x".repeat(100_000);
    let lines = format!("SET {a} 1\nSET {b} {long}\nGET {a}\nSTRLEN {b}\nSET {b} 2\nGET {b}");
    client.send(commands(&lines)).await;
    client
        .expect("+OK\r\n+OK\r\n$1\r\n1\r\n:100000\r\n+OK\r\n$1\r\n2\r\n")
        .await;
}

#[tokio::test]
async fn more_than_are_looked_at_together() {
    let world = World::new();
    let mut client = world.plain().await;
    let names: Vec<_> = (0..300).map(|number| key(0, number)).collect();
    let lines: Vec<_> = names
        .iter()
        .map(|name| format!("SET {name} {name}"))
        .collect();
    client.send(commands(&lines.join("\n"))).await;
    client.expect("+OK\r\n".repeat(names.len())).await;
    let lines: Vec<_> = names.iter().map(|name| format!("GET {name}")).collect();
    client.send(commands(&lines.join("\n"))).await;
    let bulk = |name: &String| format!("${}\r\n{name}\r\n", name.len());
    client
        .expect(names.iter().map(bulk).collect::<String>())
        .await;
    client
        .send(commands(&format!("MGET {}", names.join(" "))))
        .await;
    let values: String = names.iter().map(bulk).collect();
    client.expect(format!("*{}\r\n{values}", names.len())).await;
}

#[tokio::test]
async fn who_is_a_stranger_in_between_is_one() {
    let world = World::with_tokens();
    let mut client = world.plain().await;
    let own = key(0, 0);
    let many = "x ".repeat(12);
    let lines =
        format!("AUTH writer-writer-writer\nSET {own} 1\nGET {own}\nRESET\nGET {own}\nDEL {many}");
    client.send(commands(&lines)).await;
    client
        .expect(
            "+OK\r\n+OK\r\n$1\r\n1\r\n+RESET\r\n-NOAUTH Authentication required.\r\n\
             -ERR Protocol error: unauthenticated multibulk length\r\n",
        )
        .await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn protocol_errors_come_after_the_answers() {
    let world = World::new();
    let mut client = world.plain().await;
    let own = key(0, 0);
    let mut sent = commands(&format!("SET {own} 1\nGET {own}"));
    sent.extend_from_slice(b"*2\r\n$3\r\nGET\r\nnope");
    client.send(sent).await;
    client
        .expect("+OK\r\n$1\r\n1\r\n-ERR Protocol error: expected '$', got 'n'\r\n")
        .await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn each_is_about_the_database_of_its_time() {
    let world = World::new();
    world.node.publish(|view| {
        let mut numbered = fixture::group("three");
        numbered.resp_db = Some(3);
        view.groups.insert(numbered.name.clone(), numbered);
    });
    let mut client = world.plain().await;
    let own = key(0, 0);
    let lines = format!(
        "SET {own} zero\nSELECT 3\nGET {own}\nSET {own} three\nSELECT 0\nGET {own}\nSELECT 3\nGET {own}"
    );
    client.send(commands(&lines)).await;
    client
        .expect("+OK\r\n+OK\r\n$-1\r\n+OK\r\n+OK\r\n$4\r\nzero\r\n+OK\r\n$5\r\nthree\r\n")
        .await;
}
