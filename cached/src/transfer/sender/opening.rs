//! How a batch that is sent begins: the receiver is reached, offered the slots, and
//! given no more than it grants; from then on every change is logged.

use cached_proto::types::{MemberId, Slot};
use futures_util::StreamExt;

use super::super::messages::{Declined, Offer, ToReceiver, ToSender, offered};
use super::{OFFER_MAX, Over, Sender, failed};
use crate::peers::MoveStream;
use crate::store::SlotInfo;

impl Sender {
    /// The slots as they are now.
    pub(super) fn look(&self) -> Result<Vec<SlotInfo>, Over> {
        let look = |(slot, epoch): &(Slot, _)| {
            let info = self.shared.parts.store.slot(*slot);
            info.filter(|info| info.epoch == *epoch)
                .ok_or_else(|| failed(format!("slot {slot} is not served under epoch {epoch}")))
        };
        let slots: Vec<_> = self
            .batch
            .order
            .slots
            .iter()
            .map(look)
            .collect::<Result<_, _>>()?;
        self.batch.show(|batch| {
            batch.keys_total = slots.iter().map(|info| info.keys).sum();
            batch.bytes_total = slots.iter().map(|info| info.bytes).sum();
        });
        Ok(slots)
    }

    pub(super) async fn open(&self) -> Result<MoveStream, Over> {
        let peer = &self.batch.order.to;
        let opening = self.shared.parts.peers.open_move(peer, OFFER_MAX);
        let opened = self.within(OFFER_MAX, "be reached", opening).await?;
        opened.map_err(|error| failed(format!("{} cannot be reached: {error}", peer.id.name)))
    }

    /// Offers the slots; answers how many bytes the receiver grants.
    pub(super) async fn offer(
        &mut self,
        stream: &mut MoveStream,
        slots: &[SlotInfo],
        bytes: u64,
    ) -> Result<u64, Over> {
        let (order, store) = (&self.batch.order, &self.shared.parts.store);
        let planned = order.planned.iter().filter_map(|slot| store.slot(*slot));
        let offer = Offer {
            operation: order.operation.clone(),
            page: order.id.page,
            attempt: order.id.attempt,
            slots: slots.iter().map(offered).collect(),
            keys: slots.iter().map(|info| info.keys).sum(),
            bytes,
            shed: order.shed,
            bytes_planned: planned.map(|info| info.bytes).sum::<u64>().max(bytes),
        };
        let me = self.me()?;
        let asking = async {
            // An error shows in what is received.
            let _ = stream.send.send(ToReceiver::Offer(me, offer)).await;
            stream.receive.next().await
        };
        match self.within(OFFER_MAX, "answer the offer", asking).await? {
            Some(Ok(ToSender::Granted { bytes })) => Ok(bytes),
            other => match self.hear(other, false) {
                Err(over) => Err(over),
                Ok(_) => Err(failed("the receiver neither granted nor refused")),
            },
        }
    }

    pub(super) fn me(&self) -> Result<MemberId, Over> {
        let view = self.shared.parts.view.load();
        let me = view.me.and_then(|me| view.members.get(usize::from(me)));
        me.map(|me| me.id.clone())
            .ok_or_else(|| failed("this process is no member"))
    }

    /// Drops the coldest entries if less was granted than is needed.
    pub(super) async fn make_room(
        &mut self,
        slots: &[SlotInfo],
        bytes: u64,
        granted: u64,
    ) -> Result<(), Over> {
        if granted >= bytes {
            return Ok(());
        }
        if !self.batch.order.shed {
            return Err(Over::Failed {
                why: format!("{granted} bytes were granted; {bytes} are needed"),
                declined: Some(Declined::OverCapacity),
            });
        }
        let containers: Vec<_> = slots.iter().map(|it| (it.slot, it.container)).collect();
        let parts = &self.shared.parts;
        for removed in parts.store.shed_in_steps(&containers, granted) {
            self.shed += removed;
            tokio::task::yield_now().await;
        }
        parts.counters.keys_shed.add(self.shed);
        Ok(())
    }

    /// From here on everything that happens to the slots is logged.
    pub(super) fn begin(&mut self, offered: &[SlotInfo]) -> Result<(), Over> {
        for info in offered {
            let store = &self.shared.parts.store;
            let Some(info) = store.begin_move(info.slot, info.container, &self.log) else {
                return Err(failed(format!("slot {} is not served any more", info.slot)));
            };
            self.slots.push(info);
        }
        Ok(())
    }
}
