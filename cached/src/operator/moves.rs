//! Slots on the move, as other nodes meet them: the streams on which they are received,
//! and what this node is sending, for whoever asks. Calls no other node.

use std::collections::BTreeMap;
use std::sync::Arc;

use cached_proto::convert::member_id;
use cached_proto::failure::Failure;
use cached_proto::pb::cached::admin::v1::{BatchProgress, PairProgress};
use cached_proto::pb::cached::peer::v1::{MoveRequest, MoveResponse, move_request};
use cached_proto::types::{Invalid, MemberId, NodeName, Slot};
use futures_util::future::{ready, Either};
use futures_util::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;

use super::Operator;
use crate::cluster::view::ClusterView;
use crate::peers::moving;
use crate::store::Store;
use crate::transfer::{Sending, SendingBatch};

/// What one message, and a failed stream, are answered with.
type Answer = Result<MoveResponse, Failure>;

impl Operator {
    /// Receives slots: answers the messages of one stream, whose first is the offer and
    /// says who sends.
    pub fn receive_move(
        self: Arc<Self>,
        mut messages: BoxStream<'static, MoveRequest>,
    ) -> BoxStream<'static, Answer> {
        let begin = async move {
            let first = messages.next().await;
            match self.sender_of(first.as_ref()) {
                Ok(from) => {
                    let messages = stream::iter(first).chain(messages);
                    Either::Left(self.receive_from(from, messages.boxed()))
                }
                Err(failure) => Either::Right(stream::once(ready(Err(failure)))),
            }
        };
        stream::once(begin).flatten().boxed()
    }

    fn sender_of(&self, first: Option<&MoveRequest>) -> Result<MemberId, Failure> {
        let Some(move_request::Step::Offer(offer)) = first.and_then(|first| first.step.as_ref())
        else {
            return Err(Invalid::new("step", "of the first message must be an offer").into());
        };
        self.check_header(offer.header.as_ref())?;
        let header = offer.header.clone().unwrap_or_default();
        Ok(member_id(&header.name, &header.incarnation)?)
    }

    fn receive_from(
        &self,
        from: MemberId,
        messages: BoxStream<'static, MoveRequest>,
    ) -> BoxStream<'static, Answer> {
        // What cannot be read ends the stream: for the receiver it then broke, and the
        // sender is told why in the end.
        let problem: Arc<Mutex<Option<Failure>>> = Arc::default();
        let (found, sender) = (problem.clone(), from.clone());
        let read = messages.map(move |message| {
            let message = moving::request_from_pb(message, &sender);
            message.map_err(|invalid| *found.lock() = Some(invalid.into()))
        });
        let read = read.take_while(|read| ready(read.is_ok()));
        let read = read.filter_map(|read| ready(read.ok()));
        let answers = self.parts.transfers.receive(from, read.boxed());
        let answers = answers.map(|answer| Ok(moving::response_to_pb(answer)));
        let last = stream::once(async move { problem.lock().take().map(Err) });
        answers.chain(last.filter_map(ready)).boxed()
    }

    /// What this process is sending, by receiver, and what is still to be sent.
    pub fn own_moves(&self) -> Vec<PairProgress> {
        let view = self.parts.view.load();
        let from = self.shown_name();
        let to_go = to_go(&view, &self.parts.store);
        pairs(from, self.parts.transfers.sending(), &to_go)
    }
}

/// What is still to go to one receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Left {
    slots: u32,
    keys: u64,
    bytes: u64,
}

/// What of this node's slots the plan wants elsewhere, by receiver.
fn to_go(view: &ClusterView, store: &Store) -> BTreeMap<NodeName, Left> {
    let mut left: BTreeMap<NodeName, Left> = BTreeMap::new();
    let (Some(plan), Some(me)) = (&view.plan, super::me(view)) else {
        return left;
    };
    for run in &plan.runs {
        let Some(target) = plan.members.get(usize::from(run.2)) else {
            continue;
        };
        if target.id == me.id {
            continue;
        }
        let slots = (run.0..=run.1).filter_map(|number| Slot::new(number).ok());
        for slot in slots.filter(|slot| view.is_mine(*slot)) {
            let left = left.entry(target.id.name.clone()).or_default();
            let info = store.slot(slot);
            left.slots += 1;
            left.keys += info.map_or(0, |info| info.keys);
            left.bytes += info.map_or(0, |info| info.bytes);
        }
    }
    left
}

/// Both together, by receiver.
fn pairs(
    from: &str,
    sending: Vec<(NodeName, Sending)>,
    to_go: &BTreeMap<NodeName, Left>,
) -> Vec<PairProgress> {
    let mut pairs: BTreeMap<NodeName, Sending> = sending.into_iter().collect();
    for to in to_go.keys() {
        pairs.entry(to.clone()).or_default();
    }
    let pair = |(to, sending): (NodeName, Sending)| {
        let left = to_go.get(&to).copied().unwrap_or_default();
        PairProgress {
            from: from.to_owned(),
            to: to.to_string(),
            slots_left: left.slots,
            keys_left: left.keys,
            bytes_left: left.bytes,
            bytes_per_second: sending.bytes_per_second,
            batches: sending.batches.into_iter().map(batch).collect(),
            throttled: sending.throttled,
            ..PairProgress::default()
        }
    };
    pairs.into_iter().map(pair).collect()
}

fn batch(batch: SendingBatch) -> BatchProgress {
    BatchProgress {
        page: batch.id.page.index() as u32,
        attempt: batch.id.attempt,
        slots: batch.slots.iter().map(|slot| slot.number().into()).collect(),
        state: batch.state.to_owned(),
        // Changes to an entry are sent, too: people would see more than all.
        keys_sent: batch.counts.sent.min(batch.keys_total),
        bytes_sent: batch.counts.bytes.min(batch.bytes_total),
        keys_total: batch.keys_total,
        bytes_total: batch.bytes_total,
    }
}
