//! What senders say of their moves now: this process, and every other one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cached_proto::pb::cached::admin::v1 as pb;
use cached_proto::types::{NodeName, Slot};

use super::pairs;
use crate::cluster::view::ClusterView;
use crate::operator::fan_out::{ASK_TIMEOUT, Whom, ask_all, everyone};
use crate::operator::{Operator, me, millis};
use crate::transfer::{Sending, SendingBatch};

/// What all senders say.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    /// Each with its sender's name.
    pub(super) pairs: Vec<pb::PairProgress>,
    /// Senders that could not be asked.
    pub(super) unanswered: Vec<String>,
}

impl Operator {
    /// Asks everyone who still has slots to give away, each for at most a second.
    pub(super) async fn live(&self, view: &ClusterView) -> Live {
        let senders: BTreeSet<NodeName> = pairs::left(view)
            .into_keys()
            .map(|(from, _)| from)
            .collect();
        let mut asked = everyone(view);
        asked.retain(|whom| whom.member().slots > 0 && senders.contains(&whom.member().id.name));
        let mut live = Live::default();
        for answer in ask_all(asked, |whom| self.moves_of(whom)).await {
            match answer {
                Ok(pairs) => live.pairs.extend(pairs),
                Err(name) => live.unanswered.push(name),
            }
        }
        live
    }

    /// What a member sends; its name when it could not be asked.
    async fn moves_of(&self, whom: Whom) -> Result<Vec<pb::PairProgress>, String> {
        let name = whom.member().id.name.to_string();
        let mut pairs = match whom {
            Whom::Me(_) => self.own_moves(),
            Whom::Away(_) => return Err(name),
            Whom::Living(_, peer) => {
                let peers = Arc::clone(&self.parts.peers);
                let answer = peers.moves(&peer, ASK_TIMEOUT).await;
                answer.map_err(|_| name.clone())?
            }
        };
        for pair in &mut pairs {
            pair.from.clone_from(&name);
        }
        Ok(pairs)
    }

    /// What this process sends now and still has to, by receiver. Looks at every slot
    /// once: for people, not for every request.
    pub fn own_moves(&self) -> Vec<pb::PairProgress> {
        let view = self.parts.view.load_full();
        let Some(me) = me(&view).map(|me| me.id.name.clone()) else {
            return Vec::new();
        };
        let mut told: BTreeMap<NodeName, pb::PairProgress> = BTreeMap::new();
        let held = self.held();
        for ((from, to), share) in pairs::left(&view) {
            if from != me {
                continue;
            }
            let pair = told.entry(to).or_default();
            pair.slots_left = share.slots.len() as u32;
            for (keys, bytes) in share.slots.iter().filter_map(|slot| held.get(slot)) {
                pair.keys_left += keys;
                pair.bytes_left += bytes;
            }
        }
        for (to, sending) in self.parts.transfers.sending() {
            fill_in(told.entry(to).or_default(), sending);
        }
        let now = self.parts.clock.now();
        for trouble in self.parts.cluster.move_troubles() {
            let pair = told.entry(trouble.to).or_default();
            pair.tries = trouble.tries;
            pair.last_error = trouble.last_error;
            pair.blocked = trouble.blocked;
            pair.blocked_for_ms = millis(now.since(trouble.since));
            pair.next_try_in_ms = trouble.next_try.map_or(0, |next| millis(next.since(now)));
        }
        let pairs = told.into_iter();
        pairs
            .map(|(to, pair)| pb::PairProgress {
                from: me.to_string(),
                to: to.to_string(),
                ..pair
            })
            .collect()
    }

    /// Entries and bytes of every slot here.
    fn held(&self) -> BTreeMap<Slot, (u64, u64)> {
        let slots = self.parts.store.slots().into_iter();
        slots
            .map(|info| (info.slot, (info.keys, info.bytes)))
            .collect()
    }
}

fn fill_in(pair: &mut pb::PairProgress, sending: Sending) {
    pair.bytes_per_second = sending.bytes_per_second;
    pair.throttled = sending.throttled;
    pair.batches = sending.batches.into_iter().map(batch).collect();
}

fn batch(batch: SendingBatch) -> pb::BatchProgress {
    pb::BatchProgress {
        page: batch.id.page.index() as u32,
        attempt: batch.id.attempt,
        slots: batch
            .slots
            .iter()
            .map(|slot| slot.number().into())
            .collect(),
        state: batch.state.to_owned(),
        keys_sent: batch.counts.keys,
        bytes_sent: batch.counts.bytes,
        keys_total: batch.keys_total,
        bytes_total: batch.bytes_total,
    }
}
