//! Connects to a cluster, writes, reads and removes a key.
//!
//! Start a cluster with `cached dev`, then: `cargo run --example quickstart`.

use anyhow::Context;
use cached_client::types::{Key, Ttl};
use cached_client::{Client, Options};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let endpoint = std::env::var("CACHED_ENDPOINT").unwrap_or("127.0.0.1:8001".to_owned());
    // One address is enough: the client learns all others from it, and from then on
    // asks the owner of each key directly.
    let client = Client::connect(Options::nodes([endpoint])).await?;
    let topology = client.topology();
    println!(
        "cluster {} has {} members",
        topology.cluster,
        topology.members.len()
    );

    client
        .set("greeting", "hello", Some(Ttl::from_ms(60_000)?))
        .await?;
    let entry = client
        .get("greeting")
        .await?
        .context("it was just written")?;
    println!("greeting = {}", String::from_utf8_lossy(&entry.value));
    println!(
        "it lives for {} s more",
        entry
            .ttl_ms
            .context("it has a time to live")?
            .div_ceil(1000)
    );

    let location = client.locate(&Key::new("greeting")?);
    let owner = location.owner.context("every slot has an owner")?;
    println!(
        "it is in slot {}, which {} owns",
        location.slot, owner.id.name
    );

    println!("deleted: {}", client.delete("greeting").await?);
    println!("deleted again: {}", client.delete("greeting").await?);
    println!("now a miss: {}", client.get("greeting").await?.is_none());
    Ok(())
}
