//! Moving slots: carries out what the cluster's state decided. It chooses neither
//! slots nor receivers.
//!
//! Reading order: `messages` (what is said), `order` (what is asked of this module and
//! what it tells), `sender`, `receiver`, `stagings` (what was received and is not in
//! service yet), `throttle` (pure: how fast).

pub mod messages;
pub mod order;
#[cfg(test)]
pub(crate) mod testing;

use std::sync::Arc;

use cached_proto::operations::MoveCounts;
use cached_proto::types::{MemberId, NodeName, Slot};
use futures_util::stream::BoxStream;
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::cluster::view::ViewCell;
use crate::counters::Counters;
use crate::parking::Parking;
use crate::peers::Peers;
use crate::registry::Record;
use crate::store::{ContainerId, Store};
use crate::tasks::Tasks;
use messages::{ToReceiver, ToSender};
use order::{MoveEnd, MoveId, MoveNews, MoveOrder};

/// What transfers work with.
#[derive(Clone, Debug)]
pub struct TransferParts {
    /// Where entries are read from and put.
    pub store: Arc<Store>,
    /// To whom they are sent.
    pub peers: Arc<dyn Peers>,
    /// What is known of the cluster, and the fence.
    pub view: Arc<ViewCell>,
    /// Requests that wait for the outcome.
    pub parking: Arc<Parking>,
    /// Where shed keys are counted.
    pub counters: Arc<Counters>,
    /// Time.
    pub clock: Clock,
    /// Where senders run.
    pub tasks: Tasks,
}

/// What transfers tell the cluster's driver.
#[derive(Debug)]
pub enum Told {
    /// Something became of a move that this node sends.
    Move {
        /// Which.
        id: MoveId,
        /// What.
        news: MoveNews,
    },
    /// An owner has committed slots to this node, in this page.
    Committed(Record),
}

/// All moves of this process, out and in.
#[derive(Debug)]
pub struct Transfers {
    parts: TransferParts,
    told: mpsc::Sender<Told>,
}

/// What this node is sending to one receiver, for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sending {
    /// Batches under way.
    pub batches: Vec<SendingBatch>,
    /// Over the last seconds.
    pub bytes_per_second: u64,
    /// Writers to a moving slot wait, so that it comes to an end.
    pub throttled: bool,
}

/// One batch under way, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendingBatch {
    /// Which.
    pub id: MoveId,
    /// To whom.
    pub to: NodeName,
    /// Its slots.
    pub slots: Vec<Slot>,
    /// offering, copying, sealed, committing.
    pub state: &'static str,
    /// So far.
    pub counts: MoveCounts,
    /// Entries at its beginning.
    pub keys_total: u64,
    /// Bytes at its beginning.
    pub bytes_total: u64,
}

impl Transfers {
    /// No moves yet, and where their news come out; who reads there must not stop.
    pub fn new(parts: TransferParts) -> (Arc<Self>, mpsc::Receiver<Told>) {
        let (told, news) = mpsc::channel(1024);
        (Arc::new(Self { parts, told }), news)
    }

    /// Begins to move a batch; its news tell how it goes.
    pub fn start(self: &Arc<Self>, order: MoveOrder) {
        todo!("{order:?} {:?}", self.parts)
    }

    /// Seals a batch that has caught up: its requests wait from now on.
    pub fn seal(&self, id: &MoveId) {
        todo!("{id:?} {:?}", self.told)
    }

    /// Ends a batch. After a commit the slots' containers are closed by the driver
    /// itself; here the receiver is told. After an abort the source serves again.
    pub fn end(&self, id: &MoveId, end: MoveEnd) {
        todo!("{id:?} {end:?}")
    }

    /// Bytes per second that all senders of this process may use together; 0: no limit.
    pub fn set_rate(&self, bytes_per_second: u64) {
        todo!("{bytes_per_second}")
    }

    /// The sealed staging of a slot for exactly that attempt, to be put in service;
    /// from then on it is the caller's.
    pub fn take_staged(&self, slot: Slot, attempt: u64) -> Option<ContainerId> {
        todo!("{slot} {attempt}")
    }

    /// Links the entries of slots that were put in service into the orders of eviction
    /// and expiry, in the background.
    pub fn settle_in(self: &Arc<Self>, slots: Vec<(Slot, ContainerId)>) {
        todo!("{slots:?}")
    }

    /// A row was read: drops stagings of the slot that can come to nothing any more, that
    /// is of an attempt that is not larger than the row's, or from an owner of before.
    pub fn row_read(&self, slot: Slot, epoch: cached_proto::types::Epoch, attempt: u64) {
        todo!("{slot} {epoch:?} {attempt}")
    }

    /// What is being sent now, by receiver.
    pub fn sending(&self) -> Vec<(NodeName, Sending)> {
        todo!()
    }

    /// Bytes received that are not in service yet.
    pub fn staged_bytes(&self) -> u64 {
        todo!()
    }

    /// Receives: answers the messages of one stream. Ends when the sender's end was
    /// noted, or when its stream ends or breaks, or the process stops.
    pub fn receive(
        self: &Arc<Self>,
        from: MemberId,
        messages: BoxStream<'static, ToReceiver>,
    ) -> BoxStream<'static, ToSender> {
        let _ = (from, messages);
        todo!()
    }
}
