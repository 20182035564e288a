//! Moving slots: carries out what the cluster's state decided. It chooses neither
//! slots nor receivers.
//!
//! Reading order: `messages` (what is said), `order` (what is asked of this module and
//! what it tells), `batch` and `sender` with `flow` (pure: how much, how long) and
//! `throttle` (pure: how fast), `receiver` with `welcome` (pure: whether) and `stagings`
//! (pure: what was received and is not in service yet), `meter`.

mod batch;
mod flow;
mod late;
pub mod messages;
mod meter;
pub mod order;
mod receiver;
mod sender;
mod stagings;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod throttle;
mod welcome;

use std::collections::BTreeMap;
use std::sync::Arc;

use cached_proto::operations::MoveCounts;
use cached_proto::types::{Epoch, MemberId, NodeName, Slot};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::clock::{Clock, Moment};
use crate::cluster::view::ViewCell;
use crate::counters::Counters;
use crate::faults::crash_point;
use crate::parking::Parking;
use crate::peers::Peers;
use crate::registry::Record;
use crate::store::{ContainerId, Store};
use crate::tasks::Tasks;
use batch::Batch;
use messages::{ToReceiver, ToSender};
use meter::Meter;
use order::{MoveEnd, MoveId, MoveNews, MoveOrder};
use receiver::Receiver;
use sender::Sender;
use stagings::Stagings;
use throttle::{SealPace, Throttle};

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
    /// Batches on their way out.
    batches: Mutex<BTreeMap<MoveId, Arc<Batch>>>,
    /// Of all of them together.
    throttle: Mutex<Throttle>,
    seals: Mutex<SealPace>,
    /// What went out lately, by receiver.
    meters: Mutex<BTreeMap<NodeName, Meter>>,
    /// What came in.
    stagings: Mutex<Stagings>,
    /// Places for batches that are received: they come to their turn in order.
    imports: Arc<Semaphore>,
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

/// Entries that are linked under one hold of a shard's lock.
const STEP_ENTRIES: usize = 128;

/// Entries that are freed under one hold: each may have others moved to free memory.
const PURGE_STEP: usize = 16;

/// Batches that are received at a time: each needs memory for what is under way, and
/// time of the shards.
const IMPORTS_MAX: usize = 2;

/// Answers that wait for the connection.
const ANSWERS_MAX: usize = 16;

impl Transfers {
    /// No moves yet, and where their news come out; who reads there must not stop.
    pub fn new(parts: TransferParts) -> (Arc<Self>, mpsc::Receiver<Told>) {
        let (told, news) = mpsc::channel(1024);
        let transfers = Self {
            parts,
            told,
            batches: Mutex::default(),
            throttle: Mutex::new(Throttle::new()),
            seals: Mutex::default(),
            meters: Mutex::default(),
            stagings: Mutex::default(),
            imports: Arc::new(Semaphore::new(IMPORTS_MAX)),
        };
        (Arc::new(transfers), news)
    }

    /// Begins to move a batch; its news tell how it goes.
    pub fn start(self: &Arc<Self>, order: MoveOrder) {
        let batch = Arc::new(Batch::new(order));
        let id = batch.order.id.clone();
        self.batches.lock().insert(id, batch.clone());
        let shared = self.clone();
        let send = |stop| Sender::new(shared, batch, stop).run();
        self.parts.tasks.spawn("move out", send);
    }

    /// Seals a batch that has caught up: its requests wait from now on.
    pub fn seal(&self, id: &MoveId) {
        if let Some(batch) = self.batches.lock().get(id) {
            batch.seal();
        }
    }

    /// Ends a batch. After a commit the slots' containers are closed by the driver
    /// itself; here the receiver is told. After an abort the source serves again.
    pub fn end(&self, id: &MoveId, end: MoveEnd) {
        if let Some(batch) = self.batches.lock().get(id) {
            batch.end(end);
        }
    }

    /// Bytes per second that all senders of this process may use together, 0: no limit;
    /// what users write meanwhile does not wait for it.
    pub fn set_rate(&self, bytes_per_second: u64) {
        let now = self.parts.clock.now();
        self.throttle.lock().set_rate(now, bytes_per_second);
    }

    /// The sealed staging of a slot for exactly that attempt, to be put in service;
    /// from then on it is the caller's.
    pub fn take_staged(&self, slot: Slot, attempt: u64) -> Option<ContainerId> {
        let taken = self.stagings.lock().take(slot, attempt)?;
        crash_point("before-activate");
        Some(taken)
    }

    /// Links the entries of slots that were put in service into the orders of eviction
    /// and expiry, in the background.
    pub fn settle_in(self: &Arc<Self>, slots: Vec<(Slot, ContainerId)>) {
        let store = self.parts.store.clone();
        self.parts.tasks.spawn("settle in", |stop| async move {
            for (slot, container) in slots {
                let mut is_settled = false;
                while !is_settled && !stop.is_stopped() {
                    is_settled = store.settle_in(slot, container, STEP_ENTRIES);
                    tokio::task::yield_now().await;
                }
            }
        });
    }

    /// A row was read: drops stagings of the slot that can come to nothing any more, that
    /// is of an attempt that is not larger than the row's, or from an owner of before.
    pub fn row_read(self: &Arc<Self>, slot: Slot, epoch: Epoch, attempt: u64) {
        let dropped = self.stagings.lock().row_read(slot, epoch, attempt);
        self.give_up(dropped);
    }

    /// What is being sent now, by receiver.
    pub fn sending(&self) -> Vec<(NodeName, Sending)> {
        let now = self.parts.clock.now();
        let mut sending: BTreeMap<NodeName, Sending> = BTreeMap::new();
        for batch in self.batches.lock().values() {
            let to = sending.entry(batch.order.to.id.name.clone()).or_default();
            to.batches.push(batch.shown());
            to.throttled |= batch.throttled();
        }
        let mut meters = self.meters.lock();
        meters.retain(|to, meter| {
            let bytes_per_second = meter.rate(now);
            if !meter.is_empty() {
                sending.entry(to.clone()).or_default().bytes_per_second = bytes_per_second;
            }
            !meter.is_empty()
        });
        sending.into_iter().collect()
    }

    /// Bytes received that are not in service yet.
    pub fn staged_bytes(&self) -> u64 {
        self.stagings.lock().bytes()
    }

    /// Receives: answers the messages of one stream. Ends when the sender's end was
    /// noted, or when its stream ends or breaks, or the process stops.
    pub fn receive(
        self: &Arc<Self>,
        from: MemberId,
        messages: BoxStream<'static, ToReceiver>,
    ) -> BoxStream<'static, ToSender> {
        let (answers, told) = mpsc::channel(ANSWERS_MAX);
        let shared = self.clone();
        self.parts.tasks.spawn("move in", |stop| {
            let receiver = Receiver {
                shared,
                from,
                answers,
                stop,
            };
            receiver.run(messages)
        });
        ReceiverStream::new(told).boxed()
    }

    /// So many bytes went out to a receiver; `for_writers`: whatever the rate.
    fn on_sent(&self, to: &NodeName, now: Moment, bytes: u64, for_writers: bool) {
        let mut throttle = self.throttle.lock();
        match for_writers {
            true => throttle.spend_for_writers(now, bytes),
            false => throttle.spend(now, bytes),
        }
        drop(throttle);
        let mut meters = self.meters.lock();
        match meters.get_mut(to) {
            Some(meter) => meter.add(now, bytes),
            None => meters.entry(to.clone()).or_default().add(now, bytes),
        }
    }

    /// A batch is over.
    fn forget(&self, batch: &Arc<Batch>) {
        let mut batches = self.batches.lock();
        let id = &batch.order.id;
        // A try of the same name may have begun meanwhile.
        if batches.get(id).is_some_and(|it| Arc::ptr_eq(it, batch)) {
            batches.remove(id);
        }
    }
}
