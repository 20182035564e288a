//! Cache-aside: look in the cache, load what is missed from a database, keep it.
//!
//! `cargo run --example cache_aside`, while `cached dev` runs.
//!
//! The program fills the cache by itself here, which needs nothing of the cluster.
//! Two things it cannot do. When many programs miss one key at once, each of them
//! asks the database. And when a value is changed and its key deleted between our
//! reading the database and our writing the cache, the old value goes in. A getter
//! (`cached --enable-getter --origin 'http://host/items/{key}'`) does both: the
//! key's owner loads once for all callers, and a write or delete wins over the load.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cached_client::operation::Condition;
use cached_client::types::Ttl;
use cached_client::{Client, Options};

/// A table that takes its time, and counts how often it is asked.
#[derive(Default)]
struct Database {
    queries: AtomicU32,
}

impl Database {
    async fn name_of(&self, user: u32) -> String {
        self.queries.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(20)).await;
        format!("User number {user}")
    }
}

async fn name_of(client: &Client, database: &Database, user: u32) -> anyhow::Result<String> {
    let key = format!("user:{user}:name");
    if let Some(entry) = client.get(key.clone()).await? {
        return Ok(String::from_utf8(entry.value.to_vec())?);
    }
    let name = database.name_of(user).await;
    // Only if there is still nothing: what somebody else wrote meanwhile is newer.
    let ttl = Ttl::from_ms(10_000)?;
    let kept = client
        .set_if(key, name.clone(), Some(ttl), Condition::IfAbsent)
        .await;
    if let Err(error) = kept {
        // A cache that cannot keep a value is slow, not broken.
        eprintln!("not cached: {error}");
    }
    Ok(name)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let endpoint = std::env::var("CACHED_ENDPOINT").unwrap_or("127.0.0.1:8001".to_owned());
    let client = Client::connect(Options::nodes([endpoint])).await?;
    let database = Database::default();
    for user in [1, 2, 3] {
        client.delete(format!("user:{user}:name")).await?;
    }
    for round in 1..=3 {
        for user in [1, 2, 3] {
            let name = name_of(&client, &database, user).await?;
            println!("round {round}: {name}");
        }
    }
    let queries = database.queries.load(Ordering::Relaxed);
    println!("9 reads, {queries} database queries");
    Ok(())
}
