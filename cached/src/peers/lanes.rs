//! The lanes to all peers: opened when something is due, replaced when they are over.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use cached_client::connections::Connections;
use cached_proto::types::MemberId;
use parking_lot::Mutex;

use super::lane::{Elsewhere, Lane};
use super::{Identity, OnItsWay, Passed, Peer};
use crate::clock::Clock;
use crate::tasks::Tasks;

/// One lane for each peer that operations are passed on to.
#[derive(Debug)]
pub(super) struct Lanes {
    connections: Connections,
    identity: Arc<ArcSwap<Identity>>,
    clock: Clock,
    tasks: Tasks,
    /// Held for a look at a time, never across an await. Holds no more lanes than peers
    /// that are members, and those that have just ceased to be.
    open: Mutex<BTreeMap<MemberId, Opened>>,
}

#[derive(Debug)]
struct Opened {
    lane: Arc<Lane>,
    /// Of the connections when it was opened: see [`Connections::generation`].
    generation: u64,
}

impl Lanes {
    /// No lane yet.
    pub(super) fn new(
        connections: Connections,
        identity: Arc<ArcSwap<Identity>>,
        clock: Clock,
        tasks: Tasks,
    ) -> Self {
        Self {
            connections,
            identity,
            clock,
            tasks,
            open: Mutex::default(),
        }
    }

    /// Puts an operation on its way to a member; `None`: it has to go by itself. Never
    /// waits.
    pub(super) fn pass(&self, to: &MemberId, address: &str, passed: Passed) -> Option<OnItsWay> {
        let generation = self.connections.generation();
        let mut open = self.open.lock();
        let mut passed = passed;
        if let Some(opened) = open.get(to)
            && opened.generation == generation
        {
            passed = match opened.lane.pass(passed) {
                Ok(on_its_way) => return Some(on_its_way),
                Err(Elsewhere::Alone) => return None,
                Err(Elsewhere::NewLane(passed)) => *passed,
            };
        }
        // By itself it is told what is wrong with the address.
        let client = self.connections.peer(address).ok()?;
        let peer = Peer {
            id: to.clone(),
            address: address.to_owned(),
        };
        let lane = Lane::new(peer, self.identity.clone(), self.clock.clone());
        let on_its_way = lane.pass(passed).ok()?;
        self.tasks
            .spawn("lane", |stop| lane.clone().run(client, stop));
        open.retain(|_, opened| opened.lane.is_open());
        open.insert(to.clone(), Opened { lane, generation });
        Some(on_its_way)
    }
}
