//! Prints the cluster's shape, now and whenever it changes.
//!
//! `cargo run --example watch_topology`, while a cluster runs; then stop a node and
//! watch. With `-- --once` it ends after the first picture.

use std::pin::pin;

use cached_client::{Client, Options};
use tokio_stream::StreamExt;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let once = std::env::args().any(|argument| argument == "--once");
    let endpoint = std::env::var("CACHED_ENDPOINT").unwrap_or("127.0.0.1:8001".to_owned());
    let client = Client::connect(Options::nodes([endpoint])).await?;
    let mut topologies = pin!(client.watch_topology());
    while let Some(topology) = topologies.next().await {
        println!(
            "layout {}, {} members",
            topology.layout,
            topology.members.len()
        );
        for member in &topology.members {
            let state = member
                .state
                .map_or("DOWN".to_owned(), |state| state.to_string());
            println!(
                "  {} {state} {} owns {} slots",
                member.id.name, member.address, member.slots
            );
        }
        if once {
            break;
        }
    }
    Ok(())
}
