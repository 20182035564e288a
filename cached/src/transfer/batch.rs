//! One batch that is being sent, as the rest of the process sees it: what is wanted of
//! it, and how far it is.

use std::sync::atomic::{AtomicBool, Ordering};

use cached_proto::operations::MoveCounts;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::SendingBatch;
use super::order::{MoveEnd, MoveOrder};

/// Between a sender's task and everybody else.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) order: MoveOrder,
    wanted: Mutex<Wanted>,
    /// Only the sender's task waits here.
    woken: Notify,
    shown: Mutex<SendingBatch>,
    throttled: AtomicBool,
}

/// What the cluster's state asked for and is not carried out yet.
#[derive(Debug, Default)]
struct Wanted {
    seal: bool,
    end: Option<MoveEnd>,
}

impl Batch {
    pub(super) fn new(order: MoveOrder) -> Self {
        let shown = SendingBatch {
            id: order.id.clone(),
            to: order.to.id.name.clone(),
            slots: order.slots.iter().map(|(slot, _)| *slot).collect(),
            state: "offering",
            counts: MoveCounts::default(),
            keys_total: 0,
            bytes_total: 0,
        };
        Self {
            order,
            wanted: Mutex::default(),
            woken: Notify::new(),
            shown: Mutex::new(shown),
            throttled: AtomicBool::new(false),
        }
    }

    /// It shall be sealed.
    pub(super) fn seal(&self) {
        self.wanted.lock().seal = true;
        self.woken.notify_one();
    }

    /// It shall end.
    pub(super) fn end(&self, end: MoveEnd) {
        self.wanted.lock().end = Some(end);
        self.woken.notify_one();
    }

    /// Whether it shall be sealed.
    pub(super) fn seal_wanted(&self) -> bool {
        self.wanted.lock().seal
    }

    /// Resolves when something is wanted, or was since this was last awaited.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// How it shall end, if it shall; told once.
    pub(super) fn take_end(&self) -> Option<MoveEnd> {
        self.wanted.lock().end.take()
    }

    /// Resolves when it shall end. Cancel-safe.
    pub(super) async fn ended(&self) -> MoveEnd {
        loop {
            if let Some(end) = self.take_end() {
                return end;
            }
            self.woken.notified().await;
        }
    }

    /// Changes what people are shown.
    pub(super) fn show(&self, change: impl FnOnce(&mut SendingBatch)) {
        change(&mut self.shown.lock());
    }

    /// What people are shown.
    pub(super) fn shown(&self) -> SendingBatch {
        self.shown.lock().clone()
    }

    /// Says whether writers wait earlier than usual.
    pub(super) fn set_throttled(&self, throttled: bool) {
        self.throttled.store(throttled, Ordering::Relaxed);
    }

    /// Whether they do.
    pub(super) fn throttled(&self) -> bool {
        self.throttled.load(Ordering::Relaxed)
    }
}
