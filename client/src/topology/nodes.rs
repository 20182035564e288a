//! Learns the topology from whichever node answers first, and follows it.

use std::time::Duration;

use cached_proto::pb::cached::admin::v1::{TopologyRequest, TopologyResponse};
use tokio::time::{Instant, sleep_until};
use tonic::Streaming;

use super::follow::{Pauses, REFRESH_EVERY, publish};
use super::{Cell, Topology};
use crate::ask::first_answer;
use crate::connections::Connections;
use crate::error::Error;
use crate::status::error_of;

/// How long one node may take to send its topology to a follower.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A node's stream of topologies.
#[derive(Debug)]
pub(crate) struct Feed {
    /// The node that sends it.
    pub(crate) address: String,
    stream: Streaming<TopologyResponse>,
}

impl Feed {
    /// The next topology; an error ends the feed. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Topology, Error> {
        match self.stream.message().await {
            Ok(Some(message)) => Ok(Topology::try_from(message)?),
            Ok(None) => Err(Error::Unreachable(format!(
                "{}: ended its stream",
                self.address
            ))),
            Err(status) => Err(error_of(&self.address, &status)),
        }
    }
}

/// Opens a feed at the first of `addresses` that sends a topology within `limit`.
pub(crate) async fn open(
    connections: &Connections,
    addresses: Vec<String>,
    limit: Duration,
) -> Result<(Topology, Feed), Error> {
    first_answer(addresses, limit, |address| async move {
        let mut admin = connections.admin(&address)?;
        let answer = admin.topology(TopologyRequest { once: false }).await;
        let stream = answer
            .map_err(|status| error_of(&address, &status))?
            .into_inner();
        let mut feed = Feed { address, stream };
        Ok((feed.next().await?, feed))
    })
    .await
}

/// Follows a feed, and after its end one of any other node, for ever.
pub(crate) async fn follow(cell: &Cell, connections: &Connections, feed: Feed) {
    let mut feed = Some(feed);
    let mut pauses = Pauses::new();
    loop {
        if let Some(open) = feed.take() {
            follow_feed(cell, open).await;
        }
        pauses.pause().await;
        let mut addresses = cell.load().addresses();
        // Clients that lost the same node must not all turn to the same next one.
        let draw = rand::random::<f64>();
        let start = (draw * addresses.len() as f64) as usize;
        addresses.rotate_left(start);
        if let Ok((topology, open)) = open(connections, addresses, ANSWER_WITHIN).await
            && publish(cell, topology)
        {
            feed = Some(open);
        }
    }
}

/// Until the feed ends, or a call needs a fresher picture than its node has.
async fn follow_feed(cell: &Cell, mut feed: Feed) {
    let mut fresh_until = Instant::now() + REFRESH_EVERY;
    loop {
        tokio::select! {
            biased;
            next = feed.next() => {
                if !next.is_ok_and(|topology| publish(cell, topology)) {
                    return;
                }
                fresh_until = Instant::now() + REFRESH_EVERY;
            }
            () = cell.refresh_asked() => {
                sleep_until(fresh_until).await;
                return;
            }
        }
    }
}
