//! Read, change, write back only if nobody was faster: a counter without a lock.
//!
//! `cargo run --example compare_and_set`, while `cached dev` runs.
//!
//! Every entry has a version, which changes with every write. A write that names
//! the version it has seen is applied only if that is still the one there.

use cached_client::operation::Condition;
use cached_client::{Client, Options};

const KEY: &str = "counter";
const WRITERS: u64 = 8;
const ADDITIONS: u64 = 25;

/// Adds 1; answers how often somebody else was faster.
async fn add_one(client: &Client) -> anyhow::Result<u32> {
    let mut lost = 0;
    loop {
        let (number, condition) = match client.get(KEY).await? {
            None => (0, Condition::IfAbsent),
            Some(entry) => {
                let number: u64 = std::str::from_utf8(&entry.value)?.parse()?;
                // Without a version the entry is not stored anywhere.
                let version = entry.version.expect("no getter fills this key");
                (number, Condition::IfVersion(version))
            }
        };
        match client
            .set_if(KEY, (number + 1).to_string(), None, condition)
            .await
        {
            Ok(Some(_)) => return Ok(lost),
            Ok(None) => lost += 1,
            // If error.applied() is Unknown, nobody knows whether it was written.
            // Adding again could count twice, so the client does not, and neither do we.
            Err(error) => return Err(error.into()),
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let endpoint = std::env::var("CACHED_ENDPOINT").unwrap_or("127.0.0.1:8001".to_owned());
    let client = Client::connect(Options::nodes([endpoint])).await?;
    client.delete(KEY).await?;
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        let client = client.clone();
        writers.spawn(async move {
            let mut lost = 0;
            for _ in 0..ADDITIONS {
                lost += add_one(&client).await?;
            }
            anyhow::Ok(lost)
        });
    }
    let mut lost = 0;
    while let Some(writer) = writers.join_next().await {
        lost += writer??;
    }
    let entry = client.get(KEY).await?.expect("it was just written");
    let sum = String::from_utf8_lossy(&entry.value).into_owned();
    println!("{WRITERS} writers added {ADDITIONS} each: the counter is {sum}");
    println!("(somebody else was faster {lost} times)");
    Ok(())
}
