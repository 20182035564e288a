//! Many keys in one call: grouped by owner, sent in parallel, a result for each.
//!
//! `cargo run --example batch`, while `cached dev` runs.

use std::collections::BTreeMap;

use cached_client::operation::{Condition, Operation, Reply};
use cached_client::types::Key;
use cached_client::{Client, Options};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let endpoint = std::env::var("CACHED_ENDPOINT").unwrap_or("127.0.0.1:8001".to_owned());
    let client = Client::connect(Options::nodes([endpoint])).await?;
    let keys: Vec<Key> = (0..100)
        .map(|number| Key::new(format!("item:{number}")))
        .collect::<Result<_, _>>()?;

    let write = |key: &Key| Operation::Set {
        key: key.clone(),
        value: key.clone().into_bytes(),
        ttl: None,
        condition: Condition::Always,
    };
    // A batch is not atomic: each operation succeeds or fails on its own.
    let written = client.batch(keys.iter().map(write).collect()).await;
    println!(
        "written: {}",
        written.iter().filter(|result| result.is_ok()).count()
    );
    for (key, result) in keys.iter().zip(written) {
        if let Err(error) = result {
            println!(
                "{key}: {error}; may have been applied: {:?}",
                error.applied()
            );
        }
    }

    let read = |key: &Key| Operation::Get {
        key: key.clone(),
        no_load: false,
        metadata_only: false,
    };
    let mut found = 0;
    for (key, result) in keys
        .iter()
        .zip(client.batch(keys.iter().map(read).collect()).await)
    {
        if let Reply::Get(Some(entry)) = result?.reply {
            assert_eq!(entry.value, key.as_bytes());
            found += 1;
        }
    }
    println!("read: {found}");

    let mut owners: BTreeMap<String, u32> = BTreeMap::new();
    for key in &keys {
        if let Some(owner) = client.locate(key).owner {
            *owners.entry(owner.id.name.to_string()).or_default() += 1;
        }
    }
    println!("keys by owner: {owners:?}");

    let remove = |key: &Key| Operation::Delete {
        key: key.clone(),
        condition: Condition::Always,
    };
    let removed = client.batch(keys.iter().map(remove).collect()).await;
    println!(
        "removed: {}",
        removed.iter().filter(|result| result.is_ok()).count()
    );
    Ok(())
}
