//! A model of transfers: data is a set of numbers for each slot that is looked at;
//! copies take time, receivers refuse, and words between members get lost.
//!
//! What must hold is checked where it happens: a commit that lands finds its source
//! silent and its receiver complete (I4, I5, I13), a slot is closed only when another
//! owns it (I6), and whoever serves has everything that was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cached_proto::operations::MoveCounts;
use cached_proto::registry_keys::RegistryKey;
use cached_proto::table::{Page, PageIndex, Row};
use cached_proto::types::{Epoch, MemberId, Slot};
use rand::Rng;

use super::super::event::{Effect, Event, Purpose};
use super::registry::keys;
use super::world::{Action, World};
use crate::cluster::view::Serving;
use crate::registry::{Txn, TxnOutcome};
use crate::transfer::order::{MoveEnd, MoveId, MoveNews, MoveOrder};

pub(super) type Data = BTreeSet<u64>;

/// What was received and is not in service.
#[derive(Clone, Debug, Default)]
pub(super) struct Staging {
    data: Data,
    pub(super) sealed: bool,
    epoch: Epoch,
}

/// The transfers of one life, and the data of its slots.
#[derive(Default)]
pub(super) struct Transfers {
    pub(super) data: BTreeMap<Slot, Data>,
    pub(super) sealed: BTreeSet<Slot>,
    pub(super) sending: BTreeMap<MoveId, MoveOrder>,
    pub(super) stagings: BTreeMap<(Slot, u64), Staging>,
    started: BTreeSet<MoveId>,
    pub(super) rate: u64,
    pub(super) wakes: u64,
    pub(super) received: u64,
    /// The most batches that were sealed at a time.
    pub(super) sealed_max: usize,
    pub(super) sending_max: usize,
}

/// What the world knows of all data.
#[derive(Default)]
pub(super) struct Ledger {
    /// Writes that were acknowledged, and were not lost with their owner.
    pub(super) acked: BTreeMap<Slot, Data>,
    writes: u64,
    /// Ownerships that commits have given.
    landed: BTreeSet<(MemberId, Slot, Epoch)>,
    pub(super) commits: u64,
    /// Chance, in percent, that a step of a transfer fails.
    pub(super) failures: u32,
    /// Chance, in percent, that the word of a receiver that has sealed is lost.
    pub(super) lost_seals: u32,
    /// A life that takes nothing.
    pub(super) refuses: Option<usize>,
    /// How long a copy takes at most.
    pub(super) copying: Duration,
    /// Batches do not catch up before this is lifted.
    pub(super) hold: bool,
    pub(super) failed: u64,
}

/// The order in which effects must come.
fn rank(effect: &Effect) -> Option<u8> {
    Some(match effect {
        Effect::OpenSlot { .. } => 0,
        Effect::RowRead { .. } => 1,
        Effect::Publish(_) => 2,
        Effect::CloseSlot { .. } => 3,
        Effect::EndMove { .. } => 4,
        Effect::SealMove(_) => 5,
        Effect::StartMove(_) => 6,
        Effect::WakeParked => 7,
        _ => return None,
    })
}

pub(super) fn in_order(effects: &[Effect]) {
    let ranks: Vec<u8> = effects.iter().filter_map(rank).collect();
    assert!(ranks.is_sorted(), "{ranks:?}");
    let wakes = ranks.iter().any(|rank| [0, 3, 4].contains(rank));
    assert!(
        !wakes || ranks.last() == Some(&7),
        "nobody is woken: {ranks:?}"
    );
    assert!(!ranks.contains(&3) || ranks.contains(&2), "closed unseen");
}

impl World {
    // ---- at the source

    pub(super) fn start_move(&mut self, index: usize, order: MoveOrder) {
        let node = &mut self.nodes[index];
        let own = &mut node.transfers;
        assert!(own.started.insert(order.id.clone()), "{order:?} again");
        for (slot, epoch) in &order.slots {
            assert_eq!(node.served.get(slot), Some(epoch), "{order:?}");
            let moving = |other: &MoveOrder| other.slots.iter().any(|(s, _)| s == slot);
            assert!(
                !own.sending.values().any(moving),
                "slot {slot} moves already"
            );
            assert!(order.planned.contains(slot));
        }
        let id = order.id.clone();
        own.sending.insert(id.clone(), order);
        own.sending_max = own.sending_max.max(own.sending.len());
        let longest = self.ledger.copying.as_micros() as u64;
        let delay = Duration::from_micros(self.rng.random_range(500..longest.max(1_000)));
        self.at(delay, Action::Copied(index, id));
    }

    /// The receiver's index, if it can be reached and is still that life.
    fn receiver(&self, index: usize, order: &MoveOrder) -> Option<usize> {
        let to = self.reachable(index, &order.to)?;
        (self.nodes[to].id == order.to.id).then_some(to)
    }

    pub(super) fn copied(&mut self, index: usize, id: MoveId) {
        if self.ledger.hold {
            return self.at(Duration::from_millis(20), Action::Copied(index, id));
        }
        let Some(order) = self.nodes[index].transfers.sending.get(&id).cloned() else {
            return;
        };
        let unlucky = self.rng.random_range(0..100) < self.ledger.failures;
        let refuses = self.ledger.refuses;
        let takes = |to: &usize| !unlucky && Some(*to) != refuses;
        let Some(to) = self.receiver(index, &order).filter(takes) else {
            return self.fail(index, id);
        };
        for (slot, epoch) in &order.slots {
            let known = self.nodes[to]
                .state
                .mirror
                .row(*slot)
                .map_or(0, |row| row.attempt);
            if known >= id.attempt {
                return self.fail(index, id);
            }
            let staging = Staging {
                epoch: *epoch,
                ..Staging::default()
            };
            self.nodes[to]
                .transfers
                .stagings
                .insert((*slot, id.attempt), staging);
        }
        let news = MoveNews::CaughtUp;
        self.send(index, Event::Move { id, news });
    }

    fn fail(&mut self, index: usize, id: MoveId) {
        self.ledger.failed += 1;
        self.unseal(index, &id);
        let (busy, over_capacity) = (self.rng.random_bool(0.3), self.rng.random_bool(0.2));
        let counts = MoveCounts {
            sent: 3,
            ..MoveCounts::default()
        };
        let news = MoveNews::Failed {
            why: "bad luck".to_owned(),
            busy,
            over_capacity,
            counts,
        };
        self.send(index, Event::Move { id, news });
    }

    fn unseal(&mut self, index: usize, id: &MoveId) -> Option<MoveOrder> {
        let own = &mut self.nodes[index].transfers;
        let order = own.sending.remove(id)?;
        for (slot, _) in &order.slots {
            own.sealed.remove(slot);
        }
        Some(order)
    }

    pub(super) fn seal_move(&mut self, index: usize, id: MoveId) {
        let own = &mut self.nodes[index].transfers;
        let Some(order) = own.sending.get(&id) else {
            return;
        };
        own.sealed.extend(order.slots.iter().map(|(slot, _)| *slot));
        let sealed = |order: &&MoveOrder| own.sealed.contains(&order.slots[0].0);
        let now = own.sending.values().filter(sealed).count();
        own.sealed_max = own.sealed_max.max(now);
        let delay = self.delay();
        self.at(delay, Action::Drained(index, id));
    }

    pub(super) fn drained(&mut self, index: usize, id: MoveId) {
        let Some(order) = self.nodes[index].transfers.sending.get(&id).cloned() else {
            return;
        };
        let unlucky = self.rng.random_range(0..100) < self.ledger.failures;
        let Some(to) = self.receiver(index, &order).filter(|_| !unlucky) else {
            return self.fail(index, id);
        };
        for (slot, epoch) in &order.slots {
            let data = self.nodes[index].transfers.data.get(slot).cloned();
            let stagings = &mut self.nodes[to].transfers.stagings;
            let Some(staging) = stagings.get_mut(&(*slot, id.attempt)) else {
                return self.fail(index, id);
            };
            *staging = Staging {
                data: data.unwrap_or_default(),
                sealed: true,
                epoch: *epoch,
            };
        }
        let lost = self.ledger.lost_seals;
        if lost > 0 && self.rng.random_range(0..100) < lost {
            self.fail(index, id.clone());
            return self.send_unheard(index, id, order);
        }
        let news = MoveNews::Sealed(MoveCounts {
            keys: 2,
            bytes: 200,
            sent: 2,
            acknowledged: 2,
            ..MoveCounts::default()
        });
        self.send(index, Event::Move { id, news });
    }

    fn send_unheard(&mut self, index: usize, id: MoveId, order: MoveOrder) {
        let slots = order.slots;
        let news = MoveNews::Unheard { slots };
        self.send(index, Event::Move { id, news });
    }

    pub(super) fn end_move(&mut self, index: usize, id: &MoveId, end: MoveEnd) {
        let sealed = self.nodes[index].transfers.sealed.clone();
        let Some(order) = self.unseal(index, id) else {
            return;
        };
        let to = self.receiver(index, &order);
        match end {
            MoveEnd::Committed(record) => {
                for (slot, epoch) in &order.slots {
                    let served = self.nodes[index].served.get(slot);
                    assert!(served.is_none_or(|served| served > epoch), "still open");
                }
                if let Some(to) = to.filter(|_| self.rng.random_bool(0.8)) {
                    let delay = self.delay();
                    self.at(delay, Action::Deliver(to, Event::Committed(record)));
                }
            }
            MoveEnd::Aborted(_) => match to {
                Some(to) => {
                    let stagings = &mut self.nodes[to].transfers.stagings;
                    order.slots.iter().for_each(|(slot, _)| {
                        stagings.remove(&(*slot, id.attempt));
                    });
                }
                None if sealed.contains(&order.slots[0].0) => {
                    self.send_unheard(index, id.clone(), order);
                }
                None => {}
            },
        }
    }

    // ---- at the receiver

    /// Answers whether the slot was opened with its entries.
    pub(super) fn open_data(
        &mut self,
        index: usize,
        slot: Slot,
        epoch: Epoch,
        attempt: u64,
    ) -> bool {
        let own = &mut self.nodes[index].transfers;
        let staging = own.stagings.remove(&(slot, attempt)).filter(|s| s.sealed);
        let id = self.nodes[index].id.clone();
        if let Some(staging) = staging {
            self.nodes[index].transfers.received += 1;
            self.nodes[index].transfers.data.insert(slot, staging.data);
            return true;
        }
        let given = self.ledger.landed.contains(&(id, slot, epoch));
        assert!(
            !given,
            "slot {slot} was committed without a staging:\n{}",
            self.story()
        );
        self.nodes[index].transfers.data.insert(slot, Data::new());
        self.ledger.acked.remove(&slot);
        false
    }

    pub(super) fn row_read(&mut self, index: usize, slot: Slot, epoch: Epoch, attempt: u64) {
        let stagings = &mut self.nodes[index].transfers.stagings;
        stagings.retain(|(of, staged), staging| {
            *of != slot || (*staged > attempt && staging.epoch >= epoch)
        });
    }

    /// Whether a living member keeps what it has sealed.
    pub(super) fn keeps_sealed(&self) -> bool {
        let living = self.nodes.iter().filter(|node| node.alive);
        let mut stagings = living.flat_map(|node| node.transfers.stagings.values());
        stagings.any(|staging| staging.sealed)
    }

    // ---- what must hold

    /// I6, on what the registry holds at this instant.
    pub(super) fn closes_lawfully(&self, index: usize, slot: Slot, epoch: Epoch) {
        if !self.sample.contains(&slot) {
            return;
        }
        if let Some(row) = self.row(slot) {
            let lawful = row.epoch > epoch && row.owner != self.nodes[index].id;
            assert!(lawful, "slot {slot} closed too early:\n{}", self.story());
        }
    }

    pub(super) fn page_owners(&self, page: PageIndex) -> Vec<MemberId> {
        let record = self.registry.get(&keys().key(&RegistryKey::Page(page)));
        let page: Page = serde_json::from_slice(&record.unwrap().value).unwrap();
        page.rows.into_iter().map(|row| row.owner).collect()
    }

    pub(super) fn row(&self, slot: Slot) -> Option<Row> {
        let key = keys().key(&RegistryKey::Page(PageIndex::of(slot)));
        let page: Page = serde_json::from_slice(&self.registry.get(&key)?.value).ok()?;
        Some(page.rows[slot.index() % page.rows.len()].clone())
    }

    /// Carries a transaction out, at whatever time.
    pub(super) fn land(&mut self, index: usize, purpose: &Purpose, txn: Txn) -> TxnOutcome {
        let outcome = self.registry.txn(txn);
        let Purpose::Commit(id) = purpose else {
            return outcome;
        };
        if !outcome.succeeded {
            return outcome;
        }
        self.ledger.commits += 1;
        let node = &self.nodes[index];
        let order = node.transfers.sending.get(id).cloned();
        let order = order.unwrap_or_else(|| {
            panic!(
                "{id:?} of {:?} landed after its end:\n{}",
                node.id,
                self.story()
            )
        });
        let to = self
            .nodes
            .iter()
            .position(|node| node.id == order.to.id)
            .unwrap();
        for (slot, epoch) in &order.slots {
            let given = (order.to.id.clone(), *slot, epoch.next());
            self.ledger.landed.insert(given);
            let open = node_serves(&self.nodes[index], *slot);
            assert!(!open, "slot {slot} was served in doubt:\n{}", self.story());
            let staging = self.nodes[to].transfers.stagings.get(&(*slot, id.attempt));
            let acked = self.ledger.acked.get(slot).cloned().unwrap_or_default();
            let whole = staging.is_some_and(|s| s.sealed && s.data.is_superset(&acked));
            let dead = !self.nodes[to].alive;
            assert!(
                whole || dead,
                "slot {slot} was given to who lacks it:\n{}",
                self.story()
            );
        }
        outcome
    }

    /// Somebody writes to a slot, and reads it before.
    pub(super) fn use_a_slot(&mut self) {
        let slot = self.sample[self.rng.random_range(0..self.sample.len())];
        let now = self.now;
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let sure = node.alive && !node.paused && node.serving(now) == Serving::Yes;
            if !sure || !node_serves(node, slot) {
                continue;
            }
            let id = node.id.clone();
            self.ledger.writes += 1;
            let write = self.ledger.writes;
            let data = self.nodes[index].transfers.data.entry(slot).or_default();
            let acked = self.ledger.acked.entry(slot).or_default();
            if self.is_strict {
                let lost: Vec<_> = acked.difference(data).collect();
                assert!(lost.is_empty(), "slot {slot} at {id:?} lacks {lost:?}");
            }
            data.insert(write);
            acked.insert(write);
        }
    }
}

fn node_serves(node: &super::world::Node, slot: Slot) -> bool {
    let sealed = node.transfers.sealed.contains(&slot);
    node.alive && node.served.contains_key(&slot) && !sealed
}
