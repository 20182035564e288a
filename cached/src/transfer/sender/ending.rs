//! How a batch that is sent ends: the source serves again unless it gave the slots away,
//! and the receiver is told, or the cluster's state that it could not be.

use cached_proto::operations::MoveCounts;
use futures_util::StreamExt;

use super::super::messages::{Declined, ToReceiver, ToSender};
use super::super::order::{MoveEnd, MoveNews};
use super::{DONE_MAX, Over, Sender};
use crate::peers::MoveStream;

impl Sender {
    /// Does what is left to do.
    pub(super) async fn end(&mut self, over: Over, stream: &mut Option<MoveStream>) {
        self.rest_after_seal();
        match over {
            // A sealed slot stays sealed: its commit may be under way.
            Over::Stopped if self.decided_elsewhere => {}
            Over::Stopped => self.unseal(),
            // One that does not hear of it reads it in the rows.
            Over::Ended(MoveEnd::Committed(record)) => {
                self.say(stream, ToReceiver::Committed(record)).await;
            }
            Over::Ended(MoveEnd::Aborted(why)) => {
                self.unseal();
                let heard = self.say(stream, ToReceiver::Aborted(why)).await;
                self.tell_if_unheard(heard).await;
            }
            Over::Failed { why, declined } => {
                self.unseal();
                let heard = match declined {
                    // It has dropped what it had.
                    Some(_) => true,
                    None => {
                        let aborted = ToReceiver::Aborted(why.clone());
                        self.say(stream, aborted).await
                    }
                };
                self.shared.forget(&self.batch);
                let counts = MoveCounts {
                    failed: self.flow.sent,
                    failures: 1,
                    shed: self.shed,
                    ..MoveCounts::default()
                };
                let news = MoveNews::Failed {
                    why,
                    busy: declined == Some(Declined::Busy),
                    over_capacity: declined == Some(Declined::OverCapacity),
                    counts,
                };
                self.tell(news).await;
                self.tell_if_unheard(heard).await;
            }
        }
    }

    /// The seal is over; the next one waits if operations had to wait for this one.
    fn rest_after_seal(&mut self) {
        let parts = &self.shared.parts;
        if let Some(before) = self.sealed.take() {
            let (now, asked) = (parts.clock.now(), parts.counters.asked());
            let parked = parts.parking.entered() - before;
            self.shared.seals.lock().rest(now, asked, parked);
        }
    }

    /// Says that a receiver may keep for good what it holds sealed.
    async fn tell_if_unheard(&self, heard: bool) {
        if self.may_be_kept && !heard {
            let slots = self.batch.order.slots.clone();
            self.tell(MoveNews::Unheard { slots }).await;
        }
    }

    /// The slots serve again, and what waits for them looks again.
    fn unseal(&mut self) {
        for info in self.slots.drain(..) {
            self.shared.parts.store.end_move(info.slot, info.container);
        }
        self.shared.parts.parking.wake();
    }

    /// Tells the receiver the end, if it can be reached, and waits a moment for it to
    /// take note. Answers whether it has.
    async fn say(&self, stream: &mut Option<MoveStream>, end: ToReceiver) -> bool {
        let Some(stream) = stream else { return false };
        let saying = async {
            if stream.send.send(end).await.is_err() {
                return false;
            }
            while let Some(Ok(heard)) = stream.receive.next().await {
                if heard == ToSender::Done {
                    return true;
                }
            }
            false
        };
        tokio::select! {
            biased;
            heard = saying => heard,
            () = self.stop.stopped() => false,
            () = self.shared.parts.clock.sleep(DONE_MAX) => false,
        }
    }
}
